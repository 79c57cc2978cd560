/* latency.h - requests that name a latency instead of a depth: which schedule the load at this moment allows.
 *
 * How long a picture takes alone comes from measured times (variant_request_seconds): those kept of another run, or measured
 * by the engine's thread while nobody is served, once somebody asks; a request that comes in ends the measurement. What
 * sharing makes of them is learned from every step (forecast.h). */
#ifndef VT_SERVE_LATENCY_H
#define VT_SERVE_LATENCY_H

#include "serve/fault.h"
#include "serve/forecast.h"

struct sv_call;
struct sv_job;
struct sv_model;
struct sv_server;

/* With guidance, and without: two tables. */
enum { SV_GUIDED, SV_PLAIN, SV_TABLES };

typedef struct sv_times {
    variant_times *kept;
    bool wanted[SV_TABLES], known[SV_TABLES], disturbed[SV_TABLES];
    double measured[SV_TABLES]; /* when; 0: by another run */
} sv_times;

/* What is known already, of another run or of planning. */
void sv_times_look(struct sv_model *model);
/* Does somebody wait for times? The lock is held. */
bool sv_times_wanted(const struct sv_model *model);
/* Measures them, on the engine's thread. The lock is held, but for the measuring. */
void sv_times_measure(struct sv_model *model);
/* Ends a measurement: there is work. The lock is held. */
void sv_times_interrupt(struct sv_server *server);
/* Likewise, and nobody waits for it any longer: the server is about to end. */
void sv_times_give_up(struct sv_server *server);
/* Times for requests like this one: false with a fault, or without one and call->later set: ask again once woken. */
bool sv_times_ready(struct sv_call *call, const variant_request *request, sv_fault *fault);
/* Has the measurement that the call waits for ended? The lock is held. */
bool sv_times_ended(const struct sv_call *call);
/* Seconds of one picture at each scale, alone; false: not known. */
bool sv_times_unit(struct sv_model *model, const variant_request *request, double *unit);
/* Of the next step of all at work, if each picture were alone; 0: not known. The lock is held. */
double sv_times_step(const struct sv_server *server, int *pictures);

/* What a latency allows. */
typedef struct sv_choice {
    variant_plan plan; /* fits: the latency can be kept */
    double seconds;    /* until all pictures are there, foretold ... */
    double alone;      /* ... and if nothing else were at work */
    int before;        /* requests at work or ahead in the queue */
} sv_choice;

/* For a request that came `since` seconds ago, with times known; max_bytes 0: no limit. False with a fault. */
bool sv_latency_choose(struct sv_model *model, const variant_request *request, double latency,
                       double since, size_t max_bytes, sv_choice *out, sv_fault *fault);
/* Puts the schedule into the job's wish where that names a latency. False as sv_times_ready, or since it cannot be kept. */
bool sv_latency_plan(struct sv_call *call, struct sv_job *job, sv_fault *fault);

#endif
