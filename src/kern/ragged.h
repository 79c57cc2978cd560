/* ragged.h - finding one's way in the rows of a generation step (vt_ragged), for both backends. */
#ifndef VT_KERN_RAGGED_H
#define VT_KERN_RAGGED_H

#include "kern/kern.h"

static inline int vt_ragged_rows(const vt_ragged *ragged, int group) {
    return ragged->begin[group + 1] - ragged->begin[group];
}

/* The group that row `row` of all belongs to. */
static inline int vt_ragged_find(const vt_ragged *ragged, int64_t row) {
    int low = 0, high = ragged->groups - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (ragged->begin[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Neighbours of as many rows each: groups [first, first + groups), whose rows begin at `row`. Streams come sorted, so a
 * step has about as many runs as scales. */
typedef struct vt_ragged_run {
    int first, groups, rows, row;
} vt_ragged_run;

/* The run that begins with group `first`. */
static inline vt_ragged_run vt_ragged_run_at(const vt_ragged *ragged, int first) {
    vt_ragged_run run = {.first = first,
                         .groups = 1,
                         .rows = vt_ragged_rows(ragged, first),
                         .row = ragged->begin[first]};
    while (first + run.groups < ragged->groups &&
           vt_ragged_rows(ragged, first + run.groups) == run.rows)
        ++run.groups;
    return run;
}

/* The operation on group g alone, as if it had no others; its rows of q are the group's. */
static inline vt_qkv vt_ragged_qkv(const vt_qkv *a, int g) {
    const vt_stream_rows *kv = &a->ragged->kv[g];
    const size_t width = (size_t)a->heads * (size_t)a->head_dim, held = (size_t)kv->held,
                 begin = (size_t)a->ragged->begin[g], scales = held * (size_t)a->heads;
    vt_qkv one = *a;
    one.ragged = NULL;
    one.groups = 1;
    one.rows = vt_ragged_rows(a->ragged, g);
    one.qkv = a->qkv ? a->qkv + begin * 3 * width : NULL;
    one.q = a->q + begin * width;
    one.k = (char *)kv->k + held * width * vt_number_size(a->kv_type);
    one.v = (char *)kv->v + held * width * vt_number_size(a->kv_type);
    one.kv_stride = width;
    one.k_scale = kv->k_scale ? kv->k_scale + scales : NULL;
    one.v_scale = kv->v_scale ? kv->v_scale + scales : NULL;
    return one;
}

/* Likewise; *q_end and *k_end receive its rows and keys, for the length of the result's life. */
static inline vt_attention vt_ragged_attention(const vt_attention *a, int g, int *q_end,
                                               int *k_end) {
    const vt_stream_rows *kv = &a->ragged->kv[g];
    const size_t begin = (size_t)a->ragged->begin[g];
    vt_attention one = *a;
    *q_end = vt_ragged_rows(a->ragged, g);
    *k_end = kv->held + *q_end;
    one.ragged = NULL;
    one.groups = one.segments = 1;
    one.q_end = q_end;
    one.k_end = k_end;
    one.q = a->q + begin * a->q_stride;
    one.out = (char *)a->out + begin * a->out_stride * vt_number_size(a->out_type);
    one.k = kv->k;
    one.v = kv->v;
    one.k_scale = kv->k_scale;
    one.v_scale = kv->v_scale;
    one.kv_stride = (size_t)a->heads * (size_t)a->head_dim;
    return one;
}

/* The most keys that a group sees. */
static inline int vt_ragged_keys(const vt_ragged *ragged) {
    int most = 0;
    for (int g = 0; g < ragged->groups; ++g) {
        int keys = ragged->kv[g].held + vt_ragged_rows(ragged, g);
        most = keys > most ? keys : most;
    }
    return most;
}

#endif
