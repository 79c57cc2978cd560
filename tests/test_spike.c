/* test_spike.c - a training step whose loss is far above its running mean: it ends the run, or is left
 * out, and changes no weight, no mean and no checkpoint; a run taken up again judges as one that never
 * stopped. The trainer is one weight whose losses waver around two, but at the steps that the test
 * breaks; its checkpoints are real. */
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

#include "io/file.h"
#include "train/loop.h"
#include "train/defaults.h"

#define STEPS 130
#define SAVE_EVERY 10
#define FACTOR 1.5
#define SPIKE 5.0

typedef struct spiky {
    int64_t from, to; /* steps with a spike */
    bool alternating; /* every other one of them has a gradient that is not a number instead */
    bool two_paths;   /* odd steps run another path, of twice the loss */
    int64_t stop_at;
    bool resume, skip;
    double factor;
    int64_t steps, warmup;
    int updates, notes;
    int64_t reached;
    double value; /* of the weight afterwards */
    volatile sig_atomic_t stop;
    vt_param *weight;
} spiky;

static vt_kern *kern;
static char folder[64];
static variant_error err;

static double usual_loss(int64_t step) {
    return 2.0 + 0.3 * sin((double)step);
}

static const char *in_folder(const char *name) {
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- the trainer ---- */

static variant_status step(void *self, vt_train_loop *loop, variant_error *error) {
    const spiky *job = self;
    int64_t at = loop->step;
    bool bad = at >= job->from && at < job->to;
    bool broken = bad && job->alternating && at % 2 == 1;
    float gradient = broken ? NAN : 1.0f + 0.1f * (float)(at % 7);
    loop->path = job->two_paths && at % 2 == 1;
    loop->loss = bad && !broken ? SPIKE : usual_loss(at) * (1 + loop->path);
    return vt_param_upload(loop->params, job->weight, &gradient, job->weight->grad, error);
}

static variant_status updated(void *self, vt_train_loop *loop, variant_error *error) {
    (void)loop, (void)error;
    ++((spiky *)self)->updates;
    return VARIANT_OK;
}

static void describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)self, (void)loop, (void)line;
}

static vt_model_save model(void *self, vt_train_loop *loop) {
    (void)self;
    return (vt_model_save){.params = loop->params, .config = "{}"};
}

static void on_note(void *user, const char *line) {
    if (strstr(line, "going on from") || strstr(line, "steps instead of")) return;
    assert_non_null(strstr(line, "left out"));
    ++((spiky *)user)->notes;
}

static void on_progress(void *user, const vt_train_progress *progress) {
    spiky *job = user;
    if (progress->step == job->stop_at) job->stop = 1;
}

static spiky run_of(bool skip) {
    return (spiky){
        .skip = skip, .factor = FACTOR, .steps = STEPS, .from = STEPS, .to = STEPS, .stop_at = -1};
}

static variant_status train(spiky *job) {
    vt_train_common options;
    vt_train_common_init(&options);
    options.output = folder;
    options.steps = job->steps;
    options.lr = (vt_lr){.peak = 1e-3, .warmup = job->warmup};
    options.save_every = SAVE_EVERY;
    options.log_every = SAVE_EVERY;
    options.skip_diverged = job->skip;
    options.spike = job->factor;
    options.resume = job->resume;
    options.restart = !job->resume;
    options.note = on_note;
    options.progress = on_progress;
    options.stop = &job->stop;
    options.user = job;
    vt_train_loop loop;
    vt_train_result result;
    vt_params params;
    vt_params_init(&params, kern);
    assert_int_equal(vt_train_loop_begin(&loop, kern, &options, &err), VARIANT_OK);
    assert_int_equal(vt_train_loop_open(&loop, 1, &err), VARIANT_OK);
    job->weight = vt_params_add(&params, 0, 1, (const int64_t[]){1}, "weight");
    assert_int_equal(vt_params_allocate(&params, &err), VARIANT_OK);
    assert_int_equal(vt_params_train(&params, &err), VARIANT_OK);
    assert_int_equal(
        vt_param_upload(&params, job->weight, &(float){0.0f}, job->weight->value, &err),
        VARIANT_OK);
    loop.params = &params;
    loop.part = (vt_slice){.count = 1, .of = 1};
    loop.slices = 1;
    assert_int_equal(vt_batches_open(&loop.data.batches, 10, 1, false, 0, 1, &err), VARIANT_OK);
    vt_run_extent extent = {.kind = VT_TRAIN_TRANSFORMER, .pictures = 10, .steps_per_epoch = 10};
    assert_int_equal(vt_defaults_length(&loop, &options, &extent, &err), VARIANT_OK);
    vt_trainer steps = {.self = job,
                        .step = step,
                        .updated = updated,
                        .describe = describe,
                        .file = "model.safetensors",
                        .model = model};
    variant_status status = vt_train_loop_restore(&loop, &err);
    if (status == VARIANT_OK) status = vt_train_loop_run(&loop, &steps, &result, &err);
    job->reached = loop.step;
    float value;
    variant_error local;
    assert_int_equal(vt_param_download(&params, job->weight, job->weight->value, &value, &local),
                     VARIANT_OK);
    job->value = (double)value;
    vt_params_close(&params);
    vt_batches_close(&loop.data.batches);
    vt_train_loop_close(&loop);
    return status;
}

