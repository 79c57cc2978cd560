/* score_report.c - see score_report.h. */
#include "score_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one picture, or of nothing that changes pixels. */
static const char *const own[] = {"version", "class", "label", "image"};

static bool is_own(const char *key) {
    for (size_t i = 0; i < sizeof own / sizeof *own; ++i)
        if (strcmp(key, own[i]) == 0) return true;
    return false;
}

static void add_text(cJSON *settings, const char *key, const char *text) {
    if (text) cJSON_AddStringToObject(settings, key, text);
}

void score_report_request(cJSON *settings, const cli_request *asked, const char *first, int count) {
    const variant_engine_options *engine = &asked->engine;
    cJSON *made = cJSON_Parse(first), *item;
    add_text(settings, "model_path", engine->model);
    add_text(settings, "part", engine->part);
    add_text(settings, "tokenizer", engine->tokenizer);
    add_text(settings, "sides", engine->sides);
    if (engine->heads) cJSON_AddNumberToObject(settings, "heads", engine->heads);
    add_text(settings, "class", asked->request.class_name);
    cJSON_AddNumberToObject(settings, "count", count);
    if (asked->request.first_image)
        cJSON_AddNumberToObject(settings, "first_image", asked->request.first_image);
    cJSON_ArrayForEach(item, made) if (!is_own(item->string))
        cJSON_AddItemToObject(settings, item->string, cJSON_Duplicate(item, true));
    cJSON_Delete(made);
}

void score_report_data(cJSON *settings, const char *split, double holdout, const char *fit,
                       const char *alpha) {
    if (cJSON_GetObjectItem(settings, "split")) return;
    add_text(settings, "split", split);
    cJSON_AddNumberToObject(settings, "holdout", holdout);
    add_text(settings, "fit", fit);
    add_text(settings, "alpha", alpha);
}

void score_report_judge(cJSON *settings, const variant_network *network, int reference_count,
                        int draws) {
    add_text(settings, "resize", network->resize);
    if (network->split)
        score_report_data(settings, network->split, network->holdout, network->fit, network->alpha);
    if (reference_count) cJSON_AddNumberToObject(settings, "reference_count", reference_count);
    cJSON_AddNumberToObject(settings, "draws", draws);
}

void score_report_name(char *out, size_t size, const char *score, const variant_network *network) {
    if (network->inception)
        snprintf(out, size, "%s", score);
    else
        snprintf(out, size, "%s(%s)", score, network->name);
}

cJSON *score_report_parse(char *json) {
    cJSON *out = json ? cJSON_Parse(json) : NULL;
    free(json);
    return out;
}

static void print_value(const cJSON *item) {
    if (cJSON_IsString(item)) printf(" %s", item->valuestring);
    if (cJSON_IsNumber(item)) printf(" %.10g", item->valuedouble);
    const char *between = " ";
    const cJSON *one;
    cJSON_ArrayForEach(one, item) {
        printf("%s", between);
        if (cJSON_IsNumber(one)) printf("%.10g", one->valuedouble);
        between = ",";
    }
}

void score_report_print_other(const char *label, const cJSON *settings, const cJSON *known) {
    const cJSON *item;
    const char *between = "";
    printf("%-18s ", label);
    cJSON_ArrayForEach(item, settings) {
        char key[64];
        const cJSON *same = known ? cJSON_GetObjectItemCaseSensitive(known, item->string) : NULL;
        const bool off = cJSON_IsFalse(item) && !cJSON_IsTrue(same);
        if (off || (same && cJSON_Compare(item, same, true))) continue;
        snprintf(key, sizeof key, "%s", item->string);
        for (char *c = key; *c; ++c)
            if (*c == '_') *c = '-';
        printf("%s%s%s", between, cJSON_IsFalse(item) ? "not " : "", key);
        print_value(item);
        between = ", ";
    }
    printf("\n");
}

void score_report_print(const char *label, const cJSON *settings) {
    score_report_print_other(label, settings, NULL);
}

void score_report_line(const char *label, double value, double spread, const char *unit) {
    char text[64];
    if (!isfinite(value)) return;
    variant_text_with_spread(text, sizeof text, value, spread, "+-");
    printf("%-18s %s%s\n", label, text, unit);
}
