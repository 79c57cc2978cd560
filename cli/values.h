/* values.h - the values of options: numbers, sizes, times, words, lists. A reader takes the text wholly or not at
 * all; one that does not take it keeps what it would have taken, and the parser says so in the one line of the error:
 * "--top-p 1.5: expected a number from 0 to 1". */
#ifndef VT_CLI_VALUES_H
#define VT_CLI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keeps what was expected; false, for whoever refuses a value: return cli_refuse("..."). */
bool cli_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the last refusal expected; "" where there was none since cli_expected_clear. */
const char *cli_expected(void);
void cli_expected_clear(void);

/* Numbers within [low, high]. */
bool cli_int(const char *text, long low, long high, int *out);
bool cli_multiple(const char *text, long low, long high, int step, int *out);
bool cli_double(const char *text, double low, double high, double *out);
bool cli_u64(const char *text, uint64_t *out);
/* A seed: as cli_u64, or -1 or random, which draws one that is short to type again. */
bool cli_seed(const char *text, uint64_t *out);
/* Seeds between commas, 1 to `most`: "1,2,5", "1-3", "1-3,9"; each once. */
bool cli_seeds(const char *text, int most, uint64_t *out, int *count);
/* --draws: 0 (none), or 2 to 10000. */
bool cli_draws(const char *text, int *out);
/* 300M, 1.5G (powers of 1000), 512MiB, 2GiB or bytes; more than 0. */
bool cli_bytes(const char *text, size_t *out);
/* 800ms, 2s; a number alone is seconds; more than 0. */
bool cli_seconds(const char *text, double *out);

/* Between commas, 1 to `most` of them: "8,4,2". */
bool cli_ints(const char *text, long low, long high, int most, int *out, int *count);
bool cli_doubles(const char *text, double low, double high, int most, double *out, int *count);
/* "4" or "3-5", within [low, high], first no more than last; and 1 to `most` such between commas. */
bool cli_range(const char *text, long low, long high, int *first, int *last);
bool cli_ranges(const char *text, long low, long high, int most, int (*out)[2], int *count);

/* Words between bars, "test|train": the place of text among them, or -1. */
int cli_word(const char *text, const char *words);
/* "a|b|c" as "a, b or c"; and the one at a place. */
void cli_word_list(const char *words, char *out, size_t size);
void cli_word_at(const char *words, int place, char *out, size_t size);
/* Likewise of a list between commas, 1 to `most`. */
bool cli_words(const char *text, const char *words, int most, int *out, int *count);
/* 1 or 3. */
bool cli_channels(const char *text, int *out);
/* A name, a path or a list that is read later: anything but nothing. expects: "a file". */
bool cli_text(const char *text, const char *expects, const char **out);

#endif
