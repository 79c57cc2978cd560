/* params_load.c - values of the parameters from a file, looked through, or from the synthetic rule.
 *
 * A tensor is taken in the cheapest way there is: used where the file is mapped, packed row by row for products without float32
 * values in between, or converted and uploaded. Every complaint about names and shapes comes before any memory. */
#include "nn/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/synth.h"
#include "kern/int4.h"
#include "nn/params_parts.h"

static void shape_text(char *out, size_t size, int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < rank && used < size; ++i)
        used +=
            (size_t)snprintf(out + used, size - used, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (used < size) snprintf(out + used, size - used, ")");
}

static variant_status check_shape(const vt_param *param, const vt_tensor *tensor, const char *path,
                                  variant_error *err) {
    bool same = tensor->rank == param->rank;
    for (int i = 0; same && i < param->rank; ++i) same = tensor->shape[i] == param->shape[i];
    if (same) return VARIANT_OK;
    char expected[96], found[128];
    shape_text(expected, sizeof expected, param->rank, param->shape);
    shape_text(found, sizeof found, tensor->rank, tensor->shape);
    return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s has shape %s, expected %s", path,
                   param->name, found, expected);
}

/* ---- weights packed without float32 values in between ---- */

typedef struct row_source {
    const vt_tensor *tensor; /* in file layout */
    const vt_param *param;
    const float
        *scales; /* of the rows of a tensor of integers, to be multiplied with; NULL: as they are */
    bool records; /* a tensor of int4 ones, to be multiplied out */
} row_source;

/* ---- integers with their scales ---- */

/* The scales of a tensor of integers, and what theirs of x cover; NULL: there are none. */
static const vt_tensor *find_scales(const vt_tensor_file *file, const vt_tensor *tensor,
                                    bool *whole) {
    static const char *const endings[] = {VT_INT8_OF_BLOCKS, VT_INT8_OF_ROWS};
    for (int i = 0; tensor->type == VT_I8 && i < 2; ++i) {
        char name[512];
        snprintf(name, sizeof name, "%s%s", tensor->name, endings[i]);
        const vt_tensor *scales = vt_tensor_file_find(file, tensor->group, name);
        if (whole) *whole = i == 1;
        if (scales) return scales;
    }
    return NULL;
}

bool vt_params_is_scale(const vt_params *params, const vt_tensor_file *file,
                        const vt_tensor *tensor) {
    for (int i = 0; i < params->count; ++i) {
        const char *name = params->items[i]->name;
        if (strncmp(tensor->name, name, strlen(name)) != 0) continue;
        const vt_tensor *of = vt_tensor_file_find(file, tensor->group, name);
        if (of && find_scales(file, of, NULL) == tensor) return true;
    }
    return false;
}

/* A product's matrix as records of int4.h, one a row? */
static bool is_records(const vt_param *param, const vt_tensor *tensor) {
    if (!tensor || !(param->flags & VT_PARAM_COARSE)) return false;
    return tensor->type == VT_U8 && tensor->rank == 2 && tensor->shape[0] == param->shape[0] &&
           tensor->shape[1] == (int64_t)vt_int4_record((size_t)param->shape[1]);
}

int vt_params_integers(const vt_params *params, const vt_tensor_file *file, const char *group,
                       int *records) {
    int count = 0;
    *records = 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        const vt_tensor *tensor = vt_tensor_file_find(file, group, param->name);
        const bool coarse = is_records(param, tensor);
        *records += coarse;
        count += vt_param_is_value(param) && tensor && (coarse || tensor->type == VT_I8);
    }
    return count;
}

/* A weight must be of a float type: whole numbers are those of a quantizer, whose scales nobody here knows. */
static variant_status check_type(const vt_tensor *tensor, const char *path, variant_error *err) {
    if (vt_tensor_is_float(tensor)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: tensor %s is %s, which is not read: expected F32, F16, BF16 or F64", path,
                   tensor->name, vt_tensor_type_name(tensor));
}

