/* variant/engine.h - a loaded model: opened from files or from memory, what it is, what its classes are called, what it tells. */
#ifndef VARIANT_ENGINE_H
#define VARIANT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>

VARIANT_BEGIN

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
    int heads; /* attention heads, where no file tells them; others than a file tells are refused; 0 */
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
    /* true (the default): a tensor whose bytes are not those that its checksum in the file was made of is E_FORMAT, with file and tensor
     * named. Files of this library have checksums, others are taken as they are; docs/RELIABILITY.md has what it costs */
    bool verify;
} variant_engine_options;

/* The processor's backend, verify, everything else as the files or the machine say. */
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
    /* how the training took pictures that are no square ("crop", "pad", "stretch") and see-through ones ("white", "black", "drop");
     * "crop" and "white" where it does not say; NULL: the model has no record of its training */
    const char *fit, *alpha;
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
/* Is what the engine uses in place still there? E_IO, "FILE was cut short while it was in use": a file of the model is shorter than it was,
 * though maybe nobody has read yet what is gone (asks the system for its size), or requests have failed for it (variant_guard_files).
 * Threads: any. */
variant_status variant_engine_intact(const variant_engine *engine, variant_error *error);
/* Memory that ended requests left to the next ones goes back to the system. Threads: any. */
void variant_engine_trim(const variant_engine *engine);

VARIANT_END

#endif
