/* reference.c - what is known of a set of real pictures: made from them, saved, read again (see eval.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/covariance.h"
#include "eval/eval.h"
#include "eval/neighbours.h"
#include "io/npz.h"
#include "io/tensors.h"

#define KIND "variant reference statistics"

static variant_status begin(vt_reference *reference, const vt_features_info *info,
                            const char *source, variant_error *err) {
    *reference = (vt_reference){0};
    snprintf(reference->network, sizeof reference->network, "%s", info->name);
    reference->source = strdup(source);
    if (!reference->source) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a reference");
    return VARIANT_OK;
}

variant_status vt_reference_open(vt_reference *reference, const vt_features *features,
                                 const char *source, int side, int channels, variant_error *err) {
    vt_features_info info;
    variant_status status = VARIANT_OK;
    vt_features_info_get(features, &info);
    VT_CHECK(begin(reference, &info, source, err));
    snprintf(reference->hash, sizeof reference->hash, "%s", info.hash);
    reference->resize = info.resize;
    reference->side = side;
    reference->channels = channels;
    VT_CHECK(vt_moments_open(&reference->pooled, info.dims, err));
    if (info.spatial_dims) VT_CHECK(vt_moments_open(&reference->spatial, info.spatial_dims, err));
    reference->kept = malloc((size_t)VT_EVAL_KEPT * (size_t)info.dims * sizeof *reference->kept);
    if (!reference->kept)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", VT_EVAL_KEPT));
cleanup:
    if (status != VARIANT_OK) vt_reference_close(reference);
    return status;
}

variant_status vt_reference_add(vt_reference *reference, vt_features *features,
                                const float *pictures, int count, variant_error *err) {
    size_t dims = (size_t)reference->pooled.dims, wide = (size_t)reference->spatial.dims;
    float *pooled = malloc((size_t)count * (dims + wide) * sizeof *pooled + 1);
    if (!pooled) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", count);
    float *spatial = wide ? pooled + (size_t)count * dims : NULL;
    variant_status status =
        vt_features_run(features, pictures, count, reference->side, reference->side,
                        reference->channels, pooled, spatial, NULL, err);
    if (status == VARIANT_E_MODEL && vt_features_bad_picture(features) >= 0)
        vt_fail(err, status,
                "%.300s: picture %lld: its features in %s are not finite: a weight or a pixel is "
                "not a number, or overflows",
                reference->source,
                (long long)reference->count + vt_features_bad_picture(features) + 1,
                reference->network);
    if (status == VARIANT_OK) status = vt_moments_add(&reference->pooled, pooled, count, err);
    if (status == VARIANT_OK && wide)
        status = vt_moments_add(&reference->spatial, spatial, count, err);
    if (status == VARIANT_OK) {
        vt_keep(reference->kept, &reference->kept_count, VT_EVAL_KEPT, reference->count, pooled,
                count, reference->pooled.dims);
        reference->count += count;
    }
    free(pooled);
    return status;
}

void vt_reference_close(vt_reference *reference) {
    free(reference->source);
    free(reference->kept);
    vt_moments_close(&reference->pooled);
    vt_moments_close(&reference->spatial);
    *reference = (vt_reference){0};
}

/* ---- files ---- */

