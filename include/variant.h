/* variant.h - visual autoregressive image generation whose depth is chosen per request.
 *
 * The one public header of libvariant. A complete program:
 *
 *     #include <stdio.h>
 *     #include <variant.h>
 *
 *     int main(void) {
 *         variant_error error;
 *         variant_engine *engine = NULL;
 *         variant_engine_options options;
 *         variant_engine_options_init(&options);
 *         options.model = "models/fashion";
 *         if (variant_engine_open(&engine, &options, &error) != VARIANT_OK) {
 *             fprintf(stderr, "%s\n", error.message);
 *             return 1;
 *         }
 *         variant_request request;
 *         variant_request_init(&request);
 *         request.class_name = "Sneaker";
 *         request.depth = 4;    // the late scales run 4 of the layers ...
 *         request.bridge = 4;   // ... after 4 scales that run all of them
 *         variant_picture *pictures = NULL;
 *         variant_status status = variant_generate(engine, &request, &pictures, NULL, &error);
 *         if (status == VARIANT_OK)
 *             status = variant_picture_write_png(&pictures[0], "sneaker.png", &error);
 *         if (status != VARIANT_OK) fprintf(stderr, "%s\n", error.message);
 *         variant_pictures_free(&pictures, request.count);
 *         variant_engine_close(&engine);
 *         return status == VARIANT_OK ? 0 : 1;
 *     }
 *
 * Conventions. Every function that can fail returns a variant_status and, when it is not
 * VARIANT_OK, fills the caller's variant_error (which may be NULL). Nothing here prints, exits or
 * aborts. x_open(&x, ...) gives an object that x_close(&x) releases and sets to NULL; closing NULL
 * is allowed. Structs of options are filled with defaults by their _init function, then changed by
 * the caller; strings in them are borrowed for the length of the call. An engine is immutable once
 * open and may be shared by threads; each variant_generate call owns its memory.
 *
 * Threads. "Threads: any": several may call the function at once, with the same objects too. "Threads: one": one at a time for each object
 * that it is given to change or to close, any thread. Callbacks are called in the thread that computes, which is the caller's. The thread
 * sanitizer watches test_shared, test_concurrent and test_streams do what this says.
 *
 * Versions. A program runs with a library that is newer than the header it was compiled with, whose structs may be longer at
 * the end. Structs that a caller makes therefore begin with their size, which their _init function puts there: options and
 * requests, and likewise those that a call fills (`variant_report report = {.size = sizeof report};` does the same for these). What a
 * caller's size does not reach has its default, and is not written. A size that no _init has set is E_ARGUMENT; a program newer
 * than the library may use a struct as long as it sets nothing in it that the library does not know (E_UNSUPPORTED). Structs that
 * the library makes and hands out by pointer have no size and may be longer, too: copy the members that you need. Two are made
 * by both sides and lie in arrays, and stay as they are: variant_error and variant_picture.
 */
#ifndef VARIANT_H
#define VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* what libvariant.so shows, whatever else is hidden */
#endif

#define VARIANT_VERSION_MAJOR 0
#define VARIANT_VERSION_MINOR 1
#define VARIANT_VERSION_PATCH 0

/* ---- status --------------------------------------------------------------------------------- */

/* X(code, number, sentence) */
#define VARIANT_STATUS_TABLE(X)                                                                    \
    X(OK, 0, "success")                                                                            \
    X(E_ARGUMENT, 1, "an argument or option is not valid")                                         \
    X(E_MEMORY, 2, "memory could not be obtained")                                                 \
    X(E_IO, 3, "a file could not be opened, read or written")                                      \
    X(E_FORMAT, 4, "a file is damaged or not of the format expected")                              \
    X(E_MODEL, 5, "a model's tensors or configuration do not fit")                                 \
    X(E_UNSUPPORTED, 6, "not supported by this build or machine")                                  \
    X(E_STOPPED, 7, "stopped by the caller")                                                       \
    X(E_MISMATCH, 8, "a result differs from its reference")                                        \
    X(E_DEVICE, 9, "the device that computes has failed")

typedef enum variant_status {
#define X(code, number, sentence) VARIANT_##code = number,
    VARIANT_STATUS_TABLE(X)
#undef X
} variant_status;

/* The code's name ("E_MODEL") and its sentence; never NULL. Threads: any. */
const char *variant_status_name(variant_status status);
const char *variant_status_sentence(variant_status status);

typedef struct variant_error {
    variant_status status;
    char message[512]; /* one line: what, where, what was expected; "" on success */
} variant_error;

/* "0.1.0". Threads: any. */
const char *variant_version(void);

/* Declares NAME_init, which sets a struct's size and its defaults. It is compiled into the caller, whose size it must be; the
 * library's part is NAME_init_sized, which other languages call with the size of the struct they have. */
#define VARIANT_SIZED(name)                                                                        \
    void name##_init_sized(name *out, size_t size);                                                \
    static inline void name##_init(name *out) {                                                    \
        name##_init_sized(out, sizeof *out);                                                       \
    }                                                                                              \
    struct variant_semicolon_ /* so that a semicolon may follow */

#define VARIANT_MAX_SCALES 32
#define VARIANT_MAX_DEPTHS 16

/* ---- the machine ------------------------------------------------------------------------------ */

/* What this process may use of the machine, and which kernels it gets; read anew at each call, from any thread. */
typedef struct variant_machine {
    size_t size;         /* variant_machine_init sets it */
    char processor[96];  /* "AMD EPYC 7B13 64-Core Processor"; "" where the system does not say */
    char kernels[16];    /* the loops' instruction set, as VARIANT_CPU names it: "avx2" */
    char offered[16];    /* the processor's best one; another where VARIANT_CPU asks for less */
    char refused[256];   /* why one that the processor has is not had: one line, or "" */
    int processors;      /* of the machine ... */
    int affinity;        /* ... on which this process may run */
    double quota;        /* processors' worth of time that control groups grant; 0: no limit */
    int threads;         /* what an engine takes by itself */
    size_t memory_limit; /* bytes, of the tightest control group; 0: none ... */
    size_t memory_left;  /* ... and what it leaves */
    size_t memory_free;  /* bytes of memory and swap to be had; 0: the system does not say */
    /* bytes that a limit of address space (ulimit -v) leaves; SIZE_MAX: no limit */
    size_t address_space_left;
    char blas[64];    /* "OpenBLAS 0.3.21 Zen" */
    bool blas_serial; /* it has neither threads nor locks: products in float32 take turns */
    char line[160];   /* the limits: "8 processors, affinity to 4, no quota: 4 threads" */
} variant_machine;

/* All 0. */
VARIANT_SIZED(variant_machine);
/* E_ARGUMENT: a size that no _init has set. */
variant_status variant_machine_read(variant_machine *machine, variant_error *error);

