/* transformer_step.c - one step of a transformer's training: which path, which pictures, the loss and
 * its gradient; see transformer_job.h.
 *
 * A step runs the full schedule, or, in a supernet's training, with a probability that the phase
 * sets, a subnet's: bridge scales through all layers, later ones through a few; or both, their
 * gradients averaged. Cross entropy over all scales either way; a distilled subnet is also drawn to
 * what the full path says of the same batch. Everything drawn is keyed by (seed, step). */
#include <math.h>

#include "core/rng.h"
#include "train/sheet.h"
#include "train/transformer_job.h"

/* ---- a pass over a batch whose tokens and labels are in the job's host buffers ---- */

static void add_sums(vt_scale_sums *sums, const vt_transformer_job *job, int batch) {
    const float *loss = job->losses;
    const int32_t *hit = job->hits;
    for (int b = 0; b < batch; ++b)
        for (int k = 0; k < job->config.scales; ++k)
            for (int i = 0; i < job->config.sides[k] * job->config.sides[k]; ++i) {
                sums->loss[k] += (double)*loss++;
                sums->hits[k] += *hit++;
            }
    sums->pictures += batch;
}

double vt_scale_sums_mean(const vt_scale_sums *sums, const vt_transformer_config *config) {
    double sum = 0.0, tokens = 0.0;
    for (int k = 0; k < config->scales; ++k) {
        sum += sums->loss[k];
        tokens += sums->pictures * config->sides[k] * config->sides[k];
    }
    return tokens > 0.0 ? sum / tokens : 0.0;
}

/* Teacher and pull of a distilling pass, kl with it; all in the arena. */
static void take_teacher(vt_transformer_job *job, vt_train_loop *loop,
                         const vt_transformer_job_request *request, vt_transformer_loss *loss) {
    const vt_transformer_config *config = &job->config;
    size_t length = (size_t)vt_transformer_tokens(config), total = (size_t)request->batch * length;
    float *pull = vt_arena_floats(&loop->arena, total);
    loss->teacher = request->teacher;
    loss->pull = pull;
    loss->kl = vt_arena_floats(&loop->arena, total);
    if (!pull || !loss->kl) return; /* the caller checks the arena */
    float *at = job->kls;
    for (int b = 0; b < request->batch; ++b)
        for (int k = 0; k < config->scales; ++k) {
            bool whole = vt_schedule_depth_at(request->schedule, k) == config->depth;
            for (int i = 0; i < config->sides[k] * config->sides[k]; ++i)
                *at++ = whole ? 0.0f : (float)request->distill;
        }
    loop->kern->upload(loop->kern, pull, job->kls, total * sizeof *pull);
}

/* What was measured goes to the sums. */
static variant_status read_losses(vt_transformer_job *job, vt_train_loop *loop,
                                  const vt_transformer_job_request *request,
                                  const vt_transformer_loss *loss, vt_scale_sums *sums,
                                  variant_error *err) {
    const vt_transformer_config *config = &job->config;
    vt_kern *kern = loop->kern;
    size_t total = (size_t)request->batch * (size_t)vt_transformer_tokens(config);
    kern->download(kern, job->losses, loss->loss, total * sizeof *job->losses);
    VT_TRY(vt_kern_download(kern, job->hits, loss->hit, total * sizeof *job->hits, err));
    add_sums(sums, job, request->batch);
    if (!loss->kl) return VARIANT_OK;
    VT_TRY(vt_kern_download(kern, job->kls, loss->kl, total * sizeof *job->kls, err));
    for (size_t i = 0; i < total; ++i) job->kl += (double)job->kls[i];
    for (int k = 0; k < config->scales; ++k)
        if (vt_schedule_depth_at(request->schedule, k) != config->depth)
            job->kl_tokens += (double)request->batch * config->sides[k] * config->sides[k];
    return VARIANT_OK;
}

