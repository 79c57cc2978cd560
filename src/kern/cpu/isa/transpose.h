/* transpose.h - sixteen by sixteen 32-bit numbers (or pairs of bf16) turned around in registers. For
 * files that are compiled for AVX-512. */
#ifndef VT_KERN_CPU_ISA_TRANSPOSE_H
#define VT_KERN_CPU_ISA_TRANSPOSE_H

#include <immintrin.h>

/* Sixteen vectors of 32-bit numbers, transposed: 4 x 4 blocks inside the quarters of a vector, then
 * the quarters. For a matrix in blocks of four by four,
 *
 *     A B C D          A' E' I' M'       the first half turns each block where it stands (unpack stays
 *     E F G H    to    B' F' J' N'       inside 128 bits), the second half exchanges blocks (shuffles of
 *     I J K L          C' G' K' O'       128 bits): 64 instructions for 256 numbers, none through memory.
 *     M N O P          D' H' L' P'
 */
static inline __attribute__((always_inline)) void vt_transpose_16x16(__m512i x[16]) {
    __m512i y[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i a = _mm512_unpacklo_epi32(x[i], x[i + 1]),
                b = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        __m512i c = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]);
        __m512i d = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);
        y[i] = _mm512_unpacklo_epi64(a, c);
        y[i + 1] = _mm512_unpackhi_epi64(a, c);
        y[i + 2] = _mm512_unpacklo_epi64(b, d);
        y[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    /* y[4 j + i] holds columns i, 4 + i, 8 + i, 12 + i of rows 4 j .. 4 j + 3 */
    for (int i = 0; i < 4; ++i) {
        __m512i a = _mm512_shuffle_i32x4(y[i], y[4 + i], 0x44);
        __m512i b = _mm512_shuffle_i32x4(y[8 + i], y[12 + i], 0x44);
        __m512i c = _mm512_shuffle_i32x4(y[i], y[4 + i], 0xee);
        __m512i d = _mm512_shuffle_i32x4(y[8 + i], y[12 + i], 0xee);
        x[i] = _mm512_shuffle_i32x4(a, b, 0x88);
        x[4 + i] = _mm512_shuffle_i32x4(a, b, 0xdd);
        x[8 + i] = _mm512_shuffle_i32x4(c, d, 0x88);
        x[12 + i] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
}

#endif
