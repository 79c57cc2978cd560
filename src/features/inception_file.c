/* inception_file.c - FID's Inception in files: names and shapes, loading, converting, and the
 * synthetic one (inception.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/inception_parts.h"
#include "io/synth.h"
#include "nn/params.h"

/* ---- names and shapes ---- */

static void describe(vt_inception_tensor *out, const char *layer, const char *part, int rank,
                     const int64_t *shape) {
    snprintf(out->name, sizeof out->name, "%s.%s", layer, part);
    out->rank = rank;
    out->count = 1;
    for (int d = 0; d < rank; ++d) {
        out->shape[d] = shape[d];
        out->count *= (size_t)shape[d];
    }
}

int vt_inception_tensors(const vt_inception_step *step, const vt_inception_layer *layer,
                         vt_inception_tensor out[VT_INCEPTION_TENSORS]) {
    static const char *const norm[] = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
    const int64_t shape[4] = {layer->out_c, layer->in_c, step->rows, step->columns};
    if (strcmp(step->name, "fc") == 0) {
        describe(&out[0], step->name, "weight", 2, shape);
        describe(&out[1], step->name, "bias", 1, shape);
        return 2;
    }
    describe(&out[0], step->name, "conv.weight", 4, shape);
    for (int i = 0; i < 4; ++i) describe(&out[1 + i], step->name, norm[i], 1, shape);
    return VT_INCEPTION_TENSORS;
}

/* All tensors in the order of the layers: *out is freed by the caller. */
static variant_status list_tensors(vt_inception_tensor **out, int *count, variant_error *err) {
    size_t steps = (size_t)vt_inception_step_count;
    vt_inception_layer *layers = calloc(steps, sizeof *layers);
    *out = calloc(steps * VT_INCEPTION_TENSORS, sizeof **out);
    *count = 0;
    if (!layers || !*out) {
        free(layers);
        free(*out);
        *out = NULL;
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for an Inception's names");
    }
    vt_inception_measure(layers);
    for (int i = 0; i < vt_inception_step_count; ++i)
        if (vt_inception_steps[i].op == VT_INCEPTION_CONV)
            *count += vt_inception_tensors(&vt_inception_steps[i], &layers[i], *out + *count);
    free(layers);
    return VARIANT_OK;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

bool vt_inception_is(const vt_tensor_file *file) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const char *name = vt_tensor_file_at(file, i)->name;
        if (begins(name, "Conv2d_1a_3x3.") || begins(name, "Mixed_5b.branch1x1.") ||
            begins(name, "Mixed_7c.branch1x1."))
            return true;
    }
    return false;
}

/* ---- reading ---- */

static void shape_text(char *out, size_t size, int rank, const int64_t *shape) {
    size_t n = 0;
    out[0] = '\0';
    for (int d = 0; d < rank && n < size; ++d)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", d ? ", " : "", (long long)shape[d]);
}

static variant_status find(const vt_tensor **out, const vt_tensor_file *file,
                           const vt_inception_tensor *want, variant_error *err) {
    const char *path = vt_tensor_file_path(file);
    const vt_tensor *tensor = *out = vt_tensor_file_find(file, NULL, want->name);
    if (!tensor)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: tensor %s of FID's Inception (pt_inception-2015-12-05) is missing",
                       path, want->name);
    if (tensor->rank == want->rank &&
        memcmp(tensor->shape, want->shape, (size_t)want->rank * sizeof *want->shape) == 0)
        return VARIANT_OK;
    char is[128], wanted[128];
    shape_text(is, sizeof is, tensor->rank, tensor->shape);
    shape_text(wanted, sizeof wanted, want->rank, want->shape);
    return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is (%s), in FID's Inception it is (%s)",
                   path, want->name, is, wanted);
}

/* Counters of the training belong to nobody. */
static bool is_counter(const char *name) {
    static const char end[] = ".bn.num_batches_tracked";
    size_t n = strlen(name), m = sizeof end - 1;
    return n > m && strcmp(name + n - m, end) == 0;
}

/* numbers: what they are, too. */
static variant_status check_file(const vt_tensor_file *file, const vt_inception_tensor *tensors,
                                 int count, bool numbers, variant_error *err) {
    for (int i = 0; i < count; ++i) {
        const vt_tensor *tensor;
        VT_TRY(find(&tensor, file, &tensors[i], err));
        if (!vt_tensor_is_float(tensor))
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: tensor %s is %s, which is not read: expected F32, F16, BF16 or F64",
                           vt_tensor_file_path(file), tensor->name, vt_tensor_type_name(tensor));
        if (numbers) VT_TRY(vt_params_check_numbers(file, tensor, NULL, err));
    }
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const char *name = vt_tensor_file_at(file, i)->name;
        if (vt_tensor_file_at(file, i)->type == VT_OTHER) continue;
        int at = 0;
        while (at < count && strcmp(tensors[at].name, name) != 0) ++at;
        if (at == count && !is_counter(name))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is not one of FID's Inception",
                           vt_tensor_file_path(file), name);
    }
    return VARIANT_OK;
}

static variant_status from_file(const void *user, const vt_inception_tensor *want, float *out,
                                variant_error *err) {
    const vt_tensor_file *file = user;
    const vt_tensor *tensor;
    VT_TRY(find(&tensor, file, want, err));
    variant_status status = vt_tensor_to_f32(tensor, out, err);
    vt_tensor_file_release(file, tensor);
    return status;
}

