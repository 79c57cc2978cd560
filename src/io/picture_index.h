/* picture_index.h - what is known of large folders of pictures, kept in a file, so that opening them again asks each folder, not
 * each picture.
 *
 * Known are the names of a folder's pictures and, of those whose headers were read, their sizes and whether they are turned. It
 * holds as long as every folder in it is as it was (device, inode, times), which is so until an entry is added, renamed or
 * removed. A picture that is overwritten where it lies is not noticed by it: it is opened as it was known, and what it has become
 * shows where it is read. Nothing is kept of a folder that changed within the last two seconds, since a change in the same tick
 * of the clock could not be told, nor of one below which something could not be read.
 *
 * The file is safetensors with checksums: for the path number P "P.names" (each folder's name, the first one's being the path, then
 * its pictures' names, depth first, NUL behind each), "P.folders" (F, 7: depth, pictures, whether IDX files lie in it, and the
 * state), "P.facts" (N), and "P.endings" and "P.ending_counts" of files that were left out. One that does not fit, whatever is the
 * matter with it, is as good as none. Called by run.c, which opens two splits of the same folders. */
#ifndef VT_IO_PICTURE_INDEX_H
#define VT_IO_PICTURE_INDEX_H

#include "io/picture_tree.h"

typedef struct vt_picture_index vt_picture_index;

/* path: the file that it was saved in; NULL, or one that is not there: nothing is known. E_ARGUMENT: a file that somebody named
 * and that is something else. */
variant_status vt_picture_index_open(vt_picture_index **out, const char *path, bool named,
                                     variant_error *err);
void vt_picture_index_close(vt_picture_index **index);

/* Of the folder at path, out of the index or walked (into `walk`, whose note and user are the caller's), which is then in the
 * index; it stays the index's. Errors as vt_tree_read. */
variant_status vt_picture_index_scan(vt_picture_index *index, const vt_tree_scan **out,
                                     const vt_tree_scan *walk, const char *path,
                                     variant_error *err);
/* A fact was added. */
void vt_picture_index_changed(vt_picture_index *index);
/* Writes what is known to path, where there is something that the file it was opened with does not have. */
variant_status vt_picture_index_save(vt_picture_index *index, const char *path, variant_error *err);

/* A fact: 0 until the picture's header was read. */
static inline uint64_t vt_fact_of(int64_t size, bool turned) {
    return (uint64_t)size << 2 | (uint64_t)turned << 1 | 1;
}
static inline bool vt_fact_is_known(uint64_t fact) {
    return fact & 1;
}
static inline bool vt_fact_is_turned(uint64_t fact) {
    return fact >> 1 & 1;
}
static inline int64_t vt_fact_size(uint64_t fact) {
    return (int64_t)(fact >> 2);
}

#endif
