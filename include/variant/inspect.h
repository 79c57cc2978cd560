/* variant/inspect.h - what a model file holds, and what generating with it takes, without an engine: `variant inspect`. */
#ifndef VARIANT_INSPECT_H
#define VARIANT_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/scores.h>

VARIANT_BEGIN

typedef struct variant_inspect_options {
    size_t size;  /* variant_inspect_options_init sets it */
    int bridge;   /* scales at full depth, for the table of depths, 0 to K; -1: as trained */
    bool tensors; /* also every tensor of the files */
} variant_inspect_options;
/* bridge -1, no tensors. */
VARIANT_SIZED(variant_inspect_options);

/* A state dict of a file that holds a tokenizer or a transformer. */
typedef struct variant_file_part {
    const char *part; /* "tokenizer", "transformer" */
    const char
        *in;    /* key or prefix that it lies under, variant_engine_options.part; "": bare names */
    bool taken; /* an engine would take this one */
} variant_file_part;

typedef struct variant_file_facts {
    const char *path, *format; /* "safetensors", "PyTorch"; of memory what messages call it */
    int tensors;
    size_t bytes;
    int part_count;
    const variant_file_part *const *parts; /* (part_count) */
    /* of a file whose weights are packed (variant_convert_options.pack) their type, layout and its version; NULL, NULL and 0 */
    const char *packed, *packed_layout;
    int packed_version;
} variant_file_facts;

typedef struct variant_tensor_facts {
    const char *name, *group; /* group: what it lies under in its file; "" */
    const char *type;         /* "F32", as safetensors calls them */
    int rank;
    const int64_t *shape;       /* (rank) */
    size_t numbers, not_finite; /* in it; NaN or infinite ones among them */
    bool changed;               /* its bytes are not those that its checksum was made of */
} variant_tensor_facts;

typedef struct variant_tokenizer_facts {
    size_t parameters;          /* numbers */
    size_t mapped_bytes;        /* of weights that are used in place in the mapped file */
    int picture_side, channels; /* pixels; 1 grey or 3 RGB */
    int base_width;
    int level_count, mult[VARIANT_MAX_LEVELS]; /* channel multiplier of each level */
    int blocks;                                /* residual blocks a level */
    int codes, latent_dim;                     /* codebook: entries and their size */
    int scales, sides[VARIANT_MAX_SCALES];     /* of the token maps */
    int tokens;                                /* L: the sum of sides squared */
} variant_tokenizer_facts;

/* A small decoder for previews. */
typedef struct variant_preview_facts {
    const char *hash; /* 16 hex digits of its weights */
    size_t parameters, mapped_bytes;
    int level_count, widths[VARIANT_MAX_LEVELS]; /* channels of each level */
    int blocks;
    const char *training; /* what its training left (JSON); NULL */
} variant_preview_facts;

/* What a depth takes: keys and values of one picture with guidance, float32. */
typedef struct variant_depth_facts {
    int depth, bridge;           /* layers of the late scales, scales at full depth before them */
    const char *layers_by_scale; /* "0-7 x6; 0,2,4,6", as `variant plan` tells them */
    size_t kv_peak_bytes;        /* at the most ... */
    size_t
        kv_end_bytes; /* ... and at the end, where each layer's are released after its last scale */
    size_t kv_retained_bytes;     /* at the most, where none are (variant_request.retain_kv) */
    double saved, saved_retained; /* of what full depth in both branches holds, 0 to 1 */
} variant_depth_facts;

/* Which products are integers in the file, and what was measured for it (variant_convert_options.calibrate). */
typedef struct variant_integer_facts {
    int int8, int4;   /* products of either type */
    int rows;         /* int8 ones with one scale a row of x */
    int folded;       /* int8 ones whose factors are folded into the norm before them */
    int pictures;     /* that it was measured on; 0: it was not */
    const char *json; /* all of it, weight by weight */
} variant_integer_facts;

typedef struct variant_transformer_facts {
    size_t parameters, mapped_bytes;
    int depth, width, heads, hidden; /* layers, C, attention heads, hidden width of the MLP */
    int codes, latent_dim, classes;
    bool l2_norm, shared_adaln; /* queries and keys are normalised; one modulation for all layers */
    int scales, sides[VARIANT_MAX_SCALES], tokens;
    int class_name_count; /* 0: none are known, else classes */
    const char *const *class_names;
    bool supernet; /* trained for several depths; else the next ones are 0 and NULL: */
    int bridge,
        last_bridge; /* scales at full depth in the training, drawn from the first to the second */
    int depth_count, depths[VARIANT_MAX_DEPTHS]; /* of the subnets */
    const char *layers;                          /* selector */
    int uncond_depth; /* of guidance's unconditional branch, where a request says nothing */
    /* the factor on guidance where that branch is the shallower one: cfg_lates[i] of a conditional branch of late_depths[i] layers */
    int late_count, late_depths[VARIANT_MAX_DEPTHS + 1];
    double cfg_lates[VARIANT_MAX_DEPTHS + 1];
    const variant_integer_facts *integers; /* NULL: its products are numbers */
    int cost_count;
    const variant_depth_facts *const
        *costs; /* (cost_count): full depth first, then the trained depths or halves down to two */
} variant_transformer_facts;

/* Made by the library: variant_inspection_free. What a file does not hold is NULL. */
typedef struct variant_inspection {
    const char *hash; /* 16 hex digits of the weights */
    int file_count;
    const variant_file_facts *const *files; /* (file_count) */
    const variant_tokenizer_facts *tokenizer;
    const variant_preview_facts *preview;
    const variant_transformer_facts *transformer;
    const variant_network
        *network; /* it is a network that scores are measured in, and none of the three above */
    /* weights that hold NaN or infinities, or are changed, for which variant_engine_open refuses the model */
    int damaged_count;
    const variant_tensor_facts *const *damaged;
    int tensor_count;
    const variant_tensor_facts *const *tensors; /* with variant_inspect_options.tensors */
} variant_inspection;

/* Looks at what variant_engine_open would open, or at a network that scores are measured in, which is a file. Weights are read once
 * for numbers that are none and, with `verify`, for damage; nothing is computed. Of the engine's options weights, kv, encoder and log are not read; options may be
 * NULL. E_IO, E_FORMAT: the file is not there, or damaged; E_MODEL: it holds no part of a model, or one whose tensors do not fit.
 * Threads: any. */
variant_status variant_inspect(variant_inspection **out, const variant_engine_options *model,
                               const variant_inspect_options *options, variant_error *error);
/* Threads: one. */
void variant_inspection_free(variant_inspection **inspection);
/* As `variant inspect --json` prints it: free() it. NULL: no memory. Threads: any. */
char *variant_inspection_json(const variant_inspection *inspection);

VARIANT_END

#endif
