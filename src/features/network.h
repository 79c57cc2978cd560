/* network.h - what a kind of feature network gives features.c: included by this folder alone.
 *
 * A kind allocates a struct of its own that begins with vt_features, and fills it. */
#ifndef VT_FEATURES_NETWORK_H
#define VT_FEATURES_NETWORK_H

#include "features/features.h"
#include "io/tensors.h"

/* Pictures of one call, checked by features.c: count, height and width at least 1, channels those that
 * the network wants or 1. Outputs may be NULL. */
typedef struct vt_features_batch {
    const float *pictures; /* (count, height, width, channels) in [0, 1], host memory */
    int count, height, width, channels;
    float *pooled, *spatial, *probabilities;
} vt_features_batch;

struct vt_features {
    vt_features_info info;
    const char *(*class_name)(const vt_features *features, int label); /* or NULL */
    variant_status (*run)(vt_features *features, const vt_features_batch *batch,
                          variant_error *err);
    void (*close)(vt_features *features); /* frees everything, the struct too; not the file */
    vt_tensor_file *file;                 /* open as long as the network: weights may be mapped */
    vt_team *team;                        /* of the backend it was opened on */
    int bad_picture;                      /* of the last run: vt_features_bad_picture */
};

/* 16 hex digits of the names, shapes and bytes of all tensors. */
void vt_features_hash(char out[17], const vt_tensor_file *file);

/* What the kinds share: [0, 1] to [-1, 1] with `from` channels repeated to `to`; probabilities. */
void vt_features_spread(float *out, const float *pictures, size_t pixels, int from, int to);
void vt_features_softmax(const float *logits, int count, float *out); /* out may be logits */

/* The kinds. is: does the file hold one? open: takes the file over when it succeeds. */
bool vt_classifier_is(const vt_tensor_file *file);
variant_status vt_classifier_features_open(vt_features **out, vt_kern *kern, vt_tensor_file *file,
                                           variant_error *err);
bool vt_inception_is(const vt_tensor_file *file);
variant_status vt_inception_features_open(vt_features **out, vt_kern *kern, vt_tensor_file *file,
                                          variant_error *err);

#endif
