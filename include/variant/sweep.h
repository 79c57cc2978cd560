/* variant/sweep.h - what each depth costs, and what it is worth: a folder of measured schedules, which planning reads. */
#ifndef VARIANT_SWEEP_H
#define VARIANT_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/data.h>
#include <variant/engine.h>
#include <variant/generate.h>

VARIANT_BEGIN

typedef struct variant_sweep_progress {
    int round, rounds; /* the one at work, from 1; as many as timed runs */
    int point, points; /* that have had this round; wanted */
    double share;      /* of all work, 0 to 1; what the folder held already counts as done */
    const char *id;    /* of the point at work; "" at the end */
} variant_sweep_progress;

/* Points are all combinations of the lists; an empty one is what the model suggests, or what the request says. Lists have up to 32
 * entries and are borrowed for the length of the call. */
typedef struct variant_sweep_options {
    size_t size; /* variant_sweep_options_init sets it */
    const char *
        folder; /* sweep.json, sweep.csv, report.html; required. One that holds part of the same sweep is gone on with */
    const char *name;    /* what the report calls the model; NULL: its hash */
    const char *command; /* what the report says repeats this; NULL */
    const int *
        depths; /* layers of the late scales; none: all, and those trained, or a half, a quarter, an eighth */
    int depth_count;
    const int
        *bridges; /* scales at full depth before them; none: the model's own, 2 fewer, 2 more */
    int bridge_count;
    const char *const *selectors; /* "equidistant", "rounded", "prefix"; none: as trained */
    int selector_count;
    const double *cfg_scales; /* classifier-free guidance; none: the request's */
    int cfg_count;
    const int *uncond_depths; /* as variant_request.uncond_depth; none: the request's */
    int uncond_count;
    const double *cfg_lates;
    int late_count;
    const int *
        zones; /* (zone_count, 2): first and last scale, from 1, of zones that run zone_depth layers alone */
    int zone_count;
    int zone_depth; /* 0: the least of depths */
    int repeat;     /* timed runs a point */
    int pictures;   /* of the same seeds kept at each point for the report */
    /* quality: real pictures or statistics, as variant_judge_reference takes them; NULL: times and memory alone */
    const variant_data *reference;
    int reference_count;
    int samples; /* judged at each point */
    const char *
        features; /* the network; NULL: the folder of the model that the engine was opened from has it, if `model` says so */
    const char *model; /* that folder; NULL */
    const char *resize;
    int draws;
    const uint64_t *seeds; /* judged with each of these; none: the request's */
    int seed_count;
    const char *backend; /* of the network */
    int threads;
    bool (*progress)(void *user,
                     const variant_sweep_progress *at); /* false stops with E_STOPPED; NULL */
    void (*note)(void *user, const char *line);         /* NULL */
    void *user;
    const int *cancel; /* as variant_request.cancel; NULL */
    /* what is being done beside the points ("reference", "spread"), so many of so many; false stops with E_STOPPED; NULL */
    bool (*doing)(void *user, const char *doing, int done, int total);
} variant_sweep_options;
#define VARIANT_SWEEP_LIST 32 /* entries of a list, at most */
/* repeat 5, pictures 8, samples 2000, draws -1. */
VARIANT_SIZED(variant_sweep_options);

/* Runs what the folder does not hold yet, with the request's seed, sampling and batch (0: 1). The folder is what
 * variant_plan_options.sweep takes. What was finished when it stopped is kept, and the same call goes on. E_MISMATCH: the folder holds
 * a sweep with other settings. Threads: any, each sweep in a folder of its own. */
variant_status variant_sweep(const variant_engine *engine, const variant_request *request,
                             const variant_sweep_options *options, variant_error *error);

/* A point of a sweep, as its folder holds it. NAN: not measured. */
typedef struct variant_sweep_point {
    const char *id;     /* "d4-n2-equidistant-cfg1.5", "zone3-4-d2-equidistant-cfg1.5" */
    const char *depths; /* layers of every scale: "12,12,6" */
    double picture_ms, transformer_ms, decoder_ms; /* medians */
    double kv_peak_bytes, memory_bytes;            /* of a batch; the second with the weights */
    const char *score;                             /* what its distance is called; "": no quality */
    double distance, distance_spread;
    char doubt[200]; /* why its times are not to be trusted; "" */
} variant_sweep_point;

/* All of a folder, made by the library: variant_sweep_results_free. */
typedef struct variant_sweep_results {
    int point_count, zone_count;
    const variant_sweep_point *const *points; /* (point_count) */
    const variant_sweep_point *const *zones; /* (zone_count): one zone of scales ran fewer layers */
} variant_sweep_results;

/* What variant_sweep left in the folder. E_IO, E_FORMAT: no sweep's folder. Threads: any. */
variant_status variant_sweep_read(variant_sweep_results **out, const char *folder,
                                  variant_error *error);
/* Threads: one. */
void variant_sweep_results_free(variant_sweep_results **results);
/* Makes the folder's report.html again from its sweep.json. Threads: any, each a folder of its own. */
variant_status variant_sweep_report(const char *folder, variant_error *error);

VARIANT_END

#endif
