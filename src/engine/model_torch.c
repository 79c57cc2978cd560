/* model_torch.c - a part of a model as the state dict of the original implementation (FoundationVision/VAR), which its classes load with
 * strict=True: our names are theirs, so what is added is the buffers, which no computation here reads, and what is left out is all that
 * those classes do not have. See model.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_files.h"
#include "engine/model_write.h"

typedef struct listing {
    vt_tensor_out *list;
    vt_param_source *sources;
    int count;
    const int *sides;
    int scales;
    const vt_tensor *hits; /* the codebook's use, as the file that was opened has it; NULL: zeros */
    const vt_tensor_file *hits_file;
} listing;

/* ---- buffers ---- */

/* Number of the scale that token `token` belongs to. */
static int scale_of(const listing *l, int64_t token) {
    int scale = 0;
    for (int64_t end = 0; scale < l->scales; ++scale) {
        end += (int64_t)l->sides[scale] * l->sides[scale];
        if (token < end) break;
    }
    return scale;
}

static variant_status read_levels(const vt_tensor_out *out, void *to, variant_error *err) {
    (void)err;
    int64_t *levels = to;
    for (int64_t i = 0; i < out->shape[1]; ++i) levels[i] = scale_of(out->source, i);
    return VARIANT_OK;
}

/* What a token may see: its own scale and those before it. */
static variant_status read_mask(const vt_tensor_out *out, void *to, variant_error *err) {
    (void)err;
    const int64_t tokens = out->shape[3];
    float *mask = to;
    for (int64_t i = 0; i < tokens; ++i)
        for (int64_t j = 0, own = scale_of(out->source, i); j < tokens; ++j)
            mask[i * tokens + j] = scale_of(out->source, j) <= own ? 0.0f : -INFINITY;
    return VARIANT_OK;
}

static variant_status read_zeros(const vt_tensor_out *out, void *to, variant_error *err) {
    (void)err;
    size_t count = 1;
    for (int d = 0; d < out->rank; ++d) count *= (size_t)out->shape[d];
    memset(to, 0, count * sizeof(float));
    return VARIANT_OK;
}

static variant_status read_hits(const vt_tensor_out *out, void *to, variant_error *err) {
    const listing *l = out->source;
    VT_TRY(vt_tensor_verify(l->hits_file, l->hits, NULL, err));
    return vt_tensor_to_f32(l->hits, to, err);
}

static vt_tensor_out buffer(const listing *l, const vt_param *param) {
    vt_tensor_out out = {
        .name = param->name, .rank = param->rank, .read = read_zeros, .source = l, .type = VT_F32};
    memcpy(out.shape, param->shape, (size_t)param->rank * sizeof *out.shape);
    if (strcmp(param->name, "lvl_1L") == 0) {
        out.type = VT_I64;
        out.read = read_levels;
    } else if (strcmp(param->name, "attn_bias_for_masking") == 0) {
        out.read = read_mask;
    } else if (l->hits && strcmp(param->name, l->hits->name) == 0 &&
               l->hits->count == param->count) {
        out.read = read_hits;
    }
    return out;
}

/* ---- the file ---- */

static variant_status add_params(listing *l, const vt_params *params, vt_losses *losses,
                                 variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        vt_tensor_out *out = &l->list[l->count];
        l->sources[l->count] = (vt_param_source){params, param, param->value};
        if (param->flags & VT_PARAM_BUFFER)
            *out = buffer(l, param);
        else
            VT_TRY(vt_model_export(&l->sources[l->count], losses, out, err));
        ++l->count;
    }
    return VARIANT_OK;
}

static variant_status stage_list(vt_replace_set *into, const char *path, const listing *l,
                                 const vt_model_save *save, variant_error *err) {
    if (vt_torch_is_name(path))
        return vt_torch_stage(into, path, l->list, l->count, save->watch, err);
    const char *keys[2] = {VT_CONFIG_KEY, VT_TRAINING_KEY};
    char *config = vt_model_config_text(save);
    if (!config) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path);
    const char *values[2] = {config, save->training};
    const vt_safetensors_out out = {.path = path,
                                    .tensors = l->list,
                                    .count = l->count,
                                    .meta_keys = keys,
                                    .meta_values = values,
                                    .meta_count = save->training ? 2 : 1,
                                    .watch = save->watch};
    const variant_status status = vt_shards_stage(into, &out, save->most_bytes, NULL, err);
    free(config);
    return status;
}

