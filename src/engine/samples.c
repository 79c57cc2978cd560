/* samples.c - pictures as samples for other programs' evaluators: an .npz, written as they come. */
#include <stdlib.h>
#include <string.h>

#include "engine/picture.h"
#include "io/npz_write.h"

struct variant_samples {
    vt_npz_writer file;
    char *path;
    int count, done, width, height;
    int64_t *labels; /* (count) */
    uint8_t *room;   /* (height, width, 3), of a grey picture */
};

variant_status variant_samples_open(variant_samples **out, const char *path, int count,
                                    variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out || !path || !path[0] || count < 1)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a file, and 1 sample or more for it");
    variant_samples *s = *out = calloc(1, sizeof *s);
    if (!s) return vt_fail(error, VARIANT_E_MEMORY, "no memory for %d samples", count);
    s->count = count;
    s->path = strdup(path);
    s->labels = calloc((size_t)count, sizeof *s->labels);
    variant_status status =
        s->path && s->labels ? vt_npz_writer_open(&s->file, s->path, error)
                             : vt_fail(error, VARIANT_E_MEMORY, "no memory for %d samples", count);
    if (status != VARIANT_OK) variant_samples_close(out);
    return status;
}

void variant_samples_close(variant_samples **samples) {
    variant_samples *s = samples ? *samples : NULL;
    if (!s) return;
    vt_npz_writer_abandon(&s->file);
    free(s->path);
    free(s->labels);
    free(s->room);
    free(s);
    *samples = NULL;
}

/* The first picture says how large all are. */
static variant_status begin(variant_samples *s, const variant_picture *p, variant_error *err) {
    const int64_t shape[] = {s->count, p->height, p->width, 3};
    s->width = p->width;
    s->height = p->height;
    s->room = malloc((size_t)p->width * (size_t)p->height * 3);
    if (!s->room) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a picture", s->path);
    return vt_npz_writer_begin(&s->file, "arr_0", "|u1", 4, shape, err);
}

static variant_status add_one(variant_samples *s, const variant_picture *p, variant_error *err) {
    const size_t pixels = (size_t)s->width * (size_t)s->height;
    for (size_t i = 0; p->channels == 1 && i < pixels; ++i)
        s->room[3 * i] = s->room[3 * i + 1] = s->room[3 * i + 2] = p->pixels[i];
    s->labels[s->done++] = p->label;
    return vt_npz_writer_add(&s->file, p->channels == 1 ? s->room : p->pixels, 3 * pixels, err);
}

static variant_status check(const variant_samples *s, const variant_picture *p,
                            variant_error *err) {
    if (vt_picture_check(p, NULL) != VARIANT_OK)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: sample %d is no picture", s->path, s->done);
    if (s->done == s->count)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: more than %d samples", s->path, s->count);
    if (!s->room || (p->width == s->width && p->height == s->height)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: sample %d has %d x %d pixels, the first %d x %d: expected one size",
                   s->path, s->done, p->width, p->height, s->width, s->height);
}

variant_status variant_samples_add(variant_samples *samples, const variant_picture *pictures,
                                   int count, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!samples || (!pictures && count > 0) || count < 0)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected open samples, and pictures for them");
    for (int i = 0; i < count; ++i) {
        VT_TRY(check(samples, &pictures[i], error));
        if (!samples->room) VT_TRY(begin(samples, &pictures[i], error));
        VT_TRY(add_one(samples, &pictures[i], error));
    }
    return VARIANT_OK;
}

static variant_status finish(variant_samples *s, variant_error *err) {
    const int64_t shape = s->count;
    if (s->done != s->count)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: %d samples of %d", s->path, s->done, s->count);
    VT_TRY(vt_npz_writer_put(&s->file, "arr_1", "<i8", 1, &shape, s->labels, err));
    return vt_npz_writer_commit(&s->file, err);
}

variant_status variant_samples_finish(variant_samples **samples, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!samples || !*samples)
        return vt_fail(error, VARIANT_E_ARGUMENT, "no samples to finish: expected open ones");
    const variant_status status = finish(*samples, error);
    variant_samples_close(samples);
    return status;
}
