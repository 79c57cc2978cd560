/* tokens.c - token maps of many pictures: from finished pictures, to files and back. A file is safetensors or .npz: "tokens", int32
 * (N, L), a picture's scales one after another; "labels", int32 (N), where they are known; of an .npz also "sides", int32 (K), which
 * safetensors keep in their metadata, with the codebook's size, the model's hash and the pictures' names. */
#include "engine/tokens.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/status.h"
#include "io/file.h"
#include "io/json.h"
#include "io/npz.h"
#include "io/npz_write.h"
#include "io/tensors.h"

enum { MOST_PICTURES = 1 << 24, LARGEST_SIDE = 256 };

/* ---- making ---- */

static variant_status no_memory(int count, variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %d pictures", count);
}

variant_status vt_tokens_new(variant_tokens **out, int count, int length, bool labelled,
                             variant_error *err) {
    variant_tokens *t = *out = calloc(1, sizeof *t);
    if (!t) return no_memory(count, err);
    t->count = count;
    t->length = length;
    t->tokens = malloc((size_t)count * (size_t)length * sizeof *t->tokens);
    t->labels = labelled ? malloc((size_t)count * sizeof *t->labels) : NULL;
    if (t->tokens && (t->labels || !labelled)) return VARIANT_OK;
    variant_tokens_free(out);
    return no_memory(count, err);
}

void vt_tokens_describe(variant_tokens *t, const vt_tokenizer_config *config, const char *hash) {
    t->scales = config->scales;
    memcpy(t->sides, config->sides, (size_t)config->scales * sizeof *t->sides);
    t->codes = config->codes;
    snprintf(t->model, sizeof t->model, "%s", hash);
}

void variant_tokens_free(variant_tokens **tokens) {
    variant_tokens *t = tokens ? *tokens : NULL;
    if (!t) return;
    for (int i = 0; t->names && i < t->count; ++i) free(t->names[i]);
    free(t->names);
    free(t->tokens);
    free(t->labels);
    free(t->settings);
    free(t);
    *tokens = NULL;
}

variant_status variant_pictures_tokens(const variant_picture *pictures, int count,
                                       variant_tokens **out, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put tokens");
    *out = NULL;
    if (!pictures || count < 1)
        return vt_fail(error, VARIANT_E_ARGUMENT, "tokens of %d pictures: expected at least one",
                       count);
    const int length = pictures[0].token_count;
    for (int i = 0; i < count; ++i)
        if (!pictures[i].tokens || pictures[i].token_count != length || length < 1)
            return vt_fail(error, VARIANT_E_ARGUMENT,
                           "picture %d has %d tokens, the first %d: expected as many of each", i,
                           pictures[i].token_count, length);
    VT_TRY(vt_tokens_new(out, count, length, true, error));
    for (int i = 0; i < count; ++i) {
        memcpy((*out)->tokens + (size_t)i * (size_t)length, pictures[i].tokens,
               (size_t)length * sizeof *pictures->tokens);
        (*out)->labels[i] = pictures[i].label;
    }
    if (!pictures[0].settings || ((*out)->settings = strdup(pictures[0].settings)))
        return VARIANT_OK;
    variant_tokens_free(out);
    return no_memory(count, error);
}

/* ---- writing ---- */

/* {"sides": [..], "codes": n, "model": "..", "pictures": [..]}; NULL: no memory. */
static char *describe(const variant_tokens *t) {
    cJSON *json = cJSON_CreateObject();
    vt_json_put(json, "sides", cJSON_CreateIntArray(t->sides, t->scales));
    vt_json_number(json, "codes", t->codes);
    vt_json_string(json, "model", t->model);
    if (t->names)
        vt_json_put(json, "pictures",
                    cJSON_CreateStringArray((const char *const *)t->names, t->count));
    char *text = vt_json_text(json);
    cJSON_Delete(json);
    return text;
}

