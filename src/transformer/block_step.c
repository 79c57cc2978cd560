/* block_step.c - a block in generation: the rows of every stream that runs this layer, wherever each stands. Products,
 * norms and gates see rows; keys, values and modulation are each stream's own (vt_ragged). Called by step.c. */
#include "transformer/block.h"

/* Buffers of one block; R rows. */
typedef struct step_buffers {
    vt_product_input qkv, proj, fc1, fc2; /* what these products are given */
    void *normed;                         /* (R, C) */
    void *attended; /* (R, C), in the place of normed, which is dead once q, k and v exist */
    void *act;      /* (R, hidden) */
    float *q;       /* (R, C) */
} step_buffers;

static int rows_of(const vt_block_step *step) {
    return step->rows->begin[step->rows->groups];
}

/* Where a class's vector begins among its six. */
static size_t vector_at(const vt_block_step *step, enum vt_modulation which) {
    return (size_t)which * (size_t)step->config->width;
}

static void normalise(const vt_block_step *step, const step_buffers *b, vt_number type,
                      enum vt_modulation scale, enum vt_modulation shift) {
    step->kern->norm_modulate(step->kern, &(vt_norm_modulate){.x = step->x,
                                                              .y = b->normed,
                                                              .y_type = type,
                                                              .groups = 1,
                                                              .rows = rows_of(step),
                                                              .width = step->config->width,
                                                              .eps = VT_NORM_EPS,
                                                              .ragged = step->rows,
                                                              .scale_at = vector_at(step, scale),
                                                              .shift_at = vector_at(step, shift)});
}

/* x += gamma * (from W^T + b) */
static variant_status add_gated(const vt_block_step *step, const vt_linear *linear,
                                const void *from, vt_number type, enum vt_modulation gamma,
                                vt_arena *arena, variant_error *err) {
    return vt_linear_run(step->kern, linear, arena,
                         &(vt_product){.x = from,
                                       .x_type = type,
                                       .y = step->x,
                                       .groups = 1,
                                       .rows = rows_of(step),
                                       .epilogue = VT_EPILOGUE_GATE_ADD,
                                       .ragged = step->rows,
                                       .gamma_at = vector_at(step, gamma)},
                         err);
}

static variant_status make_qkv(const vt_block_step *step, const step_buffers *b, vt_arena *arena,
                               variant_error *err) {
    const vt_block *block = step->block;
    const vt_qkv split = {.q_bias = block->q_bias->value,
                          .v_bias = block->v_bias->value,
                          .scale_mul = block->scale_mul == NULL ? NULL : block->scale_mul->value,
                          .q = b->q,
                          .kv_type = step->kv_type,
                          .kv_stride = (size_t)step->config->width,
                          .groups = 1,
                          .rows = rows_of(step),
                          .heads = step->config->heads,
                          .head_dim = step->config->width / step->config->heads,
                          .ragged = step->rows};
    return vt_linear_run(step->kern, &block->qkv, arena,
                         &(vt_product){.x = b->normed,
                                       .x_type = b->qkv.type,
                                       .groups = 1,
                                       .rows = rows_of(step),
                                       .epilogue = VT_EPILOGUE_QKV,
                                       .qkv = &split,
                                       .ragged = step->rows},
                         err);
}

/* Each stream's rows on all its keys and values so far. */
static variant_status attend(const vt_block_step *step, const step_buffers *b, vt_arena *arena,
                             variant_error *err) {
    const size_t c = (size_t)step->config->width, mark = vt_arena_mark(arena);
    vt_attention attention = {.q = b->q,
                              .out = b->attended,
                              .kv_type = step->kv_type,
                              .out_type = b->proj.type,
                              .q_stride = c,
                              .kv_stride = c,
                              .out_stride = c,
                              .groups = 1,
                              .heads = step->config->heads,
                              .head_dim = step->config->width / step->config->heads,
                              .scale = vt_block_attention_scale(step->config),
                              .ragged = step->rows};
    attention.workspace =
        vt_arena_take(arena, step->kern->attention_workspace(step->kern, &attention));
    VT_TRY(vt_arena_check(arena, "attention", err));
    step->kern->attention(step->kern, &attention);
    vt_arena_rewind(arena, mark);
    return VARIANT_OK;
}

static variant_status run_mlp(const vt_block_step *step, const step_buffers *b, vt_arena *arena,
                              variant_error *err) {
    normalise(step, b, b->fc1.type, VT_SCALE2, VT_SHIFT2);
    VT_TRY(vt_linear_run(step->kern, &step->block->fc1, arena,
                         &(vt_product){.x = b->normed,
                                       .x_type = b->fc1.type,
                                       .y = b->act,
                                       .y_type = b->fc2.type,
                                       .groups = 1,
                                       .rows = rows_of(step),
                                       .epilogue = VT_EPILOGUE_GELU,
                                       .ragged = step->rows},
                         err));
    return add_gated(step, &step->block->fc2, b->act, b->fc2.type, VT_GAMMA2, arena, err);
}

static size_t largest(size_t a, size_t b, size_t c) {
    const size_t most = a > b ? a : b;
    return most > c ? most : c;
}

variant_status vt_block_run_step(const vt_block_step *step, vt_arena *arena, variant_error *err) {
    size_t mark = vt_arena_mark(arena), c = (size_t)step->config->width;
    size_t n = (size_t)rows_of(step);
    variant_status status = VARIANT_OK;
    const vt_block *block = step->block;
    step_buffers b = {.qkv = vt_linear_input(step->kern, &block->qkv, rows_of(step)),
                      .proj = vt_linear_input(step->kern, &block->proj, rows_of(step)),
                      .fc1 = vt_linear_input(step->kern, &block->fc1, rows_of(step)),
                      .fc2 =
                          vt_linear_between(step->kern, &block->fc1, &block->fc2, rows_of(step))};
    b.normed = b.attended = vt_arena_take(arena, largest(b.qkv.bytes, b.proj.bytes, b.fc1.bytes));
    b.q = vt_arena_floats(arena, n * c);
    b.act = vt_arena_take(arena, b.fc2.bytes);
    VT_CHECK(vt_arena_check(arena, "a transformer block", err));
    normalise(step, &b, b.qkv.type, VT_SCALE1, VT_SHIFT1);
    VT_CHECK(make_qkv(step, &b, arena, err));
    VT_CHECK(attend(step, &b, arena, err));
    VT_CHECK(add_gated(step, &step->block->proj, b.attended, b.proj.type, VT_GAMMA1, arena, err));
    VT_CHECK(run_mlp(step, &b, arena, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}
