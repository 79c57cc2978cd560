/* compare.c - one computed tensor against the reference, and how results are brought into
 * its layout.
 *
 * Called by the computing parts of the self-test. References hold pictures as (B, C, H, W) and
 * parameters in file layout; what was computed lies in backend memory as (B, H, W, C). */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftest/parts.h"

#define VT_NOTE_SIZE 128

const vt_tensor *vt_selftest_find(const vt_selftest *test, const char *format, ...) {
    char name[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return n >= 0 && (size_t)n < sizeof name ? vt_tensor_file_find(test->file, NULL, name) : NULL;
}

variant_status vt_selftest_batch(const vt_selftest *test, const char *name, int *batch,
                                 variant_error *err) {
    const vt_tensor *tensor = vt_tensor_file_find(test->file, NULL, name);
    if (!tensor || tensor->rank < 1 || tensor->shape[0] < 1 || tensor->shape[0] > VT_SELFTEST_BATCH)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "tensor \"%s\" must exist and begin with a batch of 1 to %d", name,
                       VT_SELFTEST_BATCH);
    *batch = (int)tensor->shape[0];
    return VARIANT_OK;
}

/* Length of the run's name when `name` is RUN/ and one of kinds, else 0. */
static size_t run_length(const char *name, const char *const *kinds) {
    const char *slash = strchr(name, '/');
    for (int i = 0; slash && kinds[i]; ++i) {
        if (strncmp(slash + 1, kinds[i], strlen(kinds[i])) == 0) return (size_t)(slash - name);
    }
    return 0;
}

bool vt_selftest_is_run(const vt_selftest *test, int index, const char *const *kinds, char *run,
                        size_t size) {
    const char *name = vt_tensor_file_at(test->file, index)->name;
    size_t length = run_length(name, kinds);
    if (length == 0 || length >= size) return false;
    for (int i = 0; i < index; ++i) {
        const char *earlier = vt_tensor_file_at(test->file, i)->name;
        if (run_length(earlier, kinds) == length && strncmp(earlier, name, length) == 0)
            return false;
    }
    memcpy(run, name, length);
    run[length] = '\0';
    return true;
}

/* ---- comparing ---- */

/* Keeps a copy of a computed tensor for the dump. */
static variant_status keep_tensor(vt_selftest *test, const vt_tensor_out *got, size_t count,
                                  variant_error *err) {
    if (!test->options.keep) return VARIANT_OK;
    if (test->kept_count == test->kept_capacity) {
        int capacity = test->kept_capacity ? 2 * test->kept_capacity : 256;
        vt_tensor_out *more = realloc(test->kept, (size_t)capacity * sizeof *more);
        if (!more) return vt_fail(err, VARIANT_E_MEMORY, "no memory to keep what was computed");
        test->kept = more;
        test->kept_capacity = capacity;
    }
    size_t bytes = count * vt_dtype_size(got->type);
    char *name = NULL;
    if (asprintf(&name, "%s%s", test->prefix, got->name) < 0) name = NULL;
    void *data = malloc(bytes ? bytes : 1);
    if (!name || !data) {
        free(name);
        free(data);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory to keep what was computed");
    }
    if (bytes) memcpy(data, got->data, bytes);
    vt_tensor_out *kept = &test->kept[test->kept_count++];
    *kept = *got;
    kept->name = name;
    kept->data = data;
    return VARIANT_OK;
}

static double real_at(vt_dtype type, const void *data, size_t i) {
    return type == VT_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Fills error and verdict of reals; a NaN fails. */
static variant_status compare_reals(const vt_tensor *want, const vt_tensor_out *got,
                                    vt_selftest_line *line, variant_error *err) {
    const void *data = want->data;
    vt_dtype type = want->type;
    float *converted = NULL;
    if (type != VT_F64) {
        converted = malloc((want->count ? want->count : 1) * sizeof *converted);
        if (!converted)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory to compare \"%s\"", want->name);
        variant_status status = vt_tensor_to_f32(want, converted, err);
        if (status != VARIANT_OK) {
            free(converted);
            return status;
        }
        data = converted;
        type = VT_F32;
    }
    double wanted = 0, off = 0;
    for (size_t i = 0; i < want->count; ++i) {
        double w = real_at(type, data, i), d = real_at(got->type, got->data, i) - w;
        wanted += w * w;
        off += d * d;
    }
    free(converted);
    wanted = sqrt(wanted);
    off = sqrt(off);
    line->error = wanted > 0 ? off / wanted : off;
    line->verdict = off <= line->tolerance * wanted + 1e-6 ? VT_SELFTEST_PASS : VT_SELFTEST_FAIL;
    return VARIANT_OK;
}

