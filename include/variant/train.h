/* variant/train.h - the trainings: from pictures to a model. */
#ifndef VARIANT_TRAIN_H
#define VARIANT_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/data.h>
#include <variant/ranks.h>

VARIANT_BEGIN

#define VARIANT_MAX_LAYERS 128 /* of a transformer */

/* Where a training is; the library's, for the length of the call. */
typedef struct variant_train_progress {
    const char *doing;   /* "training"; "encoding", before it: step and steps count pictures then */
    int64_t step, steps; /* done, in all */
    double epoch;
    double loss;          /* of this step */
    double learning_rate; /* of this step */
    double pictures_per_second;
    double seconds_left; /* at the pace so far; below 0: not known yet */
} variant_train_progress;

/* A value of a line of log.jsonl: text, or numbers; NaN where a number is not finite. */
typedef struct variant_metric {
    const char *name;     /* "loss", "test_psnr", "codes_used_by_scale"; docs/TRAINING.md has all */
    const char *text;     /* NULL: numbers */
    int count;            /* of numbers; 1 but for lists */
    const double *values; /* (count) */
} variant_metric;

/* A line of log.jsonl, just written; the library's, for the length of the call. */
typedef struct variant_metrics {
    int64_t step;     /* which it is about */
    bool evaluation;  /* on the test pictures */
    const char *json; /* the line, without its end */
    int count;
    const variant_metric *const *metrics; /* (count), in the line's order, step among them */
} variant_metrics;

typedef enum variant_training_kind {
    VARIANT_TRAINING_TOKENIZER,
    VARIANT_TRAINING_TRANSFORMER,
    VARIANT_TRAINING_SUPERNET,
    VARIANT_TRAINING_CLASSIFIER,
    VARIANT_TRAINING_DECODER
} variant_training_kind;

/* What all trainings have. What is 0 here, or below 0 where that is said, is open: a run that goes on has it as before, else it
 * follows from the data, and a note says what it is. */
typedef struct variant_training {
    size_t size;              /* variant_training_init sets it */
    const variant_data *data; /* required */
    /* The run's folder, made where it is not there: checkpoint.safetensors, log.jsonl, samples/, at the end the model. A
     * folder belongs to one run at a time. Required but for a dry run */
    const char *output;
    const char *backend; /* "cpu" (default) or "ref" */
    int threads;   /* 0: one a processor that the process may use. Weights do not depend on it */
    double epochs; /* times through the data, real numbers allowed; read when steps is 0 */
    int64_t steps; /* 0: epochs */
    int64_t stop_after;       /* end behind this step as if stopped; 0: the last */
    int batch;                /* pictures a step */
    int limit;                /* only so many pictures, spread over the data; 0: all */
    uint64_t seed;            /* of everything random */
    double learning_rate;     /* highest, up to 1 */
    double learning_rate_end; /* where its cosine ends; -1: a fiftieth of the highest */
    int64_t warmup;           /* steps in which it rises; -1: open */
    bool constant_rate;       /* after the warm-up, instead of the cosine */
    double weight_decay;      /* AdamW (arXiv 1711.05101), of matrices */
    double beta1, beta2;
    double clip; /* global gradient norm; 0: off */
    const char
        *precision; /* of products, "f32" or "bf16"; weights and sums are float32 either way */
    bool flip;      /* mirror pictures at random */
    /* steps between lines of log.jsonl, checkpoints, contact sheets and evaluations; 0: never, but for the end */
    int64_t log_every, save_every, sample_every, eval_every;
    int eval_count; /* test pictures of an evaluation; 0: all */
    bool
        resume; /* go on from the checkpoint in output, which must be there; with the same settings the same weights */
    bool restart; /* begin anew though there is one */
    bool
        keep_rate; /* resume with other steps or epochs: the rate stays as it is, instead of a new cosine */
    bool dry_run; /* only tell the memory in the result; nothing is written */
    /* A diverged step, its gradient not finite or its loss a spike, changes no weight: it is left out (ten in a row end the
     * run, E_MISMATCH). false: the first one does; the last checkpoint stays either way */
    bool skip_diverged;
    double
        spike; /* a loss above so many times its running mean is a spike; 0: none is, else above 1 */
    /* after every step and between pictures that are encoded; false stops as cancel does; NULL */
    bool (*progress)(void *user, const variant_train_progress *at);
    void (*metrics)(void *user,
                    const variant_metrics *line); /* with each line of log.jsonl; NULL */
    /* a line on what was found in the data, chosen or left out; pictures are read by several threads, of which one at a time
     * calls; NULL */
    void (*note)(void *user, const char *line);
    void *user;
    /* not 0: the step is finished, all is saved and the call returns; another thread may set it, atomically; NULL */
    const int *cancel;
    bool verify; /* of the models given and the checkpoint, as variant_engine_options has it */
    /* Processes that compute this training together: each calls it with the same settings and data, each has a part of every
     * batch, and all get the same weights and status. The first one writes the files, which all must be able to read, and only
     * there are progress, metrics and note called; any may be stopped, and all are. NULL: this process alone. Borrowed */
    variant_ranks *ranks;
    const char *wire; /* as what gradients travel between ranks, "f32" or "bf16" */
    /* each rank keeps AdamW's moments of a share of the parameters alone; false: of all. The weights are the same */
    bool shard_optimizer;
    /* A batch is computed in so many slices, one after another, whose gradients add up to the batch's: memory for activations is
     * that of one slice. Weights are the same to within rounding, not to the bit; 0: as a resumed run has it, or one */
    int accumulate;
    /* Of each layer its input alone is kept, and the rest is computed again when its gradient is due: weights are the same to the
     * bit, memory for activations is a fraction, a step takes about a third longer */
    bool recompute;
    /* A file for what was found in folders of more than 20000 training pictures, made where there is none, by which they are opened again
     * without a look at each picture as long as no folder changed; NULL: pictures.index in output */
    const char *index;
} variant_training;