/* ---- what a run leaves ---- */

typedef struct text {
    size_t size;
    char *bytes;
} text;

static text checkpoint_bytes(void) {
    vt_mapping file;
    assert_int_equal(vt_mapping_open(&file, in_folder("checkpoint.safetensors"), &err), VARIANT_OK);
    text copy = {.size = file.size, .bytes = malloc(file.size)};
    assert_non_null(copy.bytes);
    memcpy(copy.bytes, file.data, file.size);
    vt_mapping_close(&file);
    return copy;
}

/* Runs of this file are compared by where they are, whatever their planned lengths. */
static void forget_length(const text *checkpoint) {
    char *at = memmem(checkpoint->bytes, checkpoint->size, "steps\\\":", 8);
    assert_non_null(at);
    for (at += 8; *at >= '0' && *at <= '9'; ++at) *at = '0';
}

static void assert_same(const text *a, const text *b) {
    assert_int_equal(a->size, b->size);
    forget_length(a);
    forget_length(b);
    assert_memory_equal(a->bytes, b->bytes, a->size);
}

/* Puts `to` in the place of `from`, as long, in the checkpoint. */
static void edit_checkpoint(const char *from, const char *to) {
    text file = checkpoint_bytes();
    char *at = memmem(file.bytes, file.size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    assert_int_equal(
        vt_file_write(in_folder("checkpoint.safetensors"), file.bytes, file.size, &err),
        VARIANT_OK);
    free(file.bytes);
}

/* The log's lines of diverged steps, without the others; free() it. */
static char *diverged_lines(int *count) {
    char *all = NULL, *lines = calloc(1, 1 << 14), *rest = NULL;
    assert_non_null(lines);
    assert_int_equal(vt_file_read_text(&all, in_folder("log.jsonl"), 1 << 20, &err), VARIANT_OK);
    *count = 0;
    for (char *line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!strstr(line, "\"divergence\":")) continue;
        assert_null(strstr(line, "\"loss\":"));
        strcat(strcat(lines, line), "\n");
        ++*count;
    }
    free(all);
    return lines;
}

static double mean_before(int64_t step) {
    double mean = 0.0;
    for (int64_t i = 0; i < step; ++i)
        mean += (usual_loss(i) - mean) / (i < VT_SPIKE_STEPS ? (double)(i + 1) : VT_SPIKE_STEPS);
    return mean;
}

/* ---- ends the run, or is left out ---- */

static void test_stop(void **state) {
    (void)state;
    char words[64];
    int lines;
    spiky clean = run_of(false), job = run_of(false);
    clean.steps = 110;
    assert_int_equal(train(&clean), VARIANT_OK);
    text want = checkpoint_bytes();
    job.from = 115, job.to = 116;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 115);
    assert_non_null(strstr(err.message, "is 5 at step 116, above 1.5 times"));
    snprintf(words, sizeof words, "running mean of %g:", mean_before(115));
    assert_non_null(strstr(err.message, words));
    text got = checkpoint_bytes();
    assert_same(&got, &want);
    char *logged = diverged_lines(&lines);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(logged, "\"step\":116,"));
    assert_non_null(
        strstr(logged, "\"divergence\":\"spike\",\"action\":\"stop\",\"step_loss\":5,"));
    assert_non_null(strstr(logged, "\"factor\":1.5"));
    free(logged);
    free(want.bytes);
    free(got.bytes);
}

