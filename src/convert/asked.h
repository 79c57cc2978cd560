/* asked.h - what a caller of variant_convert asks, checked, as the files of this folder use it: asked.c. */
#ifndef VT_CONVERT_ASKED_H
#define VT_CONVERT_ASKED_H

#include "core/work.h"
#include "engine/model.h"
#include "io/data.h"

typedef struct vt_convert_asked {
    variant_engine_options engine;
    variant_convert_options options;
    vt_dtype type;   /* of weights; F32 where they become integers */
    bool int8, int4; /* products become integers; int4: those that may be in four bits */
    vt_number packed;
    bool pack;
    bool calibrates;
    vt_data data; /* to calibrate with */
    vt_work_watch watch;
} vt_convert_asked;

/* Borrows what both hold; `watch` points to out, which must stay where it is. E_ARGUMENT: not valid, or not together. */
variant_status vt_convert_take(vt_convert_asked *out, const variant_engine_options *model,
                               const variant_convert_options *options, variant_error *err);

/* The names that are asked for in the place of the model's. */
typedef struct vt_class_names {
    char *const *names; /* (count); NULL: those of the model */
    int count;
    char **owned, *text; /* where they lie, of a file */
} vt_class_names;
/* From the options, or the file that they name. E_MODEL: not as many as the model has classes; E_FORMAT: an empty one. Close it in any
 * case. */
variant_status vt_convert_names(vt_class_names *out, const vt_convert_asked *asked, int classes,
                                variant_error *err);
void vt_convert_names_close(vt_class_names *names);

#endif
