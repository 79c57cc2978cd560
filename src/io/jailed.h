/* jailed.h - readers of strangers' files, run in the jail (core/jail.h): what picture_read.c, png.c, picture_settings.c and
 * tensors.c call in their own stead where there is one. What comes back is checked here. */
#ifndef VT_IO_JAILED_H
#define VT_IO_JAILED_H

#include "core/jail.h"
#include "io/picture.h"
#include "io/tensor_file.h"

/* A file's bytes, and a descriptor of the same file or -1: then the bytes are copied to where the jail can see them. */
typedef struct vt_input {
    vt_bytes bytes;
    int file;
} vt_input;

/* Sizes first, which say what memory the pixels may take. raw->data: free() it. */
variant_status vt_jailed_picture(vt_raw_picture *raw, vt_input input, bool header_only,
                                 variant_error *err);
/* The text of a PNG's key; key NULL: the comment of a JPEG or WebP, *out NULL where there is none. free() *out. */
variant_status vt_jailed_text(char **out, vt_bytes file, const char *key, variant_error *err);
/* Fills a file that holds a PyTorch checkpoint, whose map is there already; `descriptor` as above. Tensors point into the map, and copies
 * into file->jailed. */
variant_status vt_jailed_torch(vt_tensor_file *file, int descriptor, variant_error *err);

/* The table that comes back of it: made there of a file that was read, *bytes for free(); and taken here into one that has its map alone,
 * whose `jailed` it is. E_FORMAT where it does not hold together. */
typedef struct vt_jailed_table {
    uint64_t texts, texts_end; /* where they are */
    int32_t count, meta_count, legacy, unused;
} vt_jailed_table;
variant_status vt_jailed_table_make(vt_jailed_table *table, uint8_t **bytes, size_t *size,
                                    const vt_tensor_file *file, variant_error *err);
variant_status vt_jailed_table_take(vt_tensor_file *file, const vt_jailed_table *table, size_t size,
                                    variant_error *err);

/* What they run there, of the readers themselves. */
variant_status vt_raw_decode(vt_raw_picture *raw, vt_bytes file, bool header_only,
                             variant_error *err);
variant_status vt_png_text(char **out, vt_bytes file, const char *key, variant_error *err);
char *vt_picture_comment(vt_bytes file);
variant_status vt_torch_read(vt_tensor_file *file, variant_error *err);

#endif