/* Defaults of `variant train KIND`: verify, seed 1, holdout as the data say, a line every 50 steps, a checkpoint every 500. */
void variant_training_init_sized(variant_training *out, size_t size, variant_training_kind kind);
static inline void variant_training_init(variant_training *out, variant_training_kind kind) {
    variant_training_init_sized(out, sizeof *out, kind);
}

/* How a training ended. Bytes are those that it takes part by part, measured before any of them is taken; pages of mapped files
 * and the caller's own pictures come on top. */
typedef struct variant_train_result {
    size_t size;         /* variant_train_result_init sets it */
    bool stopped;        /* before its last step, all saved; resume goes on */
    int64_t step, steps; /* done, in all */
    double loss;         /* of the last step that was run */
    /* Of the last evaluation: cross-entropy in nats (transformers: a token's mean), of tokenizers the mean squared error of
     * pictures in [-1, 1]; NaN: there was none, or it is of a decoder, whose measures `metrics` has */
    double test_loss;
    char model[4096];    /* the file written */
    size_t weight_bytes; /* float32, of the model in training */
    size_t packed_bytes; /* the same once more, as bf16 products read them */
    size_t gradient_bytes, moment_bytes;
    size_t activation_bytes; /* at most, of all kinds of step and evaluation */
    size_t tokenizer_bytes;  /* of the trained one, which stays as it is */
    size_t data_bytes;       /* pictures and tokens held, a batch of them */
    size_t encoding_bytes;   /* while pictures become tokens, before the first step */
    size_t saving_bytes;     /* while a checkpoint is written */
    size_t sample_bytes;     /* while a contact sheet is drawn */
    size_t total_bytes;      /* at most at a time */
    size_t activation_peak;  /* what the steps then took of activation_bytes */
} variant_train_result;
/* All 0, test_loss NaN. */
VARIANT_SIZED(variant_train_result);