/* What OPENBLAS_CORETYPE should be in the environment before the process starts, for kernels that this processor can run: an
 * OpenBLAS older than the processor takes those of 2004. NULL: it chose well, or the variable is set. */
const char *variant_blas_core_wanted(void);

/* The backends that engines may ask for, "cpu" first; NULL behind the last. */
const char *variant_backend_name(int i);
/* What it computes with, a line of at most `size` bytes: "OpenBLAS 0.3.21 Zen, loops avx2, bf16 avx2, int8 avx2, 2 threads".
 * Opens and closes it: E_ARGUMENT of a name that none has, E_MEMORY. */
variant_status variant_backend_describe(const char *name, char *line, size_t size,
                                        variant_error *error);

/* ---- engine: a loaded model ----------------------------------------------------------------- */

typedef struct variant_engine variant_engine;

/* A tensor of a state dict in memory. It lies in arrays of the caller's: its size stays what it is. */
typedef struct variant_tensor {
    const char
        *name; /* "blocks.0.attn.mat_qkv.weight", with wrappers' words before it or without */
    const char
        *dtype; /* "f32", "f16" or "bf16"; of buffers also others as safetensors calls them */
    int rank;   /* 0 to 6 */
    const int64_t *shape; /* (rank) */
    const void *data;     /* row-major, without gaps */
} variant_tensor;

/* Of a line: what a person should know (what was chosen or passed over, what does not go together); a model that was opened, and how;
 * each request as it begins and ends. */
typedef enum variant_log_level {
    VARIANT_LOG_WARNING = 0,
    VARIANT_LOG_INFO = 1,
    VARIANT_LOG_DEBUG = 2
} variant_log_level;

typedef struct variant_engine_options {
    size_t size; /* variant_engine_options_init sets it */
    const char *
        model; /* file (safetensors or PyTorch checkpoint) or folder; required, or one of those in memory below */
    const char *tokenizer; /* the tokenizer's file when it is not in model; NULL */
    const char *sides;     /* "1,2,3,4": sides of the scales, where no file tells them; NULL */
    int heads;             /* attention heads, where no file tells them; 0 */
    /* which of several models in a file, by its key or prefix ("ema", "model"); NULL: averaged weights
     * (EMA) before others, which warn then tells */
    const char *part;
    /* one line on what was chosen or passed over while the model was opened; NULL */
    void (*warn)(void *user, const char *line);
    void *user;
    const char *backend; /* "cpu" (default) or "ref", the slow plain-C definition */
    int threads; /* 0: one a processor that the process may use (affinity, quota of its control group) */
    /* how weights are stored: "f32" (exact, mapped from the file where it can be), "bf16" (half the memory, products in
     * bf16), "int8" (a quarter; a scale a channel; the tokenizer's stay bf16) or "int4" (the transformer's products in
     * four bits, with a scale for each 16, but for the head; others as int8). NULL: f32, or as a file has them whose weights
     * are packed (`variant convert --pack`), which has no others */
    const char *weights;
    const char *kv; /* likewise keys and values; NULL: f32 with f32 weights, else bf16 */
    bool encoder;   /* also the tokenizer's encoder, which edits need */
    /* Instead of `model`: memory that holds a whole file of the kinds above, model_bytes of model_size bytes; or tensors, model_tensors of
     * model_tensor_count, of a transformer or of it and a tokenizer. Likewise instead of `tokenizer`. A table has no configuration: sides,
     * heads, and what depths it was trained for, come from the tensors or the options. All of it is borrowed, used in place
     * where it can be, and must stay as it is while the engine is open; a table itself, its names and shapes, for this call. */
    const void *model_bytes;
    size_t model_size;
    const variant_tensor *model_tensors;
    size_t model_tensor_count;
    const void *tokenizer_bytes;
    size_t tokenizer_size;
    const variant_tensor *tokenizer_tensors;
    size_t tokenizer_tensor_count;
    /* one line of what happens, from whichever thread it happens in, as long as the engine is open: `warn`'s lines and requests'
     * warnings are VARIANT_LOG_WARNING. It must not call back into the library. NULL */
    void (*log)(void *user, variant_log_level level, const char *line);
    /* of model_tensors, which have no metadata: what "variant.config" of a file says (JSON: "classes", names; "supernet", the depths,
     * bridge and layers that it was trained with; docs/DATA.md); NULL */
    const char *model_config;
} variant_engine_options;

/* The processor's backend, everything else as the files or the machine say. */
VARIANT_SIZED(variant_engine_options);

/* Loads a tokenizer and a transformer (VAR, arXiv 2404.02905). Weights stay mapped from their
 * file where its bytes can be used in place: the file must not change while the engine is open.
 * Threads: any. */
variant_status variant_engine_open(variant_engine **out, const variant_engine_options *options,
                                   variant_error *error);
/* Threads: one. */
void variant_engine_close(variant_engine **engine);

typedef struct variant_info {
    int depth, width, heads;       /* of the transformer: layers, C, attention heads */
    int codes, latent_dim;         /* codebook: entries and their size */
    int classes;                   /* labels 0 .. classes - 1 */
    int scales;                    /* K */
    int sides[VARIANT_MAX_SCALES]; /* of the token maps */
    int picture_side, channels;    /* pixels; 1 grey or 3 RGB */
    bool supernet;                 /* trained for several depths (VARiant, arXiv 2511.16546) ... */
    int depth_count, depths[VARIANT_MAX_DEPTHS]; /* ... these */
    int bridge; /* scales at full depth of a request that names none: those of the training, or 6 in 10 */
    const char
        *layers; /* selector of a request that names none: that of the training, or "equidistant" */
    /* of a request that says nothing: layers of guidance's unconditional branch in the late scales, 0: as many as the
     * conditional one; and the factor on guidance where that makes it the shallower one, at full depth (a
     * model may tell another for each depth) */
    int uncond_depth;
    float cfg_late;
    const char *hash;     /* 16 hex digits of the weights */
    bool preview_decoder; /* it has a small decoder beside its own; `hash` does not depend on it */
    /* what computes: one line. See variant_blas_core_wanted. */
    const char *kernels;
    const char *weights, *kv; /* "f32", "bf16" or "int8"; weights "int4" too */
    size_t weight_bytes;      /* held in memory ... */
    size_t mapped_bytes;      /* ... and used in place in the mapped file */
} variant_info;

/* Lives as long as the engine. Threads: any. */
const variant_info *variant_engine_info(const variant_engine *engine);
/* Name of a class, or NULL where none is known. Threads: any. */
const char *variant_engine_class_name(const variant_engine *engine, int label);
/* The labels that a class_name of a request means, but for random and all: *count of them, into labels, which
 * has room for `capacity` (NULL: only count). E_ARGUMENT: no such class, or several of that name.
 * Threads: any. */
