/* spike.c - see spike.h. */
#include "train/spike.h"
#include "io/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool vt_spikes_is(const vt_spikes *spikes, int path, double factor, double loss) {
    const vt_loss_mean *at = &spikes->paths[path];
    return factor > 0.0 && at->steps == VT_SPIKE_STEPS && loss > factor * at->mean;
}

void vt_spikes_feed(vt_spikes *spikes, int path, double loss) {
    vt_loss_mean *at = &spikes->paths[path];
    if (!isfinite(loss)) return;
    if (at->steps < VT_SPIKE_STEPS) ++at->steps;
    at->mean += (loss - at->mean) / at->steps;
}

/* ---- in a checkpoint ---- */

/* Means are strings: cJSON rounds numbers. */
cJSON *vt_spikes_json(const vt_spikes *spikes) {
    cJSON *object = cJSON_CreateObject();
    vt_json_number(object, "skipped", spikes->skipped);
    cJSON *steps = vt_json_array(object, "steps");
    cJSON *means = vt_json_array(object, "means");
    bool whole = steps && means;
    int count = VT_SPIKE_PATHS;
    while (count > 0 && spikes->paths[count - 1].steps == 0) --count;
    for (int i = 0; whole && i < count; ++i) {
        char text[32];
        snprintf(text, sizeof text, "%.17g", spikes->paths[i].mean);
        whole = vt_json_append(steps, cJSON_CreateNumber(spikes->paths[i].steps)) &&
                vt_json_append(means, cJSON_CreateString(text));
    }
    if (whole) return object;
    cJSON_Delete(object);
    return NULL;
}

static bool parse_count(const cJSON *item, int most, int *out) {
    if (!cJSON_IsNumber(item) || item->valueint < 0 || item->valueint > most) return false;
    *out = item->valueint;
    return true;
}

static bool parse_mean(const cJSON *item, double *out) {
    char *end = NULL;
    if (!cJSON_IsString(item)) return false;
    *out = strtod(item->valuestring, &end);
    return end != item->valuestring && *end == '\0' && isfinite(*out);
}

variant_status vt_spikes_parse(vt_spikes *spikes, const cJSON *object, const char *path,
                               variant_error *err) {
    *spikes = (vt_spikes){0};
    if (!object) return VARIANT_OK;
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(object, "steps");
    const cJSON *means = cJSON_GetObjectItemCaseSensitive(object, "means");
    int count = cJSON_GetArraySize(steps);
    bool valid =
        cJSON_IsArray(steps) && cJSON_IsArray(means) && count <= VT_SPIKE_PATHS &&
        count == cJSON_GetArraySize(means) &&
        parse_count(cJSON_GetObjectItemCaseSensitive(object, "skipped"), 1000000, &spikes->skipped);
    for (int i = 0; valid && i < count; ++i)
        valid =
            parse_count(cJSON_GetArrayItem(steps, i), VT_SPIKE_STEPS, &spikes->paths[i].steps) &&
            parse_mean(cJSON_GetArrayItem(means, i), &spikes->paths[i].mean);
    if (valid) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT, "%s: its running means of the loss are misshapen", path);
}
