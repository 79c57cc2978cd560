/* inception_layers.h - the layers of FID's Inception-v3 as data: for inception.c and inception_file.c alone.
 *
 * A block reads the map IN and writes channels of the map OUT, branch after branch, over two maps for
 * what lies between; VT_INCEPTION_NEXT ends it and makes OUT the next one's IN. Inputs' sizes follow
 * from the steps before. */
#ifndef VT_FEATURES_INCEPTION_LAYERS_H
#define VT_FEATURES_INCEPTION_LAYERS_H

typedef enum vt_inception_op {
    VT_INCEPTION_CONV, /* without bias, then batch normalisation and ReLU; "fc": plain with a bias */
    VT_INCEPTION_MAX,
    VT_INCEPTION_AVERAGE, /* over the pixels inside the map */
    VT_INCEPTION_NEXT
} vt_inception_op;

enum vt_inception_map { VT_MAP_IN, VT_MAP_OUT, VT_MAP_A, VT_MAP_B, VT_INCEPTION_MAPS };

typedef struct vt_inception_step {
    vt_inception_op op;
    const char *name; /* of a convolution: of its tensors, up to ".conv.weight" */
    int from, to;
    int out_c, rows, columns; /* a pool keeps its channels; its window is square */
    int stride, pad_rows, pad_columns;
} vt_inception_step;

#define VT_INCEPTION_SPATIAL_STEP "Mixed_6d.branch1x1" /* whose first channels sFID looks at */

extern const vt_inception_step vt_inception_steps[];
extern const int vt_inception_step_count;

#endif
