/* sweep_file.h - sweep.json: what a sweep was asked and what it found, every field of the file once.
 *
 * The members of these structs are the file's keys, letter by letter: sweep_file.c makes its tables of them, so
 * a key that nobody defined does not compile. The sweep (eval/sweep*.c) writes them; the planner
 * (plan_sweep.c), the report and `variant sweep` read them. docs/SWEEP.md says the same to users.
 *
 * What a file does not hold reads as: a text "", a number NAN, a whole number -1, a flag false, a list of count
 * 0; and what has that value is not written, but flags always are. Writing replaces fields and leaves those that it
 * does not know. Texts are borrowed from the JSON that they were read from. */
#ifndef VT_PLANNING_SWEEP_FILE_H
#define VT_PLANNING_SWEEP_FILE_H

#include <cjson/cJSON.h>

#include "core/status.h"

#define VT_SWEEP_FILE "sweep.json" /* in the sweep's folder */
/* The newest that is read, and what is written; 1, of files that do not say: scores without spreads. */
#define VT_SWEEP_FORMAT 2

/* The key of a member. */
#define VT_SWEEP_KEY(type, member) (sizeof(((type *)NULL)->member) ? #member : NULL)

typedef struct vt_sweep_list {
    int count;
    double at[VARIANT_MAX_SCALES];
} vt_sweep_list;

/* ---- what was asked ---- */

typedef struct vt_sweep_model {
    const char *name, *hash; /* as the user named it; variant_info's */
    bool synthetic;          /* weights by formula */
    int depth, width, classes;
    vt_sweep_list sides;
    int picture_side, channels;
    bool supernet;
    int bridge; /* of its training as a supernet */
    vt_sweep_list depths;
    double weight_bytes; /* a mapped file in full */
} vt_sweep_model;

typedef struct vt_sweep_machine {
    const char *processor, *backend, *kernels;
    int threads;
} vt_sweep_machine;

/* What quality means in this sweep. */
typedef struct vt_sweep_judged_by {
    const char *score; /* "FID(classifier)" */
    const char *network, *network_hash, *resize;
    int draws; /* of the bootstrap for the spreads */
    const char *reference, *split, *fit, *alpha;
    double reference_samples;   /* pictures */
    const char *reference_hash; /* of their contents */
} vt_sweep_judged_by;

typedef struct vt_sweep_settings {
    const char *weights, *kv; /* "f32", "bf16", "int8" */
    int batch, repeat;        /* pictures at a time; timed runs */
    const char *seed, *class;
    int top_k;
    double top_p;
    bool greedy, smooth, retain_kv;
    const char *decoder;        /* "full" (also where a file is older), "preview" */
    int pictures, samples;      /* kept for the report, judged; a point */
    const char *seeds;          /* "1,2,3": judged with each, not with seed */
    vt_sweep_judged_by quality; /* null in the file: none is measured */
} vt_sweep_settings;

typedef struct vt_sweep_file {
    int format;
    const char *variant, *command, *date; /* version; what repeats it; of the last point */
    vt_sweep_model model;
    vt_sweep_machine machine;
    vt_sweep_settings settings;
    const cJSON *points, *zones; /* lists of points */
} vt_sweep_file;

/* ---- what was found ---- */

/* Milliseconds a picture, its share of a batch. */
typedef struct vt_sweep_times {
    double picture_ms, transformer_ms; /* the second with condition_ms */
    double condition_ms, sampling_ms, quantizer_ms, decoder_ms;
    vt_sweep_list scale_ms; /* of the transformer, scale by scale */
} vt_sweep_times;

/* One timed run. */
typedef struct vt_sweep_timing {
    vt_sweep_times times;
    const char *disturbed; /* by what; "" (null in the file): by nothing */
} vt_sweep_timing;

