/* config.c - the shape of a transformer: checked, and read off the names and shapes of a file's
 * tensors. */
#include "transformer/transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1 << 20 }; /* that a buffer may tell the scales of */

typedef struct bound {
    const char *name;
    int value, least, most;
} bound;

variant_status vt_transformer_config_check(const vt_transformer_config *config,
                                           variant_error *err) {
    const bound bounds[] = {
        {"depth", config->depth, 1, VT_SCHEDULE_LAYERS},
        {"width", config->width, 1, 1 << 16},
        {"heads", config->heads, 1, 1 << 12},
        {"hidden width", config->hidden, 1, 1 << 18},
        {"codes", config->codes, 2, 1 << 22},
        {"latent width", config->latent_dim, 1, 1 << 12},
        {"classes", config->classes, 1, 1 << 22},
        {"scales", config->scales, 1, VT_SCHEDULE_SCALES},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; ++i)
        if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most)
            return vt_fail(err, VARIANT_E_ARGUMENT, "transformer: %s is %d, expected %d to %d",
                           bounds[i].name, bounds[i].value, bounds[i].least, bounds[i].most);
    if (config->width % config->heads != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "transformer: width %d does not divide into %d heads", config->width,
                       config->heads);
    /* Scale 0 is one token: its input is the class, and teacher-forced inputs have L - 1 rows. */
    if (config->sides[0] != 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "transformer: the first side is %d, expected 1",
                       config->sides[0]);
    for (int k = 1; k < config->scales; ++k)
        if (config->sides[k] <= config->sides[k - 1] || config->sides[k] > 256)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "transformer: side %d of scale %d after %d, expected growing "
                           "sides up to 256",
                           config->sides[k], k, config->sides[k - 1]);
    return VARIANT_OK;
}

int vt_transformer_tokens(const vt_transformer_config *config) {
    int tokens = 0;
    for (int k = 0; k < config->scales; ++k) tokens += config->sides[k] * config->sides[k];
    return tokens;
}

/* ---- from a file ---- */

typedef struct source {
    const vt_tensor_file *file;
    const char *group;
} source;

static const vt_tensor *find(const source *from, const char *name) {
    return vt_tensor_file_find(from->file, from->group, name);
}

/* Dimension `axis` of a tensor of known rank, as an int. */
static variant_status read_dimension(const source *from, const char *name, int rank, int axis,
                                     int *out, variant_error *err) {
    const vt_tensor *tensor = find(from, name);
    const char *path = vt_tensor_file_path(from->file);
    if (tensor == NULL)
        return vt_fail(err, VARIANT_E_MODEL, "%s: no tensor %s, not a VAR transformer", path, name);
    if (tensor->rank != rank)
        return vt_fail(err, VARIANT_E_MODEL, "%s: %s has %d dimensions, expected %d", path, name,
                       tensor->rank, rank);
    if (tensor->shape[axis] < 1 || tensor->shape[axis] > 1 << 24)
        return vt_fail(err, VARIANT_E_MODEL, "%s: dimension %d of %s is %lld, expected 1 to %d",
                       path, axis, name, (long long)tensor->shape[axis], 1 << 24);
    *out = (int)tensor->shape[axis];
    return VARIANT_OK;
}

static variant_status infer_heads(vt_transformer_config *config, const source *from,
                                  variant_error *err) {
    const char *name = "blocks.0.attn.scale_mul_1H11";
    config->l2_norm = find(from, name) != NULL;
    const int told = config->heads;
    if (config->l2_norm) {
        VT_TRY(read_dimension(from, name, 4, 1, &config->heads, err));
        if (told > 0 && told != config->heads)
            return vt_fail(err, VARIANT_E_MODEL, "%s: heads %d do not fit: %s has %d",
                           vt_tensor_file_path(from->file), told, name, config->heads);
        return VARIANT_OK;
    }
    if (told > 0) return VARIANT_OK;
    if (config->width != 64 * config->depth)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: width %d at depth %d does not tell the number of attention heads: "
                       "give heads",
                       vt_tensor_file_path(from->file), config->width, config->depth);
    config->heads = config->depth;
    return VARIANT_OK;
}

