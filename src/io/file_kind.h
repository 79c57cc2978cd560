/* file_kind.h - what a file is that is no model this program reads, and what to do about it: people point at
 * Git LFS pointers, web pages, archives and other programs' models. Used by tensors.c, for its message. */
#ifndef VT_IO_FILE_KIND_H
#define VT_IO_FILE_KIND_H

#include "io/file.h"

#define VT_FILE_KIND 256

/* Into out one sentence without a full stop, to stand behind "PATH: "; false when nothing is known. */
bool vt_file_kind(char out[VT_FILE_KIND], const vt_mapping *map, const char *path);

#endif
