/* quiet.c - see quiet.h. */
#include "core/quiet.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/limits.h"

/* Beyond these a span is disturbed. Two quiet cores of a virtual machine stay below a third of each. */
#define MOST_STOLEN 0.02
#define MOST_WAITED 0.02
#define MOST_SWITCHES 150.0 /* a second and thread; the system's own housekeeping makes some */
#define MOST_CANARY 1.2     /* times the best: a processor's clock wanders by a tenth */

#define LEAST_STOLEN 0.015  /* seconds: one step of the counter proves nothing */
#define FEWEST_SWITCHES 4.0 /* likewise */
#define WAKING 1e-4         /* seconds that a thread which slept may wait for its processor */
#define STEAL_WINDOW 0.5    /* seconds that steal is looked at together */
#define CALIBRATIONS 25
#define CANARY_ROUNDS                                                                              \
    250000 /* of a multiplication and an addition, each waiting for the one before */

/* ---- the system's readings ---- */

static double read_stolen(void) {
    unsigned long long ticks[8] = {0};
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return 0.0;
    int n = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &ticks[0], &ticks[1],
                   &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]);
    fclose(file);
    long second = sysconf(_SC_CLK_TCK);
    return n == 8 && second > 0 ? (double)ticks[7] / (double)second : 0.0;
}

/* Sums over this process's threads; what ended threads had waited is gone, so the pool must outlive a span. */
static void read_waited(vt_quiet_reading *out) {
    DIR *folder = opendir("/proc/self/task");
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        char path[300];
        unsigned long long ran, waited, slices;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%llu %llu %llu", &ran, &waited, &slices) == 3) {
            out->waited += 1e-9 * (double)waited;
            out->slices += (double)slices;
        }
        fclose(file);
    }
    if (folder) closedir(folder);
}

static vt_quiet_reading read_system(void *user) {
    (void)user;
    vt_quiet_reading now = {.stolen = read_stolen()};
    struct rusage usage;
    read_waited(&now);
    if (getrusage(RUSAGE_SELF, &usage) == 0) now.switches = (double)usage.ru_nivcsw;
    now.clock = vt_seconds();
    return now;
}

double vt_quiet_canary(void *user) {
    (void)user;
    uint64_t x = 1;
    double start = vt_seconds();
    for (int i = 0; i < CANARY_ROUNDS; ++i) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        __asm__ volatile("" : "+r"(x)); /* every round is really made */
    }
    return vt_seconds() - start;
}

vt_quiet_source vt_quiet_system(void) {
    vt_limits limits;
    vt_limits_read(&limits, "");
    return (vt_quiet_source){.read = read_system,
                             .canary = vt_quiet_canary,
                             .machine = limits.processors,
                             .usable = limits.threads};
}

/* ---- spans ---- */

void vt_quiet_open(vt_quiet *quiet, int threads, const vt_quiet_source *source) {
    const char *asked = getenv("VARIANT_WATCH");
    *quiet = (vt_quiet){.threads = threads > 0 ? threads : 1,
                        .off = asked && strcmp(asked, "off") == 0,
                        .always = asked && strcmp(asked, "always") == 0};
    if (source)
        quiet->source = *source;
    else
        quiet->source = vt_quiet_system();
    for (int i = 0; i < CALIBRATIONS && !quiet->off; ++i) {
        double seconds = quiet->source.canary(quiet->source.user);
        if (i == 0 || seconds < quiet->canary_best) quiet->canary_best = seconds;
    }
}

static double next_canary(vt_quiet *quiet) {
    double seconds = quiet->source.canary(quiet->source.user);
    if (seconds < quiet->canary_best) quiet->canary_best = seconds;
    return seconds;
}

void vt_quiet_begin(vt_quiet *quiet) {
    if (quiet->off) return;
    quiet->canary_before = next_canary(quiet);
    quiet->begun = quiet->source.read(quiet->source.user);
    if (quiet->window.clock <= 0.0 || quiet->begun.clock - quiet->window.clock > STEAL_WINDOW)
        quiet->window = quiet->begun;
}

