/* test_inception.c - FID's Inception as a feature network: files whole and broken, grey pictures, any
 * size, any batch; where the spatial features come from. Its numbers are compared with the reference by
 * the self-test (ctest selftest_inception). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "features/features.h"
#include "features/inception.h"
#include "io/file.h"
#include "io/synth.h"

enum { PICTURES = 9, SIDE = 12 };

static char folder[] = "/tmp/variant_inception_XXXXXX";
static char whole[64]; /* a synthetic network, matrices in bf16 */
static vt_kern *kern;
static variant_error err;

static int begin(void **unused) {
    (void)unused;
    if (!mkdtemp(folder)) return -1;
    snprintf(whole, sizeof whole, "%s/whole.safetensors", folder);
    if (vt_kern_open(&kern, "cpu", 0, &err) != VARIANT_OK) return -1;
    return vt_inception_write(whole, "T", VT_BF16, &err) == VARIANT_OK ? 0 : -1;
}

static int end(void **unused) {
    (void)unused;
    vt_kern_close(&kern);
    unlink(whole);
    return rmdir(folder);
}

static vt_features *open_features(const char *path) {
    vt_features *features = NULL;
    if (vt_features_open(&features, kern, path, &err) != VARIANT_OK) fail_msg("%s", err.message);
    return features;
}

static void test_pictures(void **unused) {
    (void)unused;
    vt_features *features = open_features(whole);
    vt_features_info info;
    vt_features_info_get(features, &info);
    assert_false(info.inception); /* made by formula: no score of it may be called FID */
    assert_string_equal(info.name, "inception-synthetic");
    assert_int_equal(info.dims, 2048);
    assert_int_equal(info.spatial_dims, 2023);
    assert_int_equal(info.classes, 1008);
    assert_int_equal(strlen(info.hash), 16);

    enum { PIXELS = SIDE * (SIDE + 3) };
    static float grey[PICTURES * PIXELS], rgb[PICTURES * PIXELS * 3];
    static float from_grey[PICTURES * 2048], from_rgb[PICTURES * 2048], alone[2048];
    static float probabilities[PICTURES * 1008];
    vt_synth_symmetric(grey, PICTURES * PIXELS, "grey");
    for (int i = 0; i < PICTURES * PIXELS; ++i) {
        grey[i] = 0.5f + grey[i] / 2;
        for (int c = 0; c < 3; ++c) rgb[3 * i + c] = grey[i];
    }
    assert_int_equal(vt_features_run(features, grey, PICTURES, SIDE, SIDE + 3, 1, from_grey, NULL,
                                     probabilities, &err),
                     VARIANT_OK);
    assert_int_equal(
        vt_features_run(features, rgb, PICTURES, SIDE, SIDE + 3, 3, from_rgb, NULL, NULL, &err),
        VARIANT_OK);
    assert_memory_equal(from_grey, from_rgb, sizeof from_grey);
    for (int i = 0; i < PICTURES; ++i) {
        double sum = 0;
        for (int c = 0; c < 1008; ++c) sum += (double)probabilities[i * 1008 + c];
        assert_true(fabs(sum - 1) < 1e-4);
        if (i > 0) assert_memory_not_equal(from_rgb, from_rgb + i * 2048, sizeof alone);
    }
    /* the second one among eight, and alone */
    assert_int_equal(
        vt_features_run(features, rgb + 3 * PIXELS, 1, SIDE, SIDE + 3, 3, alone, NULL, NULL, &err),
        VARIANT_OK);
    assert_memory_equal(alone, from_rgb + 2048, sizeof alone);
    static float large[301 * 400 * 3];
    static const int sizes[][2] = {{1, 1}, {301, 400}, {299, 299}};
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(vt_features_run(features, large, 1, sizes[i][0], sizes[i][1], 3, alone,
                                         NULL, NULL, &err),
                         VARIANT_OK);
        for (int c = 0; c < 2048; ++c) assert_true(isfinite(alone[c]) && alone[c] >= 0);
        if (i > 0) assert_memory_equal(alone, from_grey, sizeof alone); /* black is black */
        memcpy(from_grey, alone, sizeof alone);
    }
    assert_int_equal(vt_features_run(features, rgb, 1, SIDE, SIDE, 2, alone, NULL, NULL, &err),
                     VARIANT_E_ARGUMENT);
    vt_features_close(&features);
}

