/* dry.h - a backend that computes nothing and holds nothing: every operation returns at once, workspace
 * sizes and packed weights' bytes are those of a real one, memory is counted and never reserved.
 *
 * The code of a whole request or a whole training step, run over it with an arena that only counts
 * (vt_arena_init_counting), tells to the byte what it will take. A model that is open already is asked
 * through the arena alone (vt_arena_kern); one that is not yet is opened over this backend as over any
 * other, which costs the list of its parameters and no more. What is downloaded from it is zero. Its
 * `alone` is the real one's, to be asked for sizes over a dry one of its own. */
#ifndef VT_KERN_DRY_H
#define VT_KERN_DRY_H

#include "kern/kern.h"

typedef struct vt_dry_kern {
    vt_kern kern;    /* first */
    vt_kern *real;   /* borrowed */
    size_t reserved; /* bytes that memory_reserve was asked for and memory_release not yet */
    size_t packed;   /* bytes of the weights that are open */
    uintptr_t next;  /* where the next reservation would lie */
} vt_dry_kern;

/* Holds nothing to be closed, but weights opened over it are closed over it. */
void vt_dry_kern_init(vt_dry_kern *dry, vt_kern *real);

#endif
