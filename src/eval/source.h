/* source.h - where judges take real or finished pictures from: a data set, with or without classes. Pictures
 * come as (side, side, channels) floats in [0, 1]. */
#ifndef VT_EVAL_SOURCE_H
#define VT_EVAL_SOURCE_H

#include "io/dataset.h"

typedef struct vt_source {
    vt_dataset *dataset;
    bool labelled; /* it has classes */
    int count;     /* to be read: spread evenly over what there is */
    int available;
    int side, channels;
} vt_source;

/* side or channels 0: the first picture's own, which must be square and which the others must have. count 0: all.
 * note gets what was passed over, a line at a time; NULL: nobody hears. */
variant_status vt_source_open(vt_source *out, const vt_data *data, int side, int channels,
                              int count, void (*note)(void *user, const char *line), void *user,
                              variant_error *err);
/* What tells these pictures from others of the same number. */
variant_status vt_source_hash(const vt_source *source, uint64_t *out, variant_error *err);
void vt_source_close(vt_source *source);
/* Pictures [first, first + count) of those to be read; labels may be NULL, and are -1 without classes. */
variant_status vt_source_read(const vt_source *source, int first, int count, float *pictures,
                              int32_t *labels, variant_error *err);

#endif
