/* block_pieces.c - a block in training with bf16 products, over all samples of a batch; see block.h.
 *
 * Where a block's weights are small, a piece of the samples goes through the whole block on one thread, so that what one
 * operation writes the next one finds in the second cache, and what backward computes again never leaves it:
 *
 *     samples     | piece 0 | piece 1 | piece 2 | ...         a piece: 256 rows or a few more
 *     backward    |       lane 0      |      lane 1 ...       a lane: pieces in order, whose weights' gradients are
 *                                                             summed in memory of its own; lanes are added in order
 *
 * Pieces and lanes follow from sizes alone, so any number of threads gives the same bytes. What block_bf16.c does with all
 * samples of a batch it does here with a piece's. */
#include "transformer/block.h"

#include "core/threads.h"
#include "kern/dry.h"

enum {
    PIECE_ROWS = 256,
    MOST_LANES = 16,
    /* of bf16: half of a second cache of 2 MB, where a piece's activations lie besides */
    SMALL_WEIGHT_BYTES = 1 << 20,
    ADDED = 1 << 14 /* numbers of a gradient, over all lanes, a task */
};

enum { SHARED = 11 }; /* gradients of a block's parameters, at most */

/* A gradient that each lane has a copy of. */
typedef struct shared_grad {
    float *whole;
    size_t at, count; /* in a lane's memory; numbers */
} shared_grad;

typedef struct piece_plan {
    const vt_block_run *run;
    const vt_block_activations *kept;
    float *dx, *dmod;  /* backward */
    int piece_groups;  /* samples a piece */
    int pieces, lanes; /* pieces: 1, all samples are one */
    size_t slot_bytes; /* scratch of a thread */
    char *slots;       /* one a thread */
    bool filled;       /* see vt_arena_init_filled */
    size_t lane_floats;
    float *lane_grads; /* (lanes, lane_floats) */
    shared_grad shared[SHARED];
    int shared_count;
} piece_plan;

static bool pieces_make(piece_plan *p, const vt_block_run *run, const vt_block_activations *kept) {
    const size_t c = (size_t)run->config->width, hidden = (size_t)run->config->hidden;
    const bool small = (4 * c + 2 * hidden) * c * sizeof(uint16_t) <= SMALL_WEIGHT_BYTES;
    *p = (piece_plan){.run = run, .kept = kept};
    if (!run->kern->alone || !small) return false;
    p->piece_groups = (PIECE_ROWS + run->rows - 1) / run->rows;
    p->pieces = (run->groups + p->piece_groups - 1) / p->piece_groups;
    p->lanes = p->pieces < MOST_LANES ? p->pieces : MOST_LANES;
    return p->pieces > 1;
}

/* ---- one piece ---- */

/* The arguments of piece i. */
static vt_block_run piece_run(const piece_plan *p, vt_kern *kern, int i,
                              vt_block_activations *kept) {
    const vt_transformer_config *config = p->run->config;
    const int first = i * p->piece_groups, left = p->run->groups - first;
    const size_t c = (size_t)config->width, row = (size_t)first * (size_t)p->run->rows;
    vt_block_run run = *p->run;
    run.kern = kern;
    run.groups = left < p->piece_groups ? left : p->piece_groups;
    run.mod += (size_t)first * VT_MODULATIONS * c;
    if (run.x) run.x += row * c;
    *kept = *p->kept;
    kept->x_in += row * c;
    kept->x_mid += row * c;
    kept->mean1 += row;
    kept->rstd1 += row;
    kept->mean2 += row;
    kept->rstd2 += row;
    kept->bf16.normed1 += row * c;
    kept->bf16.normed2 += row * c;
    kept->bf16.qkv += row * 3 * c;
    kept->bf16.attended += row * c;
    kept->bf16.h1 += row * c;
    kept->bf16.h2 += row * c;
    kept->bf16.fc1 += row * (size_t)config->hidden;
    kept->bf16.log_sum += row * (size_t)config->heads;
    return run;
}

/* `to`: NULL forward. */
static variant_status piece_pass(const piece_plan *p, vt_kern *kern, int i, const vt_block_grad *to,
                                 vt_arena *scratch, variant_error *err) {
    const size_t c = (size_t)p->run->config->width, first = (size_t)i * (size_t)p->piece_groups;
    vt_block_activations kept;
    vt_block_run run = piece_run(p, kern, i, &kept);
    if (!to) return vt_block_forward_bf16(&run, &kept, scratch, err);
    return vt_block_backward_bf16(&run, &kept, to, p->dx + first * (size_t)p->run->rows * c,
                                  p->dmod + first * VT_MODULATIONS * c, scratch, err);
}

/* Scratch of every thread: what a dry run of the first piece takes, which is the largest. */
static variant_status slots_take(piece_plan *p, const vt_block_grad *to, vt_arena *arena,
                                 variant_error *err) {
    vt_dry_kern dry;
    vt_arena counting;
    vt_dry_kern_init(&dry, p->run->kern->alone);
    vt_arena_init_counting(&counting, &dry.kern);
    VT_TRY(piece_pass(p, &dry.kern, 0, to, &counting, err));
    p->slot_bytes = vt_arena_size(counting.peak);
    p->filled = arena->untouched;
    p->slots = vt_arena_take(arena, (size_t)p->run->kern->threads * p->slot_bytes);
    return vt_arena_check(arena, "pieces of a transformer block", err);
}

static void slot_pass(const piece_plan *p, int thread, int i, const vt_block_grad *to) {
    vt_arena scratch;
    char *slot = p->slots + (size_t)thread * p->slot_bytes;
    if (p->filled)
        vt_arena_init_filled(&scratch, slot, p->slot_bytes);
    else
        vt_arena_init(&scratch, slot, p->slot_bytes);
    /* cannot fail: the dry run did not, and took as much */
    (void)piece_pass(p, p->run->kern->alone, i, to, &scratch, NULL);
}

