/* classifier.h - a small convolutional network that names the class of a picture, trained on the user's
 * own data (train/train_classifier.c).
 *
 *     picture --stem, residual blocks, halvings--> map --mean over pixels--> features --head--> logits
 *
 * Pictures are (B, side, side, channels) in [-1, 1], NHWC, backend memory. The features are linear in
 * the last convolution's output, which suits a Frechet distance better than numbers cut off at zero.
 * Used by train/ (forward, backward) and, through features.h, by whoever judges pictures. */
#ifndef VT_FEATURES_CLASSIFIER_H
#define VT_FEATURES_CLASSIFIER_H

#include "core/arena.h"
#include "nn/params.h"

#define VT_CLASSIFIER_LEVELS 8

typedef struct vt_classifier_config {
    int side, channels; /* of pictures; side is a multiple of 2^levels */
    int width;          /* of the first level; a multiple of 32 (GroupNorm has 32 groups) */
    int levels, mult[VT_CLASSIFIER_LEVELS]; /* width multipliers; every level halves the side */
    int blocks;                             /* residual blocks a level */
    int features;                           /* D */
    int classes;
} vt_classifier_config;

typedef struct vt_classifier vt_classifier;

/* Bounds on every field, so that later products fit: `code` with a line. */
variant_status vt_classifier_config_check(const vt_classifier_config *config, variant_status code,
                                          variant_error *err);
/* For a file's metadata "variant.config"; free() it. NULL: no memory. */
char *vt_classifier_config_text(const vt_classifier_config *config, char *const *class_names);
/* Does the metadata say that the file is a classifier? */
bool vt_classifier_is(const vt_tensor_file *file);

/* Registers the parameters; they have no values yet (nn/params.h). */
variant_status vt_classifier_open(vt_classifier **out, vt_kern *kern,
                                  const vt_classifier_config *config, variant_error *err);
/* Configuration, names and values from a file that stays open as long. */
variant_status vt_classifier_load(vt_classifier **out, vt_kern *kern, const vt_tensor_file *file,
                                  variant_error *err);
void vt_classifier_close(vt_classifier **classifier);
const vt_classifier_config *vt_classifier_configuration(const vt_classifier *classifier);
vt_params *vt_classifier_params(vt_classifier *classifier);
const char *vt_classifier_class_name(const vt_classifier *classifier, int label); /* or NULL */
/* Random values for training from nothing (allocates). */
variant_status vt_classifier_initialise(vt_classifier *classifier, uint64_t seed,
                                        variant_error *err);

/* Inference: pooled (B, D) and logits (B, classes). A picture's results do not depend on its
 * neighbours. */
variant_status vt_classifier_run(vt_classifier *classifier, vt_arena *arena, int batch,
                                 const float *pictures, float *pooled, float *logits,
                                 variant_error *err);

/* A training pass: the mean cross entropy against labels. */
typedef struct vt_classifier_pass {
    int batch;
    const float *pictures;  /* (B, side, side, channels) */
    const int32_t *targets; /* (B), backend memory */
    float smoothing;
    bool
        recompute; /* keep maps between layers alone, compute the rest again in backward: the same bits */
    int of;        /* the loss is a sum over these pictures, divided by so many; 0: B, their mean */
    /* results; the buffers lie in the arena until the caller rewinds it */
    double loss; /* mean over the batch, of = B */
    int hits;    /* pictures whose largest logit is the target's */
    float *pooled, *logits, *dlogits;
} vt_classifier_pass;
variant_status vt_classifier_forward(vt_classifier *classifier, vt_arena *arena,
                                     vt_classifier_pass *pass, variant_error *err);
/* Adds the gradient of the loss to every parameter's grad. */
variant_status vt_classifier_backward(vt_classifier *classifier, vt_arena *arena,
                                      const vt_classifier_pass *pass, variant_error *err);

#endif
