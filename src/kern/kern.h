/* kern.h - the one seam for hardware: a table of operations over plain buffers.
 *
 * Everything above this header computes by calling these operations; nothing above it looks into a
 * buffer. A buffer is memory of the backend, carved from an arena whose base came from
 * memory_reserve. Data crosses by upload and download alone (tokens, pictures, weights, sums): no
 * operation hands a number back through its call.
 *
 * A backend fills a whole table: `ref` (kern/ref, plain C, the definition of correct) and `cpu`
 * (kern/cpu, BLAS, threads and vectorised loops; starts from ref's table and overrides). Operations
 * cannot fail: sizes are the caller's duty, and scratch is asked for with the _workspace functions
 * and handed in. They are done in the order in which they were asked for, and may still be under way when
 * the call returns; what a call reads of host memory (its struct, lists, segment ends, uploads) it
 * has read by then, and download returns what is done. A device can fail: see status.
 *
 * Conventions. Real numbers are float32 unless a field of type vt_number says otherwise, all
 * matrices row-major and contiguous unless a stride is given (strides count elements). Pictures and latents are NHWC. A convolution's kernel
 * is (O, kh, kw, I), so that a convolution is a product over rows of patches, and a 1x1
 * convolution is a linear layer. Integers are int32. "groups" are the independent samples of a
 * batch (a picture, or a guidance branch of one): a result for one group never depends on how
 * many groups there are, and no result depends on the number of threads. Output may alias input
 * only where it says so. Gradient outputs named d* are ACCUMULATED INTO (+=) when the comment
 * says "+=", else overwritten. */
#ifndef VT_KERN_KERN_H
#define VT_KERN_KERN_H

#include "core/status.h"

typedef struct vt_kern vt_kern;

/* How numbers are stored. Sums are always float32 or better. */
typedef enum vt_number {
    VT_NUMBER_F32 = 0,
    VT_NUMBER_BF16, /* rounded to nearest even */
    VT_NUMBER_INT8, /* -127..127 times a float32 scale of its output channel, or of its row and head */
    /* weights alone: -8..7 times an integer of its group of 16 and a float32 scale of its output channel (int4.h) */
    VT_NUMBER_INT4,
    /* bf16 in an order that is the backend's own: rows between two of its operations, where product_input says so */
    VT_NUMBER_LAID
} vt_number;

/* n float32 numbers. An operation takes a list of such runs, which is in host memory, where a model's tensors are
 * meant: one call a step, not one a tensor. */
typedef struct vt_floats {
    float *x;
    size_t n;
} vt_floats;

const char *vt_number_name(vt_number number); /* "f32", "bf16", "int8", "int4", "laid" */
size_t
vt_number_size(vt_number number); /* bytes of one, scales left out; INT4: 1, in which two lie */
/* What n of them take as a weight; INT8: scales left out; INT4: those of groups counted. */
double vt_number_bytes(vt_number number, double n);
/* The opposite of vt_number_name, of what weights can be; E_ARGUMENT names the option that held `text`. */
variant_status vt_number_parse(vt_number *out, const char *option, const char *text,
                               variant_error *err);
/* ... of what keys and values can be. */
variant_status vt_number_parse_kv(vt_number *out, const char *option, const char *text,
                                  variant_error *err);

/* A weight matrix (n, k) prepared once for products y = x W^T. Opaque: a backend packs and converts.
 *
 * Products with a BF16 weight round x to bf16 first and sum in float32. INT8: a row of W has a scale,
 * largest |w| / 127, and integers round(w * (127 / largest |w|)), to nearest even; so has each block of
 * 128 numbers of a row of x (the last one shorter), or, where the weight is `whole`, each row of x, and
 *     y = w_scale * (sum over the blocks, in order, of x_scale * float(the integers' exact sum)) + bias.
 * Numbers all below 2^-100 become 0; one that is not finite makes the scale NaN. INT4: as INT8 with a scale for each block
 * of x, and with the whole numbers and scales of int4.h for a row of W. A row of x has one result, whatever the number of
 * rows. */
typedef struct vt_weight vt_weight;

/* Writes rows [first, first + count) of a weight, count * k floats, to out. Called from several
 * threads at a time. */
typedef void (*vt_weight_rows)(const void *user, int first, int count, float *out);

/* Numbers of a weight as panels.h lays them out, made before; on addresses that are multiples of 64. */
typedef struct vt_packed {
    const void *numbers;
    const float *scale; /* INT8, INT4: of every row of whole panels; else NULL */
    bool whole;         /* INT8: as in vt_weight_spec, which says it where numbers are given */
} vt_packed;

typedef struct vt_weight_spec {
    vt_number type;
    int n, k;
    int taps; /* k is so many runs of k / taps channels (a convolution's kernel); 0: one. INT8, INT4: one */
    /* the other way round as well, for product_dx or conv_dx: BF16 with values alone */
    bool gradients;
    int stride; /* with gradients of several taps, a square kernel: the convolution's, 1 or 2; 0: 1 */
    bool
        sizes_only; /* reads and keeps no numbers: to be asked its type, bytes and workspaces (dry.h) */
    /* (n, k), borrowed, must outlive the weight: F32 products read it in place, refresh reads it
     * again. May be NULL when rows is given and type is not F32. */
    const float *values;
    vt_weight_rows rows; /* where packed numbers come from instead, during weight_open alone */
    const void *user;
    bool whole; /* INT8: a row of x has one scale, not one a block: k up to 65536 */
    /* INT8: (n), read during weight_open alone: rows and values are integers of -127 .. 127 already, and these their
     * scales. NULL: they are numbers */
    const float *scales;
    /* INT4: (n), of int4.h, read during weight_open alone, in the place of rows and values. NULL: those are numbers */
    const uint8_t *records;
    /* or they are packed already, of any type but F32: borrowed for the weight's life by a backend that has kern->panels, by
     * others for the call. Not with gradients */
    const vt_packed *packed;
} vt_weight_spec;

