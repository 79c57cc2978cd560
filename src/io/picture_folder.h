/* picture_folder.h - the list of pictures under a folder with one sub-folder a class. Read by
 * dataset.c. */
#ifndef VT_IO_PICTURE_FOLDER_H
#define VT_IO_PICTURE_FOLDER_H

#include "core/status.h"

typedef struct vt_picture_file {
    char *path;
    const char *name; /* "class/file", the end of path */
    int label;
    int64_t size; /* bytes of the file */
} vt_picture_file;

typedef struct vt_picture_folder {
    char *root;     /* the folder whose sub-folders were read */
    char **classes; /* sorted bytewise */
    int class_count;
    vt_picture_file *files; /* by class, then name */
    int file_count;
} vt_picture_folder;

/* Lists pictures by name and size; nothing is decoded. No pictures at all is VARIANT_OK with
 * file_count 0. */
variant_status vt_picture_folder_open(vt_picture_folder *out, const char *path, bool test_split,
                                      variant_error *err);
void vt_picture_folder_free(vt_picture_folder *folder);

#endif
