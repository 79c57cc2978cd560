/* loop.c - see loop.h. */
#include "engine/loop.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/limits.h"
#include "engine/known.h"
#include "kern/dry.h"
#include "kern/memory_pool.h"

/* Those who joined together. Their maps lie side by side, so that neighbours at one scale are one batch of the tokenizer;
 * their classes' vectors are computed at once. Its memory goes when the last has left. */
typedef struct vt_party {
    vt_arena arena; /* what they hold, in `memory` */
    void *memory;
    int count, left;
    vt_condition condition;
    float *f_hats; /* (count, s, s, Cvae) */
    float *inputs; /* (count, n_K^2, Cvae): of the scale at hand, see advance */
    float
        *latents; /* (count, s, s, Cvae) of those who keep a part of a picture; NULL: nobody does */
    int32_t *codes; /* (count, L), where any is quantised once; NULL */
    float *halves;  /* (V), where any cell is pulled; NULL */
    vt_drawing drawings[];
} vt_party;

static const vt_transformer_config *transformer_of(const vt_loop *loop) {
    return vt_transformer_configuration(loop->parts.transformer);
}

static int rows_at(const vt_transformer_config *config, int k) {
    return config->sides[k] * config->sides[k];
}

/* Floats of one picture's f_hat, and of the largest input. */
static size_t map_floats(const vt_transformer_config *config) {
    return (size_t)rows_at(config, config->scales - 1) * (size_t)config->latent_dim;
}

/* ---- life ---- */

void vt_loop_open(vt_loop *out, const vt_loop_parts *parts) {
    *out = (vt_loop){.parts = *parts, .kern = parts->kern};
}

void vt_loop_close(vt_loop *loop) {
    while (loop->count > 0) vt_loop_leave(loop, loop->drawings[loop->count - 1]);
    if (loop->memory) vt_memory_give(loop->kern, loop->memory, loop->memory_bytes);
    free(loop->drawings);
    free(loop->running);
    *loop = (vt_loop){0};
}

/* ---- joining ---- */

/* scales: that it will run. */
static variant_status stream_open(vt_loop *loop, vt_stream *out, const vt_schedule *schedule,
                                  int scales, const vt_party *party, int class_index,
                                  variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    int capacity[VT_SCHEDULE_LAYERS];
    if (schedule->depth != config->depth || schedule->scales != config->scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a schedule of %d scales of %d layers: this model has %d of %d",
                       schedule->scales, schedule->depth, config->scales, config->depth);
    for (int l = 0; l < config->depth; ++l)
        capacity[l] = vt_schedule_layer_tokens(schedule, config->sides, l, scales - 1);
    *out = (vt_stream){
        .schedule = schedule, .condition = &party->condition, .class_index = class_index};
    const vt_kv_format format = {
        .type = loop->parts.kv, .width = config->width, .heads = config->heads};
    return vt_kv_cache_open(&out->cache, loop->kern, config->depth, &format, capacity, err);
}

/* The classes that occur, each once, in order of first appearance: conditional ones, then the unconditional. of[i]: of
 * drawing i. Returns their number, 0 where memory is short. */
static int classes_of(const vt_join *who, int count, int unconditional, int32_t *classes, int *of) {
    int32_t *seen = calloc((size_t)unconditional + 1, sizeof *seen);
    int n = 0;
    bool guided = false;
    if (!seen) return 0;
    for (int i = 0; i < count; ++i) {
        int32_t *at = &seen[who[i].label];
        guided = guided || who[i].uncond;
        if (*at == 0) {
            classes[n++] = who[i].label;
            *at = n;
        }
        of[i] = *at - 1;
    }
    if (guided && seen[unconditional] == 0) classes[n++] = unconditional;
    free(seen);
    return n;
}

/* Which layers will run in any stream. */
static void layers_of(const vt_join *who, int count, int depth, uint8_t *layers) {
    for (int l = 0; l < depth; ++l) {
        layers[l] = 0;
        for (int i = 0; i < count && !layers[l]; ++i)
            layers[l] = vt_schedule_last_scale(who[i].schedule, l) >= 0 ||
                        (who[i].uncond && vt_schedule_last_scale(who[i].uncond, l) >= 0);
    }
}

