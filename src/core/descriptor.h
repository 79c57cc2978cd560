/* descriptor.h - files by their descriptors: calls that go on where a signal interrupted them or only a part was moved, and what an errno says.
 * Called by what reads and writes files, by the jail, and by whoever keeps a log. */
#ifndef VT_CORE_DESCRIPTOR_H
#define VT_CORE_DESCRIPTOR_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/status.h"

/* As open, opendir, read, fsync and close, errno too; flags get O_CLOEXEC, a new file the mode 0666. */
int vt_open(const char *path, int flags);
DIR *vt_open_folder(const char *path);
ssize_t vt_read(int file, void *bytes, size_t size);
int vt_sync(int file);
int vt_close(int file); /* an interrupted one has closed it */

/* All bytes; false, with errno, where they could not be written. */
bool vt_write(int file, const void *bytes, size_t size);
/* All of them; false where the file, or whoever writes to the pipe, ends before. */
bool vt_read_all(int file, void *bytes, size_t size);
/* A stream for writing whose descriptor is the stream's from then on; NULL, with errno: the descriptor is still the caller's. */
FILE *vt_write_stream(int file);

/* Is the path itself the reason (nothing there, no permission, another kind of file)? Otherwise the system failed, and what lies there is not known. */
bool vt_is_reason_of_path(int reason);
/* Is there anything of that name? E_IO with the path, and *there, where the system does not say. */
variant_status vt_look_for(const char *path, bool *there, variant_error *err);

#endif