variant_status vt_reference_save(const vt_reference *reference, const char *path,
                                 variant_error *err) {
    const int64_t dims = reference->pooled.dims, wide = reference->spatial.dims;
    vt_tensor_out list[5] = {
        {.name = "mean",
         .type = VT_F64,
         .rank = 1,
         .shape = {dims},
         .data = reference->pooled.mean},
        {.name = "scatter",
         .type = VT_F64,
         .rank = 2,
         .shape = {dims, dims},
         .data = reference->pooled.scatter},
        {.name = "features",
         .type = VT_F32,
         .rank = 2,
         .shape = {reference->kept_count, dims},
         .data = reference->kept},
        {.name = "spatial.mean",
         .type = VT_F64,
         .rank = 1,
         .shape = {wide},
         .data = reference->spatial.mean},
        {.name = "spatial.scatter",
         .type = VT_F64,
         .rank = 2,
         .shape = {wide, wide},
         .data = reference->spatial.scatter},
    };
    char count[32], side[16], channels[16];
    snprintf(count, sizeof count, "%lld", (long long)reference->count);
    snprintf(side, sizeof side, "%d", reference->side);
    snprintf(channels, sizeof channels, "%d", reference->channels);
    const char *const keys[] = {"kind",  "network", "hash",     "source",
                                "count", "side",    "channels", "resize"};
    const char *const values[] = {KIND,
                                  reference->network,
                                  reference->hash,
                                  reference->source,
                                  count,
                                  side,
                                  channels,
                                  vt_features_resize_name(reference->resize)};
    return vt_safetensors_write(path, list, wide ? 5 : 3, keys, values, 8, err);
}

static long long number_of(const vt_tensor_file *file, const char *key) {
    const char *text = vt_tensor_file_meta(file, key);
    return text ? strtoll(text, NULL, 10) : 0;
}

/* A (dims) or (dims, dims) tensor of float64. */
static variant_status take(double *out, const vt_tensor_file *file, const char *name, int rank,
                           int dims, variant_error *err) {
    const vt_tensor *t = vt_tensor_file_find(file, NULL, name);
    size_t count = rank == 1 ? (size_t)dims : (size_t)dims * (size_t)dims;
    if (!t || t->type != VT_F64 || t->rank != rank || t->count != count || t->shape[0] != dims)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: no %s of %d features", vt_tensor_file_path(file),
                       name, dims);
    VT_TRY(vt_tensor_verify(file, t, NULL, err));
    memcpy(out, t->data, t->bytes);
    return VARIANT_OK;
}

/* What a file gave as mean and covariance (or scatter: its multiple). */
static variant_status check_moments(vt_moments *moments, const char *path, const char *mean,
                                    const char *covariance, double step, variant_error *err) {
    char what[4200];
    for (int i = 0; i < moments->dims; ++i)
        if (!isfinite(moments->mean[i]))
            return vt_fail(err, VARIANT_E_FORMAT, "%s: %s holds %g at number %d", path, mean,
                           moments->mean[i], i);
    snprintf(what, sizeof what, "%s: %s", path, covariance);
    return vt_covariance_check(moments->scatter, moments->dims, step, what, err);
}

static variant_status load_moments(vt_moments *moments, const vt_tensor_file *file,
                                   const char *prefix, int dims, int64_t count,
                                   variant_error *err) {
    char name[64];
    VT_TRY(vt_moments_open(moments, dims, err));
    moments->count = count;
    snprintf(name, sizeof name, "%smean", prefix);
    VT_TRY(take(moments->mean, file, name, 1, dims, err));
    snprintf(name, sizeof name, "%sscatter", prefix);
    VT_TRY(take(moments->scatter, file, name, 2, dims, err));
    return check_moments(moments, vt_tensor_file_path(file), "mean", name, VT_FLOAT32_STEP, err);
}

/* Files of versions that knew one way do not say which. */
static variant_status check_resize(vt_reference *reference, const vt_tensor_file *file,
                                   const vt_features_info *info, variant_error *err) {
    const char *asked = vt_features_resize_name(info->resize);
    const char *kept = vt_tensor_file_meta(file, "resize");
    if (!kept) kept = vt_features_resize_name(VT_RESIZE_PYTORCH);
    if (info->resizes && strcmp(kept, asked) != 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s: statistics of pictures resized as %s does, but resize is %s",
                       vt_tensor_file_path(file), kept, asked);
    reference->resize = info->resize;
    return VARIANT_OK;
}

