/* classes.c - which classes a text means: numbers, names, and lists of them. Called by generate.c for a request, and
 * through variant_engine_labels by programs that want to know before.
 *
 * The rule: a name as it is written comes first, a number is a label unless a class is called so, and a name in
 * other letters (CAT for cat) counts where no second one is meant. Commas part a list where no name has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "variant.h"
#include "engine/engine.h"

typedef enum found { NOTHING, ONE, SEVERAL } found;

static int class_limit(const vt_model *model) {
    return model->transformer ? vt_transformer_configuration(model->transformer)->classes
                              : model->class_count;
}

/* ---- one class ---- */

/* Classes of this name, letter by letter or whatever their case; *label: the first. */
static int count_named(const vt_model *model, const char *text, bool exact, int *label) {
    int count = 0;
    for (int i = 0; i < model->class_count; ++i) {
        const char *name = model->class_names[i];
        if ((exact ? strcmp(text, name) : strcasecmp(text, name)) != 0) continue;
        if (count++ == 0) *label = i;
    }
    return count;
}

static bool read_number(const char *text, int limit, int *label) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    long number = strtol(text, &end, 10);
    if (*end != '\0' || number >= limit) return false;
    *label = (int)number;
    return true;
}

static found find_class(const vt_model *model, const char *text, int *label) {
    int limit = class_limit(model);
    if (strcmp(text, "uncond") == 0) {
        *label = limit;
        return ONE;
    }
    int count = count_named(model, text, true, label);
    if (count) return count == 1 ? ONE : SEVERAL;
    if (read_number(text, limit, label)) return ONE;
    count = count_named(model, text, false, label);
    if (count) return count == 1 ? ONE : SEVERAL;
    if (strcasecmp(text, "uncond") != 0) return NOTHING;
    *label = limit;
    return ONE;
}

/* ---- what is said ---- */

static bool contains(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; length && *text; ++text)
        if (strncasecmp(text, part, length) == 0) return true;
    return false;
}

/* How near a name is: 0 begins with the text, 1 holds it, more: letters away; -1 not near. */
static int nearness(const char *name, const char *text) {
    const size_t length = strlen(text);
    const int most = length < 9 ? (int)length / 3 : 2;
    if (length == 0) return -1;
    if (strncasecmp(name, text, length) == 0) return 0;
    if (contains(name, text)) return 1;
    const int away = variant_word_distance(name, text);
    return away <= most ? 1 + away : -1;
}

/* Labels whose names are near, the nearest first; equal ones by label. */
static int near_labels(const vt_model *model, const char *text, int32_t *labels, int capacity) {
    int count = 0;
    for (int rank = 0; rank <= 3; ++rank)
        for (int i = 0; i < model->class_count && count < capacity; ++i)
            if (nearness(model->class_names[i], text) == rank) labels[count++] = i;
    return count;
}

int variant_engine_suggest(const variant_engine *engine, const char *text, int32_t *labels,
                           int capacity) {
    return engine && text && labels ? near_labels(engine->model, text, labels, capacity) : 0;
}

/* Names that are near the text, or else the first few. */
static void suggest(const vt_model *model, const char *text, char *out, size_t size) {
    enum { MOST = 10 };
    int32_t labels[MOST];
    size_t used = 0;
    int count = near_labels(model, text, labels, MOST);
    if (count == 0)
        for (; count < MOST && count < model->class_count; ++count) labels[count] = count;
    out[0] = '\0';
    for (int i = 0; i < count && used < size; ++i)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "; for example ",
                                 model->class_names[labels[i]]);
}

static variant_status refuse_unknown(const vt_model *model, const char *text, variant_error *err) {
    char names[256];
    if (strcasecmp(text, "random") == 0 || strcasecmp(text, "all") == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "class \"%s\" stands alone, in no list", text);
    suggest(model, text, names, sizeof names);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "no class \"%.80s\": expected 0 to %d, random, all, uncond%s%s", text,
                   class_limit(model) - 1, model->class_count ? ", or a name" : "", names);
}

