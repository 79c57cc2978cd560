/* conv_map.h - the bf16 map that convolutions with packed weights read: a few pictures at a time,
 * normalised on the way where the convolution asks for it, channels padded to whole depth and the
 * padding around a picture written out as zeros.
 *
 * Made by conv_packed.c and conv_winograd.c. */
#ifndef VT_KERN_CPU_CONV_MAP_H
#define VT_KERN_CPU_CONV_MAP_H

#include "kern/cpu/conv_norm.h"
#include "kern/cpu/isa/map_loops.h"

typedef struct vt_conv_map {
    const vt_conv *args;
    const vt_map_loops *loops;
    size_t channels; /* of a pixel */
    int h, w;        /* pixels, padding included */
    int top, left;   /* of them padding */
    bool enlarged;   /* shows x at twice its sides */
    size_t round;    /* pictures at a time; after vt_conv_map_size */
    /* places in the workspace */
    uint16_t *numbers; /* (round, h, w, channels) */
    vt_norm_plan norm;
} vt_conv_map;

static inline size_t vt_conv_map_line(const vt_conv_map *map) {
    return (size_t)map->w * map->channels;
}

static inline size_t vt_conv_map_picture(const vt_conv_map *map) {
    return (size_t)map->h * vt_conv_map_line(map);
}

/* Sets `round` and tells the bytes that the places take; `args` to `enlarged` are filled. */
size_t vt_conv_map_size(vt_conv_map *map, const vt_kern *kern);
void vt_conv_map_place(vt_conv_map *map, const vt_kern *kern, char *workspace);
/* Pictures [first, first + count) of x, count <= round; on one thread unless `worth` more. */
void vt_conv_map_run(const vt_conv_map *map, const vt_kern *kern, size_t first, size_t count,
                     bool worth);

#endif
