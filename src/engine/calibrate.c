/* calibrate.c - see calibrate.h. Pictures go through the loop that generates them, with their own tokens in the place of
 * chosen ones: each product is watched, and a sample of its rows of x kept. Then each product is made again from its
 * sample, in every way that might be chosen. */
#include "engine/calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "engine/calibrate_int4.h"
#include "engine/loop.h"
#include "kern/number.h"
#include "transformer/block.h"

enum { LEAST_ROWS = 64, MOST_ROWS = 512, MOST_POWER = 6 };
#define SAMPLE_BYTES ((size_t)512 << 20) /* of all samples, about */
#define WORTH 0.98 /* factors are folded where they leave at most so much of the error */
static const float strengths[] = {0.0f, 0.25f, 0.5f, 0.75f};
enum { STRENGTHS = sizeof strengths / sizeof *strengths };

/* ---- plans ---- */

static bool is_product(const vt_param *param) {
    return (param->flags & VT_PARAM_PRODUCT) && !(param->flags & (VT_PARAM_CONV | VT_PARAM_EXACT));
}

variant_status vt_int8_plan_plain(vt_int8_plan *out, const vt_model *model, variant_error *err) {
    const vt_params *params = vt_transformer_params(model->transformer);
    *out = (vt_int8_plan){.int4 = out->int4};
    out->choices = calloc((size_t)params->count + 1, sizeof *out->choices);
    if (!out->choices) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of products");
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (!is_product(param)) continue;
        out->choices[out->count++] = (vt_int8_choice){
            .weight = param, .int4 = out->int4 && (param->flags & VT_PARAM_COARSE)};
    }
    return VARIANT_OK;
}

void vt_int8_plan_close(vt_int8_plan *plan) {
    for (int i = 0; i < plan->count; ++i) {
        free(plan->choices[i].factors);
        free(plan->choices[i].records);
    }
    free(plan->choices);
    *plan = (vt_int8_plan){0};
}

