/* variant/text.h - text that people type and read, as the library itself takes it from options and files, and writes it: numbers and lists
 * of them, the word that a typing error meant, scores with their spread, bytes as letters. For programs whose options are like
 * `variant`'s. */
#ifndef VARIANT_TEXT_H
#define VARIANT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>

VARIANT_BEGIN

/* One number within [low, high] at *at, which moves behind it; else false. Blanks before it are passed over. Threads: any, of all
 * functions here. */
bool variant_text_int(const char **at, long low, long high, int *out);
bool variant_text_real(const char **at, double low, double high, double *out);
/* "4" or "3-5", the last no less than the first. */
bool variant_text_range(const char **at, long low, long high, int *first, int *last);

/* Item number `index` at *at, which moves behind it; false: there is none. */
typedef bool (*variant_list_item)(void *user, int index, const char **at);
/* 1 to `most` items between commas, up to the end of the text or one of `ends`, where *at is left. How many; 0: no item,
 * or something else, stands at *at; -1: they are more than `most`. */
int variant_list_read(const char **at, const char *ends, int most, variant_list_item item,
                      void *user);
/* A whole text of numbers: how many went to out (most), or 0 or -1 as above. */
int variant_list_ints(const char *text, long low, long high, int most, int *out);
int variant_list_reals(const char *text, double low, double high, int most, double *out);

/* Letters to insert, delete or replace to turn one word into the other (Levenshtein), upper and lower case alike;
 * 99 where one has more than 30. */
int variant_word_distance(const char *a, const char *b);

/* "0.347 +- 0.012", `sign` between: as many decimals, at most 4, as leave two digits of the spread; without a spread
 * (NAN) four decimals and no sign. At most `size` bytes go to out. */
void variant_text_with_spread(char *out, size_t size, double value, double spread,
                              const char *sign);
/* "512 B", "1.27 MB", in powers of 1000. */
void variant_text_bytes(char *out, size_t size, double bytes);
/* Bytes as letters (RFC 4648), NUL-terminated: free() them; NULL: no memory. */
char *variant_base64(const uint8_t *bytes, size_t size);

VARIANT_END

#endif
