/* classify.c - `variant classify`: the likeliest classes of pictures, or how often a classifier is right on
 * a data set, and what it takes for what. */
#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data_options.h"
#include "request.h"

#define COMMAND "classify"
#define DEFAULT_TOP 3

typedef struct settings {
    variant_engine_options engine; /* model: the classifier */
    const char *through;
    cli_data data;
    int top, count;
    bool pad, json;
} settings;

typedef struct work {
    const settings *settings;
    const variant_data *pictures;
    variant_judge *judge;
    const variant_network *network;
    variant_tokenizer *through; /* with --through */
    cJSON *json;
} work;

static void class_name(const work *w, int label, char *out, size_t size) {
    const char *name = variant_judge_class_name(w->judge, label);
    if (name)
        snprintf(out, size, "%s", name);
    else
        snprintf(out, size, "%d", label);
}

/* ---- pictures ---- */

/* The largest probabilities first, found one after another (top is small). */
static void tell(const work *w, const char *path, const float *probabilities, cJSON *pictures) {
    int top = w->settings->top < w->network->classes ? w->settings->top : w->network->classes;
    cJSON *item = cJSON_CreateObject(), *classes = cJSON_CreateArray();
    float bound = 2.0f;
    int last = -1;
    if (!w->settings->json) printf("%s:", path);
    for (int i = 0; i < top; ++i) {
        int best = -1; /* the largest below the one told last; equal ones by label */
        for (int j = 0; j < w->network->classes; ++j) {
            float p = probabilities[j];
            bool left = p < bound || (p == bound && j > last);
            if (left && (best < 0 || p > probabilities[best])) best = j;
        }
        if (best < 0) break; /* not a number */
        bound = probabilities[best];
        last = best;
        char name[128];
        class_name(w, best, name, sizeof name);
        if (!w->settings->json) printf("%s %s %.3f", i ? "," : "", name, (double)bound);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "label", best);
        cJSON_AddStringToObject(one, "class", name);
        cJSON_AddNumberToObject(one, "probability", (double)bound);
        cJSON_AddItemToArray(classes, one);
    }
    if (!w->settings->json) printf("\n");
    cJSON_AddStringToObject(item, "picture", path);
    cJSON_AddItemToObject(item, "classes", classes);
    cJSON_AddItemToArray(pictures, item);
}

static void tell_pictures(const work *w, const variant_classes *found) {
    cJSON *pictures = cJSON_AddArrayToObject(w->json, "pictures");
    for (int i = 0; i < found->count; ++i)
        tell(w, found->names[i], found->probabilities + (size_t)i * (size_t)found->classes,
             pictures);
}

/* ---- a data set ---- */

static void print_confusion(const work *w, const int *confusion, int total, int hits) {
    int classes = w->network->classes, wide = 16;
    char name[128];
    for (int i = 0; i < classes; ++i) {
        class_name(w, i, name, sizeof name);
        int length = (int)strlen(name);
        if (length > wide) wide = length;
    }
    printf("%d of %d pictures get their class: %.2f %%\n", hits, total, 100.0 * hits / total);
    printf("%-*s pictures  right      taken for\n", wide, "class");
    for (int i = 0; i < classes; ++i) {
        const int *row = confusion + (size_t)i * (size_t)classes;
        int sum = 0;
        for (int j = 0; j < classes; ++j) sum += row[j];
        if (sum == 0) continue;
        class_name(w, i, name, sizeof name);
        printf("%-*s %8d  %5.1f %%  ", wide, name, sum, 100.0 * row[i] / sum);
        for (int told = 0, bound = sum + 1, last = -1; told < 3; ++told) {
            int best = -1;
            for (int j = 0; j < classes; ++j) {
                bool left = row[j] < bound || (row[j] == bound && j > last);
                if (j != i && row[j] > 0 && left && (best < 0 || row[j] > row[best])) best = j;
            }
            if (best < 0) break;
            bound = row[best];
            last = best;
            class_name(w, best, name, sizeof name);
            printf("%s %s %d", told ? "," : "", name, bound);
        }
        printf("\n");
    }
}

/* "a, b" of the paths; as much as fits. */
static void name_data(const variant_data *data, char *out, size_t size) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < data->path_count && used < size; ++i)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", data->paths[i]);
}

static void add_confusion(const work *w, const int *confusion, int total, int hits) {
    int classes = w->network->classes;
    char data[256];
    name_data(w->pictures, data, sizeof data);
    cJSON_AddStringToObject(w->json, "data", data);
    cJSON_AddStringToObject(w->json, "split", w->pictures->split);
    if (w->settings->through) cJSON_AddStringToObject(w->json, "through", w->settings->through);
    cJSON_AddNumberToObject(w->json, "pictures", total);
    cJSON_AddNumberToObject(w->json, "accuracy", (double)hits / total);
    cJSON *names = cJSON_AddArrayToObject(w->json, "classes");
    cJSON *rows = cJSON_AddArrayToObject(w->json, "confusion"); /* a row a true class */
    for (int i = 0; i < classes; ++i) {
        char name[128];
        class_name(w, i, name, sizeof name);
        cJSON_AddItemToArray(names, cJSON_CreateString(name));
        cJSON_AddItemToArray(
            rows, cJSON_CreateIntArray(confusion + (size_t)i * (size_t)classes, classes));
    }
}

