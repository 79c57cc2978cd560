/* choose.c - see choose.h. */
#include "train/choose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SIDE 32
#define MOST_TOKENS 14   /* of a token map's side: from here on another level halves it */
#define MOST_HALVINGS 4  /* of a tokenizer whose shape is chosen */
#define CLASSIFIER_MAP 8 /* likewise, of a classifier's last map */
#define MOST_BATCH_PIXELS (32 * 128 * 128)

static int clamp_int(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

int vt_choose_multiple(int value, int step) {
    int below = value / step * step;
    return below == 0 || value - below > step / 2 ? below + step : below;
}

static int nearest_power(double value) {
    return 1 << (int)lround(log2(value));
}

/* ---- a tokenizer's shape ---- */

static void level_widths(int *mult, int levels) {
    static const int widths[][5] = {
        {1}, {1, 2}, {1, 2, 2}, {1, 1, 2, 4}, {1, 1, 2, 2, 4},
    };
    for (int i = 0; i < levels; ++i) mult[i] = levels <= 5 ? widths[levels - 1][i] : 1 << (i / 2);
}

/* The published sides up to the last; the one before it is left out where it is nearly as large. */
static void scale_sides(vt_tokenizer_config *config, int last) {
    static const int sides[] = {1,  2,  3,  4,  5,  6,  8,  10,  13, 16,
                                20, 26, 32, 40, 52, 64, 80, 104, 128};
    int count = 0;
    for (size_t i = 0; i < sizeof sides / sizeof *sides && sides[i] < last; ++i)
        config->sides[count++] = sides[i];
    if (count > 0 && 5 * last < 6 * config->sides[count - 1]) --count;
    config->sides[count++] = last;
    config->scales = count;
}

static int levels_for(int side) {
    int levels = side < 8 ? 1 : 2;
    while (levels <= MOST_HALVINGS && side >> (levels - 1) >= MOST_TOKENS) ++levels;
    return levels;
}

/* Given scales: the number of levels that makes the side from the last; 0: none does. */
static int levels_between(int side, int last) {
    for (int levels = 1; levels <= VT_MAX_LEVELS; ++levels)
        if ((int64_t)last << (levels - 1) == side) return levels;
    return 0;
}

static variant_status fit_scales(vt_tokenizer_config *config, int *side, variant_error *err) {
    const int last = config->sides[config->scales - 1], wanted = *side;
    if (config->levels == 0) {
        config->levels = levels_between(wanted ? wanted : DEFAULT_SIDE, last);
        if (config->levels == 0 && !wanted) config->levels = levels_for(4 * last);
        if (config->levels == 0)
            return vt_fail(
                err, VARIANT_E_ARGUMENT,
                "side %d and a last token map of %d: expected the side to be 1, 2, 4, 8 "
                "or another power of two times as large, such as %d",
                wanted, last,
                last * nearest_power((double)wanted / last < 1.0 ? 1.0 : (double)wanted / last));
        level_widths(config->mult, config->levels);
    }
    *side = last << (config->levels - 1);
    if (wanted && wanted != *side)
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "side %d: the last of the token maps' sides, %d, doubled %d times (there are "
            "%d levels) makes %d",
            wanted, last, config->levels - 1, config->levels, *side);
    return VARIANT_OK;
}

variant_status vt_choose_tokenizer_shape(vt_tokenizer_config *config, int *side,
                                         variant_error *err) {
    if (config->levels < 0 || config->levels > VT_MAX_LEVELS || config->scales < 0 ||
        config->scales > VT_MAX_SCALES || *side < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d levels, %d scales, side %d: expected up to %d levels and %d scales",
                       config->levels, config->scales, *side, VT_MAX_LEVELS, VT_MAX_SCALES);
    if (config->scales > 0) return fit_scales(config, side, err);
    if (*side == 0) *side = DEFAULT_SIDE;
    if (config->levels == 0) {
        config->levels = levels_for(*side);
        level_widths(config->mult, config->levels);
    }
    *side = vt_choose_multiple(*side, 1 << (config->levels - 1));
    scale_sides(config, *side >> (config->levels - 1));
    return VARIANT_OK;
}

void vt_choose_tokenizer_sizes(vt_tokenizer_config *config, int pictures) {
    const int side = vt_tokenizer_side(config);
    if (config->base_width == 0) config->base_width = side > 64 && pictures >= 100000 ? 64 : 32;
    if (config->codes == 0)
        config->codes =
            clamp_int(nearest_power(1.0 + sqrt((double)pictures) * side / 32.0), 64, 4096);
    if (config->latent_dim == 0) config->latent_dim = config->codes > 1024 ? 32 : 16;
}

/* ---- a classifier's ---- */

