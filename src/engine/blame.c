/* blame.c - see blame.h. */
#include "engine/blame.h"

#include <stdio.h>

/* Keys or values of the last n rows that a layer wrote, of every stream. */
static bool rows_finite(vt_kern *kern, const vt_kv_view *view, int streams, int n, size_t width,
                        size_t heads) {
    size_t first = (size_t)(view->rows - n), count = (size_t)n;
    for (size_t stream = 0; stream < (size_t)streams; ++stream) {
        size_t at = stream * view->group_stride + first * width;
        if (view->type == VT_NUMBER_INT8) { /* a scale is as finite as the largest of its numbers */
            size_t scale = stream * view->scale_group_stride + first * heads;
            if (!vt_kern_finite(kern, view->k_scale + scale, VT_NUMBER_F32, count * heads) ||
                !vt_kern_finite(kern, view->v_scale + scale, VT_NUMBER_F32, count * heads))
                return false;
            continue;
        }
        size_t bytes = at * vt_number_size(view->type);
        if (!vt_kern_finite(kern, (const char *)view->k + bytes, view->type, count * width) ||
            !vt_kern_finite(kern, (const char *)view->v + bytes, view->type, count * width))
            return false;
    }
    return true;
}

static void name_culprit(const vt_session *s, const vt_transformer_config *config,
                         const vt_schedule *schedule, const vt_condition *condition, int k,
                         char *out, size_t size) {
    size_t width = (size_t)config->width, streams = (size_t)s->streams;
    int rows = config->sides[k] * config->sides[k];
    if (k > 0 && !vt_kern_finite(s->kern, s->input, VT_NUMBER_F32,
                                 (size_t)s->batch * (size_t)rows * (size_t)config->latent_dim)) {
        snprintf(out, size, "the tokenizer's map after scale %d", k);
        return;
    }
    bool embedded = vt_kern_finite(s->kern, condition->embedding, VT_NUMBER_F32, streams * width);
    for (int layer = 0; embedded && layer < schedule->depth; ++layer) {
        if (!schedule->runs[k][layer]) continue;
        const float *block = condition->blocks + (size_t)layer * streams * 6 * width;
        if (!vt_kern_finite(s->kern, block, VT_NUMBER_F32, streams * 6 * width)) {
            snprintf(out, size, "the modulation of layer %d", layer);
            return;
        }
        vt_kv_view view = vt_kv_cache_view(s->cache, layer);
        if (rows_finite(s->kern, &view, s->streams, rows, width, (size_t)config->heads)) continue;
        snprintf(out, size, "the keys or values of layer %d", layer);
        return;
    }
    snprintf(out, size,
             embedded ? "what the last layer or the head made" : "the class's embedding");
}

variant_status vt_blame_logits(const vt_session *session, const vt_transformer_config *config,
                               const vt_schedule *schedule, const vt_condition *condition, int k,
                               variant_error *err) {
    char culprit[96];
    name_culprit(session, config, schedule, condition, k, culprit, sizeof culprit);
    return vt_fail(
        err, VARIANT_E_MODEL,
        "scale %d of %d: the logits are not finite (NaN or infinity); the first that is not: "
        "%s",
        k + 1, config->scales, culprit);
}

variant_status vt_blame_picture(const vt_session *session, const vt_tokenizer_config *config,
                                int scale, variant_error *err) {
    size_t side = (size_t)config->sides[config->scales - 1];
    size_t floats = (size_t)session->batch * side * side * (size_t)config->latent_dim;
    bool map = vt_kern_finite(session->kern, session->f_hat, VT_NUMBER_F32, floats);
    return vt_fail(
        err, VARIANT_E_MODEL,
        "the picture is not finite (NaN or infinity); the first that is not: %s after scale %d",
        map ? "what the decoder made" : "the tokenizer's map", scale + 1);
}
