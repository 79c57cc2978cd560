/* kv_cache.c - see kv_cache.h. One block of the pool; a layer's region starts on a page, so that releasing one layer
 * never keeps a page of another. */
#include "nn/kv_cache.h"

#include "kern/memory_pool.h"

#include <stdlib.h>

#define REGION_ALIGN ((size_t)4096) /* the page of most machines; larger ones keep a page longer */

typedef struct layer_cache {
    char *base; /* (2, capacity, width) numbers, then (2, capacity, heads) scales */
    size_t bytes;
    int capacity, rows;
} layer_cache;

struct vt_kv_cache {
    vt_kern *kern;
    void *memory;
    size_t bytes, held, peak;
    int layers;
    vt_kv_format format;
    layer_cache layer[];
};

/* Bytes of one layer's region; false on overflow. */
static bool region_bytes(const vt_kv_format *format, int capacity, size_t *out) {
    size_t bytes = vt_kv_row_bytes(format);
    if (__builtin_mul_overflow(bytes, (size_t)capacity, &bytes) ||
        __builtin_add_overflow(bytes, REGION_ALIGN + 2, &bytes))
        return false;
    *out = bytes / REGION_ALIGN * REGION_ALIGN;
    return true;
}

size_t vt_kv_row_bytes(const vt_kv_format *format) {
    size_t scales = format->type == VT_NUMBER_INT8 ? (size_t)format->heads * sizeof(float) : 0;
    return 2 * ((size_t)format->width * vt_number_size(format->type) + scales);
}

variant_status vt_kv_cache_open(vt_kv_cache **out, vt_kern *kern, int layers,
                                const vt_kv_format *format, const int *capacity,
                                variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kv_cache *cache = NULL;
    size_t at = 0;

    *out = NULL;
    if (layers < 1 || format->width < 1 || format->heads < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a KV cache of %d layers, width %d, %d heads: expected positive numbers",
                       layers, format->width, format->heads);
    cache = calloc(1, sizeof *cache + (size_t)layers * sizeof cache->layer[0]);
    if (cache == NULL) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the KV cache's table");
    cache->kern = kern;
    cache->layers = layers;
    cache->format = *format;
    for (int l = 0; l < layers; ++l) {
        layer_cache *layer = &cache->layer[l];
        layer->capacity = capacity[l];
        if (capacity[l] == 0) continue;
        if (capacity[l] < 0 || !region_bytes(format, capacity[l], &layer->bytes) ||
            __builtin_add_overflow(cache->bytes, layer->bytes, &cache->bytes)) {
            status = vt_fail(err, VARIANT_E_ARGUMENT,
                             "KV cache of layer %d: %d rows cannot be addressed", l, capacity[l]);
            goto cleanup;
        }
    }
    if (cache->bytes > 0) VT_CHECK(vt_memory_take(kern, cache->bytes, &cache->memory, err));
    for (int l = 0; l < layers; ++l) {
        if (cache->layer[l].capacity > 0) cache->layer[l].base = (char *)cache->memory + at;
        at += cache->layer[l].bytes;
    }
    *out = cache;
    cache = NULL;
cleanup:
    vt_kv_cache_close(&cache);
    return status;
}

void vt_kv_cache_close(vt_kv_cache **cache) {
    vt_kv_cache *c = *cache;
    if (c == NULL) return;
    vt_memory_give(c->kern, c->memory, c->bytes);
    free(c);
    *cache = NULL;
}

vt_number vt_kv_cache_type(const vt_kv_cache *cache) {
    return cache->format.type;
}

vt_stream_rows vt_kv_cache_rows(const vt_kv_cache *cache, int layer) {
    const layer_cache *l = &cache->layer[layer];
    size_t size = vt_number_size(cache->format.type), capacity = (size_t)l->capacity;
    size_t half = capacity * (size_t)cache->format.width * size;
    vt_stream_rows rows = {.held = l->rows};
    if (l->base == NULL) return rows;
    rows.k = l->base;
    rows.v = l->base + half;
    if (cache->format.type != VT_NUMBER_INT8) return rows;
    /* int8 rows may end anywhere: scales take the next multiple of 4, which the region's rounding up has room for. */
    rows.k_scale = (float *)(void *)(l->base + (2 * half + 3) / 4 * 4);
    rows.v_scale = rows.k_scale + capacity * (size_t)cache->format.heads;
    return rows;
}

variant_status vt_kv_cache_append(vt_kv_cache *cache, int layer, int rows, vt_stream_rows *before,
                                  variant_error *err) {
    if (layer < 0 || layer >= cache->layers)
        return vt_fail(err, VARIANT_E_ARGUMENT, "KV cache: no layer %d, it has %d", layer,
                       cache->layers);
    layer_cache *l = &cache->layer[layer];
    if (rows < 0 || rows > l->capacity - l->rows)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "KV cache of layer %d: %d rows after %d do not fit its capacity of %d",
                       layer, rows, l->rows, l->capacity);
    *before = vt_kv_cache_rows(cache, layer);
    l->rows += rows;
    cache->held += (size_t)rows * vt_kv_row_bytes(&cache->format);
    if (cache->held > cache->peak) cache->peak = cache->held;
    return VARIANT_OK;
}

void vt_kv_cache_release(vt_kv_cache *cache, int layer) {
    layer_cache *l = &cache->layer[layer];
    if (l->rows > 0) cache->kern->memory_discard(cache->kern, l->base, l->bytes);
    cache->held -= (size_t)l->rows * vt_kv_row_bytes(&cache->format);
    l->rows = 0;
}

size_t vt_kv_cache_bytes(const vt_kv_cache *cache) {
    return cache->held;
}

size_t vt_kv_cache_peak_bytes(const vt_kv_cache *cache) {
    return cache->peak;
}
