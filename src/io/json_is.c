/* json_is.c - is a text JSON? Asked where cJSON gave no value of it: then it was memory that failed, not the text (json.h).
 *
 * As narrow as cJSON where cJSON is narrower than the grammar (depth, length of a number, halves of surrogate pairs), so that no text that it refuses is
 * taken for one that it had no memory for. */
#include <string.h>

#include "io/json.h"

/* MARKED: bytes of a text from which on cJSON passes over a mark of UTF-8. */
enum { DEEPEST = CJSON_NESTING_LIMIT, LONGEST_NUMBER = 63, MARKED = 5 };

typedef struct reader {
    const char *at, *end;
} reader;

static char next_of(const reader *r) {
    return r->at < r->end ? *r->at : '\0';
}

static bool take(reader *r, char c) {
    const bool found = next_of(r) == c && r->at < r->end;
    r->at += found;
    return found;
}

static void pass_blanks(reader *r) {
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) ++r->at;
}

static bool take_word(reader *r, const char *word) {
    const size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return false;
    r->at += length;
    return true;
}

static bool take_digits(reader *r) {
    const char *const from = r->at;
    while (next_of(r) >= '0' && next_of(r) <= '9') ++r->at;
    return r->at > from;
}

static bool take_number(reader *r) {
    const char *const from = r->at;
    take(r, '-');
    if (!take(r, '0') && !take_digits(r)) return false;
    if (take(r, '.') && !take_digits(r)) return false;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+')) take(r, '-');
        if (!take_digits(r)) return false;
    }
    return r->at - from <= LONGEST_NUMBER;
}

/* The four digits behind "\u"; -1: they are none. */
static int take_hex(reader *r) {
    int code = 0;
    for (int i = 0; i < 4; ++i, ++r->at) {
        const char c = next_of(r);
        const char *const digits = "0123456789abcdef", *found = strchr(digits, c | 0x20);
        if (!c || c < '0' || !found) return -1;
        code = code * 16 + (int)(found - digits);
    }
    return code;
}

static bool take_escape(reader *r) {
    const char c = next_of(r);
    if (!c || !strchr("\"\\/bfnrtu", c)) return false;
    ++r->at;
    if (c != 'u') return true;
    const int code = take_hex(r);
    if (code < 0xD800 || code > 0xDFFF) return code >= 0;
    if (code > 0xDBFF || !take_word(r, "\\u")) return false;
    const int low = take_hex(r);
    return low >= 0xDC00 && low <= 0xDFFF;
}

static bool take_string(reader *r) {
    if (!take(r, '"')) return false;
    while (r->at < r->end) {
        const char c = *r->at++;
        if (c == '"') return true;
        if (c == '\\' && !take_escape(r)) return false;
    }
    return false;
}

static bool take_key(reader *r) {
    pass_blanks(r);
    if (!take_string(r)) return false;
    pass_blanks(r);
    return take(r, ':');
}

static bool take_scalar(reader *r) {
    if (next_of(r) == '"') return take_string(r);
    return take_word(r, "null") || take_word(r, "true") || take_word(r, "false") || take_number(r);
}

/* Behind a value: a comma, and the key of the next one, or the ends of what it lies in. *more: another value follows. */
static bool take_behind(reader *r, const char *opened, int *depth, bool *more) {
    for (*more = false; *depth > 0 && !*more;) {
        const bool object = opened[*depth - 1] == '{';
        pass_blanks(r);
        if (take(r, ','))
            *more = true;
        else if (take(r, object ? '}' : ']'))
            --*depth;
        else
            return false;
        if (*more && object && !take_key(r)) return false;
    }
    return true;
}

bool vt_json_is(const char *text, size_t size) {
    reader r = {text, text + size};
    char opened[DEEPEST];
    int depth = 0;
    if (size >= MARKED) (void)take_word(&r, "\xEF\xBB\xBF"); /* a mark of UTF-8 */
    for (bool more = true; more;) {
        pass_blanks(&r);
        const char c = next_of(&r);
        if (c == '{' || c == '[') {
            if (depth == DEEPEST) return false;
            ++r.at;
            opened[depth++] = c;
            pass_blanks(&r);
            const bool empty = next_of(&r) == (c == '{' ? '}' : ']');
            if (!empty && c == '{' && !take_key(&r)) return false;
            if (!empty) continue;
        } else if (!take_scalar(&r)) {
            return false;
        }
        if (!take_behind(&r, opened, &depth, &more)) return false;
    }
    return true;
}
