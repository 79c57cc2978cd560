/* params.h - the named parameters of a model: registered first, given values later.
 *
 * A model's _open registers every tensor its configuration implies, under the names of the
 * published checkpoints, and keeps the vt_param pointers (stable) in its layers. Values then
 * come from a file (mapped in place where the file's bytes already are what the kernels want),
 * from the synthetic rule, or from initialisation; training adds gradients and AdamW moments.
 * Used by tokenizer/ and transformer/ to build, by engine/ to load, by train/. */
#ifndef VT_NN_PARAMS_H
#define VT_NN_PARAMS_H

#include "core/threads.h"
#include "io/tensors.h"
#include "kern/panels.h"

enum vt_param_flags {
    VT_PARAM_PRODUCT = 1,  /* a matrix (shape[0], rest) of products: gets a vt_weight */
    VT_PARAM_CONV = 2,     /* rank 4 (O, I, kh, kw) in files, (O, kh, kw, I) in memory */
    VT_PARAM_BUFFER = 4,   /* published files carry it but no computation reads it: may be absent */
    VT_PARAM_NO_DECAY = 8, /* weight decay never applies (the others decay when rank >= 2) */
    VT_PARAM_EXACT = 16,   /* stays float32 whatever type products are asked for */
    VT_PARAM_SKIPPED = 32, /* not loaded: what it serves will not run */
    VT_PARAM_UPSAMPLED = 64, /* 3x3 after nearest 2x: its packed weight may be four 2x2 kernels */
    VT_PARAM_STRIDE_1 = 128, /* 3x3 of stride 1: its packed weight may be in Winograd's domain */
    VT_PARAM_LATE =
        512, /* backward finds its gradient last, whatever its layer: lies in front of all */
    VT_PARAM_COARSE = 256 /* may be int4; other products are int8 where int4 is asked for */
};

struct vt_param;

/* Is told of every product with a parameter, after it was made (nn/linear.h): x is there to be looked at, through the
 * backend. For calibration. */
typedef struct vt_watch {
    void (*seen)(void *user, const struct vt_param *param, const vt_product *product);
    void *user;
} vt_watch;

typedef struct vt_param {
    char *name;
    int rank;
    int64_t shape[4]; /* as in files */
    size_t count;
    int flags;
    int stride; /* VT_PARAM_CONV: of the convolution; 0: 1 */
    /* backend memory (or the mapped file), count floats in memory layout; NULL for buffers, and where
     * the weight holds the only copy */
    float *value;
    float *grad;           /* count floats, NULL unless vt_params_train */
    float *m, *v;          /* AdamW moments, likewise */
    vt_weight *weight;     /* VT_PARAM_PRODUCT, after vt_params_prepare */
    const vt_watch *watch; /* borrowed; NULL: nobody watches */
} vt_param;

/* A product's weight that a file holds as integers: the tensor is I8, and beside it lies the float32 scale of each of its
 * rows, called NAME with one of these behind. Which of them says what a scale of x covers: a block of 128 numbers, or a row
 * (vt_weight_spec.whole). */
#define VT_INT8_OF_BLOCKS ".scale_of_blocks"
#define VT_INT8_OF_ROWS ".scale_of_rows"
/* What is trained, as the lists that kern's operations take: (count) each, in the parameters' order. */
typedef struct vt_training_lists {
    vt_floats *value, *grad, *m, *v;
    double *sums; /* backend memory, a number each */
    int count;
} vt_training_lists;

typedef struct vt_params {
    vt_kern *kern;
    vt_param **items;
    int count, capacity;
    vt_number product_type; /* of the weights of products; F32 unless vt_params_set_type */
    bool keeps_values;      /* float32 values beside packed weights, for training */
    bool
        any_numbers; /* loading takes NaN, infinities and wrong checksums too: only to look at a file */
    size_t value_count;   /* floats of all values, buffers left out */
    void *values, *train; /* owned memory of the backend, or NULL */
    size_t values_bytes, train_bytes;
    size_t mapped_bytes;     /* of values that stay in the mapped file */
    vt_training_lists lists; /* empty unless vt_params_train */
    /* Set for the last backward pass of a step: is told of the parameter from whose gradient on, to the end of `gradients`, all
     * are what they will be. whole NULL: nobody is */
    struct vt_gradient_watch {
        void (*whole)(void *user, const vt_param *from);
        void *user;
    } watch;
    vt_floats gradients; /* all of them in their order, one behind another on lines of 64 bytes */
    bool shares_moments; /* they are kept elsewhere, a part of them: m and v are NULL */
} vt_params;

void vt_params_init(vt_params *params, vt_kern *kern);
void vt_params_close(vt_params *params);

/* Is the tensor such a scale, of a parameter that is kept as integers? */
bool vt_params_is_scale(const vt_params *params, const vt_tensor_file *file,
                        const vt_tensor *tensor);
