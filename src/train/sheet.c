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

variant_status vt_train_draw_sheet(vt_model *model, vt_number precision, const char *path,
                                   variant_error *err) {
    const variant_engine engine =
        vt_engine_around(model->kern, model, precision, vt_kv_default(precision));
    const int classes = vt_transformer_configuration(model->transformer)->classes;
    const int columns = columns_for(classes);
    variant_picture *pictures = NULL;
    variant_request request;
    variant_request_init(&request);
    request.count = columns * (PICTURES / columns);
    request.class_name = columns == classes ? "all" : "random";
    VT_TRY(variant_generate(&engine, &request, &pictures, NULL, err));
    const int zoom = pictures[0].width < SMALL ? 3 : 1;
    variant_status status =
        variant_pictures_write_sheet(pictures, request.count, columns, zoom, path, 0, err);
    variant_pictures_free(&pictures, request.count);
    return status;
}