/* What `variant eval --json` calls scores; eval/eval.h says what they are. */
typedef struct vt_sweep_scores {
    const char *name; /* of the distance: "FID(classifier)" */
    double frechet, frechet_spread, spatial_frechet, spatial_frechet_spread;
    const char *inception_score_name;
    double inception_score, inception_score_spread;
    double precision, precision_spread, recall, recall_spread;
    int neighbours, neighbours_samples;
    double class_share, class_share_spread, kid, kid_spread;
    int draws;
    double samples; /* pictures judged */
    const char *network, *network_hash, *reference;
    double reference_samples;
    const cJSON *warnings; /* a list of lines, or NULL */
    const char *warning;   /* of format 1, which knew one */
    const cJSON *seeds; /* of several: a list of {"seed", "scores"}; the numbers above are means */
} vt_sweep_scores;

typedef struct vt_sweep_point {
    const char *id; /* "d4-n2-equidistant-cfg1.5" */
    int depth;
    const char *zone; /* "3-4": only there fewer layers; "" ... */
    int bridge;       /* ... where this says how many scales run all of them */
    const char *selector;
    double cfg_scale;
    const char *depths; /* layers of every scale: "12,12,6" */
    const char
        *uncond_depths; /* of the unconditional branch, 0 where it does not run; "": no guidance, or
                                * by a version in which it ran those of `depths` */
    vt_sweep_list guidance; /* t of every scale; not said: from 0 to cfg_scale */
    double cfg_late;  /* factor on guidance where that branch is shallower; not said: it is not */
    int uncond_depth; /* asked for; 0: as depth; not said: left to the model */
    vt_sweep_times times;                  /* keys of their own: medians of the quiet runs ... */
    double picture_ms_min, picture_ms_max; /* ... and their extremes */
    bool disturbed;                        /* too few were quiet: the medians are of all */
    int disturbed_runs;
    const char *contradicts;            /* id of a faster point with more layers */
    double kv_peak_bytes, kv_end_bytes; /* of one batch, exact ... */
    double arena_bytes, memory_bytes;   /* ... the last with the weights */
    vt_sweep_list scale_kv_bytes, scale_layers;
    const char *warning;
    const char *pictures;    /* the strip's file */
    vt_sweep_scores quality; /* null in the file: not measured */
    bool full;               /* every layer at every scale: follows from the others, no key */
    const cJSON *json;       /* its object, with its runs */
} vt_sweep_point;

/* ---- reading ---- */

/* The file at `path`, checked as far as "a sweep, of a format that is known": an object with a model and points.
 * cJSON_Delete it. */
variant_status vt_sweep_file_read(cJSON **out, const char *path, variant_error *err);

/* Each of an object that may be NULL, which holds nothing: so a struct begins that is to be filled and put. */
void vt_sweep_file_view(vt_sweep_file *out, const cJSON *json);
void vt_sweep_judged_by_view(vt_sweep_judged_by *out, const cJSON *json);
void vt_sweep_scores_view(vt_sweep_scores *out, const cJSON *json);
/* model_depth decides what is `full`. */
void vt_sweep_point_view(vt_sweep_point *out, const cJSON *point, int model_depth);

/* Every point of a list; free() *out. */
variant_status vt_sweep_points_view(vt_sweep_point **out, int *count, const cJSON *list,
                                    int model_depth, variant_error *err);
/* Timed runs of a point; -1: written by a version that did not keep them. */
int vt_sweep_timing_count(const cJSON *point);
void vt_sweep_timing_view(vt_sweep_timing *out, const cJSON *point, int run);

/* ---- writing; E_MEMORY: the object may lack some ---- */

/* All but the lists of points. */
variant_status vt_sweep_file_put(cJSON *json, const vt_sweep_file *from, variant_error *err);
variant_status vt_sweep_judged_by_put(cJSON *json, const vt_sweep_judged_by *from,
                                      variant_error *err);
variant_status vt_sweep_scores_put(cJSON *json, const vt_sweep_scores *from, variant_error *err);
variant_status vt_sweep_point_put(cJSON *point, const vt_sweep_point *from, variant_error *err);
/* Behind the runs before. */
variant_status vt_sweep_timing_add(cJSON *point, const vt_sweep_timing *timing, variant_error *err);

#endif