/* E_MODEL where integers are not a product's matrix with a good scale for each row. */
static variant_status check_integers(const vt_param *param, const vt_tensor_file *file,
                                     const vt_tensor *tensor, variant_error *err) {
    const char *path = vt_tensor_file_path(file);
    const vt_tensor *scales = find_scales(file, tensor, NULL);
    if (!(param->flags & VT_PARAM_PRODUCT) || (param->flags & VT_PARAM_CONV) || !scales)
        return check_type(tensor, path, err);
    if (scales->type != VT_F32 || scales->rank != 1 || scales->shape[0] != param->shape[0])
        return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is not %lld scales of type F32", path,
                       scales->name, (long long)param->shape[0]);
    const size_t found = vt_tensor_not_finite(scales);
    if (found == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: tensor %s: %zu of its %zu numbers are NaN or infinite", path, scales->name,
                   found, scales->count);
}

/* E_MODEL where a row's scale is not finite. */
static variant_status check_records(const vt_tensor_file *file, const vt_tensor *tensor,
                                    variant_error *err) {
    const uint8_t *record = tensor->data;
    for (int64_t j = 0; j < tensor->shape[0]; ++j, record += tensor->shape[1])
        if (!isfinite(vt_int4_scale(record)))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s: the scale of row %lld is %g",
                           vt_tensor_file_path(file), tensor->name, (long long)j,
                           (double)vt_int4_scale(record));
    return VARIANT_OK;
}

enum { CHANNELS = 16, MOST_TAPS = 16, WIDE = 128 };

/* Up to CHANNELS input channels of one row from channel i on, as in the file: (some, taps). */
static size_t read_channels(const row_source *source, size_t row, size_t i, float *out) {
    const vt_param *param = source->param;
    size_t taps = (size_t)(param->shape[2] * param->shape[3]), inputs = (size_t)param->shape[1];
    size_t some = inputs - i < CHANNELS ? inputs - i : CHANNELS;
    size_t size = vt_dtype_size(source->tensor->type);
    vt_tensor part = *source->tensor;
    part.count = some * taps;
    part.bytes = part.count * size;
    part.data = (const char *)part.data + (row * inputs + i) * taps * size;
    vt_tensor_to_f32(&part, out, NULL);
    return some;
}

static void read_records(const row_source *source, size_t first, size_t count, float *out) {
    const size_t k = (size_t)source->param->shape[1], size = vt_int4_record(k);
    const uint8_t *record = (const uint8_t *)source->tensor->data + first * size;
    for (size_t row = 0; row < count; ++row, record += size, out += k) {
        const float scale = vt_int4_scale(record);
        vt_int4_decode(record, k, out);
        for (size_t i = 0; i < k; ++i) out[i] *= scale;
    }
}

/* vt_weight_rows over a tensor. Types that cannot be floats were refused before. */
static void read_rows(const void *user, int first, int count, float *out) {
    const row_source *source = user;
    const vt_param *param = source->param;
    if (source->records) {
        read_records(source, (size_t)first, (size_t)count, out);
        return;
    }
    size_t k = param->count / (size_t)param->shape[0], size = vt_dtype_size(source->tensor->type);
    vt_tensor rows = *source->tensor;
    rows.count = (size_t)count * k;
    rows.bytes = rows.count * size;
    rows.data = (const char *)rows.data + (size_t)first * k * size;
    if (!vt_param_is_permuted(param)) {
        vt_tensor_to_f32(&rows, out, NULL);
        for (int row = 0; source->scales && row < count; ++row)
            for (size_t i = 0; i < k; ++i) out[(size_t)row * k + i] *= source->scales[first + row];
        return;
    }
    size_t taps = (size_t)(param->shape[2] * param->shape[3]), inputs = (size_t)param->shape[1];
    for (size_t row = 0; row < (size_t)count; ++row, out += k) {
        for (size_t i = 0; i < inputs; i += CHANNELS) {
            float part[CHANNELS * MOST_TAPS];
            size_t some = read_channels(source, (size_t)first + row, i, part);
            for (size_t c = 0; c < some; ++c)
                for (size_t t = 0; t < taps; ++t) out[t * inputs + i + c] = part[c * taps + t];
        }
    }
}

