/* variant/data.h - pictures that are trained on, encoded or judged: folders, files of them, or the caller's memory. */
#ifndef VARIANT_DATA_H
#define VARIANT_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>

VARIANT_BEGIN

/* Pictures in the caller's memory. */
typedef struct variant_array {
    size_t size;                        /* variant_array_init sets it */
    const uint8_t *pixels;              /* (count, height, width, channels) */
    int count, height, width, channels; /* channels 1 grey or 3 RGB */
    const int32_t
        *labels; /* (count), from 0 below variant_data.class_count; NULL: all of one class */
} variant_array;
VARIANT_SIZED(variant_array);

/* What `--data` names and how it is taken. Everything is borrowed for the length of the call that takes it. */
typedef struct variant_data {
    size_t size; /* variant_data_init sets it */
    /* folders with a sub-folder a class, IDX files, .npz of pictures; several are joined by the names of their classes */
    const char *const *paths;
    int path_count; /* at most 16 */
    /* Or pictures in memory, instead of paths, and those that a model is tested on: NULL: `holdout` of array. Pictures are scaled
     * as a folder's are: the same pictures of the same labels give the same weights from either. */
    const variant_array *array, *test_array;
    const char *const *class_names; /* (class_count), of array, UTF-8; NULL: "0", "1", .. */
    int class_count;                /* 0: one more than the largest label */
    double
        holdout; /* share of the pictures that is test where no test pictures are given; 0: none */
    const char *
        fit; /* of pictures that are no square: "crop", "pad" or "stretch"; NULL: as the model was trained, else crop */
    const char *
        alpha; /* see-through pictures over "white", "black", or "drop": hidden colours; NULL: likewise, else white */
    /* "train", "test" or "all" of the pictures; NULL: what the function says. Trainings use both parts and do not read it */
    const char *split;
    /* Or, where a function says that it takes them: picture files, and folders for all the pictures in and below them, in this
     * order, without classes or splits; one that cannot be read is an error. */
    const char *const *files;
    int file_count;
    bool
        pad; /* of files and arrays: pictures smaller than the model's are centred on black, not enlarged */
} variant_data;
/* holdout 0.05, nothing else. */
VARIANT_SIZED(variant_data);

VARIANT_END

#endif
