/* list.c - lists in text (variant/text.h): whole numbers, real ones, ranges or words between commas. Every list that somebody types or a
 * file tells is read here; a list's reader says what an item is. */
#include "variant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool variant_text_int(const char **at, long low, long high, int *out) {
    char *end = NULL;
    errno = 0;
    long value = strtol(*at, &end, 10);
    if (end == *at || errno != 0 || value < low || value > high) return false;
    *at = end;
    *out = (int)value;
    return true;
}

bool variant_text_real(const char **at, double low, double high, double *out) {
    char *end = NULL;
    double value = strtod(*at, &end);
    if (end == *at || !(value >= low && value <= high)) return false;
    *at = end;
    *out = value;
    return true;
}

bool variant_text_range(const char **at, long low, long high, int *first, int *last) {
    if (!variant_text_int(at, low, high, first)) return false;
    *last = *first;
    if (**at != '-') return true;
    ++*at;
    return variant_text_int(at, *first, high, last);
}

int variant_list_read(const char **at, const char *ends, int most, variant_list_item item,
                      void *user) {
    for (int count = 0; count < most; ++*at) {
        if (!item(user, count++, at)) return 0;
        *at += strspn(*at, " \t");
        if (**at == '\0' || strchr(ends, **at)) return count;
        if (**at != ',') return 0;
    }
    return -1;
}

/* Numbers of one range. */
typedef struct numbers {
    double low, high;
    int *ints;
    double *reals;
} numbers;

static bool take_int(void *user, int index, const char **at) {
    const numbers *n = user;
    return variant_text_int(at, (long)n->low, (long)n->high, &n->ints[index]);
}

static bool take_real(void *user, int index, const char **at) {
    const numbers *n = user;
    return variant_text_real(at, n->low, n->high, &n->reals[index]);
}

int variant_list_ints(const char *text, long low, long high, int most, int *out) {
    numbers n = {.low = (double)low, .high = (double)high, .ints = out};
    return variant_list_read(&text, "", most, take_int, &n);
}

int variant_list_reals(const char *text, double low, double high, int most, double *out) {
    numbers n = {.low = low, .high = high, .reals = out};
    return variant_list_read(&text, "", most, take_real, &n);
}