/* The same of a 3x3 convolution after nearest 2x as four 2x2 kernels (vt_conv): rows (phase, O) of
 * (2x2 taps, I), a tap being the sum of those of the 3x3 that read the same pixel. */
static void read_upsampled_rows(const void *user, int first, int count, float *out) {
    const row_source *source = user;
    size_t inputs = (size_t)source->param->shape[1], outputs = (size_t)source->param->shape[0];
    for (size_t row = (size_t)first; row < (size_t)(first + count); ++row, out += 4 * inputs) {
        size_t py = row / outputs / 2, px = row / outputs % 2;
        for (size_t i = 0; i < inputs; i += CHANNELS) {
            float part[CHANNELS * MOST_TAPS];
            size_t some = read_channels(source, row % outputs, i, part);
            for (size_t c = 0; c < some; ++c) {
                float sums[4] = {0};
                for (size_t t = 0; t < 9; ++t)
                    sums[((t / 3 + py + 1) / 2 - py) * 2 + (t % 3 + px + 1) / 2 - px] +=
                        part[c * 9 + t];
                for (size_t t = 0; t < 4; ++t) out[t * inputs + i + c] = sums[t];
            }
        }
    }
}

/* The same of a 3x3 convolution in Winograd's domain (vt_conv): rows of (16, I). */
static void read_winograd_rows(const void *user, int first, int count, float *out) {
    const row_source *source = user;
    size_t inputs = (size_t)source->param->shape[1];
    for (size_t row = (size_t)first; row < (size_t)(first + count); ++row, out += 16 * inputs) {
        for (size_t i = 0; i < inputs; i += CHANNELS) {
            float part[CHANNELS * MOST_TAPS];
            size_t some = read_channels(source, row, i, part);
            for (size_t c = 0; c < some; ++c) {
                const float *g = part + c * 9;
                float down[4][3];
                for (size_t x = 0; x < 3; ++x) {
                    float outer = g[x] + g[6 + x];
                    down[0][x] = g[x];
                    down[1][x] = 0.5f * (outer + g[3 + x]);
                    down[2][x] = 0.5f * (outer - g[3 + x]);
                    down[3][x] = g[6 + x];
                }
                for (size_t y = 0; y < 4; ++y) {
                    float *u = out + 4 * y * inputs + i + c, outer = down[y][0] + down[y][2];
                    u[0] = down[y][0];
                    u[inputs] = 0.5f * (outer + down[y][1]);
                    u[2 * inputs] = 0.5f * (outer - down[y][1]);
                    u[3 * inputs] = down[y][2];
                }
            }
        }
    }
}

/* Is a convolution wide enough for Winograd's domain? Narrow ones gain little, and few channels average
 * little of what rounding in that domain adds. */
static bool is_wide(const vt_param *param) {
    return param->shape[0] >= WIDE && param->shape[1] >= WIDE;
}

enum { WINOGRAD_TAPS = 16 };

/* Which kernel a wide convolution has: the one that the backend is faster with, unless a file holds numbers packed where that was
 * another. Both compute everywhere. */
static bool takes_winograd(const vt_params *params, const vt_tensor *given) {
    if (given) return given->rank == 4 && given->shape[1] == WINOGRAD_TAPS;
    return !params->kern->conv_direct(params->kern);
}

/* As packed weights are: of convolutions maybe other kernels than the file's. `given`: numbers that a file has packed, or NULL. */
static vt_weight_spec packed_spec(const vt_params *params, const vt_param *param,
                                  const vt_tensor *given) {
    vt_weight_spec spec = vt_param_weight_spec(params, param);
    spec.values = NULL;
    spec.rows = read_rows;
    if (param->flags & VT_PARAM_UPSAMPLED && spec.taps == 9 && spec.n % 16 == 0) {
        spec.n *= 4;
        spec.k = spec.k / 9 * 4;
        spec.taps = 4;
        spec.rows = read_upsampled_rows;
    }
    if (param->flags & VT_PARAM_STRIDE_1 && spec.taps == 9 && is_wide(param) &&
        takes_winograd(params, given)) {
        spec.k = spec.k / 9 * WINOGRAD_TAPS;
        spec.taps = WINOGRAD_TAPS;
        spec.rows = read_winograd_rows;
    }
    return spec;
}

