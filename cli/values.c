/* values.c - see values.h. */
#include "values.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Options are read by one thread, before anything else runs. */
static char expected[320];

bool cli_refuse(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    return false;
}

const char *cli_expected(void) {
    return expected;
}

void cli_expected_clear(void) {
    expected[0] = '\0';
}

/* ---- numbers ---- */

/* A whole number within bounds at *at, which moves behind it. */
static bool take_int(const char **at, long low, long high, int *out) {
    char *end = NULL;
    errno = 0;
    long value = strtol(*at, &end, 10);
    if (end == *at || errno != 0 || value < low || value > high) return false;
    *at = end;
    *out = (int)value;
    return true;
}

static bool take_double(const char **at, double low, double high, double *out) {
    char *end = NULL;
    double value = strtod(*at, &end);
    if (end == *at || !(value >= low && value <= high)) return false;
    *at = end;
    *out = value;
    return true;
}

bool cli_int(const char *text, long low, long high, int *out) {
    int value = 0;
    if (!take_int(&text, low, high, &value) || *text)
        return cli_refuse("expected a whole number from %ld to %ld", low, high);
    *out = value;
    return true;
}

bool cli_multiple(const char *text, long low, long high, int step, int *out) {
    int value = 0;
    if (!take_int(&text, low, high, &value) || *text || value % step != 0)
        return cli_refuse("expected a multiple of %d from %ld to %ld", step, low, high);
    *out = value;
    return true;
}

bool cli_double(const char *text, double low, double high, double *out) {
    double value = 0.0;
    if (!take_double(&text, low, high, &value) || *text)
        return cli_refuse("expected a number from %g to %g", low, high);
    *out = value;
    return true;
}

static bool take_u64(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') return false; /* strtoull takes signs and blanks */
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0) return false;
    *out = value;
    return true;
}

bool cli_u64(const char *text, uint64_t *out) {
    if (take_u64(text, out)) return true;
    return cli_refuse("expected a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
}

bool cli_seed(const char *text, uint64_t *out) {
    if (strcmp(text, "-1") != 0 && strcmp(text, "random") != 0) {
        if (take_u64(text, out)) return true;
        return cli_refuse("expected a whole number from 0 to %llu, or -1 for a random one",
                          (unsigned long long)UINT64_MAX);
    }
    uint32_t drawn = 0;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) drawn = (uint32_t)time(NULL);
    *out = drawn;
    return true;
}

bool cli_threads(const char *text, int *out) {
    return cli_int(text, 1, 1024, out);
}

bool cli_bytes(const char *text, size_t *out) {
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},         {"B", 1},         {"K", 1e3},         {"KB", 1e3},
                 {"M", 1e6},      {"MB", 1e6},      {"G", 1e9},         {"GB", 1e9},
                 {"KiB", 1024.0}, {"MiB", 1048576}, {"GiB", 1073741824}};
    double value = 0.0;
    bool valid = take_double(&text, 0.0, 1e15, &value);
    for (size_t i = 0; valid && i < sizeof units / sizeof units[0]; ++i) {
        if (strcmp(text, units[i].name) != 0) continue;
        value *= units[i].bytes;
        if (!(value >= 1.0 && value <= 1e15)) break;
        *out = (size_t)value;
        return true;
    }
    return cli_refuse(
        "expected a size from 1 byte to 1000000G, such as 300M, 1.5G, 512MiB or 2GiB");
}

bool cli_seconds(const char *text, double *out) {
    double value = 0.0;
    bool valid = take_double(&text, 0.0, 1e9, &value);
    if (valid && strcmp(text, "ms") == 0)
        value /= 1e3;
    else if (valid && *text && strcmp(text, "s") != 0)
        valid = false;
    if (!valid || !(value > 0.0 && value <= 1e6))
        return cli_refuse("expected a time above 0, up to 1000000s, such as 800ms or 2s");
    *out = value;
    return true;
}

/* ---- lists ---- */

bool cli_ints(const char *text, long low, long high, int most, int *out, int *count) {
    int held = 0;
    for (const char *at = text; held < most && take_int(&at, low, high, &out[held]); ++at) {
        ++held;
        if (*at == '\0') {
            *count = held;
            return true;
        }
        if (*at != ',') break;
    }
    return cli_refuse("expected 1 to %d whole numbers from %ld to %ld between commas", most, low,
                      high);
}

