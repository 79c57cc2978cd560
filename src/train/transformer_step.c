/* transformer_step.c - one step of a transformer's training: which path, which pictures, the loss and
 * its gradient; see transformer_job.h.
 *
 * A step runs the full schedule, or, in a supernet's training, with a probability that the phase
 * sets, a subnet's: bridge scales through all layers, later ones through a few. Cross entropy over
 * all scales either way. Everything drawn is keyed by (seed, step). */
#include "core/rng.h"
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
                                .schedule = request->schedule};
    vt_transformer_loss loss = {
        .targets = tokens, .smoothing = request->smoothing, .loss = losses, .hit = hits};
    VT_CHECK(vt_transformer_forward(job->transformer, arena, &pass, err));
    VT_CHECK(vt_transformer_backward(job->transformer, arena, &pass, &loss, request->with_gradient,
                                     err));
    kern->download(kern, job->losses, losses, total * sizeof *losses);
    kern->download(kern, job->hits, hits, total * sizeof *hits);
    add_sums(sums, job, request->batch);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- a step ---- */

static const vt_schedule *subnet_of(const vt_transformer_job *job, int depth) {
    const vt_phases *phases = &job->options->phases;
    for (int i = 0; i < phases->depth_count; ++i)
        if (phases->depths[i] == depth) return &job->subnets[i];
    return &job->full;
}

static void choose_batch(vt_transformer_job *job, const vt_train_loop *loop) {
    vt_batches *batches = &job->batches;
    uint32_t low = (uint32_t)loop->step, high = (uint32_t)((uint64_t)loop->step >> 32);
    size_t length = (size_t)job->cache.tokens;
    vt_batches_select(batches, loop->step);
    for (int i = 0; i < batches->batch; ++i) {
        const vt_pick *pick = &batches->picks[i];
        vt_token_cache_get(&job->cache, pick->position, pick->flip,
                           job->tokens + (size_t)i * length);
        double u = vt_uniform(loop->options->seed, VT_RNG_DROP, low, high, (uint32_t)i);
        job->labels[i] = u < job->options->label_drop
                             ? job->config.classes
                             : vt_pictures_label(&job->pictures, pick->position);
    }
}

variant_status vt_transformer_job_step(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job *job = self;
    vt_transformer_job_request request = {.batch = job->batches.batch,
                                          .schedule = &job->full,
                                          .smoothing = (float)job->options->label_smoothing,
                                          .with_gradient = true};
    if (job->options->supernet) {
        double epoch = (double)loop->step / (double)loop->steps_per_epoch;
        job->draw =
            vt_phases_draw(&job->options->phases, epoch, loop->options->seed, (uint64_t)loop->step);
        if (job->draw.subnet) request.schedule = subnet_of(job, job->draw.depth);
    }
    choose_batch(job, loop);
    vt_scale_sums sums = {0};
    VT_TRY(vt_transformer_job_pass(job, loop, &request, &sums, err));
    loop->loss = vt_scale_sums_mean(&sums, &job->config);
    for (int k = 0; k < job->config.scales; ++k) {
        job->sums.loss[k] += sums.loss[k];
        job->sums.hits[k] += sums.hits[k];
    }
    job->sums.pictures += sums.pictures;
    job->path_loss[job->draw.subnet] += loop->loss;
    ++job->path_steps[job->draw.subnet];
    return VARIANT_OK;
}
