/* weights.c - weights of the cpu backend, and which way a product goes.
 *
 * float32 weights are the caller's matrix, read in place; their products go through products.c with
 * the epilogue as a pass of its own. Other weights are packed here, once, into the panels of
 * isa/tiles.h and isa/tiles8.h: panel p of 16 rows begins at number p * taps * depth * 16, so a run of
 * panels is one stretch of memory in the order in which products read it. Theirs are in
 * packed_products.c, or, with AMX and many rows, in square_products.c.
 *
 *     W (n, k), rows in the file            packed
 *     rows  0 .. 15   -> panel 0            | panel 0: tap 0, tap 1, .. | panel 1: ... | ...
 *     rows 16 .. 31   -> panel 1              each tap of depth lines   (a matrix: one tap)
 *     last, incomplete -> the rest zero
 *
 * A panel is packed from 16 rows that one thread reads as floats into its room, so loading a model needs
 * no float32 copy of it. */
#include "kern/cpu/cpu.h"
#include "kern/cpu/packed_products.h"
#include "kern/cpu/square_products.h"
#include "kern/cpu/training.h"
#include "kern/cpu/weight.h"
#include "kern/int4.h"
#include "kern/panels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { LINE = 64 };

static int64_t panel_count(const vt_weight *w) {
    return vt_cpu_pieces(w->n, VT_PANEL);
}

static size_t panel_numbers(const vt_weight *w) {
    return (size_t)w->spec.taps * (size_t)w->depth * VT_PANEL;
}

/* Whole lines, begun on one; from 2 MB on in the large pages of the system, where it has some to
 * give: a product with few rows is one walk over the weight, and small pages slow it. */
static void *lines_alloc(size_t bytes) {
    const size_t large = (size_t)2 << 20;
    const size_t unit = bytes >= large ? large : LINE;
    if (bytes > SIZE_MAX - unit) return NULL;
    const size_t whole = (bytes + LINE - 1) / LINE * LINE;
    void *out = NULL;
    if (posix_memalign(&out, unit, whole) != 0) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (unit == large) madvise(out, whole, MADV_HUGEPAGE);
#endif
    return out;
}

/* ---- packing ---- */

/* One thread's room: 16 rows as floats; of INT4 their records behind. */
static size_t rows_floats(const vt_weight *w) {
    return ((size_t)w->k * VT_PANEL * sizeof(float) + LINE - 1) / LINE * LINE / sizeof(float);
}

static size_t room_floats(const vt_weight *w) {
    if (w->spec.type != VT_NUMBER_INT4) return rows_floats(w);
    const size_t records = vt_int4_record((size_t)w->k) * VT_PANEL;
    return rows_floats(w) + (records + LINE - 1) / LINE * LINE / sizeof(float);
}

/* Of INT4, from the rows' numbers or their records. */
static void panel_pack4(vt_weight *w, uint8_t *to, const float *rows, uint8_t *records, int first,
                        int columns) {
    const size_t k = (size_t)w->k, record = vt_int4_record(k);
    const uint8_t *given = w->spec.records ? w->spec.records + (size_t)first * record : NULL;
    for (int c = 0; !given && c < columns; ++c)
        vt_int4_encode(records + (size_t)c * record, rows + (size_t)c * k, NULL, k);
    vt_panels_pack4(to, w->scale + first, given ? given : records, columns, k, (size_t)w->depth);
}

static void panel_pack(const vt_kern *kern, vt_weight *w, float *room, int64_t p) {
    const int first = (int)(p * VT_PANEL), left = w->n - first;
    const int columns = left < VT_PANEL ? left : VT_PANEL;
    const size_t k = (size_t)w->k, length = k / (size_t)w->spec.taps;
    const size_t numbers = panel_numbers(w), at = (size_t)p * numbers;
    const float *rows = room;
    if (w->spec.records)
        rows = NULL;
    else if (w->spec.rows)
        w->spec.rows(w->spec.user, first, columns, room);
    else
        rows = w->spec.values + (size_t)first * k;
    if (w->spec.type == VT_NUMBER_INT4) {
        panel_pack4(w, (uint8_t *)w->numbers + vt_cpu_panel_bytes(w) * (size_t)p, rows,
                    (uint8_t *)(room + rows_floats(w)), first, columns);
        return;
    }
    if (w->spec.type == VT_NUMBER_INT8) {
        const float *scales = w->spec.scales; /* the numbers are integers already */
        if (scales) memcpy(w->scale + first, scales + first, (size_t)columns * sizeof *scales);
        vt_cpu_tiles8(kern)->pack((uint8_t *)w->numbers + at, scales ? NULL : w->scale + first,
                                  rows, k, columns, (int)length, w->depth);
        return;
    }
    for (int tap = 0; tap < w->spec.taps; ++tap)
        vt_cpu_tiles(kern)->pack((uint16_t *)w->numbers + at +
                                     (size_t)tap * (size_t)w->depth * VT_PANEL,
                                 rows + (size_t)tap * length, k, columns, (int)length, w->depth);
}

