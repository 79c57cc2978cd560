/* trainer.h - the trainings: a tokenizer, a transformer, a transformer as a supernet, a classifier, and a preview decoder.
 *
 * A run is a function of its options and its data: everything random is keyed by (seed, step) or
 * (seed, epoch), so that a run that was stopped, or killed, and taken up again from its checkpoint
 * gives the same weights as one that never stopped. What a run leaves in its folder:
 *
 *     checkpoint.safetensors   weights, AdamW moments, counters; replaced whole, every save_every steps
 *     log.jsonl                one JSON object a line, every log_every steps
 *     samples/                 contact sheets, every sample_every steps
 *     pictures.index           what is known of the files of a large data set
 *     tokens.cache             the pictures as tokens (transformer and supernet)
 *     tokenizer.safetensors, transformer.safetensors, classifier.safetensors
 *                              the model, when the run ends or is stopped
 *     model.safetensors        likewise, of a preview decoder: the model that it was trained for, with it inside
 *
 * Called by train.c, which is the trainings of variant.h, and the tests. Prints nothing: progress and notes go
 * to the caller's functions. */
#ifndef VT_TRAIN_TRAINER_H
#define VT_TRAIN_TRAINER_H

#include <signal.h>

#include "dist/ranks.h"
#include "engine/model.h"
#include "features/classifier.h"
#include "io/data.h"
#include "train/lr.h"
#include "train/optimizer.h"

/* Where a run is; handed to the caller after every step. */
typedef struct vt_train_progress {
    int64_t step, steps; /* steps done, steps in all */
    double epoch;
    double loss; /* of this step */
    double learning_rate;
    double pictures_per_second;
    const char *doing; /* "training", "encoding" (step and steps count pictures then) */
} vt_train_progress;

typedef struct vt_train_common {
    vt_data
        data; /* its split does not matter: training pictures, and the test split for evaluations */
    const char *output; /* the run's folder */
    /* Open until the data is known: what is 0 here, or negative in lr, is what a resumed run has, or
     * follows from the number of pictures (choose.h), and a note says what it is. */
    double epochs; /* real numbers allowed; used when steps is 0 */
    int64_t steps;
    int batch;
    int accumulate; /* so many slices of a batch are computed one after another; 0: one */
    bool
        recompute; /* activations within a layer are computed again in backward: the same bits in less memory */
    int limit; /* this many pictures, spread evenly over the data; 0: all */
    uint64_t seed;
    vt_lr lr;       /* peak 0, end and warmup -1: open; the end is a fiftieth of the peak then */
    bool hold_rate; /* a resumed run of another length: its rate stays, instead of a new cosine */
    vt_optimizer_options optimizer;
    vt_number
        precision; /* of products: F32 or BF16; master weights and sums are float32 either way */
    bool flip;     /* mirror every other picture */
    int64_t log_every, save_every, sample_every,
        eval_every;   /* steps; 0: never (the end always saves) */
    int eval_count;   /* pictures of the test split; 0: all */
    bool resume;      /* go on from the checkpoint in output, which must be there */
    bool verify_data; /* transformers: token_cache.h's verify; no index of pictures is believed */
    const char
        *index;   /* of large folders' pictures (io/picture_index.h); NULL: OUTPUT/pictures.index */
    bool trust;   /* checksums of models and of the checkpoint are not looked at */
    bool restart; /* a checkpoint in output may be overwritten */
    bool dry_run; /* measures the memory and ends; output may be NULL, nothing is written */
    /* A diverged step, its gradient not finite or its loss a spike, changes no weight. True: it is
     * left out, noted and logged (ten in a row end the run); false: it ends the run. The last
     * checkpoint stays either way. */
    bool skip_diverged;
    /* After the warm-up, a loss above so many times its running mean (spike.h) is a spike; above 1.
     * 0: none is. Not a setting: a run may go on with another. */
    double spike;
    const volatile sig_atomic_t
        *stop; /* becomes non-zero: finish the step, save, return; may be NULL */
    const volatile sig_atomic_t *stop_too; /* likewise, of somebody else */
    int64_t stop_after;                    /* likewise behind this step; 0: behind the last */
    variant_ranks *ranks;                  /* who compute it together (together.h); NULL: one */
    vt_wire wire;                          /* as what gradients travel between them */
    bool shard_optimizer;                  /* moments: each of its share; false: of all */
    void (*progress)(void *user, const vt_train_progress *progress); /* may be NULL */
    void (*note)(void *user, const char *line);                      /* may be NULL */
    /* with each line of log.jsonl; may be NULL */
    variant_status (*logged)(void *user, const struct cJSON *line, variant_error *err);
    void *user;
} vt_train_common;

/* Bytes of a run, part by part, found before any of them is taken by running its own code over a backend
 * that computes nothing (kern/dry.h). Not in it: pages of mapped files, the program itself, and what
 * decoding a picture takes for a moment. */
typedef struct vt_train_memory {
    size_t weights;            /* float32, of the model in training */
    size_t packed;             /* the same once more, as bf16 products read them; 0 in f32 */
    size_t gradients, moments; /* float32: one and two numbers a weight */
    size_t activations; /* the arena: of all kinds of step and evaluation the one that takes most */
    size_t tokenizer;   /* the frozen one; 0 where none is */
    size_t data;        /* pictures and tokens held, batches on the host */
    size_t encoding;    /* while pictures become tokens, before the first step */
    size_t saving;      /* a tensor at a time, while a file is written */
    size_t samples;     /* while a contact sheet is drawn */
    size_t total;       /* at most at a time: encoding ends before activations are taken */
} vt_train_memory;