/* What happens to x W^T + bias before it is stored. */
typedef enum vt_epilogue {
    VT_EPILOGUE_STORE,    /* y = it */
    VT_EPILOGUE_GELU,     /* y = gelu(it), tanh form */
    VT_EPILOGUE_GATE_ADD, /* y += gamma[group] * it; y float32 */
    VT_EPILOGUE_QKV       /* split into q, k and v, normalised, written where `qkv` says */
} vt_epilogue;

/* The rows of one generation step: streams (guidance branches of pictures) of any number of rows each, which stand
 * anywhere. Operations that take one work on all its rows at once, as one group of begin[groups] rows; what a
 * stream has of its own they find here. A row's result is the one it has alone. Everything is host memory but what k,
 * v, their scales and mod point to. */
typedef struct vt_stream_rows {
    void *k,
        *v; /* the stream's keys and values of a layer: row 0, rows of heads * head_dim contiguous numbers */
    float *k_scale, *v_scale; /* INT8: row 0, `heads` a row; else NULL */
    int held;                 /* rows there before this step, whose own follow */
} vt_stream_rows;

typedef struct vt_ragged {
    int groups;
    const int *begin; /* (groups + 1): first row of each, begin[0] = 0; each has one or more */
    const int
        *at; /* (groups): first row of each in the residual stream, where others may lie between */
    const float *const *mod;  /* (groups): the vectors that its class gives the layer */
    const vt_stream_rows *kv; /* (groups); NULL where no keys are meant */
} vt_ragged;

/* One block-causal attention over `groups` samples. Query rows [q_end[s-1], q_end[s]) of a
 * sample see its key rows [0, k_end[s]), s = 0..segments-1 (q_end[-1] = 0). One segment with
 * k_end[0] = cached rows is a generation step; many are a teacher-forced pass. Head h occupies
 * floats [h * head_dim, (h+1) * head_dim) of every row. */
typedef struct vt_attention {
    const float *q;    /* rows of heads * head_dim numbers, at the strides below */
    const void *k, *v; /* likewise, of kv_type; BF16 and INT8: products round q and p to bf16 */
    /* same shape as q, of out_type: F32, BF16, or LAID, for a product of all rows (heads * head_dim at out_stride) */
    void *out;
    vt_number kv_type, out_type;
    /* INT8: row r of sample g has its heads' scales at g * scale_group_stride + r * heads */
    const float *k_scale, *v_scale;
    size_t scale_group_stride;
    size_t q_stride, kv_stride, out_stride;                   /* elements from a row to the next */
    size_t q_group_stride, kv_group_stride, out_group_stride; /* ... from a sample to the next */
    int groups, heads, head_dim;
    int segments;
    const int *q_end, *k_end; /* host memory, (segments) */
    float scale;              /* multiplies q k^T */
    void *workspace;          /* attention_workspace bytes */
    /* Generation: group g's q and out are rows [begin[g], begin[g + 1]) at their strides, and see all its keys and
     * values, held ones and its own; groups, k, v, their scales and strides between samples and the segments are not
     * read. NULL: as above */
    const vt_ragged *ragged;
} vt_attention;

/* Backward of vt_attention (float32 k, v, out): recomputes the probabilities. dq, dk, dv share the strides of q, k,
 * v and are overwritten (rows past the last segment's k_end are not touched). */
typedef struct vt_attention_grad {
    /* as it was; `out` holds its result; workspace: attention_grad_workspace bytes */
    vt_attention forward;
    const float *dout; /* strides of out */
    float *dq, *dk, *dv;
} vt_attention_grad;

/* Splits the product of mat_qkv into q, k and v of `groups` samples of `rows` rows, width C =
 * heads * head_dim. q = qkv[0:C] + q_bias, k = qkv[C:2C], v = qkv[2C:3C] + v_bias. With
 * scale_mul, q and k are divided per head by max(their L2 norm, 1e-12), then q multiplied by
 * exp(min(scale_mul[h], ln 100)). */
typedef struct vt_qkv {
    const float *qkv;       /* (groups, rows, 3C); not read as an epilogue */
    const float *q_bias;    /* (C) */
    const float *v_bias;    /* (C) */
    const float *scale_mul; /* (heads), or NULL: plain attention */
    float *q;               /* (groups, rows, C) */
    /* rows of C numbers of kv_type at kv_stride, samples at kv_group_stride: act buffer or KV cache */
    void *k, *v;
    vt_number kv_type;
    size_t kv_stride, kv_group_stride;
    /* INT8: written beside, scale = largest |number| of the head / 127; as in vt_attention */
    float *k_scale, *v_scale;
    size_t scale_group_stride;
    int groups, rows, heads, head_dim;
    const vt_ragged *
        ragged; /* k, v and their scales go there, after what is held; groups = 1. NULL: as above */
} vt_qkv;

