/* arena.c - see arena.h. */
#include "core/arena.h"

#include <string.h>

void vt_arena_init(vt_arena *arena, void *base, size_t capacity) {
    *arena = (vt_arena){.base = base, .capacity = capacity};
}

void vt_arena_init_filled(vt_arena *arena, void *base, size_t capacity) {
    *arena = (vt_arena){.base = base, .capacity = capacity, .untouched = true};
}

void vt_arena_init_counting(vt_arena *arena, struct vt_kern *kern) {
    const uintptr_t nowhere = VT_ALIGN; /* not NULL, which says that a take failed */
    *arena = (vt_arena){
        .kern = kern, .base = (char *)nowhere, .capacity = SIZE_MAX / 2, .untouched = true};
}

size_t vt_arena_size(size_t bytes) {
    return bytes > SIZE_MAX - VT_ALIGN ? SIZE_MAX : (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

void *vt_arena_take(vt_arena *arena, size_t bytes) {
    size_t size = vt_arena_size(bytes);
    if (arena->exhausted || size > arena->capacity - arena->used) {
        arena->exhausted = true;
        return NULL;
    }
    void *taken = arena->base + arena->used;
    arena->used += size;
    if (arena->used > arena->peak) arena->peak = arena->used;
#ifdef VT_ARENA_POISON
    if (!arena->untouched) memset(taken, 0xff, size);
#endif
    return taken;
}

float *vt_arena_floats(vt_arena *arena, size_t count) {
    return vt_arena_take(arena,
                         count > SIZE_MAX / sizeof(float) ? SIZE_MAX : count * sizeof(float));
}

int32_t *vt_arena_ints(vt_arena *arena, size_t count) {
    return vt_arena_take(arena,
                         count > SIZE_MAX / sizeof(int32_t) ? SIZE_MAX : count * sizeof(int32_t));
}

uint16_t *vt_arena_halves(vt_arena *arena, size_t count) {
    return vt_arena_take(arena,
                         count > SIZE_MAX / sizeof(uint16_t) ? SIZE_MAX : count * sizeof(uint16_t));
}

void vt_arena_rewind(vt_arena *arena, size_t mark) {
    if (mark < arena->used) arena->used = mark;
    if (mark == 0) arena->exhausted = false;
}

variant_status vt_arena_check(const vt_arena *arena, const char *purpose, variant_error *err) {
    if (!arena->exhausted) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "%s needs more than the %zu MiB reserved for it", purpose,
                   arena->capacity >> 20);
}
