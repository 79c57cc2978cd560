/* transformer_log.c - what a transformer's training tells: a line of the log, and the evaluation on the
 * test split, by scale and by depth; see transformer_job.h. */
#include <stdio.h>
#include <string.h>

#include "train/transformer_job.h"
#include "io/json.h"

/* ---- reports ---- */

/* Adds PREFIXloss_by_scale and PREFIXaccuracy_by_scale, and PREFIXaccuracy over all tokens. */
static void add_scales(cJSON *line, const char *prefix, const vt_scale_sums *sums,
                       const vt_transformer_config *config) {
    double loss[VT_MAX_SCALES], accuracy[VT_MAX_SCALES], hits = 0.0, all = 0.0;
    char key[64];
    for (int k = 0; k < config->scales; ++k) {
        double tokens = sums->pictures * config->sides[k] * config->sides[k];
        if (tokens <= 0.0) tokens = 1.0;
        loss[k] = sums->loss[k] / tokens;
        accuracy[k] = sums->hits[k] / tokens;
        hits += sums->hits[k];
        all += tokens;
    }
    snprintf(key, sizeof key, "%saccuracy", prefix);
    vt_log_number(line, key, hits / all);
    snprintf(key, sizeof key, "%sloss_by_scale", prefix);
    vt_log_numbers(line, key, loss, config->scales);
    snprintf(key, sizeof key, "%saccuracy_by_scale", prefix);
    vt_log_numbers(line, key, accuracy, config->scales);
}

void vt_transformer_job_forget(vt_transformer_job *job) {
    job->sums = (vt_scale_sums){0};
    memset(job->path_loss, 0, sizeof job->path_loss);
    memset(job->path_steps, 0, sizeof job->path_steps);
    memset(job->draws, 0, sizeof job->draws);
    job->kl = job->kl_tokens = 0.0;
}

void vt_transformer_job_unite(void *self, variant_ranks *ranks) {
    vt_transformer_job *job = self;
    double rest[] = {job->sums.pictures, job->path_loss[0], job->path_loss[1], job->kl,
                     job->kl_tokens};
    vt_ranks_sum(ranks, job->sums.loss, VT_MAX_SCALES);
    vt_ranks_sum(ranks, job->sums.hits, VT_MAX_SCALES);
    vt_ranks_sum(ranks, rest, sizeof rest / sizeof *rest);
    job->sums.pictures = rest[0];
    job->path_loss[0] = rest[1];
    job->path_loss[1] = rest[2];
    job->kl = rest[3];
    job->kl_tokens = rest[4];
}

void vt_transformer_job_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    vt_transformer_job *job = self;
    add_scales(line, "", &job->sums, &job->config);
    if (job->options->supernet) {
        static const char *const key[2] = {"loss_full", "loss_subnet"};
        vt_json_string(line, "phase", job->draw.phase ? job->draw.phase : "");
        vt_log_number(line, "ratio", job->draw.ratio);
        char text[256];
        const vt_phase_draw *draw = &job->draw;
        vt_schedule_describe(!draw->subnet           ? &job->full
                             : draw->more_bridge > 0 ? &job->drawn
                                                     : &job->subnets[draw->index],
                             text, sizeof text);
        vt_json_number(line, "path", draw->subnet ? draw->depth : job->config.depth);
        vt_json_string(line, "path_schedule", text);
        double steps = (double)(job->path_steps[0] + job->path_steps[1]);
        vt_log_number(line, "subnet_share", steps > 0.0 ? (double)job->path_steps[1] / steps : 0.0);
        for (int i = 0; i < 2; ++i)
            if (job->path_steps[i])
                vt_log_number(line, key[i], job->path_loss[i] / (double)job->path_steps[i]);
        double draws[VT_MAX_DEPTHS];
        for (int i = 0; i < job->phases.depth_count; ++i) draws[i] = (double)job->draws[i];
        vt_log_numbers(line, "draws", draws, job->phases.depth_count);
        if (job->kl_tokens > 0.0) {
            vt_log_number(line, "distill", job->distill);
            vt_log_number(line, "distill_kl", job->kl / job->kl_tokens);
        }
    }
    vt_transformer_job_forget(job);
}

/* Pictures of an evaluation at a time. */
static int evaluated_together(const vt_transformer_job *job, const vt_train_loop *loop) {
    int all = loop->data.test_pictures.count;
    int most = job->room < VT_EVAL_BATCH ? job->room : VT_EVAL_BATCH;
    return all < most ? all : most;
}

variant_status vt_transformer_job_rehearse_evaluation(vt_transformer_job *job, vt_train_loop *loop,
                                                      variant_error *err) {
    vt_scale_sums unused = {0};
    vt_transformer_job_request request = {.batch = evaluated_together(job, loop),
                                          .schedule = &job->full};
    VT_TRY(vt_transformer_job_pass(job, loop, &request, &unused, err));
    for (int i = 0; i < job->eval_count; ++i) {
        request.schedule = &job->evals[i].schedule;
        VT_TRY(vt_transformer_job_pass(job, loop, &request, &unused, err));
    }
    return VARIANT_OK;
}

static variant_status evaluate_schedule(vt_transformer_job *job, vt_train_loop *loop,
                                        const vt_schedule *schedule, vt_scale_sums *sums,
                                        variant_error *err) {
    size_t length = (size_t)job->test_cache.tokens;
    int total = job->test_cache.count, most = evaluated_together(job, loop);
    *sums = (vt_scale_sums){0};
    for (int first = 0; first < total; first += most) {
        vt_transformer_job_request request = {.batch = total - first < most ? total - first : most,
                                              .schedule = schedule};
        for (int i = 0; i < request.batch; ++i) {
            vt_token_cache_get(&job->test_cache, first + i, false,
                               job->tokens + (size_t)i * length);
            job->labels[i] = vt_pictures_label(&loop->data.test_pictures, first + i);
        }
        VT_TRY(vt_transformer_job_pass(job, loop, &request, sums, err));
    }
    return VARIANT_OK;
}

variant_status vt_transformer_job_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                           variant_error *err) {
    vt_transformer_job *job = self;
    vt_scale_sums sums;
    vt_json_number(line, "pictures", job->test_cache.count);
    VT_TRY(evaluate_schedule(job, loop, &job->full, &sums, err));
    vt_log_number(line, "test_loss", vt_scale_sums_mean(&sums, &job->config));
    add_scales(line, "test_", &sums, &job->config);
    for (int i = 0; i < job->eval_count; ++i) {
        const struct vt_eval_path *path = &job->evals[i];
        char key[64];
        VT_TRY(evaluate_schedule(job, loop, &path->schedule, &sums, err));
        snprintf(key, sizeof key, "test_loss_%s", path->name);
        vt_log_number(line, key, vt_scale_sums_mean(&sums, &job->config));
        snprintf(key, sizeof key, "test_%s_", path->name);
        add_scales(line, key, &sums, &job->config);
    }
    return VARIANT_OK;
}