const vt_int8_choice *vt_int8_plan_find(const vt_int8_plan *plan, const vt_param *param) {
    for (int i = 0; i < plan->count; ++i)
        if (plan->choices[i].weight == param) return &plan->choices[i];
    return NULL;
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Where a product's norm takes its modulation from: rows of the product called `ada`, from which rows on. */
typedef struct norm_source {
    char ada[160];
    size_t scale, shift; /* in widths */
} norm_source;

/* Has the product a norm of its own before it, and which? */
static bool find_norm(const vt_params *params, const vt_param *weight, norm_source *out) {
    const char *name = weight->name;
    if (strcmp(name, "head.weight") == 0) {
        *out = (norm_source){.ada = "head_nm.ada_lin.1", .scale = 0, .shift = 1};
    } else {
        const bool qkv = ends_with(name, ".attn.mat_qkv.weight");
        if (strncmp(name, "blocks.", 7) != 0 || (!qkv && !ends_with(name, ".ffn.fc1.weight")))
            return false;
        snprintf(out->ada, sizeof out->ada, "blocks.%d.ada_lin.1", atoi(name + 7));
        out->scale = qkv ? VT_SCALE1 : VT_SCALE2;
        out->shift = qkv ? VT_SHIFT1 : VT_SHIFT2;
    }
    char full[192];
    snprintf(full, sizeof full, "%s.weight", out->ada);
    return vt_params_find(params, full) != NULL;
}

/* Divides what one product's factors take out of its norm: rows of AdaLN's matrix, or numbers of its bias. */
static void divide_norm(const norm_source *norm, const float *factors, size_t width, size_t columns,
                        bool bias, float *values) {
    float *scale = values + norm->scale * width * columns;
    float *shift = values + norm->shift * width * columns;
    for (size_t j = 0; j < width; ++j)
        for (size_t i = 0; i < columns; ++i) {
            float *one = scale + j * columns + i;
            *one = bias ? (1.0f + *one) / factors[j] - 1.0f : *one / factors[j];
            shift[j * columns + i] /= factors[j];
        }
}

variant_status vt_int8_plan_values(const vt_int8_plan *plan, const vt_params *params,
                                   const vt_param *param, float *out, variant_error *err) {
    VT_TRY(vt_param_download(params, param, param->value, out, err));
    const size_t n = (size_t)param->shape[0], k = param->count / (n ? n : 1);
    for (int i = 0; i < plan->count; ++i) {
        const vt_int8_choice *choice = &plan->choices[i];
        norm_source norm;
        if (!choice->factors) continue;
        if (choice->weight == param)
            for (size_t at = 0; at < param->count; ++at) out[at] *= choice->factors[at % k];
        if (!find_norm(params, choice->weight, &norm)) continue;
        const size_t length = strlen(norm.ada), width = (size_t)choice->weight->shape[1];
        if (strncmp(param->name, norm.ada, length) != 0) continue;
        const bool bias = strcmp(param->name + length, ".bias") == 0;
        if (bias || strcmp(param->name + length, ".weight") == 0)
            divide_norm(&norm, choice->factors, width, bias ? 1 : k, bias, out);
    }
    return VARIANT_OK;
}

/* ---- samples ---- */

/* What is kept of one product's x. */
typedef struct sample {
    size_t k;
    float *rows; /* (most, k) */
    float *most; /* (k): the largest size of each channel in all rows */
    int64_t seen;
} sample;

typedef struct samples {
    vt_kern *kern;
    const vt_int8_plan *plan;
    sample *of; /* (plan->count) */
    int most;   /* rows each */
    float *room;
    size_t room_floats;
    bool failed; /* memory was short, or the device */
    variant_error err;
} samples;

static void samples_close(samples *s) {
    for (int i = 0; s->of && i < s->plan->count; ++i) {
        free(s->of[i].rows);
        free(s->of[i].most);
    }
    free(s->of);
    free(s->room);
}

static variant_status samples_open(samples *out, vt_kern *kern, const vt_int8_plan *plan,
                                   variant_error *err) {
    size_t columns = 0;
    *out = (samples){.kern = kern, .plan = plan};
    out->of = calloc((size_t)plan->count + 1, sizeof *out->of);
    if (!out->of) return vt_fail(err, VARIANT_E_MEMORY, "no memory for samples of products");
    for (int i = 0; i < plan->count; ++i) columns += (size_t)plan->choices[i].weight->shape[1];
    const size_t fit = SAMPLE_BYTES / sizeof(float) / (columns ? columns : 1);
    out->most = fit < LEAST_ROWS ? LEAST_ROWS : fit > MOST_ROWS ? MOST_ROWS : (int)fit;
    for (int i = 0; i < plan->count; ++i) {
        sample *one = &out->of[i];
        one->k = (size_t)plan->choices[i].weight->shape[1];
        one->rows = malloc((size_t)out->most * one->k * sizeof *one->rows);
        one->most = calloc(one->k, sizeof *one->most);
        if (!one->rows || !one->most)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for samples of products");
    }
    return VARIANT_OK;
}

/* Every row is as likely to be among those kept as any other (Vitter's algorithm R), by its number alone. */
static void row_seen(samples *s, sample *one, uint32_t which, const float *row) {
    for (size_t j = 0; j < one->k; ++j) one->most[j] = fmaxf(one->most[j], fabsf(row[j]));
    int64_t at = one->seen++;
    if (at >= s->most)
        at = (int64_t)(vt_uniform(1, VT_RNG_SHUFFLE, which, (uint32_t)at, 1) * (double)(at + 1));
    if (at < s->most) memcpy(one->rows + (size_t)at * one->k, row, one->k * sizeof *row);
}

/* vt_watch. */
static void product_seen(void *user, const vt_param *param, const vt_product *product) {
    samples *s = user;
    const size_t rows = (size_t)product->groups * (size_t)product->rows;
    int which = 0;
    while (which < s->plan->count && s->plan->choices[which].weight != param) ++which;
    if (which == s->plan->count || s->failed) return;
    sample *one = &s->of[which];
    if (rows * one->k > s->room_floats) {
        free(s->room);
        s->room_floats = rows * one->k;
        s->room = malloc(s->room_floats * sizeof *s->room);
    }
    if (!s->room) {
        s->failed = true;
        s->room_floats = 0;
        (void)vt_fail(&s->err, VARIANT_E_MEMORY, "no memory for rows of %s", param->name);
        return;
    }
    s->failed = vt_kern_download(s->kern, s->room, product->x, rows * one->k * sizeof *s->room,
                                 &s->err) != VARIANT_OK;
    for (size_t r = 0; r < rows && !s->failed; ++r)
        row_seen(s, one, (uint32_t)which, s->room + r * one->k);
}

/* ---- pictures through the loop ---- */

typedef struct teacher {
    const vt_calibration *calibration;
    size_t length; /* L */
    int picture;
} teacher;

/* vt_choose: the picture's own tokens. */
static variant_status choose_own(void *user, vt_step *step, variant_error *err) {
    (void)err;
    const teacher *t = user;
    const vt_drawing *d = step->drawings[0];
    const int32_t *own = t->calibration->tokens + (size_t)t->picture * t->length;
    vt_kern *kern = step->loop->kern;
    kern->upload(kern, step->tokens + d->token_row, own + d->offset,
                 (size_t)step->rows * sizeof *own);
    return VARIANT_OK;
}

static variant_status run_pictures(const vt_model *model, const vt_calibration *c, samples *s,
                                   variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const vt_loop_parts parts = {
        .kern = model->kern, .transformer = model->transformer, .tokenizer = model->tokenizer};
    vt_schedule full;
    VT_TRY(vt_schedule_full(&full, config->scales, config->depth, err));
    teacher t = {.calibration = c, .length = (size_t)vt_transformer_tokens(config)};
    variant_status status = VARIANT_OK;
    vt_loop loop;
    vt_loop_open(&loop, &parts);
    for (; t.picture < c->pictures; ++t.picture) {
        vt_drawing *drawing = NULL;
        const vt_join join = {.label = c->labels[t.picture],
                              .schedule = &full,
                              .scales = config->scales,
                              .uncond = &full,
                              .uncond_scales = config->scales};
        VT_CHECK(vt_loop_join(&loop, &join, 1, &drawing, err));
        for (int k = 0; k < config->scales; ++k) VT_CHECK(vt_loop_step(&loop, choose_own, &t, err));
        vt_loop_leave(&loop, drawing);
        if (s->failed) {
            if (err) *err = s->err;
            status = s->err.status;
            goto cleanup;
        }
        VT_CHECK(vt_work_tell(c->watch, "running pictures", t.picture + 1, c->pictures, err));
    }
cleanup:
    vt_loop_close(&loop);
    return status;
}

/* ---- one product ---- */

/* A product with its sample, on the host and where the backend computes. */
typedef struct trial {
    vt_kern *kern;
    int rows, n, k;
    const sample *of;
    const float *w;     /* (n, k), host */
    float *scaled;      /* (rows, k), host: x over factors */
    float *exact, *got; /* (rows, n), host */
    float *x, *y;       /* backend memory */
    void *memory;
    size_t memory_bytes;
    const float *factors; /* (k) at hand, or NULL */
} trial;

static void trial_close(trial *t) {
    free(t->scaled);
    free(t->exact);
    free(t->got);
    if (t->memory) t->kern->memory_release(t->kern, t->memory, t->memory_bytes);
}

static variant_status trial_open(trial *t, variant_error *err) {
    const size_t x = (size_t)t->rows * (size_t)t->k, y = (size_t)t->rows * (size_t)t->n;
    t->scaled = malloc(x * sizeof *t->scaled);
    t->exact = malloc(y * sizeof *t->exact);
    t->got = malloc(y * sizeof *t->got);
    if (!t->scaled || !t->exact || !t->got)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a product of %d rows", t->rows);
    t->memory_bytes = vt_arena_size(x * sizeof(float)) + y * sizeof(float);
    VT_TRY(t->kern->memory_reserve(t->kern, t->memory_bytes, &t->memory, err));
    t->x = t->memory;
    t->y = (float *)(void *)((char *)t->memory + vt_arena_size(x * sizeof(float)));
    return VARIANT_OK;
}

/* y of the sample by this weight, on the host. */
static variant_status trial_product(trial *t, const vt_weight *w, float *y, variant_error *err) {
    vt_kern *kern = t->kern;
    vt_product p = {.x = t->x, .w = w, .y = t->y, .groups = 1, .rows = t->rows};
    const size_t bytes = kern->product_workspace(kern, &p);
    VT_TRY(kern->memory_reserve(kern, bytes + 1, &p.workspace, err));
    kern->product(kern, &p);
    const size_t numbers = (size_t)t->rows * (size_t)t->n;
    const variant_status status = vt_kern_download(kern, y, t->y, numbers * sizeof *y, err);
    kern->memory_release(kern, p.workspace, bytes + 1);
    return status;
}

/* vt_weight_rows: with the factors at hand multiplied in. */
static void weighted_rows(const void *user, int first, int count, float *out) {
    const trial *t = user;
    const size_t k = (size_t)t->k, numbers = (size_t)count * k;
    memcpy(out, t->w + (size_t)first * k, numbers * sizeof *out);
    for (size_t i = 0; t->factors && i < numbers; ++i) out[i] *= t->factors[i % k];
}

/* The error of the product in int8. */
static variant_status trial_error(trial *t, bool whole, double *out, variant_error *err) {
    const vt_weight_spec spec = {.type = VT_NUMBER_INT8,
                                 .n = t->n,
                                 .k = t->k,
                                 .rows = weighted_rows,
                                 .user = t,
                                 .whole = whole};
    vt_weight *w = NULL;
    VT_TRY(t->kern->weight_open(t->kern, &w, &spec, err));
    const variant_status status = trial_product(t, w, t->got, err);
    t->kern->weight_close(t->kern, &w);
    double off = 0, all = 0;
    for (size_t i = 0; i < (size_t)t->rows * (size_t)t->n; ++i) {
        const double d = (double)t->got[i] - (double)t->exact[i];
        off += d * d;
        all += (double)t->exact[i] * (double)t->exact[i];
    }
    *out = all > 0 ? sqrt(off / all) : 0;
    return status;
}

/* Powers of two near most_x^s / most_w^(1 - s), around their own mean. */
static void make_factors(const trial *t, float strength, float *out) {
    double mean = 0;
    for (int j = 0; j < t->k; ++j) {
        float most = 0;
        for (int r = 0; r < t->n; ++r)
            most = fmaxf(most, fabsf(t->w[(size_t)r * (size_t)t->k + (size_t)j]));
        const bool any = most > 0 && t->of->most[j] > 0;
        out[j] = any ? strength * log2f(t->of->most[j]) - (1 - strength) * log2f(most) : NAN;
        mean += any ? (double)out[j] : 0;
    }
    mean /= t->k;
    for (int j = 0; j < t->k; ++j) {
        const float power = isnan(out[j]) ? 0.0f : rintf(out[j] - (float)mean);
        out[j] = exp2f(fminf(fmaxf(power, -MOST_POWER), MOST_POWER));
    }
}

/* x of the sample, over the factors at hand, to where the backend computes. */
static void place_x(trial *t) {
    const size_t k = (size_t)t->k, numbers = (size_t)t->rows * k;
    for (size_t i = 0; i < numbers; ++i)
        t->scaled[i] = t->factors ? t->of->rows[i] / t->factors[i % k] : t->of->rows[i];
    t->kern->upload(t->kern, t->x, t->scaled, numbers * sizeof *t->scaled);
}

/* Errors of every strength, blocks and rows; of the factors those of the last strength remain in `room`. */
static variant_status try_strengths(trial *t, int count, float *room, double errors[STRENGTHS][2],
                                    variant_error *err) {
    for (int i = 0; i < count; ++i) {
        t->factors = NULL;
        if (i > 0) {
            make_factors(t, strengths[i], room);
            t->factors = room;
        }
        place_x(t);
        VT_TRY(trial_error(t, false, &errors[i][0], err));
        errors[i][1] = INFINITY;
        if (t->k <= VT_INT8_WHOLE) VT_TRY(trial_error(t, true, &errors[i][1], err));
    }
    return VARIANT_OK;
}

/* The strength of least error; none where factors are not worth it. */
static int best_of(double errors[STRENGTHS][2], int count, int whole) {
    int best = 0;
    for (int i = 1; i < count; ++i)
        if (errors[i][whole] < errors[best][whole]) best = i;
    return errors[best][whole] <= WORTH * errors[0][whole] ? best : 0;
}

static variant_status choose_from(trial *t, vt_int8_choice *choice, int count, double tolerance,
                                  float *room, variant_error *err) {
    double errors[STRENGTHS][2];
    VT_TRY(try_strengths(t, count, room, errors, err));
    const int blocks = best_of(errors, count, 0), whole = best_of(errors, count, 1);
    choice->rows = t->rows;
    choice->blocks = errors[0][0];
    choice->whole = errors[0][1];
    choice->best_blocks = errors[blocks][0];
    choice->best_whole = errors[whole][1];
    choice->is_whole = choice->best_whole <= tolerance * choice->best_blocks;
    const int chosen = choice->is_whole ? whole : blocks;
    choice->strength = strengths[chosen];
    if (chosen == 0) return VARIANT_OK;
    choice->factors = malloc((size_t)t->k * sizeof *choice->factors);
    if (!choice->factors) return vt_fail(err, VARIANT_E_MEMORY, "no memory for channel factors");
    make_factors(t, strengths[chosen], choice->factors);
    return VARIANT_OK;
}

static variant_status choose_product(const vt_model *model, const sample *of,
                                     vt_int8_choice *choice, int most, double tolerance,
                                     variant_error *err) {
    const vt_param *param = choice->weight;
    const vt_params *params = vt_transformer_params(model->transformer);
    norm_source norm;
    const int count = find_norm(params, param, &norm) ? STRENGTHS : 1;
    trial t = {.kern = model->kern,
               .rows = (int)(of->seen < most ? of->seen : most),
               .n = (int)param->shape[0],
               .k = (int)param->shape[1],
               .of = of};
    variant_status status = VARIANT_OK;
    if (t.rows == 0) return VARIANT_OK; /* it never ran */
    float *w = malloc(param->count * sizeof *w), *room = malloc((size_t)t.k * sizeof *room);
    t.w = w;
    if (!w || !room)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the numbers of %s", param->name));
    VT_CHECK(vt_param_download(params, param, param->value, w, err));
    if (choice->int4) {
        status = vt_calibrate_int4(choice, model->kern->team, w, of->rows, t.rows, err);
        goto cleanup;
    }
    VT_CHECK(trial_open(&t, err));
    place_x(&t);
    VT_CHECK(trial_product(&t, param->weight, t.exact, err));
    VT_CHECK(choose_from(&t, choice, count, tolerance, room, err));
cleanup:
    trial_close(&t);
    free(w);
    free(room);
    return status;
}

/* ---- all of it ---- */

static void watch_all(const vt_int8_plan *plan, const vt_watch *watch) {
    for (int i = 0; i < plan->count; ++i)
        ((vt_param *)(uintptr_t)plan->choices[i].weight)->watch = watch;
}

variant_status vt_calibrate(vt_int8_plan *out, const vt_model *model, const vt_calibration *c,
                            variant_error *err) {
    variant_status status = VARIANT_OK;
    samples s = {0};
    VT_TRY(vt_int8_plan_plain(out, model, err));
    out->pictures = c->pictures;
    out->tolerance = c->tolerance;
    s.plan = out;
    VT_CHECK(samples_open(&s, model->kern, out, err));
    const vt_watch watch = {product_seen, &s};
    watch_all(out, &watch);
    status = run_pictures(model, c, &s, err);
    watch_all(out, NULL);
    for (int i = 0; i < out->count && status == VARIANT_OK; ++i) {
        status = choose_product(model, &s.of[i], &out->choices[i], s.most, c->tolerance, err);
        if (status == VARIANT_OK)
            status = vt_work_tell(c->watch, "measuring products", i + 1, out->count, err);
    }
cleanup:
    samples_close(&s);
    return status;
}
