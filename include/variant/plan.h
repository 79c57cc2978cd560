/* variant/plan.h - a budget of memory or time to a schedule, and how long a request takes. */
#ifndef VARIANT_PLAN_H
#define VARIANT_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/generate.h>

VARIANT_BEGIN

typedef struct variant_plan_options {
    size_t size; /* variant_plan_options_init sets it */
    /* weights, activations, keys and values; where pictures are edited their copies, masks and seams and a batch's finished
     * pictures as well; 0: no limit */
    size_t max_bytes;
    size_t other_bytes; /* what the caller holds beside them, of the same limit */
    double max_seconds; /* of a batch once the model is loaded; 0: no limit */
    /* "high": all layers; "balanced": half of them after the model's own bridge; "fast": a quarter.
     * With a sweep: the best; the fastest within 5 % of the best; within 25 %. What the limits
     * forbid gives way to the best below it. NULL: the best within the limits */
    const char *quality;
    const char *sweep; /* what `variant sweep` measured: its folder or sweep.json; NULL */
    bool auto_batch;   /* as many pictures at a time as fit, up to request.count and 64 */
    /* do not ask for the time: plan.seconds is 0, and nothing is measured where no time is needed
     * to choose */
    bool memory_only;
    /* folder of measured times; NULL: $XDG_CACHE_HOME/variant or ~/.cache/variant; "": none */
    const char *cache;
    bool remeasure; /* whatever the cache holds */
    /* measured or read by earlier calls, and asked before the cache; what this call measures goes there too; NULL */
    struct variant_times *times;
    bool kept_only; /* measure nothing: E_UNSUPPORTED where times are needed that nobody measured */
} variant_plan_options;

/* No limit, nothing else. */
VARIANT_SIZED(variant_plan_options);

typedef struct variant_plan {
    size_t size;        /* variant_plan_init sets it */
    bool fits;          /* false: what follows is the schedule that misses the limits least */
    int bridge, depth;  /* scales at full depth, layers of the others */
    const char *layers; /* selector: "equidistant", "rounded" or "prefix" */
    int uncond_depth;   /* for the request: -1 (as it or the model says), 0 (as depth) or layers */
    float cfg_late;     /* likewise; -1: as it or the model says */
    /* layers of the unconditional branch at every scale, where they are not the conditional's; else "" */
    char uncond_depths[VARIANT_MAX_SCALES * 4];
    int batch;         /* pictures at a time that the costs are for */
    size_t bytes;      /* of what max_bytes limits; exact */
    double seconds;    /* of a batch once the model is loaded; predicted from measured layers */
    double kept;       /* mean over scales of the share of layers run */
    int considered;    /* schedules compared */
    bool measured;     /* the times were measured by this call and not found in the cache ... */
    bool disturbed;    /* ... while other work got in the way: the next call measures again */
    bool has_distance; /* from a sweep: */
    double distance;   /* its Frechet distance, less is better ... */
    double
        distance_spread; /* ... the distance's standard deviation; 0: the sweep does not say ... */
    char score[64];      /* ... and what it is called there: "FID(classifier)" */
    char why[192];       /* what made it the one: "keeps most layers of 13 schedules" */
    char warning[512];   /* "" or one line for the user */
} variant_plan;
/* All 0. */
VARIANT_SIZED(variant_plan);

/* The best schedule within the limits: of those measured by options->sweep the one of the least
 * distance, or, where others are as good within the spreads of both, the one of these that keeps
 * most layers; without a sweep, the one that keeps most layers, every scale counting alike (of a
 * supernet only trained depths). The unconditional branch is the one that the request names or, where it names none, the
 * model's own; a sweep may know a better one, and a limit may need a shallower one. The request gives batch (0: 8, at most
 * count), count, guidance and selector; its depth, bridge and depths are not read. Times come from the cache, or from a few
 * batches generated here. Threads: any. */
variant_status variant_plan_make(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan *plan,
                                 variant_error *error);
/* All schedules that variant_plan_make would choose among, each with its costs: *plans is an array of *count pointers, to free()
 * with all that it points to as one. `fits` is of each; `why` is empty. Threads: any. */
variant_status variant_plan_list(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan ***plans,
                                 int *count, variant_error *error);
/* Times in memory, for plans one after another of any engines. Threads may share it; it must outlive the calls. */
typedef struct variant_times variant_times;
/* Threads: any. */
variant_status variant_times_open(variant_times **out, variant_error *error);
/* Threads: one. */
void variant_times_close(variant_times **times);

/* How long a request takes once the model is loaded and nothing else is at work, predicted as a plan's seconds are. */
typedef struct variant_seconds {
    size_t size;                      /* variant_seconds_init sets it */
    double total;                     /* of a batch: request.batch pictures (0: 8), at most count */
    double scale[VARIANT_MAX_SCALES]; /* of it, the layers at each scale ... */
    double rest;                      /* ... and heads, sampling, decoder */
    bool disturbed;                   /* as in variant_plan */
} variant_seconds;
/* All 0. */
VARIANT_SIZED(variant_seconds);

/* Of the options cache, times, remeasure and kept_only are asked. Threads: any. */
variant_status variant_request_seconds(const variant_engine *engine, const variant_request *request,
                                       const variant_plan_options *options,
                                       variant_seconds *seconds, variant_error *error);

/* Puts the plan's schedule and batch into a request. Threads: one. */
void variant_plan_apply(const variant_plan *plan, variant_request *request);

VARIANT_END

#endif