/* scales: of a tensor of integers, which are kept in an INT8 weight; `whole` as in vt_weight_spec. */
static variant_status pack_weight(vt_params *params, vt_param *param, const vt_tensor *tensor,
                                  const float *scales, bool whole, variant_error *err) {
    float number;
    vt_tensor first = *tensor; /* says whether the type converts at all */
    first.count = first.count > 0;
    first.bytes = first.count * vt_dtype_size(first.type);
    VT_TRY(vt_tensor_to_f32(&first, &number, err));
    vt_weight_spec spec = packed_spec(params, param, NULL);
    const bool kept = spec.type == VT_NUMBER_INT8, records = is_records(param, tensor);
    row_source source = {tensor, param, kept ? NULL : scales, records};
    if (records && spec.type == VT_NUMBER_INT4) spec.records = tensor->data;
    spec.scales = kept ? scales : NULL;
    spec.whole = kept && scales && whole;
    spec.user = &source;
    if (vt_param_is_permuted(param) && spec.taps > MOST_TAPS)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "%s: a kernel of %d taps cannot be packed",
                       param->name, spec.taps);
    return vt_param_open_weight(params, param, &spec, err);
}

/* ---- weights that a file has packed ---- */

bool vt_param_panels(const vt_params *params, const vt_param *param, vt_panels *out) {
    const vt_weight_spec spec = packed_spec(params, param, NULL);
    return vt_panels_of(out, &spec);
}

/* Shape of its numbers as a tensor. */
void vt_panels_shape(const vt_panels *panels, int64_t shape[4]) {
    shape[0] = (int64_t)panels->count;
    shape[1] = panels->taps;
    shape[2] = panels->halves ? panels->depth / VT_PANELS_DEPTH8 : panels->depth;
    shape[3] = panels->halves ? VT_PANELS_UNIT4 : VT_PANELS_ROWS;
}

/* Every complaint about the two tensors that stand for param's weight. */
static variant_status check_packed(const vt_params *params, const vt_param *param,
                                   const vt_tensor_file *file, variant_error *err) {
    const vt_tensor *numbers = vt_packed_numbers(file, param->name),
                    *scales = vt_packed_scales(file, param->name, NULL);
    const char *path = vt_tensor_file_path(file);
    const bool bytes = vt_param_weight_type(params, param) >= VT_NUMBER_INT8;
    vt_panels panels;
    int64_t shape[4];
    if (vt_param_has_floats(params, param))
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: %s is packed for use, and its own numbers are wanted: take the file it "
                       "was packed from",
                       path, param->name);
    const vt_weight_spec spec = packed_spec(params, param, numbers);
    if (!vt_panels_of(&panels, &spec))
        return vt_fail(err, VARIANT_E_MODEL, "%s: %s is too large", path, param->name);
    vt_panels_shape(&panels, shape);
    if (numbers->type != (bytes ? VT_U8 : VT_BF16) || numbers->rank != 4 ||
        memcmp(numbers->shape, shape, sizeof shape) != 0)
        return vt_fail(
            err, VARIANT_E_MODEL,
            "%s: tensor %s is no %s of (%lld, %lld, %lld, %lld), which the model's shape "
            "asks for",
            path, numbers->name, bytes ? "U8" : "BF16", (long long)shape[0], (long long)shape[1],
            (long long)shape[2], (long long)shape[3]);
    if (bytes != (scales != NULL) ||
        (bytes && (scales->type != VT_F32 || scales->rank != 1 || scales->count != panels.scales ||
                   (uintptr_t)scales->data % sizeof(float) != 0)))
        return vt_fail(
            err, VARIANT_E_MODEL, "%s: %s%s: expected %s", path, param->name, VT_PACKED_SCALES,
            bytes ? "a scale (F32) for each row of whole panels" : "none for bf16 numbers");
    if ((uintptr_t)numbers->data % VT_PANELS_ALIGN != 0)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: tensor %s does not begin at a multiple of %d bytes of the file: it was "
                       "rewritten since it was packed",
                       path, numbers->name, VT_PANELS_ALIGN);
    return VARIANT_OK;
}

