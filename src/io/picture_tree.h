/* picture_tree.h - what lies in a folder and below: sub-folders, and files that by their names may be pictures.
 * Read by picture_folder.c, which decides what it means.
 *
 * Passed over without a word: hidden names and what file managers, servers and notebooks leave behind (__MACOSX,
 * @eaDir, #recycle, Thumbs.db ...). Counted by their endings: all other files. Links are followed, a folder
 * that was reached by one only once. */
#ifndef VT_IO_PICTURE_TREE_H
#define VT_IO_PICTURE_TREE_H

#include "core/status.h"

/* Another one where an entry was added, renamed or removed. */
typedef struct vt_tree_state {
    int64_t device, inode, modified, changed; /* times in nanoseconds */
} vt_tree_state;

typedef struct vt_tree {
    char *path;
    const char *name;         /* the end of path */
    struct vt_tree **folders; /* sorted bytewise, as pictures are */
    int folder_count;
    char **pictures; /* names */
    int picture_count;
    uint64_t *facts;     /* (picture_count): what picture_index.h knows of them; NULL: no index */
    vt_tree_state state; /* before its entries were read */
    int64_t total;       /* pictures in it and below */
    bool idx;            /* IDX files lie directly in it */
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
    int noted;                                  /* how much could not be read */
    void (*note)(void *user, const char *line); /* of folders that cannot be read; may be NULL */
    void *user;
} vt_tree_scan;

/* E_IO when the folder itself cannot be read; what cannot be read below it is noted. scan->note and
 * user are the caller's. */
variant_status vt_tree_read(vt_tree_scan *scan, const char *path, variant_error *err);
void vt_tree_free(vt_tree_scan *scan);
/* Of the folder at path as it is now; false: it cannot be asked. */
bool vt_tree_state_of(const char *path, vt_tree_state *out);
/* "270 files left out: 200 .txt, 70 .heic (convert them first)" into out; empty when there were none. */
void vt_tree_left_out(const vt_tree_scan *scan, char *out, size_t size);
/* The first folder, depth first, that IDX files lie in; NULL. */
const vt_tree *vt_tree_idx(const vt_tree *tree);

#endif
