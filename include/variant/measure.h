/* variant/measure.h - how long pictures, shared steps, single kernels and steps of training take, beside the least they could take on this
 * machine: `variant bench`.
 *
 * Times are medians in milliseconds. Runs that other work got in the way of are made again, at most as often; medians are of the quiet
 * ones or, where those are too few, of all, and then marked as disturbed. A floor is the larger of arithmetic at the register peak and
 * bytes at the memory bandwidth, both measured in the same call: a backend without probes for them ("ref") is E_UNSUPPORTED. Whoever
 * measures lets nothing else run beside it. */
#ifndef VARIANT_MEASURE_H
#define VARIANT_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/generate.h>

VARIANT_BEGIN

#define VARIANT_BENCH_MOST_REPEAT 1000  /* runs of anything below */
#define VARIANT_BENCH_MOST_REQUESTS 256 /* of variant_bench_streams */

typedef enum variant_bench_event {
    VARIANT_BENCH_SAYS,   /* what is being done is `doing`, between runs */
    VARIANT_BENCH_BEGINS, /* a run, called `doing` */
    VARIANT_BENCH_STEPS,  /* a scale of it is done */
    VARIANT_BENCH_ENDS
} variant_bench_event;

/* The library's, for the length of the call. */
typedef struct variant_bench_progress {
    variant_bench_event event;
    const char *doing;     /* "warming up", "run 2" */
    int depth;             /* of the run; 0: all layers, or as the request says */
    double expected, left; /* seconds of the run, and of those after it; below 0: not known yet */
    int scale, scales;     /* done, of K */
    double seconds;        /* that the run took, once it has ended */
} variant_bench_progress;

/* ---- pictures ---- */

typedef struct variant_bench_options {
    size_t size;       /* variant_bench_options_init sets it */
    const int *depths; /* the request at each of these, by turns; none: as it is */
    int depth_count;   /* up to VARIANT_MAX_DEPTHS */
    int repeat;        /* runs counted of each */
    double seconds; /* of all runs: then fewer of them, at least one of each depth; 0: no limit */
    void (*progress)(void *user, const variant_bench_progress *at); /* NULL */
    void *user;
} variant_bench_options;
/* repeat 5, nothing else. */
VARIANT_SIZED(variant_bench_options);

/* Of a batch of pictures at a depth. */
typedef struct variant_bench_figures {
    int runs, quiet_runs;
    bool disturbed;                                              /* too few were quiet ... */
    char why[200];                                               /* ... for this */
    double picture_ms, condition_ms, transformer_ms, decoder_ms; /* the third with the second */
    double transformer_floor_ms, decoder_floor_ms;
    double first_ms; /* of the very first run, until its first scale was there */
    int scales; /* K; of each the layers run, the transformer's time with the head, the head's, the floor */
    int scale_layers[VARIANT_MAX_SCALES];
    double scale_ms[VARIANT_MAX_SCALES], head_ms[VARIANT_MAX_SCALES],
        scale_floor_ms[VARIANT_MAX_SCALES];
    char depths[VARIANT_MAX_SCALES * 4]; /* "8,8,8,4" */
    size_t kv_peak_bytes, kv_end_bytes, arena_peak_bytes;
    size_t peak_resident_bytes; /* of the process in the very first run of this depth */
    /* beside other depths: the transformer by the first one's time of a layer at each scale, head and condition in full; and which of
     * them runs more layers and was faster all the same, which none can be; -1 */
    double expected_ms;
    int contradicts;
} variant_bench_figures;

/* Made by the library: variant_bench_results_free. */
typedef struct variant_bench_results {
    int count;
    const variant_bench_figures *const *figures; /* (count), in the order of depths */
} variant_bench_results;

/* Times the request (request->count pictures at batch; its callbacks are not called) after a run that is not counted. E_ARGUMENT: options or
 * a request that are not valid. Threads: one. */
variant_status variant_bench(variant_bench_results **out, const variant_engine *engine,
                             const variant_request *request, const variant_bench_options *options,
                             variant_error *error);
/* Threads: one. */
void variant_bench_results_free(variant_bench_results **results);

/* ---- requests that share steps ---- */

typedef struct variant_bench_streams_options {
    size_t size;  /* variant_bench_streams_options_init sets it */
    int requests; /* of one picture each, 2 to VARIANT_BENCH_MOST_REQUESTS */
    int every; /* steps between one's beginning and the next's, up to K; 0: half a picture for two requests, else 1 */
    const int *depths; /* of the requests in turn, 0: all layers; none: the request's */
    int depth_count;   /* up to VARIANT_MAX_DEPTHS */
    int repeat;
    void (*progress)(void *user, const variant_bench_progress *at); /* VARIANT_BENCH_SAYS; NULL */
    void *user;
} variant_bench_streams_options;
/* 2 requests, repeat 5. */
VARIANT_SIZED(variant_bench_streams_options);

