/* arena.h - address space reserved once, carved into buffers by bumping a pointer.
 *
 * Reserved memory costs nothing until it is touched, so an arena may be opened larger than what
 * a request ends up using. Every buffer starts on a 64-byte boundary. Used by models for
 * activations and by the KV cache; the memory itself comes from a backend (kern/kern.h), which
 * is why the base pointer is handed in. */
#ifndef VT_CORE_ARENA_H
#define VT_CORE_ARENA_H

#include "core/status.h"

#define VT_ALIGN 64

struct vt_kern;

typedef struct vt_arena {
    /* the backend that works on this memory where it is not the model's own: a dry run (kern/dry.h) */
    struct vt_kern *kern;
    char *base;
    size_t capacity; /* bytes reserved */
    size_t used;     /* bytes handed out */
    size_t peak;     /* largest `used` since opening */
    bool untouched;  /* only counted, or its contents count: not poisoned (see vt_arena_take) */
    bool exhausted;  /* a take did not fit: sticky until vt_arena_rewind(arena, 0) */
} vt_arena;

/* Takes over [base, base + capacity); does not own it. */
void vt_arena_init(vt_arena *arena, void *base, size_t capacity);

/* The arena over memory from `base` on whose contents count: zero from the backend, or filled through
 * another arena, whose takes in the same order find the same buffers with what they hold. */
void vt_arena_init_filled(vt_arena *arena, void *base, size_t capacity);

/* An arena without memory: what is taken from it is counted (`peak`) and must not be touched. */
void vt_arena_init_counting(vt_arena *arena, struct vt_kern *kern);
/* The backend to compute with: the arena's, else `own`. */
static inline struct vt_kern *vt_arena_kern(const vt_arena *arena, struct vt_kern *own) {
    return arena->kern ? arena->kern : own;
}

/* Bytes `bytes` occupies in an arena: rounded up to VT_ALIGN. */
size_t vt_arena_size(size_t bytes);

/* bytes of memory, not zeroed (contents after a rewind are stale); NULL and `exhausted` when it
 * does not fit. Zero bytes give a valid pointer. A build with VARIANT_POISON fills what it hands out with
 * bytes that are NaN as floats and bf16 numbers and far out of range as indices, so that whoever reads
 * before writing shows in the tests (host memory alone). */
void *vt_arena_take(vt_arena *arena, size_t bytes);

/* count floats, int32s, bf16 numbers; the product is checked for overflow. */
float *vt_arena_floats(vt_arena *arena, size_t count);
int32_t *vt_arena_ints(vt_arena *arena, size_t count);
uint16_t *vt_arena_halves(vt_arena *arena, size_t count); /* bf16 numbers */

/* Gives back everything taken after mark (a former value of `used`). */
static inline size_t vt_arena_mark(const vt_arena *arena) {
    return arena->used;
}
void vt_arena_rewind(vt_arena *arena, size_t mark);

/* VARIANT_OK, or E_MEMORY with a line naming `purpose` when a take failed. */
variant_status vt_arena_check(const vt_arena *arena, const char *purpose, variant_error *err);

#endif