variant_status variant_engine_labels(const variant_engine *engine, const char *text,
                                     int32_t *labels, int capacity, int *count,
                                     variant_error *error);
/* Labels whose names are near a text, for whoever is typing one: those that begin with it, then those that hold it, then those a few
 * letters away, at most `capacity` of them into labels. Returns how many, 0: none is near, or no names are known. Case does not count.
 * Threads: any. */
int variant_engine_suggest(const variant_engine *engine, const char *text, int32_t *labels,
                           int capacity);

/* ---- generation ----------------------------------------------------------------------------- */

typedef struct variant_progress {
    int pictures_done, pictures; /* finished, asked for */
    int scale, scales;           /* finished in this batch, K */
} variant_progress;

/* A picture after a scale: `scale` of `scales` are done. */
typedef struct variant_preview {
    int picture, pictures; /* of the request, from 0 */
    int scale, scales;
    int width, height, channels;
    const uint8_t *pixels; /* (height, width, channels), for the length of the call */
} variant_preview;

/* A picture of which a part is drawn again; what it points to is borrowed for the length of the call that takes the request.
 * The model sees a square of it, scaled to its own side, that holds the part and what lies around it; the part's surroundings
 * guide what is drawn. What comes back has the picture's size: outside of the part and a seam around it, pixels are the
 * picture's own. */
typedef struct variant_edit {
    size_t size;                 /* variant_edit_init sets it */
    int width, height, channels; /* 1 grey or 3 RGB */
    const uint8_t *pixels;       /* (height, width, channels) */
    const uint8_t *mask; /* (height, width): from 128 on drawn again, below kept; NULL: all kept */
    int grow;            /* pixels by which the part drawn again reaches beyond the mask */
    int feather; /* width of the seam, pixels; 0: none; -1: what a cell of the finest token map covers */
    int left, top, right, bottom; /* pixels added at each side, drawn */
    /* of a picture that is no square, "crop", "pad" or "stretch"; NULL: as the model's training did. Crop: the middle, moved
     * as far as the part asks for, and larger where that needs it; beyond the picture the model may draw what it likes */
    const char *fit;
    bool pad; /* a picture smaller than the model's is centred on black, not enlarged */
    const char *
        fill; /* what lies in the part while the rest is encoded: "neighbours" (default), "mean", "none" */
    /* how kept cells find their codes: "again" (default), for what is left at every scale of the map drawn so far; "once",
     * as the picture itself is encoded */
    const char *codes;
    /* a cell of a token map whose area is known in part is kept from this share of it on, 0 to 1; below, it is drawn ... */
    float keep;
    float
        pull; /* ... so much the more likely near what is known of it, the more is; 0: drawn freely */
} variant_edit;

/* grow 0, feather -1, keep 1, pull 1, and the defaults above. */
VARIANT_SIZED(variant_edit);

typedef struct variant_request {
    size_t size; /* variant_request_init sets it */
    /* "random" (drawn per picture), "all" (one after another), "uncond", a number or a name, or several of
     * these three between commas, one after another and again from the first. A name as it is written comes
     * first, even one with commas; a number is a label unless a class is called so; other case is taken where
     * no second class is meant. */
    const char *class_name;
    /* instead of class_name: picture i is of labels[(first_image + i) % label_count], label_count of them,
     * variant_info.classes meaning uncond. Borrowed for the length of the call; NULL */
    const int32_t *labels;
    int label_count;
    int count; /* pictures */
    int batch; /* pictures at a time; 0: 8. Results do not depend on it. */
    /* token maps to begin with instead of drawing them: given_count of variant_picture.token_count each, of which the first
     * given_scales scales count; picture i has number (first_image + i) % given_count of them. Borrowed for the length of the call; NULL */
    const int32_t *given_tokens;
    int given_count, given_scales;
    int scales; /* draw so many alone and decode what is there; 0: all. Tokens of the others are 0 */
    /* pictures to edit: picture i of the request is of edits[(first_image + i) % edit_count], each of edits->size bytes. The
     * engine must have its encoder; not with given_tokens. Borrowed for the length of the call; NULL */
    const variant_edit *edits;
    int edit_count;
    /* "picture mask", hashes in hex: these settings are of an edit of them (variant_settings_request), and edits must be
     * given again; others than these are told in the report's warning. NULL */
    const char *edited;
    uint64_t seed; /* picture i depends on (seed, first_image + i) alone */
    int first_image;
    /* classifier-free guidance t: logits = (1 + t_k) cond - t_k uncond, t_k = t k / (K-1); 0:
     * off */
    float cfg_scale;
    /* factor on the t_k of scales where the unconditional branch runs fewer layers than the conditional one, 0 to 100; -1:
     * variant_info.cfg_late */
    float cfg_late;
    /* t of every scale instead, variant_info.scales of them; borrowed for the length of the call; NULL. Behind the last
     * that is not 0 the unconditional branch is not computed any more, and what it held is given up. */
    const float *cfg_scales;
    int cfg_scale_count;
    int top_k;   /* 0: off */
    float top_p; /* 0 or 1: off */
    bool greedy; /* arg max instead of sampling; not with smooth */
    /* Gumbel-softmax mixture of codes instead of one code (the original's more_smooth) */
    bool smooth;
    int depth;          /* layers of the late scales; 0: all */
    int bridge;         /* scales at full depth before them; -1: the model's own, or 0.6 K */
    const char *depths; /* "16,16,8": layers of every scale; NULL */
    /* "equidistant", "rounded", "prefix", "0,3,7" or one list a scale "0-7;0,7"; NULL: variant_info's */
    const char *layers;
    /* The layers of guidance's unconditional branch, likewise (the bridge is the same). uncond_depth 0 and NULL: those above.
     * -1 and NULL: in a supernet's late scales variant_info.uncond_depth, or those above where they are no more: guided by
     * the weaker model that it holds (autoguidance, arXiv 2406.02507), pictures are better and cheaper. */
    int uncond_depth;
    const char *uncond_depths, *uncond_layers;
    /* What makes pictures of the last map: "full", or "preview", the model's small decoder (E_MODEL where it has none).
     * NULL: full, but for pictures that `preview` alone sees: those come from the small one where there is one. */
    const char *decoder;
    /* "preview" must be the one of this hash (variant_settings_request), else E_MODEL; NULL: any */
    const char *decoder_hash;
    /* keep every layer's keys and values to the end (default: released after its last scale) */
    bool retain_kv;
    bool keep_scales; /* also return the picture after each scale */
    /* after each scale; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, const variant_progress *at);
    /* receives each picture after each scale, for the decoder's time each (see `decoder`); NULL */
    void (*preview)(void *user, const variant_preview *at);
    /* asked before pictures are decoded for `preview` alone: is anybody going to look after `scale` scales? NULL: always.
     * Finished pictures come in any case */
    bool (*previews)(void *user, int scale);
    void *user;
    /* stops with E_STOPPED before the next scale once it is not 0; another thread may set it, atomically; NULL */
    const int *cancel;
} variant_request;

