/* inception_parts.h - the inside of FID's Inception, for the files inception*.c alone. */
#ifndef VT_FEATURES_INCEPTION_PARTS_H
#define VT_FEATURES_INCEPTION_PARTS_H

#include "features/inception.h"
#include "features/inception_layers.h"

enum {
    VT_INCEPTION_TENSORS = 5, /* of a layer, at most */
    VT_INCEPTION_BATCH = 8    /* pictures at a time; the largest map of one takes 5 MB */
};

/* A tensor of a convolution's, as in files. */
typedef struct vt_inception_tensor {
    char name[64];
    int rank;
    int64_t shape[4];
    size_t count;
} vt_inception_tensor;

/* Where a tensor's numbers come from: fills out (tensor->count). */
typedef variant_status (*vt_inception_source)(const void *user, const vt_inception_tensor *tensor,
                                              float *out, variant_error *err);

/* The sizes of step i, which follow from the steps before it. */
typedef struct vt_inception_layer {
    int in_h, in_w, in_c, out_h, out_w, out_c;
    int channel, stride; /* first channel in its map, and channels of the map */
} vt_inception_layer;

typedef struct vt_inception_memory {
    void *base;
    size_t bytes;
} vt_inception_memory;

struct vt_inception {
    vt_kern *kern;              /* borrowed */
    vt_inception_layer *layers; /* (steps), as all that follow */
    vt_weight **weights;        /* NULL where it is not a convolution */
    float **values, **biases;   /* backend memory, normalisation folded in */
    float *fc_bias;             /* (classes), host memory: Inception Scores go without */
    float *map[VT_INCEPTION_MAPS];
    void *workspace;
    vt_inception_memory weight_memory, map_memory;
};

/* The arguments of step i for `count` pictures; x and y are to be filled in. */
vt_conv vt_inception_conv(const vt_inception *net, int i, int count);

/* Sizes of all steps: vt_inception_step_count layers. */
void vt_inception_measure(vt_inception_layer *layers);
/* The tensors of a convolution: weight; then gamma, beta, mean and variance of its normalisation, or
 * fc's bias. Returns how many. */
int vt_inception_tensors(const vt_inception_step *step, const vt_inception_layer *layer,
                         vt_inception_tensor out[VT_INCEPTION_TENSORS]);

variant_status vt_inception_open(vt_inception **out, vt_kern *kern, vt_inception_source source,
                                 const void *user, variant_error *err);

#endif