static const int published_256[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
static const int published_512[] = {1, 2, 3, 4, 6, 9, 13, 18, 24, 32};

/* The buffer lvl_1L of the original has for every token the number of its scale: a square of each. False: it is not there, or it is
 * something else. */
static bool sides_of_levels(vt_transformer_config *config, const source *from, int scales,
                            int tokens) {
    const vt_tensor *tensor = find(from, "lvl_1L");
    if (!tensor || tensor->count != (size_t)tokens || tokens > MOST_TOKENS ||
        scales > VT_SCHEDULE_SCALES)
        return false;
    int32_t *levels = malloc((size_t)tokens * sizeof *levels);
    int count[VT_SCHEDULE_SCALES] = {0};
    bool good = levels && vt_tensor_to_i32(tensor, levels, NULL) == VARIANT_OK;
    for (int i = 0; good && i < tokens; ++i) {
        good = levels[i] >= (i ? levels[i - 1] : 0) && levels[i] < scales;
        if (good) ++count[levels[i]];
    }
    free(levels);
    for (int k = 0; good && k < scales; ++k) {
        const int side = (int)lround(sqrt((double)count[k]));
        good = side > 0 && side * side == count[k];
        config->sides[k] = side;
    }
    if (good) config->scales = scales;
    return good;
}

static variant_status infer_sides(vt_transformer_config *config, const source *from,
                                  variant_error *err) {
    int scales = 0, tokens = 0;
    const char *path = vt_tensor_file_path(from->file);
    VT_TRY(read_dimension(from, "lvl_embed.weight", 2, 0, &scales, err));
    VT_TRY(read_dimension(from, "pos_1LC", 3, 1, &tokens, err));
    if (config->scales > 0) {
        if (config->scales != scales || config->scales > VT_SCHEDULE_SCALES ||
            vt_transformer_tokens(config) != tokens)
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: the sides given do not fit: the model has %d scales of %d tokens "
                           "in all (the squares of sides)",
                           path, scales, tokens);
        return VARIANT_OK;
    }
    const bool published = scales == 10 && (tokens == 680 || tokens == 2240);
    if (!published && sides_of_levels(config, from, scales, tokens)) return VARIANT_OK;
    if (!published)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: %d scales of %d tokens in all are no published list: give sides", path,
                       scales, tokens);
    config->scales = scales;
    memcpy(config->sides, tokens == 680 ? published_256 : published_512, sizeof published_256);
    return VARIANT_OK;
}

variant_status vt_transformer_config_infer(vt_transformer_config *config,
                                           const vt_tensor_file *file, const char *group,
                                           variant_error *err) {
    source from = {.file = file, .group = group};
    char name[64];
    int rows = 0;

    VT_TRY(read_dimension(&from, "word_embed.weight", 2, 0, &config->width, err));
    VT_TRY(read_dimension(&from, "word_embed.weight", 2, 1, &config->latent_dim, err));
    VT_TRY(read_dimension(&from, "class_emb.weight", 2, 0, &rows, err));
    config->classes = rows - 1; /* the last row is the unconditional class */
    VT_TRY(read_dimension(&from, "head.weight", 2, 0, &config->codes, err));
    VT_TRY(read_dimension(&from, "blocks.0.ffn.fc1.weight", 2, 0, &config->hidden, err));
    for (config->depth = 0; config->depth <= VT_SCHEDULE_LAYERS; ++config->depth) {
        snprintf(name, sizeof name, "blocks.%d.attn.mat_qkv.weight", config->depth);
        if (find(&from, name) == NULL) break;
    }
    config->shared_adaln = find(&from, "shared_ada_lin.1.weight") != NULL;
    VT_TRY(infer_heads(config, &from, err));
    VT_TRY(infer_sides(config, &from, err));
    if (vt_transformer_config_check(config, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_MODEL, "%s", vt_tensor_file_path(file));
    return VARIANT_OK;
}