static variant_status condition_party(vt_loop *loop, vt_party *party, const vt_join *who, int *of,
                                      variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    uint8_t layers[VT_SCHEDULE_LAYERS];
    int32_t *classes = malloc(((size_t)party->count + 1) * sizeof *classes);
    int n = classes ? classes_of(who, party->count, config->classes, classes, of) : 0;
    variant_status status =
        n > 0 ? VARIANT_OK
              : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d labels", party->count);
    layers_of(who, party->count, config->depth, layers);
    double start = vt_seconds();
    if (status == VARIANT_OK)
        status = vt_transformer_condition(loop->parts.transformer, &party->arena, &loop->arena,
                                          classes, n, layers, &party->condition, err);
    loop->seconds.condition += vt_seconds() - start;
    free(classes);
    return status;
}

static int class_of_unconditional(const vt_party *party, const vt_join *who, const int *of,
                                  int unconditional) {
    for (int i = 0; i < party->count; ++i)
        if (who[i].label == unconditional) return of[i];
    return party->condition.classes - 1;
}

/* What is kept of pictures, before anything of a step. */
static variant_status party_know(vt_loop *loop, vt_party *party, const vt_join *who,
                                 variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    const size_t n = (size_t)party->count;
    bool any = false, once = false, pull = false;
    for (int i = 0; i < party->count; ++i) {
        any = any || who[i].known;
        pull = pull || (who[i].known && who[i].known->pull > 0.0f);
        once = once || (who[i].known && who[i].known->once);
    }
    if (!any) return VARIANT_OK;
    party->latents = vt_arena_floats(&party->arena, n * map_floats(config));
    if (once)
        party->codes = vt_arena_ints(&party->arena, n * (size_t)vt_transformer_tokens(config));
    if (pull) party->halves = vt_arena_floats(&party->arena, (size_t)config->codes);
    VT_TRY(vt_arena_check(&party->arena, "generation", err));
    if (pull) VT_TRY(vt_known_halves(loop, party->halves, err));
    return vt_known_encode(loop, who, party->count, party->latents, party->codes, err);
}

static variant_status party_fill(vt_loop *loop, vt_party *party, const vt_join *who, int *of,
                                 variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    const size_t map = map_floats(config), n = (size_t)party->count,
                 length = (size_t)vt_transformer_tokens(config);
    party->f_hats = vt_arena_floats(&party->arena, n * map);
    party->inputs = vt_arena_floats(&party->arena, n * map);
    VT_TRY(vt_arena_check(&party->arena, "generation", err));
    vt_kern_fill(loop->kern, party->f_hats, 0.0f, n * map);
    VT_TRY(party_know(loop, party, who, err));
    VT_TRY(condition_party(loop, party, who, of, err));
    const int unconditional = class_of_unconditional(party, who, of, config->classes);
    for (int i = 0; i < party->count; ++i) {
        vt_drawing *d = &party->drawings[i];
        *d = (vt_drawing){.scales = who[i].scales,
                          .uncond_scales = who[i].uncond ? who[i].uncond_scales : 0,
                          .smooth = who[i].smooth,
                          .retain_kv = who[i].retain_kv,
                          .decoders = who[i].decoders,
                          .owner = who[i].owner,
                          .index = who[i].index,
                          .label = who[i].label,
                          .f_hat = party->f_hats + (size_t)i * map,
                          .known = who[i].known,
                          .latent = who[i].known ? party->latents + (size_t)i * map : NULL,
                          .halves = party->halves,
                          .codes = party->codes ? party->codes + (size_t)i * length : NULL,
                          .tokens = who[i].tokens,
                          .party = party,
                          .place = i};
        VT_TRY(stream_open(loop, &d->cond, who[i].schedule, d->scales, party, of[i], err));
        if (d->uncond_scales > 0)
            VT_TRY(stream_open(loop, &d->uncond, who[i].uncond, d->uncond_scales, party,
                               unconditional, err));
    }
    return VARIANT_OK;
}

static void party_close(vt_loop *loop, vt_party *party) {
    for (int i = 0; i < party->count; ++i) {
        vt_kv_cache_close(&party->drawings[i].cond.cache);
        vt_kv_cache_close(&party->drawings[i].uncond.cache);
    }
    if (party->memory) vt_memory_give(loop->kern, party->memory, party->arena.capacity);
    free(party);
}

