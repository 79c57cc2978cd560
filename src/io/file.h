/* file.h - whole files: mapped for reading, replaced atomically for writing. */
#ifndef VT_IO_FILE_H
#define VT_IO_FILE_H

#include <stdio.h>
#include <sys/types.h>

#include "core/status.h"

/* A file mapped read-only, or a caller's memory that holds one. */
typedef struct vt_mapping {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;
    bool borrowed;                /* the caller's: neither closed nor given back */
    struct vt_cut_range *guarded; /* vt_mapping_guard; NULL */
    dev_t device;                 /* of the file ... */
    ino_t number;
} vt_mapping;

variant_status vt_mapping_open(vt_mapping *out, const char *path, variant_error *err);
void vt_mapping_close(vt_mapping *mapping);
/* Where the process handles files that are cut short (cut.h), this one is among them: whoever reads it asks vt_mapping_is_cut before what
 * they made of it counts. */
void vt_mapping_guard(vt_mapping *mapping);
bool vt_mapping_is_cut(const vt_mapping *mapping);
/* Is the file shorter than it was, or has somebody found it so (vt_mapping_is_cut)? `path` as it was opened by; another file there now
 * tells nothing of this one. */
bool vt_mapping_is_short(const vt_mapping *mapping, const char *path);
/* status; E_IO, "PATH was cut short while it was in use", where it is (vt_mapping_is_short): for whoever has read what they wanted. */
variant_status vt_mapping_settle(const vt_mapping *mapping, const char *path, variant_status status,
                                 variant_error *err);
/* Gives back the memory of pages wholly inside [data, data + bytes), which are read again from the
 * file when touched; nothing unless all of it lies in the mapping. */
void vt_mapping_release(const vt_mapping *mapping, const void *data, size_t bytes);

/* [data, data + bytes) will be read soon: the system begins to fetch it, without being waited for, where its first page is not in
 * memory already; nothing unless all of it lies in the mapping. */
void vt_mapping_ask(const vt_mapping *mapping, const void *data, size_t bytes);

/* What is mapped will be read again and again: the system may keep it in large pages, where it can (of files that it reads from
 * then on). */
void vt_mapping_keep(const vt_mapping *mapping);

/* Writing a file that appears whole or not at all: open gives a stream on a temporary file
 * beside path; commit flushes, fsyncs and renames it onto path (and fsyncs the folder); abandon
 * deletes it. A link stays one: the file behind it is replaced. "-" and /dev/stdout are the standard
 * output, which is written to as it comes, as are devices and pipes. A full disk or an unwritable folder is E_IO with the path and the system's reason. */
typedef struct vt_replace {
    FILE *stream;
    int file; /* the stream's descriptor */
    char *path, *temporary;
} vt_replace;

variant_status vt_replace_open(vt_replace *out, const char *path, variant_error *err);
/* The first half of commit, for whoever commits several: all is on the disk, and closed, under the temporary name. Abandons after an
 * error. */
variant_status vt_replace_finish(vt_replace *replace, variant_error *err);
variant_status vt_replace_commit(vt_replace *replace, variant_error *err);
/* after a failed commit too; allowed after a successful one */
void vt_replace_abandon(vt_replace *replace);

/* Files that appear together: each is finished under its temporary name, and none takes its own before all are. Begins as {0}. */
typedef struct vt_replace_set {
    vt_replace *files;
    int count;
} vt_replace_set;
/* Finishes *replace, which is the set's from then on, also after an error. */
variant_status vt_replace_set_add(vt_replace_set *set, vt_replace *replace, variant_error *err);
/* In their order; the set is empty then, in any case. */
variant_status vt_replace_set_commit(vt_replace_set *set, variant_error *err);
void vt_replace_set_abandon(vt_replace_set *set);

/* Reads a whole text file, NUL-terminated, at most limit bytes; free() it. */
variant_status vt_file_read_text(char **out, const char *path, size_t limit, variant_error *err);
/* Writes bytes to path through vt_replace. */
variant_status vt_file_write(const char *path, const void *bytes, size_t size, variant_error *err);

bool vt_is_folder(const char *path);

#endif