/* Backward of vt_qkv; dq, dk, dv are (groups, rows, C) contiguous. */
typedef struct vt_qkv_grad {
    vt_qkv forward; /* qkv, biases, scale_mul, sizes as they were; q, k, v are not read */
    const float *dq, *dk, *dv;
    float *dqkv;                           /* (groups, rows, 3C), overwritten */
    float *dq_bias, *dv_bias, *dscale_mul; /* += ; dscale_mul NULL when scale_mul is */
} vt_qkv_grad;

/* y = LN(x) (1 + scale) + shift without affine; sample g's scale and shift start at g *
 * mod_stride. */
typedef struct vt_norm_modulate {
    const float *x;             /* (groups, rows, width) */
    const float *scale, *shift; /* (groups, width) at mod_stride */
    size_t mod_stride;
    void *y;            /* (groups, rows, width); F32 may alias x when mean and rstd are NULL */
    vt_number y_type;   /* F32, BF16, or LAID, for a product of all these rows */
    float *mean, *rstd; /* (groups, rows), saved for backward; NULL in inference */
    int groups, rows, width;
    float eps;
    /* Group g reads x from row at[g] on and writes y from begin[g] on; its scale and shift are at mod[g] + scale_at and
     * shift_at; groups = 1. NULL: as above */
    const vt_ragged *ragged;
    size_t scale_at, shift_at;
} vt_norm_modulate;

/* How a product of some rows had best be given its x, (rows, k). */
typedef struct vt_product_input {
    vt_number type;
    size_t bytes; /* of all rows */
} vt_product_input;

/* y = epilogue(x W^T + bias), over groups * rows rows. A row's result depends on that row alone. */
typedef struct vt_product {
    /* (groups * rows, k), of x_type: F32, BF16 with a weight that is not F32, or what product_input says of W and these rows */
    const void *x;
    vt_number x_type;
    const vt_weight *w;
    const float *bias; /* (n), or NULL */
    /* (groups * rows, n), of y_type: F32, BF16, or, of STORE and GELU, LAID where product_input says so of this product and
     * of the one that reads it; not used by QKV */
    void *y;
    vt_number y_type;
    int groups, rows;
    vt_epilogue epilogue;
    const float *gamma; /* GATE_ADD: (n) of group g at g * gamma_stride */
    size_t gamma_stride;
    const vt_qkv *qkv; /* QKV: where to, of the same groups and rows; n = 3 C; no bias of its own */
    /* GELU with x, y and weight BF16: (groups * rows, n) bf16, receives what y is gelu of, for backward;
     * y is gelu of the rounded numbers then. NULL: not wanted */
    void *pre;
    void *workspace; /* product_workspace bytes */
    /* Group g's x is rows [begin[g], begin[g + 1]), and so is y, but for GATE_ADD, which adds to y from row at[g] on by
     * mod[g] + gamma_at. qkv has the same; groups = 1. NULL: as above */
    const vt_ragged *ragged;
    size_t gamma_at;
} vt_product;

/* Backward of y = x W^T + bias. With a BF16 weight the operands of both products (dy, W; dy, x) are
 * rounded to bf16 and sums are float32; with an F32 weight everything is F32. */
typedef struct vt_product_grad {
    const vt_weight *w; /* of n x k numbers; product_dx: opened with `gradients`, or F32 */
    const void *dy;     /* (groups * rows, n) of dy_type */
    vt_number dy_type;
    int groups, rows;
    /* product_dx: dx (groups * rows, k) = dy W, or += where accumulate (F32 alone). With gelu_of, the
     * (groups * rows, k) bf16 numbers whose gelu x is: dx = dy W gelu'(gelu_of), and gelu, where not
     * NULL, receives x again; dx, gelu_of and gelu are all BF16 then. */
    void *dx;
    vt_number dx_type;
    bool accumulate;
    const void *gelu_of;
    void *gelu;
    /* product_dw: dw (n, k) += dy^T x, db (n) += column sums of dy (NULL: none). Fixed summation
     * order. */
    const void *x; /* (groups * rows, k) of x_type */
    vt_number x_type;
    float *dw, *db;
    void *workspace; /* product_grad_workspace bytes: of both */
} vt_product_grad;

/* The residual stream and the norm that follows it: sum = x + gamma h, y = LN(sum) (1 + scale) +
 * shift. Training with bf16 products. */
typedef struct vt_residual {
    const float *x;             /* (groups, rows, width) */
    const void *h;              /* (groups, rows, width) bf16, or NULL: sum = x */
    const float *gamma;         /* (groups, width) at mod_stride */
    float *sum;                 /* (groups, rows, width); may be x; NULL without h: not stored */
    void *y;                    /* (groups, rows, width) bf16, or NULL: no norm */
    const float *scale, *shift; /* (groups, width) at mod_stride */
    size_t mod_stride;
    float *mean, *rstd; /* (groups, rows) */
    int groups, rows, width;
    float eps;
} vt_residual;

/* Backward, in this order: dx += gradient through the norm (where dy is given), then dh = gamma dx
 * (where h is); dx goes on to be the gradient of x. Note that h and gamma are those of the addition
 * BEFORE which the norm stood in forward: a norm's gradient and the next gate's go together. */
