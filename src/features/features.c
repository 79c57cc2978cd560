/* features.c - tells by a file which network it holds, and checks what is common to all (see
 * features.h). */
#include "features/features.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "features/network.h"
#include "core/descriptor.h"
#include "io/file.h"
#include "kern/dry.h"

#define LARGEST_SIDE 32768

typedef struct kind {
    bool (*is)(const vt_tensor_file *file);
    variant_status (*open)(vt_features **out, vt_kern *kern, vt_tensor_file *file,
                           variant_error *err);
} kind;

static const kind kinds[] = {
    {vt_classifier_is, vt_classifier_features_open},
    {vt_inception_is, vt_inception_features_open},
};
#define KINDS (sizeof kinds / sizeof *kinds)

variant_status vt_features_unwrap(vt_tensor_file *file, variant_error *err) {
    static const char *const marks[] = {"classifier.stem.weight", "Conv2d_1a_3x3.conv.weight",
                                        "Mixed_5b.branch1x1.conv.weight",
                                        "Mixed_7c.branch1x1.conv.weight"};
    return vt_tensor_file_unwrap(file, marks, sizeof marks / sizeof *marks, err);
}

static variant_status open_unwrapped(vt_tensor_file **out, const char *path, variant_error *err) {
    VT_TRY(vt_tensor_file_open_guarded(out, path, err));
    variant_status status = vt_features_unwrap(*out, err);
    if (status != VARIANT_OK) vt_tensor_file_close(out);
    return status;
}

bool vt_features_is(const char *path) {
    variant_error err;
    vt_tensor_file *file = NULL;
    if (open_unwrapped(&file, path, &err) != VARIANT_OK) return false;
    bool is = false;
    for (size_t i = 0; i < KINDS; ++i) is = is || kinds[i].is(file);
    vt_tensor_file_close(&file);
    return is;
}

static variant_status open_file(vt_features **out, vt_kern *kern, const char *path, bool verify,
                                variant_error *err) {
    vt_tensor_file *file = NULL;
    VT_TRY(open_unwrapped(&file, path, err));
    if (!verify) vt_tensor_file_trust(file);
    for (size_t i = 0; i < KINDS; ++i) {
        if (!kinds[i].is(file)) continue;
        variant_status status = kinds[i].open(out, kern, file, err);
        if (status != VARIANT_OK) {
            status = vt_tensor_file_settle(file, status, err);
            vt_tensor_file_close(&file);
            return status;
        }
        (*out)->team = kern->team;
        status = vt_tensor_file_settle(file, status, err);
        if (status != VARIANT_OK) vt_features_close(out);
        return status;
    }
    vt_tensor_file_close(&file);
    return vt_fail(
        err, VARIANT_E_MODEL,
        "%s: not a feature network: expected a classifier of `variant train classifier` or "
        "the Inception of FID",
        path);
}

static bool may_hold_tensors(const char *name) {
    static const char *const endings[] = {".safetensors", ".pth", ".pt"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0) return true;
    }
    return false;
}

/* The network's file in a folder into out. */
static variant_status find_in_folder(char *out, size_t size, const char *folder,
                                     variant_error *err) {
    char found[256] = "", path[4096];
    struct dirent **entries = NULL;
    variant_status status = VARIANT_OK;
    snprintf(out, size, "%s/" VARIANT_FEATURES_FILE, folder);
    bool there;
    VT_TRY(vt_look_for(out, &there, err));
    if (there) return VARIANT_OK;
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) return vt_fail(err, VARIANT_E_IO, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < count; ++i) {
        const char *name = entries[i]->d_name;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (name[0] == '.' || !may_hold_tensors(name) || !vt_features_is(path)) continue;
        if (found[0] && status == VARIANT_OK)
            status = vt_fail(err, VARIANT_E_MODEL,
                             "%s: holds several feature networks, %s and %s: name the file", folder,
                             found, name);
        snprintf(found, sizeof found, "%s", name);
    }
    for (int i = 0; i < count; ++i) free(entries[i]);
    free(entries);
    if (!found[0])
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: holds no feature network: expected " VARIANT_FEATURES_FILE
                       " of `variant train classifier`, or the Inception of FID",
                       folder);
    snprintf(out, size, "%s/%s", folder, found);
    return status;
}

variant_status vt_features_find(const char *path, char *out, size_t size, variant_error *err) {
    if (vt_is_folder(path)) return find_in_folder(out, size, path, err);
    if ((size_t)snprintf(out, size, "%s", path) >= size)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%.100s...: a path of over %zu letters", path,
                       size);
    return VARIANT_OK;
}

vt_team *vt_features_team(const vt_features *features) {
    return features->team;
}

variant_status vt_features_open_as(vt_features **out, vt_kern *kern, const char *path, bool verify,
                                   variant_error *err) {
    char file[4096];
    *out = NULL;
    VT_TRY(vt_features_find(path, file, sizeof file, err));
    return open_file(out, kern, file, verify, err);
}

