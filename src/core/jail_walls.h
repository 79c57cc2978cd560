/* jail_walls.h - what a process can give up for good: Landlock, seccomp and limits. Called by jail_keeper.c and jail.c alone. */
#ifndef VT_CORE_JAIL_WALLS_H
#define VT_CORE_JAIL_WALLS_H

#include <linux/filter.h>

#include "core/status.h"

/* The filter of system calls as the kernel takes it. */
typedef struct vt_walls_filter {
    struct sock_fprog program;
    struct sock_filter *steps; /* program.filter, owned */
} vt_walls_filter;

/* Version of the kernel's Landlock; 0: it has none. */
int vt_walls_landlock(void);
/* Was this built to ask for a filter of system calls (VARIANT_SANDBOX), and does the kernel have one? */
bool vt_walls_built(void);
bool vt_walls_seccomp(void);

/* No file can be opened, no address of the network reached, and no process outside signalled any more, as far as the kernel's version
 * of Landlock goes; nothing where it has none. */
variant_status vt_walls_close_files(variant_error *err);

/* Only what a reader of memory needs may be asked of the system: memory that holds no code, the descriptors that are open, the clock.
 * Opening a file is refused (EACCES), anything else ends the process (SIGSYS). */
variant_status vt_walls_filter_make(vt_walls_filter *out, variant_error *err);
void vt_walls_filter_free(vt_walls_filter *filter);
/* From the next instruction on, of this process, whose one thread it is. */
variant_status vt_walls_filter_raise(const vt_walls_filter *filter, variant_error *err);

/* At most `memory` bytes of address space beside the `had` there are, and `seconds` of processor, rounded up to whole ones; no files grow, no core is kept. */
variant_status vt_walls_limit(size_t had, size_t memory, double seconds, variant_error *err);

#endif