typedef struct vt_residual_grad {
    float *dx;      /* (groups, rows, width) */
    const float *x; /* what the norm read */
    const void *dy; /* (groups, rows, width) bf16, or NULL */
    const float *scale;
    const float *mean, *rstd;
    float *dscale, *dshift; /* += , (groups, width) at mod_stride */
    const void *h;          /* (groups, rows, width) bf16, or NULL */
    const float *gamma;
    void *dh;          /* (groups, rows, width) bf16 */
    float *dgamma;     /* += , (groups, width) at mod_stride */
    size_t mod_stride; /* at least width */
    int groups, rows, width;
} vt_residual_grad;

/* Attention of a teacher-forced pass from the product of mat_qkv, in bf16 products: vt_qkv's split
 * and vt_attention's softmax in one. q, k and v are rounded to bf16 after biases and norms. Rows
 * [ends[s-1], ends[s]) of a sample see its rows [0, ends[s]); rows = ends[segments - 1]. */
typedef struct vt_attend {
    const void *qkv;              /* (groups, rows, 3C) bf16 */
    const float *q_bias, *v_bias; /* (C) */
    const float *scale_mul;       /* (heads), or NULL */
    void *out;                    /* (groups, rows, C) bf16 */
    float *log_sum;               /* (groups, heads, rows), kept for backward: log2 of the sum over
                                    * keys of e^(scale q k) */
    int groups, rows, heads, head_dim;
    int segments;
    const int *ends; /* host memory, (segments) */
    float scale;     /* multiplies q k^T */
    void *workspace; /* attend_workspace bytes */
} vt_attend;

typedef struct vt_attend_grad {
    vt_attend forward; /* as it was; out is not read; workspace: attend_grad_workspace bytes */
    const void *dout;  /* (groups, rows, C) bf16 */
    void *dqkv;        /* (groups, rows, 3C) bf16, overwritten */
    float *dq_bias, *dv_bias, *dscale_mul; /* += ; dscale_mul NULL when scale_mul is */
} vt_attend_grad;

typedef struct vt_norm_modulate_grad {
    vt_norm_modulate forward; /* x, scale, mean, rstd as they were; y is not read */
    const float *dy;
    float *dx;              /* += (the residual's gradient is usually there already) */
    float *dscale, *dshift; /* += , (groups, width) at mod_stride */
} vt_norm_modulate_grad;

/* Cross entropy of `rows` rows against integer targets, with label smoothing:
 * loss = -sum_j t_j log softmax(logits)_j, t = (1 - smoothing) onehot + smoothing / vocab.
 * With a teacher, row r is also drawn towards it: to its loss in the gradient comes pull[r] kl, with
 * kl = sum_j p_j (log p_j - log softmax(logits)_j), p = softmax(teacher); `loss` stays the cross
 * entropy alone. */
typedef struct vt_cross_entropy {
    const float *logits;    /* (rows, vocab) */
    const int32_t *targets; /* (rows) */
    /* (rows, vocab) = weight * dloss/dlogits, overwritten; may alias logits; NULL: none */
    float *dlogits;
    float *loss; /* (rows), unweighted; NULL: not wanted */
    /* (rows), 1 where the largest logit (first of ties) is the target; NULL: not wanted */
    int32_t *hit;
    int rows, vocab;
    float smoothing, weight;
    const float *teacher; /* (rows, vocab) logits; NULL: none */
    const float *pull;    /* (rows), 0 or more: where it is 0 the teacher's row is not read */
    float *kl;            /* (rows), 0 where pull is 0; NULL: not wanted */
} vt_cross_entropy;

/* y = group_norm(x) gamma + beta over `channel_groups`, then SiLU when `silu`: as part of a
 * convolution. */
typedef struct vt_conv_norm {
    const float *gamma, *beta; /* (in_c) */
    const double
        *sums; /* (groups, 2, in_c), as the convolution that made x left them; NULL: found here */
    int channel_groups;
    float eps;
    bool silu;
} vt_conv_norm;

/* A convolution with zero padding: y[oy, ox] = b + sum W[ky, kx] x[oy * stride + ky - top, ox *
 * stride + kx - left]. Output size is given, so that right and bottom padding follow from it.
 *
 * In inference the steps around it may come along: x normalised first (`norm`), then enlarged to
 * twice its sides (`upsample`: in_h and in_w are then those of the enlarged map, x has half of
 * them), and `residual` added to y. The three are not read by conv_dx and conv_dw. With norm, y may
 * be x where their shapes are equal.
 *
 * An upsampled 3x3 convolution (stride 1, padding 1, out_c a multiple of 16) may be given its packed
 * weight as four 2x2 kernels on the small map, 4/9 of the work: n = 4 out_c, taps = 4, row (py * 2 +
 * px) out_c + o for the outputs (2i + py, 2j + px); tap (ty, tx) reads small pixel (i - 1 + py + ty,
 * j - 1 + px + tx) and is the sum of the 3x3 kernel's taps that read it once enlarged.
 *
 * Any 3x3 convolution of stride 1 may be given its packed weight in Winograd's domain, 4/9 of the
 * work at a little less precision: n = out_c, taps = 16, tap 4 i + j is number (i, j) of U = G g G^T,
 * g the kernel and G = (1 0 0, .5 .5 .5, .5 -.5 .5, 0 0 1). x is rounded to bf16, and so is what the
 * squares V = B^T d B of 4x4 pixels make of it, which U multiplies. */