/* class "random", count 1, seed 0, cfg_scale 1.5, top_k 900, top_p 0.96, full depth, guidance as the model says. */
VARIANT_SIZED(variant_request);

/* Whoever makes one sets what is not known to 0. */
typedef struct variant_picture {
    int width, height, channels;
    uint8_t *pixels; /* (height, width, channels) */
    int label;
    int token_count;
    int32_t *tokens;        /* (L): the token maps, scale after scale */
    int scale_count;        /* with keep_scales: the scales that were drawn, else 0 */
    uint8_t **scale_pixels; /* the picture after each scale, each like pixels */
    char *settings;         /* JSON: everything that made this picture */
    void *reserved;         /* NULL: for later versions, as the struct's size stays what it is */
} variant_picture;

typedef struct variant_report {
    size_t size;              /* variant_report_init sets it */
    double condition_seconds; /* AdaLN vectors, once a batch */
    double transformer_seconds, sampling_seconds, quantizer_seconds, decoder_seconds;
    double total_seconds;
    int scales;
    double scale_seconds[VARIANT_MAX_SCALES];      /* transformer, summed over batches ... */
    double scale_head_seconds[VARIANT_MAX_SCALES]; /* ... and what of it the head took */
    int scale_layers[VARIANT_MAX_SCALES];          /* layers run */
    /* held at the end of the scale, for the largest batch */
    size_t scale_kv_bytes[VARIANT_MAX_SCALES];
    size_t kv_peak_bytes, kv_end_bytes;  /* for the largest batch */
    size_t arena_peak_bytes;             /* activations */
    size_t peak_resident_bytes;          /* of the whole process so far */
    char depths[VARIANT_MAX_SCALES * 4]; /* "8,8,8,4,4,4" */
    /* of guidance's unconditional branch, likewise; 0: a scale that it does not run; "": no guidance */
    char uncond_depths[VARIANT_MAX_SCALES * 4];
    char warning[256]; /* "" or one line for the user */
} variant_report;
/* All 0. */
VARIANT_SIZED(variant_report);

/* Makes request->count pictures; *pictures is an array to free with variant_pictures_free.
 * report may be NULL. Threads: any. */
variant_status variant_generate(const variant_engine *engine, const variant_request *request,
                                variant_picture **pictures, variant_report *report,
                                variant_error *error);
/* Threads: one. */
void variant_pictures_free(variant_picture **pictures, int count);

/* ---- requests that share steps ---- */

/* Any requests, of any depths, added at any time: each step takes every picture in the making one scale on, and reads the
 * weights once for all. What a request makes is what variant_generate makes of it, to the byte. One thread at a time may
 * use a loop and its jobs, but for variant_job_cancel; several loops of one engine may run at once. */
typedef struct variant_loop variant_loop;
typedef struct variant_job variant_job; /* a request in a loop */

/* Threads: any. */
variant_status variant_loop_open(variant_loop **out, const variant_engine *engine,
                                 variant_error *error);
/* Ends the jobs that were not taken as well. Threads: one. */
void variant_loop_close(variant_loop **loop);
/* The request's callbacks and cancel flag must live until the job is done, what else it points to for this call. An error
 * is this request's alone. A callback may add to its loop and cancel its jobs; a step or a take inside one is E_ARGUMENT,
 * and nothing has changed; it must not close the loop. Threads: one. */
variant_status variant_loop_add(variant_loop *loop, const variant_request *request,
                                variant_job **job, variant_error *error);
/* One scale of every picture in the making; *running (or NULL): jobs that are not done yet, 0 when there is nothing left
 * to do. A request that cannot go on (no memory for its pictures, cancelled, a model that makes no numbers) ends with its
 * own error and the others go on; an error of the step itself ends all and is returned.
 * Threads: one. */
variant_status variant_loop_step(variant_loop *loop, int *running, variant_error *error);
bool variant_job_done(const variant_job *job);
/* Ends the job before the next step, whatever it is at; from any thread. Threads: any. */
void variant_job_cancel(variant_job *job);
/* Ends the job and takes what it made: as variant_generate gives it, *pictures to be freed alike; report and error may be
 * NULL. Its seconds are those of the steps that carried it, others' rows included. A job that is not done: E_STOPPED.
 * Threads: one. */
variant_status variant_job_take(variant_job **job, variant_picture **pictures,
                                variant_report *report, variant_error *error);

/* Memory that ended requests left to the next ones goes back to the system. Threads: any. */
void variant_engine_trim(const variant_engine *engine);

/* What a request takes, to the byte and without computing it: weights, activations of its largest batch, keys and values at
 * their most; and pictures. Of pictures to edit only the sizes are asked (pixels and masks may be NULL: all of a mask is
 * taken for drawn); what the caller holds of them comes on top. */
typedef struct variant_memory {
    size_t size;            /* variant_memory_init sets it */
    size_t weights, mapped; /* as in variant_info */
    size_t arena, kv;
    size_t edits;    /* what pictures to edit are copied into, masks and seams, at their most */
    size_t pictures; /* finished ones, all of request.count */
} variant_memory;
/* All 0. */
VARIANT_SIZED(variant_memory);

/* Threads: any. */
variant_status variant_request_memory(const variant_engine *engine, const variant_request *request,
                                      variant_memory *memory, variant_error *error);

/* ---- what made a picture --------------------------------------------------------------------- */

/* The settings inside a picture that variant_picture_write wrote: PNG, JPEG or WebP. */
typedef struct variant_settings variant_settings;
/* Threads: any. */
variant_status variant_settings_read(variant_settings **out, const char *path,
                                     variant_error *error);
/* Threads: one. */
void variant_settings_free(variant_settings **settings);
/* The engine they ask for: types of weights and of keys and values; "" where they do not say. Live as long as they do.
 * Threads: any. */
const char *variant_settings_weights(const variant_settings *settings);
const char *variant_settings_kv(const variant_settings *settings);
/* A request that makes the picture again, to the byte on an engine of the same model, types and kernels. It points into the
 * settings, which must live as long as it is used. Where its guidance is what the model tells for its layers cfg_late is -1,
 * so that with other layers it is theirs. E_MODEL: they are another model's. Threads: one. */
variant_status variant_settings_request(const variant_settings *settings,
                                        const variant_engine *engine, variant_request *request,
                                        variant_error *error);

/* Was the picture an edit? Then *edit (NULL: only asked) is how, without pixels and mask, which no settings hold. Its names
 * live as long as they do. Threads: any. */
bool variant_settings_edit(const variant_settings *settings, variant_edit *edit);