static variant_status write_tensors(const variant_tokens *t, const char *path, variant_error *err) {
    const vt_tensor_out list[] = {
        {.name = "tokens",
         .type = VT_I32,
         .rank = 2,
         .shape = {t->count, t->length},
         .data = t->tokens},
        {.name = "labels", .type = VT_I32, .rank = 1, .shape = {t->count}, .data = t->labels},
    };
    char *text = t->scales ? describe(t) : NULL;
    if (t->scales && !text) return no_memory(t->count, err);
    const char *keys[2], *values[2];
    int count = 0;
    if (text) keys[count] = VT_TOKENS_KEY, values[count++] = text;
    if (t->settings) keys[count] = VT_SETTINGS_KEY, values[count++] = t->settings;
    const variant_status status =
        vt_safetensors_write(path, list, t->labels ? 2 : 1, keys, values, count, err);
    cJSON_free(text);
    return status;
}

static variant_status write_arrays(const variant_tokens *t, const char *path, variant_error *err) {
    const int64_t shape[] = {t->count, t->length}, sides = t->scales;
    vt_npz_writer file;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_npz_writer_open(&file, path, err));
    VT_CHECK(vt_npz_writer_put(&file, "tokens", "<i4", 2, shape, t->tokens, err));
    if (t->labels) VT_CHECK(vt_npz_writer_put(&file, "labels", "<i4", 1, shape, t->labels, err));
    if (t->scales) VT_CHECK(vt_npz_writer_put(&file, "sides", "<i4", 1, &sides, t->sides, err));
    VT_CHECK(vt_npz_writer_commit(&file, err));
cleanup:
    vt_npz_writer_abandon(&file);
    return status;
}

static bool is_npz_name(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".npz") == 0;
}

/* The standard output, a device or a pipe, whose name tells nothing. */
static bool is_stream(const char *path) {
    struct stat info;
    return variant_is_standard_output(path) ||
           (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

variant_status variant_tokens_path_check(const char *path, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!path || !path[0])
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a file to write tokens to");
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    const bool ends = dot && dot > name;
    if (ends && (is_npz_name(name) || strcmp(dot, ".safetensors") == 0)) return VARIANT_OK;
    if (!ends && is_stream(path)) return VARIANT_OK;
    return vt_fail(error, VARIANT_E_ARGUMENT,
                   "%s: tokens are written to files that end in .safetensors or .npz%s%s", path,
                   ends ? ", not in " : "", ends ? dot : "");
}

/* Sides as a tokenizer has them, whose squares are the tokens of a picture; E_FORMAT. */
static variant_status check_sides(const variant_tokens *t, const char *path, variant_error *err) {
    int64_t sum = 0;
    for (int k = 0; k < t->scales; ++k) {
        const int before = k ? t->sides[k - 1] : 0;
        if (t->sides[k] <= before || t->sides[k] > LARGEST_SIDE)
            return vt_fail(err, VARIANT_E_FORMAT,
                           "%s: side %d of scale %d after %d, expected growing sides up to %d",
                           path, t->sides[k], k, before, (int)LARGEST_SIDE);
        sum += (int64_t)t->sides[k] * t->sides[k];
    }
    if (t->scales == 0 || sum == t->length) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT,
                   "%s: its %d sides are scales of %lld tokens in all, a picture has %d", path,
                   t->scales, (long long)sum, t->length);
}

variant_status variant_tokens_write(const variant_tokens *tokens, const char *path,
                                    variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!tokens || !path || !path[0] || tokens->count < 1 || tokens->length < 1 || !tokens->tokens)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected tokens, and a file to write");
    if (tokens->scales < 0 || tokens->scales > VARIANT_MAX_SCALES)
        return vt_fail(error, VARIANT_E_ARGUMENT, "tokens of %d scales: expected 0 to %d",
                       tokens->scales, VARIANT_MAX_SCALES);
    VT_TRY(variant_tokens_path_check(path, error));
    if (check_sides(tokens, path, error) != VARIANT_OK) return VARIANT_E_ARGUMENT;
    return is_npz_name(path) ? write_arrays(tokens, path, error)
                             : write_tensors(tokens, path, error);
}

/* ---- reading ---- */

