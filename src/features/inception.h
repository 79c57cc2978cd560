/* inception.h - FID's Inception-v3 (2015-12-05): the network whose features FID, sFID and IS are
 * published in.
 *
 * Read from the public file pt_inception-2015-12-05 (PyTorch) or a safetensors file of the same names,
 * or made by formula (io/synth.h). Used by features.h (users of scores), selftest/ and cli/. */
#ifndef VT_FEATURES_INCEPTION_H
#define VT_FEATURES_INCEPTION_H

#include "io/tensors.h"
#include "kern/kern.h"

enum {
    VT_INCEPTION_SIDE = 299,
    VT_INCEPTION_DIMS = 2048,
    VT_INCEPTION_SPATIAL = 7 * 17 * 17,
    VT_INCEPTION_CLASSES = 1008
};

typedef struct vt_inception vt_inception;

/* Do the names say that the file is (or was meant to be) one? */
bool vt_inception_is(const vt_tensor_file *file);
/* E_MODEL names the tensor that is missing, misshapen or surplus. The file is not needed later. */
variant_status vt_inception_load(vt_inception **out, vt_kern *kern, const vt_tensor_file *file,
                                 variant_error *err);
variant_status vt_inception_synthesize(vt_inception **out, vt_kern *kern, const char *seed,
                                       variant_error *err);
void vt_inception_close(vt_inception **net);

/* Writes the synthetic network as a file that says so in its metadata. type: of matrices; vectors stay
 * float32. */
#define VT_INCEPTION_SYNTHETIC "variant.synthetic" /* its value: the seed */
variant_status vt_inception_write(const char *path, const char *seed, vt_dtype type,
                                  variant_error *err);
/* Copies a file's network to a safetensors file; whoever watches (NULL: nobody) is told of each tensor that is "converting" and "writing".
 * E_MODEL as in load; E_STOPPED: path is what it was. */
variant_status vt_inception_convert(const char *path, const vt_tensor_file *file, vt_dtype type,
                                    const vt_work_watch *watch, variant_error *err);

/* Pictures of any size are resized to 299 x 299 (bilinear, no smoothing) and brought to the network's range, either
 * way of vt_features_resize. All is host memory. Results do not depend on a picture's neighbours.
 * Outputs may be NULL. */
typedef struct vt_inception_pass {
    const float *pictures; /* (count, height, width, channels) in [0, 1]; channels 1 or 3 */
    int count, height, width, channels;
    bool tensorflow; /* resized as TensorFlow does, else as PyTorch */
    float *pooled;   /* (count, 2048) */
    float *spatial;  /* (count, 17, 17, 7): the first channels of Mixed_6d.branch1x1 */
    float *logits;   /* (count, 1008) */
    /* (count, 1008): softmax of the logits without fc.bias, as Inception Scores are published */
    float *probabilities;
    float *input; /* (count, 299, 299, 3): what the network saw */
} vt_inception_pass;
variant_status vt_inception_run(vt_inception *net, const vt_inception_pass *pass,
                                variant_error *err);

#endif
