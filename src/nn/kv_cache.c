/* kv_cache.c - see kv_cache.h. One reservation; a layer's region starts on a page, so that
 * releasing one layer never keeps a page of another. */
#include "nn/kv_cache.h"

#include <stdlib.h>

#define REGION_ALIGN ((size_t)65536) /* a multiple of every page size in use */

typedef struct layer_cache {
    char *
        base; /* (streams, 2, capacity, width) numbers, then (streams, 2, capacity, heads) scales */
    size_t bytes;
    int capacity, rows;
} layer_cache;

struct vt_kv_cache {
    vt_kern *kern;
    void *memory;
    size_t bytes, peak;
    int layers, streams;
    vt_kv_format format;
    layer_cache layer[];
};

/* Bytes of one layer's region; false on overflow. */
static bool region_bytes(int streams, const vt_kv_format *format, int capacity, size_t *out) {
    size_t bytes = vt_kv_row_bytes(format);
    if (__builtin_mul_overflow(bytes, (size_t)streams, &bytes) ||
        __builtin_mul_overflow(bytes, (size_t)capacity, &bytes) ||
        __builtin_add_overflow(bytes, REGION_ALIGN + 2, &bytes))
        return false;
    *out = bytes / REGION_ALIGN * REGION_ALIGN;
    return true;
}

size_t vt_kv_row_bytes(const vt_kv_format *format) {
    size_t scales = format->type == VT_NUMBER_INT8 ? (size_t)format->heads * sizeof(float) : 0;
    return 2 * ((size_t)format->width * vt_number_size(format->type) + scales);
}

variant_status vt_kv_cache_open(vt_kv_cache **out, vt_kern *kern, int layers, int streams,
                                const vt_kv_format *format, const int *capacity,
                                variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kv_cache *cache = NULL;
    size_t at = 0;

    *out = NULL;
    if (layers < 1 || streams < 1 || format->width < 1 || format->heads < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a KV cache of %d layers, %d streams, width %d, %d heads: expected positive "
                       "numbers",
                       layers, streams, format->width, format->heads);
    cache = calloc(1, sizeof *cache + (size_t)layers * sizeof cache->layer[0]);
    if (cache == NULL) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the KV cache's table");
    cache->kern = kern;
    cache->layers = layers;
    cache->streams = streams;
    cache->format = *format;
    for (int l = 0; l < layers; ++l) {
        layer_cache *layer = &cache->layer[l];
        if (capacity[l] < 0 || !region_bytes(streams, format, capacity[l], &layer->bytes) ||
            __builtin_add_overflow(cache->bytes, layer->bytes, &cache->bytes)) {
            status = vt_fail(err, VARIANT_E_ARGUMENT,
                             "KV cache of layer %d: %d rows for %d streams cannot be "
                             "addressed",
                             l, capacity[l], streams);
            goto cleanup;
        }
        layer->capacity = capacity[l];
    }
    if (cache->bytes > 0) VT_CHECK(kern->memory_reserve(kern, cache->bytes, &cache->memory, err));
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
    if (c->memory != NULL) c->kern->memory_release(c->kern, c->memory, c->bytes);
    free(c);
    *cache = NULL;
}

vt_kv_view vt_kv_cache_view(const vt_kv_cache *cache, int layer) {
    const layer_cache *l = &cache->layer[layer];
    size_t size = vt_number_size(cache->format.type), capacity = (size_t)l->capacity;
    size_t half = capacity * (size_t)cache->format.width;
    vt_kv_view view = {.type = cache->format.type, .group_stride = 2 * half, .rows = l->rows};
    if (l->base == NULL) return view;
    view.k = l->base;
    view.v = l->base + half * size;
    if (view.type != VT_NUMBER_INT8) return view;
    /* A region starts on a page and int8 rows may end anywhere: scales take the next multiple of 4,
     * which the region's rounding up has room for. */
    size_t numbers = (2 * half * (size_t)cache->streams * size + 3) / 4 * 4;
    view.scale_group_stride = 2 * capacity * (size_t)cache->format.heads;
    view.k_scale = (float *)(void *)(l->base + numbers);
    view.v_scale = view.k_scale + capacity * (size_t)cache->format.heads;
    return view;
}

variant_status vt_kv_cache_append(vt_kv_cache *cache, int layer, int rows, vt_kv_view *before,
                                  variant_error *err) {
    if (layer < 0 || layer >= cache->layers)
        return vt_fail(err, VARIANT_E_ARGUMENT, "KV cache: no layer %d, it has %d", layer,
                       cache->layers);
    layer_cache *l = &cache->layer[layer];
    if (rows < 0 || rows > l->capacity - l->rows)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "KV cache of layer %d: %d rows after %d do not fit its capacity of %d",
                       layer, rows, l->rows, l->capacity);
    *before = vt_kv_cache_view(cache, layer);
    l->rows += rows;
    size_t held = vt_kv_cache_bytes(cache);
    if (held > cache->peak) cache->peak = held;
    return VARIANT_OK;
}

void vt_kv_cache_release(vt_kv_cache *cache, int layer) {
    layer_cache *l = &cache->layer[layer];
    if (l->rows > 0) cache->kern->memory_discard(cache->kern, l->base, l->bytes);
    l->rows = 0;
}

size_t vt_kv_cache_bytes(const vt_kv_cache *cache) {
    size_t rows = 0;
    for (int l = 0; l < cache->layers; ++l) rows += (size_t)cache->layer[l].rows;
    return rows * (size_t)cache->streams * vt_kv_row_bytes(&cache->format);
}

size_t vt_kv_cache_peak_bytes(const vt_kv_cache *cache) {
    return cache->peak;
}