/* bytes: of what they hold, 0: only counted. */
static variant_status party_open(vt_party **out, vt_loop *loop, const vt_join *who, int count,
                                 size_t bytes, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_party *party = calloc(1, sizeof *party + (size_t)count * sizeof party->drawings[0]);
    int *of = malloc((size_t)count * sizeof *of);
    *out = NULL;
    if (!party || !of) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", count);
        goto cleanup;
    }
    party->count = count;
    if (bytes > 0) {
        VT_CHECK(vt_memory_take(loop->kern, bytes, &party->memory, err));
        vt_arena_init(&party->arena, party->memory, bytes);
    } else {
        vt_arena_init_counting(&party->arena, loop->kern);
    }
    VT_CHECK(party_fill(loop, party, who, of, err));
    *out = party;
cleanup:
    if (status != VARIANT_OK && party) party_close(loop, party);
    free(of);
    return status;
}

static variant_status make_room(vt_loop *loop, int count, variant_error *err) {
    if (loop->count + count <= loop->capacity) return VARIANT_OK;
    int capacity =
        loop->count + count > 2 * loop->capacity ? loop->count + count : 2 * loop->capacity;
    vt_drawing **grown = realloc(loop->drawings, (size_t)capacity * sizeof *grown);
    if (grown) loop->drawings = grown;
    vt_drawing **running = realloc(loop->running, (size_t)capacity * sizeof *running);
    if (running) loop->running = running;
    if (!grown || !running)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures at a time", capacity);
    loop->capacity = capacity;
    return VARIANT_OK;
}

/* All stand at scale 0, so they go to the end. */
static variant_status admit(vt_loop *loop, const vt_join *who, int count, size_t bytes,
                            vt_drawing **out, variant_error *err) {
    vt_party *party;
    VT_TRY(make_room(loop, count, err));
    VT_TRY(party_open(&party, loop, who, count, bytes, err));
    for (int i = 0; i < count; ++i) {
        loop->drawings[loop->count++] = &party->drawings[i];
        if (out) out[i] = &party->drawings[i];
    }
    return VARIANT_OK;
}

static variant_status choose_nothing(void *user, vt_step *step, variant_error *err) {
    (void)user;
    (void)step;
    (void)err;
    return VARIANT_OK;
}

/* By every decoder that any of them will want. */
static variant_status decode_all(vt_loop *loop, variant_error *err) {
    int decoders = 0;
    for (int i = 0; i < loop->count; ++i)
        decoders |= loop->drawings[i]->decoders ? loop->drawings[i]->decoders : VT_DECODER_FULL;
    for (int by = VT_DECODER_FULL; by <= VT_DECODER_PREVIEW; by *= 2)
        if (decoders & by)
            VT_TRY(
                vt_loop_decode(loop, (vt_decoder)by, loop->drawings, loop->count, NULL, NULL, err));
    return VARIANT_OK;
}

/* ---- measuring: the same steps over a backend that computes nothing ---- */

variant_status vt_loop_measure(vt_loop_bytes *out, const vt_loop_parts *parts, const vt_join *who,
                               int count, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_dry_kern dry;
    vt_loop loop;
    *out = (vt_loop_bytes){0};
    vt_dry_kern_init(&dry, parts->kern);
    vt_loop_open(&loop, parts);
    loop.kern = &dry.kern;
    vt_arena_init_counting(&loop.arena, &dry.kern);
    VT_CHECK(admit(&loop, who, count, 0, NULL, err));
    for (int k = 0; k < transformer_of(&loop)->scales; ++k) {
        size_t held = 0;
        VT_CHECK(vt_loop_step(&loop, choose_nothing, NULL, err));
        for (int i = 0; i < loop.count; ++i) held += vt_drawing_kv_bytes(loop.drawings[i]);
        if (held > out->kv) out->kv = held;
    }
    VT_CHECK(decode_all(&loop, err));
    out->step = loop.arena.peak;
    out->held = loop.drawings[0]->party->arena.peak;
cleanup:
    vt_loop_close(&loop);
    return status;
}