void vt_choose_classifier_shape(vt_classifier_config *config) {
    static const int widths[][6] = {
        {1}, {1, 2}, {1, 2, 2}, {1, 2, 4, 4}, {1, 2, 4, 4, 4}, {1, 2, 2, 4, 4, 4},
    };
    if (config->side == 0) config->side = DEFAULT_SIDE;
    if (config->levels == 0) {
        config->levels = 1;
        while (config->levels < 6 && config->side >> config->levels >= CLASSIFIER_MAP)
            ++config->levels;
        memcpy(config->mult, widths[config->levels - 1], sizeof widths[0]);
    }
    if (config->levels <= VT_CLASSIFIER_LEVELS)
        config->side = vt_choose_multiple(config->side, 1 << config->levels);
}

/* ---- a transformer's ---- */

/* As near to 64 channels a head as divides the width. */
static int heads_of(int width) {
    int heads = (width + 32) / 64;
    if (heads < 1) heads = 1;
    while (width % heads != 0) --heads;
    return heads;
}

void vt_choose_transformer_shape(vt_transformer_config *config, int64_t tokens) {
    static const struct {
        int64_t below;
        int depth, width;
    } sizes[] = {{100000, 4, 64},     {1000000, 6, 64},     {5000000, 8, 128},
                 {50000000, 12, 128}, {300000000, 12, 256}, {INT64_MAX, 16, 384}};
    size_t i = 0;
    while (tokens >= sizes[i].below && sizes[i].below != INT64_MAX) ++i;
    if (config->depth == 0) config->depth = sizes[i].depth;
    if (config->width == 0) {
        int heads = config->heads > 0 ? config->heads : 1;
        config->width = (sizes[i].width + heads - 1) / heads * heads;
    }
    if (config->heads == 0 && config->width > 0) config->heads = heads_of(config->width);
}

void vt_choose_depths(vt_phases *phases, int depth) {
    if (phases->depth_count > 0) return;
    const int half = (depth + 1) / 2, quarter = (depth + 3) / 4;
    if (half < depth) phases->depths[phases->depth_count++] = half;
    if (quarter < half) phases->depths[phases->depth_count++] = quarter;
}

/* ---- a run ---- */

static const struct {
    int batch;
    double seen;        /* pictures that training shows */
    double most, least; /* epochs; steps */
    int64_t warmup;
    double rate;
} kinds[] = {
    [VT_TRAIN_TOKENIZER] = {32, 200e3, 200, 2000, 100, 1e-3},
    [VT_TRAIN_TRANSFORMER] = {32, 400e3, 100, 1000, 200, 1e-3},
    [VT_TRAIN_SUPERNET] = {16, 400e3, 60, 600, 100, 1e-3},
    [VT_TRAIN_CLASSIFIER] = {64, 600e3, 60, 300, 100, 2e-3},
    [VT_TRAIN_DECODER] = {32, 200e3, 200, 2000, 100, 2e-3},
};

double vt_choose_round(double value, int digits) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", digits, value);
    return strtod(text, NULL);
}

int vt_choose_batch(vt_train_kind kind, int pictures, int side) {
    int batch = kinds[kind].batch;
    while (batch > 4 && 8 * batch > pictures) batch /= 2;
    while (batch > 4 && (int64_t)batch * side * side > MOST_BATCH_PIXELS) batch /= 2;
    return clamp_int(batch, 1, pictures < 1 ? 1 : pictures);
}

/* The next number of the row 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, .. that is no smaller. */
static double round_up(double x) {
    static const double row[] = {1, 1.5, 2, 3, 4, 5, 6, 8, 10};
    double scale = pow(10.0, floor(log10(x)));
    for (size_t i = 0; i < sizeof row / sizeof *row; ++i)
        if (row[i] * scale >= x * (1.0 - 1e-9)) return row[i] * scale;
    return 10.0 * scale;
}

double vt_choose_epochs(vt_train_kind kind, int pictures, int64_t steps_per_epoch) {
    double epochs = kinds[kind].seen / (pictures > 0 ? pictures : 1);
    double least = kinds[kind].least / (double)(steps_per_epoch > 0 ? steps_per_epoch : 1);
    if (epochs > kinds[kind].most) epochs = kinds[kind].most;
    if (epochs < least) epochs = least;
    /* nearest rather than next above, which would be up to half as long again */
    return epochs <= 1.0 ? 1.0 : round_up(epochs / 1.2);
}

int64_t vt_choose_warmup(vt_train_kind kind, int64_t steps) {
    int64_t tenth = steps / 10;
    return tenth < kinds[kind].warmup ? tenth : kinds[kind].warmup;
}

double vt_choose_rate(vt_train_kind kind, int width, bool trained_on) {
    double rate = kinds[kind].rate, narrower = width > 0 ? 128.0 / width : 1.0;
    if (kind != VT_TRAIN_TRANSFORMER && kind != VT_TRAIN_SUPERNET) return rate;
    rate = trained_on ? 2e-4 * fmin(1.0, narrower) : rate * sqrt(narrower);
    return vt_choose_round(rate, 2);
}