static variant_status load_own(vt_reference *reference, const vt_features_info *info,
                               const char *path, variant_error *err) {
    vt_tensor_file *file = NULL;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_tensor_file_open_guarded(&file, path, err));
    const char *kind = vt_tensor_file_meta(file, "kind"), *hash = vt_tensor_file_meta(file, "hash");
    const char *network = vt_tensor_file_meta(file, "network");
    if (!kind || strcmp(kind, KIND) != 0 || !hash || !network)
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT,
                         "%s: not reference statistics: expected saved statistics, an "
                         ".npz with mu and sigma, or a data set",
                         path));
    if (strcmp(hash, info->hash) != 0)
        VT_CHECK(vt_fail(err, VARIANT_E_MISMATCH,
                         "%s: statistics of the network %s (%s), but the features are %s (%s)",
                         path, network, hash, info->name, info->hash));
    VT_CHECK(check_resize(reference, file, info, err));
    snprintf(reference->hash, sizeof reference->hash, "%s", hash);
    reference->count = number_of(file, "count");
    if (reference->count < 1)
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: statistics of no pictures", path));
    reference->side = (int)number_of(file, "side");
    reference->channels = (int)number_of(file, "channels");
    VT_CHECK(load_moments(&reference->pooled, file, "", info->dims, reference->count, err));
    if (info->spatial_dims)
        VT_CHECK(load_moments(&reference->spatial, file, "spatial.", info->spatial_dims,
                              reference->count, err));
    const vt_tensor *kept = vt_tensor_file_find(file, NULL, "features");
    if (!kept || kept->type != VT_F32 || kept->rank != 2 || kept->shape[1] != info->dims ||
        kept->shape[0] > VT_EVAL_KEPT)
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: no features of %d numbers", path, info->dims));
    VT_CHECK(vt_tensor_verify(file, kept, NULL, err));
    reference->kept = calloc(kept->bytes + 1, 1);
    if (!reference->kept) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a reference"));
    if (kept->bytes) memcpy(reference->kept, kept->data, kept->bytes);
    reference->kept_count = (int)kept->shape[0];
    for (size_t i = 0; i < kept->count; ++i)
        if (!isfinite(reference->kept[i]))
            VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: features of sample %zu are not finite",
                             path, i / (size_t)info->dims));
cleanup:
    status = vt_tensor_file_settle(file, status, err);
    vt_tensor_file_close(&file);
    return status;
}

/* "64 x 64" into out. */
static void shape_text(char *out, size_t size, const vt_npy *array) {
    size_t used = 0;
    snprintf(out, size, "one number");
    for (int i = 0; i < array->rank && used < size; ++i)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? " x " : "",
                                 (long long)array->shape[i]);
}

static variant_status check_shapes(const vt_npz *npz, const char *mean, const vt_npy *m,
                                   const char *covariance, const vt_npy *c, int dims,
                                   variant_error *err) {
    char shape[96];
    shape_text(shape, sizeof shape, m);
    if (m->rank != 1)
        return vt_fail(err, VARIANT_E_MISMATCH, "%s: %s is %s, expected %d numbers", npz->path,
                       mean, shape, dims);
    if (m->shape[0] != dims)
        return vt_fail(err, VARIANT_E_MISMATCH, "%s: %s of %lld features, but the network has %d",
                       npz->path, mean, (long long)m->shape[0], dims);
    shape_text(shape, sizeof shape, c);
    if (c->rank != 2 || c->shape[0] != dims || c->shape[1] != dims)
        return vt_fail(err, VARIANT_E_MISMATCH, "%s: %s is %s, expected %d x %d to go with %s",
                       npz->path, covariance, shape, dims, dims, mean);
    return VARIANT_OK;
}

/* `mean` and `covariance` of an archive; without them, false where they may be missing. */
static variant_status npz_moments(vt_moments *moments, const vt_npz *npz, const char *mean,
                                  const char *covariance, int dims, bool optional,
                                  variant_error *err) {
    vt_npy m, c;
    if (optional && !(vt_npz_has(npz, mean) && vt_npz_has(npz, covariance))) return VARIANT_OK;
    VT_TRY(vt_npz_find(npz, mean, &m, err));
    VT_TRY(vt_npz_find(npz, covariance, &c, err));
    VT_TRY(check_shapes(npz, mean, &m, covariance, &c, dims, err));
    VT_TRY(vt_moments_open(moments, dims, err));
    moments->count = 2; /* scatter / (count - 1) is then the covariance itself */
    VT_TRY(vt_npy_read(&m, moments->mean, err));
    VT_TRY(vt_npy_read(&c, moments->scatter, err));
    return check_moments(moments, npz->path, mean, covariance,
                         c.size == 2 ? VT_FLOAT16_STEP : VT_FLOAT32_STEP, err);
}