static variant_status take_packed(vt_params *params, vt_param *param, const vt_tensor_file *file,
                                  variant_error *err) {
    bool whole = false;
    const vt_tensor *numbers = vt_packed_numbers(file, param->name),
                    *scales = vt_packed_scales(file, param->name, &whole);
    const bool check = !params->any_numbers && !params->kern->dry;
    const vt_packed packed = {.numbers = numbers->data, .scale = scales ? scales->data : NULL};
    vt_weight_spec spec = packed_spec(params, param, numbers);
    spec.rows = NULL;
    spec.packed = &packed;
    spec.whole = whole && spec.type == VT_NUMBER_INT8;
    if (check) { /* of bytes, which are numbers whatever they are, the checksum alone; the pass brings pages in */
        VT_TRY(vt_params_check_numbers(file, numbers, params->kern->team, err));
        if (scales) VT_TRY(vt_params_check_numbers(file, scales, params->kern->team, err));
    }
    VT_TRY(vt_param_open_weight(params, param, &spec, err));
    if (params->kern->panels) params->mapped_bytes += numbers->bytes + (scales ? scales->bytes : 0);
    if (!params->kern->panels && !params->kern->dry) vt_tensor_file_release(file, numbers);
    return VARIANT_OK;
}

/* Can the kernels read the file's bytes where they lie? */
static bool maps_in_place(const vt_params *params, const vt_param *param, const vt_tensor *tensor) {
    return params->kern->unified && tensor->type == VT_F32 && !vt_param_is_permuted(param) &&
           (uintptr_t)tensor->data % sizeof(float) == 0;
}

