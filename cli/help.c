/* help.c - a command's table as --help, and the pieces of text that every other form of it is made of (manual.c). */
#include "help.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "values.h"

enum { WIDTH = 100, COLUMN = 25 }; /* of help; where the text of an option begins */

/* ---- an option's text ---- */

void cli_option_text(const cli_option *o, char *out, size_t size) {
    char letter[8] = "", also[48] = "";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    if (o->also) snprintf(also, sizeof also, ", --%s", o->also);
    snprintf(out, size, "%s--%s%s%s%s", letter, o->name, also,
             o->argument && o->argument[0] != '[' ? " " : "", o->argument ? o->argument : "");
}

static void list_text(const cli_row *row, char *out, size_t size) {
    const cli_option *o = row->option;
    const void *numbers = row->owner + o->at;
    int count = *(const int *)(const void *)(row->owner + o->count);
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < count && at < size; ++i)
        at += (size_t)snprintf(out + at, size - at, "%s%.10g", i ? "," : "",
                               o->kind == CLI_KIND_INTS ? (double)((const int *)numbers)[i]
                                                        : ((const double *)numbers)[i]);
}

/* With a unit, where there is anything to count. */
static bool seconds_text(double seconds, char *out, size_t size) {
    const bool part = seconds > 0.0 && seconds < 1.0;
    return snprintf(out, size, "%.10g%s", part ? 1e3 * seconds : seconds,
                    part            ? "ms"
                    : seconds > 0.0 ? "s"
                                    : "") > 0;
}

static bool bytes_text(size_t bytes, char *out, size_t size) {
    const bool round = bytes > 0 && bytes % (1 << 20) == 0;
    return snprintf(out, size, "%zu%s", round ? bytes >> 20 : bytes, round ? "MiB" : "") > 0;
}

/* A number as it would be typed; false: the kind is none. */
static bool number_text(cli_kind kind, const void *at, char *out, size_t size) {
    switch (kind) {
    case CLI_KIND_INT:
        return snprintf(out, size, "%d", *(const int *)at) > 0;
    case CLI_KIND_INT64:
        return snprintf(out, size, "%" PRId64, *(const int64_t *)at) > 0;
    case CLI_KIND_U64:
        return snprintf(out, size, "%" PRIu64, *(const uint64_t *)at) > 0;
    case CLI_KIND_BYTES:
        return bytes_text(*(const size_t *)at, out, size);
    case CLI_KIND_SECONDS:
        return seconds_text(*(const double *)at, out, size);
    case CLI_KIND_REAL:
    case CLI_KIND_ABOVE:
        return snprintf(out, size, "%.10g", *(const double *)at) > 0;
    case CLI_KIND_FLOAT:
        return snprintf(out, size, "%g", (double)*(const float *)at) > 0;
    default:
        return false;
    }
}

void cli_held_text(const cli_row *row, char *out, size_t size) {
    const cli_option *o = row->option;
    const void *at = row->owner + o->at;
    const char *text = NULL;
    int place = -1;
    out[0] = '\0';
    if (o->show)
        o->show(row->owner, out, size);
    else if (o->kind == CLI_KIND_INTS || o->kind == CLI_KIND_REALS)
        list_text(row, out, size);
    else if (o->kind == CLI_KIND_EITHER)
        place = *(const bool *)at == (o->low == 1.0);
    else if (o->kind == CLI_KIND_WORD)
        memcpy(&place, at, sizeof place);
    else if (o->kind == CLI_KIND_NAME || o->kind == CLI_KIND_TEXT || o->kind == CLI_KIND_LIST)
        text = *(const char *const *)at;
    else
        number_text(o->kind, at, out, size);
    if (text) snprintf(out, size, "%s", text);
    if (place >= 0) cli_word_at(o->words, place, out, size);
}

static void range_text(const cli_option *o, char *out, size_t size) {
    bool whole = o->kind == CLI_KIND_INT || o->kind == CLI_KIND_INT64 || o->kind == CLI_KIND_LIST ||
                 o->kind == CLI_KIND_INTS;
    if (o->step)
        snprintf(out, size, "a multiple of %d from %.0f to %.0f", o->step, o->low, o->high);
    else if (o->kind == CLI_KIND_ABOVE)
        snprintf(out, size, "above %g, up to %g", o->low, o->high);
    else
        snprintf(out, size, whole ? "%.0f to %.0f" : "%g to %g", o->low, o->high);
}

