/* checksum_list.c - the list of checksums that a safetensors file has of its tensors: into its metadata, and from there to the tensors. See
 * checksum.h. Called by safetensors.c and tensors.c. */
#include <string.h>

#include "io/checksum.h"
#include "io/json.h"
#include "io/tensor_file.h"

/* ---- reading ---- */

/* Of a list, or an entry of one, that cannot be read: it is damaged, whatever the tensor is. No bytes have it. */
const vt_sum vt_sum_unreadable = {0, 0};

/* The tensor of that name; NULL: there is none, or no bytes of it. */
static vt_tensor *named(vt_tensor_file *file, const char *name) {
    const vt_tensor *found = name ? vt_tensor_file_find(file, NULL, name) : NULL;
    return found && found->bytes > 0 ? &file->tensors[found - file->tensors] : NULL;
}

static variant_status take_entry(vt_tensor_file *file, const cJSON *entry, variant_error *err) {
    vt_tensor *tensor = named(file, entry->string);
    vt_sum sum;
    if (!tensor) return VARIANT_OK;
    tensor->sum = &vt_sum_unreadable;
    if (!vt_sum_parse(&sum, cJSON_GetStringValue(entry))) return VARIANT_OK;
    vt_sum *kept = vt_pool_take(&file->pool, sizeof *kept);
    if (!kept) return vt_pool_fail(&file->pool, err);
    *kept = sum;
    tensor->sum = kept;
    return VARIANT_OK;
}

variant_status vt_checksums_take(vt_tensor_file *file, variant_error *err) {
    variant_status status = VARIANT_OK;
    const cJSON *entry;
    if (!file->sums) return VARIANT_OK;
    cJSON *json = vt_json_of(file->sums);
    if (vt_json_lacked_memory(json, file->sums))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for its checksums");
    file->sums = NULL;
    if (!cJSON_IsObject(json))
        for (int i = 0; i < file->count; ++i) file->tensors[i].sum = &vt_sum_unreadable;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(json, VT_SUMS_KIND))
        VT_CHECK(take_entry(file, entry, err));
cleanup:
    cJSON_Delete(json);
    return status;
}

/* ---- writing ---- */

char *vt_checksums_text(const vt_tensor *tensors, const vt_sum *sums, int count) {
    char hex[VT_SUM_TEXT];
    cJSON *json = cJSON_CreateObject();
    cJSON *list = vt_json_object(json, VT_SUMS_KIND);
    bool good = list != NULL;
    for (int i = 0; good && i < count; ++i) {
        if (tensors[i].bytes == 0) continue;
        vt_sum_text(hex, sums[i]);
        good = vt_json_string(list, tensors[i].name, hex) != NULL;
    }
    char *text = good ? vt_json_text(json) : NULL;
    cJSON_Delete(json);
    return text;
}

static variant_status add_sum(void *user, int index, const void *data, size_t bytes,
                              variant_error *err) {
    (void)err;
    ((vt_sum *)user)[index] = vt_sum_of(data, bytes);
    return VARIANT_OK;
}

variant_status vt_checksums_of(vt_sum *sums, const vt_tensor *measured,
                               const vt_tensor_out *tensors, int count, variant_error *err) {
    return vt_tensors_each(measured, tensors, count, add_sum, sums, NULL, err);
}
