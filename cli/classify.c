/* classify.c - `variant classify`: the likeliest classes of pictures, or how often a classifier is right on
 * a data set, and what it takes for what. */
#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "features/features.h"
#include "data_options.h"
#include "io/dataset.h"
#include "io/file.h"
#include "pictures.h"
#include "tools.h"

#define COMMAND "classify"
#define DEFAULT_TOP 3
#define BATCH 64

typedef struct settings {
    variant_engine_options engine; /* model: the classifier */
    const char *through;
    cli_data data;
    int top, count;
    bool pad, json;
} settings;

typedef struct work {
    const settings *settings;
    vt_kern *kern;
    vt_features *features;
    vt_features_info info;
    vt_data taken;        /* how pictures are taken: as chosen, or as the classifier's were */
    cli_session through;  /* with --through */
    size_t floats;        /* of a picture */
    float *pictures;      /* (BATCH, side, side, channels) */
    float *probabilities; /* (BATCH, classes) */
    cJSON *json;
} work;

/* ---- the network ---- */

static variant_status open_through(work *w, variant_error *err) {
    variant_engine_options options = w->settings->engine;
    options.model = w->settings->through;
    VT_TRY(cli_session_open(&w->through, &options, true, err));
    const vt_tokenizer_config *config = vt_tokenizer_configuration(w->through.model->tokenizer);
    if (vt_tokenizer_side(config) == w->info.side && config->channels == w->info.channels)
        return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_MODEL,
        "%s: its pictures are %d x %d with %d channels, the classifier's %d x %d with %d",
        options.model, vt_tokenizer_side(config), vt_tokenizer_side(config), config->channels,
        w->info.side, w->info.side, w->info.channels);
}

static variant_status work_open(work *w, variant_error *err) {
    const settings *s = w->settings;
    char path[4096];
    VT_TRY(vt_kern_open(&w->kern, s->engine.backend, s->engine.threads, err));
    VT_TRY(vt_features_find(s->engine.model, path, sizeof path, err));
    VT_TRY(vt_features_open(&w->features, w->kern, path, err));
    vt_features_info_get(w->features, &w->info);
    w->taken = s->data.data;
    vt_data_follow_file(&w->taken, path);
    if (w->info.inception)
        return vt_fail(err, VARIANT_E_MODEL, "%s: %s, expected a classifier of your own classes",
                       s->engine.model, w->info.name);
    w->floats = (size_t)w->info.side * (size_t)w->info.side * (size_t)w->info.channels;
    w->pictures = malloc(BATCH * w->floats * sizeof *w->pictures);
    w->probabilities = malloc(BATCH * (size_t)w->info.classes * sizeof *w->probabilities);
    w->json = cJSON_CreateObject();
    if (!w->pictures || !w->probabilities || !w->json)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", BATCH);
    cJSON_AddStringToObject(w->json, "classifier", w->info.hash);
    return s->through ? open_through(w, err) : VARIANT_OK;
}

static void work_close(work *w) {
    cJSON_Delete(w->json);
    free(w->pictures);
    free(w->probabilities);
    cli_session_close(&w->through);
    vt_features_close(&w->features);
    vt_kern_close(&w->kern);
}

/* n pictures in [-1, 1], in w->pictures, to w->probabilities. */
static variant_status judge(work *w, int n, variant_error *err) {
    if (w->settings->through) {
        const vt_tokenizer *tokenizer = w->through.model->tokenizer;
        size_t length = (size_t)vt_tokenizer_tokens(vt_tokenizer_configuration(tokenizer));
        int32_t *tokens = malloc((size_t)n * length * sizeof *tokens);
        if (!tokens) return vt_fail(err, VARIANT_E_MEMORY, "no memory for tokens");
        variant_status status = cli_encode_pictures(&w->through, n, w->pictures, tokens, err);
        if (status == VARIANT_OK)
            status = cli_decode_tokens(&w->through, n, tokens, w->pictures, err);
        free(tokens);
        VT_TRY(status);
    }
    for (size_t i = 0; i < (size_t)n * w->floats; ++i) {
        float x = 0.5f * (w->pictures[i] + 1.0f);
        w->pictures[i] = x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
    }
    return vt_features_run(w->features, w->pictures, n, w->info.side, w->info.side,
                           w->info.channels, NULL, NULL, w->probabilities, err);
}

