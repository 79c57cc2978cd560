/* picture_folder.h - what a folder of pictures is taken for: the one place that decides it, for every command.
 *
 * Class folders: each sub-folder that holds a picture, directly or deeper, is a class; pictures deeper belong
 * to the class of the first level. Pictures beside class folders are left out. A folder train/ (training/) beside
 * test/ (testing/) or val/ (valid/, validation/, dev/, eval/) are splits; a folder that holds nothing but one folder
 * of classes, or of splits, is gone into. Pictures without class folders are one class. Folders without
 * a picture that can be read become no class. Each of these decisions is told by a note. */
#ifndef VT_IO_PICTURE_FOLDER_H
#define VT_IO_PICTURE_FOLDER_H

#include "core/status.h"

/* Which part of a data set: its training pictures, its test pictures (a folder test/ or val/, or those held
 * out), or both. */
typedef enum vt_split { VT_SPLIT_TRAIN, VT_SPLIT_TEST, VT_SPLIT_ALL } vt_split;

typedef struct vt_picture_file {
    char *path;
    const char *name; /* "class/file", the end of path; without classes "file" */
    int label;
    uint64_t *fact; /* its place in the index, while that is open; NULL: there is none */
} vt_picture_file;

typedef struct vt_picture_folder {
    char *root;     /* the folder whose sub-folders are the classes of this split */
    char **classes; /* sorted bytewise */
    int class_count;
    bool flat;              /* no class folders: one class, named as the folder */
    vt_picture_file *files; /* by class, then name */
    int file_count;
    char *idx; /* no pictures, but IDX files lie in this folder; or NULL */
} vt_picture_folder;

typedef struct vt_picture_folder_options {
    const char *path;
    vt_split split;
    double holdout;  /* share of the pictures that is test where there is no test folder; 0: none */
    bool flat_whole; /* pictures without class folders are not divided */
    struct vt_picture_index *index; /* borrowed, asked for the tree; NULL: it is walked */
    void (*note)(void *user, const char *line); /* may be NULL */
    void *user;
} vt_picture_folder_options;

/* Lists pictures by name; of every class one header is read. No pictures at all is VARIANT_OK with
 * file_count 0. E_FORMAT: a test split is asked for and there is none. */
variant_status vt_picture_folder_open(vt_picture_folder *out,
                                      const vt_picture_folder_options *options, variant_error *err);
void vt_picture_folder_free(vt_picture_folder *folder);

/* Is the picture of that name held out? By a hash of the name alone, so that every command holds out the same
 * ones, wherever they lie and whatever is added. In [0, 1): those below `holdout` are. */
double vt_holdout_place(const char *name);

/* All pictures in a folder and below, by path; out->classes stays empty. */
variant_status vt_picture_folder_list(vt_picture_folder *out,
                                      const vt_picture_folder_options *options, variant_error *err);

#endif