typedef struct pack_loop {
    vt_weight *w;
    float *room; /* a piece a thread */
} pack_loop;

static void pack_part(const vt_kern *kern, const void *args, vt_span span) {
    const pack_loop *l = args;
    for (int64_t p = span.begin; p < span.end; ++p)
        panel_pack(kern, l->w, l->room + (size_t)span.thread * room_floats(l->w), p);
}

static variant_status weight_pack(vt_kern *kern, vt_weight *w, variant_error *err) {
    const int threads = (int64_t)w->n * w->k > VT_CPU_PARALLEL_MIN ? kern->threads : 1;
    size_t bytes;
    if (__builtin_mul_overflow(room_floats(w) * sizeof(float), (size_t)threads, &bytes))
        return vt_fail(err, VARIANT_E_MEMORY, "weight: %d x %d numbers are too many", w->n, w->k);
    float *room = lines_alloc(bytes);
    if (!room)
        return vt_fail(err, VARIANT_E_MEMORY, "weight: no memory to pack %d x %d numbers", w->n,
                       w->k);
    vt_cpu_deal(kern, threads > 1, panel_count(w), pack_part, &(pack_loop){w, room});
    free(room);
    return VARIANT_OK;
}

_Static_assert((int)VT_PANELS_ROWS == (int)VT_PANEL && (int)VT_PANELS_DEPTH == (int)VT_TILE_DEPTH &&
                   (int)VT_PANELS_DEPTH8 == (int)VT_TILE8_DEPTH,
               "files hold panels as products read them");

/* Room for the numbers and scales, or those that are given. */
static variant_status weight_reserve(vt_weight *w, variant_error *err) {
    const vt_packed *given = w->spec.packed;
    const bool bytes = w->spec.type >= VT_NUMBER_INT8;
    vt_panels panels;
    if (!vt_panels_of(&panels, &w->spec))
        return vt_fail(err, VARIANT_E_MEMORY, "weight: no memory for %d x %d numbers", w->n, w->k);
    w->depth = panels.depth;
    w->bytes = panels.bytes + panels.scales * sizeof(float);
    if (w->spec.sizes_only) {
        w->numbers = VT_NO_NUMBERS;
        return VARIANT_OK;
    }
    w->numbers = given ? (void *)(uintptr_t)given->numbers : lines_alloc(panels.bytes);
    if (bytes)
        w->scale = given ? (float *)(uintptr_t)given->scale : calloc(panels.scales, sizeof(float));
    if (w->numbers && (w->scale || !bytes)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "weight: no memory for %d x %d numbers", w->n, w->k);
}

static void weight_close(vt_kern *kern, vt_weight **weight) {
    (void)kern;
    if (!weight || !*weight) return;
    vt_cpu_turned_close(*weight);
    const bool owned = !(*weight)->spec.sizes_only && !(*weight)->given;
    if (owned) free((*weight)->numbers);
    if (owned) free((*weight)->scale);
    free(*weight);
    *weight = NULL;
}

static variant_status weight_open(vt_kern *kern, vt_weight **out, const vt_weight_spec *spec,
                                  variant_error *err) {
    *out = NULL;
    VT_TRY(vt_weight_check(spec, err));
    vt_weight *weight = calloc(1, sizeof *weight);
    if (!weight) return vt_fail(err, VARIANT_E_MEMORY, "weight: out of memory");
    *weight = (vt_weight){.spec = *spec, .n = spec->n, .k = spec->k};
    if (weight->spec.taps == 0) weight->spec.taps = 1;
    if (weight->spec.stride == 0) weight->spec.stride = 1;
    variant_status status = VARIANT_OK;
    if (spec->type == VT_NUMBER_F32) {
        weight->w = spec->values;
    } else {
        status = weight_reserve(weight, err);
        if (status == VARIANT_OK && !spec->sizes_only && !spec->packed)
            status = weight_pack(kern, weight, err);
        if (status == VARIANT_OK && spec->gradients) status = vt_cpu_turned_open(kern, weight, err);
    }
    weight->given = spec->packed != NULL;
    weight->spec.rows = NULL; /* its sources are promised for the length of this call */
    weight->spec.scales = NULL;
    weight->spec.records = NULL;
    weight->spec.packed = NULL;
    if (status != VARIANT_OK) weight_close(kern, &weight);
    *out = weight;
    return status;
}