bool cli_doubles(const char *text, double low, double high, int most, double *out, int *count) {
    int held = 0;
    for (const char *at = text; held < most && take_double(&at, low, high, &out[held]); ++at) {
        ++held;
        if (*at == '\0') {
            *count = held;
            return true;
        }
        if (*at != ',') break;
    }
    return cli_refuse("expected 1 to %d numbers from %g to %g between commas", most, low, high);
}

/* "4" or "3-5" at *at, which moves behind it. */
static bool take_range(const char **at, long low, long high, int *first, int *last) {
    if (!take_int(at, low, high, first)) return false;
    *last = *first;
    if (**at != '-') return true;
    ++*at;
    return take_int(at, *first, high, last);
}

bool cli_range(const char *text, long low, long high, int *first, int *last) {
    int from = 0, to = 0;
    if (!take_range(&text, low, high, &from, &to) || *text)
        return cli_refuse(
            "expected a whole number from %ld to %ld, or a range of them such as %ld-%ld", low,
            high, low, high);
    *first = from;
    *last = to;
    return true;
}

bool cli_ranges(const char *text, long low, long high, int most, int (*out)[2], int *count) {
    int held = 0;
    for (const char *at = text;
         held < most && take_range(&at, low, high, &out[held][0], &out[held][1]); ++at) {
        ++held;
        if (*at == '\0') {
            *count = held;
            return true;
        }
        if (*at != ',') break;
    }
    return cli_refuse("expected 1 to %d ranges such as %ld-%ld within %ld to %ld between commas",
                      most, low, low + 1, low, high);
}

/* ---- words ---- */

/* The place of the word of `length` letters among words between bars, or -1. */
static int find_word(const char *text, size_t length, const char *words) {
    int place = 0;
    for (const char *at = words;; ++at, ++place) {
        size_t size = strcspn(at, "|");
        if (size == length && memcmp(at, text, length) == 0) return place;
        at += size;
        if (!*at) return -1;
    }
}

/* "a|b|c" as "a, b or c". */
static void list_words(char *out, size_t size, const char *words) {
    size_t at = 0;
    const char *last = strrchr(words, '|');
    out[0] = '\0';
    for (const char *from = words; *from && at < size;) {
        size_t length = strcspn(from, "|");
        const char *before = from == words ? "" : from == last + 1 ? " or " : ", ";
        at += (size_t)snprintf(out + at, size - at, "%s%.*s", before, (int)length, from);
        from += length;
        from += *from == '|';
    }
}

int cli_word(const char *text, const char *words) {
    int place = find_word(text, strlen(text), words);
    if (place < 0) {
        char list[240];
        list_words(list, sizeof list, words);
        cli_refuse("expected %s", list);
    }
    return place;
}

bool cli_words(const char *text, const char *words, int most, int *out, int *count) {
    int held = 0;
    for (const char *at = text; held < most; ++at) {
        size_t length = strcspn(at, ",");
        int place = find_word(at, length, words);
        if (place < 0) break;
        out[held++] = place;
        at += length;
        if (*at) continue;
        *count = held;
        return true;
    }
    char list[240];
    list_words(list, sizeof list, words);
    return cli_refuse("expected 1 to %d of %s between commas", most, list);
}

bool cli_is_number_type(const char *text) {
    return cli_word(text, "f32|bf16|int8") >= 0;
}

bool cli_draws(const char *text, int *out) {
    int draws = 0;
    if (!cli_int(text, 0, 10000, &draws) || draws == 1)
        return cli_refuse("expected 0 (no spread), or a whole number from 2 to 10000");
    *out = draws;
    return true;
}

bool cli_channels(const char *text, int *out) {
    int place = cli_word(text, "1|3");
    if (place < 0) return cli_refuse("expected 1 (grey) or 3 (colour)");
    *out = place ? 3 : 1;
    return true;
}

bool cli_sides(const char *text, const char **out) {
    int sides[32], count = 0;
    *out = text;
    return cli_ints(text, 1, 1024, 32, sides, &count);
}

bool cli_text(const char *text, const char *what, const char **out) {
    if (!*text) return cli_refuse("expected %s", what);
    *out = text;
    return true;
}