/* The trainings. Each runs to its end or until it is stopped (VARIANT_OK, result.stopped); options may be NULL: defaults.
 * result may be NULL, and where a training fails holds what is known of its memory. Structs and what they point to are borrowed
 * for the length of the call; options' strings likewise. E_ARGUMENT: an option or a combination is not valid, the folder has a
 * checkpoint and neither resume nor restart is set, or a resumed run's settings differ; E_FORMAT, E_IO: data or files;
 * E_MODEL: a given model does not fit; E_MEMORY before the first byte is taken where a limit of this process or the machine
 * leaves less than total_bytes; E_MISMATCH: diverged. Threads: any, each run in a folder of its own; the callbacks of
 * one come in its caller's thread, but for notes on pictures, which come from those that read them, one at a time. */

/* A tokenizer: pictures to token maps and back (multi-scale residual VQ-VAE; VAR, arXiv 2404.02905, section 3.2). */
typedef struct variant_train_tokenizer_options {
    size_t size; /* variant_train_tokenizer_options_init sets it */
    int side; /* of pictures, made one that the levels can halve; 0: what sides and levels make, or 32 */
    int channels; /* 1 grey or 3 RGB; 0: as the pictures have it, of a folder 3 */
    int width;    /* channels of the first level, a multiple of 32; 0: open */
    int level_count,
        mult[VARIANT_MAX_LEVELS];          /* channel multiplier of each level; 0: from the side */
    int blocks;                            /* residual blocks a level */
    int codes, latent_dim;                 /* codebook: entries and their size; 0: open */
    int scales, sides[VARIANT_MAX_SCALES]; /* of the token maps, rising; 0: from the side */
    int crop;         /* pictures are read this many pixels larger and a random window is cut */
    double vq_weight; /* of the quantisation loss */
    int revive_after; /* a code unused for so many steps is put where pictures are; 0: never */
} variant_train_tokenizer_options;
/* One block, vq_weight 1, revive_after 100, the rest open. */
VARIANT_SIZED(variant_train_tokenizer_options);
variant_status variant_train_tokenizer(const variant_training *training,
                                       const variant_train_tokenizer_options *options,
                                       variant_train_result *result, variant_error *error);

/* A transformer on a trained tokenizer's token maps (VAR, arXiv 2404.02905, section 3.3). */
typedef struct variant_train_transformer_options {
    size_t size;           /* variant_train_transformer_options_init sets it */
    const char *tokenizer; /* file or folder; required, unless a supernet's model holds one */
    const char *part; /* which of several models in a file; NULL: averaged weights before others */
    /* the pictures as tokens; NULL: tokens.cache in the run's folder. A cache that does not fit is made again; another file
     * there, such as tokens that variant_tokens_write wrote, is refused, E_ARGUMENT */
    const char *cache;
    bool verify_data;  /* read every picture again to see whether its tokens still hold */
    double label_drop; /* share of labels dropped for guidance */
    double label_smoothing;
    int depth, width, heads; /* layers, C, attention heads of a new transformer; 0: open */
    double mlp_ratio;        /* hidden width of the MLP, of C */
    bool shared_adaln;       /* one modulation for all blocks */
    bool l2_norm;            /* queries and keys are normalised */
} variant_train_transformer_options;
/* label_drop 0.1, mlp_ratio 4, l2_norm, the rest open. */
VARIANT_SIZED(variant_train_transformer_options);
variant_status variant_train_transformer(const variant_training *training,
                                         const variant_train_transformer_options *options,
                                         variant_train_result *result, variant_error *error);

