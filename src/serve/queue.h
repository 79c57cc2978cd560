/* queue.h - which waiting request begins next. Policy alone: no threads, no clock, nothing of HTTP.
 *
 * First is whose deadline is nearest, then who came first. Where the first does not fit into the memory that is left, one
 * behind it that fits goes by, but no request is passed more than SV_MOST_PASSES times: then all wait until there is room
 * for it. So many small ones do not starve a large one, nor a large one the small. */
#ifndef VT_SERVE_QUEUE_H
#define VT_SERVE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

enum { SV_MOST_PASSES = 8 };

typedef struct sv_waiting {
    double deadline; /* on the clock of whoever asks; 0: none */
    uint64_t number; /* of arrival */
    size_t bytes;    /* that it takes while it is at work */
    int *passed;     /* so many went by; counted here */
} sv_waiting;

/* The place of the one to begin with `left` bytes, or -1. Sorts the list. */
int sv_queue_pick(sv_waiting *list, int count, size_t left);

/* Seconds after which it is worth asking again: what `waiting` requests take at `pace` seconds each, 1 to 60. */
int sv_queue_retry_after(int waiting, double pace);

#endif