/* ---- room for a step ---- */

static struct vt_loop_needs needs_of(const vt_loop *loop, const vt_join *who, int count) {
    const vt_transformer_config *config = transformer_of(loop);
    struct vt_loop_needs needs = {.drawings = count};
    for (int i = 0; i < count; ++i) {
        bool first = true;
        for (int j = 0; first && j < i; ++j) first = who[j].label != who[i].label;
        needs.classes += first;
        needs.streams += who[i].uncond ? 2 : 1;
        needs.smooth += who[i].smooth;
        needs.decoders |= who[i].decoders ? who[i].decoders : VT_DECODER_FULL;
        needs.known += who[i].known != NULL;
        for (int l = 0; l < config->depth; ++l) {
            int keys =
                vt_schedule_layer_tokens(who[i].schedule, config->sides, l, config->scales - 1);
            if (keys > needs.keys) needs.keys = keys;
            if (who[i].uncond)
                keys =
                    vt_schedule_layer_tokens(who[i].uncond, config->sides, l, config->scales - 1);
            if (keys > needs.keys) needs.keys = keys;
        }
    }
    return needs;
}

static bool enough(const struct vt_loop_needs *have, const struct vt_loop_needs *need) {
    return need->drawings <= have->drawings && need->streams <= have->streams &&
           need->smooth <= have->smooth && need->classes <= have->classes &&
           need->keys <= have->keys && need->known <= have->known &&
           (need->decoders & ~have->decoders) == 0;
}

/* Everybody: those who are there, then those who come. free() it. */
static vt_join *everybody(const vt_loop *loop, const vt_join *who, int count) {
    vt_join *all = malloc((size_t)(loop->count + count) * sizeof *all);
    for (int i = 0; all && i < loop->count; ++i) {
        const vt_drawing *d = loop->drawings[i];
        all[i] = (vt_join){.label = d->label,
                           .schedule = d->cond.schedule,
                           .scales = d->scales,
                           .uncond = d->uncond.schedule,
                           .uncond_scales = d->uncond_scales,
                           .smooth = d->smooth,
                           .known = d->known,
                           .retain_kv = d->retain_kv,
                           .decoders = d->decoders};
    }
    if (all) memcpy(all + loop->count, who, (size_t)count * sizeof *all);
    return all;
}

/* A larger workspace, if all together need one: as if they all stood at one scale, which is the most that they can. */
static variant_status grow(vt_loop *loop, size_t bytes, variant_error *err) {
    const size_t peak = loop->arena.peak;
    void *memory;
    if (bytes <= loop->memory_bytes) return VARIANT_OK;
    VT_TRY(vt_memory_take(loop->kern, bytes, &memory, err));
    if (loop->memory) vt_memory_give(loop->kern, loop->memory, loop->memory_bytes);
    loop->memory = memory;
    loop->memory_bytes = bytes;
    vt_arena_init(&loop->arena, memory, bytes);
    loop->arena.peak = peak;
    return VARIANT_OK;
}

/* Measures, asks the limits, and takes what a step of all will need; *held: what those who come will hold. */
static variant_status prepare(vt_loop *loop, const vt_join *who, int count, size_t *held,
                              variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_loop_bytes own, together;
    vt_limits limits;
    vt_join *all = everybody(loop, who, count);
    if (!all) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", count);
    const struct vt_loop_needs needs = needs_of(loop, all, loop->count + count);
    const bool fits = enough(&loop->needs, &needs);
    VT_CHECK(vt_loop_measure(&own, &loop->parts, who, count, err));
    together = own;
    if (!fits && loop->count > 0)
        VT_CHECK(vt_loop_measure(&together, &loop->parts, all, loop->count + count, err));
    size_t step = fits || together.step <= loop->memory_bytes ? 0 : together.step;
    size_t more = step + own.held + own.kv, kept = vt_memory_kept(loop->kern);
    vt_limits_read(&limits, "");
    VT_CHECK(vt_limits_memory(&limits, more > kept ? more - kept : 0, "this request", err));
    VT_CHECK(grow(loop, step, err));
    if (!fits) loop->needs = needs;
    *held = own.held;
cleanup:
    free(all);
    return status;
}

