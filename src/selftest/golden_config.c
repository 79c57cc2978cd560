/* golden_config.c - reads the JSON description of a synthetic model (golden_config.h).
 *
 * Every number is bounded here or by the models' own config_check, because the text comes from
 * files. */
#include "selftest/golden_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/synth.h"

typedef struct reader {
    const cJSON *json;
    const char *where;
    variant_error *err;
} reader;

static variant_status read_int(const reader *r, const char *key, int low, int high,
                               const int *fallback, int *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (!item && fallback) {
        *out = *fallback;
        return VARIANT_OK;
    }
    if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
        item->valuedouble < low || item->valuedouble > high)
        return vt_fail(r->err, VARIANT_E_FORMAT,
                       "%s: \"%s\" is %s, expected a whole number from %d to %d", r->where, key,
                       item ? "not what it should be" : "missing", low, high);
    *out = (int)item->valuedouble;
    return VARIANT_OK;
}

static variant_status read_bool(const reader *r, const char *key, bool fallback, bool *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->json, key);
    *out = item ? cJSON_IsTrue(item) : fallback;
    if (item && !cJSON_IsBool(item))
        return vt_fail(r->err, VARIANT_E_FORMAT, "%s: \"%s\" must be true or false", r->where, key);
    return VARIANT_OK;
}

static variant_status read_list(const reader *r, const char *key, int limit, int high, int *out,
                                int *count) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->json, key);
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > limit)
        return vt_fail(r->err, VARIANT_E_FORMAT, "%s: \"%s\" must be a list of 1 to %d numbers",
                       r->where, key, limit);
    int i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
            item->valuedouble < 1 || item->valuedouble > high)
            return vt_fail(r->err, VARIANT_E_FORMAT,
                           "%s: \"%s\"[%d] must be a whole number from 1 to %d", r->where, key, i,
                           high);
        out[i++] = (int)item->valuedouble;
    }
    *count = n;
    return VARIANT_OK;
}

static variant_status read_models(const reader *r, vt_golden_config *out) {
    static const int three = 3, four = 4;
    vt_tokenizer_config *vae = &out->tokenizer;
    vt_transformer_config *var = &out->transformer;
    int ratio = 0;
    VT_TRY(read_int(r, "channels", 1, 3, &three, &vae->channels));
    VT_TRY(read_int(r, "ch", 1, 4096, NULL, &vae->base_width));
    VT_TRY(read_list(r, "ch_mult", VT_MAX_LEVELS, 64, vae->mult, &vae->levels));
    VT_TRY(read_int(r, "nres", 1, 64, NULL, &vae->blocks));
    VT_TRY(read_int(r, "V", 1, 1 << 24, NULL, &vae->codes));
    VT_TRY(read_int(r, "Cvae", 1, 4096, NULL, &vae->latent_dim));
    VT_TRY(read_list(r, "patch_nums", VT_MAX_SCALES, 1024, vae->sides, &vae->scales));
    VT_TRY(read_int(r, "depth", 1, VT_SCHEDULE_LAYERS, NULL, &var->depth));
    VT_TRY(read_int(r, "width", 1, 65536, NULL, &var->width));
    VT_TRY(read_int(r, "heads", 1, 4096, NULL, &var->heads));
    VT_TRY(read_int(r, "classes", 1, 1 << 20, NULL, &var->classes));
    VT_TRY(read_int(r, "mlp_ratio", 1, 64, &four, &ratio));
    VT_TRY(read_bool(r, "attn_l2_norm", true, &var->l2_norm));
    VT_TRY(read_bool(r, "shared_aln", false, &var->shared_adaln));
    var->hidden = ratio * var->width;
    var->codes = vae->codes;
    var->latent_dim = vae->latent_dim;
    var->scales = vae->scales;
    memcpy(var->sides, vae->sides, sizeof var->sides);
    return VARIANT_OK;
}

_Static_assert(VT_MAX_SCALES == VT_SCHEDULE_SCALES, "both halves hold the same list of sides");

variant_status vt_golden_config_parse(vt_golden_config *out, const char *text, const char *where,
                                      variant_error *err) {
    *out = (vt_golden_config){0};
    variant_status status = VARIANT_OK;
    out->json = vt_json_of(text);
    if (!cJSON_IsObject(out->json)) {
        status =
            vt_fail(err, VARIANT_E_FORMAT, "%s: the configuration is not a JSON object", where);
        goto cleanup;
    }
    reader r = {.json = out->json, .where = where, .err = err};
    const cJSON *seed = cJSON_GetObjectItemCaseSensitive(out->json, "seed");
    if (!cJSON_IsString(seed) || strlen(seed->valuestring) >= sizeof out->seed) {
        status = vt_fail(err, VARIANT_E_FORMAT, "%s: \"seed\" must be a text of at most %zu bytes",
                         where, sizeof out->seed - 1);
        goto cleanup;
    }
    snprintf(out->seed, sizeof out->seed, "%s", seed->valuestring);
    VT_CHECK(read_models(&r, out));
    const cJSON *cfg = cJSON_GetObjectItemCaseSensitive(out->json, "cfg");
    out->cfg = cJSON_IsNumber(cfg) ? cfg->valuedouble : 1.5;
    if (vt_tokenizer_config_check(&out->tokenizer, err) != VARIANT_OK ||
        vt_transformer_config_check(&out->transformer, err) != VARIANT_OK)
        status = vt_fail_within(err, VARIANT_E_ARGUMENT, "%s", where);
cleanup:
    if (status != VARIANT_OK) vt_golden_config_free(out);
    return status;
}

