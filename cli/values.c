/* values.c - see values.h. */
#include "values.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "variant.h"

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

bool cli_int(const char *text, long low, long high, int *out) {
    int value = 0;
    if (!variant_text_int(&text, low, high, &value) || *text)
        return cli_refuse("expected a whole number from %ld to %ld", low, high);
    *out = value;
    return true;
}

bool cli_multiple(const char *text, long low, long high, int step, int *out) {
    int value = 0;
    if (!variant_text_int(&text, low, high, &value) || *text || value % step != 0)
        return cli_refuse("expected a multiple of %d from %ld to %ld", step, low, high);
    *out = value;
    return true;
}

bool cli_double(const char *text, double low, double high, double *out) {
    double value = 0.0;
    if (!variant_text_real(&text, low, high, &value) || *text)
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

bool cli_bytes(const char *text, size_t *out) {
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},         {"B", 1},         {"K", 1e3},         {"KB", 1e3},
                 {"M", 1e6},      {"MB", 1e6},      {"G", 1e9},         {"GB", 1e9},
                 {"KiB", 1024.0}, {"MiB", 1048576}, {"GiB", 1073741824}};
    double value = 0.0;
    bool valid = variant_text_real(&text, 0.0, 1e15, &value);
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
    bool valid = variant_text_real(&text, 0.0, 1e9, &value);
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
    *count = variant_list_ints(text, low, high, most, out);
    return *count > 0 || cli_refuse("expected 1 to %d whole numbers from %ld to %ld between commas",
                                    most, low, high);
}

bool cli_doubles(const char *text, double low, double high, int most, double *out, int *count) {
    *count = variant_list_reals(text, low, high, most, out);
    return *count > 0 ||
           cli_refuse("expected 1 to %d numbers from %g to %g between commas", most, low, high);
}

bool cli_range(const char *text, long low, long high, int *first, int *last) {
    int from = 0, to = 0;
    if (!variant_text_range(&text, low, high, &from, &to) || *text)
        return cli_refuse(
            "expected a whole number from %ld to %ld, or a range of them such as %ld-%ld", low,
            high, low, high);
    *first = from;
    *last = to;
    return true;
}

typedef struct range_list {
    long low, high;
    int (*out)[2];
} range_list;

static bool take_range(void *user, int index, const char **at) {
    const range_list *list = user;
    return variant_text_range(at, list->low, list->high, &list->out[index][0],
                              &list->out[index][1]);
}

bool cli_ranges(const char *text, long low, long high, int most, int (*out)[2], int *count) {
    range_list list = {low, high, out};
    *count = variant_list_read(&text, "", most, take_range, &list);
    return *count > 0 ||
           cli_refuse("expected 1 to %d ranges such as %ld-%ld within %ld to %ld between commas",
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

void cli_word_list(const char *words, char *out, size_t size) {
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

void cli_word_at(const char *words, int place, char *out, size_t size) {
    for (; place > 0; --place) words = strchr(words, '|') + 1;
    snprintf(out, size, "%.*s", (int)strcspn(words, "|"), words);
}

int cli_word(const char *text, const char *words) {
    int place = find_word(text, strlen(text), words);
    if (place < 0) {
        char list[240];
        cli_word_list(words, list, sizeof list);
        cli_refuse("expected %s", list);
    }
    return place;
}

typedef struct word_list {
    const char *words;
    int *out;
} word_list;

static bool take_word(void *user, int index, const char **at) {
    const word_list *list = user;
    size_t length = strcspn(*at, ",");
    list->out[index] = find_word(*at, length, list->words);
    *at += length;
    return list->out[index] >= 0;
}

bool cli_words(const char *text, const char *words, int most, int *out, int *count) {
    word_list list = {words, out};
    char named[240];
    *count = variant_list_read(&text, "", most, take_word, &list);
    cli_word_list(words, named, sizeof named);
    return *count > 0 || cli_refuse("expected 1 to %d of %s between commas", most, named);
}

/* A seed at *at, which moves behind it. */
static bool read_one_seed(const char **at, uint64_t *out) {
    char *end = NULL;
    if (**at < '0' || **at > '9') return false;
    errno = 0;
    *out = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

static bool take_seeds(const char **at, int most, uint64_t *out, int *count) {
    uint64_t first, last;
    if (!read_one_seed(at, &first)) return false;
    last = first;
    if (**at == '-' && (++*at, !read_one_seed(at, &last))) return false;
    if (last < first || last - first >= (uint64_t)(most - *count)) return false;
    for (uint64_t n = 0; n <= last - first; ++n) {
        for (int i = 0; i < *count; ++i)
            if (out[i] == first + n) return false;
        out[(*count)++] = first + n;
    }
    return **at == ',' || !**at;
}

bool cli_seeds(const char *text, int most, uint64_t *out, int *count) {
    bool good = true;
    for (*count = 0; good;) {
        good = *count < most && take_seeds(&text, most, out, count);
        if (good && !*text++) return true;
    }
    *count = 0;
    return cli_refuse("expected 1 to %d seeds such as 1-3 or 1,2,5, each once", most);
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

bool cli_text(const char *text, const char *expects, const char **out) {
    if (!*text) return cli_refuse("expected %s", expects);
    *out = text;
    return true;
}
