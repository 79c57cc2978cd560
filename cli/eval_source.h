/* eval_source.h - where judges take real or finished pictures from: a data set, with or without classes. Pictures
 * come as (side, side, channels) floats in [0, 1]. */
#ifndef VT_CLI_EVAL_SOURCE_H
#define VT_CLI_EVAL_SOURCE_H

#include "io/dataset.h"

typedef struct eval_source {
    vt_dataset *dataset;
    bool labelled; /* it has classes */
    int count;     /* to be read: spread evenly over what there is */
    int available;
    int side, channels;
} eval_source;

/* side or channels 0: the first picture's own, which must be square and which the others must have. count 0: all.
 * Notes go to stderr in the command's name; NULL: none. */
variant_status eval_source_open(eval_source *out, const vt_data *data, int side, int channels,
                                int count, const char *command, variant_error *err);
/* What tells these pictures from others of the same number. */
variant_status eval_source_hash(const eval_source *source, uint64_t *out, variant_error *err);
void eval_source_close(eval_source *source);
/* Pictures [first, first + count) of those to be read; labels may be NULL, and are -1 without classes. */
variant_status eval_source_read(const eval_source *source, int first, int count, float *pictures,
                                int32_t *labels, variant_error *err);

#endif
