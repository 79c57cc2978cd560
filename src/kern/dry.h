/* dry.h - a backend that computes nothing: every operation returns at once, workspace sizes are those
 * of a real one. The code of a whole request, run over it with an arena that only counts
 * (vt_arena_init_counting), tells to the byte what the request will take. */
#ifndef VT_KERN_DRY_H
#define VT_KERN_DRY_H

#include "kern/kern.h"

typedef struct vt_dry_kern {
    vt_kern kern;  /* first */
    vt_kern *real; /* borrowed */
} vt_dry_kern;

void vt_dry_kern_init(vt_dry_kern *dry, vt_kern *real);

#endif
