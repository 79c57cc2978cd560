/* forecast.h - when a request would be finished if nothing else came. Policy alone: no threads, no clock, nothing of HTTP.
 *
 * Tasks share steps: each step takes every picture at work one scale on, and costs what they cost one by one, times what
 * sharing has made of that so far (sv_pace). Between two steps those join, in order, whose memory fits. */
#ifndef VT_SERVE_FORECAST_H
#define VT_SERVE_FORECAST_H

#include <stdbool.h>
#include <stddef.h>

enum { SV_CROWDS = 6 };

/* Seconds that a step took, by what its pictures take alone: by how many there are (1, 2 to 3, 4 to 7 and on). */
typedef struct sv_pace {
    double ratio[SV_CROWDS];
} sv_pace;

void sv_pace_init(sv_pace *pace);
double sv_pace_of(const sv_pace *pace, int pictures);
/* A step of so many took so long instead of `alone`. */
void sv_pace_learn(sv_pace *pace, int pictures, double alone, double took);

typedef struct sv_task {
    const double *unit; /* (scales): seconds of one picture at each scale, alone; times ... */
    double factor;
    int left;  /* pictures that are not finished */
    int batch; /* of them at a time */
    int scale; /* that those at work have; 0 of a task that waits */
    size_t bytes;
    bool running;
} sv_task;

/* Seconds until tasks[which] is finished. Tasks stand in the order in which they begin; they are used up. memory: for all. */
double sv_forecast(sv_task *tasks, int count, int which, int scales, size_t memory,
                   const sv_pace *pace);

#endif
