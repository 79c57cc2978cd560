/* blame.c - see blame.h. */
#include "engine/blame.h"

#include <stdio.h>

/* Keys and values of the last n rows that a layer wrote. */
static bool rows_finite(vt_kern *kern, const vt_kv_cache *cache, int layer, int n, size_t width,
                        size_t heads) {
    const vt_stream_rows rows = vt_kv_cache_rows(cache, layer);
    const vt_number type = vt_kv_cache_type(cache);
    const size_t first = (size_t)(rows.held - n), count = (size_t)n;
    if (type == VT_NUMBER_INT8) /* a scale is as finite as the largest of its numbers */
        return vt_kern_finite(kern, rows.k_scale + first * heads, VT_NUMBER_F32, count * heads) &&
               vt_kern_finite(kern, rows.v_scale + first * heads, VT_NUMBER_F32, count * heads);
    const size_t at = first * width * vt_number_size(type);
    return vt_kern_finite(kern, (const char *)rows.k + at, type, count * width) &&
           vt_kern_finite(kern, (const char *)rows.v + at, type, count * width);
}

/* What of one stream is not finite: true, and named. */
static bool stream_culprit(vt_kern *kern, const vt_transformer_config *config, const vt_stream *s,
                           char *out, size_t size) {
    const size_t width = (size_t)config->width, class_index = (size_t)s->class_index;
    const vt_condition *c = s->condition;
    const int rows = config->sides[s->k] * config->sides[s->k];
    if (!vt_kern_finite(kern, c->embedding + class_index * width, VT_NUMBER_F32, width)) {
        snprintf(out, size, "the class's embedding");
        return true;
    }
    for (int layer = 0; layer < s->schedule->depth; ++layer) {
        if (!s->schedule->runs[s->k][layer]) continue;
        const float *block =
            c->blocks + ((size_t)layer * (size_t)c->classes + class_index) * 6 * width;
        if (!vt_kern_finite(kern, block, VT_NUMBER_F32, 6 * width)) {
            snprintf(out, size, "the modulation of layer %d", layer);
            return true;
        }
        if (rows_finite(kern, s->cache, layer, rows, width, (size_t)config->heads)) continue;
        snprintf(out, size, "the keys or values of layer %d", layer);
        return true;
    }
    return false;
}

variant_status vt_blame_logits(const vt_loop *loop, const vt_drawing *d, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(loop->parts.transformer);
    const size_t rows = (size_t)(config->sides[d->k] * config->sides[d->k]);
    char culprit[96] = "what the last layer or the head made";
    if (d->k > 0 && !vt_kern_finite(loop->kern, d->cond.input, VT_NUMBER_F32,
                                    rows * (size_t)config->latent_dim))
        snprintf(culprit, sizeof culprit, "the tokenizer's map after scale %d", d->k);
    else if (!stream_culprit(loop->kern, config, &d->cond, culprit, sizeof culprit) &&
             vt_drawing_is_guided(d))
        (void)stream_culprit(loop->kern, config, &d->uncond, culprit, sizeof culprit);
    return vt_fail(
        err, VARIANT_E_MODEL,
        "scale %d of %d: the logits are not finite (NaN or infinity); the first that is not: %s",
        d->k + 1, config->scales, culprit);
}

variant_status vt_blame_picture(const vt_loop *loop, const vt_drawing *drawing, int scale,
                                variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(loop->parts.tokenizer);
    const size_t side = (size_t)config->sides[config->scales - 1];
    bool map = vt_kern_finite(loop->kern, drawing->f_hat, VT_NUMBER_F32,
                              side * side * (size_t)config->latent_dim);
    return vt_fail(
        err, VARIANT_E_MODEL,
        "the picture is not finite (NaN or infinity); the first that is not: %s after scale %d",
        map ? "what the decoder made" : "the tokenizer's map", scale + 1);
}
