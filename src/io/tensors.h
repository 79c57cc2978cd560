/* tensors.h - named tensors of a file, whatever the file's format.
 *
 * A vt_tensor_file is what a model is loaded from: a safetensors file, a PyTorch checkpoint
 * (zip or legacy pickle), or the index of several such files (shards). Tensor data is mapped, not copied, wherever the file stores it
 * contiguously and aligned. Read by nn/params.c, the converters and the tests. */
#ifndef VT_IO_TENSORS_H
#define VT_IO_TENSORS_H

#include <cjson/cJSON.h>

#include "core/status.h"
#include "core/threads.h"
#include "core/work.h"
#include "io/file.h"

#define VT_MAX_RANK 6

typedef enum vt_dtype {
    VT_F32,
    VT_F64,
    VT_F16,
    VT_BF16,
    VT_I8,
    VT_U8,
    VT_I16,
    VT_I32,
    VT_I64,
    VT_BOOL,
    VT_OTHER, /* one that files have and this program does not read: tensor->spelled says which */
    VT_DTYPES
} vt_dtype;

size_t vt_dtype_size(vt_dtype type);      /* bytes of an element */
const char *vt_dtype_name(vt_dtype type); /* as safetensors spells it: "F32", "BF16", ... */

typedef struct vt_tensor {
    const char *name;  /* unique in its file */
    const char *group; /* "" or the state dict it came from, e.g. "trainer/var_wo_ddp" */
    vt_dtype type;
    const char *spelled; /* VT_OTHER: the file's own word for the type; else NULL */
    int rank;
    int64_t shape[VT_MAX_RANK];
    size_t count; /* elements */
    size_t bytes; /* of VT_OTHER: what the file keeps of it, maybe 0 */
    /* row-major, contiguous, aligned for its type; valid until the file is closed */
    const void *data;
    const struct vt_sum *sum; /* of its bytes, as the file has it (checksum.h); NULL: none */
} vt_tensor;

/* Its type for a person: "F32", "F8_E4M3", "torchao Int8Tensor". */
const char *vt_tensor_type_name(const vt_tensor *tensor);

typedef struct vt_tensor_file vt_tensor_file;

/* Opens by content, not by name: safetensors, PyTorch zip, PyTorch legacy, the JSON index of shards.
 * Every offset, size and shape is checked against the file before anything is used; hostile or
 * truncated input gives E_FORMAT with one line that names the path and, where it is something else
 * that people have (a Git LFS pointer, a web page, another program's model), what it is. */
variant_status vt_tensor_file_open(vt_tensor_file **out, const char *path, variant_error *err);
/* Likewise of a file that may be cut short while it is open (cut.h): then what is read of it may be zeros, and whoever reads it asks
 * vt_tensor_file_settle before what they made of it counts. */
variant_status vt_tensor_file_open_guarded(vt_tensor_file **out, const char *path,
                                           variant_error *err);
/* status; E_IO where the file, or a shard of it, was cut short since it was opened. NULL is never cut. */
variant_status vt_tensor_file_settle(const vt_tensor_file *file, variant_status status,
                                     variant_error *err);
/* Likewise, without anybody having read what is gone: asks for the sizes of the files. */
variant_status vt_tensor_file_intact(const vt_tensor_file *file, variant_error *err);
/* Of memory that holds such a file (an index of shards excepted), or of a table of tensors; `path` is what messages call it. The
 * memory is borrowed until the file is closed, a table's names and shapes are not. */
variant_status vt_tensor_file_of_memory(vt_tensor_file **out, const char *path, const void *bytes,
                                        size_t size, variant_error *err);
variant_status vt_tensor_file_of_table(vt_tensor_file **out, const char *path,
                                       const variant_tensor *tensors, size_t count,
                                       variant_error *err);
void vt_tensor_file_close(vt_tensor_file **file);
/* Forgets the checksums that the file has of its tensors: they are taken as they are. */
void vt_tensor_file_trust(vt_tensor_file *file);

const char *vt_tensor_file_path(const vt_tensor_file *file);
/* "safetensors", "pytorch zip", "pytorch legacy"; ", N shards" after it */
const char *vt_tensor_file_format(const vt_tensor_file *file);
size_t vt_tensor_file_bytes(const vt_tensor_file *file); /* of the file, of all shards together */
int vt_tensor_file_count(const vt_tensor_file *file);
const vt_tensor *vt_tensor_file_at(const vt_tensor_file *file, int index); /* in the file's order */
/* By name within group ("": bare names; NULL: any group, first found). NULL when there is none. */
const vt_tensor *vt_tensor_file_find(const vt_tensor_file *file, const char *group,
                                     const char *name);