/* ---- resizing ---- */

/* What is seen at (y, x) of 299 x 299, by the formulas in double: PyTorch's half-pixel centres and 2 v / 255 - 1,
 * TensorFlow 1's corners and (v - 128) / 128, where v is in bytes' range. */
static double seen_at(const float *picture, int height, int width, int y, int x, bool tensorflow) {
    double at[2] = {y * height / 299.0, x * width / 299.0}, near[2];
    int low[2], high[2];
    for (int i = 0; i < 2; ++i) {
        int size = i ? width : height;
        if (!tensorflow) at[i] = fmax(at[i] + 0.5 * size / 299.0 - 0.5, 0.0);
        low[i] = (int)floor(at[i]);
        high[i] = low[i] + 1 < size ? low[i] + 1 : low[i];
        near[i] = at[i] - low[i];
    }
    double top = (1 - near[1]) * (double)picture[low[0] * width + low[1]] +
                 near[1] * (double)picture[low[0] * width + high[1]];
    double bottom = (1 - near[1]) * (double)picture[high[0] * width + low[1]] +
                    near[1] * (double)picture[high[0] * width + high[1]];
    double v = 255.0 * ((1 - near[0]) * top + near[0] * bottom);
    return tensorflow ? (v - 128.0) / 128.0 : 2.0 * v / 255.0 - 1.0;
}

static void check_resize(vt_inception *net, int height, int width) {
    float *picture = malloc((size_t)(height * width) * sizeof *picture);
    float *input = malloc(299 * 299 * 3 * sizeof *input);
    assert_true(picture && input);
    vt_synth_symmetric(picture, (size_t)(height * width), "resize");
    for (int i = 0; i < height * width; ++i) picture[i] = 0.5f + picture[i] / 2;
    for (int way = 0; way < 2; ++way) {
        double worst = 0;
        vt_inception_pass pass = {.pictures = picture,
                                  .count = 1,
                                  .height = height,
                                  .width = width,
                                  .channels = 1,
                                  .tensorflow = way == 1,
                                  .input = input};
        assert_int_equal(vt_inception_run(net, &pass, &err), VARIANT_OK);
        for (int i = 0; i < 299 * 299; ++i) {
            double want = seen_at(picture, height, width, i / 299, i % 299, way == 1);
            for (int c = 0; c < 3; ++c) worst = fmax(worst, fabs((double)input[3 * i + c] - want));
        }
        /* float32: a place near 500 is known to 3e-5 of a pixel, across which a picture may jump by 2 */
        if (worst > 3e-4) fail_msg("%d x %d, way %d: off by %g", height, width, way, worst);
    }
    free(picture);
    free(input);
}

typedef struct stopping {
    const char *stop_while;
    int converted, written, total;
} stopping;

static bool look(void *user, const char *doing, int done, int total) {
    stopping *s = user;
    *(strcmp(doing, "converting") == 0 ? &s->converted : &s->written) = done;
    s->total = total;
    return !s->stop_while || strcmp(doing, s->stop_while) != 0 || done < total / 2;
}

/* A conversion tells how far it is, and stops, at once, leaving what was there. */
static void test_conversion(void **unused) {
    (void)unused;
    static const char *const places[] = {"converting", "writing", NULL};
    vt_tensor_file *file = NULL;
    char path[96], kept[5] = "";
    snprintf(path, sizeof path, "%s/converted.safetensors", folder);
    assert_int_equal(vt_file_write(path, "kept", 4, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, whole, &err), VARIANT_OK);
    for (int i = 0; i < 3; ++i) {
        stopping s = {.stop_while = places[i]};
        const vt_work_watch watch = {look, &s};
        const variant_status status = vt_inception_convert(path, file, VT_BF16, &watch, &err);
        assert_int_equal(status, places[i] ? VARIANT_E_STOPPED : VARIANT_OK);
        assert_int_equal(s.converted, i == 0 ? s.total / 2 : s.total);
        assert_int_equal(s.written, i == 0 ? 0 : i == 1 ? s.total / 2 : s.total);
        FILE *there = fopen(path, "rb");
        assert_non_null(there);
        assert_int_equal(fread(kept, 1, 4, there), 4);
        fclose(there);
        assert_int_equal(strcmp(kept, "kept") == 0, places[i] != NULL);
    }
    vt_tensor_file_close(&file);
    vt_features *features = open_features(path);
    vt_features_close(&features);
    unlink(path);
}

