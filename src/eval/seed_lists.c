/* seed_lists.c - the public functions around seeds.h: lists of scores seed by seed, gathered or read, and two beside each other. */
#include <stdlib.h>

#include "eval/library.h"
#include "eval/seeds.h"
#include "io/json.h"

struct variant_seed_list {
    vt_seed_list list;
    char *settings; /* of a file, as text */
};

variant_status variant_seed_list_open(variant_seed_list **out, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put a list of scores");
    *out = calloc(1, sizeof **out);
    return *out ? VARIANT_OK : vt_fail(error, VARIANT_E_MEMORY, "no memory for scores");
}

void variant_seed_list_close(variant_seed_list **list) {
    if (!list || !*list) return;
    vt_seed_list_free(&(*list)->list);
    cJSON_free((*list)->settings);
    free(*list);
    *list = NULL;
}

variant_status variant_seed_list_read(variant_seed_list **out, const char *path,
                                      variant_error *error) {
    VT_TRY(variant_seed_list_open(out, error));
    variant_status status =
        path ? vt_seed_list_read(&(*out)->list, path, error)
             : vt_fail(error, VARIANT_E_ARGUMENT, "expected a report of `variant eval` as JSON");
    const cJSON *settings = (*out)->list.settings;
    if (status == VARIANT_OK && settings && !((*out)->settings = vt_json_text(settings)))
        status = vt_fail(error, VARIANT_E_MEMORY, "%s: no memory for it", path);
    if (status != VARIANT_OK) variant_seed_list_close(out);
    return status;
}

variant_status variant_seed_list_add(variant_seed_list *list, const variant_judge *judge,
                                     uint64_t seed, const variant_scores *scores,
                                     variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!list || !judge || !scores)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a list, a judge and its scores");
    if (vt_seed_list_find(&list->list, seed))
        return vt_fail(error, VARIANT_E_ARGUMENT, "seed %llu is there twice",
                       (unsigned long long)seed);
    return vt_seed_list_add(&list->list, seed, vt_scores_json(judge, scores), error);
}

int variant_seed_list_count(const variant_seed_list *list) {
    return list ? list->list.count : 0;
}

uint64_t variant_seed_list_seed(const variant_seed_list *list, int i) {
    return list && i >= 0 && i < list->list.count ? list->list.at[i].seed : 0;
}

const char *variant_seed_list_settings(const variant_seed_list *list) {
    return list ? list->settings : NULL;
}

/* Takes the object over. */
static char *text_of(cJSON *json, bool whole) {
    char *text = whole ? vt_json_text(json) : NULL;
    cJSON_Delete(json);
    return text;
}

char *variant_seed_list_json(const variant_seed_list *list) {
    cJSON *json = list ? cJSON_CreateObject() : NULL;
    return text_of(json, json && vt_seeds_put(json, &list->list));
}

char *variant_seed_list_differences_json(const variant_seed_list *list,
                                         const variant_seed_list *other) {
    cJSON *json = list && other ? cJSON_CreateObject() : NULL;
    return text_of(json, json && vt_seeds_put_pairs(json, &list->list, &other->list));
}

variant_status variant_seed_list_check(const variant_seed_list *list, const variant_judge *judge,
                                       int count, const char *name, variant_error *error) {
    variant_scores none;
    if (error) *error = (variant_error){0};
    if (!list || !judge || !name)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a list, a judge and a name");
    variant_scores_init(&none);
    none.count = count;
    cJSON *here = vt_scores_json(judge, &none);
    if (!here) return vt_fail(error, VARIANT_E_MEMORY, "no memory for scores");
    variant_status status = VARIANT_OK;
    for (int i = 0; i < list->list.count && status == VARIANT_OK; ++i)
        status = vt_seeds_comparable(here, list->list.at[i].scores, name, error);
    cJSON_Delete(here);
    return status;
}