/* Wrappers put words before a model's own names ("module.", "_orig_mod.", "ema.", "var."), and between
 * them. Wherever a tensor's name ends in one of `marks`, what stands before the mark becomes a group of
 * its own (below the group it was in), and names behind the same words move into it without them:
 * "module.ema.head.bias" becomes "head.bias" of group "module.ema". Names in groups called training or
 * optimizer stay as they are. */
variant_status vt_tensor_file_unwrap(vt_tensor_file *file, const char *const *marks, int count,
                                     variant_error *err);
/* Packed numbers of weight NAME are tensors NAME.panels and, of whole numbers, NAME.scales or NAME.scales_of_rows, in a group of their own. shapes, an object
 * of lists ({"NAME": [n, k]}), says which weights there are: each becomes a tensor of that name and shape too, bare, of a type
 * that nobody reads as numbers; its bytes are those of the panels. E_FORMAT: damaged, with the path. */
#define VT_PACKED_GROUP "panels"
#define VT_PACKED_NUMBERS ".panels"
#define VT_PACKED_SCALES ".scales"
#define VT_PACKED_SCALES_OF_ROWS ".scales_of_rows" /* in its place: rows of x have one scale each */
variant_status vt_tensor_file_name_packed(vt_tensor_file *file, const cJSON *shapes,
                                          variant_error *err);
/* NULL: there are none. */
const vt_tensor *vt_packed_numbers(const vt_tensor_file *file, const char *name);
const vt_tensor *vt_packed_scales(const vt_tensor_file *file, const char *name, bool *of_rows);
/* Does the path of a group say that it holds what an optimizer keeps of weights, not weights? */
bool vt_tensor_group_is_training(const char *group);
/* Is it of a type that weights have? Whole numbers are counters, tables, or what quantizers made of weights. */
bool vt_tensor_is_float(const vt_tensor *tensor);
/* Metadata string by key: safetensors __metadata__, or scalar / tuple values of a PyTorch file's
 * dicts rendered as JSON text under slash-separated keys ("trainer/config/patch_nums" ->
 * "[1,2]"). NULL when there is none. */
const char *vt_tensor_file_meta(const vt_tensor_file *file, const char *key);
int vt_tensor_file_meta_count(const vt_tensor_file *file);
void vt_tensor_file_meta_at(const vt_tensor_file *file, int index, const char **key,
                            const char **value);

/* One more, copied: for readers, and for tables, which have none of their own. */
variant_status vt_tensor_file_add_meta(vt_tensor_file *file, const char *key, const char *value,
                                       variant_error *err);

/* Has the system begin to fetch a tensor's pages from the disk, where they are not in memory; nothing where it is not mapped. */
void vt_tensor_file_ask(const vt_tensor_file *file, const vt_tensor *tensor);

/* Gives the memory of a tensor's pages back to the system: it is read from the file again when needed.
 * For after it was copied or packed; nothing where the tensor is not mapped. */
void vt_tensor_file_release(const vt_tensor_file *file, const vt_tensor *tensor);

/* Converts count elements to float32 / int32 (rounding to nearest even from f64; I64 checked to
 * fit). E_FORMAT when the type does not convert. */
variant_status vt_tensor_to_f32(const vt_tensor *tensor, float *out, variant_error *err);
variant_status vt_tensor_to_i32(const vt_tensor *tensor, int32_t *out, variant_error *err);

/* How many of the tensor's numbers are no number (NaN) or infinite in float32; 0 of types without such.
 * Reads all of its data once. */
size_t vt_tensor_not_finite(const vt_tensor *tensor);

/* What looking through all of a tensor's bytes once, by the team's threads (NULL: the caller's own), found. Without a checksum and, with
 * `numbers`, of types that have none, nothing is read. */
typedef struct vt_tensor_seen {
    bool changed;      /* its bytes are not those that its checksum was made of */
    size_t not_finite; /* with `numbers`: as vt_tensor_not_finite */
} vt_tensor_seen;
vt_tensor_seen vt_tensor_look(const vt_tensor *tensor, bool numbers, vt_team *team);
/* Of every tensor before it is used, if not by vt_tensor_look: E_FORMAT with file and tensor where it is not what was written. */
variant_status vt_tensor_verify(const vt_tensor_file *file, const vt_tensor *tensor, vt_team *team,
                                variant_error *err);