static variant_status check_name(const char *path, size_t most, variant_error *err) {
    const char *dot = strrchr(path, '.');
    if (vt_torch_is_name(path) && most)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: a PyTorch file is one: max_shard_bytes is for safetensors", path);
    if (vt_torch_is_name(path) || (dot && strcmp(dot, ".safetensors") == 0)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: a state dict is written to a file that ends in .pth, .pt or .bin "
                   "(PyTorch) or in .safetensors",
                   path);
}

/* What the original's tokenizer keeps of the codebook's use while it trains, where a file that is open has it. */
static const vt_tensor *find_hits(const vt_model *model) {
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    return file ? vt_tensor_file_find(file, model->groups[VT_TOKENIZER_PART],
                                      "quantize.ema_vocab_hit_SV")
                : NULL;
}

static variant_status stage_part(vt_replace_set *into, const char *path, const vt_model *model,
                                 const vt_model_save *save, variant_error *err) {
    variant_status status = VARIANT_OK;
    const vt_params *params = save->transformer ? vt_transformer_params(save->transformer)
                                                : vt_tokenizer_params(save->tokenizer);
    vt_losses losses = {.save = save, .tensors = params->count};
    listing l = {.hits = find_hits(model),
                 .hits_file = model->files[VT_TOKENIZER_PART],
                 .list = calloc((size_t)params->count + 1, sizeof *l.list),
                 .sources = calloc((size_t)params->count + 1, sizeof *l.sources)};
    if (!l.list || !l.sources)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));
    if (save->transformer) {
        l.sides = vt_transformer_configuration(save->transformer)->sides;
        l.scales = vt_transformer_configuration(save->transformer)->scales;
    }
    VT_CHECK(add_params(&l, params, &losses, err));
    VT_CHECK(vt_losses_check(&losses, path, err));
    VT_CHECK(stage_list(into, path, &l, save, err));
cleanup:
    for (int i = 0; l.list && i < l.count; ++i) free((void *)(uintptr_t)l.list[i].data);
    free(l.list);
    free(l.sources);
    return status;
}

static variant_status check_parts(const char *path, const char *tokenizer_path,
                                  const vt_model_save *save, variant_error *err) {
    VT_TRY(check_name(path, save->most_bytes, err));
    if (!tokenizer_path) return VARIANT_OK;
    if (!save->tokenizer)
        return vt_fail(err, VARIANT_E_MODEL, "%s: the model has no tokenizer that could be written",
                       tokenizer_path);
    if (!save->transformer)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: the model is a tokenizer alone, whose file is %s already",
                       tokenizer_path, path);
    return check_name(tokenizer_path, save->most_bytes, err);
}

variant_status vt_model_write_torch(const char *path, const char *tokenizer_path,
                                    const vt_model *model, const vt_model_save *save,
                                    variant_error *err) {
    vt_model_save first = *save, second = *save;
    vt_replace_set files = {0}; /* both appear, or neither */
    VT_TRY(check_parts(path, tokenizer_path, save, err));
    first.preview = second.preview = NULL;
    if (save->transformer) first.tokenizer = NULL;
    second.transformer = NULL;
    second.supernet = NULL;
    second.class_count = 0;
    second.training = NULL;
    variant_status status = stage_part(&files, path, model, &first, err);
    if (status == VARIANT_OK && tokenizer_path)
        status = stage_part(&files, tokenizer_path, model, &second, err);
    if (status == VARIANT_OK) status = vt_replace_set_commit(&files, err);
    vt_replace_set_abandon(&files);
    VT_TRY(status);
    if (save->preview && save->warn)
        save->warn(save->user, "the preview decoder is not written: the original has none");
    if (!tokenizer_path && save->transformer && save->tokenizer && save->warn)
        save->warn(save->user, "the tokenizer, which the original keeps in a file of its own, is "
                               "not written: name one as tokenizer_output");
    return VARIANT_OK;
}
