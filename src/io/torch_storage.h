/* torch_storage.h - the storages of a PyTorch checkpoint: the flat arrays that its tensors are
 * views of.
 *
 * torch.c finds them (zip entries, or the tail of a legacy file); torch_tree.c makes tensors of
 * them. */
#ifndef VT_IO_TORCH_STORAGE_H
#define VT_IO_TORCH_STORAGE_H

#include "io/pickle.h"
#include "io/tensor_file.h"
#include "io/zip.h"

typedef struct vt_torch_storage {
    const char *key;
    const char *type_name;     /* as in the file: "torch.FloatStorage" */
    vt_dtype type;             /* VT_OTHER: none that is read */
    size_t count;              /* elements */
    const unsigned char *data; /* NULL: the file has none, or its place cannot be told */
    const vt_zip_entry
        *entry; /* to be checked and placed on first use; NULL once done, and in legacy files */
} vt_torch_storage;

typedef struct vt_torch_reader {
    vt_tensor_file *file;
    vt_pool values;             /* what the pickles hold: gone once the tensors are made */
    vt_torch_storage *storages; /* sorted by key */
    size_t storage_count;
    bool check_sums; /* compare zip entries with their checksums */
    size_t work;     /* values that may still be visited */
} vt_torch_reader;

/* What identifies a storage; view is the element its view begins with (legacy files; else 0). */
variant_status vt_torch_storage_parse(vt_torch_storage *out, size_t *view, const vt_py *persistent,
                                      variant_error *err);
/* The storage of that key, with data aligned for its type; one of VT_OTHER as it is. */
variant_status vt_torch_storage_get(vt_torch_reader *reader, const char *key,
                                    vt_torch_storage **out, variant_error *err);

/* Walks what the main pickle holds: tensors and metadata go to reader->file. */
variant_status vt_torch_tree_read(vt_torch_reader *reader, const vt_py *root, variant_error *err);

#endif
