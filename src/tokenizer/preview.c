/* preview.c - see preview.h. The layers are those of the tokenizer's own decoder (decoder.c), fewer and narrower. */
#include "tokenizer/preview.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/parts.h"

#define LARGEST_WIDTH 4096
#define LARGEST_BLOCKS 16
#define LARGEST_BATCH 65536

struct vt_preview {
    vt_kern *kern;
    vt_preview_config config;
    int side; /* of pictures */
    vt_params params;
    vt_picture_chain chain;
    bool recompute;
    int trained; /* pictures of the training pass between forward and backward; 0: none */
};

/* ---- shape ---- */

variant_status vt_preview_config_choose(vt_preview_config *out, const vt_tokenizer_config *of,
                                        const char *size, variant_error *err) {
    static const struct {
        const char *name;
        int part;
    } sizes[] = {{"tiny", 8}, {"small", 4}, {"medium", 2}};
    int part = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i)
        if (strcmp(sizes[i].name, size) == 0) part = sizes[i].part;
    if (part == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "preview decoder of size \"%.40s\": expected tiny, small or medium", size);
    *out = (vt_preview_config){.levels = of->levels, .blocks = 1};
    for (int level = 0; level < of->levels; ++level) {
        const int width = of->base_width * of->mult[level] / part;
        out->widths[level] = (width + VT_NORM_GROUPS - 1) / VT_NORM_GROUPS * VT_NORM_GROUPS;
    }
    return VARIANT_OK;
}

/* How many channels the convolution of a name makes; 0: there is none. */
static int channels_of(const vt_tensor_file *file, const char *group, const char *name) {
    const vt_tensor *tensor = vt_tensor_file_find(file, group, name);
    const bool fits = tensor && tensor->rank == 4 && tensor->shape[0] <= LARGEST_WIDTH;
    return fits ? (int)tensor->shape[0] : 0;
}

void vt_preview_config_infer(vt_preview_config *out, const vt_tensor_file *file,
                             const char *group) {
    char name[96];
    int top = 0, width;
    *out = (vt_preview_config){0};
    for (int level = 1; level < VT_MAX_LEVELS; ++level) {
        snprintf(name, sizeof name, VT_PREVIEW_PREFIX "up.%d.upsample.conv.weight", level);
        if ((width = channels_of(file, group, name)) == 0) break;
        out->widths[level - 1] = width;
        top = level;
    }
    out->widths[top] = channels_of(file, group, VT_PREVIEW_MARK);
    out->levels = top + 1;
    for (; out->blocks <= LARGEST_BLOCKS; ++out->blocks) {
        snprintf(name, sizeof name, VT_PREVIEW_PREFIX "up.%d.block.%d.conv1.weight", top,
                 out->blocks);
        if (channels_of(file, group, name) == 0) break;
    }
}

variant_status vt_preview_config_check(const vt_preview_config *config,
                                       const vt_tokenizer_config *of, variant_status code,
                                       variant_error *err) {
    if (config->levels != of->levels)
        return vt_fail(err, code,
                       "preview decoder: %d levels, its tokenizer has %d: it was "
                       "trained for another",
                       config->levels, of->levels);
    for (int level = 0; level < config->levels; ++level)
        if (config->widths[level] < VT_NORM_GROUPS || config->widths[level] > LARGEST_WIDTH ||
            config->widths[level] % VT_NORM_GROUPS != 0)
            return vt_fail(err, code,
                           "preview decoder: width %d of level %d, expected a multiple of %d up to "
                           "%d",
                           config->widths[level], level, VT_NORM_GROUPS, LARGEST_WIDTH);
    if (config->blocks < 0 || config->blocks > LARGEST_BLOCKS)
        return vt_fail(err, code, "preview decoder: %d blocks a level, expected 0 to %d",
                       config->blocks, LARGEST_BLOCKS);
    return VARIANT_OK;
}

/* ---- life ---- */

