/* together.h - a training that several ranks compute: each its part of every batch, and what makes one step of them.
 *
 * Gradients lie in one run (nn/params.h), which is cut from its end into buckets: backward comes to the last parameters first.
 * A bucket whose gradients are whole is summed over the ranks while the layers before it are still computed (dist/ranks.h), and
 * each rank has the sums of its share of every bucket. From there two ways lead to the same weights, to the bit:
 *
 *     sharded   a rank updates its shares alone, whose moments nobody else has (ZeRO's first stage, arXiv 1910.02054), and
 *               the new values are spread;
 *     whole     the sums are spread, and every rank updates everything.
 *
 * Either way 2 (N - 1) / N of the parameters are sent by each rank in a step. Sums are made in the order of ranks, and
 * the norm by which gradients are clipped in the order of shares, so that all have the same to the bit.
 *
 * Used by loop.c, run.c, checkpoint.c and trainers that have more than gradients to tell each other. */
#ifndef VT_TRAIN_TOGETHER_H
#define VT_TRAIN_TOGETHER_H

#include "dist/ranks.h"
#include "train/optimizer.h"

typedef struct vt_together {
    variant_ranks *ranks; /* NULL: one process, and nothing below is there */
    int rank, count;
    vt_wire wire;
    bool sharded;
    vt_kern *kern;
    vt_params *params;
    float *values; /* the run of all values, as params->gradients is that of gradients */
    size_t bucket; /* numbers in each but the last, which is the beginning of the run */
    int buckets;
    int started; /* buckets, from the end of the run */
    vt_ranks_sums *sums;
    vt_share *parts; /* (count), while something is collected */
    /* seconds since the last line of the log: in which gradients travelled, and in which they were waited for */
    double exchanged, waited;
    int64_t last; /* ticket */
    void *scratch;
    /* Parameters, or parts of them, of which this rank has the sums: (runs) each. m, v NULL unless sharded. */
    int runs;
    vt_floats *value, *grad, *m, *v;
    const vt_param **of;
    float *decays;   /* weight decay */
    double *squares; /* backend memory */
    void *memory;    /* likewise: squares, moments */
    size_t memory_bytes, moment_bytes, host_bytes;
} vt_together;

/* For a model that has gradients (vt_params_train), its moments with vt_params.shares_moments left to this; once `ranks`, `wire`
 * and `sharded` are set. */
variant_status vt_together_open(vt_together *together, vt_params *params,
                                const vt_optimizer_options *options, variant_error *err);
/* The opposite; ranks, wire and sharded stay. */
void vt_together_close(vt_together *together);

/* A step begins. measure: what the wire loses is measured in it. */
void vt_together_begin(vt_together *together, bool measure);
/* Gradients from here on to the end of the run will not change any more in this step. */
void vt_together_reached(vt_together *together, const float *gradient);
/* Whatever backward does from here on is the last of the step: it tells what is whole (vt_params.watch). */
void vt_together_watch(vt_together *together);
/* All of them; returns when this rank has the sums of its shares. */
void vt_together_finish(vt_together *together);
/* The loss of all ranks' parts together; what all return is the first failure. */
variant_status vt_together_say(vt_together *together, double *loss, variant_status status,
                               variant_error *err);
/* L2 norm of the sums, on all ranks. */
variant_status vt_together_norm(vt_together *together, double *norm, variant_error *err);
/* The whole sums reach all ranks. */
void vt_together_spread_gradients(vt_together *together);
/* Values of all ranks follow from their shares of sums. */
variant_status vt_together_update(vt_together *together, const vt_optimizer_options *options,
                                  double lr, int64_t step, double norm, variant_error *err);
/* ---- moments, of which each rank has its shares: m, or with `second` v ---- */

/* Whole, in the first rank's memory, as the backend has them (param->count); all ranks call it together. */
void vt_together_collect(vt_together *together, const vt_param *param, bool second, float *whole);
/* What of the whole is this rank's. */
void vt_together_keep(vt_together *together, const vt_param *param, bool second,
                      const float *whole);
/* Zero again, of numbers [at, at + n) of the parameter; of one process, too. */
void vt_together_forget(vt_together *together, vt_kern *kern, const vt_param *param, size_t at,
                        size_t n);

/* What the wire lost in a step that measured it: the norm of the difference over that of the sums; on all ranks. */
double vt_together_wire_error(vt_together *together);

#endif