typedef struct vt_conv {
    const void *x; /* (groups, in_h, in_w, in_c) of x_type */
    const vt_weight
        *w; /* F32 or BF16; n = out_c, k = kernel * kernel * in_c, laid out (O, kh, kw, I) */
    const float *bias; /* (out_c), or NULL */
    void *y;           /* (groups, out_h, out_w, out_c) of y_type */
    int groups, in_h, in_w, in_c, out_h, out_w, out_c;
    int kernel, stride, pad_top, pad_left;
    const vt_conv_norm *norm; /* or NULL */
    bool upsample;            /* nearest 2x */
    const void *residual;     /* (shape of y) of residual_type, or NULL; may alias y if of y_type */
    /* F32, or BF16, which is half the memory: in inference, with a weight for which conv_map says so, where a norm is given its
     * sums. y is rounded when its residual has been added. */
    vt_number x_type, y_type, residual_type;
    /* (groups, 2, out_c), or NULL: out, sums of each channel of y, before it is rounded, over a picture, then those of the
     * squares; for the norm of a convolution of y. With BF16 weights alone. */
    double *sums;
    /* F32 weights, without the three above: a kernel of `kernel` rows and kernel_w columns (0: as many),
     * y where a pixel is y_stride floats after the last (0: out_c), and y = max(y, 0) at the end. Not
     * read by conv_dx and conv_dw. */
    int kernel_w, y_stride;
    bool relu;
    void *workspace; /* conv_workspace bytes */
} vt_conv;

/* From logits to tokens: guidance, the filters top k and top p, one draw a row. Tokens alone need come back to
 * the host. Random numbers are keyed by (seed, image, scale, position of the row): a token depends neither on
 * the other parts nor on the other rows.
 *
 * Logits are (1 + guide) cond - guide uncond. Top k keeps the k largest, with those equal to the k-th. Of what
 * that leaves, top p drops from the least likely up, of equal ones the lowest index first, while the
 * probability of what is dropped is <= 1 - top_p; the most likely always stays. Probabilities are summed in double,
 * in an order that is the backend's: where a sum meets its bound to within rounding, either side may come out, always
 * the same for the same logits. */
typedef struct vt_sample_part {
    float *cond;         /* (rows, vocab); scratch afterwards */
    const float *uncond; /* (rows, vocab); NULL: not guided, the logits are cond */
    float guide;         /* t of the formula above */
    int rows;
    uint64_t seed;
    uint32_t image, scale;
    uint32_t position; /* of the first row; those after it count up */
    int top_k;         /* 0 or >= vocab: off */
    float top_p;       /* 0 or >= 1: off */
    bool greedy;       /* the largest logit, first of ties; no filters */
    /* (rows); -1 where the guided logits of a row are not all finite */
    int32_t *tokens;
    /* (rows, vocab): mixtures of tokens for smoothing, softmax((logits * (1 + ramp) + gumbel) / tau) with tau =
     * max(0.27 (1 - 0.95 ramp), 0.005), of what the filters left; NULL: not wanted. Rows of token -1 are 0. */
    float *weights;
    double ramp; /* place among the scales: 0 at the first, 1 at the last */
    /* (rows, vocab): the guided logits, -INFINITY where the filters dropped one; may be cond; NULL: not wanted.
     * Rows of token -1 hold anything. */
    float *filtered;
} vt_sample_part;

typedef struct vt_sample {
    const vt_sample_part *parts; /* (count), host memory */
    int count, vocab;
    void *workspace; /* sample_workspace bytes */
} vt_sample;

/* The largest or the average of the pixels of a window that lie inside the map (each window has one):
 * y[oy, ox] over x[oy * stride - pad .. + window - 1, ox * stride - pad .. + window - 1]. */
typedef struct vt_pooling {
    const float *x; /* (groups, in_h, in_w, channels) */
    float *y; /* (groups, out_h, out_w, channels), pixels y_stride floats apart (0: channels) */
    int groups, in_h, in_w, out_h, out_w, channels;
    int window, stride, pad, y_stride;
    bool average;
} vt_pooling;

/* y = group_norm(x) gamma + beta over `channel_groups`, then SiLU when `silu`. */
typedef struct vt_group_norm {
    const float *x;            /* (groups, pixels, channels) */
    const float *gamma, *beta; /* (channels) */
    float *y;                  /* may alias x when mean and rstd are NULL */
    float *mean, *rstd;        /* (groups, channel_groups), saved for backward; NULL in inference */
    int groups, pixels, channels, channel_groups;
    float eps;
    bool silu;
} vt_group_norm;

typedef struct vt_group_norm_grad {
    vt_group_norm forward; /* x, gamma, beta, mean, rstd as they were; y is not read */
    const float *dy;
    float *dx; /* overwritten, or += when accumulate */
    bool accumulate;
    float *dgamma, *dbeta; /* += */
} vt_group_norm_grad;