/* note_room: VT_NOTE_SIZE bytes that line->note may come to point to. */
static variant_status compare_integers(const vt_tensor *want, const vt_tensor_out *got,
                                       const float *margin, float most, vt_selftest_line *line,
                                       char *note_room, variant_error *err) {
    int32_t *wanted = malloc((want->count ? want->count : 1) * sizeof *wanted);
    if (!wanted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to compare \"%s\"", want->name);
    variant_status status = vt_tensor_to_i32(want, wanted, err);
    if (status == VARIANT_OK) {
        size_t different = 0, ties = 0;
        for (size_t i = 0; i < want->count; ++i) {
            if (((const int32_t *)got->data)[i] == wanted[i]) continue;
            ++different;
            if (margin && margin[i] < most) ++ties;
        }
        line->error = (double)different;
        line->verdict = different == ties ? VT_SELFTEST_PASS : VT_SELFTEST_FAIL;
        if (ties) {
            snprintf(note_room, VT_NOTE_SIZE,
                     "%zu within %g of a tie; the rest is compared from the reference's tokens",
                     ties, (double)most);
            line->note = note_room;
        }
    }
    free(wanted);
    return status;
}

static void compare_bytes(const vt_tensor *want, const vt_tensor_out *got, vt_selftest_line *line) {
    const uint8_t *w = want->data, *g = got->data;
    int largest = 0;
    for (size_t i = 0; i < want->count; ++i) {
        int d = abs((int)w[i] - (int)g[i]);
        if (d > largest) largest = d;
    }
    line->error = largest;
    line->verdict = largest <= line->tolerance ? VT_SELFTEST_PASS : VT_SELFTEST_FAIL;
}

static bool same_kind(vt_dtype want, vt_dtype got) {
    switch (got) {
    case VT_F32:
    case VT_F64:
        return want == VT_F32 || want == VT_F64 || want == VT_F16 || want == VT_BF16;
    case VT_U8:
        return want == VT_U8;
    default:
        return want == VT_I32 || want == VT_I64 || want == VT_I16;
    }
}

static variant_status check(vt_selftest *test, const vt_tensor_out *got, double tolerance,
                            const float *margin, variant_error *err) {
    if (test->kern->dry) return VARIANT_OK; /* nothing was computed */
    const vt_tensor *want = vt_tensor_file_find(test->file, NULL, got->name);
    if (!want) return VARIANT_OK;
    for (int i = 0; i < vt_tensor_file_count(test->file); ++i) {
        if (vt_tensor_file_at(test->file, i) != want) continue;
        if (test->done[i]) return VARIANT_OK;
        test->done[i] = 1;
    }
    size_t count = 1;
    bool fits = want->rank == got->rank && same_kind(want->type, got->type);
    for (int d = 0; d < got->rank; ++d) {
        count *= (size_t)got->shape[d];
        if (fits && want->shape[d] != got->shape[d]) fits = false;
    }
    VT_TRY(keep_tensor(test, got, count, err));
    char note[VT_NOTE_SIZE];
    bool rounded = vt_selftest_is_rounded(test);
    if (rounded)
        tolerance = test->options.weights == VT_NUMBER_INT4   ? VT_COARSEST_TOLERANCE
                    : test->options.weights == VT_NUMBER_INT8 ? VT_COARSE_TOLERANCE
                                                              : VT_ROUNDED_TOLERANCE;
    vt_selftest_line line = {.file = vt_tensor_file_path(test->file),
                             .tensor = got->name,
                             .note = "",
                             .verdict = VT_SELFTEST_FAIL,
                             .type = got->type,
                             .tolerance = tolerance};
    if (!fits) {
        line.error = NAN;
        line.note = "its shape or type in the file is not what its configuration gives";
    } else if (got->type == VT_U8) {
        line.tolerance = rounded ? VT_ROUNDED_LEVELS : 1;
        compare_bytes(want, got, &line);
    } else if (got->type == VT_I32) {
        line.tolerance = 0;
        const float tie = test->options.weights == VT_NUMBER_INT4 ? VT_COARSEST_MARGIN
                          : rounded                               ? VT_ROUNDED_MARGIN
                                                                  : VT_TIE_MARGIN;
        VT_TRY(compare_integers(want, got, margin, tie, &line, note, err));
    } else {
        VT_TRY(compare_reals(want, got, &line, err));
    }
    if (line.verdict == VT_SELFTEST_PASS)
        ++test->counts.passed;
    else
        ++test->counts.failed;
    if (test->options.line) test->options.line(test->options.user, &line);
    return VARIANT_OK;
}

variant_status vt_selftest_check(vt_selftest *test, const vt_tensor_out *got, double tolerance,
                                 variant_error *err) {
    return check(test, got, tolerance, NULL, err);
}