void vt_golden_config_free(vt_golden_config *config) {
    cJSON_Delete(config->json);
    config->json = NULL;
}

/* ---- schedules ---- */

/* N and d of a run that has two zones; d is cut to D, N to K. */
static bool find_zones(const vt_golden_config *config, const char *run, int *bridge, int *layers) {
    int K = config->transformer.scales, D = config->transformer.depth, used = 0;
    double n = -1, d = -1;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(config->json, "runs")) {
        const cJSON *name = cJSON_GetArrayItem(item, 0);
        const cJSON *first = cJSON_GetArrayItem(item, 1), *second = cJSON_GetArrayItem(item, 2);
        if (!cJSON_IsString(name) || strcmp(name->valuestring, run) != 0) continue;
        if (!cJSON_IsNumber(first) || !cJSON_IsNumber(second)) return false;
        n = first->valuedouble;
        d = second->valuedouble;
        break;
    }
    if (n < 0 && strcmp(run, "full") == 0) n = K, d = D;
    if (n < 0) {
        int first = 0, second = 0;
        if (sscanf(run, "N%4dd%4d%n", &first, &second, &used) != 2 || run[used] != '\0')
            return false;
        n = first;
        d = second;
    }
    if (n < 0 || d < 1) return false;
    *bridge = n > K ? K : (int)n;
    *layers = d > D ? D : (int)d;
    return true;
}

bool vt_golden_zone(const vt_golden_config *config, const char *run, uint8_t *keep) {
    int bridge = 0, layers = 0;
    return find_zones(config, run, &bridge, &layers) &&
           vt_layers_select(VT_EQUIDISTANT, config->transformer.depth, layers, keep, NULL) ==
               VARIANT_OK;
}

static variant_status read_lists(const vt_golden_config *config, const cJSON *lists,
                                 const char *run, vt_schedule *out, variant_error *err) {
    int K = config->transformer.scales, D = config->transformer.depth;
    if (!cJSON_IsArray(lists) || cJSON_GetArraySize(lists) != K)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "list \"%s\" must have one list of layers a scale (%d)", run, K);
    VT_TRY(vt_schedule_full(out, K, D, err));
    memset(out->runs, 0, sizeof out->runs);
    int k = 0;
    const cJSON *list, *item;
    cJSON_ArrayForEach(list, lists) {
        cJSON_ArrayForEach(item, list) {
            if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
                item->valuedouble < 0 || item->valuedouble >= D)
                return vt_fail(err, VARIANT_E_FORMAT,
                               "list \"%s\", scale %d: layers must be 0 to %d", run, k, D - 1);
            out->runs[k][(int)item->valuedouble] = 1;
        }
        ++k;
    }
    return VARIANT_OK;
}

variant_status vt_golden_schedule(const vt_golden_config *config, const char *run, vt_schedule *out,
                                  variant_error *err) {
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(config->json, "lists");
    const cJSON *lists = cJSON_GetObjectItemCaseSensitive(all, run);
    if (lists) return read_lists(config, lists, run, out, err);
    int bridge = 0, layers = 0;
    uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
    if (!find_zones(config, run, &bridge, &layers))
        return vt_fail(
            err, VARIANT_E_FORMAT,
            "run \"%s\" has no schedule: expected full, N{n}d{d} or a name in lists or runs", run);
    VT_TRY(vt_layers_select(VT_EQUIDISTANT, config->transformer.depth, layers, keep, err));
    return vt_schedule_zones(out, config->transformer.scales, config->transformer.depth, bridge,
                             keep, err);
}

/* ---- inputs ---- */

variant_status vt_golden_labels(const vt_golden_config *config, int batch, int32_t *labels,
                                variant_error *err) {
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(config->json, "labels");
    int n = cJSON_IsArray(given) ? cJSON_GetArraySize(given) : 0;
    if (n == 0) {
        char key[96];
        snprintf(key, sizeof key, "%s/labels", config->seed);
        vt_synth_integers(labels, (size_t)batch, key, config->transformer.classes);
        return VARIANT_OK;
    }
    for (int b = 0; b < batch; ++b) {
        const cJSON *item = cJSON_GetArrayItem(given, b % n);
        if (!cJSON_IsNumber(item) || item->valuedouble < 0 ||
            item->valuedouble > config->transformer.classes)
            return vt_fail(err, VARIANT_E_FORMAT, "\"labels\"[%d] must be a class from 0 to %d",
                           b % n, config->transformer.classes);
        labels[b] = (int32_t)item->valuedouble;
    }
    return VARIANT_OK;
}

variant_status vt_golden_tokens(const vt_golden_config *config, int batch, int32_t *tokens,
                                variant_error *err) {
    const vt_tokenizer_config *vae = &config->tokenizer;
    size_t length = (size_t)vt_tokenizer_tokens(vae), at = 0;
    for (int k = 0; k < vae->scales; ++k) {
        size_t rows = (size_t)vae->sides[k] * (size_t)vae->sides[k];
        int32_t *scale = malloc((size_t)batch * rows * sizeof *scale);
        if (!scale)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of scale %d", k);
        char key[96];
        snprintf(key, sizeof key, "%s/tokens/%d", config->seed, k);
        vt_synth_integers(scale, (size_t)batch * rows, key, vae->codes);
        for (size_t b = 0; b < (size_t)batch; ++b)
            memcpy(tokens + b * length + at, scale + b * rows, rows * sizeof *scale);
        free(scale);
        at += rows;
    }
    return VARIANT_OK;
}
