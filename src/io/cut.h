/* cut.h - files that somebody cuts short while they are mapped: what lies behind their new end can no longer be read, and the system ends
 * the process that tries (SIGBUS).
 *
 * variant_guard_files (variant/files.h) has the process outlive that. Where the place that was read lies in a range that was
 * entered here, zeros are mapped from there to the range's end, the range is marked, and the computation goes on with the zeros; whoever
 * entered the range asks for the mark before they use what they made of it. In all other places the signal does what it did before.
 * Called by file.c. */
#ifndef VT_IO_CUT_H
#define VT_IO_CUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct vt_cut_range vt_cut_range;

/* NULL: no memory; it is not guarded then. Leave it before it is unmapped. Threads: any. */
vt_cut_range *vt_cut_enter(const void *data, size_t size);
void vt_cut_leave(vt_cut_range *range);
/* Was something read in it that is no longer there? Threads: any. */
bool vt_cut_happened(const vt_cut_range *range);

#endif