static variant_status fail_shape(const char *path, variant_error *err) {
    return vt_fail(err, VARIANT_E_FORMAT,
                   "%s: has no tensor \"tokens\" of shape (pictures, tokens)", path);
}

static variant_status check_length(const char *path, int64_t length, int wanted,
                                   variant_error *err) {
    if (!wanted || length == wanted) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL, "%s: pictures of %lld tokens, this tokenizer's have %d",
                   path, (long long)length, wanted);
}

static variant_status check_codes(const variant_tokens *t, const char *path, int codes,
                                  variant_error *err) {
    const size_t length = (size_t)t->length, count = (size_t)t->count * length;
    const int32_t last = codes ? codes - 1 : INT32_MAX;
    for (size_t i = 0; i < count; ++i)
        if (t->tokens[i] < 0 || t->tokens[i] > last)
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: token %zu of picture %zu is %d, expected 0 to %d", path, i % length,
                           i / length, t->tokens[i], last);
    return VARIANT_OK;
}

/* The model's hash and the sides, where the text of a file tells. */
static variant_status read_description(variant_tokens *t, const char *text, variant_error *err) {
    cJSON *json = vt_json_of(text), *side;
    if (vt_json_lacked_memory(json, text)) return no_memory(t->count, err);
    const char *made = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "model"));
    if (made) snprintf(t->model, sizeof t->model, "%s", made);
    const cJSON *codes = cJSON_GetObjectItemCaseSensitive(json, "codes");
    if (cJSON_IsNumber(codes)) t->codes = codes->valueint;
    const cJSON *sides = cJSON_GetObjectItemCaseSensitive(json, "sides");
    cJSON_ArrayForEach(side, sides) if (t->scales < VARIANT_MAX_SCALES) t->sides[t->scales++] =
        cJSON_IsNumber(side) ? side->valueint : 0; /* none, which is told of it */
    cJSON_Delete(json);
    return VARIANT_OK;
}

static variant_status read_labels(variant_tokens *t, const vt_tensor *labels, variant_error *err) {
    if (!labels || labels->rank != 1 || labels->shape[0] != t->count) return VARIANT_OK;
    t->labels = malloc((size_t)t->count * sizeof *t->labels);
    return t->labels ? vt_tensor_to_i32(labels, t->labels, err) : no_memory(t->count, err);
}

static variant_status from_tensors(variant_tokens **out, const vt_tensor_file *file,
                                   const char *path, int length, variant_error *err) {
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "tokens");
    if (!tensor || tensor->rank != 2 || tensor->shape[0] < 1 || tensor->shape[1] < 1 ||
        tensor->shape[0] > MOST_PICTURES || tensor->shape[1] > MOST_PICTURES)
        return fail_shape(path, err);
    VT_TRY(check_length(path, tensor->shape[1], length, err));
    VT_TRY(vt_tokens_new(out, (int)tensor->shape[0], (int)tensor->shape[1], false, err));
    const char *settings = vt_tensor_file_meta(file, VT_SETTINGS_KEY);
    const vt_tensor *labels = vt_tensor_file_find(file, NULL, "labels");
    VT_TRY(vt_tensor_verify(file, tensor, NULL, err));
    if (labels) VT_TRY(vt_tensor_verify(file, labels, NULL, err));
    variant_status status = vt_tensor_to_i32(tensor, (*out)->tokens, err);
    if (status == VARIANT_OK) status = read_labels(*out, labels, err);
    if (status != VARIANT_OK)
        return vt_fail_within(err, status == VARIANT_E_MEMORY ? VARIANT_E_MEMORY : VARIANT_E_FORMAT,
                              "%s", path);
    VT_TRY(read_description(*out, vt_tensor_file_meta(file, VT_TOKENS_KEY), err));
    if (!settings) return VARIANT_OK;
    if (!(*out)->model[0]) VT_TRY(read_description(*out, settings, err));
    (*out)->settings = strdup(settings);
    return (*out)->settings ? VARIANT_OK : no_memory((*out)->count, err);
}