static void test_skip(void **state) {
    (void)state;
    int lines;
    char mean[64];
    spiky clean = run_of(true), job = run_of(true);
    clean.steps = STEPS - 9;
    assert_int_equal(train(&clean), VARIANT_OK);
    job.from = STEPS - 9, job.to = STEPS;
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.updates, STEPS - 9);
    assert_int_equal(job.notes, 9);
    assert_true(job.value == clean.value);
    char *logged = diverged_lines(&lines);
    assert_int_equal(lines, 9);
    assert_null(strstr(logged, "\"stop\""));
    snprintf(mean, sizeof mean, "\"running_mean\":%.6g", mean_before(STEPS - 9)); /* to the last */
    assert_non_null(strstr(strstr(logged, "\"step\":130,"), mean));
    free(logged);
}

/* Whatever ended the run: the checkpoint is the one before, and the run goes on from it with skip. */
static void check_goes_on(bool alternating) {
    spiky clean = run_of(false), job = run_of(false);
    clean.steps = 110;
    assert_int_equal(train(&clean), VARIANT_OK);
    text want = checkpoint_bytes();
    job.alternating = alternating;
    job.from = 115, job.to = 116;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_non_null(strstr(err.message, alternating ? "not finite" : "running mean"));
    text got = checkpoint_bytes();
    assert_same(&got, &want);
    job.skip = job.resume = true;
    job.updates = 0;
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.updates, 19);
    assert_int_equal(job.notes, 1);
    assert_true(isfinite(job.value));
    free(want.bytes);
    free(got.bytes);
}

static void test_goes_on(void **state) {
    (void)state;
    check_goes_on(false);
    check_goes_on(true);
}

/* Nine, an ordinary one, nine: the run is not lost. */
static void test_streaks(void **state) {
    (void)state;
    spiky job = run_of(true);
    job.from = 101, job.to = 110;
    assert_int_equal(train(&job), VARIANT_OK);
    job.steps = 120;
    job.from = 111, job.to = 120;
    job.resume = true;
    edit_checkpoint("\"step\\\":130,", "\"step\\\":110,"); /* as if nine had just been left out */
    edit_checkpoint("\"skipped\\\":0,", "\"skipped\\\":9,");
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.notes, 18);
}

static void check_ten(bool alternating) {
    int lines;
    spiky job = run_of(true);
    job.from = 112, job.to = STEPS;
    job.alternating = alternating;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 112);
    assert_int_equal(job.notes, 9);
    assert_non_null(strstr(err.message, "step 122"));
    char *logged = diverged_lines(&lines);
    assert_int_equal(lines, 10);
    const char *last = strstr(logged, "\"step\":122,");
    assert_non_null(last);
    assert_non_null(strstr(last, "\"action\":\"stop\""));
    free(logged);
}

static void test_ten(void **state) {
    (void)state;
    check_ten(false);
}

static void test_ten_of_both(void **state) {
    (void)state;
    check_ten(true);
}

/* ---- when it looks ---- */

static void check_unnoticed(spiky job) {
    int lines;
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.updates, STEPS);
    free(diverged_lines(&lines));
    assert_int_equal(lines, 0);
}

static void test_unnoticed(void **state) {
    (void)state;
    spiky job = run_of(false);
    job.from = 99, job.to = 100; /* the mean has 99 losses */
    check_unnoticed(job);
    job.from = 115, job.to = 116;
    job.warmup = 116;
    check_unnoticed(job);
    job.warmup = 0;
    job.factor = 2.6; /* of a mean near two: above five */
    check_unnoticed(job);
    job.factor = 0;
    check_unnoticed(job);
}

static void test_noticed(void **state) {
    (void)state;
    spiky job = run_of(false);
    job.from = 100, job.to = 101;
    job.warmup = 100;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 100);
}

/* The other path's losses, twice as high, are no spikes; its mean hides none of the first's. */
static void test_paths(void **state) {
    (void)state;
    spiky job = run_of(false);
    job.two_paths = true;
    job.steps = 260;
    assert_int_equal(train(&job), VARIANT_OK);
    job = run_of(false);
    job.two_paths = true;
    job.steps = 260;
    job.factor = 2.4; /* 5 is above 2.4 times two, below 2.4 times three */
    job.from = 240, job.to = 241;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 240);
}

static void test_refused(void **state) {
    (void)state;
    static const double wrong[] = {-1, 0.5, 1, NAN};
    vt_train_common options;
    vt_train_common_init(&options);
    assert_true(options.spike == 0);
    options.output = folder;
    options.data = vt_data_of(folder);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        options.spike = wrong[i];
        assert_int_equal(vt_train_common_check(&options, &err), VARIANT_E_ARGUMENT);
        assert_non_null(strstr(err.message, "spike factor"));
    }
    options.spike = 1.01;
    assert_int_equal(vt_train_common_check(&options, &err), VARIANT_OK);
}

