/* int4.h - weights of four bits, as every backend rounds them, and the record that a file holds of a row.
 *
 * A row of W is cut into groups of 16 numbers, the last filled up with zeros. A number is q, of -8 .. 7, times its group's
 * integer of -127 .. 127, times the row's float32 scale: whole numbers over a group, so that a product leaves the integers as
 * seldom as one of int8 does. 4.5 bits a number, and 4 bytes a row:
 *
 *     | scale, float32 | group 0, group 1, ..: int8 each | group 0: 8 bytes | group 1: 8 bytes | ... | zeros |
 *                                                           to a multiple of 4 bytes
 *     byte b of a group:  number b / 4 * 8 + b % 4 in the low half, the one 4 behind it in the high one, each as q + 8
 *
 * A group's scale is the one of 16 candidates around (number of largest size) / -8 that leaves the least squared error,
 * itself the best for the q that it gives; the sizes that a row's numbers are multiplied with may weigh the squares.
 *
 * Written by calibration and weights of both backends, read by weights; kern/panels.h has them as products read them. */
#ifndef VT_KERN_INT4_H
#define VT_KERN_INT4_H

#include <stddef.h>
#include <stdint.h>

enum {
    VT_INT4_GROUP = 16,
    VT_INT4_BYTES = VT_INT4_GROUP / 2,
    VT_INT4_LEAST = -8,
    VT_INT4_MOST = 7
};

/* Groups of a row of k numbers, and bytes of its record. */
static inline size_t vt_int4_groups(size_t k) {
    return (k + VT_INT4_GROUP - 1) / VT_INT4_GROUP;
}

static inline size_t vt_int4_record(size_t k) {
    return (sizeof(float) + vt_int4_groups(k) * (1 + VT_INT4_BYTES) + 3) / 4 * 4;
}

/* The record of a row of k numbers. A number that is not finite makes the scale NaN, and all q 0; so do sizes all below 2^-100
 * of q, with a scale of 1. importance: (k), of 0 or more, by which squares of errors are weighed; NULL: all alike. */
void vt_int4_encode(uint8_t *record, const float *row, const float *importance, size_t k);
/* Its two halves: the scales, with zeros for numbers, and the q nearest to the row's numbers by the record's scales. */
void vt_int4_scales(uint8_t *record, const float *row, const float *importance, size_t k);
void vt_int4_round(uint8_t *record, const float *row, size_t k);

float vt_int4_scale(const uint8_t *record);
/* What number i is in steps of: its group's integer times the row's scale. */
float vt_int4_step(const uint8_t *record, size_t i);
void vt_int4_put(uint8_t *record, size_t k, size_t i, int q);
/* The whole numbers that stand for a row, q times its group's integer: what the row is, over its scale. */
void vt_int4_decode(const uint8_t *record, size_t k, float *out);

#endif
