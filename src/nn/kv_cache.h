/* kv_cache.h - keys and values of the scales generated so far.
 *
 * Address space for every layer is reserved when the cache opens, (streams, 2, capacity[l],
 * width) float32 a layer, page-aligned; memory is touched as scales are appended and given back
 * to the system when a layer is released after its last scale. A stream is one guidance branch
 * of one picture. Bytes held are counted as rows appended and not released, times 2 * width * 4:
 * the formulas of supernet/schedule.h. */
#ifndef VT_NN_KV_CACHE_H
#define VT_NN_KV_CACHE_H

#include "kern/kern.h"

typedef struct vt_kv_cache vt_kv_cache;

/* capacity[l] rows for layer l (0: never runs). */
variant_status vt_kv_cache_open(vt_kv_cache **out, vt_kern *kern, int layers, int streams,
                                int width, const int *capacity, variant_error *err);
void vt_kv_cache_close(vt_kv_cache **cache);

typedef struct vt_kv_view {
    float *k, *v;        /* row 0 of stream 0; rows of width floats, contiguous */
    size_t group_stride; /* floats from a stream to the next */
    int rows;            /* cached so far */
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