static variant_status read_tensors(variant_tokens **out, const char *path, int length,
                                   variant_error *err) {
    variant_error why = {0};
    vt_tensor_file *file = NULL;
    variant_status status = vt_tensor_file_open_guarded(&file, path, &why);
    char *wanted = strstr(why.message, ", expected ");
    if (wanted) *wanted = '\0'; /* a model, which is what most files are opened for */
    if (status != VARIANT_OK)
        return vt_fail(err, status, "%s%s", why.message,
                       wanted ? ", expected a file of tokens, as `variant encode` writes them"
                              : "");
    status = from_tensors(out, file, path, length, err);
    status = vt_tensor_file_settle(file, status, err);
    vt_tensor_file_close(&file);
    return status;
}

/* An array of whole numbers as int32; E_FORMAT: others. */
static variant_status read_whole(vt_npz *npz, const vt_npy *array, int32_t *out,
                                 variant_error *err) {
    double *numbers = malloc(array->count * sizeof *numbers + 1);
    if (!numbers) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu numbers", array->count);
    variant_status status = vt_npy_read(array, numbers, err);
    for (size_t i = 0; status == VARIANT_OK && i < array->count; ++i) {
        out[i] = numbers[i] >= INT32_MIN && numbers[i] <= INT32_MAX ? (int32_t)numbers[i] : -1;
        if ((double)out[i] != numbers[i])
            status = vt_fail(err, VARIANT_E_FORMAT, "%s: %g is no whole number of 32 bits",
                             npz->path, numbers[i]);
    }
    free(numbers);
    return status;
}

static variant_status from_arrays(variant_tokens **out, vt_npz *npz, int length,
                                  variant_error *err) {
    vt_npy tokens, labels, sides;
    if (!vt_npz_has(npz, "tokens")) return fail_shape(npz->path, err);
    VT_TRY(vt_npz_find(npz, "tokens", &tokens, err));
    if (tokens.rank != 2 || tokens.shape[0] < 1 || tokens.shape[1] < 1 ||
        tokens.shape[0] > MOST_PICTURES || tokens.shape[1] > MOST_PICTURES)
        return fail_shape(npz->path, err);
    VT_TRY(check_length(npz->path, tokens.shape[1], length, err));
    const bool labelled = vt_npz_has(npz, "labels");
    VT_TRY(vt_tokens_new(out, (int)tokens.shape[0], (int)tokens.shape[1], labelled, err));
    VT_TRY(read_whole(npz, &tokens, (*out)->tokens, err));
    if (labelled) {
        VT_TRY(vt_npz_find(npz, "labels", &labels, err));
        if (labels.rank != 1 || labels.shape[0] != tokens.shape[0])
            return vt_fail(err, VARIANT_E_FORMAT, "%s: expected a label for each picture",
                           npz->path);
        VT_TRY(read_whole(npz, &labels, (*out)->labels, err));
    }
    if (!vt_npz_has(npz, "sides")) return VARIANT_OK;
    VT_TRY(vt_npz_find(npz, "sides", &sides, err));
    if (sides.rank != 1 || sides.shape[0] > VARIANT_MAX_SCALES)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: expected at most %d sides", npz->path,
                       VARIANT_MAX_SCALES);
    (*out)->scales = (int)sides.shape[0];
    return read_whole(npz, &sides, (*out)->sides, err);
}

static variant_status read_arrays(variant_tokens **out, const char *path, int length,
                                  variant_error *err) {
    vt_npz npz;
    VT_TRY(vt_npz_open(&npz, path, err));
    const variant_status status = from_arrays(out, &npz, length, err);
    vt_npz_close(&npz);
    return status;
}

variant_status variant_tokens_read(variant_tokens **out, const char *path, int length, int codes,
                                   variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out || !path || !path[0] || length < 0 || codes < 0)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a file of tokens to read");
    *out = NULL;
    variant_status status = is_npz_name(path) && vt_npz_is(path)
                                ? read_arrays(out, path, length, error)
                                : read_tensors(out, path, length, error);
    if (status == VARIANT_OK) status = check_sides(*out, path, error);
    if (status == VARIANT_OK) status = check_codes(*out, path, codes, error);
    if (status != VARIANT_OK) variant_tokens_free(out);
    return status;
}