/* ---- planning: a budget to a schedule -------------------------------------------------------- */

typedef struct variant_plan_options {
    size_t size; /* variant_plan_options_init sets it */
    /* weights, activations, keys and values; where pictures are edited their copies, masks and seams and a batch's finished
     * pictures as well; 0: no limit */
    size_t max_bytes;
    size_t other_bytes; /* what the caller holds beside them, of the same limit */
    double max_seconds; /* of a batch once the model is loaded; 0: no limit */
    /* "high": all layers; "balanced": half of them after the model's own bridge; "fast": a quarter.
     * With a sweep: the best; the fastest within 5 % of the best; within 25 %. What the limits
     * forbid gives way to the best below it. NULL: the best within the limits */
    const char *quality;
    const char *sweep; /* what `variant sweep` measured: its folder or sweep.json; NULL */
    bool auto_batch;   /* as many pictures at a time as fit, up to request.count and 64 */
    /* do not ask for the time: plan.seconds is 0, and nothing is measured where no time is needed
     * to choose */
    bool memory_only;
    /* folder of measured times; NULL: $XDG_CACHE_HOME/variant or ~/.cache/variant; "": none */
    const char *cache;
    bool remeasure; /* whatever the cache holds */
    /* measured or read by earlier calls, and asked before the cache; what this call measures goes there too; NULL */
    struct variant_times *times;
    bool kept_only; /* measure nothing: E_UNSUPPORTED where times are needed that nobody measured */
} variant_plan_options;

/* No limit, nothing else. */
VARIANT_SIZED(variant_plan_options);

typedef struct variant_plan {
    size_t size;        /* variant_plan_init sets it */
    bool fits;          /* false: what follows is the schedule that misses the limits least */
    int bridge, depth;  /* scales at full depth, layers of the others */
    const char *layers; /* selector: "equidistant", "rounded" or "prefix" */
    int uncond_depth;   /* for the request: -1 (as it or the model says), 0 (as depth) or layers */
    float cfg_late;     /* likewise; -1: as it or the model says */
    /* layers of the unconditional branch at every scale, where they are not the conditional's; else "" */
    char uncond_depths[VARIANT_MAX_SCALES * 4];
    int batch;         /* pictures at a time that the costs are for */
    size_t bytes;      /* of what max_bytes limits; exact */
    double seconds;    /* of a batch once the model is loaded; predicted from measured layers */
    double kept;       /* mean over scales of the share of layers run */
    int considered;    /* schedules compared */
    bool measured;     /* the times were measured by this call and not found in the cache ... */
    bool disturbed;    /* ... while other work got in the way: the next call measures again */
    bool has_distance; /* from a sweep: */
    double distance;   /* its Frechet distance, less is better ... */
    double
        distance_spread; /* ... the distance's standard deviation; 0: the sweep does not say ... */
    char score[64];      /* ... and what it is called there: "FID(classifier)" */
    char why[192];       /* what made it the one: "keeps most layers of 13 schedules" */
    char warning[512];   /* "" or one line for the user */
} variant_plan;
/* All 0. */
VARIANT_SIZED(variant_plan);

/* The best schedule within the limits: of those measured by options->sweep the one of the least
 * distance, or, where others are as good within the spreads of both, the one of these that keeps
 * most layers; without a sweep, the one that keeps most layers, every scale counting alike (of a
 * supernet only trained depths). The unconditional branch is the one that the request names or, where it names none, the
 * model's own; a sweep may know a better one, and a limit may need a shallower one. The request gives batch (0: 8, at most
 * count), count, guidance and selector; its depth, bridge and depths are not read. Times come from the cache, or from a few
 * batches generated here. Threads: any. */
variant_status variant_plan_make(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan *plan,
                                 variant_error *error);
/* All schedules that variant_plan_make would choose among, each with its costs: *plans is an array of *count pointers, to free()
 * with all that it points to as one. `fits` is of each; `why` is empty. Threads: any. */
variant_status variant_plan_list(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan ***plans,
                                 int *count, variant_error *error);
/* Times in memory, for plans one after another of any engines. Threads may share it; it must outlive the calls. */
typedef struct variant_times variant_times;
/* Threads: any. */
variant_status variant_times_open(variant_times **out, variant_error *error);
/* Threads: one. */
void variant_times_close(variant_times **times);

/* How long a request takes once the model is loaded and nothing else is at work, predicted as a plan's seconds are. */
typedef struct variant_seconds {
    size_t size;                      /* variant_seconds_init sets it */
    double total;                     /* of a batch: request.batch pictures (0: 8), at most count */
    double scale[VARIANT_MAX_SCALES]; /* of it, the layers at each scale ... */
    double rest;                      /* ... and heads, sampling, decoder */
    bool disturbed;                   /* as in variant_plan */
} variant_seconds;
/* All 0. */
VARIANT_SIZED(variant_seconds);

/* Of the options cache, times, remeasure and kept_only are asked. Threads: any. */
variant_status variant_request_seconds(const variant_engine *engine, const variant_request *request,
                                       const variant_plan_options *options,
                                       variant_seconds *seconds, variant_error *error);

/* Puts the plan's schedule and batch into a request. Threads: one. */
void variant_plan_apply(const variant_plan *plan, variant_request *request);

/* ---- data sets: pictures to train on ---------------------------------------------------------- */

/* Pictures in the caller's memory. */
typedef struct variant_array {
    size_t size;                        /* variant_array_init sets it */
    const uint8_t *pixels;              /* (count, height, width, channels) */
    int count, height, width, channels; /* channels 1 grey or 3 RGB */
    const int32_t
        *labels; /* (count), from 0 below variant_data.class_count; NULL: all of one class */
} variant_array;
VARIANT_SIZED(variant_array);

/* What `--data` names and how it is taken. Everything is borrowed for the length of the call that takes it. */
typedef struct variant_data {
    size_t size; /* variant_data_init sets it */
    /* folders with a sub-folder a class, IDX files, .npz of pictures; several are joined by the names of their classes */
    const char *const *paths;
    int path_count; /* at most 16 */
    /* Or pictures in memory, instead of paths, and those that a model is tested on: NULL: `holdout` of array. Pictures are scaled
     * as a folder's are: the same pictures of the same labels give the same weights from either. */
    const variant_array *array, *test_array;
    const char *const *class_names; /* (class_count), of array, UTF-8; NULL: "0", "1", .. */
    int class_count;                /* 0: one more than the largest label */
    double
        holdout; /* share of the pictures that is test where no test pictures are given; 0: none */
    const char *
        fit; /* of pictures that are no square: "crop", "pad" or "stretch"; NULL: as the model was trained, else crop */
    const char *
        alpha; /* see-through pictures over "white", "black", or "drop": hidden colours; NULL: likewise, else white */
    /* "train", "test" or "all" of the pictures; NULL: what the function says. Trainings use both parts and do not read it */
    const char *split;
    /* Or, where a function says that it takes them: picture files, and folders for all the pictures in and below them, in this
     * order, without classes or splits; one that cannot be read is an error. */
    const char *const *files;
    int file_count;
    bool
        pad; /* of files and arrays: pictures smaller than the model's are centred on black, not enlarged */
} variant_data;
/* holdout 0.05, nothing else. */
VARIANT_SIZED(variant_data);

