/* sheet.c - see sheet.h. */
#include "train/sheet.h"

#include "engine/engine.h"

#define COLUMNS 8
#define MOST_COLUMNS 20
#define PICTURES 32
#define SMALL 128 /* pixels a side, below which pictures are shown larger */

static int columns_for(int classes) {
    return classes < COLUMNS || classes > MOST_COLUMNS ? COLUMNS : classes;
}

typedef struct sheet {
    variant_engine engine;
    variant_request request;
    int columns, zoom;
} sheet;

static sheet sheet_of(vt_model *model, vt_number precision) {
    const int classes = vt_transformer_configuration(model->transformer)->classes;
    const int side = vt_tokenizer_side(vt_tokenizer_configuration(model->tokenizer));
    sheet out = {.engine =
                     vt_engine_around(model->kern, model, precision, vt_kv_default(precision)),
                 .columns = columns_for(classes),
                 .zoom = side < SMALL ? 3 : 1};
    variant_request_init(&out.request);
    out.request.count = out.columns * (PICTURES / out.columns);
    out.request.class_name = out.columns == classes ? "all" : "random";
    return out;
}

variant_status vt_train_draw_sheet(vt_model *model, vt_number precision, const char *path,
                                   variant_error *err) {
    const sheet s = sheet_of(model, precision);
    variant_picture *pictures = NULL;
    VT_TRY(variant_generate(&s.engine, &s.request, &pictures, NULL, err));
    variant_status status =
        variant_pictures_write_sheet(pictures, s.request.count, s.columns, s.zoom, path, 0, err);
    variant_pictures_free(&pictures, s.request.count);
    return status;
}

variant_status vt_train_measure_sheet(vt_model *model, vt_number precision, size_t *bytes,
                                      variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    const sheet s = sheet_of(model, precision);
    const size_t side = (size_t)vt_tokenizer_side(config);
    variant_memory memory = {.size = sizeof memory};
    VT_TRY(variant_request_memory(&s.engine, &s.request, &memory, err));
    /* the pictures in bytes, and once more on the sheet */
    *bytes = memory.arena + memory.kv +
             (size_t)s.request.count * side * side * (size_t)config->channels *
                 (size_t)(1 + s.zoom * s.zoom);
    return VARIANT_OK;
}
