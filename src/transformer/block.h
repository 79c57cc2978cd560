/* block.h - one transformer block, run by generation and by training alike.
 *
 *     x += gamma1 * proj(attention(LN(x) (1 + scale1) + shift1))
 *     x += gamma2 * fc2(gelu(fc1(LN(x) (1 + scale2) + shift2)))
 *
 * The residual stream x is updated in place. Generation (block_step.c) fuses each product with what follows it and
 * keeps nothing; training (block.c) keeps what backward reads, with bf16 products in a way of its own (block_pieces.c, block_bf16.c),
 * since its activations are other ones. Called by step.c and train.c. */
#ifndef VT_TRANSFORMER_BLOCK_H
#define VT_TRANSFORMER_BLOCK_H

#include "core/arena.h"
#include "nn/linear.h"
#include "transformer/transformer.h"

#define VT_NORM_EPS 1e-6f

/* Order of the six vectors of C floats that a sample's class gives a block. */
enum vt_modulation {
    VT_GAMMA1,
    VT_GAMMA2,
    VT_SCALE1,
    VT_SCALE2,
    VT_SHIFT1,
    VT_SHIFT2,
    VT_MODULATIONS
};

typedef struct vt_block {
    vt_param *scale_mul;       /* (1, H, 1, 1), or NULL: plain attention */
    vt_param *q_bias, *v_bias; /* (C) */
    vt_linear qkv;             /* (3C, C), no bias of its own */
    vt_linear proj;            /* (C, C) */
    vt_linear fc1, fc2;        /* (hidden, C), (C, hidden) */
    vt_linear ada;             /* (6C, C); absent with shared_adaln */
    vt_param *ada_gss;         /* (1, 1, 6, C), only with shared_adaln */
} vt_block;

/* What training keeps of a block; R = groups * rows. */
typedef struct vt_block_activations {
    vt_number products;                   /* F32: all but `bf16`; BF16: the first line and `bf16` */
    float *x_in, *x_mid;                  /* (R, C) the stream before each sublayer */
    float *mean1, *rstd1, *mean2, *rstd2; /* (R) */
    float *qkv;                           /* (R, 3C) */
    float *q, *k, *v;                     /* (R, C) */
    float *attended;                      /* (R, C) */
    float *h1, *h2;                       /* (R, C) what each sublayer adds, before its gamma */
    float *fc1, *act;                     /* (R, hidden) */
    /* BF16: these instead of qkv .. act above. */
    struct vt_block_bf16 {
        uint16_t *normed1, *normed2; /* (R, C) what qkv and fc1 read */
        uint16_t *qkv;               /* (R, 3C) */
        uint16_t *attended;          /* (R, C) */
        uint16_t *h1, *h2;           /* (R, C) */
        uint16_t *fc1;               /* (R, hidden) before gelu */
        float *log_sum;              /* (groups, H, rows), see vt_attend */
    } bf16;
} vt_block_activations;

/* Takes the buffers of one block from the arena, for products of this type. */
void vt_block_take(vt_block_activations *out, vt_arena *arena, const vt_transformer_config *config,
                   vt_number products, int groups, int rows);

/* ---- generation: the streams of a step that run this layer ---- */

typedef struct vt_block_step {
    vt_kern *kern;
    const vt_transformer_config *config;
    const vt_block *block;
    const vt_ragged *rows; /* mod: (6C) of each stream; kv: of this layer */
    vt_number kv_type;
    float *x; /* (all rows of the step, C): rows->at says which are run */
} vt_block_step;
/* Nothing is kept but keys and values. */
variant_status vt_block_run_step(const vt_block_step *step, vt_arena *arena, variant_error *err);

/* What multiplies q k^T. */
float vt_block_attention_scale(const vt_transformer_config *config);

/* ---- training: samples of as many rows each ---- */

typedef struct vt_block_run {
    vt_kern *kern;
    const vt_transformer_config *config;
    const vt_block *block;
    int groups, rows;
    const float *mod; /* (groups, 6C) */
    float *x;         /* (groups, rows, C) */
    float *k, *v;     /* (groups, rows, C) */
    int segments;     /* see vt_attention; ends count from row 0 of q and of k */
    const int *q_end, *k_end;
} vt_block_run;

/* Kept activations filled. */
variant_status vt_block_forward(const vt_block_run *run, const vt_block_activations *kept,
                                vt_arena *arena, variant_error *err);
/* dx (groups, rows, C): gradient of the block's output, becomes that of its input. dmod (groups,
 * 6C) +=. run as it was in forward (x is not read). */
variant_status vt_block_backward(const vt_block_run *run, const vt_block_activations *kept,
                                 float *dx, float *dmod, vt_arena *arena, variant_error *err);

/* ---- block_pieces.c: the same two with bf16 products; called by block.c alone ---- */

variant_status vt_block_forward_pieces(const vt_block_run *run, const vt_block_activations *kept,
                                       vt_arena *arena, variant_error *err);
variant_status vt_block_backward_pieces(const vt_block_run *run, const vt_block_activations *kept,
                                        float *dx, float *dmod, vt_arena *arena,
                                        variant_error *err);

/* ---- block_bf16.c: of some samples; called by block_pieces.c, the first by block.c ---- */

/* Where gradients of a block's parameters are added to: the parameters' own, or a lane's. */
typedef struct vt_linear_grad {
    float *dw, *db; /* db: NULL without a bias */
} vt_linear_grad;

typedef struct vt_block_grad {
    vt_linear_grad qkv, proj, fc1, fc2;
    float *dq_bias, *dv_bias, *dscale_mul; /* the last NULL without scale_mul */
} vt_block_grad;

void vt_block_take_bf16(vt_block_activations *out, vt_arena *arena,
                        const vt_transformer_config *config, int groups, int rows);
variant_status vt_block_forward_bf16(const vt_block_run *run, const vt_block_activations *kept,
                                     vt_arena *arena, variant_error *err);
variant_status vt_block_backward_bf16(const vt_block_run *run, const vt_block_activations *kept,
                                      const vt_block_grad *to, float *dx, float *dmod,
                                      vt_arena *arena, variant_error *err);

#endif