/* A transformer whose late scales can run fewer layers (VARiant, arXiv 2511.16546): full path and subnets are trained together. */
typedef struct variant_train_supernet_options {
    size_t size; /* variant_train_supernet_options_init sets it */
    const char
        *model; /* the trained full transformer to start from, file or folder; NULL: a new one */
    int depth_count,
        depths[VARIANT_MAX_DEPTHS]; /* of the subnets; 0: half of the layers and a quarter */
    int bridge; /* scales at full depth before the subnet's; -1: 6 in 10 of all, to one more ... */
    int more_bridge;    /* ... and up to so many more, drawn at each step */
    const char *layers; /* "equidistant", "rounded" or "prefix" */
    const char *
        schedules; /* "8,8,4,2;8,4,4,2": layers of each scale for each subnet, instead of the above; NULL */
    /* Both paths at every step, their gradients averaged. false: one path a step, the subnet's ever more often: with the chance
     * joint_ratio until epoch joint_end, then rising to 1 at epoch transition_end (-1: a sixth and two thirds of all epochs) */
    bool sandwich;
    double joint_ratio, joint_end, transition_end;
    double
        fixed_ratio; /* one path a step, the subnet's with this chance throughout, sandwich or not; -1: as above */
    /* a subnet, of several: "uniform", "weighted", or "deepest-first": the others join one by one until transition_end. Weights
     * alone are meant as weighted */
    const char *draw;
    int weight_count; /* as many as subnets, or 0 */
    double weights[VARIANT_MAX_DEPTHS];
    /* weight of KL from the full path's predictions to the subnet's where layers are left out, moving evenly from the first
     * to the second; below 0: it stays. 0: none */
    double distill, distill_end;
    int uncond_depth; /* labels are dropped mostly where the subnet of this depth is drawn: guidance's weaker branch; 0: anywhere */
    int64_t log_conflict; /* steps between lines on the cosine of both paths' gradients; 0: never */
} variant_train_supernet_options;
/* A sandwich of equidistant layers, distill from 4 to 2, the rest open. */
VARIANT_SIZED(variant_train_supernet_options);
/* transformer: the tokenizer, and the new transformer where no model is given; NULL: defaults. */
variant_status variant_train_supernet(const variant_training *training,
                                      const variant_train_transformer_options *transformer,
                                      const variant_train_supernet_options *options,
                                      variant_train_result *result, variant_error *error);

/* A small network that names a picture's class, by which generated pictures are judged. */
typedef struct variant_train_classifier_options {
    size_t size;       /* variant_train_classifier_options_init sets it */
    const char *model; /* a classifier of the same shape to start from; NULL: from nothing */
    int side;          /* of pictures, made one that the levels can halve; 0: 32 */
    int channels;      /* 1 grey or 3 RGB; 0: as the pictures have it, of a folder 3 */
    int width;         /* channels of the first level, a multiple of 32 */
    int level_count,
        mult[VARIANT_MAX_LEVELS]; /* channel multiplier of each level; 0: from the side */
    int blocks;                   /* residual blocks a level */
    int features;                 /* numbers that describe a picture */
    int crop; /* pictures are read this many pixels larger and a random window is cut; -1: open */
    double erase; /* chance that a rectangle of a picture is covered */
    double label_smoothing;
} variant_train_classifier_options;
/* width 32, one block, 64 features, crop -1, label_smoothing 0.05. */
VARIANT_SIZED(variant_train_classifier_options);
variant_status variant_train_classifier(const variant_training *training,
                                        const variant_train_classifier_options *options,
                                        variant_train_result *result, variant_error *error);

/* A small, fast decoder for previews, distilled from a tokenizer's own. The file written is the model given with it inside. */
typedef struct variant_train_decoder_options {
    size_t size;           /* variant_train_decoder_options_init sets it */
    const char *tokenizer; /* a trained tokenizer, or a whole model; required */
    const char *part;      /* which of several models in a file; NULL */
    const char *
        decoder; /* "tiny", "small" or "medium": an eighth, a quarter or half of the channels; NULL: open, small */
    double pixels,
        teacher; /* weights of the squared differences from the pictures and from the tokenizer's own decoder */
    double partial; /* chance that a picture is shown by its first scales alone */
} variant_train_decoder_options;
/* pixels 1, teacher 1, partial 0.5. */
VARIANT_SIZED(variant_train_decoder_options);
variant_status variant_train_decoder(const variant_training *training,
                                     const variant_train_decoder_options *options,
                                     variant_train_result *result, variant_error *error);

VARIANT_END

#endif
