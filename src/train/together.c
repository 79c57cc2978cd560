/* together.c - see together.h. */
#include "train/together.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/clock.h"

#define BUCKETS 16 /* of a small model: all but one may travel while it is still computed */
#define BUCKET_LEAST ((size_t)1 << 14)
#define BUCKET_MOST ((size_t)1 << 22)

/* ---- buckets ---- */

/* Bucket i, as it lies in the run. */
static vt_share bucket_at(const vt_together *t, int i) {
    const size_t n = t->params->gradients.n, before = t->bucket * (size_t)i;
    const size_t end = n - before;
    return (vt_share){end > t->bucket ? end - t->bucket : 0, end};
}

/* A rank's share of it, likewise. */
static vt_share share_of(const vt_together *t, int i, int rank) {
    const vt_share bucket = bucket_at(t, i),
                   share = vt_ranks_share(bucket.end - bucket.begin, rank, t->count);
    return (vt_share){bucket.begin + share.begin, bucket.begin + share.end};
}

static void cut(vt_together *t) {
    const size_t n = t->params->gradients.n;
    size_t bucket = n / BUCKETS / 16 * 16;
    if (bucket < BUCKET_LEAST) bucket = BUCKET_LEAST;
    if (bucket > BUCKET_MOST) bucket = BUCKET_MOST;
    t->bucket = bucket;
    t->buckets = (int)((n + bucket - 1) / bucket);
}

/* ---- this rank's share of the parameters ---- */

/* Values lie as gradients do; else nothing could be spread. */
static variant_status find_values(vt_together *t, variant_error *err) {
    const vt_params *params = t->params;
    t->values = NULL;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (!param->grad) continue;
        float *begin = param->value - (param->grad - params->gradients.x);
        if (!t->values) t->values = begin;
        if (t->values != begin)
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: its values lie apart from the others', which ranks cannot share",
                           param->name);
    }
    return VARIANT_OK;
}

/* The part of a parameter that lies in a share; n 0: none. */
static vt_floats part_of(const vt_together *t, const vt_param *param, vt_share share) {
    const size_t begin = (size_t)(param->grad - t->params->gradients.x), end = begin + param->count;
    const size_t from = begin > share.begin ? begin : share.begin,
                 to = end < share.end ? end : share.end;
    return (vt_floats){t->params->gradients.x + from, to > from ? to - from : 0};
}

/* Of all parameters and buckets, those parts of which there is something; counts alone where there is no list. */
static void list_runs(vt_together *t) {
    t->runs = 0;
    for (int b = t->buckets - 1; b >= 0; --b)
        for (int i = 0; i < t->params->count; ++i) {
            const vt_param *param = t->params->items[i];
            const vt_floats part =
                param->grad ? part_of(t, param, share_of(t, b, t->rank)) : (vt_floats){0};
            if (part.n == 0) continue;
            if (t->grad) {
                t->grad[t->runs] = part;
                t->value[t->runs] =
                    (vt_floats){t->values + (part.x - t->params->gradients.x), part.n};
                t->of[t->runs] = param;
            }
            ++t->runs;
        }
}

static variant_status take_lists(vt_together *t, const vt_optimizer_options *options,
                                 variant_error *err) {
    list_runs(t);
    const size_t runs = (size_t)t->runs + 1, buckets = (size_t)t->buckets;
    t->grad = calloc(4 * runs, sizeof *t->grad);
    t->of = calloc(runs, sizeof *t->of);
    t->decays = calloc(runs, sizeof *t->decays);
    t->sums = calloc(buckets, sizeof *t->sums);
    t->parts = calloc((size_t)t->count, sizeof *t->parts);
    const size_t scratch = vt_ranks_scratch(t->ranks, t->bucket, t->wire);
    t->scratch = malloc(scratch + 1);
    t->host_bytes = scratch;
    if (!t->grad || !t->of || !t->decays || !t->sums || !t->parts || !t->scratch)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory to train over %d ranks", t->count);
    t->value = t->grad + runs;
    t->m = t->value + runs;
    t->v = t->m + runs;
    list_runs(t);
    for (int i = 0; i < t->runs; ++i) t->decays[i] = vt_weight_decay_of(t->of[i], options);
    return VARIANT_OK;
}