/* AdamW over a list of tensors. */
typedef struct vt_adamw {
    const vt_floats *value, *m, *v, *grad; /* (count) runs each, of the same lengths */
    /* (count): decoupled: value *= 1 - lr * weight_decay, first */
    const float *weight_decay;
    int count;
    float lr, beta1, beta2, eps;
    float grad_scale; /* multiplies grad (clipping) */
    /* 1, 2, ... for bias correction; both corrections in double */
    int step;
} vt_adamw;

/* Everything is there but what is marked OPTIONAL, which may be NULL. What callers do then:
 *   team, memory_pool        work on one thread; take memory straight from memory_reserve
 *   alone                    call one operation after the other
 *   peak_flops, stream_bytes say that there is nothing to measure against
 *   canary                   watch the machine without it
 *   weight_packed            write no packed files
 *   pool, resize_bilinear    open no Inception
 *   of training              train nothing (vt_kern_check_training); those of bf16 products: in float32 alone */
struct vt_kern {
    const char *name;    /* vt_kern_open's, which sets it */
    const char *details; /* one line for a person: BLAS core, instruction set, threads */
    bool unified;        /* buffers are host memory: a mapped file may serve as weights in place */
    bool panels;         /* packed numbers are used where they lie (vt_weight_spec.packed) */
    bool dry;            /* holds and computes nothing (dry.h): values need not be made for it */
    int threads;
    /* OPTIONAL: of those threads, for work that is the host's own (reading pictures, checking files) */
    struct vt_team *team;
    struct vt_memory_pool *memory_pool; /* OPTIONAL: what memory_pool.h keeps */
    /* OPTIONAL: this backend on one thread, over the same memory and weights; lives as long as this one. Its operations but
     * those of life and memory may be called from inside parts of `team`, by several threads at once */
    vt_kern *alone;

    /* ---- life and memory ---- */
    void (*close)(vt_kern *kern);
    /* Waits until everything that was asked for is done. */
    void (*sync)(vt_kern *kern);
    /* What became of all that was asked for and is done: OK, or how the device first failed, which stays so. After a
     * failure operations return as ever and their results are worth nothing; it is asked where results leave, after
     * sync or download (vt_kern_download asks). A backend on the host does not fail. */
    variant_status (*status)(vt_kern *kern, variant_error *err);
    /* Address space, zero when first touched, not counted as resident until then. */
    variant_status (*memory_reserve)(vt_kern *kern, size_t bytes, void **out, variant_error *err);
    void (*memory_release)(vt_kern *kern, void *memory, size_t bytes);
    /* Gives the pages wholly inside [memory, memory + bytes) back to the system; they read as
     * zero afterwards. */
    void (*memory_discard)(vt_kern *kern, void *memory, size_t bytes);
    void (*upload)(vt_kern *kern, void *to, const void *from_host, size_t bytes);
    void (*download)(vt_kern *kern, void *to_host, const void *from, size_t bytes);
    void (*copy)(vt_kern *kern, float *to, const float *from, size_t n);
    void (*fill)(vt_kern *kern, float value, const vt_floats *runs, int count);
    /* rows rows of width floats; strides in floats. copy: to = from; add: to += from. */
    void (*copy_rows)(vt_kern *kern, float *to, size_t to_stride, const float *from,
                      size_t from_stride, int rows, size_t width);
    void (*add_copy_rows)(vt_kern *kern, float *to, size_t to_stride, const float *from,
                          size_t from_stride, int rows, size_t width);

    /* ---- what the hardware can do at most, measured when asked for (a fraction of a second): OPTIONAL ---- */
    /* multiply-adds in registers as products with weights of this type do them, flop/s over all
     * threads */
    double (*peak_flops)(vt_kern *kern, vt_number weights);
    /* reading `bytes` of memory again and again, bytes/s over all threads: what fits a cache comes from there. Bytes beyond
     * four times the last cache are as those. */
    double (*stream_bytes)(vt_kern *kern, size_t bytes);
    /* seconds of a fixed number of products whose operands stay in the first cache, on the calling thread (some tenths of a
     * millisecond): slower than its best when something shares the core (quiet.h) */
    double (*canary)(vt_kern *kern);

    /* ---- products ---- */
    variant_status (*weight_open)(vt_kern *kern, vt_weight **out, const vt_weight_spec *spec,
                                  variant_error *err);
    void (*weight_refresh)(vt_kern *kern,
                           vt_weight *weight); /* of training; after spec.values changed */
    void (*weight_close)(vt_kern *kern, vt_weight **weight);
    vt_number (*weight_type)(const vt_weight *weight);
    /* How x of `rows` rows had best come: in the workspace of a product that is given it otherwise, it is brought to that. */
    vt_product_input (*product_input)(const vt_kern *kern, const vt_weight *weight, int64_t rows);
    size_t (*weight_bytes)(
        const vt_weight *weight); /* packed numbers and scales, its own or given */
    /* OPTIONAL: its numbers as panels.h lays them out, the weight's memory, to be written to a file; of types but F32 */
    vt_packed (*weight_packed)(const vt_weight *weight);
    size_t (*product_workspace)(const vt_kern *kern, const vt_product *args); /* bytes */
    void (*product)(vt_kern *kern, const vt_product *args);
    /* float32 weights alone: dx (groups * rows, k) = dy (groups * rows, n) W; += when accumulate. Also "probabilities
     * times codebook". */
    void (*linear_dx)(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                      int rows, bool accumulate);
    /* OPTIONAL, of training, as all that end in _dx or _dw but this linear_dx: dw (n, k) += dy^T x, db (n) += column
     * sums of dy (db may be NULL); over all `rows` rows. Fixed summation order. */
    void (*linear_dw)(vt_kern *kern, float *dw, float *db, const float *dy, const float *x,
                      int rows, int n, int k);

