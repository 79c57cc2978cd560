/* config.c - bounds of a tokenizer's configuration, and what can be read off a checkpoint's names
 * and shapes. */
#include <limits.h>
#include <stdio.h>

#include "tokenizer/parts.h"

#define LARGEST_WIDTH 16384
#define LARGEST_BASE 4096
#define LARGEST_BLOCKS 16
#define LARGEST_SIDE 128 /* of a token map */
#define LARGEST_PICTURE 4096
#define LARGEST_CODEBOOK (1 << 20)
#define LARGEST_LATENT 4096

static variant_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                                  variant_status code, variant_error *err) {
    if (value >= low && value <= high) return VARIANT_OK;
    return vt_fail(err, code, "tokenizer: %s is %lld, expected %lld to %lld", name,
                   (long long)value, (long long)low, (long long)high);
}

variant_status vt_tokenizer_check_shape(const vt_tokenizer_config *config, variant_status code,
                                        variant_error *err) {
    if (config->channels != 1 && config->channels != 3)
        return vt_fail(err, code, "tokenizer: pictures of %d channels, expected 1 or 3",
                       config->channels);
    VT_TRY(check_range("base width", config->base_width, VT_NORM_GROUPS, LARGEST_BASE, code, err));
    if (config->base_width % VT_NORM_GROUPS != 0)
        return vt_fail(err, code, "tokenizer: base width %d is not a multiple of %d",
                       config->base_width, VT_NORM_GROUPS);
    VT_TRY(check_range("number of levels", config->levels, 1, VT_MAX_LEVELS, code, err));
    for (int i = 0; i < config->levels; ++i) {
        char name[48];
        snprintf(name, sizeof name, "width multiplier of level %d", i);
        VT_TRY(
            check_range(name, config->mult[i], 1, LARGEST_WIDTH / config->base_width, code, err));
    }
    VT_TRY(check_range("number of blocks a level", config->blocks, 1, LARGEST_BLOCKS, code, err));
    VT_TRY(check_range("number of codes", config->codes, 1, LARGEST_CODEBOOK, code, err));
    return check_range("latent width", config->latent_dim, 1, LARGEST_LATENT, code, err);
}

variant_status vt_tokenizer_config_check(const vt_tokenizer_config *config, variant_error *err) {
    const variant_status code = VARIANT_E_ARGUMENT;
    VT_TRY(vt_tokenizer_check_shape(config, code, err));
    VT_TRY(check_range("number of scales", config->scales, 1, VT_MAX_SCALES, code, err));
    for (int k = 0; k < config->scales; ++k) {
        char name[48];
        snprintf(name, sizeof name, "side of scale %d", k);
        VT_TRY(check_range(name, config->sides[k], 1, LARGEST_SIDE, code, err));
        if (k > 0 && config->sides[k] <= config->sides[k - 1])
            return vt_fail(err, code,
                           "tokenizer: scale %d has side %d after %d, expected increasing sides", k,
                           config->sides[k], config->sides[k - 1]);
    }
    return check_range("picture side (last scale doubled by every level but one)",
                       vt_tokenizer_side(config), 1, LARGEST_PICTURE, code, err);
}

int vt_tokenizer_side(const vt_tokenizer_config *config) {
    return config->sides[config->scales - 1] << (config->levels - 1);
}

int vt_tokenizer_tokens(const vt_tokenizer_config *config) {
    int tokens = 0;
    for (int k = 0; k < config->scales; ++k) tokens += config->sides[k] * config->sides[k];
    return tokens;
}

int vt_phi_index(int k, int scales) {
    int last = scales - 1;
    return (9 * k >= 2 * last) + (2 * k >= last) + (9 * k >= 7 * last);
}

/* ---- inference from a file ---- */

/* A tensor's dimension as an int, after its rank was checked. */
static variant_status find_dimensions(const vt_tensor_file *file, const char *group,
                                      const char *name, int rank, int *rows, int *columns,
                                      variant_error *err) {
    const vt_tensor *tensor = vt_tensor_file_find(file, group, name);
    if (!tensor)
        return vt_fail(err, VARIANT_E_MODEL, "%s: no tensor %s, expected in every tokenizer",
                       vt_tensor_file_path(file), name);
    if (tensor->rank != rank || tensor->shape[0] < 1 || tensor->shape[0] > INT_MAX ||
        tensor->shape[1] < 1 || tensor->shape[1] > INT_MAX)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: tensor %s has rank %d, expected %d dimensions of at least 1",
                       vt_tensor_file_path(file), name, tensor->rank, rank);
    *rows = (int)tensor->shape[0];
    *columns = (int)tensor->shape[1];
    return VARIANT_OK;
}

/* How many of names made from `format` with 0, 1, 2, ... the file has, at most limit + 1. */
static int count_names(const vt_tensor_file *file, const char *group, const char *prefix,
                       const char *suffix, int limit) {
    int count = 0;
    for (; count <= limit; ++count) {
        char name[96];
        snprintf(name, sizeof name, "%s%d%s", prefix, count, suffix);
        if (!vt_tensor_file_find(file, group, name)) break;
    }
    return count;
}

variant_status vt_tokenizer_config_infer(vt_tokenizer_config *config, const vt_tensor_file *file,
                                         const char *group, variant_error *err) {
    vt_tokenizer_config found = *config;
    VT_TRY(find_dimensions(file, group, "encoder.conv_in.weight", 4, &found.base_width,
                           &found.channels, err));
    VT_TRY(find_dimensions(file, group, "quantize.embedding.weight", 2, &found.codes,
                           &found.latent_dim, err));
    found.levels =
        count_names(file, group, "encoder.down.", ".block.0.conv1.weight", VT_MAX_LEVELS);
    found.blocks =
        count_names(file, group, "encoder.down.0.block.", ".conv1.weight", LARGEST_BLOCKS);
    if (found.levels < 1 || found.levels > VT_MAX_LEVELS)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: %s encoder.down.I.block.0.conv1.weight, expected 1 to %d levels",
                       vt_tensor_file_path(file), found.levels ? "too many" : "no", VT_MAX_LEVELS);
    for (int i = 0; i < found.levels; ++i) {
        char name[96];
        int width, in_c;
        snprintf(name, sizeof name, "encoder.down.%d.block.0.conv1.weight", i);
        VT_TRY(find_dimensions(file, group, name, 4, &width, &in_c, err));
        if (width % found.base_width != 0)
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: tensor %s gives width %d, expected a multiple of %d",
                           vt_tensor_file_path(file), name, width, found.base_width);
        found.mult[i] = width / found.base_width;
    }
    if (vt_tokenizer_check_shape(&found, VARIANT_E_MODEL, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_MODEL, "%s", vt_tensor_file_path(file));
    *config = found;
    return VARIANT_OK;
}
