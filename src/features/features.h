/* features.h - a network that turns pictures into features and class probabilities: what quality scores
 * are measured in.
 *
 * A file says by its content which network it holds. Each kind (classifier.h: trained by this program on
 * the user's own data; inception.h: FID's) gives an open function that fills a small table of functions (network.h); this
 * header is all that the users, eval/ and cli/, know. */
#ifndef VT_FEATURES_FEATURES_H
#define VT_FEATURES_FEATURES_H

#include "core/threads.h"
#include "io/tensors.h"
#include "kern/kern.h"

typedef struct vt_features vt_features;

/* How the Inception's pictures come to 299 x 299 and to its range. The network was made in TensorFlow, whose
 * first bilinear resize put the corner of a pixel where its centre belongs; published statistics (ADM's) were made
 * so, and torch-fidelity does it too. PyTorch's port (pytorch-fid) takes half-pixel centres. The scores differ. */
typedef enum vt_features_resize {
    VT_RESIZE_PYTORCH,   /* half-pixel centres, then 2 x / 255 - 1 */
    VT_RESIZE_TENSORFLOW /* place y * height / 299 from the top left corner, then (x - 128) / 128 */
} vt_features_resize;

typedef struct vt_features_info {
    char name[64];      /* "inception-2015-12-05", "classifier" */
    bool inception;     /* scores may then be called FID, sFID, IS; else "FID(classifier)" ... */
    int side, channels; /* of the pictures it was made for */
    int dims;           /* pooled features */
    int spatial_dims;   /* of the spatial features that sFID is measured in; 0: none */
    int classes;        /* probabilities */
    char hash[17];      /* 16 hex digits of its weights */
    bool resizes;       /* resize can be chosen */
    vt_features_resize resize;
} vt_features_info;

/* The threads of the backend that the network runs on; NULL: one. */
vt_team *vt_features_team(const vt_features *features);

/* Does the file hold (or was meant to hold) one of the networks? false where it cannot be opened. */
bool vt_features_is(const char *path);
/* Takes off what wrappers put before the networks' names ("module.", "_orig_mod."): vt_tensor_file_unwrap. */
variant_status vt_features_unwrap(vt_tensor_file *file, variant_error *err);
/* The network's file: path itself, or what lies in that folder: its VARIANT_FEATURES_FILE, as trainings and models have
 * it, else the one network there is. E_MODEL when the folder holds none or several. */
variant_status vt_features_find(const char *path, char *out, size_t size, variant_error *err);
/* Opens a file or what vt_features_find finds. E_FORMAT or E_MODEL when it is none of the networks known. */
variant_status vt_features_open(vt_features **out, vt_kern *kern, const char *path,
                                variant_error *err);
/* Likewise; without `verify` tensors are taken whatever their checksums say. */
variant_status vt_features_open_as(vt_features **out, vt_kern *kern, const char *path, bool verify,
                                   variant_error *err);
void vt_features_close(vt_features **features);
/* What the file's network is, whatever its numbers are: NaN, infinities and wrong checksums are for whoever looks at the file. */
variant_status vt_features_look(vt_features_info *out, vt_kern *kern, const char *path,
                                variant_error *err);
/* E_UNSUPPORTED for a network that does not resize. */
variant_status vt_features_set_resize(vt_features *features, vt_features_resize resize,
                                      variant_error *err);
/* "pytorch", "tensorflow" */
const char *vt_features_resize_name(vt_features_resize resize);
void vt_features_info_get(const vt_features *features, vt_features_info *out);
/* Name of a class, or NULL where none is known. */
const char *vt_features_class_name(const vt_features *features, int label);

/* pictures (count, height, width, channels) are floats in [0, 1], host memory; grey is repeated to three
 * channels where the network wants RGB, RGB is refused by a grey network. Any of the outputs may be NULL:
 * pooled (count, dims), spatial (count, spatial_dims), probabilities (count, classes). Runs in batches
 * inside. E_MODEL: a feature or probability that is not finite, which no score could be made of; the message
 * counts pictures from 1 within this call, vt_features_bad_picture from 0 (-1: none). */
variant_status vt_features_run(vt_features *features, const float *pictures, int count, int height,
                               int width, int channels, float *pooled, float *spatial,
                               float *probabilities, variant_error *err);
int vt_features_bad_picture(const vt_features *features);

#endif
