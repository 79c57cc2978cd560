/* amx.h - the tile registers of AMX as tiles_amx.c, tiles8_amx.c and outer_amx.c use them: up to 32 rows by two
 * panels are summed at a time, in four registers of sums, two of rows, two of panels. The number of
 * rows is part of the registers' configuration, so that nothing beyond a tile's last row is read or
 * written; it is loaded when it changes.
 *
 *                      PANEL_0      PANEL_1       32 of depth (64 of bytes) by 16 columns each
 *     ROWS_0  16 rows  SUMS_00      SUMS_01
 *     ROWS_1  16 rows  SUMS_10      SUMS_11       16 rows by 16 sums each
 *
 * Eight registers of 16 lines of 64 bytes are all there are. Two by two is the largest square that they
 * hold with what feeds it: four loads for four products a step of depth, where one by one would need two
 * for each. A register of rows has a row of x in each line; one of a panel has its lines as they lie in
 * memory (tiles.h).
 *
 * Where there is no such processor, tests replace the layer below by plain C (tests/amx_in_c.h, named
 * by VT_AMX_LAYER). */
#ifndef VT_KERN_CPU_ISA_AMX_H
#define VT_KERN_CPU_ISA_AMX_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef VT_AMX_LAYER
#include VT_AMX_LAYER
#else
#include <immintrin.h>
/* gcc's _tile_loadconfig tells the compiler of the first 8 of the 64 bytes alone, which lets it drop the
 * stores of the others (a configuration of no rows: #UD in the first product). */
#define AMX_CONFIGURE(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(config)))
#define AMX_RELEASE() _tile_release()
#define AMX_ZERO(tile) _tile_zero(tile)
#define AMX_LOAD(tile, base, stride) _tile_loadd(tile, base, stride)
/* the same of lines that are read once: they do not push others out of the first cache */
#define AMX_LOAD_PAST(tile, base, stride) _tile_stream_loadd(tile, base, stride)
#define AMX_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define AMX_PRODUCT(sums, rows, panel) _tile_dpbf16ps(sums, rows, panel)
/* signed rows, unsigned panels */
#define AMX_PRODUCT8(sums, rows, panel) _tile_dpbsud(sums, rows, panel)
#endif

/* Registers are constants of the instructions: sums of rows 0.. and 16.. by panels 0 and 1, the rows,
 * the panels. */
#define SUMS_00 0
#define SUMS_01 1
#define SUMS_10 2
#define SUMS_11 3
#define ROWS_0 4
#define ROWS_1 5
#define PANEL_0 6
#define PANEL_1 7

enum { AMX_MOST_ROWS = 32, AMX_HALF_ROWS = 16, AMX_LINE = 64 };

/* As ldtilecfg reads it. */
typedef struct amx_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_tile_config;

/* Rows that this thread's registers are set to; 0: none. Of tiles_amx.c. */
extern _Thread_local int vt_amx_configured;

static inline void amx_rows_set(int rows) {
    if (rows == vt_amx_configured) return;
    vt_amx_configured = rows;
    const int first = rows < AMX_HALF_ROWS ? rows : AMX_HALF_ROWS;
    const int second = rows > AMX_HALF_ROWS ? rows - AMX_HALF_ROWS : 1;
    amx_tile_config config __attribute__((aligned(64)));
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = SUMS_00; i <= PANEL_1; ++i) {
        bool panel = i == PANEL_0 || i == PANEL_1;
        bool later = i == SUMS_10 || i == SUMS_11 || i == ROWS_1;
        config.row_bytes[i] = AMX_LINE;
        config.rows[i] = (uint8_t)(panel ? AMX_HALF_ROWS : later ? second : first);
    }
    AMX_CONFIGURE(&config);
}

static inline void amx_begin(void) {
    vt_amx_configured = 0;
}

static inline void amx_end(void) {
    if (vt_amx_configured) AMX_RELEASE();
    vt_amx_configured = 0;
}

#endif
