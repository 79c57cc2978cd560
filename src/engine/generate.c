/* generate.c - next-scale prediction: the loop of VAR over scales, at the depth that each request's schedule gives each
 * scale.
 *
 *     while there are pictures in the making, each at a scale k of its own:
 *         logits = transformer(input_k of each; layers S_k over its KV cache)       loop.c
 *         r_k    = sample(guided logits)                                            here
 *         f_hat += phi(up(codes of r_k));  input_{k+1} = area(f_hat)                loop.c
 *         picture = decoder(f_hat), when k was the last                             jobs.c
 */
#include <stdlib.h>

#include "core/sized.h"
#include "engine/blame.h"
#include "engine/jobs.h"
#include "engine/known.h"

/* Place among the scales: 0 at the first, 1 at the last. */
static double ramp(const vt_choices *c, int k) {
    return c->config->scales > 1 ? (double)k / (c->config->scales - 1) : 0.0;
}

/* How a drawing's tokens are drawn from its logits: guided by (1 + t) cond - t uncond. */
static vt_sample_part part_of(const vt_step *step, const vt_drawing *d) {
    const vt_choices *c = &((const variant_job *)d->owner)->choices;
    const variant_request *r = &c->request;
    const size_t vocab = (size_t)step->vocab;
    return (vt_sample_part){
        .cond = step->logits + (size_t)d->row * vocab,
        .uncond = vt_drawing_is_guided(d) ? step->logits + (size_t)d->uncond_row * vocab : NULL,
        .guide = c->branches.guide[d->k],
        .rows = c->config->sides[d->k] * c->config->sides[d->k],
        .seed = r->seed,
        .image = (uint32_t)(r->first_image + d->index),
        .scale = (uint32_t)d->k,
        .top_k = r->top_k,
        .top_p = r->top_p,
        .greedy = r->greedy,
        .tokens = step->tokens + d->token_row,
        .weights = d->smooth ? step->weights + (size_t)d->token_row * vocab : NULL,
        .ramp = ramp(c, d->k)};
}

static variant_status make_room(variant_loop *loop, const vt_step *step, variant_error *err) {
    if ((size_t)step->count > loop->capacity) {
        free(loop->parts);
        loop->parts = malloc((size_t)step->count * sizeof *loop->parts);
        loop->capacity = loop->parts ? (size_t)step->count : 0;
    }
    if ((size_t)step->rows > loop->token_capacity) {
        free(loop->tokens);
        loop->tokens = malloc(2 * (size_t)step->rows * sizeof *loop->tokens);
        loop->token_capacity = loop->tokens ? (size_t)step->rows : 0;
    }
    return loop->parts && loop->tokens
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d tokens", step->rows);
}

/* Of the scale at hand where its tokens are given, else NULL. */
static const int32_t *given_tokens(const vt_drawing *d) {
    const vt_choices *c = &((const variant_job *)d->owner)->choices;
    const size_t length = (size_t)vt_transformer_tokens(c->config);
    if (!c->given || d->k >= c->request.given_scales) return NULL;
    return c->given +
           (size_t)((c->request.first_image + d->index) % c->request.given_count) * length +
           d->offset;
}

/* Keeps a drawing's tokens, given, known of a picture or drawn. Where one is none its logits were not finite: its job ends
 * after the step, and until then it goes on with any token. Returns whether they are what was drawn. */
static bool keep_tokens(const vt_step *step, vt_drawing *d, int32_t *tokens, const int32_t *known) {
    variant_job *job = d->owner;
    const int rows = job->choices.config->sides[d->k] * job->choices.config->sides[d->k];
    const int32_t *given = given_tokens(d);
    const uint8_t *kept = d->known ? d->known->kept + d->offset : NULL;
    for (int i = 0; i < rows; ++i) {
        const bool drawn = !given && tokens[i] >= 0;
        if (given) tokens[i] = given[i];
        if (kept && kept[i] && drawn) tokens[i] = known[i];
        d->tokens[d->offset + i] = tokens[i];
        if (tokens[i] >= 0) continue;
        if (!d->broken && job->error.status == VARIANT_OK)
            (void)vt_blame_logits(step->loop, d, &job->error);
        d->broken = true;
        tokens[i] = 0;
    }
    return !d->broken && !given && !kept;
}

