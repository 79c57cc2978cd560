/* dataset_part.h - one of the things that a data set is made of: a folder of pictures, an IDX pair, or an array
 * of pictures, in an .npz or in memory. Read by dataset.c, which joins them. */
#ifndef VT_IO_DATASET_PART_H
#define VT_IO_DATASET_PART_H

#include "io/dataset.h"
#include "io/idx.h"
#include "io/picture.h"
#include "io/picture_array.h"

typedef enum vt_part_kind {
    VT_PART_FOLDER,
    VT_PART_IDX,
    VT_PART_ARRAY,
    VT_PART_MEMORY
} vt_part_kind;

typedef struct vt_part {
    vt_part_kind kind;
    char *path;
    vt_picture_folder folder;
    vt_idx idx;
    vt_picture_array *array;
    vt_array memory;
    int *indices; /* (count): of IDX and arrays, the pictures that are in the split */
    int count;
    char **classes; /* (class_count), owned; of IDX in the order of their numbers */
    int class_count;
} vt_part;

/* Adds the parts that path stands for (of IDX with both splits asked for: two) to parts, which has room for
 * two; *count grows. What was added is the caller's to close, after a failure too. */
variant_status vt_part_open(vt_part *parts, int *count, const char *path,
                            const vt_picture_folder_options *options, variant_error *err);
/* Likewise what data->array stands for, and data->test_array. */
variant_status vt_part_open_memory(vt_part *parts, int *count, const vt_data *data,
                                   const vt_picture_folder_options *options, variant_error *err);
void vt_part_close(vt_part *part);

int vt_part_label(const vt_part *part, int index);
char *vt_part_picture_name(const vt_part *part, int index);
/* The picture as it is, in `channels`; *borrowed: its data belongs to the part. */
variant_status vt_part_read(const vt_part *part, int index, int channels, vt_alpha alpha,
                            vt_image *out, bool *borrowed, vt_picture_facts *facts,
                            variant_error *err);

#endif