static variant_status check_joins(const vt_loop *loop, const vt_join *who, int count,
                                  variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    if (count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d pictures: expected 1 or more", count);
    for (int i = 0; i < count; ++i)
        if (who[i].label < 0 || who[i].label > config->classes)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "label %d of picture %d: expected 0 to %d (%d: no class)", who[i].label,
                           i, config->classes, config->classes);
    return VARIANT_OK;
}

variant_status vt_loop_join(vt_loop *loop, const vt_join *who, int count, vt_drawing **out,
                            variant_error *err) {
    size_t held = 0;
    VT_TRY(check_joins(loop, who, count, err));
    VT_TRY(prepare(loop, who, count, &held, err));
    return admit(loop, who, count, held, out, err);
}

void vt_loop_leave(vt_loop *loop, vt_drawing *drawing) {
    vt_party *party = drawing->party;
    int at = 0;
    while (at < loop->count && loop->drawings[at] != drawing) ++at;
    if (at == loop->count) return;
    --loop->count;
    memmove(loop->drawings + at, loop->drawings + at + 1,
            (size_t)(loop->count - at) * sizeof *loop->drawings);
    vt_kv_cache_close(&drawing->cond.cache);
    vt_kv_cache_close(&drawing->uncond.cache);
    if (++party->left == party->count) party_close(loop, party);
}

/* ---- a step ---- */

/* Do two keep, if anything, in one way? */
static bool know_alike(const vt_drawing *a, const vt_drawing *b) {
    if (!a->known || !b->known) return !a->known == !b->known;
    return a->known->once == b->known->once && (a->known->pull > 0) == (b->known->pull > 0);
}

int vt_step_batch(const vt_step *step, int i) {
    int n = 1;
    const vt_drawing *first = step->drawings[i];
    while (i + n < step->count && step->drawings[i + n]->party == first->party &&
           step->drawings[i + n]->place == first->place + n &&
           step->drawings[i + n]->k == first->k && step->drawings[i + n]->smooth == first->smooth &&
           know_alike(step->drawings[i + n], first))
        ++n;
    return n;
}

/* The streams of the step, and where their rows will be. Returns their number. */
static int line_up(vt_step *step, vt_stream **streams, const vt_transformer_config *config,
                   int *rows) {
    int count = 0;
    *rows = step->rows = 0;
    for (int i = 0; i < step->count; ++i) {
        vt_drawing *d = step->drawings[i];
        const int n = rows_at(config, d->k);
        d->cond.k = d->uncond.k = d->k;
        d->token_row = step->rows;
        step->rows += n;
        d->row = *rows;
        streams[count++] = &d->cond;
        *rows += n;
        if (!vt_drawing_is_guided(d)) continue;
        d->uncond_row = *rows;
        streams[count++] = &d->uncond;
        *rows += n;
    }
    return count;
}

static variant_status run_transformer(vt_loop *loop, vt_step *step, variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    vt_stream **streams = malloc(2 * (size_t)step->count * sizeof *streams);
    bool smooth = false;
    int rows;
    if (!streams)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d streams", 2 * step->count);
    vt_transformer_step run = {.streams = streams,
                               .count = line_up(step, streams, config, &rows),
                               .head_seconds = &loop->seconds.head};
    for (int i = 0; i < step->count; ++i) smooth = smooth || step->drawings[i]->smooth;
    const size_t vocab = (size_t)config->codes;
    step->vocab = config->codes;
    step->logits = run.logits = vt_arena_floats(&loop->arena, (size_t)rows * vocab);
    step->tokens = vt_arena_ints(&loop->arena, (size_t)step->rows);
    if (smooth) step->weights = vt_arena_floats(&loop->arena, (size_t)step->rows * vocab);
    variant_status status = vt_arena_check(&loop->arena, "generation", err);
    if (status == VARIANT_OK)
        status = vt_transformer_run_step(loop->parts.transformer, &loop->arena, &run, err);
    free(streams);
    return status;
}

