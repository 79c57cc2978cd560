/* scheduler.h - the engine's thread: jobs join the loop and leave it between its steps, as memory and their order allow. */
#ifndef VT_SERVE_SCHEDULER_H
#define VT_SERVE_SCHEDULER_H

#include "serve/server.h"

/* Puts a measured job into the queue: the server's list holds it from then on. False: the queue is full, or the server is
 * about to end. Takes the lock. */
bool sv_submit(sv_job *job, sv_fault *fault);
/* Its place in the queue, from 1; 0: it waits no more. The lock is held. */
int sv_queue_place(const sv_job *job);
/* NULL, or whoever has this name. The lock is held. */
sv_job *sv_job_find(sv_server *server, const char *id);
/* Ends jobs whose deadline is over; forgets finished ones whose time or room is over. The lock is held. */
void sv_jobs_tidy(sv_server *server);

typedef struct sv_engine_thread {
    sv_server *server;
    pthread_t thread;
    bool started;
} sv_engine_thread;

variant_status sv_engine_start(sv_engine_thread *out, sv_server *server, variant_error *err);
/* Once the server stops: returns when no job is at work any more. */
void sv_engine_join(sv_engine_thread *thread);

#endif
