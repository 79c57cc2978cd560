/* kern_run.h - buffers of one run of kern operations: made from a seed, outputs start as NaN, each
 * ends in a canary, all checked and freed together. Included by test_kern.c and test_kern_slopes.c
 * after cmocka.h. */
#ifndef VT_TESTS_KERN_RUN_H
#define VT_TESTS_KERN_RUN_H

#include "kern/kern.h"

enum { CANARY = 16, MOST_BUFFERS = 64, MOST_RECORDS = 16 };
static const float canary = 12345.678f;

/* ---- one run of a case: its buffers and what it recorded ---- */

typedef struct record {
    float *data;
    size_t n;
} record;

typedef struct run {
    vt_kern *kern;
    uint64_t state; /* of the random numbers */
    float *buffers[MOST_BUFFERS];
    size_t sizes[MOST_BUFFERS];
    int buffer_count;
    record records[MOST_RECORDS];
    int record_count;
} run;

static inline double draw(run *r) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(r->state >> 11) * 0x1p-53;
}

/* n floats of NaN and the canary behind them. */
static inline float *output(run *r, size_t n) {
    assert_true(r->buffer_count < MOST_BUFFERS);
    float *x = malloc((n + CANARY) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = NAN;
    for (size_t i = n; i < n + CANARY; ++i) x[i] = canary;
    r->sizes[r->buffer_count] = n;
    r->buffers[r->buffer_count++] = x;
    return x;
}

/* Floats that hold so many bytes. */
static inline size_t floats_in(size_t bytes) {
    return (bytes + sizeof(float) - 1) / sizeof(float);
}

/* n floats in [-1, 1), times `size`. */
static inline float *input(run *r, size_t n, double size) {
    float *x = output(r, n);
    for (size_t i = 0; i < n; ++i) x[i] = (float)((2 * draw(r) - 1) * size);
    return x;
}

static inline void keep(run *r, const float *x, size_t n) {
    assert_true(r->record_count < MOST_RECORDS);
    record *to = &r->records[r->record_count++];
    to->n = n;
    to->data = malloc((n + 1) * sizeof *to->data);
    assert_non_null(to->data);
    memcpy(to->data, x, n * sizeof *x);
}

static inline void run_close(run *r) {
    for (int i = 0; i < r->buffer_count; ++i) {
        for (size_t j = 0; j < CANARY; ++j) {
            if (r->buffers[i][r->sizes[i] + j] != canary)
                fail_msg("buffer %d: written past its end", i);
        }
        free(r->buffers[i]);
    }
    for (int i = 0; i < r->record_count; ++i) free(r->records[i].data);
}

#endif