/* Kept cells of n drawings are of codes, not of mixtures. */
static void put_kept(vt_loop *loop, vt_drawing *const *drawings, int n, int rows,
                     const float *codes, float *mixed) {
    const size_t width = (size_t)transformer_of(loop)->latent_dim;
    for (int j = 0; j < n; ++j) {
        const uint8_t *kept = drawings[j]->known->kept + drawings[j]->offset;
        for (int first = 0, end; first < rows; first = end) {
            for (end = first + 1; end < rows && kept[end] == kept[first];) ++end;
            const size_t at = ((size_t)j * (size_t)rows + (size_t)first) * width;
            if (kept[first])
                loop->kern->copy(loop->kern, mixed + at, codes + at, (size_t)(end - first) * width);
        }
    }
}

/* Mixtures of codes (n pictures, n_k^2, Cvae) by their weights. */
static float *mix(vt_loop *loop, const vt_step *step, int i, int n, int rows) {
    const vt_transformer_config *config = transformer_of(loop);
    const vt_drawing *first = step->drawings[i];
    const vt_param *codebook =
        vt_params_find(vt_tokenizer_params(loop->parts.tokenizer), "quantize.embedding.weight");
    const size_t count = (size_t)n * (size_t)rows * (size_t)config->latent_dim;
    float *mixed = vt_arena_floats(&loop->arena, count);
    float *codes = first->known ? vt_arena_floats(&loop->arena, count) : NULL;
    if (!mixed || (first->known && !codes)) return NULL;
    loop->kern->linear_dx(loop->kern, mixed,
                          step->weights + (size_t)first->token_row * (size_t)step->vocab,
                          codebook->weight, n, rows, false);
    if (!codes) return mixed;
    loop->kern->gather_rows(loop->kern, codes, codebook->value, step->tokens + first->token_row,
                            n * rows, config->latent_dim);
    put_kept(loop, step->drawings + i, n, rows, codes, mixed);
    return mixed;
}

/* Adds the tokens of n drawings from the first on, side by side, to their f_hats, and makes their next inputs, which both
 * of their streams read. These lie close together at the beginning of their places: a smaller map, a shorter stretch. */
static variant_status advance(vt_loop *loop, const vt_step *step, int i, int n,
                              variant_error *err) {
    const vt_transformer_config *config = transformer_of(loop);
    vt_drawing *first = step->drawings[i];
    const int k = first->k, rows = rows_at(config, k);
    const bool last = k + 1 == config->scales;
    const size_t mark = vt_arena_mark(&loop->arena);
    float *inputs = first->party->inputs + (size_t)first->place * map_floats(config);
    vt_scale_step add = {.k = k,
                         .batch = n,
                         .tokens = first->smooth ? NULL : step->tokens + first->token_row,
                         .f_hat = first->f_hat,
                         .next = last ? NULL : inputs};
    if (first->smooth) add.embeddings = mix(loop, step, i, n, rows);
    VT_TRY(vt_arena_check(&loop->arena, "generation", err));
    VT_TRY(vt_tokenizer_step(loop->parts.tokenizer, &loop->arena, &add, err));
    vt_arena_rewind(&loop->arena, mark);
    for (int j = 0; j < n; ++j) {
        vt_drawing *d = step->drawings[i + j];
        ++d->k;
        d->offset += rows;
        if (last) continue;
        d->cond.input = d->uncond.input =
            inputs + (size_t)j * (size_t)rows_at(config, k + 1) * (size_t)config->latent_dim;
    }
    return VARIANT_OK;
}

/* Gives up keys and values of the layers whose last scale is k; after the last scale the whole stream goes soon. */
static void release(vt_stream *stream, int k) {
    if (!stream->cache || k + 1 == stream->schedule->scales) return;
    for (int l = 0; l < stream->schedule->depth; ++l)
        if (vt_schedule_last_scale(stream->schedule, l) == k) vt_kv_cache_release(stream->cache, l);
}

/* Of the scale that a drawing has left behind, right before the next: until then what it held can be asked for. A stream
 * without scales goes whole. */
static void release_finished(vt_drawing *drawing) {
    if (drawing->retain_kv || drawing->k < 1) return;
    if (drawing->k == drawing->uncond_scales) vt_kv_cache_close(&drawing->uncond.cache);
    release(&drawing->cond, drawing->k - 1);
    release(&drawing->uncond, drawing->k - 1);
}