/* A row a true class. */
static variant_status tell_confusion(const work *w, const variant_classes *found,
                                     variant_error *err) {
    const size_t classes = (size_t)found->classes;
    if (!found->expected) {
        char data[256];
        name_data(w->pictures, data, sizeof data);
        err->status = VARIANT_E_MODEL;
        snprintf(err->message, sizeof err->message,
                 "%s: its pictures have no classes: expected a folder a class, or IDX files", data);
        return err->status;
    }
    int *confusion = calloc(classes * classes, sizeof *confusion), hits = 0;
    if (!confusion) return cli_no_memory(err, "classes");
    for (int i = 0; i < found->count; ++i) {
        const int own = found->expected[i];
        ++confusion[(size_t)own * classes + (size_t)found->labels[i]];
        hits += own == found->labels[i];
    }
    (w->settings->json ? add_confusion : print_confusion)(w, confusion, found->count, hits);
    free(confusion);
    return VARIANT_OK;
}

/* ---- the command ---- */

static variant_status open_all(work *w, variant_error *err) {
    const settings *s = w->settings;
    variant_engine_options model = s->engine;
    variant_judge_options judge;
    variant_judge_options_init(&judge);
    judge.features = s->engine.model;
    judge.verify = s->engine.verify;
    judge.backend = s->engine.backend;
    judge.threads = s->engine.threads;
    judge.note = cli_note;
    model.model = s->through;
    variant_status status = variant_judge_open(&w->judge, &judge, err);
    if (status != VARIANT_OK) return status;
    w->network = variant_judge_network(w->judge);
    if (w->network->inception) {
        err->status = VARIANT_E_MODEL;
        snprintf(err->message, sizeof err->message,
                 "%.300s: %s, expected a classifier of your own classes", s->engine.model,
                 w->network->name);
        return err->status;
    }
    w->json = cJSON_CreateObject();
    if (!w->json) return cli_no_memory(err, "a report");
    cJSON_AddStringToObject(w->json, "classifier", w->network->hash);
    return s->through ? variant_tokenizer_open(&w->through, &model, err) : VARIANT_OK;
}

static variant_status classify(work *w, variant_error *err) {
    variant_classes *found = NULL;
    const bool data = w->pictures->path_count > 0;
    variant_status status = open_all(w, err);
    if (status == VARIANT_OK)
        status = variant_classify(w->judge, w->pictures, data ? w->settings->count : 0, w->through,
                                  &found, err);
    if (status == VARIANT_OK && data) status = tell_confusion(w, found, err);
    if (status == VARIANT_OK && !data) tell_pictures(w, found);
    if (status == VARIANT_OK && w->settings->json) {
        char *text = cJSON_Print(w->json);
        if (text) puts(text);
        cJSON_free(text);
    }
    variant_classes_free(&found);
    variant_tokenizer_close(&w->through);
    variant_judge_close(&w->judge);
    cJSON_Delete(w->json);
    return status;
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.top = DEFAULT_TOP, .data = cli_data_defaults()};
    cli_engine_init(&s->engine);
}

static int run(void *user, const cli_line *line) {
    const settings *s = user;
    const bool data = s->data.paths.count > 0;
    if (!s->engine.model) return cli_misuse("-m is missing: a classifier");
    if (!data && !line->operand_count)
        return cli_misuse("nothing to classify: give pictures, folders or --data");
    if (data && line->operand_count)
        return cli_misuse("either pictures or --data, not both: %s", line->operands[0]);
    variant_data pictures = cli_data_asked(&s->data);
    if (line->operand_count) pictures.files = (const char *const *)line->operands;
    pictures.file_count = line->operand_count;
    pictures.pad = s->pad;
    work w = {.settings = s, .pictures = &pictures};
    variant_error err = {0};
    return cli_end(classify(&w, &err), &err);
}

static const cli_option options[] = {
    {"model", "FILE",
     "what `variant train classifier` made, or a folder with a classifier.safetensors (required)",
     .letter = 'm', CLI_TEXT(settings, engine.model, "a model's file or folder"), .own = true},
    {"top", "N", "classes a picture, {range}", CLI_INT(settings, top, 1, 100000)},
    CLI_ROWS(cli_pad_option, bool, settings, pad, NULL),
    CLI_ROWS(cli_data_options, cli_data, settings, data, NULL),
    {"count", "N", "N of its pictures, evenly spread", CLI_INT(settings, count, 1, 1 << 30),
     .unset = "all", .own = true},
    {"through", "MODEL", "pictures pass this model's tokenizer and back first",
     CLI_TEXT(settings, through, "a model's file or folder")},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, "no-verify " CLI_RUN),
    {0},
};

const cli_command cli_classify = {
    .name = COMMAND,
    .purpose = "the classes of pictures, or how often a classifier is right",
    .usage = "-m CLASSIFIER PICTURE|FOLDER... [options]\n"
             "-m CLASSIFIER --data IDX|DIR [options]",
    .about = "Names the likeliest classes of pictures (files, or all in a folder); or, of a data "
             "set, how many pictures get their class, and which classes are taken for which.",
    .examples = "variant classify -m models/fashion sneaker.png\n"
                "variant classify -m models/fashion --data data/fashion --json",
    .operands = INT_MAX,
    .opens = true,
    CLI_OF_THIS_FILE,
};
