/* test_divergence.c - a training step whose gradient is not finite: it ends the run, or is left out,
 * and changes no weight and no checkpoint. The trainer is one weight with a gradient of one, but at
 * the steps that the test breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "train/loop.h"
#include "train/defaults.h"

#define STEPS 20

typedef struct broken {
    int64_t from, to; /* steps whose gradient is not a number */
    int updates, notes;
    int64_t saved; /* step of the last checkpoint */
    vt_param *weight;
} broken;

static vt_kern *kern;
static char folder[64];

static variant_status step(void *self, vt_train_loop *loop, variant_error *err) {
    const broken *job = self;
    (void)err;
    bool bad = loop->step >= job->from && loop->step < job->to;
    float gradient = bad ? NAN : 1.0f;
    loop->loss = (double)gradient;
    return vt_param_upload(loop->params, job->weight, &gradient, job->weight->grad, err);
}

static variant_status updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)loop, (void)err;
    ++((broken *)self)->updates;
    return VARIANT_OK;
}

static void describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)self, (void)loop, (void)line;
}

static vt_model_save model(void *self, vt_train_loop *loop) {
    broken *job = self;
    job->saved = loop->step;
    return (vt_model_save){.params = loop->params, .config = "{}"};
}

static void on_note(void *user, const char *line) {
    assert_non_null(strstr(line, "left out"));
    ++((broken *)user)->notes;
}

/* Runs it; the weight afterwards is in *value. */
static variant_status train(broken *job, bool skip, float *value, variant_error *err) {
    vt_train_common options;
    vt_train_common_init(&options);
    options.output = folder;
    options.steps = STEPS;
    options.save_every = 5;
    options.restart = true;
    options.skip_diverged = skip;
    options.note = on_note;
    options.user = job;
    vt_train_loop loop;
    vt_train_result result;
    vt_params params;
    vt_params_init(&params, kern);
    assert_int_equal(vt_train_loop_begin(&loop, kern, &options, err), VARIANT_OK);
    assert_int_equal(vt_train_loop_open(&loop, 1, err), VARIANT_OK);
    job->weight = vt_params_add(&params, 0, 1, (const int64_t[]){1}, "weight");
    assert_int_equal(vt_params_allocate(&params, err), VARIANT_OK);
    assert_int_equal(vt_params_train(&params, err), VARIANT_OK);
    assert_int_equal(vt_param_upload(&params, job->weight, &(float){0.0f}, job->weight->value, err),
                     VARIANT_OK);
    loop.params = &params;
    loop.slices = 1;
    loop.part = (vt_slice){.count = 1, .of = 1};
    assert_int_equal(vt_batches_open(&loop.data.batches, 10, 1, false, 0, 1, err), VARIANT_OK);
    vt_run_extent extent = {.kind = VT_TRAIN_TRANSFORMER, .pictures = 10, .steps_per_epoch = 10};
    assert_int_equal(vt_defaults_length(&loop, &options, &extent, err), VARIANT_OK);
    vt_trainer steps = {.self = job,
                        .step = step,
                        .updated = updated,
                        .describe = describe,
                        .file = "model.safetensors",
                        .model = model};
    variant_status status = vt_train_loop_run(&loop, &steps, &result, err);
    variant_error local;
    assert_int_equal(vt_param_download(&params, job->weight, job->weight->value, value, &local),
                     VARIANT_OK);
    vt_batches_close(&loop.data.batches);
    vt_params_close(&params);
    vt_train_loop_close(&loop);
    return status;
}

/* Lines of the log that tell of a gradient, and what was done. */
static int logged(const char *action) {
    char path[128], words[64], line[512];
    int count = 0;
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    snprintf(words, sizeof words, "\"divergence\":\"gradient\",\"action\":\"%s\"", action);
    FILE *log = fopen(path, "rb");
    assert_non_null(log);
    while (fgets(line, sizeof line, log)) count += strstr(line, words) != NULL;
    fclose(log);
    return count;
}

static void test_stop(void **state) {
    (void)state;
    variant_error err;
    broken job = {.from = 7, .to = 8};
    float value;
    assert_int_equal(train(&job, false, &value, &err), VARIANT_E_MISMATCH);
    assert_non_null(strstr(err.message, "step 8"));
    assert_int_equal(job.updates, 7);
    assert_int_equal(job.saved, 5);
    assert_true(isfinite(value));
    assert_int_equal(logged("stop"), 1);
    assert_int_equal(logged("skip"), 0);
}

static void test_skip(void **state) {
    (void)state;
    variant_error err;
    broken job = {.from = 7, .to = 16}; /* nine in a row */
    float value;
    assert_int_equal(train(&job, true, &value, &err), VARIANT_OK);
    assert_int_equal(job.updates, STEPS - 9);
    assert_int_equal(job.notes, 9);
    assert_int_equal(job.saved, STEPS);
    assert_true(isfinite(value) && value != 0.0f);
    assert_int_equal(logged("stop"), 0);
    assert_int_equal(logged("skip"), 9);
}

static void test_lost(void **state) {
    (void)state;
    variant_error err;
    broken job = {.from = 3, .to = STEPS};
    float value;
    assert_int_equal(train(&job, true, &value, &err), VARIANT_E_MISMATCH);
    assert_int_equal(job.notes, 9);
    assert_int_equal(job.updates, 3);
    assert_int_equal(logged("stop"), 1);
    assert_int_equal(logged("skip"), 9);
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/variant_divergence_XXXXXX");
    return mkdtemp(folder) && vt_kern_open(&kern, NULL, 1, NULL) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    static const char *const names[] = {"log.jsonl", "checkpoint.safetensors", "model.safetensors"};
    char path[128];
    for (int i = 0; i < 3; ++i) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
    vt_kern_close(&kern);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
