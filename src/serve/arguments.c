/* arguments.c - see arguments.h. */
#include "serve/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/text.h"

/* One word for a shell; free(). */
static char *quoted(const char *word) {
    if (*word && !word[strcspn(word, " \t\n!\"#$&'()*;<=>?[\\]^`{|}~")]) return strdup(word);
    char *text = malloc(4 * strlen(word) + 3), *out = text;
    if (!text) return NULL;
    *out++ = '\'';
    for (; *word; ++word) {
        if (*word == '\'') out = stpcpy(out, "'\\'"); /* ends, one of its own, begins again */
        *out++ = *word;
    }
    *out++ = '\'';
    *out = '\0';
    return text;
}

/* Takes the line before; NULL: there is no such option. */
static char *add(char *line, const char *name, const char *value) {
    char *word = value && line ? quoted(value) : NULL;
    if (!word) return line;
    char *longer = sv_format("%s%s%s %s", line, *line ? " " : "", name, word);
    free(word);
    free(line);
    return longer;
}

char *sv_arguments(const variant_engine_options *engine) {
    char heads[16];
    snprintf(heads, sizeof heads, "%d", engine->heads);
    char *line = add(strdup(""), "-m", engine->model);
    line = add(line, "--tokenizer", engine->tokenizer);
    line = add(line, "--sides", engine->sides);
    line = add(line, "--heads", engine->heads ? heads : NULL);
    line = add(line, "--part", engine->part);
    line = add(line, "--weights", engine->weights);
    line = add(line, "--kv", engine->kv);
    const char *backend = engine->backend;
    return add(line, "--backend", backend && strcmp(backend, "cpu") != 0 ? backend : NULL);
}
