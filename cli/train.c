/* train.c - `variant train tokenizer|transformer|supernet|classifier`: a training run
 * and its progress to the terminal. Its options are train_options.c, the runs themselves src/train/. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/clock.h"
#include "progress.h"
#include "train_options.h"

#define COMMAND "train"
#define PLAIN_SECONDS 30.0 /* between progress lines where stderr is no terminal */
#define LIVE_SECONDS 0.2

/* ---- progress ---- */

typedef struct display {
    bool terminal, quiet, open; /* open: a live line stands without its end */
    double shown;
    const char *doing;
    cli_pace pace;
} display;

static void show_progress(void *user, const vt_train_progress *at) {
    display *screen = user;
    double now = vt_seconds();
    bool last = at->step == at->steps;
    if (screen->doing != at->doing) screen->pace = (cli_pace){0};
    screen->doing = at->doing;
    double seconds_left = cli_pace_left(&screen->pace, now, (double)at->step, (double)at->steps);
    if (screen->quiet) return;
    if (!last && now - screen->shown < (screen->terminal ? LIVE_SECONDS : PLAIN_SECONDS)) return;
    screen->shown = now;
    char left[32], line[256];
    cli_left_text(seconds_left, left, sizeof left);
    if (strcmp(at->doing, "training") == 0)
        snprintf(line, sizeof line,
                 "step %" PRId64 "/%" PRId64 "  epoch %.2f  loss %.4f  lr %.2g  %.0f pictures/s%s",
                 at->step, at->steps, at->epoch, at->loss, at->learning_rate,
                 at->pictures_per_second, left);
    else
        snprintf(line, sizeof line, "%s %" PRId64 "/%" PRId64 "  %.0f pictures/s%s", at->doing,
                 at->step, at->steps, at->pictures_per_second, left);
    if (screen->terminal)
        fprintf(stderr, "\r%s\033[K%s", line, last ? "\n" : "");
    else
        fprintf(stderr, "%s\n", line);
    screen->open = screen->terminal && !last;
    fflush(stderr);
}

static void show_note(void *user, const char *line) {
    display *screen = user;
    fprintf(stderr, "%s%s\n", screen->open ? "\n" : "", line);
    screen->open = false;
}

/* ---- the command ---- */

static void print_end(const training *run, const vt_train_result *result, int argc, char **argv) {
    if (!result->stopped) {
        printf("%s\n", result->model);
        return;
    }
    fprintf(stderr, "stopped after step %" PRId64 " of %" PRId64 "; go on with:\n  variant train",
            result->step, result->steps);
    fprintf(stderr, " %s", training_kind_name(run->kind));
    for (int i = 1; i < argc; ++i)
        if (strcmp(argv[i], "--resume") != 0 && strcmp(argv[i], "--restart") != 0)
            fprintf(stderr, strpbrk(argv[i], " \t'\"$*?&;()") ? " '%s'" : " %s", argv[i]);
    fprintf(stderr, " --resume\n");
}

int cli_train(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        training_print_kinds();
        return 0;
    }
    int kind = training_kind(name);
    if (!kind)
        return cli_usage(COMMAND, "what to train? expected tokenizer, transformer, supernet or "
                                  "classifier");
    --argc;
    ++argv;
    training run;
    char **given = malloc((size_t)(argc + 1) * sizeof *given); /* getopt reorders argv */
    if (!given) return 1;
    memcpy(given, argv, (size_t)(argc + 1) * sizeof *given);
    int code = training_read(&run, kind, argc, argv);

    vt_kern *kern = NULL;
    if (code < 0) {
        variant_error err = {0};
        vt_train_result result;
        display screen = {
            .terminal = isatty(STDERR_FILENO), .quiet = run.quiet, .shown = vt_seconds()};
        const volatile sig_atomic_t *stop = run.common->stop = cli_catch_stop();
        run.common->progress = show_progress;
        run.common->note = show_note;
        run.common->user = &screen;
        variant_status status = vt_kern_open(&kern, NULL, run.threads, &err);
        if (status == VARIANT_OK)
            status = kind == TOKENIZER ? vt_train_tokenizer(kern, &run.tokenizer, &result, &err)
                     : kind == CLASSIFIER
                         ? vt_train_classifier(kern, &run.classifier, &result, &err)
                         : vt_train_transformer(kern, &run.transformer, &result, &err);
        if (screen.open) fprintf(stderr, "\n");
        if (status == VARIANT_OK) print_end(&run, &result, argc, given);
        code = status != VARIANT_OK ? cli_fail("train", &err) : result.stopped ? 128 + *stop : 0;
    }
    vt_kern_close(&kern);
    free(given);
    return code;
}
