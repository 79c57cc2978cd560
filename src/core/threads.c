/* threads.c - see threads.h.
 *
 * A loop is published by one store: team->offer becomes odd. A worker that sees it says "inside" in its own seat, looks again
 * whether the offer stands, claims spans until there are none, and says "outside". The caller claims as well; when
 * nothing is left it withdraws the offer (even again) and waits for those who are inside. Both sides store before they
 * load, in one total order: either the caller sees the worker inside, or the worker sees the offer withdrawn. Sleepers
 * work alike: who goes to sleep counts itself before it looks for the last time. */
#include "core/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE = 64,
    SPANS = 4, /* that a thread's stretch is cut into */
    STACK_BYTES = 1 << 20,
    PAUSES = 16 /* between two looks at the clock */
};

/* How long to spin before sleeping: what the serial stretches between loops take, and what it costs to be woken. */
static const int64_t spin_most = 100000, spin_least = 2000; /* ns */

/* What one thread writes and the others seldom read: a line of its own. */
typedef struct seat {
    _Alignas(LINE) _Atomic uint32_t inside; /* a futex */
    _Atomic int64_t next, end;              /* of its stretch: what is not claimed yet */
    vt_team *team;
    pthread_t thread;
    int index;
} seat;

struct vt_team {
    _Alignas(LINE) _Atomic uint32_t offer; /* odd: a loop wants help; a futex */
    _Atomic uint32_t sleepers;             /* workers asleep on it, or about to be */
    _Atomic uint32_t leaving;
    _Alignas(LINE) _Atomic int64_t dealt; /* the next task of a dealt loop */
    /* the loop; read by those inside only */
    _Alignas(LINE) vt_part *part;
    const void *args;
    int64_t tasks, grain;
    bool split;
    _Atomic uint32_t caller_sleeps;
    _Alignas(LINE) atomic_flag taken; /* by a caller */
    bool started;
    pid_t process; /* that the workers live in */
    int size, workers;
    seat *seats; /* (size); the caller's first */
};

static _Thread_local bool inside_part;

/* ---- waiting ---- */

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void pause_once(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* Spins until *word is no longer `value` or `limit` ns are over. *disturbed: two looks at the clock lay so far apart
 * that another program must have had the processor between them. */
static bool spin_while(_Atomic uint32_t *word, uint32_t value, int64_t limit, bool *disturbed) {
    const int64_t begin = now();
    for (int64_t last = begin;;) {
        for (int i = 0; i < PAUSES; ++i) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
            pause_once();
        }
        const int64_t t = now();
        if (t - last > spin_most) *disturbed = true;
        if (t - begin > limit) return false;
        last = t;
    }
}

/* ---- a loop, as everyone inside sees it ---- */

static void run_span(const vt_team *team, int64_t begin, int64_t end, int thread) {
    team->part(team->args, (vt_span){begin, end, thread});
}

/* Spans of the stretch of `from` until it is empty. */
static void run_stretch(const vt_team *team, seat *from, int thread) {
    const int64_t grain = team->grain, end = atomic_load_explicit(&from->end, memory_order_relaxed);
    if (atomic_load_explicit(&from->next, memory_order_relaxed) >= end) return;
    for (;;) {
        const int64_t begin = atomic_fetch_add_explicit(&from->next, grain, memory_order_relaxed);
        if (begin >= end) return;
        run_span(team, begin, end - begin < grain ? end : begin + grain, thread);
    }
}

/* Its own stretch first, then what others have not begun. */
static void run_share(vt_team *team, int thread) {
    inside_part = true;
    if (team->split) {
        for (int i = 0; i < team->size; ++i)
            run_stretch(team, &team->seats[(thread + i) % team->size], thread);
    } else {
        int64_t task;
        while ((task = atomic_fetch_add_explicit(&team->dealt, 1, memory_order_relaxed)) <
               team->tasks)
            run_span(team, task, task + 1, thread);
    }
    inside_part = false;
}

/* ---- workers ---- */

/* Until a loop other than `seen` is offered or the team is left; the offer. */
static uint32_t await_offer(vt_team *team, uint32_t seen, int64_t *spin) {
    for (;;) {
        uint32_t offer = atomic_load(&team->offer);
        if ((offer % 2 == 1 && offer != seen) || atomic_load(&team->leaving)) return offer;
        bool disturbed = false;
        if (spin_while(&team->offer, offer, *spin, &disturbed)) {
            if (!disturbed && *spin < spin_most) *spin *= 2;
            continue;
        }
        /* Spinning was in vain: less of it next time, and least where others want the processor. */
        *spin = disturbed || *spin / 2 < spin_least ? spin_least : *spin / 2;
        atomic_fetch_add(&team->sleepers, 1);
        if (atomic_load(&team->offer) == offer && !atomic_load(&team->leaving))
            sleep_while(&team->offer, offer);
        atomic_fetch_sub(&team->sleepers, 1);
    }
}

static void *work(void *argument) {
    seat *own = argument;
    vt_team *team = own->team;
    int64_t spin = spin_most;
    for (uint32_t seen = 0; !atomic_load(&team->leaving);) {
        await_offer(team, seen, &spin);
        atomic_store(&own->inside, 1);
        const uint32_t offer = atomic_load(&team->offer);
        if (offer % 2 == 1) run_share(team, own->index);
        seen = offer;
        atomic_store(&own->inside, 0);
        if (atomic_load(&team->caller_sleeps)) wake(&own->inside, 1);
    }
    return NULL;
}