/* Where memory to pack with is short, the weight keeps its old numbers: refresh cannot fail. */
static void weight_refresh(vt_kern *kern, vt_weight *weight) {
    if (weight->turned)
        vt_cpu_turned_refresh(kern, weight);
    else if (weight->numbers && weight->spec.values)
        (void)weight_pack(kern, weight, NULL);
}

static vt_number weight_type(const vt_weight *weight) {
    return weight->spec.type;
}

static size_t weight_bytes(const vt_weight *weight) {
    return weight->bytes;
}

static vt_packed weight_packed(const vt_weight *weight) {
    return (vt_packed){weight->numbers, weight->scale, weight->spec.whole};
}

/* ---- products ---- */

/* Whether a float32 product is made in the workspace and brought to y by a second pass. */
static bool aside(const vt_product *a) {
    return a->epilogue == VT_EPILOGUE_GATE_ADD || a->epilogue == VT_EPILOGUE_QKV ||
           a->y_type == VT_NUMBER_BF16;
}

static vt_product_input product_input(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    return w->numbers ? vt_cpu_square_input(kern, w, rows) : vt_weight_input(&w->spec, rows);
}

static size_t product_workspace(const vt_kern *kern, const vt_product *a) {
    if (a->w->numbers && vt_cpu_square_product_takes(kern, a))
        return vt_cpu_square_workspace(kern, a);
    if (a->w->numbers) return vt_cpu_packed_workspace(kern, a);
    size_t rows = (size_t)a->groups * (size_t)a->rows;
    return aside(a) ? rows * (size_t)a->w->n * sizeof(float) : 0;
}

static void product_f32(vt_kern *kern, const vt_product *a) {
    float *y = aside(a) ? a->workspace : a->y;
    const size_t numbers = (size_t)a->groups * (size_t)a->rows * (size_t)a->w->n;
    if (a->ragged)
        vt_cpu_linear_ragged(kern, y, a->x, a->w, a->bias, a->ragged);
    else
        vt_cpu_linear_f32(kern, y, a->x, a->w, a->bias, a->groups, a->rows);
    if (a->epilogue == VT_EPILOGUE_QKV) {
        vt_qkv split = *a->qkv;
        split.qkv = y;
        kern->qkv_split(kern, &split);
        return;
    }
    if (a->epilogue == VT_EPILOGUE_GATE_ADD && a->ragged) {
        vt_cpu_gate_add_ragged(kern, a, y);
        return;
    }
    if (a->epilogue == VT_EPILOGUE_GATE_ADD) {
        kern->gate_add(kern, a->y, y, a->gamma, a->gamma_stride, a->groups, a->rows, a->w->n);
        return;
    }
    if (a->epilogue == VT_EPILOGUE_GELU) kern->gelu(kern, y, y, numbers);
    if (a->y_type == VT_NUMBER_BF16) vt_cpu_tiles(kern)->to_bf16(a->y, y, numbers);
}

static void product(vt_kern *kern, const vt_product *a) {
    if (a->groups <= 0 || a->rows <= 0) return;
    if (!a->w->numbers) {
        product_f32(kern, a);
        return;
    }
    if (vt_cpu_rows_product_takes(a)) {
        vt_cpu_rows_product(kern, a);
        return;
    }
    vt_product packed = *a;
    if (a->pre) {
        packed.epilogue = VT_EPILOGUE_STORE;
        packed.y = a->pre;
    }
    if (vt_cpu_square_product_takes(kern, a))
        vt_cpu_square_product(kern, &packed);
    else
        vt_cpu_packed_product(kern, &packed);
    if (a->pre)
        kern->gelu_bf16(kern, a->y, a->pre, (size_t)a->groups * (size_t)a->rows * (size_t)a->w->n);
}

void vt_cpu_fill_weights(vt_kern *kern) {
    kern->weight_open = weight_open;
    kern->weight_refresh = weight_refresh;
    kern->weight_close = weight_close;
    kern->weight_type = weight_type;
    kern->weight_bytes = weight_bytes;
    kern->product_input = product_input;
    kern->weight_packed = weight_packed;
    kern->panels = true;
    kern->product_workspace = product_workspace;
    kern->product = product;
}