/* Those that come back to the host: tokens, and behind them the known ones where there are any. */
static variant_status bring_tokens(variant_loop *loop, const vt_step *step, variant_error *err) {
    vt_kern *kern = step->loop->kern;
    const size_t bytes = (size_t)step->rows * sizeof(int32_t);
    VT_TRY(vt_kern_download(kern, loop->tokens, step->tokens, bytes, err));
    return step->known ? vt_kern_download(kern, loop->tokens + step->rows, step->known, bytes, err)
                       : VARIANT_OK;
}

/* Draws the tokens of every drawing; only they come back to the host. */
static variant_status sample(void *user, vt_step *step, variant_error *err) {
    variant_loop *loop = user;
    vt_kern *kern = step->loop->kern;
    bool drawn = true;
    int parts = 0;
    VT_TRY(make_room(loop, step, err));
    for (int i = 0; i < step->count; ++i)
        if (!given_tokens(step->drawings[i]))
            loop->parts[parts++] = part_of(step, step->drawings[i]);
    kern->sample(kern, &(vt_sample){.parts = loop->parts,
                                    .count = parts,
                                    .vocab = step->vocab,
                                    .workspace = step->workspace});
    VT_TRY(bring_tokens(loop, step, err));
    for (int i = 0; i < step->count; ++i) {
        vt_drawing *d = step->drawings[i];
        int32_t *tokens = loop->tokens + d->token_row;
        drawn = keep_tokens(step, d, tokens, tokens + step->rows) && drawn;
    }
    if (!drawn)
        kern->upload(kern, step->tokens, loop->tokens, (size_t)step->rows * sizeof(int32_t));
    return VARIANT_OK;
}

variant_status variant_loop_step(variant_loop *loop, int *running, variant_error *error) {
    variant_error failure = {0};
    VT_TRY(vt_need(loop, VT_NO_LOOP, error));
    if (running) *running = 0;
    if (loop->stepping)
        return vt_fail(error, VARIANT_E_ARGUMENT, "a loop cannot step in one of its callbacks");
    if (vt_jobs_begin(loop) == 0) return VARIANT_OK;
    const vt_loop_seconds before = loop->loop.seconds;
    loop->stepping = true;
    variant_status status = vt_loop_step(&loop->loop, sample, loop, &failure);
    status = vt_model_settle(loop->engine->model, status, &failure);
    if (status == VARIANT_OK)
        vt_jobs_advance(loop, &before);
    else
        vt_jobs_fail(loop, status, &failure);
    loop->stepping = false;
    for (const variant_job *job = loop->jobs; running && job; job = job->next)
        *running += !job->done;
    if (error) *error = failure;
    return status;
}

variant_status variant_generate(const variant_engine *engine, const variant_request *request,
                                variant_picture **pictures, variant_report *report,
                                variant_error *error) {
    variant_loop *loop;
    variant_job *job;
    VT_TRY(vt_need(pictures, VT_NO_ROOM_FOR_PICTURES, error));
    *pictures = NULL;
    if (report) VT_TRY(vt_sized_clear(report, "variant_report", error));
    VT_TRY(variant_loop_open(&loop, engine, error));
    variant_status status = variant_loop_add(loop, request, &job, error);
    if (status == VARIANT_OK) {
        while (!variant_job_done(job)) (void)variant_loop_step(loop, NULL, NULL);
        status = variant_job_take(&job, pictures, report, error);
    }
    variant_loop_close(&loop);
    return status;
}