static void start_workers(vt_team *team) {
    pthread_attr_t attributes;
    sigset_t all, before;
    team->started = true;
    team->process = getpid();
    if (pthread_attr_init(&attributes) != 0) return;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of a file cut short, and blocked, it would end the process */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (team->workers + 1 < team->size &&
           pthread_create(&team->seats[team->workers + 1].thread, &attributes, work,
                          &team->seats[team->workers + 1]) == 0)
        ++team->workers;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* ---- the caller ---- */

static void await_outside(vt_team *team, seat *of) {
    bool disturbed = false;
    if (spin_while(&of->inside, 1, spin_most, &disturbed)) return;
    atomic_store(&team->caller_sleeps, 1);
    while (atomic_load(&of->inside)) sleep_while(&of->inside, 1);
    atomic_store(&team->caller_sleeps, 0);
}

static void share_out(vt_team *team, int64_t tasks) {
    const int64_t size = team->size, share = (tasks + size - 1) / size;
    team->grain = (share + SPANS - 1) / SPANS;
    atomic_store_explicit(&team->dealt, 0, memory_order_relaxed);
    for (int i = 0; team->split && i < team->size; ++i) {
        atomic_store_explicit(&team->seats[i].next, tasks * i / size, memory_order_relaxed);
        atomic_store_explicit(&team->seats[i].end, tasks * (i + 1) / size, memory_order_relaxed);
    }
}

static void run(vt_team *team, int64_t tasks, vt_part *part, const void *args, bool split) {
    if (!team->started) start_workers(team);
    team->part = part;
    team->args = args;
    team->tasks = tasks;
    team->split = split;
    share_out(team, tasks);
    atomic_fetch_add(&team->offer, 1);
    const uint32_t sleepers = atomic_load(&team->sleepers);
    if (sleepers > 0) wake(&team->offer, tasks - 1 < INT_MAX ? (int)(tasks - 1) : INT_MAX);
    run_share(team, 0);
    atomic_fetch_add(&team->offer, 1);
    for (int i = 1; i <= team->workers; ++i)
        if (atomic_load(&team->seats[i].inside)) await_outside(team, &team->seats[i]);
}

static void run_or_alone(vt_team *team, int64_t tasks, vt_part *part, const void *args,
                         bool split) {
    if (tasks <= 0) return;
    const bool alone = !team || team->size == 1 || tasks == 1 || inside_part ||
                       atomic_flag_test_and_set_explicit(&team->taken, memory_order_acquire);
    if (alone) {
        part(args, (vt_span){0, tasks, 0});
        return;
    }
    run(team, tasks, part, args, split);
    atomic_flag_clear_explicit(&team->taken, memory_order_release);
}

void vt_team_split(vt_team *team, int64_t tasks, vt_part *part, const void *args) {
    run_or_alone(team, tasks, part, args, true);
}

void vt_team_deal(vt_team *team, int64_t tasks, vt_part *part, const void *args) {
    run_or_alone(team, tasks, part, args, false);
}

/* ---- life ---- */

variant_status vt_team_open(vt_team **out, int size, variant_error *err) {
    *out = NULL;
    if (size < 1 || size > VT_TEAM_MOST)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d threads asked for, expected 1 to %d", size,
                       VT_TEAM_MOST);
    vt_team *team = aligned_alloc(LINE, sizeof *team);
    seat *seats = aligned_alloc(LINE, (size_t)size * sizeof *seats);
    if (!team || !seats) {
        free(team);
        free(seats);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a team of %d threads", size);
    }
    *team = (vt_team){.size = size, .seats = seats, .taken = ATOMIC_FLAG_INIT};
    for (int i = 0; i < size; ++i) seats[i] = (seat){.team = team, .index = i};
    *out = team;
    return VARIANT_OK;
}

void vt_team_close(vt_team **out) {
    vt_team *team = out ? *out : NULL;
    if (!team) return;
    atomic_store(&team->leaving, 1);
    atomic_fetch_add(&team->offer, 2); /* whoever is about to sleep on it does not */
    wake(&team->offer, INT_MAX);
    /* a child process has the memory and not the threads */
    for (int i = 1; i <= team->workers && getpid() == team->process; ++i)
        pthread_join(team->seats[i].thread, NULL);
    free(team->seats);
    free(team);
    *out = NULL;
}

int vt_team_size(const vt_team *team) {
    return team ? team->size : 1;
}

/* ---- turns ---- */

void vt_turn_begin(vt_turns *turns, int64_t task) {
    bool disturbed = false;
    for (;;) {
        const uint32_t next = atomic_load(&turns->next);
        if (next == (uint32_t)task) return;
        if (spin_while(&turns->next, next, spin_least, &disturbed)) continue;
        atomic_fetch_add(&turns->waiting, 1);
        if (atomic_load(&turns->next) == next) sleep_while(&turns->next, next);
        atomic_fetch_sub(&turns->waiting, 1);
    }
}

void vt_turn_end(vt_turns *turns) {
    atomic_fetch_add(&turns->next, 1);
    if (atomic_load(&turns->waiting)) wake(&turns->next, INT_MAX);
}