static variant_status build(vt_preview *preview, const vt_tokenizer_config *of,
                            variant_error *err) {
    const vt_preview_config *config = &preview->config;
    vt_picture_chain *chain = &preview->chain;
    const int top = config->levels - 1;
    vt_picture_chain_init(chain, &preview->params, of->sides[of->scales - 1], of->latent_dim);
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->widths[top], 1,
                         VT_PREVIEW_PREFIX "conv_in");
    for (int level = top; level >= 0; --level) {
        for (int i = 0; i < config->blocks && (level > 0 || top == 0); ++i)
            vt_picture_chain_add(chain, VT_PICTURE_RESNET, config->widths[level], 1,
                                 VT_PREVIEW_PREFIX "up.%d.block.%d", level, i);
        if (level > 0)
            vt_picture_chain_add(chain, VT_PICTURE_UPSAMPLE, config->widths[level - 1], 1,
                                 VT_PREVIEW_PREFIX "up.%d.upsample.conv", level);
    }
    vt_picture_chain_add(chain, VT_PICTURE_NORM, 0, 1, VT_PREVIEW_PREFIX "norm_out");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, of->channels, 1, VT_PREVIEW_PREFIX "conv_out");
    return vt_picture_chain_finish(chain, err);
}

variant_status vt_preview_open(vt_preview **out, vt_kern *kern, const vt_tokenizer_config *of,
                               const vt_preview_config *config, variant_error *err) {
    *out = NULL;
    VT_TRY(vt_preview_config_check(config, of, VARIANT_E_ARGUMENT, err));
    vt_preview *preview = calloc(1, sizeof *preview);
    if (!preview) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a preview decoder");
    preview->kern = kern;
    preview->config = *config;
    preview->side = vt_tokenizer_side(of);
    vt_params_init(&preview->params, kern);
    variant_status status = build(preview, of, err);
    if (status != VARIANT_OK) vt_preview_close(&preview);
    *out = preview;
    return status;
}

void vt_preview_close(vt_preview **preview) {
    if (!preview || !*preview) return;
    vt_picture_chain_close(&(*preview)->chain);
    vt_params_close(&(*preview)->params);
    free(*preview);
    *preview = NULL;
}

const vt_preview_config *vt_preview_configuration(const vt_preview *preview) {
    return &preview->config;
}

vt_params *vt_preview_params(vt_preview *preview) {
    return &preview->params;
}

variant_status vt_preview_initialise(vt_preview *preview, uint64_t seed, variant_error *err) {
    return vt_initial_values(&preview->params, seed, err);
}

/* ---- passes ---- */

static variant_status start(const vt_preview *preview, vt_arena *arena, int batch, bool training,
                            vt_picture_run *run, variant_error *err) {
    const int64_t side = preview->side;
    const vt_param *last = preview->params.items[preview->params.count - 1];
    if (batch < 1 || batch > LARGEST_BATCH || batch * side * side > INT_MAX)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "preview decoder: a batch of %d pictures of side %d, expected at least 1 "
                       "and fewer than 2^31 pixels",
                       batch, (int)side);
    if (!last->value || (training && !last->grad))
        return vt_fail(err, VARIANT_E_ARGUMENT, "preview decoder: its parameters have no %s yet",
                       last->value ? "gradients" : "values");
    *run = (vt_picture_run){.kern = vt_arena_kern(arena, preview->kern),
                            .arena = arena,
                            .batch = batch,
                            .training = training,
                            .recompute = preview->recompute};
    return VARIANT_OK;
}

void vt_preview_recompute(vt_preview *preview, bool recompute) {
    preview->recompute = recompute;
}

variant_status vt_preview_decode(vt_preview *preview, vt_arena *arena, int batch,
                                 const float *f_hat, float *pictures, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start(preview, arena, batch, false, &run, err));
    const size_t mark = vt_arena_mark(arena);
    variant_status status = vt_picture_chain_forward(&preview->chain, &run, f_hat, pictures, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_preview_forward(vt_preview *preview, vt_arena *arena, int batch,
                                  const float *f_hat, float *pictures, variant_error *err) {
    vt_picture_run run;
    preview->trained = 0;
    VT_TRY(start(preview, arena, batch, true, &run, err));
    VT_TRY(vt_picture_chain_forward(&preview->chain, &run, f_hat, pictures, err));
    preview->trained = batch;
    return VARIANT_OK;
}

variant_status vt_preview_backward(vt_preview *preview, vt_arena *arena, int batch,
                                   float *dpictures, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start(preview, arena, batch, true, &run, err));
    if (preview->trained != batch)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "preview decoder: backward without a forward pass before it");
    preview->trained = 0;
    const size_t mark = vt_arena_mark(arena);
    variant_status status = vt_picture_chain_backward(&preview->chain, &run, dpictures, NULL, err);
    vt_arena_rewind(arena, mark);
    return status;
}
