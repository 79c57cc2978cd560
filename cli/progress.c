/* progress.c - see progress.h. */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define TERMINAL_SECONDS 0.2
#define LOG_SECONDS 30.0
#define LEAST_SECONDS 3.0
#define LEAST_UNITS 2.0
#define WINDOW_SECONDS 60.0

double cli_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double cli_pace_left(cli_pace *pace, double now, double done, double total) {
    if (pace->calls == 0 || done < pace->last)
        *pace = (cli_pace){.since = now, .from = done, .later = now, .later_from = done};
    ++pace->calls;
    pace->last = done;
    double seconds = now - pace->since, units = done - pace->from;
    if (done >= total) return 0.0;
    if (seconds < LEAST_SECONDS || units < LEAST_UNITS) return -1.0;
    double left = (total - done) * seconds / units;
    if (now - pace->later >= WINDOW_SECONDS && done - pace->later_from >= LEAST_UNITS) {
        pace->since = pace->later, pace->from = pace->later_from;
        pace->later = now, pace->later_from = done;
    }
    return left;
}

void cli_time_text(double seconds, char *out, size_t size) {
    long s = seconds > 0.0 ? seconds < 3e9 ? (long)(seconds + 0.5) : 3000000000L : 0;
    if (s >= 86400)
        snprintf(out, size, "%ldd%02ldh", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, size, "%lds", s);
}

void cli_left_text(double seconds, char *out, size_t size) {
    char time[32];
    if (size > 0) out[0] = '\0';
    if (seconds <= 0.0) return;
    cli_time_text(seconds, time, sizeof time);
    snprintf(out, size, "  %s left", time);
}

void cli_live_open(cli_live *live) {
    *live = (cli_live){.terminal = isatty(STDERR_FILENO), .shown = cli_now()};
    if (live->terminal) live->shown -= TERMINAL_SECONDS;
}

void cli_live_show(cli_live *live, const char *format, ...) {
    const double now = cli_now();
    va_list args;
    if (now - live->shown < (live->terminal ? TERMINAL_SECONDS : LOG_SECONDS)) return;
    live->shown = now;
    live->drawn = live->terminal;
    if (live->terminal)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "variant %s: ", cli_command_name());
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (!live->terminal) fprintf(stderr, "\n");
}

void cli_live_clear(cli_live *live) {
    if (live->drawn) fprintf(stderr, "\r\033[K");
    live->drawn = false;
}
