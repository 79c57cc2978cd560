/* cli.h - what the commands share. One file a command; main.c dispatches. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include <signal.h>

#include "values.h"
#include "variant.h"

/* Every command: argv[0] is its name; returns the exit status: 0 done, 1 failed, 2 wrong usage,
 * 128 + N a training stopped by signal N. */
int cli_generate(int argc, char **argv);
int cli_plan(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_sweep(int argc, char **argv);
int cli_encode(int argc, char **argv);
int cli_decode(int argc, char **argv);
int cli_reconstruct(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_classify(int argc, char **argv);
int cli_convert(int argc, char **argv);
int cli_synth(int argc, char **argv);
int cli_selftest(int argc, char **argv);
int cli_eval(int argc, char **argv);

/* Of every command that opens a model. */
#define CLI_PART_HELP                                                                              \
    "      --part NAME        which of several models in a file, such as ema or model (default: "  \
    "averaged\n"                                                                                   \
    "                         weights before others, said on stderr)\n"

/* Prints "variant COMMAND: warning: line" to stderr, COMMAND being the one last named. user: unused. */
void cli_name_command(const char *command);
void cli_warn(void *user, const char *line);
/* Prints "variant COMMAND: message" to stderr. Returns 1; 2 of VARIANT_E_ARGUMENT, a value that is wrong for this model
 * or these data being wrong usage as well. */
int cli_fail(const char *command, const variant_error *err);
/* Prints "variant COMMAND: message" and where help is; returns 2. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From now on Ctrl-C and SIGTERM only set what this points to, to the signal's number; the second ends
 * the program at once. */
const volatile sig_atomic_t *cli_catch_stop(void);

#endif