/* ---- pictures and token maps ------------------------------------------------------------------ */

/* A tokenizer: pictures to token maps and back (the multi-scale VQVAE of VAR, arXiv 2404.02905, section 3.2). Of an engine, or of a
 * file that may hold nothing else. It owns memory to work in: one thread at a time may use one, several of one engine may be at
 * work at once. What it computes does not depend on threads or on which pictures come together. */
typedef struct variant_tokenizer variant_tokenizer;

/* `model` and `tokenizer` of the options name its file; kv and encoder are not read. */
variant_status variant_tokenizer_open(variant_tokenizer **out,
                                      const variant_engine_options *options, variant_error *error);
/* That of an engine, which must stay open; without variant_engine_options.encoder it decodes alone. */
variant_status variant_tokenizer_of(variant_tokenizer **out, const variant_engine *engine,
                                    variant_error *error);
void variant_tokenizer_close(variant_tokenizer **tokenizer);

typedef struct variant_token_shape {
    int scales;                    /* K */
    int sides[VARIANT_MAX_SCALES]; /* of the token maps */
    int tokens;                    /* L of a picture: the sum of sides squared */
    int codes, latent_dim;         /* codebook: entries and their size */
    int picture_side, channels;    /* pixels; 1 grey or 3 RGB */
    const char *hash;              /* 16 hex digits of the file's weights */
    const char *weights;           /* "f32", "bf16" */
    bool encodes, preview_decoder; /* it has an encoder; a small decoder beside its own */
} variant_token_shape;

/* Lives as long as the tokenizer. */
const variant_token_shape *variant_tokenizer_shape(const variant_tokenizer *tokenizer);

/* How pictures pass a tokenizer. */
typedef struct variant_tokenize_options {
    size_t size;         /* variant_tokenize_options_init sets it */
    int count;           /* the first so many pictures; 0: all */
    const char *decoder; /* "full" or "preview", the model's small one; NULL: full */
    /* after each batch; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, int done, int total);
    void (*note)(void *user,
                 const char *line); /* one line on what was left out of a folder; NULL */
    void *user;
    const int *cancel; /* stops with E_STOPPED once it is not 0, as variant_request.cancel; NULL */
} variant_tokenize_options;
/* All pictures, the full decoder. */
VARIANT_SIZED(variant_tokenize_options);

/* Token maps of pictures, made by the library: variant_tokens_free. */
typedef struct variant_tokens {
    int count, length; /* pictures; L */
    int32_t *tokens;   /* (count, length): a picture's scales one after another, each row by row */
    int32_t *labels;   /* (count); NULL: not known */
    /* of the tokenizer: scales 0, codes 0, model "": not known */
    int scales, sides[VARIANT_MAX_SCALES];
    int codes;
    char model[17];
    char **names;   /* (count): the pictures' files; NULL */
    char *settings; /* of the first picture, where they were generated (JSON); NULL */
} variant_tokens;
void variant_tokens_free(variant_tokens **tokens);

/* Encodes pictures (paths, pixels or files; split NULL: all of them). options may be NULL. */
variant_status variant_encode(variant_tokenizer *tokenizer, const variant_data *pictures,
                              const variant_tokenize_options *options, variant_tokens **out,
                              variant_error *error);
/* Decodes tokens (count, L) into pixels (count, side, side, channels), which the caller has. E_ARGUMENT: a token that is no code. */
variant_status variant_decode(variant_tokenizer *tokenizer, const int32_t *tokens, int count,
                              const variant_tokenize_options *options, uint8_t *pixels,
                              variant_error *error);

/* A picture that has been there and back. */
typedef struct variant_reconstruction {
    int picture, pictures;   /* from 0; of so many */
    const char *name;        /* its file, or PATH[number] */
    int label;               /* -1: none */
    int side, channels;      /* of both, which live as long as the call: */
    const uint8_t *original; /* (side, side, channels), as the tokenizer took it */
    const uint8_t *pixels;   /* likewise, what came back */
    double psnr; /* dB, of what came back before it was rounded to bytes; 100: an exact copy */
} variant_reconstruction;

/* Peak signal-to-noise ratio: the mean of the pictures' own, and that of their mean squared error, since papers use either. */
typedef struct variant_fidelity {
    size_t size; /* variant_fidelity_init sets it */
    int pictures, side;
    double psnr, psnr_of_mean_mse; /* dB */
    /* the same over the window that a padded picture really fills (IDX alone); native_side 0: there is none */
    int native_side;
    double native_psnr, native_psnr_of_mean_mse;
} variant_fidelity;
/* All 0. */
VARIANT_SIZED(variant_fidelity);

/* Pictures through the tokenizer and back (split NULL: the test pictures). each (or NULL) sees every one; false stops with
 * E_STOPPED. E_MODEL names the picture of which the decoder makes no numbers. */
variant_status variant_reconstruct(variant_tokenizer *tokenizer, const variant_data *pictures,
                                   const variant_tokenize_options *options,
                                   bool (*each)(void *user, const variant_reconstruction *at),
                                   variant_fidelity *out, variant_error *error);

/* Tokens of finished pictures, with their labels and the settings of the first. */
variant_status variant_pictures_tokens(const variant_picture *pictures, int count,
                                       variant_tokens **out, variant_error *error);
/* To a file, whole or not at all, and back. As its name ends, .npz: arrays tokens (N, L), labels (N) where they are known, and
 * sides (K), all int32, for numpy.load; .safetensors (and a name without an ending): tensors tokens and labels, and the rest as
 * metadata. Other endings: E_ARGUMENT, which the second tells before there are tokens. Sides that are none, or whose squares are not
 * L: E_ARGUMENT, of a file E_FORMAT. Reading, length and codes are what a tokenizer wants (E_MODEL: others); 0: any. Threads: any. */
variant_status variant_tokens_write(const variant_tokens *tokens, const char *path,
                                    variant_error *error);
variant_status variant_tokens_path_check(const char *path, variant_error *error);
variant_status variant_tokens_read(variant_tokens **out, const char *path, int length, int codes,
                                   variant_error *error);

/* ---- scores ----------------------------------------------------------------------------------- */

/* What pictures are judged by: a network, and, where there is one, what is known of real pictures in its features. One thread at a
 * time may use a judge; several may be at work at once. docs/EVALUATION.md says what each score means. */
