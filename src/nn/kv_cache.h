/* kv_cache.h - keys and values of the scales generated so far.
 *
 * Address space for every layer is reserved when the cache opens, (streams, 2, capacity[l], width)
 * numbers a layer, page-aligned; memory is touched as scales are appended and given back to the
 * system when a layer is released after its last scale. A stream is one guidance branch of one
 * picture. Bytes held are counted as rows appended and not released, times vt_kv_row_bytes: the
 * formulas of supernet/schedule.h. int8 rows carry a float32 scale a head for k and for v, which lie
 * after the layer's numbers. */
#ifndef VT_NN_KV_CACHE_H
#define VT_NN_KV_CACHE_H

#include "kern/kern.h"

typedef struct vt_kv_cache vt_kv_cache;

typedef struct vt_kv_format {
    vt_number type;
    int width, heads; /* of a row */
} vt_kv_format;

/* Bytes of one token's keys and values in one layer: 2 width numbers, and 2 heads scales with int8. */
size_t vt_kv_row_bytes(const vt_kv_format *format);

/* capacity[l] rows for layer l (0: never runs). */
variant_status vt_kv_cache_open(vt_kv_cache **out, vt_kern *kern, int layers, int streams,
                                const vt_kv_format *format, const int *capacity,
                                variant_error *err);
void vt_kv_cache_close(vt_kv_cache **cache);

typedef struct vt_kv_view {
    void *k, *v; /* row 0 of stream 0; rows of width numbers, contiguous */
    vt_number type;
    size_t group_stride;      /* numbers from a stream to the next */
    float *k_scale, *v_scale; /* int8: row 0 of stream 0, heads a row; else NULL */
    size_t scale_group_stride;
    int rows; /* cached so far */
} vt_kv_view;

vt_kv_view vt_kv_cache_view(const vt_kv_cache *cache, int layer);
/* Makes room for `rows` more rows of every stream; returns the view as it was before (new rows
 * start at view.rows). The caller writes them. Rows past the capacity are a caller's error:
 * E_ARGUMENT. */
variant_status vt_kv_cache_append(vt_kv_cache *cache, int layer, int rows, vt_kv_view *before,
                                  variant_error *err);
void vt_kv_cache_release(vt_kv_cache *cache, int layer);
size_t vt_kv_cache_bytes(const vt_kv_cache *cache);      /* held now */
size_t vt_kv_cache_peak_bytes(const vt_kv_cache *cache); /* most ever held */

#endif
