/* inception.c - the self-test of FID's Inception: features and logits of synthetic pictures through the
 * synthetic network.
 *
 * A file holds SIDE/pool3 (B, 2048) and SIDE/logits (B, 1008) for pictures of any sides, and
 * resized299_head, the corner of the smallest ones resized, in [0, 1]. Its rule is fixed: weights of key
 * I1/NAME, pictures (B, 3, SIDE, SIDE) = (s(I1/imageSIDE) + 1) / 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/inception.h"
#include "io/synth.h"
#include "selftest/parts.h"

#define SEED "I1"
#define TOLERANCE 1e-4 /* float32 through a hundred layers */
#define LARGEST_SIDE 4096

/* What one side's pictures give; host memory. */
typedef struct results {
    int batch, side;
    float *pictures; /* (B, side, side, 3) */
    float *pooled, *logits, *input;
} results;

static void free_results(results *r) {
    free(r->pictures);
    free(r->pooled);
    free(r->logits);
    free(r->input);
}

/* [0, 1], planes to pixels. */
static variant_status make_pictures(results *r, variant_error *err) {
    size_t batch = (size_t)r->batch, pixels = (size_t)r->side * (size_t)r->side;
    size_t seen = (size_t)VT_INCEPTION_SIDE * VT_INCEPTION_SIDE * 3, count = batch * pixels * 3;
    char key[64];
    float *planes = malloc(count * sizeof *planes);
    r->pictures = malloc(count * sizeof(float));
    r->pooled = malloc(batch * VT_INCEPTION_DIMS * sizeof(float));
    r->logits = malloc(batch * VT_INCEPTION_CLASSES * sizeof(float));
    r->input = malloc(batch * seen * sizeof(float));
    if (!planes || !r->pictures || !r->pooled || !r->logits || !r->input) {
        free(planes);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for pictures of side %d", r->side);
    }
    snprintf(key, sizeof key, SEED "/image%d", r->side);
    vt_synth_symmetric(planes, count, key);
    for (size_t b = 0; b < batch; ++b)
        for (size_t c = 0; c < 3; ++c)
            for (size_t p = 0; p < pixels; ++p)
                r->pictures[(b * pixels + p) * 3 + c] =
                    (planes[(b * 3 + c) * pixels + p] + 1.0f) / 2.0f;
    free(planes);
    return VARIANT_OK;
}

static variant_status check_rows(vt_selftest *test, const results *r, const char *what,
                                 const float *values, int width, variant_error *err) {
    char name[64];
    snprintf(name, sizeof name, "%d/%s", r->side, what);
    vt_tensor_out got = {
        .name = name, .type = VT_F32, .rank = 2, .shape = {r->batch, width}, .data = values};
    return vt_selftest_check(test, &got, TOLERANCE, err);
}

/* The top left corner of what the network sees, in [0, 1]. */
static variant_status check_corner(vt_selftest *test, const results *r, variant_error *err) {
    const vt_tensor *want = vt_selftest_find(test, "resized299_head");
    if (!want) return VARIANT_OK;
    const int64_t *shape = want->shape;
    if (want->rank != 4 || shape[0] != r->batch || shape[1] != 3 || shape[2] < 1 ||
        shape[2] > VT_INCEPTION_SIDE || shape[3] < 1 || shape[3] > VT_INCEPTION_SIDE)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "resized299_head: expected (%d, 3, rows, columns) of a picture of side %d",
                       r->batch, VT_INCEPTION_SIDE);
    float *corner = malloc(want->count * sizeof *corner), *to = corner;
    if (!corner) return vt_fail(err, VARIANT_E_MEMORY, "no memory for resized299_head");
    for (int64_t b = 0; b < shape[0]; ++b)
        for (int64_t c = 0; c < 3; ++c)
            for (int64_t y = 0; y < shape[2]; ++y)
                for (int64_t x = 0; x < shape[3]; ++x)
                    *to++ =
                        (r->input[((b * VT_INCEPTION_SIDE + y) * VT_INCEPTION_SIDE + x) * 3 + c] +
                         1.0f) /
                        2.0f;
    vt_tensor_out got = {.name = "resized299_head", .type = VT_F32, .rank = 4, .data = corner};
    memcpy(got.shape, shape, 4 * sizeof *shape);
    variant_status status = vt_selftest_check(test, &got, VT_FORWARD_TOLERANCE, err);
    free(corner);
    return status;
}

static variant_status check_side(vt_selftest *test, vt_inception *net, int side, bool corner,
                                 variant_error *err) {
    char name[64];
    results r = {.side = side};
    variant_status status = VARIANT_OK;
    snprintf(name, sizeof name, "%d/pool3", side);
    VT_CHECK(vt_selftest_batch(test, name, &r.batch, err));
    VT_CHECK(make_pictures(&r, err));
    vt_inception_pass pass = {.pictures = r.pictures,
                              .count = r.batch,
                              .height = side,
                              .width = side,
                              .channels = 3,
                              .pooled = r.pooled,
                              .logits = r.logits,
                              .input = r.input};
    VT_CHECK(vt_inception_run(net, &pass, err));
    VT_CHECK(check_rows(test, &r, "pool3", r.pooled, VT_INCEPTION_DIMS, err));
    VT_CHECK(check_rows(test, &r, "logits", r.logits, VT_INCEPTION_CLASSES, err));
    if (corner) VT_CHECK(check_corner(test, &r, err));
cleanup:
    free_results(&r);
    return status;
}

/* The side in a name SIDE/pool3; 0: another name. */
static int side_of(const char *name) {
    int side = 0, end = 0;
    return sscanf(name, "%5d/pool3%n", &side, &end) == 1 && end > 0 && !name[end] ? side : 0;
}

variant_status vt_selftest_inception(vt_selftest *test, variant_error *err) {
    vt_inception *net = NULL;
    variant_status status = VARIANT_OK;
    int count = vt_tensor_file_count(test->file), smallest = LARGEST_SIDE;
    VT_CHECK(vt_inception_synthesize(&net, test->kern, SEED, err));
    for (int i = 0; i < count; ++i) {
        const char *name = vt_tensor_file_at(test->file, i)->name;
        int side = side_of(name);
        if (side < 0 || side > LARGEST_SIDE)
            VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: expected a side of 1 to %d", name,
                             LARGEST_SIDE));
        if (side > 0 && side < smallest) smallest = side;
    }
    for (int i = 0; i < count; ++i) {
        int side = side_of(vt_tensor_file_at(test->file, i)->name);
        if (side > 0) VT_CHECK(check_side(test, net, side, side == smallest, err));
    }
cleanup:
    vt_inception_close(&net);
    return status;
}
