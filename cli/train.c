/* train.c - `variant train tokenizer|transformer|supernet|classifier|decoder`: a
 * training run and its progress to the terminal. Its options are train_options.c, the runs themselves src/train/. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/clock.h"
#include "progress.h"
#include "train_memory.h"
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

static void print_end(const vt_train_result *result, const cli_line *line) {
    if (!result->stopped) {
        printf("%s\n", result->model);
        return;
    }
    fprintf(stderr, "stopped after step %" PRId64 " of %" PRId64 "; go on with:\n  variant %s",
            result->step, result->steps, cli_command_name());
    for (int i = 0; i < line->count; ++i) {
        const char *word = line->words[i];
        if (strcmp(word, "--stop-after") == 0)
            ++i;
        else if (strncmp(word, "--stop-after=", 13) != 0 && strcmp(word, "--resume") != 0 &&
                 strcmp(word, "--restart") != 0)
            fprintf(stderr, strpbrk(word, " \t'\"$*?&;()") ? " '%s'" : " %s", word);
    }
    fprintf(stderr, " --resume\n");
}

int training_run(void *settings, const cli_line *line) {
    training *run = settings;
    int code = training_settle(run, line);
    if (code >= 0) return code;
    vt_kern *kern = NULL;
    variant_error err = {0};
    vt_train_result result;
    display screen = {
        .terminal = isatty(STDERR_FILENO), .quiet = run->quiet, .shown = vt_seconds()};
    const volatile sig_atomic_t *stop = run->common->stop = cli_catch_stop();
    run->common->progress = show_progress;
    run->common->note = show_note;
    run->common->user = &screen;
    variant_status status = vt_kern_open(&kern, NULL, run->threads, &err);
    if (status == VARIANT_OK)
        status =
            run->kind == TOKENIZER    ? vt_train_tokenizer(kern, &run->tokenizer, &result, &err)
            : run->kind == CLASSIFIER ? vt_train_classifier(kern, &run->classifier, &result, &err)
            : run->kind == DECODER    ? vt_train_decoder(kern, &run->decoder, &result, &err)
                                   : vt_train_transformer(kern, &run->transformer, &result, &err);
    if (screen.open) fprintf(stderr, "\n");
    if (status == VARIANT_OK && run->common->dry_run)
        cli_train_memory_print(&result.memory, run->json);
    else if (status == VARIANT_OK)
        print_end(&result, line);
    vt_kern_close(&kern);
    return status != VARIANT_OK ? cli_fail(&err) : result.stopped && *stop ? 128 + *stop : 0;
}