/* A way of running them: one after another, together, and, of several depths, together in their order. */
typedef struct variant_bench_way {
    const char *name; /* "one after another" */
    double total_ms, transformer_ms;
    int runs;
} variant_bench_way;

/* Made by the library: variant_bench_streams_free. */
typedef struct variant_bench_shared {
    int requests, every;
    const int *depths; /* (requests) */
    int way_count;
    const variant_bench_way *const *ways; /* (way_count) */
    bool disturbed;
    /* of the transformer: saved by running them together, and what could be, by weights that are read once and steps_saved steps less of
     * fixed_ms, which is what a step costs beside its floor */
    double saved_ms, possible_ms, fixed_ms;
    int steps_saved;
} variant_bench_shared;

/* Times requests that begin some steps apart and share those they have in common, and the same one after another. Threads: one. */
variant_status variant_bench_streams(variant_bench_shared **out, const variant_engine *engine,
                                     const variant_request *request,
                                     const variant_bench_streams_options *options,
                                     variant_error *error);
/* Threads: one. */
void variant_bench_streams_free(variant_bench_shared **shared);

/* ---- kernels ---- */

/* What the machine could do at most. */
typedef struct variant_bench_peaks {
    const char *kernels;          /* what computes: one line */
    double flops_f32, flops_bf16; /* a second, in registers */
    double stream;                /* bytes a second, from memory */
} variant_bench_peaks;

typedef struct variant_bench_kernel {
    const char *name, *type, *size; /* "product", "bf16", "18 rows, 3072 x 1024" */
    double ms, floor_ms;
    double plain_ms; /* of the plain-C twin, a single call; below 0: not run */
    bool disturbed;
    const char *why;
} variant_bench_kernel;

typedef struct variant_bench_kernels_options {
    size_t size; /* variant_bench_kernels_options_init sets it */
    int threads; /* as variant_engine_options has it */
    int repeat;  /* calls counted of each */
    bool
        products; /* only those of a layer of VAR-d16 and of VAR-d30, at 2 to 512 rows; no plain C */
    void (*peaks)(void *user, const variant_bench_peaks *peaks);    /* once, first; NULL */
    void (*kernel)(void *user, const variant_bench_kernel *kernel); /* each, as it is known; NULL */
    void *user;
} variant_bench_kernels_options;
/* repeat 5, nothing else. */
VARIANT_SIZED(variant_bench_kernels_options);

/* Times each kernel of the processor's backend by itself, at sizes of VAR-d16. Threads: one. */
variant_status variant_bench_kernels(const variant_bench_kernels_options *options,
                                     variant_error *error);

/* ---- steps of training ---- */

typedef enum variant_step_part {
    VARIANT_STEP_INPUTS,
    VARIANT_STEP_FORWARD,
    VARIANT_STEP_BACKWARD,
    VARIANT_STEP_OPTIMIZER,
    VARIANT_STEP_REFRESH, /* weights as products read them */
    VARIANT_STEP_WHOLE
} variant_step_part;
#define VARIANT_STEP_PARTS 6

typedef struct variant_bench_train_options {
    size_t size; /* variant_bench_train_options_init sets it */
    const char *
        config; /* synthetic weights of a configuration's file (variant_synth_options.config), instead of a model; NULL */
    const char *precision; /* of products, "f32" (NULL) or "bf16" */
    int depth;             /* layers of the subnet's late scales; 0: half of all */
    int bridge;            /* scales at full depth before them */
    int batch;             /* pictures a step */
    int repeat;            /* steps counted of each kind */
} variant_bench_train_options;
/* bridge 4, batch 64, repeat 5. */
VARIANT_SIZED(variant_bench_train_options);

/* Of a kind of step. */
typedef struct variant_bench_step {
    double ms[VARIANT_STEP_PARTS], floor_ms[VARIANT_STEP_PARTS]; /* floor 0: not counted */
    double best_ms;
    int quiet_runs;
    bool disturbed;
    char why[200];
} variant_bench_step;

/* Made by the library: variant_bench_training_free. */
typedef struct variant_bench_training {
    const char *kernels;              /* what computed: one line */
    int layers, width, tokens, depth; /* of the model, L; of the subnet */
    int runs;                         /* of each kind */
    bool
        contradicted; /* the subnet's step was slower than the full path's, which runs more layers */
    const variant_bench_step *full, *subnet;
} variant_bench_training;

/* Times steps of supernet training on tokens of a formula, full and subnet by turns; what the weights become is thrown away. Of the model's
 * options model, tokenizer, sides, heads, part, warn, backend and threads are read. E_MEMORY: measured before it is taken. Threads: one. */
variant_status variant_bench_train(variant_bench_training **out,
                                   const variant_engine_options *model,
                                   const variant_bench_train_options *options,
                                   variant_error *error);
/* Threads: one. */
void variant_bench_training_free(variant_bench_training **training);

VARIANT_END

#endif