/* A number of vt_eval_save's; `otherwise` where there is none. */
static variant_status npz_number(const vt_npz *npz, const char *name, double otherwise, double *out,
                                 variant_error *err) {
    vt_npy array;
    *out = otherwise;
    if (!vt_npz_has(npz, name)) return VARIANT_OK;
    VT_TRY(vt_npz_find(npz, name, &array, err));
    if (array.count != 1) return VARIANT_OK; /* somebody else's */
    return vt_npy_read(&array, out, err);
}

/* How many pictures, and how they were resized, where the archive is one of ours. */
static variant_status npz_facts(vt_reference *reference, const vt_npz *npz,
                                const vt_features_info *info, variant_error *err) {
    double count, resize;
    VT_TRY(npz_number(npz, VT_STATISTICS_COUNT, 0, &count, err));
    VT_TRY(npz_number(npz, VT_STATISTICS_RESIZE, -1, &resize, err));
    if (count >= 2 && count < 1e15) reference->count = (int64_t)count;
    if (resize < 0) return VARIANT_OK;
    reference->guided = false; /* nothing to guess */
    if (!info->resizes || (int)resize == (int)info->resize) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MISMATCH,
                   "%s: statistics of pictures resized as %s does, but resize is %s", npz->path,
                   vt_features_resize_name(resize > 0 ? VT_RESIZE_TENSORFLOW : VT_RESIZE_PYTORCH),
                   vt_features_resize_name(info->resize));
}

static variant_status load_npz(vt_reference *reference, const vt_features_info *info,
                               const char *path, variant_error *err) {
    vt_npz npz;
    VT_TRY(vt_npz_open(&npz, path, err));
    variant_status status =
        npz_moments(&reference->pooled, &npz, "mu", "sigma", info->dims, false, err);
    if (status == VARIANT_OK && info->spatial_dims)
        status = npz_moments(&reference->spatial, &npz, "mu_s", "sigma_s", info->spatial_dims, true,
                             err);
    reference->guided = reference->spatial.dims > 0;
    if (status == VARIANT_OK) status = npz_facts(reference, &npz, info, err);
    vt_npz_close(&npz);
    return status;
}

static bool is_own(const char *path) {
    vt_tensor_file *file = NULL;
    variant_error err;
    if (vt_tensor_file_open(&file, path, &err) != VARIANT_OK) return false;
    const char *kind = vt_tensor_file_meta(file, "kind");
    bool is = kind && strcmp(kind, KIND) == 0;
    vt_tensor_file_close(&file);
    return is;
}

static bool is_npz(const char *path) {
    vt_npz npz;
    variant_error err;
    if (!vt_npz_is(path) || vt_npz_open(&npz, path, &err) != VARIANT_OK) return false;
    bool is = vt_npz_has(&npz, "mu") || vt_npz_has(&npz, "sigma");
    vt_npz_close(&npz);
    return is;
}

bool vt_reference_is(const char *path) {
    return !vt_is_folder(path) && (is_npz(path) || is_own(path));
}

variant_status vt_reference_load(vt_reference *reference, const vt_features *features,
                                 const char *path, variant_error *err) {
    vt_features_info info;
    vt_features_info_get(features, &info);
    variant_status status = begin(reference, &info, path, err);
    const char *dot = strrchr(path, '.');
    bool zipped = (dot && strcmp(dot, ".npz") == 0) || vt_npz_is(path);
    if (status == VARIANT_OK)
        status = zipped && !is_own(path) ? load_npz(reference, &info, path, err)
                                         : load_own(reference, &info, path, err);
    if (status != VARIANT_OK) vt_reference_close(reference);
    return status;
}