static void test_resize(void **unused) {
    (void)unused;
    vt_tensor_file *file = NULL;
    vt_inception *net = NULL;
    assert_int_equal(vt_tensor_file_open(&file, whole, &err), VARIANT_OK);
    assert_int_equal(vt_inception_load(&net, kern, file, &err), VARIANT_OK);
    check_resize(net, 1, 1);
    check_resize(net, 28, 32);
    check_resize(net, 299, 299);
    check_resize(net, 512, 300);
    vt_inception_close(&net);
    vt_tensor_file_close(&file);

    static float picture[32 * 32], one[2048], other[2048];
    vt_features *features = open_features(whole);
    vt_features_info info;
    vt_features_info_get(features, &info);
    assert_true(info.resizes && info.resize == VT_RESIZE_PYTORCH);
    vt_synth_symmetric(picture, 32 * 32, "resize");
    for (int i = 0; i < 32 * 32; ++i) picture[i] = 0.5f + picture[i] / 2;
    assert_int_equal(vt_features_run(features, picture, 1, 32, 32, 1, one, NULL, NULL, &err),
                     VARIANT_OK);
    assert_int_equal(vt_features_set_resize(features, VT_RESIZE_TENSORFLOW, &err), VARIANT_OK);
    assert_int_equal(vt_features_run(features, picture, 1, 32, 32, 1, other, NULL, NULL, &err),
                     VARIANT_OK);
    assert_memory_not_equal(one, other, sizeof one);
    vt_features_close(&features);
}

/* ---- files that are not what they should be ---- */

/* The whole file again; what(tensor, values) may change a float32 tensor; extra: one more tensor. */
typedef void change(const char *name, float *values, size_t count);

static void write_changed(const char *path, change *what, const char *extra) {
    vt_tensor_file *file = NULL;
    assert_int_equal(vt_tensor_file_open(&file, whole, &err), VARIANT_OK);
    int count = vt_tensor_file_count(file);
    vt_tensor_out *outs = calloc((size_t)count + 1, sizeof *outs);
    float **copies = calloc((size_t)count, sizeof(float *));
    static const float zero;
    assert_true(outs && copies);
    for (int i = 0; i < count; ++i) {
        const vt_tensor *t = vt_tensor_file_at(file, i);
        outs[i] =
            (vt_tensor_out){.name = t->name, .type = t->type, .rank = t->rank, .data = t->data};
        memcpy(outs[i].shape, t->shape, sizeof t->shape);
        if (t->type != VT_F32 || !what) continue;
        copies[i] = malloc(t->bytes);
        assert_non_null(copies[i]);
        memcpy(copies[i], t->data, t->bytes);
        what(t->name, copies[i], t->count);
        outs[i].data = copies[i];
    }
    outs[count] =
        (vt_tensor_out){.name = extra, .type = VT_F32, .rank = 1, .shape = {1}, .data = &zero};
    assert_int_equal(vt_safetensors_write(path, outs, count + (extra ? 1 : 0), NULL, NULL, 0, &err),
                     VARIANT_OK);
    for (int i = 0; i < count; ++i) free(copies[i]);
    free(copies);
    free(outs);
    vt_tensor_file_close(&file);
}

static void name_channels(const char *name, float *values, size_t count) {
    for (size_t i = 0; strcmp(name, "Mixed_6d.branch1x1.bn.weight") == 0 && i < count; ++i)
        values[i] = 0;
    for (size_t i = 0; strcmp(name, "Mixed_6d.branch1x1.bn.bias") == 0 && i < count; ++i)
        values[i] = (float)i - 1;
}

static void negative_variance(const char *name, float *values, size_t count) {
    if (strcmp(name, "Mixed_7c.branch_pool.bn.running_var") == 0) values[count - 1] = -1;
}

