/* lesson.c - see lesson.h. */
#include "convert/lesson.h"

#include <stdlib.h>

#include "engine/codec.h"
#include "io/dataset.h"

/* Labels of the data set's classes in the model: by name; where no name is known and there are as many, by number; else
 * none. */
static variant_status match_classes(const vt_model *model, const vt_dataset *dataset,
                                    const vt_lesson_options *options, int32_t **labels,
                                    variant_error *err) {
    const int classes = vt_transformer_configuration(model->transformer)->classes;
    const int count = vt_dataset_classes(dataset);
    int known = 0;
    *labels = malloc((size_t)(count + 1) * sizeof **labels);
    if (!*labels) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d classes", count);
    for (int i = 0; i < count; ++i) {
        int label = classes;
        const char *name = vt_dataset_class_name(dataset, i);
        if (!vt_dataset_flat(dataset) && vt_model_class(model, name, &label, NULL) == VARIANT_OK)
            ++known;
        (*labels)[i] = label;
    }
    const bool numbered = known == 0 && count == classes && !vt_dataset_flat(dataset);
    for (int i = 0; numbered && i < count; ++i) (*labels)[i] = i;
    if (known < count && !numbered && options->note)
        options->note(options->user,
                      "classes of the data that the model does not know run without a class");
    return VARIANT_OK;
}

static variant_status encode(vt_lesson *out, vt_codec *codec, const vt_dataset *dataset,
                             const int32_t *classes, const vt_lesson_options *options,
                             variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(codec->model->tokenizer);
    const size_t side = (size_t)vt_tokenizer_side(config);
    const size_t length = (size_t)vt_tokenizer_tokens(config), n = (size_t)out->count;
    float *picture = malloc(side * side * (size_t)config->channels * sizeof *picture);
    variant_status status = VARIANT_OK;
    out->tokens = malloc(n * length * sizeof *out->tokens);
    out->labels = malloc(n * sizeof *out->labels);
    if (!picture || !out->tokens || !out->labels)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %zu pictures", n));
    for (int i = 0; i < out->count; ++i) {
        const int index = (int)((int64_t)vt_dataset_count(dataset) * i / out->count);
        VT_CHECK(vt_dataset_read(dataset, index, (vt_crop){0.5, 0.5, false}, picture, err));
        VT_CHECK(vt_codec_encode(codec, 1, picture, out->tokens + (size_t)i * length, err));
        out->labels[i] = classes[vt_dataset_label(dataset, index)];
        VT_CHECK(vt_work_tell(options->watch, "encoding pictures", i + 1, out->count, err));
    }
cleanup:
    free(picture);
    return status;
}

variant_status vt_lesson_read(vt_lesson *out, vt_model *model, const vt_lesson_options *options,
                              variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    vt_dataset_options how = {.data = options->data,
                              .side = vt_tokenizer_side(config),
                              .channels = config->channels,
                              .warn = options->note,
                              .user = options->user};
    vt_codec codec = {.kern = model->kern, .model = model};
    vt_dataset *dataset = NULL;
    int32_t *classes = NULL;
    variant_status status = VARIANT_OK;
    *out = (vt_lesson){0};
    VT_CHECK(vt_data_follow(&how.data, model->training, err));
    VT_CHECK(vt_dataset_open(&dataset, &how, err));
    VT_CHECK(match_classes(model, dataset, options, &classes, err));
    const int there = vt_dataset_count(dataset);
    out->count = there < options->count ? there : options->count;
    VT_CHECK(encode(out, &codec, dataset, classes, options, err));
cleanup:
    free(classes);
    vt_codec_close(&codec);
    vt_dataset_close(&dataset);
    return status;
}

void vt_lesson_close(vt_lesson *lesson) {
    free(lesson->tokens);
    free(lesson->labels);
    *lesson = (vt_lesson){0};
}