/* How many of the parameters' tensors are integers in the file, and how many of those int4 records (kern/int4.h), U8 of
 * (n, bytes of a record), as which a VT_PARAM_COARSE product may lie there. */
int vt_params_integers(const vt_params *params, const vt_tensor_file *file, const char *group,
                       int *records);

/* Registers one parameter named by a printf format; NULL when memory is short (then
 * vt_params_check says so). */
vt_param *vt_params_add(vt_params *params, int flags, int rank, const int64_t *shape,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Looks a parameter up by name; NULL when there is none. */
vt_param *vt_params_find(const vt_params *params, const char *name);
/* Does this parameter decay under AdamW? (rank >= 2, not a bias, not an embedding table named in
 * no-decay) */
bool vt_param_decays(const vt_param *param);

/* Before values come: products store their weights as `type` (VT_PARAM_EXACT ones stay float32).
 * Their float32 values are kept beside with keep_values, else nowhere. */
void vt_params_set_type(vt_params *params, vt_number type, bool keep_values);
/* Marks all whose name begins so. */
void vt_params_skip(vt_params *params, const char *beginning);
/* Bytes of values and packed weights, files' mapped pages not counted. */
size_t vt_params_bytes(const vt_params *params);
/* Of the packed weights alone. */
size_t vt_params_packed_bytes(const vt_params *params);
/* Of the gradients alone; each of the two moments is as large. */
size_t vt_params_gradient_bytes(const vt_params *params);

/* Over a backend that holds nothing (kern/dry.h) the four below find out sizes alone: of a file its header is
 * read, of the synthetic rule nothing. */

/* Memory for all values, zero. */
variant_status vt_params_allocate(vt_params *params, variant_error *err);
/* Values from `file`, packed weights included, names looked up in `group` (NULL: any). A missing or misshapen tensor is
 * E_MODEL and named with the shape expected; so is one with a number that is NaN or infinite, named with how many, and one that is not
 * what its checksum was made of (E_FORMAT). Integers
 * with their scales go into INT8 weights as they are; for others they are multiplied out. The file must stay open as long as the parameters.
 * With copy, nothing stays mapped. */
variant_status vt_params_load(vt_params *params, const vt_tensor_file *file, const char *group,
                              bool copy, variant_error *err);
/* Panels of a product's packed weight, and their shape as a tensor: (panels, taps, depth, 16). A file that has them
 * (vt_tensor_file_name_packed) is taken at its word, but for sizes, place and numbers that are not finite. False: too large. */
bool vt_param_panels(const vt_params *params, const vt_param *param, vt_panels *out);
void vt_panels_shape(const vt_panels *panels, int64_t shape[4]);
/* E_FORMAT names file and tensor where its bytes are not those of its checksum, E_MODEL also how many of its numbers are NaN or infinite.
 * For those who read tensors themselves. */
variant_status vt_params_check_numbers(const vt_tensor_file *file, const vt_tensor *tensor,
                                       vt_team *team, variant_error *err);
/* Values by the synthetic rule (io/synth.h), packed weights included; model is "vae" or "var".
 * Allocates if needed. */
variant_status vt_params_synthesize(vt_params *params, const char *seed, const char *model,
                                    variant_error *err);
/* Opens the vt_weight of every product parameter that has none. Call once values exist; again has no effect. */
variant_status vt_params_prepare(vt_params *params, variant_error *err);
/* After values changed in place (an optimizer step). */
void vt_params_refresh(vt_params *params);
/* Once values exist: allocates grad, m and v, zero, and makes the lists of them. */
variant_status vt_params_train(vt_params *params, variant_error *err);
void vt_params_zero_grad(vt_params *params);
/* Backward is done with `from` and all that lie behind it. */
void vt_params_whole(const vt_params *params, const vt_param *from);

/* A parameter's numbers in file layout (OIHW for convolutions) between host memory and a backend
 * buffer of the same parameter (value, grad, m or v): `out`/`in` hold param->count floats. */
variant_status vt_param_download(const vt_params *params, const vt_param *param,
                                 const float *buffer, float *out, variant_error *err);
variant_status vt_param_upload(const vt_params *params, const vt_param *param, const float *in,
                               float *buffer, variant_error *err);

/* A parameter's numbers on their way to a file: a vt_tensor_out whose `read` is vt_param_read and whose `source` is
 * this. */
typedef struct vt_param_source {
    const vt_params *params;
    const vt_param *param;
    const float *buffer; /* value, m or v */
} vt_param_source;
variant_status vt_param_read(const vt_tensor_out *tensor, void *out, variant_error *err);
/* The tensor of that name, of the parameter's shape; source must outlive it. */
vt_tensor_out vt_param_tensor(const char *name, const vt_param_source *source);

#endif