static void class_name(const work *w, int label, char *out, size_t size) {
    const char *name = vt_features_class_name(w->features, label);
    if (name)
        snprintf(out, size, "%s", name);
    else
        snprintf(out, size, "%d", label);
}

/* ---- pictures ---- */

/* The largest probabilities first, found one after another (top is small). */
static void tell(const work *w, const char *path, const float *probabilities, cJSON *pictures) {
    int top = w->settings->top < w->info.classes ? w->settings->top : w->info.classes;
    cJSON *item = cJSON_CreateObject(), *classes = cJSON_CreateArray();
    float bound = 2.0f;
    int last = -1;
    if (!w->settings->json) printf("%s:", path);
    for (int i = 0; i < top; ++i) {
        int best = -1; /* the largest below the one told last; equal ones by label */
        for (int j = 0; j < w->info.classes; ++j) {
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

static variant_status classify_pictures(work *w, int operands, char **paths, variant_error *err) {
    cli_pictures all = {0};
    variant_status status = VARIANT_OK;
    cJSON *pictures = cJSON_AddArrayToObject(w->json, "pictures");
    for (int i = 0; i < operands; ++i) VT_CHECK(cli_pictures_add(&all, paths[i], err));
    for (int first = 0; first < all.count; first += BATCH) {
        int n = all.count - first < BATCH ? all.count - first : BATCH;
        for (int i = 0; i < n; ++i)
            VT_CHECK(cli_picture_square(w->pictures + (size_t)i * w->floats, all.paths[first + i],
                                        w->info.side, w->info.channels, &w->taken, w->settings->pad,
                                        err));
        VT_CHECK(judge(w, n, err));
        for (int i = 0; i < n; ++i)
            tell(w, all.paths[first + i], w->probabilities + (size_t)i * (size_t)w->info.classes,
                 pictures);
    }
cleanup:
    cli_pictures_close(&all);
    return status;
}

/* ---- a data set ---- */

/* The classifier's label of every class of the data: by name, where both have names. */
static variant_status match_classes(const work *w, const vt_dataset *dataset, int *labels,
                                    variant_error *err) {
    for (int i = 0; i < vt_dataset_classes(dataset); ++i) {
        const char *name = vt_dataset_class_name(dataset, i);
        labels[i] = vt_features_class_name(w->features, 0) || i >= w->info.classes ? -1 : i;
        for (int j = 0; j < w->info.classes && labels[i] < 0; ++j) {
            const char *own = vt_features_class_name(w->features, j);
            if (own && strcmp(own, name) == 0) labels[i] = j;
        }
        if (labels[i] < 0)
            return vt_fail(err, VARIANT_E_MODEL, "%s: its class %s is not one of the classifier's",
                           w->taken.paths[0], name);
    }
    return VARIANT_OK;
}

static void print_confusion(const work *w, const int *confusion, int total, int hits) {
    int classes = w->info.classes, wide = 16;
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

static void add_confusion(const work *w, const int *confusion, int total, int hits) {
    int classes = w->info.classes;
    char data[256];
    vt_data_name(&w->taken, data, sizeof data);
    cJSON_AddStringToObject(w->json, "data", data);
    cJSON_AddStringToObject(w->json, "split", vt_split_name(w->taken.split));
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

/* The likeliest of the classes. */
static int likeliest(const float *probabilities, int classes) {
    int best = 0;
    for (int j = 1; j < classes; ++j)
        if (probabilities[j] > probabilities[best]) best = j;
    return best;
}

/* `total` pictures, evenly spread, counted in confusion (classes, classes); labels: of the data set's classes. */
static variant_status count_confusion(work *w, vt_dataset *dataset, int total, const int *labels,
                                      int *confusion, variant_error *err) {
    const vt_crop centre = {0.5, 0.5, false};
    const int64_t all = vt_dataset_count(dataset);
    const int classes = w->info.classes;
    for (int first = 0; first < total; first += BATCH) {
        int n = total - first < BATCH ? total - first : BATCH, indices[BATCH];
        for (int i = 0; i < n; ++i) {
            indices[i] = (int)((first + i) * all / total);
            VT_TRY(vt_dataset_read(dataset, indices[i], centre, w->pictures + (size_t)i * w->floats,
                                   err));
        }
        VT_TRY(judge(w, n, err));
        for (int i = 0; i < n; ++i) {
            int label = labels[vt_dataset_label(dataset, indices[i])];
            int best = likeliest(w->probabilities + (size_t)i * (size_t)classes, classes);
            ++confusion[(size_t)label * (size_t)classes + (size_t)best];
        }
    }
    return VARIANT_OK;
}

static variant_status classify_data(work *w, variant_error *err) {
    const settings *s = w->settings;
    size_t classes = (size_t)w->info.classes;
    vt_dataset_options options = {
        .data = w->taken, .side = w->info.side, .channels = w->info.channels, .warn = cli_note};
    vt_dataset *dataset = NULL;
    int *confusion = calloc(classes * classes, sizeof *confusion), *labels = NULL;
    variant_status status = VARIANT_OK;
    int total, hits = 0;
    VT_CHECK(vt_dataset_open(&dataset, &options, err));
    labels = calloc((size_t)vt_dataset_classes(dataset) + 1, sizeof *labels);
    if (!confusion || !labels)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu classes", classes));
    VT_CHECK(match_classes(w, dataset, labels, err));
    total = vt_dataset_count(dataset);
    if (s->count > 0 && s->count < total) total = s->count;
    VT_CHECK(count_confusion(w, dataset, total, labels, confusion, err));
    for (size_t i = 0; i < classes; ++i) hits += confusion[i * classes + i];
    (s->json ? add_confusion : print_confusion)(w, confusion, total, hits);
cleanup:
    vt_dataset_close(&dataset);
    free(confusion);
    free(labels);
    return status;
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.top = DEFAULT_TOP, .data = cli_data_defaults()};
    cli_engine_init(&s->engine);
}

static int run(void *user, const cli_line *line) {
    const settings *s = user;
    const bool data = s->data.data.count > 0;
    if (!s->engine.model) return cli_misuse("-m is missing: a classifier");
    if (!data && !line->operand_count)
        return cli_misuse("nothing to classify: give pictures, folders or --data");
    if (data && line->operand_count)
        return cli_misuse("either pictures or --data, not both: %s", line->operands[0]);

    variant_error err = {0};
    work w = {.settings = s};
    variant_status status = work_open(&w, &err);
    if (status == VARIANT_OK)
        status = data ? classify_data(&w, &err)
                      : classify_pictures(&w, line->operand_count, line->operands, &err);
    if (status == VARIANT_OK && s->json) {
        char *text = cJSON_Print(w.json);
        if (text) puts(text);
        cJSON_free(text);
    }
    work_close(&w);
    return cli_end(status, &err);
}

static const cli_option options[] = {
    {"model", "FILE",
     "what `variant train classifier` made, or a folder with a " VT_FEATURES_FILE " (required)",
     .letter = 'm', CLI_TEXT(settings, engine.model, "a model's file or folder"), .own = true},
    {"top", "N", "classes a picture, {range}", CLI_INT(settings, top, 1, 100000)},
    CLI_ROWS(cli_pad_option, bool, settings, pad, NULL),
    CLI_ROWS(cli_data_options, cli_data, settings, data, NULL),
    {"count", "N", "N of its pictures, evenly spread", CLI_INT(settings, count, 1, 1 << 30),
     .unset = "all", .own = true},
    {"through", "MODEL", "pictures pass this model's tokenizer and back first",
     CLI_TEXT(settings, through, "a model's file or folder")},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
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
    CLI_OF_THIS_FILE,
};
