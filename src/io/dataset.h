/* dataset.h - labelled pictures for training: a folder with one sub-folder a class, or gzipped IDX.
 *
 * IDX (Fashion-MNIST and its kin): path is the folder or prefix before train-images-idx3-ubyte.gz
 * and train-labels-idx1-ubyte.gz (t10k-... for the test split; plain files without .gz too), or the
 * file of pictures itself. Held whole in memory as bytes at its own size.
 *
 * Folders: classes are the sub-folders, pictures the .png, .jpg and .jpeg files directly in them,
 * both sorted bytewise, so that a run can be repeated; other files are ignored. Up to 20000
 * pictures are decoded at opening, so that every broken one is known from the start, and kept
 * scaled (shorter side as trained) as long as all of them together take at most 1 GiB; what does
 * not fit, and every picture of a larger set, is decoded again at each read, with the same result.
 * Larger sets have only their headers looked at. A broken picture is reported once, counted and
 * skipped. */
#ifndef VT_IO_DATASET_H
#define VT_IO_DATASET_H

#include "core/status.h"
#include "io/image.h"

typedef struct vt_dataset_options {
    const char *path;
    bool test_split; /* IDX: the t10k files; folders: path/test or path/val, an error without one */
    int side;        /* pictures come as side x side */
    int channels;    /* 1 or 3 */
    int short_side;  /* folders: shorter side before the crop to side x side; 0: side */
    void (*warn)(void *user, const char *line); /* a broken picture, named; NULL: silent */
    void *user;
} vt_dataset_options;

typedef struct vt_dataset vt_dataset;

/* E_FORMAT when no picture is left; the line says what was looked for. If path has sub-folders
 * train/ (and test/ or val/) that hold folders, they are the splits, and both number their classes
 * by train's. */
variant_status vt_dataset_open(vt_dataset **out, const vt_dataset_options *options,
                               variant_error *err);
void vt_dataset_close(vt_dataset **dataset);

int vt_dataset_count(const vt_dataset *dataset);
int vt_dataset_skipped(const vt_dataset *dataset); /* broken pictures left out */
int vt_dataset_classes(const vt_dataset *dataset);
/* The folder's name; Fashion-MNIST's own names for its IDX; "0", "1" ... otherwise. */
const char *vt_dataset_class_name(const vt_dataset *dataset, int label);
int vt_dataset_label(const vt_dataset *dataset, int index);
int vt_dataset_class_size(const vt_dataset *dataset, int label); /* pictures of this class */
/* A picture's name for messages and lists: its path in a folder, "PATH[index]" for IDX. free() it;
 * NULL: no memory. */
char *vt_dataset_picture_name(const vt_dataset *dataset, int index);
int vt_dataset_native_side(const vt_dataset *dataset); /* IDX: 28; folders: 0 */
/* Of names, sizes and labels (folders) or bytes (IDX), sides and channels: keys the token cache. */
uint64_t vt_dataset_hash(const vt_dataset *dataset);

/* See vt_image_fit; (0.5, 0.5, false): the centre, not mirrored. */
typedef struct vt_crop {
    double fx, fy;
    bool flip;
} vt_crop;

/* Picture `index` as floats in [-1, 1], (side, side, channels), into out. IDX pictures smaller than
 * side are padded (value 0 = black), larger ones fitted; with padding, crop moves the picture
 * within the slack. (0.5, 0.5) is the centre. May be called by several threads. A picture that
 * turned out broken after opening is E_FORMAT. */
variant_status vt_dataset_read(const vt_dataset *dataset, int index, vt_crop crop, float *out,
                               variant_error *err);

#endif
