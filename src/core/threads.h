/* threads.h - a team of threads that shares out the loops of one caller.
 *
 * The caller of a loop works too, and waits for nobody who has not begun: pieces of work are claimed, not
 * assigned, so a worker that the system does not run in time (other programs, a quota, a deep sleep) costs
 * nothing but its help. That is what keeps a loop of microseconds from waiting for milliseconds on a busy
 * machine. Workers wait for the next loop by a short spin, then asleep; so does a caller for a worker that is
 * amid a piece.
 *
 * What a piece computes must not depend on who claims it: then any number of threads gives the same bytes.
 * Used by the cpu backend (kern/cpu), and through vt_kern.team by whoever has work for its threads. */
#ifndef VT_CORE_THREADS_H
#define VT_CORE_THREADS_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/status.h"

typedef struct vt_team vt_team;

/* Tasks [begin, end) of a loop, claimed by thread `thread` (0: the caller; below vt_team_size): its place among rooms
 * that are kept one a thread. */
typedef struct vt_span {
    int64_t begin, end;
    int thread;
} vt_span;

typedef void vt_part(const void *args, vt_span span);

#define VT_TEAM_MOST 4096

/* A team of `size` threads, the caller's own among them: 1 to VT_TEAM_MOST. The others start with the first loop that
 * wants them, with all signals but SIGBUS blocked; where the system refuses to start one, the team does without. */
variant_status vt_team_open(vt_team **out, int size, variant_error *err);
/* Not while a loop runs. NULL is allowed. */
void vt_team_close(vt_team **team);
int vt_team_size(const vt_team *team); /* 1 of NULL */

/* Runs `part` over tasks [0, tasks) and returns when all are done; what they wrote is then seen by the
 * caller. `part` may be called often, with spans that are disjoint and cover all. Split: neighbours stay
 * together, a stretch a thread, cut into a few spans: for many cheap tasks. Deal: one task a span, begun in
 * rising order: for few dear ones.
 *
 * On the calling thread alone, in rising order, with `thread` 0: without a team, from inside a part, and while
 * another thread's loop has the team. */
void vt_team_split(vt_team *team, int64_t tasks, vt_part *part, const void *args);
void vt_team_deal(vt_team *team, int64_t tasks, vt_part *part, const void *args);

/* Turns: stretches of dealt tasks that must come in the order of the tasks, whoever runs them. Zero at first; each task
 * calls both once, with its number. */
typedef struct vt_turns {
    _Atomic uint32_t next, waiting;
} vt_turns;

void vt_turn_begin(vt_turns *turns, int64_t task); /* waits until all before it have ended theirs */
void vt_turn_end(vt_turns *turns);

#endif
