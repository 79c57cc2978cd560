/* picture_list.h - pictures one after another, whatever variant_data names: picture files and folders of them, or a data set. Called
 * by whoever encodes, reconstructs or classifies pictures. */
#ifndef VT_IO_PICTURE_LIST_H
#define VT_IO_PICTURE_LIST_H

#include "io/dataset.h"

typedef struct vt_picture_list {
    vt_data data;
    int side, channels; /* of the pictures as they come */
    int count;
    vt_dataset *dataset; /* or, of files, NULL and ... */
    char **files;        /* ... (count), owned */
    int capacity;
    void (*note)(void *user,
                 const char *line); /* what was found and left out; NULL: nobody hears */
    void *user;
} vt_picture_list;

/* Of `out` data, side, channels, note and user are set; what data points to must live until it is closed. most: the first so many;
 * 0: all. E_IO: a folder without pictures. What was opened in part is the caller's to close. */
variant_status vt_picture_list_open(vt_picture_list *out, int most, variant_error *err);
void vt_picture_list_close(vt_picture_list *pictures);

/* Have they classes? */
bool vt_picture_list_labelled(const vt_picture_list *pictures);
/* The class, or -1. */
int vt_picture_list_label(const vt_picture_list *pictures, int index);
/* Its path, or "PATH[index]"; free() it. NULL: no memory. */
char *vt_picture_list_name(const vt_picture_list *pictures, int index);
/* Picture `index` as (side, side, channels) in [-1, 1]. */
variant_status vt_picture_list_read(const vt_picture_list *pictures, int index, float *out,
                                    variant_error *err);

#endif