/* "f32 (exact), bf16 (half the memory) or int8" */
static void words_text(const cli_option *o, char *out, size_t size) {
    char noted[200] = "", word[48], note[80];
    size_t at = 0;
    int count = 1;
    for (const char *c = o->words; *c; ++c) count += *c == '|';
    for (int i = 0; o->notes && i < count && at < sizeof noted; ++i) {
        cli_word_at(o->words, i, word, sizeof word);
        cli_word_at(o->notes, i, note, sizeof note);
        at += (size_t)snprintf(noted + at, sizeof noted - at, note[0] ? "%s%s (%s)" : "%s%s",
                               i ? "|" : "", word, note);
    }
    cli_word_list(o->notes ? noted : o->words, out, size);
}

void cli_does_text(const cli_option *o, char *out, size_t size) {
    char said[200];
    size_t at = 0;
    out[0] = '\0';
    for (const char *c = o->help; *c && at + 1 < size;) {
        bool range = strncmp(c, "{range}", 7) == 0, words = strncmp(c, "{words}", 7) == 0;
        if (range) range_text(o, said, sizeof said);
        if (words) words_text(o, said, sizeof said);
        at += (size_t)snprintf(out + at, size - at, "%.*s", range || words ? 199 : 1,
                               range || words ? said : c);
        c += range || words ? 7 : 1;
    }
}

void cli_row_text(const cli_row *row, char *out, size_t size) {
    char said[200];
    const cli_option *o = row->option;
    cli_does_text(o, out, size);
    size_t at = strlen(out);
    if (!o->unset) cli_held_text(row, said, sizeof said);
    const char *holds = o->unset ? o->unset : said;
    if (holds[0]) snprintf(out + at, size - at, " (default%s %s)", o->unset ? ":" : "", holds);
}

/* ---- the help ---- */

/* A text in lines of WIDTH, the first behind `used` columns, the others behind `column` blanks. */
static void print_lines(FILE *to, const char *text, int used, int column) {
    for (;;) {
        size_t room = (size_t)(WIDTH - used), length = strcspn(text, "\n");
        if (length > room)
            for (length = room; length > 0 && text[length] != ' ';) --length;
        if (length == 0) length = strcspn(text, " \n"); /* a word longer than a line */
        fprintf(to, "%.*s\n", (int)length, text);
        text += length;
        if (!*text) return;
        ++text;
        fprintf(to, "%*s", column, "");
        used = column;
    }
}

static void print_row(FILE *to, const cli_row *row) {
    char left[100], text[800];
    if (!row->option->name) {
        fprintf(to, "\n%s\n", row->option->help);
        return;
    }
    cli_option_text(row->option, left, sizeof left);
    cli_row_text(row, text, sizeof text);
    int used = fprintf(to, "  %s%s", row->option->letter ? "" : "    ", left);
    used += fprintf(to, "%*s", used < COLUMN - 1 ? COLUMN - used : 2, "");
    print_lines(to, text, used, COLUMN);
}

/* "usage: " before the first of the ways to use a command. */
static void print_usage(FILE *to, const cli_command *command) {
    const char *before = "usage: ";
    for (const char *at = command->usage; *at;) {
        size_t length = strcspn(at, "\n");
        fprintf(to, "%svariant %s%s%.*s\n", before, command->name, command->name[0] ? " " : "",
                (int)length, at);
        before = "       ";
        at += length + (at[length] == '\n');
    }
}

static void print_examples(FILE *to, const char *examples) {
    fputs("\nexamples\n", to);
    for (const char *at = examples; *at;) {
        size_t length = strcspn(at, "\n");
        fprintf(to, "  %.*s\n", (int)length, at);
        at += length + (at[length] == '\n');
    }
}

void cli_kind_list(const cli_command *command, char *out, size_t size) {
    char words[240] = "";
    size_t at = 0;
    for (int i = 0; command->kinds[i] && at < sizeof words; ++i)
        at += (size_t)snprintf(words + at, sizeof words - at, "%s%s", i ? "|" : "",
                               cli_kind_name(command->kinds[i]));
    cli_word_list(words, out, size);
}

void cli_help(const cli_command *command, FILE *to) {
    print_usage(to, command);
    if (command->about) fputc('\n', to);
    if (command->about) print_lines(to, command->about, 0, 0);
    for (int i = 0; command->kinds && command->kinds[i]; ++i)
        fprintf(to, "%s  %-12s %s\n", i ? "" : "\ncommands\n", cli_kind_name(command->kinds[i]),
                command->kinds[i]->purpose);
    void *settings = cli_settings(command);
    cli_row rows[CLI_MOST_ROWS];
    int count = settings && command->options ? cli_rows(command, settings, rows) : 0;
    if (count > 0 && rows[0].option->name) fprintf(to, "\noptions\n");
    for (int i = 0; i < count; ++i) print_row(to, &rows[i]);
    free(settings);
    if (command->notes) {
        fputc('\n', to);
        print_lines(to, command->notes, 0, 0);
    }
    if (command->examples) print_examples(to, command->examples);
}
