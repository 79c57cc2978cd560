/* data.c - see data.h. */
#include "io/data.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "io/tensors.h"

vt_data vt_data_of(const char *path) {
    return (vt_data){.paths = {path}, .count = 1, .holdout = VT_HOLDOUT};
}

variant_status vt_data_follow(vt_data *data, const char *training, variant_error *err) {
    cJSON *record = vt_json_of(training);
    if (vt_json_lacked_memory(record, training))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the record of a training");
    const char *fit = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "fit"));
    const char *alpha = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "alpha"));
    for (vt_fit each = VT_FIT_CROP; each <= VT_FIT_STRETCH; each++)
        if (fit && !data->fit_chosen && strcmp(fit, vt_fit_name(each)) == 0) data->fit = each;
    for (vt_alpha each = VT_ALPHA_WHITE; each <= VT_ALPHA_DROP; each++)
        if (alpha && !data->alpha_chosen && strcmp(alpha, vt_alpha_name(each)) == 0)
            data->alpha = each;
    cJSON_Delete(record);
    return VARIANT_OK;
}

variant_status vt_data_follow_file(vt_data *data, const char *path, variant_error *err) {
    vt_tensor_file *file = NULL;
    VT_TRY(vt_tensor_file_open(&file, path, err));
    const variant_status status =
        vt_data_follow(data, vt_tensor_file_meta(file, VT_TRAINING_KEY), err);
    vt_tensor_file_close(&file);
    return status;
}

const char *vt_split_name(vt_split split) {
    static const char *const names[] = {"train", "test", "all"};
    return names[split];
}

bool vt_data_given(const vt_data *data) {
    return data->array.count > 0 || (data->count > 0 && data->paths[0] && *data->paths[0]);
}

void vt_data_name(const vt_data *data, char *out, size_t size) {
    size_t used = 0;
    snprintf(out, size, "%s", data->array.count ? VT_ARRAY_NAME : "");
    for (int i = 0; i < data->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", data->paths[i]);
}
