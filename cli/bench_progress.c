/* bench_progress.c - what stderr is told while `variant bench` makes its runs: one line drawn again and again on a
 * terminal, or a line a run (--progress lines). How long it will take is said once a run has shown it. */
#include "bench.h"

#include <stdio.h>
#include <unistd.h>

#include "progress.h"

void bench_progress_open(bench_progress *p, const bench_settings *s) {
    *p = (bench_progress){.kind = s->progress};
    if (p->kind == CLI_PROGRESS_AUTO && !isatty(STDERR_FILENO)) p->kind = CLI_PROGRESS_NONE;
}

void bench_progress_say(const bench_progress *p, const char *text) {
    if (p->kind == CLI_PROGRESS_LINES) fprintf(stderr, "  %s\n", text);
    if (p->kind == CLI_PROGRESS_AUTO) fprintf(stderr, "\r\033[K%s", text);
}

static void print_run(const bench_progress *p) {
    if (p->depth)
        fprintf(stderr, "depth %d: %s", p->depth, p->doing);
    else
        fprintf(stderr, "%s", p->doing);
}

static void print_left(double seconds) {
    char time[32];
    if (seconds < 0.5) return;
    cli_time_text(seconds, time, sizeof time);
    fprintf(stderr, ", about %s left", time);
}

void bench_progress_begin(bench_progress *p, const char *doing, int depth, double expected,
                          double left) {
    p->doing = doing;
    p->depth = depth;
    p->expected = expected;
    p->left = left;
    p->started = cli_now();
    if (p->kind != CLI_PROGRESS_AUTO || p->started - p->shown < 0.2) return;
    bench_progress_step(p, &(variant_progress){.scale = 0, .scales = 1, .pictures = 1});
}

bool bench_progress_step(void *user, const variant_progress *at) {
    bench_progress *p = user;
    double now = cli_now();
    if (p->kind != CLI_PROGRESS_AUTO || now - p->shown < 0.2) return true;
    p->shown = now;
    fprintf(stderr, "\r\033[K");
    print_run(p);
    if (at->scale > 0) fprintf(stderr, ", scale %d of %d", at->scale, at->scales);
    double rest = p->expected - (now - p->started);
    if (p->left >= 0.0) print_left(p->left + (rest > 0.0 ? rest : 0.0));
    return true;
}

void bench_progress_end(bench_progress *p, double seconds) {
    if (p->kind != CLI_PROGRESS_LINES || cli_now() - p->shown < 0.5) return;
    p->shown = cli_now();
    fprintf(stderr, "  ");
    print_run(p);
    fprintf(stderr, seconds < 1.0 ? ", %.3f s" : ", %.1f s", seconds);
    if (p->left >= 0.0) print_left(p->left);
    fprintf(stderr, "\n");
}

void bench_progress_close(const bench_progress *p) {
    if (p->kind == CLI_PROGRESS_AUTO) fprintf(stderr, "\r\033[K");
}