/* How a run ended. */
typedef struct vt_train_result {
    bool stopped; /* before its last step */
    int64_t step, steps;
    double loss;             /* of the last step */
    char model[4096];        /* the file written */
    vt_train_memory memory;  /* as measured before the run */
    size_t activations_peak; /* what its steps then took of memory.activations */
} vt_train_result;

typedef struct vt_train_tokenizer_options {
    vt_train_common common;
    /* channels 0: 1 for IDX, 3 for folders; all else that is 0 is open */
    vt_tokenizer_config config;
    int side; /* of pictures, made one that the levels can halve; 0: what the scales make, or 32 */
    int crop; /* pictures come this much larger, and a random window is cut; 0: none */
    double vq_weight;
    int revive_after; /* a code unused for this many steps is re-seeded; 0: never */
} vt_train_tokenizer_options;

typedef struct vt_train_classifier_options {
    vt_train_common common; /* eval_every 0: every epoch */
    /* classes from the data; channels 0: 1 for IDX, 3 for folders; side, width, levels, blocks and
     * features that are 0 are open */
    vt_classifier_config config;
    const char *model; /* a classifier of the same shape to start from; NULL: from nothing */
    int crop;          /* pictures come this much larger, and a random window is cut; -1: open */
    double erase;      /* chance that a rectangle of a picture is covered */
    double label_smoothing;
} vt_train_classifier_options;

/* Distils a preview decoder (tokenizer/preview.h) from a frozen tokenizer's own:
 *
 *     loss = pixels mean((y - picture)^2) + teacher mean((y - decoder(f_hat))^2),  y = preview(f_hat)
 *
 * over f_hats of whole pictures, and, with the chance `partial`, of a picture's first scales alone, of which the second term
 * is all that can be asked for. */
typedef struct vt_train_decoder_options {
    vt_train_common common;
    const char *tokenizer; /* file or folder: a tokenizer, or a whole model */
    const char *part;      /* which of several models in a file (engine/model.h); NULL */
    const char *size;      /* "tiny", "small" or "medium"; NULL: small, or the resumed run's */
    double pixels, teacher, partial;
} vt_train_decoder_options;

typedef struct vt_train_transformer_options {
    vt_train_common common;
    const char *tokenizer; /* file or folder */
    const char *part;      /* which of several models in a file (engine/model.h); NULL */
    const char *cache;     /* token cache; NULL: OUTPUT/tokens.cache */
    double label_drop, label_smoothing;
    /* A new transformer; codes, latent_dim, classes and sides come from the tokenizer and the data,
     * depth, width and heads that are 0 are open, hidden 0 is mlp_ratio times the width. */
    vt_transformer_config config;
    double mlp_ratio;
    /* A supernet: model, phases and the schedule's two zones. */
    bool supernet;
    const char *model; /* the full transformer to start from (file or folder); NULL: from nothing */
    vt_phases phases;  /* depth_count 0, joint_end and transition_end -1: open */
    int weight_count;  /* of phases.weights, as many as subnets; 0: not told */
    int bridge; /* phases.more_bridge makes it a range; -1: from 6 in 10 of the scales to one more */
    vt_selector selector;
    /* One list of depths a scale for each subnet, as "8,8,4,2;8,4,4,2", instead of phases.depths,
     * bridge and its range; NULL. */
    const char *schedules;
    /* Weight of KL from the full path's logits (no gradient flows to them) to the subnet's, on the
     * tokens that run fewer layers; 0: none. It moves evenly from the first to the second over the
     * training; a negative end: it stays. */
    double distill, distill_end;
    /* Nine in ten of the labels that are dropped fall on steps that draw the subnet of this depth, which guidance's
     * unconditional branch runs; label_drop stays their share where subnets are drawn alike. 0: on every step. */
    int uncond_depth;
    /* Every so many steps: a line of log.jsonl with the cosine between the gradients of both paths.
     * Costs such a step two more passes and memory for one more gradient; 0: never. */
    int64_t log_conflict;
} vt_train_transformer_options;

/* What is open is left open. */
void vt_train_tokenizer_options_init(vt_train_tokenizer_options *options);
void vt_train_transformer_options_init(vt_train_transformer_options *options);
void vt_train_supernet_options_init(vt_train_transformer_options *options);
void vt_train_classifier_options_init(vt_train_classifier_options *options);
void vt_train_decoder_options_init(vt_train_decoder_options *options);

/* Runs to the end, or until stopped (result->stopped, VARIANT_OK). E_MEMORY, before the first byte of it is
 * taken, when a limit of this process or the machine (core/limits.h) leaves less than result->memory. */
variant_status vt_train_tokenizer(vt_kern *kern, const vt_train_tokenizer_options *options,
                                  vt_train_result *result, variant_error *err);
variant_status vt_train_transformer(vt_kern *kern, const vt_train_transformer_options *options,
                                    vt_train_result *result, variant_error *err);
variant_status vt_train_classifier(vt_kern *kern, const vt_train_classifier_options *options,
                                   vt_train_result *result, variant_error *err);
variant_status vt_train_decoder(vt_kern *kern, const vt_train_decoder_options *options,
                                vt_train_result *result, variant_error *err);

#endif