static variant_status take_sample_room(vt_loop *loop, vt_step *step, variant_error *err) {
    const vt_sample sample = {.count = step->count, .vocab = step->vocab};
    step->workspace =
        vt_arena_take(&loop->arena, loop->kern->sample_workspace(loop->kern, &sample));
    return vt_arena_check(&loop->arena, "sampling", err);
}

/* Those that are not done, in their order. */
static vt_step step_of(vt_loop *loop) {
    vt_step step = {.loop = loop, .drawings = loop->running};
    for (int i = 0; i < loop->count; ++i)
        if (loop->drawings[i]->k < loop->drawings[i]->scales)
            loop->running[step.count++] = loop->drawings[i];
    return step;
}

/* Operations may still be under way when their calls have returned. */
static double seconds_when_done(vt_kern *kern) {
    kern->sync(kern);
    return vt_seconds();
}

variant_status vt_loop_step(vt_loop *loop, vt_choose *choose, void *user, variant_error *err) {
    variant_status status = VARIANT_OK;
    const size_t mark = vt_arena_mark(&loop->arena);
    vt_step step = step_of(loop);
    if (step.count == 0) return VARIANT_OK;
    for (int i = 0; i < step.count; ++i) release_finished(step.drawings[i]);
    double t0 = vt_seconds();
    VT_CHECK(run_transformer(loop, &step, err));
    double t1 = seconds_when_done(loop->kern);
    VT_CHECK(vt_known_codes(loop, &step, err));
    VT_CHECK(take_sample_room(loop, &step, err));
    VT_CHECK(choose(user, &step, err));
    double t2 = vt_seconds();
    for (int i = 0, n; i < step.count; i += n) {
        n = vt_step_batch(&step, i);
        VT_CHECK(advance(loop, &step, i, n, err));
    }
    loop->seconds.transformer += t1 - t0;
    loop->seconds.choose += t2 - t1;
    loop->seconds.quantizer += seconds_when_done(loop->kern) - t2;
cleanup:
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

/* ---- pictures ---- */

#define ROUND_PIXELS (1 << 17) /* decoded at a time: a decoder's maps are what takes most memory */

/* Drawings from i on whose f_hats lie side by side. */
static int beside(vt_drawing *const *drawings, int count, int i) {
    int n = 1;
    while (i + n < count && drawings[i + n]->party == drawings[i]->party &&
           drawings[i + n]->place == drawings[i]->place + n)
        ++n;
    return n;
}

variant_status vt_loop_decode(vt_loop *loop, vt_decoder by, vt_drawing *const *drawings, int count,
                              vt_take_picture *take, void *user, variant_error *err) {
    variant_status status = VARIANT_OK;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(loop->parts.tokenizer);
    const int side = vt_tokenizer_side(config);
    const int most = ROUND_PIXELS / (side * side) > 1 ? ROUND_PIXELS / (side * side) : 1;
    const size_t picture = (size_t)side * (size_t)side * (size_t)config->channels;
    const size_t mark = vt_arena_mark(&loop->arena);
    for (int i = 0, n; i < count; i += n) {
        n = beside(drawings, count, i);
        if (n > most) n = most;
        float *pictures = vt_arena_floats(&loop->arena, (size_t)n * picture);
        VT_CHECK(vt_arena_check(&loop->arena, "decoding", err));
        VT_CHECK(by == VT_DECODER_PREVIEW
                     ? vt_preview_decode(loop->parts.preview, &loop->arena, n, drawings[i]->f_hat,
                                         pictures, err)
                     : vt_tokenizer_decode(loop->parts.tokenizer, &loop->arena, n,
                                           drawings[i]->f_hat, pictures, err));
        for (int j = 0; take && j < n; ++j)
            VT_CHECK(take(user, drawings[i + j], pictures + (size_t)j * picture, err));
        vt_arena_rewind(&loop->arena, mark);
    }
cleanup:
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

/* ---- what a drawing holds ---- */

size_t vt_drawing_kv_bytes(const vt_drawing *d) {
    return vt_kv_cache_bytes(d->cond.cache) +
           (d->uncond.cache ? vt_kv_cache_bytes(d->uncond.cache) : 0);
}

size_t vt_drawing_party_bytes(const vt_drawing *d) {
    return d->party->arena.peak;
}