variant_status vt_selftest_check_tokens(vt_selftest *test, const vt_tensor_out *got,
                                        const float *margin, variant_error *err) {
    return check(test, got, 0, margin, err);
}

variant_status vt_selftest_check_scalar(vt_selftest *test, const char *name, double got,
                                        double tolerance, variant_error *err) {
    vt_tensor_out out = {.name = name, .type = VT_F64, .rank = 1, .shape = {1}, .data = &got};
    return check(test, &out, tolerance, NULL, err);
}

/* ---- layouts ---- */

static float map_value(float x, vt_selftest_map map) {
    if (map == VT_MAP_PLAIN) return x;
    if (x < -1.0f) x = -1.0f; /* comparisons that leave a NaN a NaN */
    if (x > 1.0f) x = 1.0f;
    return map == VT_MAP_CLAMP ? x : (x + 1.0f) * 0.5f;
}

variant_status vt_selftest_check_maps(vt_selftest *test, const vt_selftest_maps *maps,
                                      variant_error *err) {
    if (test->kern->dry || !vt_selftest_find(test, "%s", maps->name)) return VARIANT_OK;
    size_t pixels = (size_t)maps->side * (size_t)maps->side, channels = (size_t)maps->channels;
    size_t count = (size_t)maps->batch * pixels * channels;
    variant_status status = VARIANT_OK;
    float *nhwc = malloc(count * sizeof *nhwc), *nchw = calloc(count, sizeof *nchw);
    uint8_t *bytes = malloc(count);
    if (!nhwc || !nchw || !bytes) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory to compare \"%s\"", maps->name);
        goto cleanup;
    }
    VT_CHECK(vt_kern_download(test->kern, nhwc, maps->buffer, count * sizeof *nhwc, err));
    for (size_t b = 0; b < (size_t)maps->batch; ++b) {
        for (size_t p = 0; p < pixels; ++p) {
            for (size_t c = 0; c < channels; ++c)
                nchw[(b * channels + c) * pixels + p] =
                    map_value(nhwc[(b * pixels + p) * channels + c], maps->map);
        }
    }
    vt_tensor_out got = {.name = maps->name,
                         .type = VT_F32,
                         .rank = 4,
                         .shape = {maps->batch, maps->channels, maps->side, maps->side},
                         .data = nchw};
    if (maps->map == VT_MAP_U8) {
        for (size_t i = 0; i < count; ++i)
            bytes[i] = nchw[i] >= 0 ? (uint8_t)(nchw[i] * 255.0f + 0.5f) : 0;
        got.type = VT_U8;
        got.data = bytes;
    }
    status = vt_selftest_check(test, &got, VT_FORWARD_TOLERANCE, err);
cleanup:
    free(nhwc);
    free(nchw);
    free(bytes);
    return status;
}

static variant_status check_param(vt_selftest *test, const vt_params *params, const vt_param *param,
                                  const char *name, vt_selftest_quantity quantity,
                                  variant_error *err) {
    const float *buffer = quantity == VT_VALUE_NORMS ? param->value : param->grad;
    if (!buffer) return VARIANT_OK; /* a buffer of the model: left to "nothing computes it" */
    float *numbers = malloc((param->count ? param->count : 1) * sizeof *numbers);
    if (!numbers) return vt_fail(err, VARIANT_E_MEMORY, "no memory to compare \"%s\"", name);
    variant_status status = vt_param_download(params, param, buffer, numbers, err);
    if (status == VARIANT_OK && quantity == VT_GRADIENTS) {
        vt_tensor_out got = {.name = name, .type = VT_F32, .rank = param->rank, .data = numbers};
        for (int d = 0; d < param->rank; ++d) got.shape[d] = param->shape[d];
        status = vt_selftest_check(test, &got, VT_GRADIENT_TOLERANCE, err);
    } else if (status == VARIANT_OK) {
        double sum = 0;
        for (size_t i = 0; i < param->count; ++i) sum += (double)numbers[i] * (double)numbers[i];
        status = vt_selftest_check_scalar(test, name, sqrt(sum), VT_GRADIENT_TOLERANCE, err);
    }
    free(numbers);
    return status;
}

variant_status vt_selftest_check_params(vt_selftest *test, const vt_params *params,
                                        const char *prefix, vt_selftest_quantity quantity,
                                        variant_error *err) {
    size_t length = strlen(prefix);
    for (int i = 0; i < vt_tensor_file_count(test->file) && !test->kern->dry; ++i) {
        const char *name = vt_tensor_file_at(test->file, i)->name;
        if (strncmp(name, prefix, length) != 0) continue;
        const vt_param *param = vt_params_find(params, name + length);
        if (param) VT_TRY(check_param(test, params, param, name, quantity, err));
    }
    return VARIANT_OK;
}
