/* variant/files.h - paths, as every function here that writes to one takes them. */
#ifndef VARIANT_FILES_H
#define VARIANT_FILES_H

#include <stdbool.h>

#include <variant/base.h>

VARIANT_BEGIN

/* "-", /dev/stdout and its like, which are written to as it comes. Threads: any. */
bool variant_is_standard_output(const char *path);
/* Makes a folder and those above it; one that is there is as good. E_IO: a file is in the way, or the system's reason. Threads: any. */
variant_status variant_folder_make(const char *path, variant_error *error);

VARIANT_END

#endif
