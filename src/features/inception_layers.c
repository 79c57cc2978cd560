/* inception_layers.c - the table of layers (inception_layers.h), in the order in which they run.
 *
 * Names are those of the public PyTorch file pt_inception-2015-12-05. The network differs from the
 * better known Inception-v3 in what FID needs: average pools do not count the padding, the last
 * block pools by maximum, 1008 classes, no auxiliary head. */
#include "features/inception_layers.h"

#define IN VT_MAP_IN
#define OUT VT_MAP_OUT
#define A VT_MAP_A
#define B VT_MAP_B

/* Convolutions by kernel: of one pixel, a square, a line, a column; `same` keeps the map's sides. */
#define CONV_1(name, from, to, out)                                                                \
    { VT_INCEPTION_CONV, name, from, to, out, 1, 1, 1, 0, 0 }
#define CONV_SAME(name, from, to, out, side)                                                       \
    { VT_INCEPTION_CONV, name, from, to, out, side, side, 1, side / 2, side / 2 }
#define CONV_INSIDE(name, from, to, out, stride)                                                   \
    { VT_INCEPTION_CONV, name, from, to, out, 3, 3, stride, 0, 0 }
#define CONV_LINE(name, from, to, out, length)                                                     \
    { VT_INCEPTION_CONV, name, from, to, out, 1, length, 1, 0, length / 2 }
#define CONV_COLUMN(name, from, to, out, length)                                                   \
    { VT_INCEPTION_CONV, name, from, to, out, length, 1, 1, length / 2, 0 }
#define POOL_SAME(op, from, to)                                                                    \
    { op, "", from, to, 0, 3, 3, 1, 1, 1 }
#define POOL_HALF(from, to)                                                                        \
    { VT_INCEPTION_MAX, "", from, to, 0, 3, 3, 2, 0, 0 }
#define NEXT                                                                                       \
    { VT_INCEPTION_NEXT, "", IN, OUT, 0, 0, 0, 0, 0, 0 }

/* 35 x 35 */
#define BLOCK_A(name, pool)                                                                        \
    CONV_1(name ".branch1x1", IN, OUT, 64), CONV_1(name ".branch5x5_1", IN, A, 48),                \
        CONV_SAME(name ".branch5x5_2", A, OUT, 64, 5), CONV_1(name ".branch3x3dbl_1", IN, A, 64),  \
        CONV_SAME(name ".branch3x3dbl_2", A, B, 96, 3),                                            \
        CONV_SAME(name ".branch3x3dbl_3", B, OUT, 96, 3), POOL_SAME(VT_INCEPTION_AVERAGE, IN, A),  \
        CONV_1(name ".branch_pool", A, OUT, pool), NEXT

/* 17 x 17 */
#define BLOCK_C(name, width)                                                                       \
    CONV_1(name ".branch1x1", IN, OUT, 192), CONV_1(name ".branch7x7_1", IN, A, width),            \
        CONV_LINE(name ".branch7x7_2", A, B, width, 7),                                            \
        CONV_COLUMN(name ".branch7x7_3", B, OUT, 192, 7),                                          \
        CONV_1(name ".branch7x7dbl_1", IN, A, width),                                              \
        CONV_COLUMN(name ".branch7x7dbl_2", A, B, width, 7),                                       \
        CONV_LINE(name ".branch7x7dbl_3", B, A, width, 7),                                         \
        CONV_COLUMN(name ".branch7x7dbl_4", A, B, width, 7),                                       \
        CONV_LINE(name ".branch7x7dbl_5", B, OUT, 192, 7), POOL_SAME(VT_INCEPTION_AVERAGE, IN, A), \
        CONV_1(name ".branch_pool", A, OUT, 192), NEXT

/* 8 x 8 */
#define BLOCK_E(name, pool)                                                                        \
    CONV_1(name ".branch1x1", IN, OUT, 320), CONV_1(name ".branch3x3_1", IN, A, 384),              \
        CONV_LINE(name ".branch3x3_2a", A, OUT, 384, 3),                                           \
        CONV_COLUMN(name ".branch3x3_2b", A, OUT, 384, 3),                                         \
        CONV_1(name ".branch3x3dbl_1", IN, A, 448),                                                \
        CONV_SAME(name ".branch3x3dbl_2", A, B, 384, 3),                                           \
        CONV_LINE(name ".branch3x3dbl_3a", B, OUT, 384, 3),                                        \
        CONV_COLUMN(name ".branch3x3dbl_3b", B, OUT, 384, 3), POOL_SAME(pool, IN, A),              \
        CONV_1(name ".branch_pool", A, OUT, 192), NEXT

const vt_inception_step vt_inception_steps[] = {
    CONV_INSIDE("Conv2d_1a_3x3", IN, A, 32, 2), /* 149 x 149 */
    CONV_INSIDE("Conv2d_2a_3x3", A, B, 32, 1),
    CONV_SAME("Conv2d_2b_3x3", B, A, 64, 3),
    POOL_HALF(A, B), /* 73 x 73 */
    CONV_1("Conv2d_3b_1x1", B, A, 80),
    CONV_INSIDE("Conv2d_4a_3x3", A, B, 192, 1),
    POOL_HALF(B, OUT), /* 35 x 35 */
    NEXT,
    BLOCK_A("Mixed_5b", 32),
    BLOCK_A("Mixed_5c", 64),
    BLOCK_A("Mixed_5d", 64),
    CONV_INSIDE("Mixed_6a.branch3x3", IN, OUT, 384, 2), /* 17 x 17 */
    CONV_1("Mixed_6a.branch3x3dbl_1", IN, A, 64),
    CONV_SAME("Mixed_6a.branch3x3dbl_2", A, B, 96, 3),
    CONV_INSIDE("Mixed_6a.branch3x3dbl_3", B, OUT, 96, 2),
    POOL_HALF(IN, OUT),
    NEXT,
    BLOCK_C("Mixed_6b", 128),
    BLOCK_C("Mixed_6c", 160),
    BLOCK_C("Mixed_6d", 160),
    BLOCK_C("Mixed_6e", 192),
    CONV_1("Mixed_7a.branch3x3_1", IN, A, 192), /* 8 x 8 */
    CONV_INSIDE("Mixed_7a.branch3x3_2", A, OUT, 320, 2),
    CONV_1("Mixed_7a.branch7x7x3_1", IN, A, 192),
    CONV_LINE("Mixed_7a.branch7x7x3_2", A, B, 192, 7),
    CONV_COLUMN("Mixed_7a.branch7x7x3_3", B, A, 192, 7),
    CONV_INSIDE("Mixed_7a.branch7x7x3_4", A, OUT, 192, 2),
    POOL_HALF(IN, OUT),
    NEXT,
    BLOCK_E("Mixed_7b", VT_INCEPTION_AVERAGE),
    BLOCK_E("Mixed_7c", VT_INCEPTION_MAX),
    {VT_INCEPTION_AVERAGE, "", IN, OUT, 0, 8, 8, 1, 0, 0}, /* the pooled features */
    NEXT,
    CONV_1("fc", IN, OUT, 1008), /* no NEXT: the features stay in IN, the logits in OUT */
};

const int vt_inception_step_count = (int)(sizeof vt_inception_steps / sizeof *vt_inception_steps);
