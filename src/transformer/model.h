/* model.h - what a vt_transformer is, for the files of this folder alone. */
#ifndef VT_TRANSFORMER_MODEL_H
#define VT_TRANSFORMER_MODEL_H

#include "transformer/block.h"

struct vt_transformer {
    vt_kern *kern;
    vt_transformer_config config;
    int tokens;                        /* L */
    int start[VT_SCHEDULE_SCALES + 1]; /* first token of scale k; start[K] = L */
    vt_params params;
    vt_param *pos_start, *pos_1lc;   /* (1, 1, C), (1, L, C) */
    vt_param *class_emb, *lvl_embed; /* (classes + 1, C), (K, C) */
    vt_linear word_embed;            /* (C, Cvae) */
    vt_linear shared_ada;            /* (6C, C), only with shared_adaln */
    vt_linear head_ada, head;        /* (2C, C), (V, C) */
    vt_block *blocks;                /* (D) */
    float *table;                    /* (L, C) lvl_embed[k] + pos_1LC, once prepared */
    size_t table_bytes;
};

/* ---- condition.c: class embedding and AdaLN ---- */

/* What vt_condition_compute fills; embedding, silu and head (streams, ..), blocks (D, streams, 6C).
 */
typedef struct vt_condition_buffers {
    int streams;
    const uint8_t *layers; /* D flags; NULL: all */
    const int32_t *labels; /* backend memory, (streams) */
    float *embedding, *silu, *blocks, *head;
} vt_condition_buffers;

variant_status vt_condition_compute(vt_transformer *transformer, vt_arena *arena,
                                    const vt_condition_buffers *condition, variant_error *err);

/* Backward: dembedding (streams, C) holds the gradient that scale 0 gives the embedding, and is
 * overwritten. */
typedef struct vt_condition_grad {
    vt_condition_buffers forward;
    const float *dblocks; /* (D, streams, 6C) */
    const float *dhead;   /* (streams, 2C) */
    float *dembedding;    /* (streams, C) */
    float *dsilu;         /* (streams, C) scratch */
    float *dshared;       /* (streams, 6C) scratch; NULL without shared_adaln */
} vt_condition_grad;
variant_status vt_condition_backward(vt_transformer *transformer, const vt_condition_grad *grad,
                                     vt_arena *arena, variant_error *err);

/* E_ARGUMENT when a label is not 0..classes or a schedule is not this model's. */
variant_status vt_labels_check(const vt_transformer *transformer, const int32_t *labels, int count,
                               variant_error *err);
variant_status vt_schedule_check(const vt_transformer *transformer, const vt_schedule *schedule,
                                 variant_error *err);

#endif