static variant_status refuse_several(const vt_model *model, const char *text, variant_error *err) {
    char names[256] = "";
    size_t used = 0;
    for (int i = 0; i < model->class_count && used < sizeof names; ++i)
        if (strcasecmp(text, model->class_names[i]) == 0)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s (%d)",
                                     used ? ", " : "", model->class_names[i], i);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "class \"%.80s\" could be %s: give the name as it is written, or the number",
                   text, names);
}

variant_status vt_model_class(const vt_model *model, const char *text, int *label,
                              variant_error *err) {
    switch (find_class(model, text, label)) {
    case ONE:
        return VARIANT_OK;
    case SEVERAL:
        return refuse_several(model, text, err);
    default:
        return refuse_unknown(model, text, err);
    }
}

/* ---- lists ---- */

/* The piece [from, end) without blanks around it. */
static void cut_piece(char *out, size_t size, const char *from, const char *end) {
    while (end > from && end[-1] == ' ') --end;
    snprintf(out, size, "%.*s", (int)(end - from), from);
}

static size_t longest_name(const vt_model *model) {
    size_t longest = 0;
    for (int i = 0; i < model->class_count; ++i) {
        const size_t length = strlen(model->class_names[i]);
        if (length > longest) longest = length;
    }
    return longest;
}

/* The class at the start of [from, end), which is in `all`, of as many pieces between commas as make a name; *next: behind it. Pieces
 * together that are longer than the longest name are not looked for: a list of thousands would take a time that grows with its square. */
static variant_status take_class(const vt_model *model, const char *all, const char *from,
                                 const char *end, size_t longest, const char **next, int *label,
                                 variant_error *err) {
    char piece[512];
    while (from < end && *from == ' ') ++from;
    const char *first = from + strcspn(from, ",\n"), *stop = end;
    if (first > end) first = end;
    if ((size_t)(end - from) > longest) { /* as far as a name and the blanks behind it reach */
        stop = from + longest < first ? first : from + longest;
        while (stop < end && *stop == ' ') ++stop;
    }
    for (; stop >= from; --stop) {
        if (stop != end && *stop != ',') continue;
        cut_piece(piece, sizeof piece, from, stop);
        if (find_class(model, piece, label) == NOTHING) continue;
        *next = stop;
        return vt_model_class(model, piece, label, err);
    }
    cut_piece(piece, sizeof piece, from, first);
    if (!*piece)
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "class \"%.80s\": a place between commas is empty, expected a number or a name", all);
    return refuse_unknown(model, piece, err);
}

variant_status vt_model_classes(const vt_model *model, const char *text, int32_t **labels,
                                int *count, variant_error *err) {
    int most = 1, held = 0;
    const size_t longest = longest_name(model);
    for (const char *at = text; *at; ++at) most += *at == ',' || *at == '\n';
    int32_t *out = malloc((size_t)most * sizeof *out);
    if (!out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d classes", most);
    variant_status status = VARIANT_OK;
    for (const char *at = text;; ++at) {
        int label = 0;
        VT_CHECK(take_class(model, text, at, at + strcspn(at, "\n"), longest, &at, &label, err));
        out[held++] = label;
        if (!*at) break;
    }
    *labels = out;
    *count = held;
    out = NULL;
cleanup:
    free(out);
    return status;
}

variant_status variant_engine_labels(const variant_engine *engine, const char *text,
                                     int32_t *labels, int capacity, int *count,
                                     variant_error *error) {
    int32_t *all = NULL;
    VT_TRY(vt_need(engine, VT_NO_ENGINE, error));
    VT_TRY(vt_need(text, "no class: expected names or numbers", error));
    VT_TRY(vt_need(count, "nowhere to put the number of labels", error));
    VT_TRY(vt_model_classes(engine->model, text, &all, count, error));
    variant_status status = VARIANT_OK;
    if (labels && *count > capacity)
        status = vt_fail(error, VARIANT_E_ARGUMENT, "%d classes: there is room for %d", *count,
                         capacity);
    else if (labels)
        memcpy(labels, all, (size_t)*count * sizeof *labels);
    free(all);
    return status;
}

void vt_model_class_name(const vt_model *model, int label, char *out, size_t size) {
    if (label == class_limit(model))
        snprintf(out, size, "uncond");
    else if (label < model->class_count)
        snprintf(out, size, "%s", model->class_names[label]);
    else
        snprintf(out, size, "%d", label);
}