variant_status vt_transformer_job_pass(vt_transformer_job *job, vt_train_loop *loop,
                                       const vt_transformer_job_request *request,
                                       vt_scale_sums *sums, variant_error *err) {
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const vt_transformer_config *config = &job->config;
    size_t length = (size_t)vt_transformer_tokens(config), total = (size_t)request->batch * length;
    size_t mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    int32_t *tokens = vt_arena_ints(arena, total), *hits = vt_arena_ints(arena, total);
    float *losses = vt_arena_floats(arena, total);
    float *inputs = vt_arena_floats(arena, total * (size_t)config->latent_dim);
    VT_CHECK(vt_arena_check(arena, "a batch of tokens", err));
    kern->upload(kern, tokens, job->tokens, total * sizeof *tokens);
    VT_CHECK(vt_tokenizer_inputs(job->tokenizer, arena, request->batch, tokens, inputs, NULL, err));
    vt_transformer_pass pass = {.batch = request->batch,
                                .labels = job->labels,
                                .inputs = inputs,
                                .schedule = request->schedule,
                                .keep = !request->with_gradient          ? VT_KEEP_NOTHING
                                        : job->options->common.recompute ? VT_KEEP_INPUTS
                                                                         : VT_KEEP_ALL};
    vt_transformer_loss loss = {.targets = tokens,
                                .smoothing = request->smoothing,
                                .loss = losses,
                                .hit = hits,
                                .of = request->of,
                                .weight = request->weight};
    bool taught = request->teacher && request->distill > 0.0;
    if (taught) take_teacher(job, loop, request, &loss);
    VT_CHECK(vt_arena_check(arena, "a batch of tokens", err));
    VT_CHECK(vt_transformer_forward(job->transformer, arena, &pass, err));
    if (request->teacher && !taught)
        kern->copy(kern, request->teacher, pass.logits, total * (size_t)config->codes);
    VT_CHECK(vt_transformer_backward(job->transformer, arena, &pass, &loss, request->with_gradient,
                                     err));
    VT_CHECK(read_losses(job, loop, request, &loss, sums, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- a step ---- */

double vt_transformer_distill_weight(const vt_train_transformer_options *options, double share) {
    double begin = options->distill,
           end = options->distill_end < 0.0 ? begin : options->distill_end;
    return begin + (end - begin) * share;
}

/* The subnet drawn: from the list, or made for a bridge longer than the list's. */
static variant_status subnet_of(vt_transformer_job *job, const vt_phase_draw *draw,
                                const vt_schedule **out, variant_error *err) {
    uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
    const vt_transformer_config *config = &job->config;
    *out = &job->subnets[draw->index];
    if (draw->more_bridge == 0) return VARIANT_OK;
    VT_TRY(vt_layers_select(job->options->selector, config->depth, job->phases.depths[draw->index],
                            keep, err));
    *out = &job->drawn;
    return vt_schedule_zones(&job->drawn, config->scales, config->depth,
                             job->bridge + draw->more_bridge, keep, err);
}

/* The share of this step's labels that are dropped. */
static double drop_share(const vt_transformer_job *job) {
    const vt_train_transformer_options *options = job->options;
    const int subnets = job->phases.depth_count;
    if (options->uncond_depth == 0 || subnets < 2) return options->label_drop;
    if (job->draw.subnet && job->draw.depth == options->uncond_depth)
        return fmin(1.0, 0.9 * subnets * options->label_drop);
    return 0.1 * subnets / (subnets - 1) * options->label_drop;
}

void vt_transformer_job_choose(vt_transformer_job *job, const vt_train_loop *loop) {
    const vt_slice *slice = &loop->slice;
    uint32_t low = (uint32_t)loop->step, high = (uint32_t)((uint64_t)loop->step >> 32);
    size_t length = (size_t)job->cache.tokens;
    const double drop = drop_share(job);
    for (int i = 0; i < slice->count; ++i) {
        const int place = slice->first + i;
        const vt_pick *pick = &loop->data.batches.picks[place];
        vt_token_cache_get(&job->cache, pick->position, pick->flip,
                           job->tokens + (size_t)i * length);
        double u = vt_uniform(loop->options->seed, VT_RNG_DROP, low, high, (uint32_t)place);
        job->labels[i] = u < drop ? job->config.classes
                                  : vt_pictures_label(&loop->data.pictures, pick->position);
    }
}

static bool is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

/* One path of the slice; its share of the batch's loss goes to the log's sums and to *loss. */
static variant_status run_path(vt_transformer_job *job, vt_train_loop *loop,
                               const vt_transformer_job_request *request, int path, double *loss,
                               variant_error *err) {
    vt_scale_sums sums = {0};
    VT_TRY(vt_transformer_job_pass(job, loop, request, &sums, err));
    if (!request->with_gradient) return VARIANT_OK; /* a teacher's pass alone */
    const double share = (double)loop->slice.count / loop->slice.of,
                 loss_of_slice = share * vt_scale_sums_mean(&sums, &job->config);
    for (int k = 0; k < job->config.scales; ++k) {
        job->sums.loss[k] += sums.loss[k];
        job->sums.hits[k] += sums.hits[k];
    }
    job->sums.pictures += sums.pictures;
    job->path_loss[path] += loss_of_slice;
    *loss += loss_of_slice;
    return VARIANT_OK;
}

/* The paths of job->draw on the slice in the job's buffers, distilled with weight job->distill. */
static variant_status run_paths(vt_transformer_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    const vt_phase_draw *draw = &job->draw;
    double loss = 0.0;
    vt_transformer_job_request request = {.batch = loop->slice.count,
                                          .of = loop->slice.of,
                                          .smoothing = (float)options->label_smoothing,
                                          .weight = draw->full && draw->subnet ? 0.5f : 1.0f};
    const bool taught = draw->subnet && options->distill > 0.0;
    if (taught) {
        request.teacher = vt_arena_floats(
            &loop->arena, (size_t)request.batch * (size_t)vt_transformer_tokens(&job->config) *
                              (size_t)job->config.codes);
        VT_TRY(vt_arena_check(&loop->arena, "the teacher's logits", err));
    }
    if (draw->full || taught) {
        request.schedule = &job->full;
        request.with_gradient = draw->full;
        if (!draw->subnet) vt_train_loop_last_pass(loop);
        VT_TRY(run_path(job, loop, &request, 0, &loss, err));
    }
    if (draw->subnet) {
        request.schedule = job->subnet;
        request.with_gradient = true;
        request.distill = job->distill;
        vt_train_loop_last_pass(loop);
        VT_TRY(run_path(job, loop, &request, 1, &loss, err));
    }
    loop->loss += draw->full && draw->subnet ? loss / 2.0 : loss;
    return VARIANT_OK;
}

variant_status vt_transformer_job_plan(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job *job = self;
    const vt_train_transformer_options *options = job->options;
    job->subnet = NULL;
    job->draw = (vt_phase_draw){.full = true};
    if (options->supernet) {
        double epoch = (double)loop->step / (double)loop->steps_per_epoch;
        job->draw = vt_phases_draw(&job->phases, epoch, loop->options->seed, (uint64_t)loop->step);
        if (job->phases.depth_count > 0) VT_TRY(subnet_of(job, &job->draw, &job->subnet, err));
    }
    loop->path = job->draw.subnet ? 1 + job->draw.index : 0;
    if (job->subnet && is_due(options->log_conflict, loop->step))
        VT_TRY(vt_transformer_job_log_conflict(job, loop, job->subnet, err));
    if (job->draw.subnet && options->distill > 0.0)
        job->distill =
            vt_transformer_distill_weight(options, (double)loop->step / (double)loop->steps);
    return VARIANT_OK;
}

variant_status vt_transformer_job_step(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job_choose(self, loop);
    return run_paths(self, loop, err);
}

void vt_transformer_job_count(void *self, vt_train_loop *loop) {
    vt_transformer_job *job = self;
    (void)loop;
    if (job->draw.full) ++job->path_steps[0];
    if (!job->draw.subnet) return;
    ++job->path_steps[1];
    ++job->draws[job->draw.index];
}

/* ---- a rehearsal of all kinds of step ---- */

static variant_status rehearse_paths(vt_transformer_job *job, vt_train_loop *loop,
                                     const vt_phase_draw *draw, variant_error *err) {
    job->subnet = NULL;
    job->draw = *draw;
    if (draw->subnet) VT_TRY(subnet_of(job, draw, &job->subnet, err));
    if (job->subnet && job->options->log_conflict > 0)
        VT_TRY(vt_transformer_job_log_conflict(job, loop, job->subnet, err));
    VT_TRY(run_paths(job, loop, err));
    vt_arena_rewind(&loop->arena, 0);
    return VARIANT_OK;
}

/* Every subnet at every bridge, with the full path (a sandwich) or each alone. */
static variant_status rehearse_supernet(vt_transformer_job *job, vt_train_loop *loop,
                                        variant_error *err) {
    const vt_phases *phases = &job->phases;
    vt_phase_draw draw = {.full = true};
    if (!phases->sandwich) VT_TRY(rehearse_paths(job, loop, &draw, err));
    draw = (vt_phase_draw){.full = phases->sandwich, .subnet = true};
    for (draw.index = 0; draw.index < phases->depth_count; ++draw.index)
        for (draw.more_bridge = 0; draw.more_bridge <= phases->more_bridge; ++draw.more_bridge)
            VT_TRY(rehearse_paths(job, loop, &draw, err));
    return VARIANT_OK;
}

variant_status vt_transformer_job_rehearse(void *self, vt_train_loop *loop, vt_train_memory *memory,
                                           variant_error *err) {
    vt_transformer_job *job = self;
    job->distill = job->options->distill; /* without weight nothing would be distilled */
    VT_TRY(vt_transformer_job_measure_tokens(job, loop, memory, err));
    if (job->options->supernet)
        VT_TRY(rehearse_supernet(job, loop, err));
    else
        VT_TRY(rehearse_paths(job, loop, &(vt_phase_draw){.full = true}, err));
    if (loop->data.test) VT_TRY(vt_transformer_job_rehearse_evaluation(job, loop, err));
    if (loop->options->sample_every > 0)
        VT_TRY(vt_train_measure_sheet(job->model, loop->options->precision, &memory->samples, err));
    vt_transformer_job_forget(job);
    job->draw = (vt_phase_draw){0};
    job->subnet = NULL;
    job->distill = 0.0;
    return VARIANT_OK;
}