variant_status vt_features_open(vt_features **out, vt_kern *kern, const char *path,
                                variant_error *err) {
    return vt_features_open_as(out, kern, path, true, err);
}

/* Over a backend that holds nothing. */
variant_status vt_features_look(vt_features_info *out, vt_kern *kern, const char *path,
                                variant_error *err) {
    vt_features *features;
    vt_dry_kern dry;
    vt_dry_kern_init(&dry, kern);
    VT_TRY(vt_features_open(&features, &dry.kern, path, err));
    *out = features->info;
    vt_features_close(&features);
    return VARIANT_OK;
}

void vt_features_close(vt_features **features) {
    if (!features || !*features) return;
    vt_tensor_file *file = (*features)->file;
    (*features)->close(*features);
    vt_tensor_file_close(&file);
    *features = NULL;
}

variant_status vt_features_set_resize(vt_features *features, vt_features_resize resize,
                                      variant_error *err) {
    if (!features->info.resizes)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "how pictures are resized can be chosen for the Inception of FID, not for "
                       "%s: it takes pictures of its own size",
                       features->info.name);
    features->info.resize = resize;
    return VARIANT_OK;
}

const char *vt_features_resize_name(vt_features_resize resize) {
    static const char *const names[] = {"pytorch", "tensorflow"};
    return names[resize];
}

void vt_features_info_get(const vt_features *features, vt_features_info *out) {
    *out = features->info;
}

const char *vt_features_class_name(const vt_features *features, int label) {
    if (!features->class_name || label < 0 || label >= features->info.classes) return NULL;
    return features->class_name(features, label);
}

static bool is_finite(const float *values, size_t count) {
    for (size_t i = 0; values && i < count; ++i)
        if (!isfinite(values[i])) return false;
    return true;
}

/* The first picture with a number that is none. */
static int find_bad(const vt_features_info *info, const vt_features_batch *b) {
    size_t dims = (size_t)info->dims, wide = (size_t)info->spatial_dims;
    size_t classes = (size_t)info->classes;
    for (size_t i = 0; i < (size_t)b->count; ++i)
        if (!is_finite(b->pooled ? b->pooled + i * dims : NULL, dims) ||
            !is_finite(b->spatial ? b->spatial + i * wide : NULL, wide) ||
            !is_finite(b->probabilities ? b->probabilities + i * classes : NULL, classes))
            return (int)i;
    return -1;
}

int vt_features_bad_picture(const vt_features *features) {
    return features->bad_picture;
}

variant_status vt_features_run(vt_features *features, const float *pictures, int count, int height,
                               int width, int channels, float *pooled, float *spatial,
                               float *probabilities, variant_error *err) {
    const vt_features_info *info = &features->info;
    features->bad_picture = -1;
    if (count < 0 || height < 1 || width < 1 || height > LARGEST_SIDE || width > LARGEST_SIDE)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d pictures of %d x %d: expected sides of 1 to %d",
                       count, height, width, LARGEST_SIDE);
    if (channels != 1 && channels != info->channels)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "pictures of %d channels for %s, which was made for %d", channels,
                       info->name, info->channels);
    if (spatial && info->spatial_dims == 0)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "%s has no spatial features", info->name);
    if (count == 0) return VARIANT_OK;
    vt_features_batch batch = {.pictures = pictures,
                               .count = count,
                               .height = height,
                               .width = width,
                               .channels = channels,
                               .pooled = pooled,
                               .spatial = spatial,
                               .probabilities = probabilities};
    VT_TRY(vt_tensor_file_settle(features->file, features->run(features, &batch, err), err));
    features->bad_picture = find_bad(info, &batch);
    if (features->bad_picture < 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: what it makes of picture %d of %d is not finite: a weight or a pixel is "
                   "not a number, or overflows",
                   info->name, features->bad_picture + 1, count);
}

void vt_features_spread(float *out, const float *pictures, size_t pixels, int from, int to) {
    size_t repeat = (size_t)(to / from), count = pixels * (size_t)from;
    for (size_t i = 0; i < count; ++i)
        for (size_t c = 0; c < repeat; ++c) out[i * repeat + c] = 2.0f * pictures[i] - 1.0f;
}

void vt_features_softmax(const float *logits, int count, float *out) {
    double largest = logits[0], sum = 0.0;
    for (int i = 1; i < count; ++i) largest = fmax(largest, (double)logits[i]);
    for (int i = 0; i < count; ++i) sum += exp((double)logits[i] - largest);
    for (int i = 0; i < count; ++i) out[i] = (float)(exp((double)logits[i] - largest) / sum);
}

void vt_features_hash(char out[17], const vt_tensor_file *file) {
    uint64_t hash = vt_fnv1a64("features", 8);
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strncmp(tensor->name, "training/", 9) == 0) continue; /* a checkpoint's */
        hash = vt_fnv1a64_more(hash, tensor->name, strlen(tensor->name));
        hash = vt_fnv1a64_more(hash, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape);
        hash = vt_fnv1a64_more(hash, tensor->data, tensor->bytes);
    }
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}