/* That line, for those who looked themselves. */
variant_status vt_tensor_fail_changed(const vt_tensor_file *file, const vt_tensor *tensor,
                                      variant_error *err);

/* What numbers lose as F16 or BF16. error: the norm of what is lost, of numbers that fit, over the norm of
 * them (of ordinary weights 3e-4 and 2e-3). */
typedef struct vt_half_loss {
    size_t overflow; /* finite numbers beyond the type's largest */
    size_t vanished, nonzero;
    float largest;
    double error;
} vt_half_loss;
vt_half_loss vt_half_loss_of(const float *values, size_t count, vt_dtype type);

/* float <-> half precisions, round to nearest even. */
float vt_f32_from_f16(uint16_t half);
uint16_t vt_f16_from_f32(float value);
float vt_f32_from_bf16(uint16_t half);
uint16_t vt_bf16_from_f32(float value);

/* One tensor to write; data is host memory of `type`. */
typedef struct vt_tensor_out vt_tensor_out;
struct vt_tensor_out {
    const char *name;
    vt_dtype type;
    int rank;
    int64_t shape[VT_MAX_RANK];
    const void *data;
    /* Where data is NULL: gives all the tensor's bytes when their turn has come, so that a file is written with
     * memory for one tensor. `source` is its own. */
    variant_status (*read)(const vt_tensor_out *tensor, void *out, variant_error *err);
    const void *source;
};

/* Writes a safetensors file: header (metadata keys and values are strings, and the checksums of the tensors: checksum.h), padded to 64
 * bytes so that data can be mapped, then the data in order. Written to a temporary file beside path,
 * fsync, rename: path either holds the whole new file or what it held before. */
variant_status vt_safetensors_write(const char *path, const vt_tensor_out *tensors, int count,
                                    const char *const *meta_keys, const char *const *meta_values,
                                    int meta_count, variant_error *err);

/* What is written to a safetensors file; all of it is borrowed. Whoever watches is told of each tensor ("writing"), and after a stop path
 * holds what it held before. */
typedef struct vt_safetensors_out {
    const char *path;
    const vt_tensor_out *tensors; /* (count) */
    int count;
    const char *const *meta_keys, *const *meta_values; /* (meta_count) */
    int meta_count;
    const vt_work_watch *watch; /* NULL: nobody */
} vt_safetensors_out;
/* Likewise. */
variant_status vt_safetensors_write_out(const vt_safetensors_out *out, variant_error *err);

/* Likewise in several files of at most `most` bytes of tensors each (a tensor that is larger has one to itself; 0: one file), as Hugging
 * Face lays them: of "x/NAME.safetensors" "x/NAME-00001-of-0000N.safetensors" and so on, in the tensors' order, and
 * "x/NAME.safetensors.index.json", which comes last. What fits into one file is one, of the name given. The metadata is in the first.
 * None takes its name before all are written: after a stop, or a full disk, the folder is as it was.
 * *shards: how many (0: one file, without an index); may be NULL. E_ARGUMENT: the name does not end in .safetensors. */
variant_status vt_shards_write(const vt_safetensors_out *out, size_t most, int *shards,
                               variant_error *err);
/* Likewise, as files of a set, which appear with all of it. */
variant_status vt_shards_stage(vt_replace_set *into, const vt_safetensors_out *out, size_t most,
                               int *shards, variant_error *err);

/* A state dict of PyTorch (torch.load gives an OrderedDict of contiguous tensors, also with weights_only=True): the zip archive, each
 * tensor a storage of its own at a multiple of 64 bytes, so that torch.load(mmap=True) maps it. Whole or not at all, and watched, as above. */
variant_status vt_torch_write(const char *path, const vt_tensor_out *tensors, int count,
                              const vt_work_watch *watch, variant_error *err);
/* Likewise, as a file of a set. */
variant_status vt_torch_stage(vt_replace_set *into, const char *path, const vt_tensor_out *tensors,
                              int count, const vt_work_watch *watch, variant_error *err);
/* Is the name of a file one that PyTorch's have: .pth, .pt, .bin, .ckpt? */
bool vt_torch_is_name(const char *path);

#endif