typedef struct variant_judge variant_judge;

typedef struct variant_judge_options {
    size_t size; /* variant_judge_options_init sets it */
    /* the network: FID's Inception (pt_inception-2015-12-05) or what a classifier's training made, a file or its folder; required */
    const char *features;
    const char *resize;  /* of pictures for the Inception: "pytorch" (NULL) or "tensorflow" */
    const char *backend; /* "cpu" (default) or "ref" */
    int threads;         /* as variant_engine_options has it */
    /* what is being done ("reference", "pictures", "spread"), so many of so many; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, const char *doing, int done, int total);
    void (*note)(void *user, const char *line); /* one line on what was found or left out; NULL */
    void *user;
    const int *cancel; /* stops with E_STOPPED once it is not 0, as variant_request.cancel; NULL */
} variant_judge_options;
/* The processor's backend, nothing else. */
VARIANT_SIZED(variant_judge_options);

variant_status variant_judge_open(variant_judge **out, const variant_judge_options *options,
                                  variant_error *error);
void variant_judge_close(variant_judge **judge);

/* A judge's network, and its reference. The library's. */
typedef struct variant_network {
    const char *name; /* "inception-2015-12-05", "classifier" */
    bool
        inception; /* its Frechet distance may be called FID (arXiv 1706.08500); else "FID(classifier)" */
    int side, channels;      /* of the pictures it was made for */
    int dims, spatial_dims;  /* of its features; of those that sFID is measured in, 0: none */
    int classes;             /* of its probabilities */
    const char *hash;        /* 16 hex digits of its weights */
    const char *resize;      /* "pytorch", "tensorflow"; NULL: it does not resize */
    const char *reference;   /* what the real pictures are called; NULL: there are none */
    int64_t reference_count; /* of them; 0: not known */
} variant_network;

/* Until the judge's reference changes. */
const variant_network *variant_judge_network(const variant_judge *judge);
/* Name of a class, or NULL where none is known. */
const char *variant_judge_class_name(const variant_judge *judge, int label);

/* The real pictures (paths or an array; split NULL: the test pictures, of those without classes all), or one path to statistics: a file
 * of variant_judge_save, or .npz with mu and sigma (and mu_s, sigma_s) as pytorch-fid and guided-diffusion have them. count: so many
 * of the pictures, spread evenly; 0: all. side and channels: as which they are taken, those of what will be judged; 0: the first
 * picture's own. It takes the place of the one before. E_MISMATCH: statistics of another network or resize. */
variant_status variant_judge_reference(variant_judge *judge, const variant_data *data, int count,
                                       int side, int channels, variant_error *error);
/* Keeps all that is known of the reference's pictures (safetensors), for variant_judge_reference. */
variant_status variant_judge_save(const variant_judge *judge, const char *path,
                                  variant_error *error);

/* What is judged: pictures that an engine makes, or that are there, or those that a tokenizer makes of them. */
typedef struct variant_eval_options {
    size_t size;                  /* variant_eval_options_init sets it */
    const variant_engine *engine; /* with request: request->count pictures, generated now ... */
    const variant_request *request;
    const variant_data *pictures; /* ... or these, paths or an array (split NULL: all) ... */
    variant_tokenizer *
        through; /* ... after they went through this and back (split NULL: the test pictures); NULL */
    const char *decoder; /* of `through`: "full" or "preview"; NULL: full */
    int count;           /* of pictures: so many, spread evenly; 0: all */
    int side, channels;  /* of pictures; 0: the first one's own */
    int draws; /* of the bootstrap that spreads come from, 0: none; -1: 100, or 20 above 512 features */
    uint64_t seed; /* of these draws */
    /* sees pictures as they are generated, and what they took; NULL */
    void (*generated)(void *user, const variant_picture *pictures, int count,
                      const variant_report *report);
    void *user;
    /* also keeps mean and covariance of the judged pictures' features: .npz with mu and sigma, of the Inception also mu_s and
     * sigma_s, which pytorch-fid, guided-diffusion and variant_judge_reference read; NULL */
    const char *save_statistics;
} variant_eval_options;
/* Nothing; draws -1. */
VARIANT_SIZED(variant_eval_options);

/* NAN: not measured. A spread is the standard deviation over other sets of as many pictures of the same model. */
typedef struct variant_scores {
    size_t size;                    /* variant_scores_init sets it */
    char name[64];                  /* of the Frechet distance: "FID", "FID(classifier)" */
    int64_t count, reference_count; /* pictures; real ones, 0: not known, or none */
    int draws;                      /* that the spreads were estimated by; 0: there are none */
    double frechet, frechet_spread;
    double spatial_frechet, spatial_frechet_spread; /* sFID (arXiv 2103.03841) */
    double inception_score,
        inception_spread; /* arXiv 1606.03498: mean and deviation over its splits */
    double precision, precision_spread, recall, recall_spread; /* arXiv 1904.06991, k = 3 */
    int neighbours_of;                      /* pictures a side that these two were measured on */
    double class_share, class_share_spread; /* that the network puts into the class they are of */
    double psnr, psnr_spread, ssim, ssim_spread; /* with `through`: means over pictures */
    int warning_count;
    char warnings[3][256]; /* one line each: few pictures, singular covariance */
} variant_scores;
/* Everything NAN or 0. */
VARIANT_SIZED(variant_scores);

/* Scores pictures; those that stand beside real ones need a reference. With `through` and no reference the pictures themselves are it.
 * The same for any threads and batch. E_ARGUMENT below two pictures; E_STOPPED as progress or cancel say. */
variant_status variant_evaluate(variant_judge *judge, const variant_eval_options *options,
                                variant_scores *scores, variant_error *error);
/* As `variant eval --json` has them under "scores": free() it. NULL: no memory. */
char *variant_scores_json(const variant_judge *judge, const variant_scores *scores);

/* What a network makes of pictures; the library's: variant_classes_free. */
typedef struct variant_classes {
    int count, classes, dims;
    float *probabilities; /* (count, classes): softmax of the logits */
    int32_t *labels;      /* (count): the likeliest class */
    int32_t *
        expected; /* (count): the network's class of the picture's own, by name, else by number; NULL: not known */
    float *features; /* (count, dims) */
    char **names;    /* (count): the pictures' files, or PATH[number] */
} variant_classes;
void variant_classes_free(variant_classes **classes);

/* Classifies pictures (paths, an array or files; split NULL: all), count of them spread evenly (0: all), of files the first. They are
 * taken as the network's training took its own, at its side; through: they pass this tokenizer and back first; NULL. E_MODEL: data whose
 * classes are not the network's. */
variant_status variant_classify(variant_judge *judge, const variant_data *pictures, int count,
                                variant_tokenizer *through, variant_classes **out,
                                variant_error *error);

