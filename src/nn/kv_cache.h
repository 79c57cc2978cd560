/* kv_cache.h - keys and values of one stream: of the scales generated so far, in the layers that ran there.
 *
 * A stream is one guidance branch of one picture. Its room is known before it starts, (2, capacity[l], width) numbers for
 * layer l, each layer's on pages of its own; pages are touched as scales are appended, and those of a layer that has no
 * scale left go back to the system. What is left when the stream ends goes to the backend's pool, whole, for the next
 * stream. Bytes held are counted as rows appended and not released, times vt_kv_row_bytes: the formulas of
 * supernet/schedule.h. int8 rows carry a float32 scale a head for k and for v, which lie after the layer's numbers. */
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
variant_status vt_kv_cache_open(vt_kv_cache **out, vt_kern *kern, int layers,
                                const vt_kv_format *format, const int *capacity,
                                variant_error *err);
void vt_kv_cache_close(vt_kv_cache **cache);

/* Where a layer's rows are: k, v and scales from row 0 on, and how many it holds. */
vt_stream_rows vt_kv_cache_rows(const vt_kv_cache *cache, int layer);
vt_number vt_kv_cache_type(const vt_kv_cache *cache);
/* Makes room for `rows` more rows; *before is as it was (new rows start at row before->held). The caller writes them. Rows
 * past the capacity are a caller's error: E_ARGUMENT. */
variant_status vt_kv_cache_append(vt_kv_cache *cache, int layer, int rows, vt_stream_rows *before,
                                  variant_error *err);
void vt_kv_cache_release(vt_kv_cache *cache, int layer);
size_t vt_kv_cache_bytes(const vt_kv_cache *cache);      /* held now */
size_t vt_kv_cache_peak_bytes(const vt_kv_cache *cache); /* most ever held */

#endif
