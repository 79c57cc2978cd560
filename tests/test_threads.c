/* test_threads.c - the team of threads: every task once, whatever the sizes; order where it is promised; nested loops, many teams,
 * one team wanted by many; a child process; also built with the thread sanitizer (test_threads_tsan). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/rng.h"
#include "core/threads.h"

enum { MOST_TASKS = 5000, MOST_THREADS = 17 };

static vt_team *team_of(int size) {
    vt_team *team = NULL;
    variant_error err;
    assert_int_equal(vt_team_open(&team, size, &err), VARIANT_OK);
    assert_int_equal(vt_team_size(team), size);
    return team;
}

static void nap(long microseconds) {
    struct timespec t = {0, microseconds * 1000};
    nanosleep(&t, NULL);
}

/* What a loop leaves behind: how often each task ran, by whom. Counts are plain numbers: tasks are claimed by one thread alone. */
typedef struct tally {
    vt_team *team; /* for loops within loops; NULL: none */
    int runs[MOST_TASKS], thread[MOST_TASKS];
    int64_t sum[MOST_THREADS]; /* a room a thread */
    _Atomic int busy[MOST_THREADS], clash;
    _Atomic int64_t inner;
    long nap;
} tally;

static void inner_part(const void *args, vt_span span) {
    tally *t = (tally *)args;
    t->inner += span.end - span.begin;
}

static void count_part(const void *args, vt_span span) {
    tally *t = (tally *)args;
    if (t->busy[span.thread]++) t->clash = 1; /* two at once in one thread's room */
    for (int64_t i = span.begin; i < span.end; ++i) {
        ++t->runs[i];
        t->thread[i] = span.thread;
        t->sum[span.thread] += i;
        if (t->nap) nap(t->nap);
    }
    if (t->team) vt_team_split(t->team, 10, inner_part, t);
    --t->busy[span.thread];
}

static void check(const tally *t, int64_t tasks, int size) {
    int64_t sum = 0;
    for (int i = 0; i < MOST_TASKS; ++i) assert_int_equal(t->runs[i], i < tasks);
    for (int i = 0; i < tasks; ++i) assert_in_range(t->thread[i], 0, size - 1);
    for (int i = 0; i < MOST_THREADS; ++i) sum += t->sum[i];
    assert_int_equal(sum, tasks * (tasks - 1) / 2);
    assert_false(t->clash);
}

typedef void share(vt_team *team, int64_t tasks, vt_part *part, const void *args);
static share *const ways[] = {vt_team_split, vt_team_deal};

static void every_task_once(void **state) {
    (void)state;
    static tally t;
    for (int size = 1; size <= MOST_THREADS; ++size) {
        vt_team *team = team_of(size);
        for (uint64_t round = 0; round < 60; ++round) {
            const uint64_t draw = vt_splitmix64(round * 100 + (uint64_t)size);
            const int64_t tasks = (int64_t)(draw % 3 == 0 ? draw / 3 % 5 : draw / 3 % MOST_TASKS);
            memset(&t, 0, sizeof t);
            ways[round % 2](team, tasks, count_part, &t);
            check(&t, tasks, size);
        }
        vt_team_close(&team);
        assert_null(team);
    }
}

/* Loops of a few microseconds one after another, and others after which the workers have long gone to sleep. */
static void short_loops(void **state) {
    (void)state;
    static tally t;
    vt_team *team = team_of(3);
    for (int i = 0; i < 20000; ++i) {
        const int tasks = 1 + i % 40;
        memset(t.runs, 0, (size_t)tasks * sizeof *t.runs);
        ways[i % 2](team, tasks, count_part, &t);
        for (int k = 0; k < tasks; ++k) assert_int_equal(t.runs[k], 1);
        if (i % 400 == 0) nap(2000);
    }
    vt_team_close(&team);
}

/* Workers are needed where tasks take long: all of them come, each with a number of its own. */
static void workers_help(void **state) {
    (void)state;
    static tally t;
    memset(&t, 0, sizeof t);
    t.nap = 3000;
    vt_team *team = team_of(4);
    bool seen[4] = {0};
    for (int i = 0; i < 20 && !(seen[1] && seen[2] && seen[3]); ++i) {
        memset(t.runs, 0, sizeof t.runs);
        ways[i % 2](team, 16, count_part, &t);
        for (int k = 0; k < 16; ++k) seen[t.thread[k]] = true;
    }
    assert_true(seen[1] && seen[2] && seen[3]);
    vt_team_close(&team);
}

/* The order in which each thread sees dealt tasks. */
typedef struct dealt {
    int size;
    int64_t last[MOST_THREADS]; /* of a thread, and 1 */
    _Atomic int wrong;
} dealt;

static void dealt_part(const void *args, vt_span span) {
    dealt *d = (dealt *)args;
    if (span.end != span.begin + 1 && d->size > 1) d->wrong = 1;
    if (span.begin < d->last[span.thread]) d->wrong = 1;
    d->last[span.thread] = span.end;
}

typedef struct ordered {
    vt_turns turns;
    double sum;
    int64_t order[200];
    int64_t count;
} ordered;

/* Sums of floats of very different sizes: another order is another number. */
static void ordered_part(const void *args, vt_span span) {
    ordered *o = (ordered *)args;
    for (int64_t i = span.begin; i < span.end; ++i) {
        const double x = 1.0 / (double)(1 + vt_splitmix64((uint64_t)i) % 1000003);
        if (vt_splitmix64((uint64_t)i) % 7 == 0) nap(50);
        vt_turn_begin(&o->turns, i);
        o->sum += x;
        o->order[o->count++] = i;
        vt_turn_end(&o->turns);
    }
}

