/* cli.h - what the commands share. One file a command; main.c dispatches. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include <signal.h>

#include "options.h"
#include "variant.h"

/* What main.c dispatches to, a command a file. */
extern const cli_command cli_generate, cli_plan, cli_train, cli_eval, cli_bench, cli_sweep,
    cli_serve, cli_inspect, cli_convert, cli_encode, cli_decode, cli_reconstruct, cli_classify,
    cli_synth, cli_selftest, cli_doctor;

/* The environment's name of the OPENBLAS_CORETYPE that the program chose by itself when it started anew: others are a person's. */
#define CLI_CORE_CHOSEN "VARIANT_CORETYPE"

/* What is said in a command's name, the one last named here. */
void cli_name_command(const char *command);
const char *cli_command_name(void);
/* What is below prints nothing from here on: another rank says it. */
void cli_fall_silent(void);
/* Prints "variant COMMAND: warning: line", or note, to stderr. user: unused. */
void cli_warn(void *user, const char *line);
void cli_note(void *user, const char *line);
/* Prints "variant COMMAND: message" to stderr. Returns 1; 2 of VARIANT_E_ARGUMENT, a value that is wrong for this model
 * or these data being wrong usage as well. */
int cli_fail(const variant_error *err);
/* 0, or as cli_fail. */
int cli_end(variant_status status, const variant_error *err);
/* Fills the error: E_MEMORY for `what`. */
variant_status cli_no_memory(variant_error *err, const char *what);
/* Clang's analyser does not look into the library, and would follow paths on which a failure is none. */
#ifdef __clang_analyzer__
#define variant_fail(err, code, ...) (variant_fail(err, code, __VA_ARGS__), (code))
#endif
/* What is not VARIANT_OK is returned from the calling function; or goes to its `cleanup:` with its `status`. */
#define CLI_TRY(expression)                                                                        \
    do {                                                                                           \
        variant_status cli_try_ = (expression);                                                    \
        if (cli_try_ != VARIANT_OK) return cli_try_;                                               \
    } while (0)
#define CLI_CHECK(expression)                                                                      \
    do {                                                                                           \
        status = (expression);                                                                     \
        if (status != VARIANT_OK) goto cleanup;                                                    \
    } while (0)
/* Wrong usage: prints "variant COMMAND: message" and where help is; returns 2. */
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on Ctrl-C and SIGTERM only set what this points to, to the signal's number (read it through a volatile pointer, or
 * atomically); the second ends the program at once. */
const int *cli_catch_stop(void);

#endif
