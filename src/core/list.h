/* list.h - lists in text: whole numbers, real ones, ranges or words between commas. Every list that somebody types or a
 * file tells is read here; a list's reader says what an item is. */
#ifndef VT_CORE_LIST_H
#define VT_CORE_LIST_H

#include <stdbool.h>

/* One number within [low, high] at *at, which moves behind it; else false. Blanks before it are passed over. */
bool vt_text_int(const char **at, long low, long high, int *out);
bool vt_text_real(const char **at, double low, double high, double *out);
/* "4" or "3-5", the last no less than the first. */
bool vt_text_range(const char **at, long low, long high, int *first, int *last);

/* Item number `index` at *at, which moves behind it; false: there is none. */
typedef bool vt_list_item(void *user, int index, const char **at);
/* 1 to `most` items between commas, up to the end of the text or one of `ends`, where *at is left. How many; 0: no item,
 * or something else, stands at *at; -1: they are more than `most`. */
int vt_list_read(const char **at, const char *ends, int most, vt_list_item *item, void *user);
/* A whole text of numbers: how many went to out (most), or 0 or -1 as above. */
int vt_list_ints(const char *text, long low, long high, int most, int *out);
int vt_list_reals(const char *text, double low, double high, int most, double *out);

#endif