static variant_status load_converted(vt_params *params, vt_param *param, const vt_tensor *tensor,
                                     const float *scales, variant_error *err) {
    if (tensor->type == VT_F32 && (uintptr_t)tensor->data % sizeof(float) == 0)
        return vt_param_upload(params, param, tensor->data, param->value, err);
    float *converted = malloc(param->count * sizeof(float));
    if (!converted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to convert %s", param->name);
    variant_status status = VARIANT_OK;
    if (scales || is_records(param, tensor))
        read_rows(&(row_source){tensor, param, scales, is_records(param, tensor)}, 0,
                  (int)param->shape[0], converted);
    else
        status = vt_tensor_to_f32(tensor, converted, err);
    if (status == VARIANT_OK) status = vt_param_upload(params, param, converted, param->value, err);
    free(converted);
    return status;
}

variant_status vt_params_check_numbers(const vt_tensor_file *file, const vt_tensor *tensor,
                                       vt_team *team, variant_error *err) {
    const vt_tensor_seen seen = vt_tensor_look(tensor, true, team);
    if (seen.changed) return vt_tensor_fail_changed(file, tensor, err);
    if (seen.not_finite == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: tensor %s: %zu of its %zu numbers are NaN or infinite: its training broke "
                   "down, or the file was damaged",
                   vt_tensor_file_path(file), tensor->name, seen.not_finite, tensor->count);
}

/* Bytes of tensors that the disk fetches while those before them are looked through. */
#define ASKED_AHEAD ((size_t)128 << 20)

/* The tensors from next on were not asked for yet; ahead bytes of those before it were not taken yet. */
typedef struct asked {
    int next;
    size_t ahead;
} asked;

/* What of a parameter is read from the file, NULL where nothing is. */
static const vt_tensor *read_of(const vt_param *param, const vt_tensor_file *file,
                                const char *group) {
    if (!vt_param_is_value(param)) return NULL;
    const vt_tensor *packed = vt_packed_numbers(file, param->name);
    return packed ? packed : vt_tensor_file_find(file, group, param->name);
}

/* Before parameter i is taken: asks for those behind it. */
static void ask_ahead(asked *a, const vt_params *params, const vt_tensor_file *file,
                      const char *group, int i) {
    for (; a->next < params->count && (a->next <= i || a->ahead < ASKED_AHEAD); ++a->next) {
        const vt_tensor *tensor = read_of(params->items[a->next], file, group);
        if (!tensor) continue;
        vt_tensor_file_ask(file, tensor);
        a->ahead += tensor->bytes;
    }
    a->ahead -= read_of(params->items[i], file, group)->bytes;
}

variant_status vt_params_load(vt_params *params, const vt_tensor_file *file, const char *group,
                              bool copy, variant_error *err) {
    const char *path = vt_tensor_file_path(file);
    for (int i = 0; i < params->count; ++i) { /* every complaint before any memory */
        const vt_param *param = params->items[i];
        const vt_tensor *tensor = vt_tensor_file_find(file, group, param->name);
        const bool packed = tensor && vt_packed_numbers(file, param->name);
        if (packed && vt_param_is_value(param)) VT_TRY(check_packed(params, param, file, err));
        if (!packed && is_records(param, tensor)) {
            VT_TRY(check_records(file, tensor, err));
            continue;
        }
        if (tensor && !packed && vt_param_is_value(param))
            VT_TRY(tensor->type == VT_I8 ? check_integers(param, file, tensor, err)
                                         : check_type(tensor, path, err));
        if (tensor)
            VT_TRY(tensor->type == VT_OTHER && !packed ? VARIANT_OK
                                                       : check_shape(param, tensor, path, err));
        else if (vt_param_is_value(param))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is missing", path, param->name);
    }
    VT_TRY(vt_params_allocate(params, err));
    asked ahead = {0};
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!vt_param_is_value(param)) continue;
        const vt_tensor *tensor = vt_tensor_file_find(file, group, param->name);
        if (!params->kern->dry) ask_ahead(&ahead, params, file, group, i);
        if (vt_packed_numbers(file, param->name)) {
            VT_TRY(take_packed(params, param, file, err));
            continue;
        }
        if (!params->any_numbers && !params->kern->dry)
            VT_TRY(vt_params_check_numbers(file, tensor, params->kern->team, err));
        bool whole = false;
        const vt_tensor *beside = find_scales(file, tensor, &whole);
        if (beside && !params->any_numbers && !params->kern->dry)
            VT_TRY(vt_tensor_verify(file, beside, params->kern->team, err));
        const float *scales = beside ? beside->data : NULL;
        if (!vt_param_has_floats(params, param)) {
            VT_TRY(pack_weight(params, param, tensor, scales, whole, err));
            if (!params->kern->dry) vt_tensor_file_release(file, tensor);
            continue;
        }
        if (!copy && maps_in_place(params, param, tensor)) {
            /* Inference only reads values; the reserved pages stay untouched and cost nothing. */
            param->value = (float *)(uintptr_t)tensor->data;
            params->mapped_bytes += param->count * sizeof(float);
            continue;
        }
        if (params->kern->dry) continue;
        VT_TRY(load_converted(params, param, tensor, scales, err));
        vt_tensor_file_release(file, tensor);
    }
    return VARIANT_OK;
}

variant_status vt_params_synthesize(vt_params *params, const char *seed, const char *model,
                                    variant_error *err) {
    VT_TRY(vt_params_allocate(params, err));
    size_t largest = 0;
    for (int i = 0; i < params->count; ++i)
        if (vt_param_is_value(params->items[i]) && params->items[i]->count > largest)
            largest = params->items[i]->count;
    float *host = calloc(largest ? largest : 1, sizeof(float)); /* nothing of it for a dry run */
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a synthetic tensor");
    variant_status status = VARIANT_OK;
    for (int i = 0; status == VARIANT_OK && i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!vt_param_is_value(param) || (params->kern->dry && vt_param_has_floats(params, param)))
            continue;
        if (!params->kern->dry)
            vt_synth_tensor(host, seed, model, param->name, param->rank, param->shape);
        if (vt_param_has_floats(params, param)) {
            status = vt_param_upload(params, param, host, param->value, err);
            continue;
        }
        vt_tensor tensor = {.type = VT_F32,
                            .rank = param->rank,
                            .count = param->count,
                            .bytes = param->count * sizeof(float),
                            .data = host};
        status = pack_weight(params, param, &tensor, NULL, false, err);
    }
    free(host);
    return status;
}
