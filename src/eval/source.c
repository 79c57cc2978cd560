/* source.c - see source.h. */
#include "eval/source.h"

#include <stdint.h>

#include "core/rng.h"

/* What nobody said is as the first picture has it. */
static variant_status settle_size(vt_dataset_options *options, variant_error *err) {
    int width = 0, height = 0, channels = 0;
    if (options->side && options->channels) return VARIANT_OK;
    VT_TRY(vt_dataset_first(options, &width, &height, &channels, err));
    if (!options->channels) options->channels = channels;
    if (options->side) return VARIANT_OK;
    if (width != height)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: expected square pictures, the first has %d x %d pixels: give side",
                       options->data.paths[0], width, height);
    options->side = width;
    options->exact = true;
    return VARIANT_OK;
}

variant_status vt_source_open(vt_source *out, const vt_data *data, int side, int channels,
                              int count, void (*note)(void *user, const char *line), void *user,
                              variant_error *err) {
    *out = (vt_source){0};
    vt_dataset_options options = {
        .data = *data, .side = side, .channels = channels, .warn = note, .user = user};
    VT_TRY(settle_size(&options, err));
    VT_TRY(vt_dataset_open(&out->dataset, &options, err));
    out->labelled = !vt_dataset_flat(out->dataset);
    out->available = vt_dataset_count(out->dataset);
    out->count = count > 0 && count < out->available ? count : out->available;
    out->side = options.side;
    out->channels = options.channels;
    return VARIANT_OK;
}

void vt_source_close(vt_source *source) {
    vt_dataset_close(&source->dataset);
}

/* Of `count` pictures that are spread over all there are, the place of number i. */
static int place_of(const vt_source *source, int i) {
    return (int)((int64_t)i * source->available / source->count);
}

variant_status vt_source_hash(const vt_source *source, uint64_t *out, variant_error *err) {
    *out = vt_fnv1a64("", 0);
    for (int i = 0; i < source->count; ++i) {
        uint64_t content = 0;
        VT_TRY(vt_dataset_content(source->dataset, place_of(source, i), &content, err));
        *out = vt_fnv1a64_more(*out, &content, sizeof content);
    }
    return VARIANT_OK;
}

variant_status vt_source_read(const vt_source *source, int first, int count, float *pictures,
                              int32_t *labels, variant_error *err) {
    const vt_crop centre = {0.5, 0.5, false};
    size_t n = (size_t)source->side * (size_t)source->side * (size_t)source->channels;
    for (int i = 0; i < count; ++i) {
        int index = place_of(source, first + i);
        float *out = pictures + (size_t)i * n;
        if (labels) labels[i] = source->labelled ? vt_dataset_label(source->dataset, index) : -1;
        VT_TRY(vt_dataset_read(source->dataset, index, centre, out, err));
        for (size_t j = 0; j < n; ++j) out[j] = 0.5f * (out[j] + 1.0f);
    }
    return VARIANT_OK;
}
