/* floor.c - see floor.h. */
#include "planning/floor.h"

static vt_number tokenizer_type(vt_number weights) {
    return weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16;
}

vt_machine_limits vt_machine_probe(vt_kern *kern, vt_number weights, vt_number kv, size_t working) {
    double peak[4];
    for (int type = VT_NUMBER_F32; type <= VT_NUMBER_INT4; ++type)
        peak[type] = kern->peak_flops(kern, (vt_number)type);
    return (vt_machine_limits){.flops = peak[weights],
                               .attention_flops =
                                   peak[kv == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16],
                               .decoder_flops = peak[tokenizer_type(weights)],
                               .bytes = kern->stream_bytes(kern, working),
                               .weights = weights,
                               .kv = kv};
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

/* rows x (n, k): the weights are read once. */
static double product(double rows, double n, double k, vt_machine_limits limits) {
    double bytes = vt_number_bytes(limits.weights, n * k);
    return larger(2.0 * rows * n * k / limits.flops, bytes / limits.bytes);
}

/* ---- transformer ---- */

double vt_floor_step(const vt_transformer_config *config, const vt_floor_stream *members, int count,
                     vt_machine_limits limits) {
    double width = config->width, hidden = config->hidden, seconds = 0.0, all = 0.0, beyond = 0.0;
    vt_kv_format kv = {.type = limits.kv, .width = config->width, .heads = config->heads};
    for (int layer = 0; layer < config->depth; ++layer) {
        double rows = 0.0;
        for (int i = 0; i < count; ++i) {
            const vt_floor_stream *m = &members[i];
            double own = (double)config->sides[m->k] * config->sides[m->k] * m->streams;
            if (layer == 0) all += own;
            if (layer == 0 && m->k > 0) beyond += own;
            if (!m->schedule->runs[m->k][layer]) continue;
            double cached = vt_schedule_layer_tokens(m->schedule, config->sides, layer, m->k);
            rows += own;
            seconds += larger(4.0 * own * cached * width / limits.attention_flops,
                              m->streams * cached * (double)vt_kv_row_bytes(&kv) / limits.bytes);
        }
        if (rows == 0.0) continue;
        seconds += product(rows, 3.0 * width, width, limits) + product(rows, width, width, limits);
        seconds += product(rows, hidden, width, limits) + product(rows, width, hidden, limits);
    }
    if (beyond > 0.0) seconds += product(beyond, width, config->latent_dim, limits);
    return seconds + product(all, config->codes, width, limits);
}

double vt_floor_scale(const vt_transformer_config *config, const vt_schedule *schedule, int k,
                      int streams, vt_machine_limits limits) {
    return vt_floor_step(config, &(vt_floor_stream){schedule, k, streams}, 1, limits);
}

double vt_floor_condition(const vt_transformer_config *config, const vt_schedule *schedule,
                          int labels, vt_machine_limits limits) {
    double width = config->width, seconds = product(labels, 2.0 * width, width, limits);
    int blocks = config->shared_adaln ? 1 : 0;
    for (int layer = 0; !config->shared_adaln && layer < config->depth; ++layer)
        blocks += vt_schedule_last_scale(schedule, layer) >= 0;
    return seconds + blocks * product(labels, 6.0 * width, width, limits);
}

/* ---- decoder ---- */

typedef struct picture_stage {
    double pixels; /* of the whole batch */
    vt_machine_limits limits;
} picture_stage;

static double convolution(picture_stage s, double from, double to) {
    return product(s.pixels, to, 9.0 * from, s.limits);
}

static double residual_block(picture_stage s, double from, double to) {
    double shortcut = from == to ? 0.0 : product(s.pixels, to, from, s.limits);
    return convolution(s, from, to) + convolution(s, to, to) + shortcut;
}

/* One head over a picture's pixels. */
static double attention_block(picture_stage s, double width, double pixels_of_one) {
    return product(s.pixels, 3.0 * width, width, s.limits) +
           product(s.pixels, width, width, s.limits) +
           4.0 * s.pixels * pixels_of_one * width / s.limits.flops;
}

double vt_floor_decoder(const vt_tokenizer_config *config, int batch, vt_machine_limits limits) {
    int last = config->levels - 1;
    limits.flops = limits.decoder_flops;
    limits.weights = tokenizer_type(limits.weights);
    double side = config->sides[config->scales - 1], one = side * side;
    double width = (double)config->base_width * config->mult[last];
    picture_stage s = {.pixels = one * batch, .limits = limits};
    double seconds = convolution(s, config->latent_dim, config->latent_dim) /* post_quant_conv */
                     + convolution(s, config->latent_dim, width)            /* conv_in */
                     + 2.0 * residual_block(s, width, width) + attention_block(s, width, one);
    for (int level = last; level >= 0; --level) {
        double to = (double)config->base_width * config->mult[level];
        for (int block = 0; block <= config->blocks; ++block) {
            seconds += residual_block(s, width, to);
            if (level == last) seconds += attention_block(s, to, one);
            width = to;
        }
        if (level == 0) continue;
        s.pixels *= 4.0; /* nearest 2x, then its convolution */
        one *= 4.0;
        seconds += convolution(s, to, to);
    }
    return seconds + convolution(s, width, config->channels); /* conv_out */
}

double vt_floor_preview(const vt_tokenizer_config *of, const vt_preview_config *config, int batch,
                        vt_machine_limits limits) {
    const int last = config->levels - 1;
    limits.flops = limits.decoder_flops;
    limits.weights = tokenizer_type(limits.weights);
    const double side = of->sides[of->scales - 1];
    picture_stage s = {.pixels = side * side * batch, .limits = limits};
    double seconds = convolution(s, of->latent_dim, config->widths[last]); /* conv_in */
    for (int level = last; level >= 0; --level) {
        const double width = config->widths[level];
        const int blocks = level > 0 || last == 0 ? config->blocks : 0;
        seconds += blocks * residual_block(s, width, width);
        if (level == 0) break;
        s.pixels *= 4.0; /* nearest 2x, then its convolution */
        seconds += convolution(s, width, config->widths[level - 1]);
    }
    return seconds + convolution(s, config->widths[0], of->channels); /* conv_out */
}
