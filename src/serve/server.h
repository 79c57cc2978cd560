/* server.h - what the rooms of serve/ share: jobs, calls, memory, counters, under one lock. */
#ifndef VT_SERVE_SERVER_H
#define VT_SERVE_SERVER_H

#include <pthread.h>

#include "serve/guard.h"
#include "serve/job.h"
#include "serve/metrics.h"
#include "serve/model.h"
#include "serve/serve.h"

struct sv_call;
struct sv_link;

/* The model file opened again: all but `ended` is the caller's thread's. */
typedef struct sv_reload {
    pthread_t thread;
    bool wanted, running;
    bool ended; /* under the lock */
} sv_reload;

/* Connections, by their state; each state's in the order in which they last moved. */
enum { SV_LINK_STATES = 5, SV_ADDRESSES = 1024 };
typedef struct sv_line {
    struct sv_link *first, *last;
} sv_line;
typedef struct sv_links {
    sv_line lines[SV_LINK_STATES];
    int count;                    /* without those that are ended already */
    int held;                     /* with them */
    int most;                     /* that were held since memory was given back */
    int by_address[SV_ADDRESSES]; /* of count, by the hash of their address */
} sv_links;

/* Calls whose pictures are read or written beside the HTTP threads (aside.h). */
typedef struct sv_asides {
    pthread_t thread;
    pthread_cond_t more;
    struct sv_call *first; /* that waits */
    bool started, ends;
} sv_asides;

typedef struct sv_server {
    const vt_serve_options *options;
    sv_guard guard;
    int socket; /* that a service manager handed over; -1: none */
    time_t started_at;

    pthread_mutex_t lock;
    pthread_cond_t work;   /* the engine's thread has something to do */
    sv_model *model;       /* that new requests take ... */
    sv_model *old;         /* ... and the one of before, while it has users (reload.h); NULL */
    sv_job *jobs;          /* all: waiting, at work, kept */
    struct sv_call *calls; /* requests being answered */
    sv_links links;
    sv_asides asides;
    uint64_t arrivals;
    size_t program;  /* bytes that were resident before the model was opened */
    size_t memory;   /* bytes in all, but for those */
    size_t budget;   /* of them for jobs at work ... */
    size_t reserved; /* ... and of them taken */
    size_t inbox;    /* bytes of bodies that are held */
    int queued, running;
    int held_back;          /* requests that found no room before the step at hand */
    sv_adapt adapt;         /* fewer layers while much waits */
    sv_rhythm rhythm;       /* seconds of a picture */
    uint64_t made;          /* pictures, so far */
    sv_pace step_pace;      /* what sharing makes of steps */
    int interrupt;          /* set atomically: a measurement of times ends */
    unsigned times_version; /* measurements that have ended */
    double last_end;        /* of a job, or when work began */
    bool draining, stopping, closing;
    sv_reload reload;
    sv_metrics metrics;
} sv_server;

/* Wakes the calls that wait for this job. The lock is held. http.c */
void sv_wake(sv_job *job);

#endif