vt_quiet_span vt_quiet_end(vt_quiet *quiet) {
    if (quiet->off) return (vt_quiet_span){0};
    vt_quiet_reading end = quiet->source.read(quiet->source.user);
    double after = next_canary(quiet), seconds = end.clock - quiet->begun.clock;
    double window = end.clock - quiet->window.clock, stolen = end.stolen - quiet->window.stolen;
    double waking = WAKING * (end.slices - quiet->begun.slices);
    double waited = end.waited - quiet->begun.waited - waking;
    double switches = end.switches - quiet->begun.switches;
    bool crowded = quiet->threads > quiet->source.usable; /* our own threads, in each other's way */
    vt_quiet_span span = {.seconds = seconds,
                          .canary = after > quiet->canary_before ? after : quiet->canary_before};
    if (stolen > LEAST_STOLEN && window > 0.0)
        span.stolen = stolen / (window * quiet->source.machine);
    if (crowded || seconds <= 0.0) return span;
    if (waited > 0.0) span.waited = waited / (seconds * quiet->threads);
    if (span.waited > 1.0) span.waited = 1.0; /* threads besides those that compute */
    if (switches >= FEWEST_SWITCHES) span.switches = switches / (seconds * quiet->threads);
    return span;
}

bool vt_quiet_is_disturbed(const vt_quiet *quiet, const vt_quiet_span *span) {
    if (quiet->always || quiet->off) return quiet->always;
    return span->stolen > MOST_STOLEN || span->waited > MOST_WAITED ||
           span->switches > MOST_SWITCHES || span->canary > MOST_CANARY * quiet->canary_best;
}

int vt_quiet_count(const vt_quiet *quiet, const vt_quiet_span *spans, int count) {
    int quiet_ones = 0;
    for (int i = 0; i < count; ++i) quiet_ones += !vt_quiet_is_disturbed(quiet, &spans[i]);
    return quiet_ones;
}

/* ---- runs ---- */

int vt_quiet_enough(int wanted) {
    int half = (wanted + 1) / 2;
    return half < 3 ? half : 3;
}

bool vt_quiet_wants_more(const vt_quiet *quiet, const vt_quiet_span *spans, int count, int wanted) {
    if (count < wanted) return true;
    return count < 2 * wanted && vt_quiet_count(quiet, spans, count) < vt_quiet_enough(wanted);
}

int vt_quiet_pick(const vt_quiet *quiet, const vt_quiet_span *spans, int count, int wanted,
                  int *picked, bool *disturbed) {
    int n = 0;
    *disturbed = vt_quiet_count(quiet, spans, count) < vt_quiet_enough(wanted);
    for (int i = 0; i < count; ++i)
        if (*disturbed || !vt_quiet_is_disturbed(quiet, &spans[i])) picked[n++] = i;
    return n;
}

static void add_reason(char *out, size_t size, const char *format, double value) {
    size_t used = strlen(out);
    if (used) snprintf(out + used, size - used, ", ");
    used = strlen(out);
    snprintf(out + used, size - used, format, value);
}

void vt_quiet_why(const vt_quiet *quiet, const vt_quiet_span *spans, int count, char *out,
                  size_t size) {
    vt_quiet_span worst = {0};
    out[0] = '\0';
    for (int i = 0; i < count; ++i) {
        const vt_quiet_span *s = &spans[i];
        if (s->stolen > worst.stolen) worst.stolen = s->stolen;
        if (s->waited > worst.waited) worst.waited = s->waited;
        if (s->switches > worst.switches) worst.switches = s->switches;
        if (s->canary > worst.canary) worst.canary = s->canary;
    }
    if (quiet->always) snprintf(out, size, "VARIANT_WATCH=always");
    if (quiet->always || quiet->off) return;
    if (worst.waited > MOST_WAITED)
        add_reason(out, size, "waited %.0f %% of the time for a processor", 100.0 * worst.waited);
    if (worst.switches > MOST_SWITCHES)
        add_reason(out, size, "%.0f involuntary switches a second", worst.switches);
    if (worst.stolen > MOST_STOLEN)
        add_reason(out, size, "%.0f %% stolen by the host", 100.0 * worst.stolen);
    if (worst.canary > MOST_CANARY * quiet->canary_best)
        add_reason(out, size, "a loop of known length took %.1f times its best",
                   worst.canary / quiet->canary_best);
}
