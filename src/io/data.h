/* data.h - which pictures, and how they are taken: what a command's data options say, and what a model's training
 * record keeps of them. */
#ifndef VT_IO_DATA_H
#define VT_IO_DATA_H

#include "io/image.h"
#include "io/picture_folder.h"

#define VT_DATA_PATHS 16
#define VT_TRAINING_KEY "variant.training" /* of a file's metadata: its training record */
#define VT_HOLDOUT 0.05                    /* what is held out unless told otherwise */
#define VT_ARRAY_NAME "array"              /* what pictures in memory are called in messages */

/* Pictures in somebody's memory, borrowed for as long as they are read; checked by whoever takes them in. */
typedef struct vt_array {
    const uint8_t *pixels; /* (count, height, width, channels) */
    int count, width, height, channels;
    const int32_t *labels; /* (count), from 0 below class_count; NULL: all are of one class */
} vt_array;

typedef struct vt_data {
    const char *paths[VT_DATA_PATHS];
    int count; /* of paths; their classes are joined by name */
    /* Instead of paths; test: its test split, count 0 where some of the pictures are held out or there is none. */
    vt_array array, test_array;
    const char *const *class_names; /* (class_count), of arrays; NULL: "0", "1", .. */
    int class_count;
    /* Or picture files, and folders for all the pictures in and below them; picture_list.h alone reads them */
    const char *const *files;
    int file_count;
    bool pad;        /* of arrays and files: smaller pictures are centred on black, not enlarged */
    vt_split split;  /* ignored by trainers, which open both */
    double holdout;  /* share that is test where there is no test split; 0: none */
    bool flat_whole; /* but pictures without classes are not divided */
    vt_fit fit;
    vt_alpha alpha;
    bool split_chosen;             /* by a caller of vt_data_take */
    bool fit_chosen, alpha_chosen; /* false: as the model was trained, where one says so */
} vt_data;

/* What a caller names; pictures and strings stay the caller's. E_ARGUMENT: not valid. */
variant_status vt_data_take(vt_data *out, const variant_data *given, variant_error *err);
/* Likewise, by a function that says what happens without a split, and that reads files, too. `what` it is: "reference". */
variant_status vt_data_take_as(vt_data *out, const variant_data *given, const char *what,
                               vt_split split, variant_error *err);
/* One path, and the defaults. */
vt_data vt_data_of(const char *path);
/* Takes from a training record (JSON text, or NULL) what was not chosen. */
variant_status vt_data_follow(vt_data *data, const char *training, variant_error *err);
/* Likewise from the record in a model's or a network's file; without one nothing. */
variant_status vt_data_follow_file(vt_data *data, const char *path, variant_error *err);
/* "train", "test" or "all". */
const char *vt_split_name(vt_split split);
/* Are there pictures to read, wherever they lie? */
bool vt_data_given(const vt_data *data);
/* "a, b" of the paths, for messages; as much as fits. */
void vt_data_name(const vt_data *data, char *out, size_t size);

#endif
