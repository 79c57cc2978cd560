/* cpu.h - the cpu backend's own state and parts: float32 products by single-threaded BLAS calls on
 * fixed tiles of the output, vectorised loops chosen by instruction set, a team of threads across tiles.
 *
 * The rule every part keeps: work is cut by sizes alone, never by the thread count, and each piece
 * is computed by one thread in a fixed order. So 1 thread and 64 threads give the same bits. (square_products.c
 * may cut by threads: none of its cuts changes a number.) */
#ifndef VT_KERN_CPU_CPU_H
#define VT_KERN_CPU_CPU_H

#include "core/cpu.h"
#include "core/threads.h"
#include "kern/cpu/isa/loops.h"
#include "kern/cpu/isa/tiles.h"
#include "kern/cpu/isa/tiles4.h"
#include "kern/cpu/isa/tiles8.h"
#include "kern/kern.h"

typedef struct vt_cpu {
    vt_kern kern; /* first: a vt_kern of this backend is a vt_cpu */
    const vt_loops *loops;
    /* of the loops that multiply bf16 numbers besides tiles: AVX512 where the processor's own bf16 product
     * is slower than float32's (vt_cpu_bf16_pays) */
    vt_isa bf16_isa;
    const vt_tiles *tiles;
    const vt_tiles8 *tiles8;
    const vt_tiles4 *tiles4;
    const struct vt_picture_loops
        *picture_loops; /* set by vt_cpu_fill_pictures, of the same instruction set */
    const struct vt_attention_loops *attention_loops; /* likewise by vt_cpu_fill_attention */
    const struct vt_map_loops *map_loops;             /* likewise */
    const struct vt_train_loops *train_loops;         /* likewise by vt_cpu_fill_training */
    char text[192];                                   /* what kern.details points to */
} vt_cpu;

static inline const vt_loops *vt_cpu_loops(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->loops;
}

static inline const vt_tiles *vt_cpu_tiles(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->tiles;
}

static inline const vt_tiles4 *vt_cpu_tiles4(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->tiles4;
}

static inline const vt_tiles8 *vt_cpu_tiles8(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->tiles8;
}

/* Pieces that `total` items are cut into, at most `most` items each (0 pieces for none), and where
 * piece i begins; piece i ends where i + 1 begins. Pieces are equal up to one unit of `unit` items.
 */
static inline int64_t vt_cpu_pieces(int64_t total, int64_t most) {
    return (total + most - 1) / most;
}

static inline int64_t vt_cpu_piece_begin(int64_t total, int64_t pieces, int64_t unit, int64_t i) {
    int64_t units = (total + unit - 1) / unit;
    int64_t at = units * i / pieces * unit;
    return at < total ? at : total;
}

/* Below this many floats touched sharing a loop out costs more than it gives. */
#define VT_CPU_PARALLEL_MIN 32768

/* Tasks [span.begin, span.end) of a loop; rooms kept one a thread are span.thread's. */
typedef void vt_cpu_part(const vt_kern *kern, const void *args, vt_span span);

/* Tasks [0, tasks) over the backend's threads where that is `worth` it, else here: as vt_team_split (many cheap tasks,
 * neighbours together) and vt_team_deal (few dear ones, one by one). */
void vt_cpu_split(const vt_kern *kern, bool worth, int64_t tasks, vt_cpu_part *part,
                  const void *args);
void vt_cpu_deal(const vt_kern *kern, bool worth, int64_t tasks, vt_cpu_part *part,
                 const void *args);

/* Does one table give the other's numbers? False also where memory lacks. tiles_agree.c */
bool vt_cpu_tiles_agree(const vt_tiles *one, const vt_tiles *other);
bool vt_cpu_tiles8_agree(const vt_tiles8 *one, const vt_tiles8 *other);

/* Is vdpbf16ps (isa AVX512BF16 at least) faster than the two float32 multiply-adds it stands for?
 * bf16_pays.c */
bool vt_cpu_bf16_pays(void);

variant_status vt_cpu_open(vt_kern **out, int threads, variant_error *err);

void vt_cpu_fill_products(vt_kern *kern);
void vt_cpu_fill_weights(vt_kern *kern);
/* y (groups * rows, n) = x W^T + bias in float32, W of type F32; each group a product of its own. */
void vt_cpu_linear_f32(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                       const float *bias, int groups, int rows);
/* The same where rows are ragged: x (ragged rows, k). */
void vt_cpu_linear_ragged(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                          const float *bias, const vt_ragged *ragged);
/* GATE_ADD's second half of a ragged product: a->y += gamma h, h (ragged rows, n). */
void vt_cpu_gate_add_ragged(vt_kern *kern, const vt_product *a, const float *h);
void vt_cpu_fill_elementwise(vt_kern *kern);
void vt_cpu_fill_rows(vt_kern *kern);
void vt_cpu_fill_transformer(vt_kern *kern);
void vt_cpu_fill_attention(vt_kern *kern);
void vt_cpu_fill_sample(vt_kern *kern);
void vt_cpu_fill_pictures(vt_kern *kern);
void vt_cpu_fill_probe(vt_kern *kern);
void vt_cpu_fill_training(vt_kern *kern);

#endif
