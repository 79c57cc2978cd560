/* train.c - `variant train tokenizer|transformer|supernet|classifier|decoder`: a
 * training run and its progress to the terminal. Its options are train_options.c, the runs themselves variant.h's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
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

static bool show_progress(void *user, const variant_train_progress *at) {
    display *screen = user;
    double now = cli_now();
    bool last = at->step == at->steps;
    if (screen->doing != at->doing) screen->pace = (cli_pace){0};
    screen->doing = at->doing;
    double seconds_left = cli_pace_left(&screen->pace, now, (double)at->step, (double)at->steps);
    if (screen->quiet) return true;
    if (!last && now - screen->shown < (screen->terminal ? LIVE_SECONDS : PLAIN_SECONDS))
        return true;
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
    return true;
}

static void show_note(void *user, const char *line) {
    display *screen = user;
    fprintf(stderr, "%s%s\n", screen->open ? "\n" : "", line);
    screen->open = false;
}

/* ---- the command ---- */

static void print_end(const variant_train_result *result, const cli_line *line) {
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

static variant_status train(const training *run, variant_train_result *result, variant_error *err) {
    switch (run->kind) {
    case VARIANT_TRAINING_TOKENIZER:
        return variant_train_tokenizer(&run->run, &run->tokenizer, result, err);
    case VARIANT_TRAINING_TRANSFORMER:
        return variant_train_transformer(&run->run, &run->transformer, result, err);
    case VARIANT_TRAINING_CLASSIFIER:
        return variant_train_classifier(&run->run, &run->classifier, result, err);
    case VARIANT_TRAINING_DECODER:
        return variant_train_decoder(&run->run, &run->decoder, result, err);
    case VARIANT_TRAINING_SUPERNET:
        break;
    }
    return variant_train_supernet(&run->run, &run->transformer, &run->supernet, result, err);
}

/* Told by a thread of its own, and the last that is. */
static void show_loss(void *user, const char *line) {
    display *screen = user;
    fprintf(stderr, "%svariant %s: %s\n", screen->open ? "\n" : "", cli_command_name(), line);
}

/* Of several ranks the first one speaks. */
static int join_ranks(training *run, display *screen) {
    variant_ranks_options options;
    variant_error err;
    if (!variant_ranks_started()) return 0;
    variant_ranks_options_init(&options);
    options.lost = show_loss;
    options.user = screen;
    if (variant_ranks_open(&run->run.ranks, &options, &err) != VARIANT_OK) return cli_fail(&err);
    if (variant_ranks_rank(run->run.ranks) > 0) {
        screen->quiet = true;
        cli_fall_silent();
    }
    return 0;
}

static int run_training(training *run, display *screen, const cli_line *line) {
    variant_error err = {0};
    variant_train_result result;
    const variant_data data = cli_data_asked(&run->data);
    const bool first = variant_ranks_rank(run->run.ranks) == 0;
    int code = training_settle(run, line);
    if (code >= 0) return code;
    variant_train_result_init(&result);
    run->run.data = &data;
    run->run.cancel = cli_catch_stop();
    run->run.progress = show_progress;
    run->run.note = show_note;
    run->run.user = screen;
    const variant_status status = train(run, &result, &err);
    const int signal = *(const volatile int *)run->run.cancel;
    if (screen->open) fprintf(stderr, "\n");
    if (status != VARIANT_OK) return cli_fail(&err);
    if (first && run->run.dry_run)
        cli_train_memory_print(&result, run->json);
    else if (first)
        print_end(&result, line);
    return result.stopped && signal ? 128 + signal : 0;
}

int training_run(void *settings, const cli_line *line) {
    training *run = settings;
    display screen = {.terminal = isatty(STDERR_FILENO), .quiet = run->quiet, .shown = cli_now()};
    int code = join_ranks(run, &screen);
    if (code == 0) code = run_training(run, &screen, line);
    variant_ranks_close(&run->run.ranks);
    return code;
}
