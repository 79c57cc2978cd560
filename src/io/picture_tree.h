/* picture_tree.h - what lies in a folder and below: sub-folders, and files that by their names may be pictures.
 * Read by picture_folder.c, which decides what it means.
 *
 * Passed over without a word: hidden names and what file managers, servers and notebooks leave behind (__MACOSX,
 * @eaDir, #recycle, Thumbs.db ...). Counted by their endings: all other files. Links are followed, a folder
 * that was reached by one only once. */
#ifndef VT_IO_PICTURE_TREE_H
#define VT_IO_PICTURE_TREE_H

#include "core/status.h"

typedef struct vt_tree {
    char *path;
    const char *name;         /* the end of path */
    struct vt_tree **folders; /* sorted bytewise, as pictures are */
    int folder_count;
    char **pictures; /* names */
    int picture_count;
    int64_t total; /* pictures in it and below */
    bool idx;      /* IDX files lie directly in it */
} vt_tree;

typedef struct vt_ending {
    char text[16]; /* without the dot, lower case; "": none */
    int64_t count;
} vt_ending;

typedef struct vt_tree_scan {
    vt_tree *root;
    vt_ending *endings; /* of files that were left out */
    int ending_count;
    int64_t left_out;
    void (*note)(void *user, const char *line); /* of folders that cannot be read; may be NULL */
    void *user;
} vt_tree_scan;

/* E_IO when the folder itself cannot be read; what cannot be read below it is noted. scan->note and
 * user are the caller's. */
variant_status vt_tree_read(vt_tree_scan *scan, const char *path, variant_error *err);
void vt_tree_free(vt_tree_scan *scan);
/* "270 files left out: 200 .txt, 70 .heic (convert them first)" into out; empty when there were none. */
void vt_tree_left_out(const vt_tree_scan *scan, char *out, size_t size);
/* The first folder, depth first, that IDX files lie in; NULL. */
const vt_tree *vt_tree_idx(const vt_tree *tree);

#endif
