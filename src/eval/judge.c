/* judge.c - see judge.h. */
#include "eval/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/source.h"
#include "io/file.h"
#include "io/npz.h"

enum { BATCH = 64 }; /* pictures in memory at a time */

variant_status vt_judge_open(vt_judge *out, const vt_judge_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    *out = (vt_judge){.options = *options};
    const char *network = options->features ? options->features : options->model;
    if (!options->features && !(options->model && vt_is_folder(options->model)))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "which network measures? give features (an Inception file, or what `variant "
                       "train classifier` made)");
    VT_CHECK(vt_kern_open(&out->kern, options->backend, options->threads, err));
    VT_CHECK(vt_features_find(network, out->path, sizeof out->path, err));
    VT_CHECK(vt_features_open_as(&out->features, out->kern, out->path, !options->trust, err));
    if (options->resize >= 0)
        VT_CHECK(vt_features_set_resize(out->features, (vt_features_resize)options->resize, err));
    vt_features_info_get(out->features, &out->network);
cleanup:
    if (status != VARIANT_OK) vt_judge_close(out);
    return status;
}

void vt_judge_close(vt_judge *judge) {
    vt_reference_close(&judge->reference);
    vt_features_close(&judge->features);
    vt_kern_close(&judge->kern);
    *judge = (vt_judge){0};
}

bool vt_judge_is_statistics(const char *path) {
    const char *dot = strrchr(path, '.');
    vt_npz npz;
    if (vt_is_folder(path)) return false;
    if ((dot && strcmp(dot, ".safetensors") == 0) || vt_reference_is(path)) return true;
    if (!vt_npz_is(path)) return dot && strcmp(dot, ".npz") == 0;
    if (vt_npz_open(&npz, path, NULL) != VARIANT_OK) return true; /* which says what is wrong */
    bool pictures = vt_npz_has(&npz, "arr_0") && !vt_npz_has(&npz, "mu");
    vt_npz_close(&npz);
    return !pictures;
}

/* The pictures of an open source, a batch after the other. */
static variant_status add_pictures(vt_judge *judge, const vt_source *source, variant_error *err) {
    const vt_judge_options *o = &judge->options;
    variant_status status = VARIANT_OK;
    size_t floats = (size_t)source->side * (size_t)source->side * (size_t)source->channels;
    float *pictures = malloc(BATCH * floats * sizeof *pictures);
    if (!pictures) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", BATCH);
    for (int first = 0; first < source->count; first += BATCH) {
        int n = source->count - first < BATCH ? source->count - first : BATCH;
        VT_CHECK(vt_source_read(source, first, n, pictures, NULL, err));
        VT_CHECK(vt_reference_add(&judge->reference, judge->features, pictures, n, err));
        if (o->progress && !o->progress(o->user, first + n, source->count))
            VT_CHECK(vt_fail(err, VARIANT_E_STOPPED, "%s: stopped after %d of %d pictures",
                             judge->reference.source, first + n, source->count));
    }
cleanup:
    free(pictures);
    return status;
}

variant_status vt_judge_follow(const vt_judge *judge, vt_data *data, variant_error *err) {
    return vt_data_follow_file(data, judge->path, err);
}

static void note_resize(const vt_judge_options *options, const char *path) {
    char line[1024];
    if (!options->note) return;
    snprintf(line, sizeof line,
             "%.600s: statistics as guided-diffusion publishes them are of pictures resized by "
             "TensorFlow: resize tensorflow compares like with like",
             path);
    options->note(options->user, line);
}

variant_status vt_judge_reference(vt_judge *judge, const vt_data *data, int side, int channels,
                                  variant_error *err) {
    const vt_judge_options *o = &judge->options;
    vt_source source = {0};
    variant_status status = VARIANT_OK;
    char name[256];
    if (data->count && vt_judge_is_statistics(data->paths[0])) {
        if (data->count > 1)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "%s: statistics cannot be joined with other pictures", data->paths[0]);
        VT_TRY(vt_reference_load(&judge->reference, judge->features, data->paths[0], err));
        judge->has_reference = true;
        if (judge->reference.guided && o->resize < 0) note_resize(o, data->paths[0]);
        return VARIANT_OK;
    }
    VT_TRY(
        vt_source_open(&source, data, side, channels, o->reference_count, o->note, o->user, err));
    vt_data_name(data, name, sizeof name);
    VT_CHECK(vt_reference_open(&judge->reference, judge->features, name, source.side,
                               source.channels, err));
    VT_CHECK(add_pictures(judge, &source, err));
    if (o->save_reference) VT_CHECK(vt_reference_save(&judge->reference, o->save_reference, err));
    judge->has_reference = judge->has_data = true;
    judge->data = *data;
cleanup:
    if (status != VARIANT_OK) vt_reference_close(&judge->reference);
    vt_source_close(&source);
    return status;
}

bool vt_judge_classes_match(const vt_judge *judge, const variant_engine *engine) {
    const variant_info info = *variant_engine_info(engine);
    if (judge->network.inception || judge->network.classes != info.classes) return false;
    for (int i = 0; i < info.classes; ++i) {
        const char *a = vt_features_class_name(judge->features, i);
        const char *b = variant_engine_class_name(engine, i);
        if (a && b && strcmp(a, b) != 0) return false;
    }
    return true;
}

bool vt_judge_numbered(const vt_dataset *dataset) {
    const vt_data *data = vt_dataset_data(dataset);
    return data->array.count && !data->class_names;
}

bool vt_judge_dataset_matches(const vt_judge *judge, const vt_dataset *dataset) {
    if (vt_judge_numbered(dataset)) return vt_dataset_classes(dataset) <= judge->network.classes;
    if (vt_dataset_classes(dataset) != judge->network.classes) return false;
    for (int i = 0; i < judge->network.classes; ++i) {
        const char *a = vt_features_class_name(judge->features, i);
        const char *b = vt_dataset_class_name(dataset, i);
        if (a && b && strcmp(a, b) != 0) return false;
    }
    return true;
}

void vt_judge_floats(const variant_picture *pictures, int count, float *out, int32_t *labels) {
    for (int i = 0; i < count; ++i) {
        const variant_picture *p = &pictures[i];
        size_t n = (size_t)p->width * (size_t)p->height * (size_t)p->channels;
        labels[i] = p->label;
        for (size_t j = 0; j < n; ++j) *out++ = (float)p->pixels[j] / 255.0f;
    }
}
