/* transformer_job.h - a transformer's or a supernet's training run while it runs, for the files
 * that share it: transformer_open.c (models, shape, schedules), transformer_tokens.c (the pictures as
 * tokens), transformer_step.c (a step), transformer_log.c (what a line of the log and an evaluation
 * say), transformer_conflict.c (do both paths pull the same way), train_transformer.c (options, files). */
#ifndef VT_TRAIN_TRANSFORMER_JOB_H
#define VT_TRAIN_TRANSFORMER_JOB_H

#include "train/run.h"
#include "train/token_cache.h"

#define VT_EVAL_BATCH 32
#define VT_EVAL_PATHS (VT_MAX_DEPTHS + 3) /* the trained ones, D/2, D/4, 2 */

/* Sums over tokens, scale by scale. */
typedef struct vt_scale_sums {
    double loss[VT_MAX_SCALES], hits[VT_MAX_SCALES];
    double pictures;
} vt_scale_sums;

typedef struct vt_transformer_job {
    const vt_train_transformer_options *options; /* the settled ones */
    vt_train_transformer_options settled; /* the caller's; what was open in them is filled in */
    vt_model *frozen; /* the tokenizer's file; its tokenizer became the model's */
    vt_model *model;  /* what is trained, whole: tokenizer, transformer, the data's classes */
    vt_tokenizer *tokenizer;     /* the model's ... */
    vt_transformer *transformer; /* ... as this */
    vt_transformer_config config;
    vt_supernet_info info; /* for the model; not trained: a plain transformer */
    vt_token_cache cache, test_cache;
    size_t encoding;  /* bytes of the arena in which pictures become tokens */
    vt_phases phases; /* the options', or what their list of schedules makes of them */
    int bridge;       /* likewise: the first scales that always run everything */
    vt_schedule full, subnets[VT_MAX_DEPTHS];
    vt_schedule drawn;         /* a subnet with a longer bridge, for the step at hand */
    const vt_schedule *subnet; /* of the step at hand: one of these; NULL */
    /* What an evaluation measures beside the full path. */
    int eval_count;
    struct vt_eval_path {
        char name[24]; /* "depth4", "schedule0" */
        vt_schedule schedule;
    } evals[VT_EVAL_PATHS];
    /* host, a batch of them */
    int room;        /* pictures the buffers hold */
    int32_t *tokens; /* (B, L) */
    int32_t *labels; /* (B) */
    float *losses;   /* (B, L) */
    int32_t *hits;   /* (B, L) */
    float *kls;      /* (B, L), NULL without distillation */
    /* since the last log line */
    vt_scale_sums sums;
    vt_phase_draw draw; /* of the last step */
    double path_loss[2];
    int64_t path_steps[2];
    int64_t draws[VT_MAX_DEPTHS]; /* of each subnet */
    double kl, kl_tokens;
    double distill; /* weight at the last step that had one */
} vt_transformer_job;

/* One pass over a batch whose tokens and labels are in the job's host buffers. */
typedef struct vt_transformer_job_request {
    int batch;
    const vt_schedule *schedule;
    float smoothing;
    bool with_gradient;
    int of;         /* pictures that the gradient's loss is divided by; 0: batch */
    float weight;   /* of the gradient; 0: 1 */
    float *teacher; /* (B, L, V) backend memory: with distill read, without filled; or NULL */
    double distill; /* weight of kl from the teacher where the schedule leaves layers out */
} vt_transformer_job_request;

/* ---- transformer_open.c: the first hooks of a vt_trainer (loop.h) ---- */

variant_status vt_transformer_job_shape(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                                        variant_error *err);
variant_status vt_transformer_job_size(void *self, vt_train_loop *loop, int *width,
                                       variant_error *err);
variant_status vt_transformer_job_whole(void *self, variant_status status, variant_error *err);
variant_status vt_transformer_job_settle(void *self, vt_train_loop *loop, variant_error *err);
variant_status vt_transformer_job_open(void *self, vt_train_loop *loop, variant_error *err);
void vt_transformer_job_close(void *self);

/* ---- transformer_tokens.c: the pictures as tokens ---- */

/* Bytes that making and holding them takes: memory->encoding and memory->data. */
variant_status vt_transformer_job_measure_tokens(vt_transformer_job *job, const vt_train_loop *loop,
                                                 vt_train_memory *memory, variant_error *err);
variant_status vt_transformer_job_open_tokens(void *self, vt_train_loop *loop, variant_error *err);
/* ---- transformer_step.c ---- */

/* Weight of distillation when a share, 0 to 1, of the training is done. */
double vt_transformer_distill_weight(const vt_train_transformer_options *options, double share);
/* Mean over all tokens. */
double vt_scale_sums_mean(const vt_scale_sums *sums, const vt_transformer_config *config);
/* Adds to the sums. */
variant_status vt_transformer_job_pass(vt_transformer_job *job, vt_train_loop *loop,
                                       const vt_transformer_job_request *request,
                                       vt_scale_sums *sums, variant_error *err);
variant_status vt_transformer_job_plan(void *self, vt_train_loop *loop, variant_error *err);
/* The slice's tokens and labels into the job's buffers. */
void vt_transformer_job_choose(vt_transformer_job *job, const vt_train_loop *loop);
variant_status vt_transformer_job_step(void *self, vt_train_loop *loop, variant_error *err);
void vt_transformer_job_count(void *self, vt_train_loop *loop);
variant_status vt_transformer_job_rehearse(void *self, vt_train_loop *loop, vt_train_memory *memory,
                                           variant_error *err);

/* ---- transformer_conflict.c ---- */

/* Runs both paths on the step's batch, writes how their gradients agree into the log (not
 * in a rehearsal), and leaves zero gradients. */
variant_status vt_transformer_job_log_conflict(vt_transformer_job *job, vt_train_loop *loop,
                                               const vt_schedule *subnet, variant_error *err);

/* ---- transformer_log.c ---- */

void vt_transformer_job_unite(void *self, variant_ranks *ranks);
void vt_transformer_job_describe(void *self, vt_train_loop *loop, cJSON *line);
/* What was summed for the next line of the log is zero again. */
void vt_transformer_job_forget(vt_transformer_job *job);
variant_status vt_transformer_job_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                           variant_error *err);
/* The passes that it makes, on any tokens. */
variant_status vt_transformer_job_rehearse_evaluation(vt_transformer_job *job, vt_train_loop *loop,
                                                      variant_error *err);

#endif