/* ---- taken up again ---- */

/* Stopped among spikes: between the fourth and the fifth of them. */
static void check_resumed(int64_t to, variant_status want) {
    spiky straight = run_of(true), job = run_of(true);
    int lines;
    straight.from = job.from = 112;
    straight.to = job.to = to;
    assert_int_equal(train(&straight), want);
    text first = checkpoint_bytes();
    char *course = diverged_lines(&lines);
    job.stop_at = 116;
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.reached, 116);
    job.stop = 0;
    job.resume = true;
    assert_int_equal(train(&job), want);
    assert_int_equal(job.reached, straight.reached);
    assert_int_equal(job.updates, straight.updates);
    assert_int_equal(job.notes, straight.notes);
    text second = checkpoint_bytes();
    if (want == VARIANT_OK) assert_same(&second, &first); /* else of step 120 and of step 116 */
    char *again = diverged_lines(&lines);
    assert_string_equal(again, course);
    free(course);
    free(again);
    free(first.bytes);
    free(second.bytes);
}

static void test_resume(void **state) {
    (void)state;
    check_resumed(117, VARIANT_OK);
}

static void test_resume_ten(void **state) {
    (void)state;
    check_resumed(STEPS, VARIANT_E_MISMATCH);
}

static void stop_at_110(spiky *job) {
    *job = run_of(false);
    job->stop_at = 110;
    assert_int_equal(train(job), VARIANT_OK);
    *job = run_of(false);
    job->from = 115, job->to = 116;
    job->resume = true;
}

/* A checkpoint without the means is read, and the means start anew: no spike for a hundred steps. */
static void test_older(void **state) {
    (void)state;
    spiky job;
    stop_at_110(&job);
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 5);
    stop_at_110(&job);
    edit_checkpoint("loss_means", "loss_gnome");
    job.steps = 220;
    assert_int_equal(train(&job), VARIANT_OK);
    assert_int_equal(job.updates, 110);
    stop_at_110(&job);
    edit_checkpoint("loss_means", "loss_gnome");
    job.steps = 220;
    job.from = 210, job.to = 211;
    assert_int_equal(train(&job), VARIANT_E_MISMATCH);
    assert_int_equal(job.updates, 100);
}

/* Through a checkpoint's text and back, to the last bit. */
static void test_exact(void **state) {
    (void)state;
    vt_spikes before = {.skipped = 3}, after;
    for (int i = 0; i < 150; ++i) vt_spikes_feed(&before, i % 3, 1.0 / (i + 3));
    vt_spikes_feed(&before, VT_SPIKE_PATHS - 1, 1e-300);
    vt_spikes_feed(&before, 1, NAN); /* passed over */
    cJSON *object = vt_spikes_json(&before);
    char *words = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    object = cJSON_Parse(words);
    assert_int_equal(vt_spikes_parse(&after, object, "file", &err), VARIANT_OK);
    cJSON_Delete(object);
    cJSON_free(words);
    assert_int_equal(after.skipped, before.skipped);
    for (int i = 0; i < VT_SPIKE_PATHS; ++i) {
        assert_int_equal(after.paths[i].steps, before.paths[i].steps);
        assert_true(after.paths[i].mean == before.paths[i].mean);
    }
}

static void test_misshapen(void **state) {
    (void)state;
    spiky job;
    stop_at_110(&job);
    edit_checkpoint("[100]", "[900]");
    assert_int_equal(train(&job), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "running means of the loss are misshapen"));
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/variant_spike_XXXXXX");
    return mkdtemp(folder) && vt_kern_open(&kern, NULL, 1, NULL) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    unlink(in_folder("log.jsonl"));
    unlink(in_folder("checkpoint.safetensors"));
    unlink(in_folder("model.safetensors"));
    vt_kern_close(&kern);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),      cmocka_unit_test(test_skip),
        cmocka_unit_test(test_goes_on),   cmocka_unit_test(test_streaks),
        cmocka_unit_test(test_ten),       cmocka_unit_test(test_ten_of_both),
        cmocka_unit_test(test_unnoticed), cmocka_unit_test(test_noticed),
        cmocka_unit_test(test_paths),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_resume),    cmocka_unit_test(test_resume_ten),
        cmocka_unit_test(test_older),     cmocka_unit_test(test_exact),
        cmocka_unit_test(test_misshapen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