/* Moments of the shares, zero, and a number for each run. */
static variant_status take_memory(vt_together *t, variant_error *err) {
    vt_kern *kern = t->params->kern;
    vt_arena arena;
    const size_t squares = vt_arena_size(((size_t)t->runs + 1) * sizeof(double));
    for (int i = 0; t->sharded && i < t->runs; ++i)
        t->moment_bytes += 2 * vt_arena_size(t->grad[i].n * sizeof(float));
    t->memory_bytes = squares + t->moment_bytes;
    VT_TRY(kern->memory_reserve(kern, t->memory_bytes, &t->memory, err));
    vt_arena_init_filled(&arena, t->memory, t->memory_bytes);
    t->squares = vt_arena_take(&arena, squares);
    for (int i = 0; t->sharded && i < t->runs; ++i) {
        t->m[i] = (vt_floats){vt_arena_floats(&arena, t->grad[i].n), t->grad[i].n};
        t->v[i] = (vt_floats){vt_arena_floats(&arena, t->grad[i].n), t->grad[i].n};
    }
    return VARIANT_OK;
}

variant_status vt_together_open(vt_together *together, vt_params *params,
                                const vt_optimizer_options *options, variant_error *err) {
    if (together->count <= 1) return VARIANT_OK;
    together->params = params;
    together->kern = params->kern;
    if (!params->kern->unified && !params->kern->dry)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "training over ranks needs a backend whose memory is the host's");
    cut(together);
    VT_TRY(find_values(together, err));
    VT_TRY(take_lists(together, options, err));
    return take_memory(together, err);
}

void vt_together_close(vt_together *together) {
    vt_together *t = together;
    if (t->memory) t->kern->memory_release(t->kern, t->memory, t->memory_bytes);
    free(t->grad);
    free(t->of);
    free(t->decays);
    free(t->sums);
    free(t->parts);
    free(t->scratch);
    *t = (vt_together){.ranks = t->ranks,
                       .rank = t->rank,
                       .count = t->count,
                       .wire = t->wire,
                       .sharded = t->sharded};
}

/* ---- a step ---- */

void vt_together_begin(vt_together *together, bool measure) {
    vt_together *t = together;
    t->started = 0;
    for (int i = 0; i < t->buckets; ++i) {
        const vt_share bucket = bucket_at(t, i);
        t->sums[i] = (vt_ranks_sums){.x = t->params->gradients.x + bucket.begin,
                                     .n = bucket.end - bucket.begin,
                                     .wire = t->wire,
                                     .scratch = t->scratch,
                                     .measure = measure && t->wire != VT_WIRE_F32};
    }
}

void vt_together_reached(vt_together *together, const float *gradient) {
    vt_together *t = together;
    const size_t from = (size_t)(gradient - t->params->gradients.x);
    for (; t->started < t->buckets && bucket_at(t, t->started).begin >= from; ++t->started)
        t->last = vt_ranks_start_sums(t->ranks, &t->sums[t->started]);
}

static void on_whole(void *user, const vt_param *from) {
    vt_together_reached(user, from->grad);
}

void vt_together_watch(vt_together *together) {
    together->params->watch = (struct vt_gradient_watch){on_whole, together};
}

void vt_together_finish(vt_together *together) {
    vt_together *t = together;
    const double started = vt_seconds();
    t->params->watch = (struct vt_gradient_watch){0};
    vt_together_reached(t, t->params->gradients.x);
    vt_ranks_wait(t->ranks, t->last);
    t->waited += vt_seconds() - started;
    for (int i = 0; i < t->buckets; ++i) t->exchanged += t->sums[i].seconds;
}

variant_status vt_together_say(vt_together *together, double *loss, variant_status status,
                               variant_error *err) {
    double sums[2] = {*loss, status != VARIANT_OK};
    vt_ranks_sum(together->ranks, sums, 2);
    *loss = sums[0];
    return sums[1] > 0.0 ? vt_ranks_agree(together->ranks, status, err) : VARIANT_OK;
}

variant_status vt_together_norm(vt_together *together, double *norm, variant_error *err) {
    double sums[2] = {0.0, 0.0};
    const variant_status status = vt_squares_of_runs(
        together->params->kern, together->grad, together->squares, together->runs, &sums[0], err);
    sums[1] = status != VARIANT_OK;
    vt_ranks_sum(together->ranks, sums, 2);
    *norm = sqrt(sums[0]);
    return sums[1] > 0.0 ? vt_ranks_agree(together->ranks, status, err) : VARIANT_OK;
}