    /* ---- training with bf16 products: OPTIONAL, but for float32 ones it takes the first four as well ---- */
    /* Fills every weight's packed numbers again in one go: `count` of them, NULLs passed over. */
    void (*weights_refresh)(vt_kern *kern, vt_weight *const *weights, int count);
    size_t (*product_grad_workspace)(const vt_kern *kern, const vt_product_grad *args); /* bytes */
    void (*product_dx)(vt_kern *kern, const vt_product_grad *args);
    void (*product_dw)(vt_kern *kern, const vt_product_grad *args);
    /* act = gelu(pre), n bf16 numbers */
    void (*gelu_bf16)(vt_kern *kern, void *act, const void *pre, size_t n);
    void (*residual)(vt_kern *kern, const vt_residual *args);
    void (*residual_dx)(vt_kern *kern, const vt_residual_grad *args);
    size_t (*attend_workspace)(const vt_kern *kern, const vt_attend *args);      /* bytes */
    size_t (*attend_grad_workspace)(const vt_kern *kern, const vt_attend *args); /* bytes */
    void (*attend)(vt_kern *kern, const vt_attend *args);
    void (*attend_dx)(vt_kern *kern, const vt_attend_grad *args);

    /* ---- elementwise, n floats; y may alias x ---- */
    /* tanh form */
    void (*gelu)(vt_kern *kern, float *y, const float *x, size_t n);
    /* overwrites; dx may alias dy */
    void (*gelu_dx)(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n);
    void (*silu)(vt_kern *kern, float *y, const float *x, size_t n);
    void (*silu_dx)(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n);
    /* y = a x + b y; with b = 0 y is not read */
    void (*axpby)(vt_kern *kern, float *y, float a, const float *x, float b, size_t n);
    /* y += a (p - q) */
    void (*scaled_difference)(vt_kern *kern, float *y, float a, const float *p, const float *q,
                              size_t n);
    void (*clamp)(vt_kern *kern, float *y, const float *x, float low, float high, size_t n);
    /* of training, these three. sums[i], backend memory: the sum over run i of x^2, of (p - q)^2, in double, in an order
     * that depends on the run's length alone. p and q: runs of the same lengths. */
    void (*sum_squares)(vt_kern *kern, double *sums, const vt_floats *x, int count);
    void (*sum_squared_difference)(vt_kern *kern, double *sums, const vt_floats *p,
                                   const vt_floats *q, int count);
    void (*adamw)(vt_kern *kern, const vt_adamw *step);

    /* ---- rows ---- */
    /* y (groups, rows, width) += x (rows, width); and its backward dx (rows, width) += sum over
     * groups of dy. */
    void (*add_rows)(vt_kern *kern, float *y, const float *x, int groups, int rows, int width);
    void (*add_rows_dx)(vt_kern *kern, float *dx, const float *dy, int groups, int rows, int width);
    /* y[r] = table[index[r]] (width floats a row); scatter: dtable[index[r]] += dy[r], in order
     * of r. */
    void (*gather_rows)(vt_kern *kern, float *y, const float *table, const int32_t *index, int rows,
                        int width);
    void (*scatter_rows)(vt_kern *kern, float *dtable, const int32_t *index, const float *dy,
                         int rows, int width);

    /* ---- transformer ---- */
    void (*norm_modulate)(vt_kern *kern, const vt_norm_modulate *args);
    void (*norm_modulate_dx)(vt_kern *kern, const vt_norm_modulate_grad *args);
    /* x (groups, rows, width) += gamma[group] * h; gamma of group g at g * mod_stride. */
    void (*gate_add)(vt_kern *kern, float *x, const float *h, const float *gamma, size_t mod_stride,
                     int groups, int rows, int width);
    /* dh = gamma dx (overwritten), dgamma += sum over rows of dx h (at mod_stride). dx itself
     * passes on unchanged. */
    void (*gate_add_dx)(vt_kern *kern, float *dh, float *dgamma, const float *dx, const float *h,
                        const float *gamma, size_t mod_stride, int groups, int rows, int width);
    void (*qkv_split)(vt_kern *kern, const vt_qkv *args);
    void (*qkv_split_dx)(vt_kern *kern, const vt_qkv_grad *args);
    size_t (*attention_workspace)(const vt_kern *kern, const vt_attention *args);      /* bytes */
    size_t (*attention_grad_workspace)(const vt_kern *kern, const vt_attention *args); /* bytes */
    void (*attention)(vt_kern *kern, const vt_attention *args);
    void (*attention_dx)(vt_kern *kern, const vt_attention_grad *args);
    void (*cross_entropy)(vt_kern *kern, const vt_cross_entropy *args); /* of training */
    size_t (*sample_workspace)(const vt_kern *kern,
                               const vt_sample *args); /* bytes; of any parts */
    void (*sample)(vt_kern *kern, const vt_sample *args);

