/* data.h - which pictures, and how they are taken: what a command's data options say, and what a model's training
 * record keeps of them. */
#ifndef VT_IO_DATA_H
#define VT_IO_DATA_H

#include "io/image.h"
#include "io/picture_folder.h"

#define VT_DATA_PATHS 16
#define VT_TRAINING_KEY "variant.training" /* of a file's metadata: its training record */
#define VT_HOLDOUT 0.05                    /* what is held out unless told otherwise */

typedef struct vt_data {
    const char *paths[VT_DATA_PATHS];
    int count;       /* of paths; their classes are joined by name */
    vt_split split;  /* ignored by trainers, which open both */
    double holdout;  /* share that is test where there is no test split; 0: none */
    bool flat_whole; /* but pictures without classes are not divided */
    vt_fit fit;
    vt_alpha alpha;
    bool fit_chosen, alpha_chosen; /* false: as the model was trained, where one says so */
} vt_data;

/* One path, and the defaults. */
vt_data vt_data_of(const char *path);
/* Takes from a training record (JSON text, or NULL) what was not chosen. */
void vt_data_follow(vt_data *data, const char *training);
/* Likewise from the record in a model's or a network's file; without one nothing. */
void vt_data_follow_file(vt_data *data, const char *path);
/* "train", "test" or "all". */
const char *vt_split_name(vt_split split);
/* "a, b" of the paths, for messages; as much as fits. */
void vt_data_name(const vt_data *data, char *out, size_t size);

#endif