/* ---- forward ---- */

static void forward_part(const void *args, vt_span span) {
    for (int64_t i = span.begin; i < span.end; ++i) slot_pass(args, span.thread, (int)i, NULL);
}

variant_status vt_block_forward_pieces(const vt_block_run *run, const vt_block_activations *kept,
                                       vt_arena *arena, variant_error *err) {
    piece_plan p;
    size_t mark = vt_arena_mark(arena);
    if (!pieces_make(&p, run, kept)) return vt_block_forward_bf16(run, kept, arena, err);
    variant_status status = slots_take(&p, NULL, arena, err);
    if (status == VARIANT_OK && !run->kern->dry)
        vt_team_deal(run->kern->team, p.pieces, forward_part, &p);
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- backward ---- */

static float *grad_of(const vt_param *param) {
    return param ? param->grad : NULL;
}

static vt_block_grad own_grads(const vt_block *b) {
    return (vt_block_grad){.qkv = {b->qkv.weight->grad, grad_of(b->qkv.bias)},
                           .proj = {b->proj.weight->grad, grad_of(b->proj.bias)},
                           .fc1 = {b->fc1.weight->grad, grad_of(b->fc1.bias)},
                           .fc2 = {b->fc2.weight->grad, grad_of(b->fc2.bias)},
                           .dq_bias = b->q_bias->grad,
                           .dv_bias = b->v_bias->grad,
                           .dscale_mul = grad_of(b->scale_mul)};
}

/* A param's place in a lane. */
static void share(piece_plan *p, const vt_param *param) {
    if (!param) return;
    p->shared[p->shared_count++] = (shared_grad){param->grad, p->lane_floats, param->count};
    p->lane_floats += vt_arena_size(param->count * sizeof(float)) / sizeof(float);
}

static void share_all(piece_plan *p) {
    const vt_block *b = p->run->block;
    const vt_linear *linear[] = {&b->qkv, &b->proj, &b->fc1, &b->fc2};
    for (int i = 0; i < 4; ++i) {
        share(p, linear[i]->weight);
        share(p, linear[i]->bias);
    }
    share(p, b->q_bias);
    share(p, b->v_bias);
    share(p, b->scale_mul);
}

/* Where the lane keeps what is added to `whole`. */
static float *within_lane(const piece_plan *p, int lane, float *whole) {
    for (int i = 0; i < p->shared_count; ++i)
        if (whole && p->shared[i].whole == whole)
            return p->lane_grads + (size_t)lane * p->lane_floats + p->shared[i].at;
    return NULL;
}

static vt_block_grad lane_grads(const piece_plan *p, int lane) {
    vt_block_grad to = own_grads(p->run->block);
    float **all[] = {&to.qkv.dw, &to.qkv.db, &to.proj.dw, &to.proj.db, &to.fc1.dw,    &to.fc1.db,
                     &to.fc2.dw, &to.fc2.db, &to.dq_bias, &to.dv_bias, &to.dscale_mul};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) *all[i] = within_lane(p, lane, *all[i]);
    return to;
}

static void lanes_part(const void *args, vt_span span) {
    const piece_plan *p = args;
    for (int64_t lane = span.begin; lane < span.end; ++lane) {
        const vt_block_grad to = lane_grads(p, (int)lane);
        vt_kern_fill(p->run->kern->alone, p->lane_grads + (size_t)lane * p->lane_floats, 0,
                     p->lane_floats);
        for (int64_t i = p->pieces * lane / p->lanes; i < p->pieces * (lane + 1) / p->lanes; ++i)
            slot_pass(p, span.thread, (int)i, &to);
    }
}

/* Adds the lanes up, in order. */
static void add_part(const void *args, vt_span span) {
    const piece_plan *p = args;
    vt_kern *kern = p->run->kern->alone;
    for (int64_t task = span.begin; task < span.end; ++task) {
        const size_t begin = (size_t)task * ADDED, end = begin + ADDED;
        for (int i = 0; i < p->shared_count; ++i) {
            const shared_grad *s = &p->shared[i];
            const size_t from = s->at > begin ? s->at : begin;
            const size_t past = s->at + s->count < end ? s->at + s->count : end;
            for (int lane = 0; lane < p->lanes && from < past; ++lane)
                kern->axpby(kern, s->whole + (from - s->at), 1,
                            p->lane_grads + (size_t)lane * p->lane_floats + from, 1, past - from);
        }
    }
}

variant_status vt_block_backward_pieces(const vt_block_run *run, const vt_block_activations *kept,
                                        float *dx, float *dmod, vt_arena *arena,
                                        variant_error *err) {
    piece_plan p;
    const size_t mark = vt_arena_mark(arena);
    const vt_block_grad own = own_grads(run->block);
    if (!pieces_make(&p, run, kept))
        return vt_block_backward_bf16(run, kept, &own, dx, dmod, arena, err);
    p.dx = dx;
    p.dmod = dmod;
    share_all(&p);
    p.lane_grads = vt_arena_floats(arena, (size_t)p.lanes * p.lane_floats);
    const variant_status status = slots_take(&p, &own, arena, err);
    if (status == VARIANT_OK && !run->kern->dry) {
        const int64_t tasks = (int64_t)((p.lane_floats + ADDED - 1) / ADDED);
        vt_team_deal(run->kern->team, p.lanes, lanes_part, &p);
        vt_team_split(run->kern->team, tasks, add_part, &p);
    }
    vt_arena_rewind(arena, mark);
    return status;
}
