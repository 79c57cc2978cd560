/* progress.h - how long something will still take, said only once that is worth something: the first
 * units pay for memory, caches and threads, and a guess from them is wrong by a factor.
 * Used by the commands that print a live line. */
#ifndef VT_CLI_PROGRESS_H
#define VT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Pace over the last one to two minutes; zeroed to begin with. Units are whatever the caller counts:
 * steps, pictures, batches. */
typedef struct cli_pace {
    double since, from;       /* time and units where the pace is measured from */
    double later, later_from; /* what takes their place once that is a minute old */
    double last;              /* units at the last call: fewer means another round */
    int calls;
} cli_pace;

/* Of a clock that only goes on. */
double cli_now(void);
/* Seconds that the rest of `total` units takes when `done` are done at time `now` (seconds of any
 * clock; called as often as one likes, first after the first unit). Below 0: too early to tell, that
 * is before 3 seconds and 2 units have passed since the first call. */
double cli_pace_left(cli_pace *pace, double now, double done, double total);

/* The line that a long command shows of where it is: on a terminal drawn again and again, at most five times a second;
 * elsewhere a line of its own every half minute, so that a log shows that something goes on. */
typedef struct cli_live {
    bool terminal, drawn; /* stderr is one; a line stands there */
    double shown;         /* when the last one was, or the command began */
} cli_live;

void cli_live_open(cli_live *live);
/* Shows "variant COMMAND: line" (on a terminal the line alone) if it is time to. */
void cli_live_show(cli_live *live, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes away what stands on a terminal, for other lines and at the end. */
void cli_live_clear(cli_live *live);

/* "42s", "3m05s", "2h07m", "4d11h" into out. */
void cli_time_text(double seconds, char *out, size_t size);
/* "  3m05s left" into out; nothing while it is too early to tell, or at the end. */
void cli_left_text(double seconds, char *out, size_t size);

#endif