static void order_is_kept(void **state) {
    (void)state;
    double expected = 0;
    for (int size = 1; size <= 9; ++size) {
        vt_team *team = team_of(size);
        dealt d = {.size = size};
        vt_team_deal(team, 1000, dealt_part, &d);
        assert_false(d.wrong);
        for (int round = 0; round < 5; ++round) {
            ordered o = {0};
            vt_team_deal(team, 200, ordered_part, &o);
            for (int64_t i = 0; i < 200; ++i) assert_int_equal(o.order[i], i);
            if (size == 1 && round == 0) expected = o.sum;
            assert_memory_equal(&o.sum, &expected, sizeof expected);
        }
        vt_team_close(&team);
    }
}

static void loops_within_loops(void **state) {
    (void)state;
    static tally t;
    for (int size = 1; size <= 5; ++size) {
        vt_team *team = team_of(size);
        memset(&t, 0, sizeof t);
        t.team = team;
        vt_team_deal(team, 300, count_part, &t);
        check(&t, 300, size);
        assert_true(t.inner >= 10); /* ten tasks a span of the outer loop */
        assert_int_equal(t.inner % 10, 0);
        vt_team_close(&team);
    }
}

static void no_team(void **state) {
    (void)state;
    static tally t;
    memset(&t, 0, sizeof t);
    assert_int_equal(vt_team_size(NULL), 1);
    vt_team_split(NULL, 100, count_part, &t);
    check(&t, 100, 1);
    memset(&t, 0, sizeof t);
    vt_team_deal(NULL, 100, count_part, &t);
    check(&t, 100, 1);
    vt_team *none = NULL;
    vt_team_close(&none);
    variant_error err;
    assert_int_equal(vt_team_open(&none, 0, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_team_open(&none, VT_TEAM_MOST + 1, &err), VARIANT_E_ARGUMENT);
    assert_null(none);
}

/* ---- many at once ---- */

typedef struct user {
    vt_team *team;
    tally *t;
    bool good;
} user;

static void *use(void *argument) {
    user *u = argument;
    u->good = true;
    for (int round = 0; round < 300; ++round) {
        const int tasks = 1 + (round * 37) % 900;
        memset(u->t, 0, sizeof *u->t);
        ways[round % 2](u->team, tasks, count_part, u->t);
        for (int i = 0; i < MOST_TASKS; ++i) u->good = u->good && u->t->runs[i] == (i < tasks);
        u->good = u->good && !u->t->clash;
    }
    return NULL;
}

/* Six callers, each with a team of its own (first round) or all with one (second). */
static void many_callers(void **state) {
    (void)state;
    enum { CALLERS = 6 };
    for (int shared = 0; shared < 2; ++shared) {
        vt_team *one = team_of(3);
        user users[CALLERS] = {0};
        pthread_t threads[CALLERS];
        for (int i = 0; i < CALLERS; ++i) {
            users[i].team = shared ? one : team_of(1 + i % 4);
            users[i].t = calloc(1, sizeof *users[i].t);
            assert_non_null(users[i].t);
            assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
        }
        for (int i = 0; i < CALLERS; ++i) {
            pthread_join(threads[i], NULL);
            assert_true(users[i].good);
            if (!shared) vt_team_close(&users[i].team);
            free(users[i].t);
        }
        vt_team_close(&one);
    }
}

static int threads_of_process(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder) closedir(folder);
    return count;
}

/* Threads start with the first loop that wants them, none for a team of one, and all are gone after closing. */
static void threads_come_and_go(void **state) {
    (void)state;
    static tally t;
    const int before = threads_of_process();
    vt_team *alone = team_of(1), *team = team_of(5);
    assert_int_equal(threads_of_process(), before);
    vt_team_split(alone, 100, count_part, &t);
    vt_team_split(team, 1, count_part, &t);
    assert_int_equal(threads_of_process(), before);
    vt_team_split(team, 100, count_part, &t);
    assert_int_equal(threads_of_process(), before + 4);
    vt_team_close(&team);
    vt_team_close(&alone);
    assert_int_equal(threads_of_process(), before);
}

/* A child has the team and not its threads: loops still end, and closing does not wait for what is not there. */
static void child_process(void **state) {
    (void)state;
    static tally t;
    vt_team *team = team_of(4);
    vt_team_split(team, 1000, count_part, &t);
    nap(2000);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        for (int i = 0; i < 50; ++i) {
            memset(&t, 0, sizeof t);
            ways[i % 2](team, 1000, count_part, &t);
            for (int k = 0; k < 1000; ++k)
                if (t.runs[k] != 1) _exit(3);
        }
        vt_team_close(&team);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    vt_team_close(&team);
}

static volatile sig_atomic_t caught_by_main;
static pthread_t main_thread;

static void on_signal(int number) {
    (void)number;
    caught_by_main = pthread_equal(pthread_self(), main_thread) ? 1 : -1;
}

/* Ctrl-C is the program's own thread's. */
static void signals_are_the_programs(void **state) {
    (void)state;
    static tally t;
    vt_team *team = team_of(4);
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    for (int i = 0; i < 20; ++i) {
        caught_by_main = 0;
        vt_team_split(team, 100, count_part, &t);
        kill(getpid(), SIGUSR1);
        while (!caught_by_main) nap(100);
        assert_int_equal(caught_by_main, 1);
    }
    sigaction(SIGUSR1, &before, NULL);
    vt_team_close(&team);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_once),    cmocka_unit_test(short_loops),
        cmocka_unit_test(workers_help),       cmocka_unit_test(order_is_kept),
        cmocka_unit_test(loops_within_loops), cmocka_unit_test(no_team),
        cmocka_unit_test(many_callers),       cmocka_unit_test(threads_come_and_go),
        cmocka_unit_test(child_process),      cmocka_unit_test(signals_are_the_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
