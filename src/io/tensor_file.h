/* tensor_file.h - the inside of a vt_tensor_file, for the readers that fill it: safetensors.c,
 * torch.c and shards.c; and what the writers of tensors share (tensor_out.c).
 *
 * Error messages of readers do not name the path: vt_tensor_file_open puts it in front. Names that
 * come from a file are printed through vt_printable, so that a message stays one line. */
#ifndef VT_IO_TENSOR_FILE_H
#define VT_IO_TENSOR_FILE_H

#include "io/checksum.h"
#include "io/file.h"
#include "io/file_kind.h"
#include "io/pool.h"
#include "io/tensors.h"

typedef struct vt_meta {
    const char *key, *value;
} vt_meta;

struct vt_tensor_file {
    vt_mapping map;
    vt_pool pool; /* names, groups, metadata, copies of data that could not be used in place */
    char *path;
    const char *format;
    vt_tensor *tensors; /* in the file's order */
    int count, capacity;
    vt_meta *meta;
    int meta_count, meta_capacity;
    bool guarded; /* vt_tensor_file_open_guarded: shards likewise */
    uint8_t *
        jailed; /* what a reader in the jail gave (jailed_torch.c), to which tensors may point; or NULL */
    bool has_metadata; /* a safetensors header's, even an empty one */
    const char *sums;  /* its VT_SUMS_KEY, until they are the tensors'; NULL */
    int *by_name;      /* indices sorted by name, then by order: built once everything is read */
    struct vt_tensor_file **shards; /* an index's: whose tensors these are, too */
    int shard_count;
};

/* Readers: fill file->tensors and file->meta from file->map and set file->format. */
bool vt_safetensors_is(const vt_mapping *map);
bool vt_shards_is(const vt_mapping *map);
/* As vt_tensor_file_open, but an index is refused: it could name itself. */
variant_status vt_tensor_file_open_shard(vt_tensor_file **out, const char *path, bool guarded,
                                         variant_error *err);
variant_status vt_shards_read(vt_tensor_file *file, variant_error *err);
variant_status vt_safetensors_read(vt_tensor_file *file, variant_error *err);
/* Gives tensors the checksums that file->sums has of them, once they are indexed. */
variant_status vt_checksums_take(vt_tensor_file *file, variant_error *err);
bool vt_torch_is_zip(const vt_mapping *map);
bool vt_torch_is_legacy(const vt_mapping *map);
variant_status vt_torch_read_zip(vt_tensor_file *file, variant_error *err);
variant_status vt_torch_read_legacy(vt_tensor_file *file, variant_error *err);

/* The bound of file->pool, by the size of its map. */
void vt_tensor_file_pool(vt_tensor_file *file);

/* Adds a tensor whose name, group, type, rank and shape are set (strings in file->pool); data may
 * be NULL only for no elements. */
variant_status vt_tensor_file_add(vt_tensor_file *file, const vt_tensor *tensor,
                                  variant_error *err);

/* Builds by_name, anew after names or groups changed; E_FORMAT when a name comes twice in a group. */
variant_status vt_tensor_file_index(vt_tensor_file *file, variant_error *err);

/* Sets count and bytes from type, rank and shape; E_FORMAT on overflow. */
variant_status vt_tensor_measure(vt_tensor *tensor, variant_error *err);

/* data itself where it is aligned for elements of `size` bytes, else a copy that the file owns;
 * NULL: vt_pool_fail. */
const void *vt_tensor_file_align(vt_tensor_file *file, const void *data, size_t bytes, size_t size);

/* ---- writing: messages do not name the path either ---- */

/* Names, types, shapes and sizes of what is to be written, into measured (count). E_ARGUMENT: one without a valid name, type or
 * rank, or a name that comes twice. */
variant_status vt_tensors_measure(vt_tensor *measured, const vt_tensor_out *tensors, int count,
                                  variant_error *err);
/* Hands take all bytes of each tensor that has any, in order; those that are read when their turn has come pass through one piece
 * of memory. Whoever watches is told of each ("writing") and of the end. Ends with the first error, or a stop. */
variant_status vt_tensors_each(const vt_tensor *measured, const vt_tensor_out *tensors, int count,
                               variant_status (*take)(void *user, int index, const void *data,
                                                      size_t bytes, variant_error *err),
                               void *user, const vt_work_watch *watch, variant_error *err);
/* What a file's metadata have under VT_SUMS_KEY, `sums` being those of `tensors` (count): cJSON_free it. It is as long whatever they are.
 * NULL: no memory. */
char *vt_checksums_text(const vt_tensor *tensors, const vt_sum *sums, int count);
/* Those of tensors whose bytes are not written yet: takes each of them once, into sums (count). */
variant_status vt_checksums_of(vt_sum *sums, const vt_tensor *measured,
                               const vt_tensor_out *tensors, int count, variant_error *err);
/* A safetensors file as one of a set's. (These messages name the path.) */
variant_status vt_safetensors_stage(vt_replace_set *into, const vt_safetensors_out *out,
                                    variant_error *err);

/* text, cut to what fits and with control characters replaced, in buffer (returned). */
#define VT_PRINTABLE 128
const char *vt_printable(char buffer[VT_PRINTABLE], const char *text);

#endif
