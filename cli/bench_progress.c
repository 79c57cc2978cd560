/* bench_progress.c - what stderr is told while `variant bench` makes its runs: one line drawn again and again on a
 * terminal, or a line a run (--progress lines). How long it will take is said once a run has shown it. */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

void bench_progress_open(bench_progress *p, const bench_settings *s) {
    *p = (bench_progress){.kind = s->progress};
    if (p->kind == CLI_PROGRESS_AUTO && !isatty(STDERR_FILENO)) p->kind = CLI_PROGRESS_NONE;
}

void bench_progress_say(const bench_progress *p, const char *text) {
    if (p->kind == CLI_PROGRESS_LINES) fprintf(stderr, "  %s\n", text);
    if (p->kind == CLI_PROGRESS_AUTO) fprintf(stderr, "\r\033[K%s", text);
}

static void print_run(const variant_bench_progress *at) {
    if (at->depth)
        fprintf(stderr, "depth %d: %s", at->depth, at->doing);
    else
        fprintf(stderr, "%s", at->doing);
}

static void print_left(double seconds) {
    char time[32];
    if (seconds < 0.5) return;
    cli_time_text(seconds, time, sizeof time);
    fprintf(stderr, ", about %s left", time);
}

/* The line of a terminal. */
static void draw(bench_progress *p, const variant_bench_progress *at) {
    const double now = cli_now(), rest = at->expected - (now - p->started);
    if (p->kind != CLI_PROGRESS_AUTO || now - p->shown < 0.2) return;
    p->shown = now;
    fprintf(stderr, "\r\033[K");
    print_run(at);
    if (at->scale > 0) fprintf(stderr, ", scale %d of %d", at->scale, at->scales);
    if (at->left >= 0.0) print_left(at->left + (rest > 0.0 ? rest : 0.0));
}

/* A line of a log, of runs that are no shorter than half a second. */
static void print_end(bench_progress *p, const variant_bench_progress *at) {
    if (p->kind != CLI_PROGRESS_LINES || cli_now() - p->shown < 0.5) return;
    p->shown = cli_now();
    fprintf(stderr, "  ");
    print_run(at);
    fprintf(stderr, at->seconds < 1.0 ? ", %.3f s" : ", %.1f s", at->seconds);
    if (at->left >= 0.0) print_left(at->left);
    fprintf(stderr, "\n");
}

void bench_progress_show(void *user, const variant_bench_progress *at) {
    bench_progress *p = user;
    if (at->event == VARIANT_BENCH_SAYS) bench_progress_say(p, at->doing);
    if (at->event == VARIANT_BENCH_BEGINS) p->started = cli_now();
    if (at->event == VARIANT_BENCH_BEGINS || at->event == VARIANT_BENCH_STEPS) draw(p, at);
    if (at->event == VARIANT_BENCH_ENDS) print_end(p, at);
}

void bench_progress_close(const bench_progress *p) {
    if (p->kind == CLI_PROGRESS_AUTO) fprintf(stderr, "\r\033[K");
}
