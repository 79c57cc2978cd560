/* eval_source.h - where judges take real or finished pictures from: a data set (IDX, or a folder
 * with a sub-folder a class) or a folder of pictures. Pictures come as (side, side, channels) floats in
 * [0, 1]. */
#ifndef VT_CLI_EVAL_SOURCE_H
#define VT_CLI_EVAL_SOURCE_H

#include "io/dataset.h"
#include "pictures.h"

typedef struct eval_source {
    const char *path;
    vt_dataset *dataset; /* or NULL: */
    cli_pictures list;   /* no labels */
    int count;           /* to be read: spread evenly over what there is */
    int available;
    int side, channels;
    bool exact; /* the list's pictures must have that side; else they are fitted */
} eval_source;

/* side 0: the first picture's own, which the others must have (a folder without classes only). count 0:
 * all. */
variant_status eval_source_open(eval_source *out, const char *path, bool test_split, int side,
                                int channels, int count, variant_error *err);
void eval_source_close(eval_source *source);
/* Pictures [first, first + count) of those to be read; labels may be NULL, and are -1 without classes. */
variant_status eval_source_read(const eval_source *source, int first, int count, float *pictures,
                                int32_t *labels, variant_error *err);

#endif
