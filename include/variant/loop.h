/* variant/loop.h - requests that share steps: any number of them in the making at once, added and cancelled at any time. */
#ifndef VARIANT_LOOP_H
#define VARIANT_LOOP_H

#include <stdbool.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/generate.h>
#include <variant/picture.h>

VARIANT_BEGIN

/* Any requests, of any depths, added at any time: each step takes every picture in the making one scale on, and reads the
 * weights once for all. What a request makes is what variant_generate makes of it, to the byte. One thread at a time may
 * use a loop and its jobs, but for variant_job_cancel; several loops of one engine may run at once. */
typedef struct variant_loop variant_loop;
typedef struct variant_job variant_job; /* a request in a loop */

/* Threads: any. */
variant_status variant_loop_open(variant_loop **out, const variant_engine *engine,
                                 variant_error *error);
/* Ends the jobs that were not taken as well. Threads: one. */
void variant_loop_close(variant_loop **loop);
/* The request's callbacks and cancel flag must live until the job is done, what else it points to for this call. An error
 * is this request's alone. A callback may add to its loop and cancel its jobs; a step or a take inside one is E_ARGUMENT,
 * and nothing has changed; it must not close the loop. Threads: one. */
variant_status variant_loop_add(variant_loop *loop, const variant_request *request,
                                variant_job **job, variant_error *error);
/* One scale of every picture in the making; *running (or NULL): jobs that are not done yet, 0 when there is nothing left
 * to do. A request that cannot go on (no memory for its pictures, cancelled, a model that makes no numbers) ends with its
 * own error and the others go on; an error of the step itself ends all and is returned.
 * Threads: one. */
variant_status variant_loop_step(variant_loop *loop, int *running, variant_error *error);
/* Threads: one. */
bool variant_job_done(const variant_job *job);
/* Ends the job before the next step, whatever it is at; from any thread. Threads: any. */
void variant_job_cancel(variant_job *job);
/* Ends the job and takes what it made: as variant_generate gives it, *pictures to be freed alike; report and error may be
 * NULL. Its seconds are those of the steps that carried it, others' rows included. A job that is not done: E_STOPPED.
 * Threads: one. */
variant_status variant_job_take(variant_job **job, variant_picture **pictures,
                                variant_report *report, variant_error *error);

VARIANT_END

#endif
