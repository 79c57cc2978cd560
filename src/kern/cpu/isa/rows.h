/* rows.h - macros that write a kernel out for each of up to 24 rows: ROWS_n(X) is X(0) .. X(n - 1),
 * EACH_TO_n(X, panels) is X(1, panels) .. X(n, panels). Sums of a kernel are named variables, not
 * arrays: compilers keep an array of that size in memory. */
#ifndef VT_KERN_CPU_ISA_ROWS_H
#define VT_KERN_CPU_ISA_ROWS_H

/* clang-format off */
#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)
#define ROWS_7(X) ROWS_6(X) X(6)
#define ROWS_8(X) ROWS_7(X) X(7)
#define ROWS_9(X) ROWS_8(X) X(8)
#define ROWS_10(X) ROWS_9(X) X(9)
#define ROWS_11(X) ROWS_10(X) X(10)
#define ROWS_12(X) ROWS_11(X) X(11)
#define ROWS_13(X) ROWS_12(X) X(12)
#define ROWS_14(X) ROWS_13(X) X(13)
#define ROWS_15(X) ROWS_14(X) X(14)
#define ROWS_16(X) ROWS_15(X) X(15)
#define ROWS_17(X) ROWS_16(X) X(16)
#define ROWS_18(X) ROWS_17(X) X(17)
#define ROWS_19(X) ROWS_18(X) X(18)
#define ROWS_20(X) ROWS_19(X) X(19)
#define ROWS_21(X) ROWS_20(X) X(20)
#define ROWS_22(X) ROWS_21(X) X(21)
#define ROWS_23(X) ROWS_22(X) X(22)
#define ROWS_24(X) ROWS_23(X) X(23)

#define EACH_TO_6(X, PANELS) X(1, PANELS) X(2, PANELS) X(3, PANELS) X(4, PANELS) X(5, PANELS) X(6, PANELS)
#define EACH_TO_12(X, PANELS) EACH_TO_6(X, PANELS)                                                   \
    X(7, PANELS) X(8, PANELS) X(9, PANELS) X(10, PANELS) X(11, PANELS) X(12, PANELS)
#define EACH_TO_24(X, PANELS) EACH_TO_12(X, PANELS)                                                  \
    X(13, PANELS) X(14, PANELS) X(15, PANELS) X(16, PANELS) X(17, PANELS) X(18, PANELS)              \
    X(19, PANELS) X(20, PANELS) X(21, PANELS) X(22, PANELS) X(23, PANELS) X(24, PANELS)

/* Row r, s from the next, where three rows share one of the pointers a0 .. a7: the strides 1 and 2 are
 * address modes (base + s and base + 2 s), so that 24 rows take 8 of the 16 registers there are. */
#define ROW_AT(r)                                                                                    \
    ((r) / 3 == 0 ? a0 : (r) / 3 == 1 ? a1 : (r) / 3 == 2 ? a2 : (r) / 3 == 3 ? a3                   \
     : (r) / 3 == 4 ? a4 : (r) / 3 == 5 ? a5 : (r) / 3 == 6 ? a6 : a7) + (r) % 3 * s

/* All eight a step on. Where a pointer came from is hidden, lest clang keep one for each row, or
 * compute each from the one before. */
#define ROWS_STEP(step)                                                                              \
    POINTER_STEP(a0, step) POINTER_STEP(a1, step) POINTER_STEP(a2, step) POINTER_STEP(a3, step)      \
    POINTER_STEP(a4, step) POINTER_STEP(a5, step) POINTER_STEP(a6, step) POINTER_STEP(a7, step)
#define POINTER_STEP(pointer, step)                                                                  \
    pointer += (step);                                                                               \
    __asm__("" : "+r"(pointer));
/* clang-format on */

#endif
