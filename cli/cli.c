/* cli.c - complaints of every command, and Ctrl-C. */
#include <stdarg.h>
#include <stdio.h>

#include "cli.h"

static const char *current_command = "";
static bool silent;

void cli_name_command(const char *command) {
    current_command = command;
}

void cli_fall_silent(void) {
    silent = true;
}

const char *cli_command_name(void) {
    return current_command;
}

void cli_warn(void *user, const char *line) {
    (void)user;
    if (!silent) fprintf(stderr, "variant %s: warning: %s\n", current_command, line);
}

void cli_note(void *user, const char *line) {
    (void)user;
    if (!silent) fprintf(stderr, "variant %s: note: %s\n", current_command, line);
}

int cli_fail(const variant_error *err) {
    const char *message = err->message[0] ? err->message : variant_status_sentence(err->status);
    if (!silent) fprintf(stderr, "variant %s: %s\n", current_command, message);
    return err->status == VARIANT_E_ARGUMENT ? 2 : 1;
}

int cli_end(variant_status status, const variant_error *err) {
    return status == VARIANT_OK ? 0 : cli_fail(err);
}

variant_status cli_no_memory(variant_error *err, const char *what) {
    return variant_fail(err, VARIANT_E_MEMORY, "no memory for %s", what);
}

int cli_misuse(const char *format, ...) {
    if (silent) return 2;
    fprintf(stderr, "variant %s: ", current_command);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (variant %s --help shows the options)\n", current_command);
    return 2;
}

static int stop_signal; /* other threads read it, and so does the library */

static void on_stop(int number) {
    __atomic_store_n(&stop_signal, number, __ATOMIC_RELAXED);
}

const int *cli_catch_stop(void) {
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_signal;
}