    /* ---- pictures and latents (NHWC) ---- */
    /* Are packed 3x3 convolutions of stride 1 faster with nine taps than in Winograd's domain? */
    bool (*conv_direct)(const vt_kern *kern);
    /* What maps between convolutions of such weights had best be, in inference: BF16 or F32, which any may be. */
    vt_number (*conv_map)(const vt_kern *kern, const vt_weight *weight);
    /* bytes, enough for conv, conv_dx and conv_dw */
    size_t (*conv_workspace)(const vt_kern *kern, const vt_conv *args);
    void (*conv)(vt_kern *kern, const vt_conv *args);
    /* dx (shape of x) from dy (shape of y); overwritten, += when accumulate. Reads args' w and
     * sizes, not x, y, bias. A BF16 weight, opened with `gradients`, rounds dy to bf16. */
    void (*conv_dx)(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                    bool accumulate);
    /* dw (O, kh, kw, I) += , db (O) += (db may be NULL), in a fixed order. Reads args' x, sizes and the
     * type of w (NULL: F32): BF16, opened with `gradients`, rounds x and, for dw, dy to bf16. */
    void (*conv_dw)(vt_kern *kern, const vt_conv *args, const float *dy, float *dw, float *db);
    void (*group_norm)(vt_kern *kern, const vt_group_norm *args);
    void (*group_norm_dx)(vt_kern *kern, const vt_group_norm_grad *args);
    /* Nearest 2x: (groups, h, w, c) -> (groups, 2h, 2w, c); dx (small) = sums of dy (large),
     * overwritten. */
    void (*upsample2)(vt_kern *kern, float *y, const float *x, int groups, int h, int w, int c);
    void (*upsample2_dx)(vt_kern *kern, float *dx, const float *dy, int groups, int h, int w,
                         int c);
    void (*pool)(vt_kern *kern, const vt_pooling *args); /* OPTIONAL, and resize_bilinear */
    /* (groups, in_h, in_w, c) -> (groups, out_h, out_w, c): bilinear between the two nearest pixels
     * each way, half-pixel centres, indices clamped; nothing is smoothed before shrinking. */
    void (*resize_bilinear)(vt_kern *kern, float *y, const float *x, int groups, int in_h, int in_w,
                            int out_h, int out_w, int c);
    /* Square maps (groups, from, from, c) -> (groups, to, to, c). Area: adaptive average, output
     * i averages inputs floor(i from / to) .. ceil((i + 1) from / to) - 1. Bicubic: a = -0.75,
     * half-pixel centres, indices clamped. */
    void (*resize_area)(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                        int c);
    void (*resize_bicubic)(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                           int c);
    /* overwritten */
    void (*resize_bicubic_dx)(vt_kern *kern, float *dx, const float *dy, int groups, int from,
                              int to, int c);
    /* index[r] = the code with the smallest squared distance to x[r] (first of ties). x (rows,
     * width), codebook (codes, width). */
    /* bytes */
    size_t (*nearest_code_workspace)(const vt_kern *kern, int groups, int rows, int codes);
    void (*nearest_code)(vt_kern *kern, int32_t *index, const float *x, const vt_weight *codebook,
                         int groups, int rows, void *workspace);
};

/* Opens the backend of that name (NULL: the first of vt_kern_backend) with `threads` threads (0: as many as
 * core/limits.h says). */
variant_status vt_kern_open(vt_kern **out, const char *backend, int threads, variant_error *err);
void vt_kern_close(vt_kern **kern);
/* The backends' names, i from 0; NULL past the last. No other code knows one: what a backend can do is asked of its
 * table. */
const char *vt_kern_backend(int i);
/* The one that is the definition of correct. */
const char *vt_kern_reference(void);
/* Lets vt_kern_open know one more, or another by a name it knows; the name is borrowed for good. Not while others open
 * backends. */
typedef variant_status vt_kern_opener(vt_kern **out, int threads, variant_error *err);
variant_status vt_kern_register(const char *name, vt_kern_opener *open, variant_error *err);
/* Has it all that training with products of this type calls? E_UNSUPPORTED names what is missing. */
variant_status vt_kern_check_training(const vt_kern *kern, vt_number products, variant_error *err);

/* Downloads, and tells how the device is: where results leave. */
variant_status vt_kern_download(vt_kern *kern, void *to_host, const void *from, size_t bytes,
                                variant_error *err);
/* n floats, each `value`. */
void vt_kern_fill(vt_kern *kern, float *x, float value, size_t n);
/* Are `count` numbers of a buffer, F32 or BF16, all finite? Looks at them on the host: not for hot loops. */
bool vt_kern_finite(vt_kern *kern, const void *numbers, vt_number type, size_t count);

/* OpenBLAS chooses its kernels while it is loaded, and takes those of 2004 on a processor newer than
 * itself: float32 products are then three times slower. What OPENBLAS_CORETYPE should have been in the
 * environment for kernels that this processor can run; NULL where OpenBLAS chose well or the variable
 * was set. A program may start itself again with it, as cli/main.c does. */
const char *vt_kern_blas_core(void);
/* "OpenBLAS 0.3.21 Zen"; is it the flavour without threads and locks? */
bool vt_kern_blas(char *out, size_t size);

/* ref's table, for a backend to start from (kern/ref/ref.c). */
void vt_kern_ref_fill(vt_kern *kern);

#endif
