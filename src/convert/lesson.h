/* lesson.h - pictures of a data set as the token maps that a transformer's products are measured on (engine/calibrate.h). Called by
 * convert.c. */
#ifndef VT_CONVERT_LESSON_H
#define VT_CONVERT_LESSON_H

#include "engine/calibrate.h"
#include "io/data.h"

typedef struct vt_lesson_options {
    vt_data data;
    int count;                                  /* pictures, spread over the data */
    void (*note)(void *user, const char *line); /* on what was found or left out; NULL */
    void *user;
    const vt_work_watch *watch;
} vt_lesson_options;

typedef struct vt_lesson {
    int32_t *tokens; /* owned: (count, L) */
    int32_t *labels; /* owned: (count), of the model's classes; as many as those: none */
    int count;
} vt_lesson;

/* The model has a tokenizer with its encoder, and a transformer; data are taken as its training took its own. Close it in any case. */
variant_status vt_lesson_read(vt_lesson *out, vt_model *model, const vt_lesson_options *options,
                              variant_error *err);
void vt_lesson_close(vt_lesson *lesson);

#endif
