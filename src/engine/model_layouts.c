/* model_layouts.c - what a file is that holds neither a tokenizer nor a transformer of VAR: told by names that
 * other programs' models are known by. See model_files.h. */
#include <stdio.h>
#include <string.h>

#include "engine/model_files.h"

typedef struct layout {
    const char *part; /* somewhere in a name */
    const char *what;
} layout;

/* The first that fits is told: the more telling ones come first. */
static const layout layouts[] = {
    {"lora_", "a LoRA adapter, which changes another model"},
    {"model.diffusion_model.", "a checkpoint of Stable Diffusion"},
    {"down_blocks.0.attentions", "a UNet of diffusers"},
    {"encoder.down_blocks.", "an autoencoder of diffusers"},
    {"double_blocks.", "a FLUX transformer"},
    {"adaLN_modulation", "a diffusion transformer (DiT)"},
    {"text_model.encoder", "a CLIP text encoder"},
    {"self_attn.q_proj", "a language model of transformers"},
    {"tok_embeddings", "a language model of Llama's layout (LlamaGen has it too)"},
    {"attn.c_attn", "a language model of GPT-2's layout (VQGAN's transformer has it too)"},
    {"blocks.0.attn.qkv", "a vision transformer of timm"},
    {"unregistered_blocks", "an Infinity transformer, VAR's relative for text"},
    {"Mixed_5b", "an Inception network that scores are measured in: give it as features"},
    {"layer1.0.conv1", "a ResNet"},
    {"features.0.weight", "a VGG or AlexNet (the perceptual loss of a tokenizer?)"},
    {"lin0.model", "the linear layers of LPIPS"},
};

/* Names of which VAR's parts have several: enough of them, without the mark, are a part that is incomplete. */
static const char *const of_transformer[] = {"word_embed.", "class_emb.", "pos_start",
                                             "pos_1LC",     "lvl_embed.", "attn.mat_qkv",
                                             "head_nm.",    "ada_lin."};
static const char *const of_tokenizer[] = {"encoder.down.",    "decoder.up.", "quant_conv.",
                                           "post_quant_conv.", "quant_resi",  "quantize."};

static bool any_name(const vt_tensor_file *file, const char *part) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i)
        if (strstr(vt_tensor_file_at(file, i)->name, part)) return true;
    return false;
}

static int hits(const vt_tensor_file *file, const char *const *names, size_t count) {
    int found = 0;
    for (size_t i = 0; i < count; ++i) found += any_name(file, names[i]);
    return found;
}

static const char *nearest(const vt_tensor_file *file) {
    int transformer = hits(file, of_transformer, sizeof of_transformer / sizeof *of_transformer);
    int tokenizer = hits(file, of_tokenizer, sizeof of_tokenizer / sizeof *of_tokenizer);
    if (transformer >= 3 && transformer >= tokenizer)
        return "nearest to VAR's transformer, of which it is a part";
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; ++i)
        if (any_name(file, layouts[i].part)) return layouts[i].what;
    if (tokenizer >= 3)
        return any_name(file, "quantize.")
                   ? "nearest to VAR's tokenizer, of which it is a part"
                   : "an autoencoder without a codebook (of latent diffusion)";
    bool trains = vt_tensor_file_count(file) > 0;
    for (int i = 0; trains && i < vt_tensor_file_count(file); ++i)
        trains = vt_tensor_group_is_training(vt_tensor_file_at(file, i)->group);
    return trains ? "the state of an optimizer" : NULL;
}

void vt_model_layout_text(char *out, size_t size, const vt_tensor_file *file) {
    enum { SHOWN = 4 };
    size_t used = 0;
    const char *known = nearest(file);
    int count = vt_tensor_file_count(file);
    out[0] = '\0';
    if (count == 0) {
        snprintf(out, size, "it holds no tensors");
        return;
    }
    if (known) used = (size_t)snprintf(out, size, "it looks like %s; ", known);
    for (int i = 0; i < count && i < SHOWN && used < size; ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        used += (size_t)snprintf(out + used, size - used, "%s%.60s%s%.60s",
                                 i ? ", " : "its names: ", tensor->group,
                                 tensor->group[0] ? "/" : "", tensor->name);
    }
    if (used < size && count > SHOWN) snprintf(out + used, size - used, ", ... (%d)", count);
    for (char *c = out; *c; ++c)
        if ((unsigned char)*c < ' ') *c = '?';
}