static void spread(vt_together *t, float *run) {
    int64_t ticket = 0;
    for (int i = 0; i < t->buckets; ++i) {
        const vt_share bucket = bucket_at(t, i);
        ticket = vt_ranks_start_spread(t->ranks, run + bucket.begin, bucket.end - bucket.begin);
    }
    vt_ranks_wait(t->ranks, ticket);
}

void vt_together_spread_gradients(vt_together *together) {
    spread(together, together->params->gradients.x);
}

variant_status vt_together_update(vt_together *together, const vt_optimizer_options *options,
                                  double lr, int64_t step, double norm, variant_error *err) {
    vt_together *t = together;
    if (!t->sharded) {
        spread(t, t->params->gradients.x);
        return vt_ranks_agree(t->ranks, vt_optimizer_whole(t->params, options, lr, step, norm, err),
                              err);
    }
    const vt_optimizer_runs runs = {.value = t->value,
                                    .m = t->m,
                                    .v = t->v,
                                    .grad = t->grad,
                                    .weight_decay = t->decays,
                                    .count = t->runs};
    vt_optimizer_update(t->params->kern, &runs, options, lr, step, norm);
    spread(t, t->values);
    return VARIANT_OK;
}

/* ---- moments ---- */

/* The part of a parameter that is `rank`'s share of bucket b, counted from its own beginning. */
static vt_share part_of_rank(const vt_together *t, const vt_param *param, int b, int rank) {
    const vt_floats part = part_of(t, param, share_of(t, b, rank));
    const size_t begin = part.n > 0 ? (size_t)(part.x - param->grad) : 0;
    return (vt_share){begin, begin + part.n};
}

/* This rank's moments of a part that begins there; NULL: it has none. */
static float *moments_at(const vt_together *t, const vt_param *param, bool second, size_t begin) {
    for (int i = 0; i < t->runs; ++i)
        if (t->grad[i].x == param->grad + begin) return second ? t->v[i].x : t->m[i].x;
    return NULL;
}

void vt_together_collect(vt_together *together, const vt_param *param, bool second, float *whole) {
    const vt_together *t = together;
    for (int b = 0; b < t->buckets; ++b) {
        size_t any = 0;
        for (int r = 0; r < t->count; ++r) {
            t->parts[r] = part_of_rank(t, param, b, r);
            any += t->parts[r].end - t->parts[r].begin;
        }
        if (any == 0) continue;
        const vt_share own = t->parts[t->rank];
        const float *mine = own.end > own.begin ? moments_at(t, param, second, own.begin) : NULL;
        vt_ranks_collect(t->ranks, mine, t->parts, whole);
    }
}

void vt_together_keep(vt_together *together, const vt_param *param, bool second,
                      const float *whole) {
    const vt_together *t = together;
    for (int i = 0; i < t->runs; ++i)
        if (t->of[i] == param)
            memcpy(second ? t->v[i].x : t->m[i].x, whole + (t->grad[i].x - param->grad),
                   t->grad[i].n * sizeof *whole);
}

void vt_together_forget(vt_together *together, vt_kern *kern, const vt_param *param, size_t at,
                        size_t n) {
    const vt_together *t = together;
    if (param->m) {
        const vt_floats moments[] = {{param->m + at, n}, {param->v + at, n}};
        kern->fill(kern, 0.0f, moments, 2);
        return;
    }
    for (int i = 0; i < t->runs; ++i) {
        if (t->of[i] != param) continue;
        const size_t begin = (size_t)(t->grad[i].x - param->grad), end = begin + t->grad[i].n;
        const size_t from = at > begin ? at : begin, to = at + n < end ? at + n : end;
        if (from >= to) continue;
        const vt_floats moments[] = {{t->m[i].x + (from - begin), to - from},
                                     {t->v[i].x + (from - begin), to - from}};
        kern->fill(kern, 0.0f, moments, 2);
    }
}

double vt_together_wire_error(vt_together *together) {
    double sums[2] = {0.0, 0.0};
    for (int i = 0; i < together->buckets; ++i) {
        sums[0] += together->sums[i].error;
        sums[1] += together->sums[i].length;
    }
    vt_ranks_sum(together->ranks, sums, 2);
    return sums[1] > 0.0 ? sqrt(sums[0] / sums[1]) : 0.0;
}