variant_status vt_inception_load(vt_inception **out, vt_kern *kern, const vt_tensor_file *file,
                                 variant_error *err) {
    *out = NULL;
    vt_inception_tensor *tensors = NULL;
    int count = 0;
    variant_status status = VARIANT_OK;
    VT_CHECK(list_tensors(&tensors, &count, err));
    VT_CHECK(check_file(file, tensors, count, !kern->dry, err));
    status = vt_inception_open(out, kern, from_file, file, err);
    if (status == VARIANT_E_MODEL || status == VARIANT_E_FORMAT)
        vt_fail_within(err, status, "%s", vt_tensor_file_path(file));
cleanup:
    free(tensors);
    return status;
}

/* ---- the synthetic one ---- */

static bool ends(const char *text, const char *with) {
    size_t n = strlen(text), m = strlen(with);
    return n >= m && strcmp(text + n - m, with) == 0;
}

/* Variances around 1, means around 0, weights so that a layer with ReLU keeps the size of what it is
 * given. */
static variant_status from_rule(const void *user, const vt_inception_tensor *want, float *out,
                                variant_error *err) {
    (void)err;
    char key[192];
    double offset = 0, amplitude = 0.1;
    snprintf(key, sizeof key, "%s/%s", (const char *)user, want->name);
    if (want->rank > 1) {
        double fan_in = (double)want->count / (double)want->shape[0];
        amplitude = sqrt(6.0 / fan_in);
    } else if (ends(want->name, ".weight") || ends(want->name, ".running_var")) {
        offset = 1;
        amplitude = 0.2;
    }
    vt_synth_scaled(out, want->count, key, offset, amplitude);
    return VARIANT_OK;
}

variant_status vt_inception_synthesize(vt_inception **out, vt_kern *kern, const char *seed,
                                       variant_error *err) {
    return vt_inception_open(out, kern, from_rule, seed, err);
}

/* ---- writing ---- */

/* In place: the halves go where the floats were. */
static void shorten(float *values, size_t count, vt_dtype type) {
    uint8_t *out = (uint8_t *)values;
    for (size_t i = 0; i < count; ++i) {
        float value;
        memcpy(&value, values + i, sizeof value);
        uint16_t half = type == VT_F16 ? vt_f16_from_f32(value) : vt_bf16_from_f32(value);
        memcpy(out + i * sizeof half, &half, sizeof half);
    }
}

/* value: of the metadata under `key`; NULL: there are none. */
typedef struct writing {
    const char *path;
    vt_dtype type;
    const char *key, *value;
    const vt_work_watch *watch;
} writing;

static variant_status write_from(const writing *w, vt_inception_source source, const void *user,
                                 variant_error *err) {
    const char *path = w->path;
    vt_inception_tensor *tensors = NULL;
    vt_tensor_out *outs = NULL;
    float *values = NULL;
    int count = 0;
    size_t floats = 0;
    variant_status status = VARIANT_OK;
    VT_CHECK(list_tensors(&tensors, &count, err));
    for (int i = 0; i < count; ++i) floats += tensors[i].count;
    outs = count > 0 ? calloc((size_t)count, sizeof *outs) : NULL;
    values = malloc(floats * sizeof *values);
    if (!outs || !values)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for its tensors", path));
    floats = 0;
    for (int i = 0; i < count; ++i) {
        float *to = values + floats;
        VT_CHECK(source(user, &tensors[i], to, err));
        vt_dtype own = tensors[i].rank > 1 ? w->type : VT_F32;
        if (own != VT_F32 && vt_half_loss_of(to, tensors[i].count, own).overflow)
            VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                             "%s is not written: numbers of %s overflow %s's range: type=f32", path,
                             tensors[i].name, vt_dtype_name(own)));
        if (own != VT_F32) shorten(to, tensors[i].count, own);
        outs[i] = (vt_tensor_out){
            .name = tensors[i].name, .type = own, .rank = tensors[i].rank, .data = to};
        memcpy(outs[i].shape, tensors[i].shape, sizeof tensors[i].shape);
        floats += tensors[i].count;
        VT_CHECK(vt_work_tell(w->watch, "converting", i + 1, count, err));
    }
    const vt_safetensors_out out = {.path = path,
                                    .tensors = outs,
                                    .count = count,
                                    .meta_keys = &w->key,
                                    .meta_values = &w->value,
                                    .meta_count = w->value ? 1 : 0,
                                    .watch = w->watch};
    VT_CHECK(vt_safetensors_write_out(&out, err));
cleanup:
    free(values);
    free(outs);
    free(tensors);
    return status;
}

variant_status vt_inception_write(const char *path, const char *seed, vt_dtype type,
                                  variant_error *err) {
    const writing w = {.path = path, .type = type, .key = VT_INCEPTION_SYNTHETIC, .value = seed};
    return write_from(&w, from_rule, seed, err);
}

variant_status vt_inception_convert(const char *path, const vt_tensor_file *file, vt_dtype type,
                                    const vt_work_watch *watch, variant_error *err) {
    const writing w = {.path = path,
                       .type = type,
                       .key = VT_INCEPTION_SYNTHETIC,
                       .value = vt_tensor_file_meta(file, VT_INCEPTION_SYNTHETIC),
                       .watch = watch};
    vt_inception_tensor *tensors = NULL;
    int count = 0;
    variant_status status = VARIANT_OK;
    VT_CHECK(list_tensors(&tensors, &count, err));
    VT_CHECK(check_file(file, tensors, count, true, err));
    VT_CHECK(write_from(&w, from_file, file, err));
cleanup:
    free(tensors);
    return status;
}
