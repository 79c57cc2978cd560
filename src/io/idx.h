/* idx.h - the IDX files of MNIST and its kin: a pair of pictures (count, height, width) and labels
 * (count), bytes, gzipped or plain. Read by dataset.c. */
#ifndef VT_IO_IDX_H
#define VT_IO_IDX_H

#include "core/status.h"

typedef struct vt_idx {
    int count, width, height;
    int classes;      /* labels that occur, in the training pictures where they lie beside */
    int numbers[256]; /* (classes): what the file calls each, rising */
    uint8_t *pixels;  /* (count, height, width) */
    uint8_t *labels;  /* (count), below classes */
    bool fashion;     /* Fashion-MNIST, by its labels or its folder's name */
} vt_idx;

/* Finds the pair that path stands for: a folder or prefix before train-images-idx3-ubyte[.gz]
 * (t10k-... or test-... for the test split), or the file of pictures itself. *found is false, with
 * VARIANT_OK, when path is no such thing. */
variant_status vt_idx_open(vt_idx *out, const char *path, bool test_split, bool *found,
                           variant_error *err);
/* Are there test pictures beside the training ones (or is path itself the test pictures)? */
bool vt_idx_has_test(const char *path);
void vt_idx_free(vt_idx *idx);

#endif
