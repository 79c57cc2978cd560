/* jobs.h - requests on one loop: whose pictures join and leave, what each has so far, and how each ends. What a step is, is
 * generate.c's. Private to engine/. */
#ifndef VT_ENGINE_JOBS_H
#define VT_ENGINE_JOBS_H

#include <stdatomic.h>

#include "engine/request.h"

/* One request. Its pictures join `choices.batch` at a time; those at hand stand at one scale. */
struct variant_job {
    struct variant_loop *loop;
    variant_job *next;
    vt_choices choices;
    variant_picture *pictures; /* (count) */
    variant_report report;
    vt_drawing **drawings; /* (batch): of the batch at hand */
    int live;              /* so many of them */
    int begun;             /* pictures that have joined, the batch at hand included */
    int scale;             /* at which the batch at hand stands */
    bool done;
    variant_status status; /* once done */
    variant_error error;
    atomic_int cancelled;
    double start;
};

struct variant_loop {
    const variant_engine *engine;
    vt_loop loop;
    variant_job *jobs;     /* in the order they were added */
    vt_sample_part *parts; /* room of generate.c, (capacity) */
    int32_t *tokens;       /* likewise, (2 token_capacity): chosen ones, known ones */
    size_t capacity, token_capacity;
    bool stepping; /* a callback may be under way: no step, and no job is taken */
};

/* Ends jobs that were cancelled, and lets the next pictures of the others join. Returns how many are in the making. */
int vt_jobs_begin(variant_loop *loop);
/* After a step: every job's report, pictures, callbacks; those that have all their pictures end. `before`: the loop's
 * seconds before it. */
void vt_jobs_advance(variant_loop *loop, const vt_loop_seconds *before);
/* A step that failed fails them all. */
void vt_jobs_fail(variant_loop *loop, variant_status status, const variant_error *error);

#endif
