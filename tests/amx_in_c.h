/* amx_in_c.h - the layer of kern/cpu/isa/amx.h in plain C: the eight tile registers as memory,
 * the instructions as functions that do to them what the processor's manual says. Rows beyond a
 * register's configured ones are neither read nor written. Sums of even and odd depth are kept apart
 * within one product, as tdpbf16ps does. */
#ifndef VT_TESTS_AMX_IN_C_H
#define VT_TESTS_AMX_IN_C_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint8_t amx_config[64];
static _Thread_local uint8_t amx_tiles[8][16][64];

static inline int amx_rows(int tile) {
    return amx_config[48 + tile];
}

static inline size_t amx_row_bytes(int tile) {
    uint16_t bytes;
    memcpy(&bytes, amx_config + 16 + 2 * tile, sizeof bytes);
    return bytes;
}

static inline void amx_configure(const void *config) {
    memcpy(amx_config, config, sizeof amx_config);
    memset(amx_tiles, 0, sizeof amx_tiles);
    if (amx_config[0] != 1) abort();
    for (int tile = 0; tile < 8; ++tile)
        if (amx_rows(tile) < 1 || amx_rows(tile) > 16 || amx_row_bytes(tile) != 64) abort();
}

static inline void amx_load(int tile, const void *base, size_t stride) {
    memset(amx_tiles[tile], 0, sizeof amx_tiles[tile]);
    for (int r = 0; r < amx_rows(tile); ++r)
        memcpy(amx_tiles[tile][r], (const char *)base + (size_t)r * stride, amx_row_bytes(tile));
}

static inline void amx_store(int tile, void *base, size_t stride) {
    for (int r = 0; r < amx_rows(tile); ++r)
        memcpy((char *)base + (size_t)r * stride, amx_tiles[tile][r], amx_row_bytes(tile));
}

static inline float amx_bf16(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Columns are the inner loop, for the compiler's vectors. */
static inline void amx_product(int sums, int rows, int panel) {
    if (amx_rows(sums) != amx_rows(rows) || amx_rows(panel) != 16) abort();
    float b[16][2][16]; /* [k][even, odd][n] */
    for (int k = 0; k < 16; ++k)
        for (int n = 0; n < 16; ++n)
            for (int odd = 0; odd < 2; ++odd)
                b[k][odd][n] = amx_bf16(amx_tiles[panel][k] + 4 * n + 2 * odd);
    for (int m = 0; m < amx_rows(sums); ++m) {
        float even[16] = {0}, odd[16] = {0}, sum[16];
        for (int k = 0; k < 16; ++k) {
            const uint8_t *a = amx_tiles[rows][m] + 4 * k;
            const float first = amx_bf16(a), second = amx_bf16(a + 2);
            for (int n = 0; n < 16; ++n) even[n] += first * b[k][0][n];
            for (int n = 0; n < 16; ++n) odd[n] += second * b[k][1][n];
        }
        memcpy(sum, amx_tiles[sums][m], sizeof sum);
        for (int n = 0; n < 16; ++n) sum[n] += even[n] + odd[n];
        memcpy(amx_tiles[sums][m], sum, sizeof sum);
    }
}

static inline void amx_product8(int sums, int rows, int panel) {
    if (amx_rows(sums) != amx_rows(rows) || amx_rows(panel) != 16) abort();
    for (int m = 0; m < amx_rows(sums); ++m)
        for (int n = 0; n < 16; ++n) {
            int32_t sum;
            memcpy(&sum, amx_tiles[sums][m] + 4 * n, sizeof sum);
            for (int k = 0; k < 64; ++k)
                sum += (int8_t)amx_tiles[rows][m][k] * amx_tiles[panel][k / 4][4 * n + k % 4];
            memcpy(amx_tiles[sums][m] + 4 * n, &sum, sizeof sum);
        }
}

#define AMX_CONFIGURE(config) amx_configure(config)
#define AMX_RELEASE() memset(amx_config, 0, sizeof amx_config)
#define AMX_ZERO(tile) memset(amx_tiles[tile], 0, sizeof amx_tiles[tile])
#define AMX_LOAD(tile, base, stride) amx_load(tile, base, stride)
#define AMX_LOAD_PAST(tile, base, stride) AMX_LOAD(tile, base, stride)
#define AMX_STORE(tile, base, stride) amx_store(tile, base, stride)
#define AMX_PRODUCT(sums, rows, panel) amx_product(sums, rows, panel)
#define AMX_PRODUCT8(sums, rows, panel) amx_product8(sums, rows, panel)

#endif
