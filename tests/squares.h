/* squares.h - a data set to train on: bright squares whose place and size depend on the class, over noise,
 * as compressed IDX files FOLDER/data/SPLIT-*. Included by test_train.c after cmocka.h. */
#ifndef VT_TESTS_SQUARES_H
#define VT_TESTS_SQUARES_H

#include <stdio.h>
#include <zlib.h>

#include "core/rng.h"

#define SQUARES_SIDE 28

static inline void put_u32(gzFile file, uint32_t value) {
    uint8_t bytes[4] = {value >> 24, value >> 16, value >> 8, value};
    assert_int_equal(gzwrite(file, bytes, 4), 4);
}

static inline void write_squares(const char *folder, const char *split, int count, uint64_t seed) {
    char path[256];
    snprintf(path, sizeof path, "%s/data/%s-images-idx3-ubyte.gz", folder, split);
    gzFile images = gzopen(path, "wb1");
    snprintf(path, sizeof path, "%s/data/%s-labels-idx1-ubyte.gz", folder, split);
    gzFile labels = gzopen(path, "wb1");
    assert_non_null(images);
    assert_non_null(labels);
    put_u32(images, 0x803);
    put_u32(images, count);
    put_u32(images, SQUARES_SIDE);
    put_u32(images, SQUARES_SIDE);
    put_u32(labels, 0x801);
    put_u32(labels, count);
    for (int i = 0; i < count; ++i) {
        uint8_t pixels[SQUARES_SIDE * SQUARES_SIDE], label = i % 3;
        int x0 = 2 + 7 * label + vt_uniform(seed, VT_RNG_INIT, i, 1, 0) * 4;
        int y0 = 2 + vt_uniform(seed, VT_RNG_INIT, i, 2, 0) * 12, size = 6 + 2 * label;
        for (int p = 0; p < SQUARES_SIDE * SQUARES_SIDE; ++p) {
            int x = p % SQUARES_SIDE, y = p / SQUARES_SIDE;
            bool inside = x >= x0 && x < x0 + size && y >= y0 && y < y0 + size;
            pixels[p] = (inside ? 180 : 0) + vt_uniform(seed, VT_RNG_INIT, i, 3, p) * 60;
        }
        assert_int_equal(gzwrite(images, pixels, sizeof pixels), sizeof pixels);
        assert_int_equal(gzwrite(labels, &label, 1), 1);
    }
    assert_int_equal(gzclose(images), Z_OK);
    assert_int_equal(gzclose(labels), Z_OK);
}

#endif
