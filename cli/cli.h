/* cli.h - what the commands share. One file a command; main.c dispatches. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include <signal.h>

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

/* Prints "variant COMMAND: message" to stderr; returns 1. */
int cli_fail(const char *command, const variant_error *err);
/* Prints "variant COMMAND: message" and where help is; returns 2. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From now on Ctrl-C and SIGTERM only set what this points to, to the signal's number; the second ends
 * the program at once. */
const volatile sig_atomic_t *cli_catch_stop(void);

/* Numbers of options: false when text is not wholly a number within [low, high]. */
bool cli_int(const char *text, long low, long high, int *out);
/* --threads, 1 to 1024: OpenMP's default too, which BLAS goes by where the statistics of scores call
 * it outside of a backend. */
bool cli_threads(const char *text, int *out);
bool cli_u64(const char *text, uint64_t *out);
bool cli_double(const char *text, double low, double high, double *out);
/* 300M, 1.5G (powers of 1000), 512MiB, 2GiB or bytes; more than 0. */
bool cli_bytes(const char *text, size_t *out);
/* 800ms, 2s; a number alone is seconds; more than 0. */
bool cli_seconds(const char *text, double *out);
/* f32, bf16 or int8: what --weights and --kv take. */
bool cli_is_number_type(const char *text);

#endif