/* Pictures as samples for other programs' evaluators: an .npz with arr_0, (count, height, width, 3) of bytes (grey is repeated), and
 * arr_1, (count) of int64, their labels, as guided-diffusion writes them. They go to the disk as they come, and the file is there
 * once variant_samples_finish has succeeded. Pictures of another size, too many or too few: E_ARGUMENT. */
typedef struct variant_samples variant_samples;
variant_status variant_samples_open(variant_samples **out, const char *path, int count,
                                    variant_error *error);
variant_status variant_samples_add(variant_samples *samples, const variant_picture *pictures,
                                   int count, variant_error *error);
/* Ends and closes it; without it, closing leaves no file. */
variant_status variant_samples_finish(variant_samples **samples, variant_error *error);
void variant_samples_close(variant_samples **samples);

/* ---- sweeps: what each depth costs, and what it is worth --------------------------------------- */

typedef struct variant_sweep_progress {
    int round, rounds; /* the one at work, from 1; as many as timed runs */
    int point, points; /* that have had this round; wanted */
    double share;      /* of all work, 0 to 1; what the folder held already counts as done */
    const char *id;    /* of the point at work; "" at the end */
} variant_sweep_progress;

/* Points are all combinations of the lists; an empty one is what the model suggests, or what the request says. Lists have up to 32
 * entries and are borrowed for the length of the call. */
typedef struct variant_sweep_options {
    size_t size; /* variant_sweep_options_init sets it */
    const char *
        folder; /* sweep.json, sweep.csv, report.html; required. One that holds part of the same sweep is gone on with */
    const char *name;    /* what the report calls the model; NULL: its hash */
    const char *command; /* what the report says repeats this; NULL */
    const int *
        depths; /* layers of the late scales; none: all, and those trained, or a half, a quarter, an eighth */
    int depth_count;
    const int
        *bridges; /* scales at full depth before them; none: the model's own, 2 fewer, 2 more */
    int bridge_count;
    const char *const *selectors; /* "equidistant", "rounded", "prefix"; none: as trained */
    int selector_count;
    const double *cfg_scales; /* classifier-free guidance; none: the request's */
    int cfg_count;
    const int *uncond_depths; /* as variant_request.uncond_depth; none: the request's */
    int uncond_count;
    const double *cfg_lates;
    int late_count;
    const int *
        zones; /* (zone_count, 2): first and last scale, from 1, of zones that run zone_depth layers alone */
    int zone_count;
    int zone_depth; /* 0: the least of depths */
    int repeat;     /* timed runs a point */
    int pictures;   /* of the same seeds kept at each point for the report */
    /* quality: real pictures or statistics, as variant_judge_reference takes them; NULL: times and memory alone */
    const variant_data *reference;
    int reference_count;
    int samples; /* judged at each point */
    const char *
        features; /* the network; NULL: the folder of the model that the engine was opened from has it, if `model` says so */
    const char *model; /* that folder; NULL */
    const char *resize;
    int draws;
    const uint64_t *seeds; /* judged with each of these; none: the request's */
    int seed_count;
    const char *backend; /* of the network */
    int threads;
    bool (*progress)(void *user,
                     const variant_sweep_progress *at); /* false stops with E_STOPPED; NULL */
    void (*note)(void *user, const char *line);         /* NULL */
    void *user;
    const int *cancel; /* as variant_request.cancel; NULL */
} variant_sweep_options;
/* repeat 5, pictures 8, samples 2000, draws -1. */
VARIANT_SIZED(variant_sweep_options);

/* Runs what the folder does not hold yet, with the request's seed, sampling and batch (0: 1). The folder is what
 * variant_plan_options.sweep takes. What was finished when it stopped is kept, and the same call goes on. E_MISMATCH: the folder holds
 * a sweep with other settings. */
variant_status variant_sweep(const variant_engine *engine, const variant_request *request,
                             const variant_sweep_options *options, variant_error *error);

/* ---- training --------------------------------------------------------------------------------- */

#define VARIANT_MAX_LAYERS 128 /* of a transformer */
#define VARIANT_MAX_LEVELS 8   /* at which a tokenizer or a classifier halves pictures */

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
} variant_training;

/* Defaults of `variant train KIND`: seed 1, holdout as the data say, a line every 50 steps, a checkpoint every 500. */
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
    const char *part;  /* which of several models in a file; NULL: averaged weights before others */
    const char *cache; /* the pictures as tokens; NULL: tokens.cache in the run's folder */
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

/* ---- pictures to files ------------------------------------------------------------------------ */

/* As the name ends, .png, .jpg, .jpeg or .webp, with the settings inside: text under the key "variant" of a PNG,
 * EXIF's UserComment of the others. "-": a PNG to the standard output. quality: 1 to 100 of JPEG and lossy WebP;
 * 0: JPEG 95, WebP lossless. The file appears whole or not at all. Other endings: E_ARGUMENT, which the second
 * tells before there is a picture. Threads: any. */
variant_status variant_picture_write(const variant_picture *picture, const char *path, int quality,
                                     variant_error *error);
variant_status variant_picture_path_check(const char *path, variant_error *error);
/* A PNG whatever the name. Threads: any. */
variant_status variant_picture_write_png(const variant_picture *picture, const char *path,
                                         variant_error *error);
/* The file's bytes instead, of format "png", "jpeg" or "webp": free() *bytes. Settings may be NULL.
 * Threads: any. */
variant_status variant_picture_encode(const variant_picture *picture, const char *format,
                                      int quality, uint8_t **bytes, size_t *size,
                                      variant_error *error);
/* The same of the picture after a scale (request.keep_scales). Threads: any. */
variant_status variant_picture_write_scale_png(const variant_picture *picture, int scale,
                                               const char *path, variant_error *error);
/* The pictures growing, a frame a scale (request.keep_scales), as an animated PNG with the settings of the first; who knows
 * no animations sees them finished. columns 0: one picture; else all on a sheet of so many, as below. Seconds from 0.001 to
 * 65.535 for which a frame is seen, and the last one; plays 0: for ever. */
typedef struct variant_animation {
    size_t size; /* variant_animation_init sets it */
    int columns, zoom;
    double frame_seconds, last_seconds;
    int plays;
} variant_animation;
/* columns 0, zoom 1, 0.4 and 2 s, for ever. */
VARIANT_SIZED(variant_animation);
/* Threads: any. */
variant_status variant_pictures_write_animation(const variant_picture *pictures, int count,
                                                const variant_animation *animation,
                                                const char *path, variant_error *error);
/* All pictures on one sheet of `columns` columns, with the settings of the first; path and quality as
 * variant_picture_write has them. Threads: any. */
variant_status variant_pictures_write_sheet(const variant_picture *pictures, int count, int columns,
                                            int zoom, const char *path, int quality,
                                            variant_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