static void refuse(const char *path, const char *expected) {
    vt_features *features = NULL;
    variant_status status = vt_features_open(&features, kern, path, &err);
    assert_null(features);
    assert_true(status == VARIANT_E_MODEL || status == VARIANT_E_FORMAT);
    if (!strstr(err.message, expected) || !strstr(err.message, path))
        fail_msg("\"%s\" does not tell %s", err.message, expected);
    unlink(path);
}

static void no_numbers(const char *name, float *values, size_t count) {
    if (strcmp(name, "Mixed_6a.branch3x3.bn.weight") == 0) values[count / 2] = NAN;
    negative_variance(name, values, count);
}

/* Whoever looks at a file learns what it is, whatever its numbers are. */
static void test_looking_takes_damage(void **unused) {
    (void)unused;
    char path[96];
    vt_features_info info;
    snprintf(path, sizeof path, "%s/damaged.safetensors", folder);
    write_changed(path, no_numbers, NULL);
    if (vt_features_look(&info, kern, path, &err) != VARIANT_OK) fail_msg("%s", err.message);
    assert_int_equal(info.dims, 2048);
    refuse(path, "Mixed_6a.branch3x3.bn.weight");
}

/* Seven channels that hold their own numbers arrive as such, after ReLU, pixel by pixel. A file that
 * does not say "synthetic" is the real one. */
static void test_spatial(void **unused) {
    (void)unused;
    char path[96];
    snprintf(path, sizeof path, "%s/channels.safetensors", folder);
    write_changed(path, name_channels, "Mixed_5b.branch1x1.bn.num_batches_tracked");
    vt_features *features = open_features(path);
    vt_features_info info;
    vt_features_info_get(features, &info);
    assert_true(info.inception);
    static float picture[2 * 8 * 8 * 3], spatial[2 * 2023];
    vt_synth_symmetric(picture, sizeof picture / sizeof *picture, "spatial");
    assert_int_equal(vt_features_run(features, picture, 2, 8, 8, 3, NULL, spatial, NULL, &err),
                     VARIANT_OK);
    for (int i = 0; i < 2 * 2023; ++i)
        assert_true(spatial[i] == (float)(i % 7 > 0 ? i % 7 - 1 : 0));
    vt_features_close(&features);
    unlink(path);
}

static void test_broken_files(void **unused) {
    (void)unused;
    char path[96];
    static const float some[32 * 27];
    snprintf(path, sizeof path, "%s/broken.safetensors", folder);

    vt_tensor_out out = {
        .name = "Mixed_5b.branch1x1.conv.weight", .rank = 1, .shape = {1}, .data = some};
    assert_int_equal(vt_safetensors_write(path, &out, 1, NULL, NULL, 0, &err), VARIANT_OK);
    refuse(path,
           "Conv2d_1a_3x3.conv.weight of FID's Inception (pt_inception-2015-12-05) is missing");

    out = (vt_tensor_out){
        .name = "Conv2d_1a_3x3.conv.weight", .rank = 4, .shape = {32, 3, 3, 1}, .data = some};
    assert_int_equal(vt_safetensors_write(path, &out, 1, NULL, NULL, 0, &err), VARIANT_OK);
    refuse(path,
           "Conv2d_1a_3x3.conv.weight is (32, 3, 3, 1), in FID's Inception it is (32, 3, 3, 3)");

    out.name = "layer1.weight";
    assert_int_equal(vt_safetensors_write(path, &out, 1, NULL, NULL, 0, &err), VARIANT_OK);
    refuse(path, "not a feature network");

    write_changed(path, NULL, "AuxLogits.fc.bias");
    refuse(path, "AuxLogits.fc.bias is not one of FID's Inception");

    write_changed(path, negative_variance, NULL);
    refuse(path, "Mixed_7c.branch_pool.bn.running_var");

    write_changed(path, NULL, NULL);
    assert_int_equal(truncate(path, 1 << 20), 0);
    refuse(path, "broken.safetensors");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_spatial),
        cmocka_unit_test(test_looking_takes_damage),
        cmocka_unit_test(test_broken_files),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
