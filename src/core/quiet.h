/* quiet.h - was the machine ours while something was timed?
 *
 * A span is what happened between begin and end: time stolen by the hypervisor, time that this process's
 * threads waited for a processor, involuntary context switches, and a canary: a loop of known length, run
 * just before and just after, beside its best. Beyond the limits below a span is disturbed and says why.
 * Whoever times something keeps a span with each run, runs again while too few are quiet (bounded), and takes
 * medians of the quiet ones; where there are not enough, of all, and says so.
 *
 * More threads than processors preempt each other: waiting and switches then say nothing and are not looked at.
 *
 * VARIANT_WATCH=off in the environment takes every span for quiet, VARIANT_WATCH=always for disturbed. */
#ifndef VT_CORE_QUIET_H
#define VT_CORE_QUIET_H

#include <stdbool.h>
#include <stddef.h>

/* Counters, each growing from an unknown start; seconds. */
typedef struct vt_quiet_reading {
    double clock;  /* monotonic */
    double stolen; /* from all processors together; in steps of 10 ms */
    double waited; /* by threads of this process that could have run; 0: the system does not say */
    double slices; /* how often they were given a processor */
    double switches; /* how often one was taken from them */
} vt_quiet_reading;

/* Where readings come from: the system, or a test. */
typedef struct vt_quiet_source {
    vt_quiet_reading (*read)(void *user);
    double (*canary)(void *user); /* seconds of the loop, now */
    void *user;
    int machine,
        usable; /* processors: all, whose stolen time is counted; that this process may use */
} vt_quiet_source;

typedef struct vt_quiet {
    vt_quiet_source source;
    int threads;
    double canary_best;
    vt_quiet_reading begun, window; /* of steal, which is counted coarsely */
    double canary_before;
    bool off, always;
} vt_quiet;

typedef struct vt_quiet_span {
    double seconds;
    double stolen;   /* share of all processors' time */
    double waited;   /* share of the span that a thread waited, on average */
    double switches; /* a second and thread */
    double canary;   /* seconds; the slower of both */
} vt_quiet_span;

/* The system's readings, its canary a loop of scalar arithmetic. */
vt_quiet_source vt_quiet_system(void);
double vt_quiet_canary(void *user); /* that loop; user is not read */
/* Calibrates the canary: some milliseconds. `source` NULL: the system. Nothing to close. */
void vt_quiet_open(vt_quiet *quiet, int threads, const vt_quiet_source *source);
void vt_quiet_begin(vt_quiet *quiet);
vt_quiet_span vt_quiet_end(vt_quiet *quiet);

/* By the canary's best of today: a span may become disturbed when a better one is found. */
bool vt_quiet_is_disturbed(const vt_quiet *quiet, const vt_quiet_span *span);
int vt_quiet_count(const vt_quiet *quiet, const vt_quiet_span *spans, int count);

/* How many quiet runs are enough where `wanted` are asked for: half of them, at most 3. */
int vt_quiet_enough(int wanted);
/* Is another run due, after `count`? Never more than twice `wanted`. */
bool vt_quiet_wants_more(const vt_quiet *quiet, const vt_quiet_span *spans, int count, int wanted);
/* Indices of the runs to take medians of, and how many: the quiet ones where there are enough, else all. */
int vt_quiet_pick(const vt_quiet *quiet, const vt_quiet_span *spans, int count, int wanted,
                  int *picked, bool *disturbed);
/* "waited 34 % of the time for a processor, canary 1.8 times its best": the worst of the spans; "" if all are quiet. */
void vt_quiet_why(const vt_quiet *quiet, const vt_quiet_span *spans, int count, char *out,
                  size_t size);

#endif
