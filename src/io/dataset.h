/* dataset.h - labelled pictures for training and for judging: what --data and --reference name.
 *
 * A data set is one or several of these, joined by the names of their classes:
 *   IDX (Fashion-MNIST and its kin): the folder or prefix before train-images-idx3-ubyte.gz and
 *     train-labels-idx1-ubyte.gz (t10k-... for the test split; plain files without .gz too), or the file of
 *     pictures itself. Labels that occur are the classes, named by their numbers.
 *   A folder: picture_folder.h says what is taken for a class, a split, a stray.
 *   An .npz whose arr_0 is pictures, (N, H, W, 3) or (N, H, W) of unsigned bytes: one class.
 * Or it is an array in memory, with labels (vt_data.array), which is hashed whole.
 *
 * Where there is no test split, a share of the pictures is held out by a hash of their names (of IDX and
 * arrays: their numbers). Up to 20000 picture files are decoded at opening, so that every broken one is known from
 * the start, and kept scaled as long as all of them together take at most 1 GiB; what does not
 * fit, and every picture of a larger set, is decoded again at each read, with the same result. Larger sets have
 * only their headers looked at. A broken picture is counted and skipped; the first ten are named. */
#ifndef VT_IO_DATASET_H
#define VT_IO_DATASET_H

#include "core/status.h"
#include "io/data.h"

typedef struct vt_dataset vt_dataset;

typedef struct vt_dataset_options {
    vt_data data;
    int side;     /* pictures come as side x side */
    int channels; /* 1 or 3; 0: 1 where all pictures are grey by their format (IDX, arrays), else 3 */
    int short_side; /* folders, VT_FIT_CROP: shorter side before the crop to side x side; 0: side */
    bool exact;     /* folders: every picture must be side x side already, else E_MISMATCH */
    const vt_dataset
        *like; /* classes are this one's; pictures of others are left out. NULL: its own */
    /* Borrowed while it opens: what it knows of large sets' files is taken, what is found is put there; NULL */
    struct vt_picture_index *index;
    void (*warn)(void *user, const char *line); /* what was found and left out; NULL: silent */
    void *user;
} vt_dataset_options;

/* E_FORMAT when no picture is left; the line says what was looked for. If a folder has splits, both number
 * their classes by train's. */
variant_status vt_dataset_open(vt_dataset **out, const vt_dataset_options *options,
                               variant_error *err);
void vt_dataset_close(vt_dataset **dataset);
/* Size and channels of the first picture that can be read, as it is in its file; options->side and channels do
 * not matter. */
variant_status vt_dataset_first(const vt_dataset_options *options, int *width, int *height,
                                int *channels, variant_error *err);

int vt_dataset_count(const vt_dataset *dataset);
int vt_dataset_channels(const vt_dataset *dataset);
int vt_dataset_skipped(const vt_dataset *dataset); /* broken pictures left out */
bool vt_dataset_flat(
    const vt_dataset *dataset); /* nothing says classes: one, named as the folder */
int vt_dataset_classes(const vt_dataset *dataset);
/* The folder's name; Fashion-MNIST's own names for its IDX; "0", "1" ... otherwise. */
const char *vt_dataset_class_name(const vt_dataset *dataset, int label);
int vt_dataset_label(const vt_dataset *dataset, int index);
int vt_dataset_class_size(const vt_dataset *dataset, int label); /* pictures of this class */
/* A picture's name for messages and lists: its path in a folder, "PATH[index]" for IDX and arrays. free()
 * it; NULL: no memory. */
char *vt_dataset_picture_name(const vt_dataset *dataset, int index);
int vt_dataset_native_side(const vt_dataset *dataset); /* IDX alone: 28; else 0 */
/* Of names, sizes and labels (folders) or bytes (IDX), sides, channels and choices: tells data sets apart. */
uint64_t vt_dataset_hash(const vt_dataset *dataset);

/* What the picture's file holds, as 64 bits that differ where any byte does, never 0; read once more where
 * it is not known yet. And its stamp, of size, times and inode (0 for IDX and arrays), which stays only while
 * nobody has written or replaced the file; of files that an index knew it is asked for when it is called for. */
variant_status vt_dataset_content(const vt_dataset *dataset, int index, uint64_t *out,
                                  variant_error *err);
uint64_t vt_dataset_stamp(const vt_dataset *dataset, int index);
/* Of host memory: the pictures that are kept, and their lists. */
size_t vt_dataset_bytes(const vt_dataset *dataset);
/* Is there a picture that is read from its file whenever it is asked for? */
bool vt_dataset_reads_files(const vt_dataset *dataset);
/* Were all picture files decoded at opening, so that their content is known? */
bool vt_dataset_decodes(const vt_dataset *dataset);
/* As it was opened. */
const vt_data *vt_dataset_data(const vt_dataset *dataset);

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
