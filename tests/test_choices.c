/* test_choices.c - the choices of a supernet's training: both paths in one step, how a subnet is drawn,
 * lists of schedules, distillation, the log of the gradients' agreement; each goes on bit for bit from
 * its checkpoint. All runs start from nothing, on a tokenizer trained for a few steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "tests/squares.h"
#include "train/trainer.h"

#define STEPS 10
#define STOP_AT 4
#define DEPTH 4
#define DATA "data"

static char folder[64], data[96];
static variant_error err;
static vt_kern *kern;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

typedef struct interruption {
    int64_t stop_at;
    volatile sig_atomic_t stop;
} interruption;

static void on_progress(void *user, const vt_train_progress *progress) {
    interruption *at = user;
    if (progress->step == at->stop_at && strcmp(progress->doing, "training") == 0) at->stop = 1;
}

static const char *in_folder(const char *run, const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s/%s", folder, run, name);
    return path;
}

static char *text_of(const char *run, const char *name) {
    char *text = NULL;
    assert_ok(vt_file_read_text(&text, in_folder(run, name), 1 << 20, &err));
    return text;
}

/* A tiny supernet's options, one path a step by the phases; places are the tests' to change. */
static vt_train_transformer_options choices(interruption *at) {
    static char tokenizer[96], cache[96];
    vt_train_transformer_options options;
    vt_train_supernet_options_init(&options);
    snprintf(tokenizer, sizeof tokenizer, "%s/tok", folder);
    snprintf(cache, sizeof cache, "%s/tokens", folder);
    options.common.data = vt_data_of(data);
    options.common.steps = STEPS;
    options.common.batch = 8;
    options.common.log_every = 1;
    options.common.eval_count = 4;
    options.common.lr = (vt_lr){.peak = 3e-3, .end = 1e-4, .cosine = true, .warmup = 2};
    options.common.progress = on_progress;
    options.common.stop = &at->stop;
    options.common.user = at;
    options.tokenizer = tokenizer;
    options.cache = cache;
    options.config = (vt_transformer_config){
        .depth = DEPTH, .width = 32, .heads = 1, .hidden = 64, .l2_norm = true};
    options.bridge = 1;
    options.distill = 0, options.distill_end = -1;
    options.phases.sandwich = false;
    options.phases.joint_end = 0.5;
    options.phases.transition_end = 1.0; /* of 1.67 epochs */
    options.phases.depth_count = 2;
    options.phases.depths[0] = 2, options.phases.depths[1] = 1;
    return options;
}

/* Runs it into `name`; the loss of its last step. */
static double train(vt_train_transformer_options options, const char *name) {
    char output[96];
    vt_train_result result;
    snprintf(output, sizeof output, "%s/%s", folder, name);
    options.common.output = output;
    assert_ok(vt_train_transformer(kern, &options, &result, &err));
    return result.loss;
}

static void refuse(vt_train_transformer_options options, const char *words) {
    char output[96];
    vt_train_result result;
    snprintf(output, sizeof output, "%s/refused", folder);
    options.common.output = output;
    assert_int_not_equal(vt_train_transformer(kern, &options, &result, &err), VARIANT_OK);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

/* The last line of a run's log that has the key. */
static cJSON *last_line(const char *run, const char *key) {
    char *text = text_of(run, "log.jsonl");
    cJSON *last = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        bool wanted = cJSON_HasObjectItem(json, key);
        cJSON_Delete(wanted ? last : json);
        if (wanted) last = json;
    }
    free(text);
    if (!last) fail_msg("%s: no line with %s", run, key);
    return last;
}

static double last_number(const char *run, const char *key) {
    cJSON *line = last_line(run, key);
    double value = cJSON_GetObjectItem(line, key)->valuedouble;
    cJSON_Delete(line);
    return value;
}

/* ---- runs that go on ---- */

/* What the log says of each step, without times: which path, which losses. */
static char *course(const char *run) {
    char *text = text_of(run, "log.jsonl"), *course = calloc(1, 1 << 16);
    assert_non_null(course);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        cJSON_DeleteItemFromObject(json, "pictures_per_second");
        char *plain = cJSON_PrintUnformatted(json);
        strncat(course, plain, (1 << 16) - strlen(course) - 1);
        cJSON_free(plain);
        cJSON_Delete(json);
    }
    free(text);
    return course;
}

static void check_resume(vt_train_transformer_options (*make)(interruption *at)) {
    interruption at = {0};
    train(make(&at), "straight");
    at = (interruption){.stop_at = STOP_AT};
    train(make(&at), "stopped");
    assert_int_equal(last_number("stopped", "step"), STOP_AT);
    at = (interruption){0};
    vt_train_transformer_options options = make(&at);
    options.common.resume = true;
    train(options, "stopped");
    vt_mapping a, b;
    assert_ok(vt_mapping_open(&a, in_folder("straight", "checkpoint.safetensors"), &err));
    assert_ok(vt_mapping_open(&b, in_folder("stopped", "checkpoint.safetensors"), &err));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    vt_mapping_close(&a);
    vt_mapping_close(&b);
    char *want = course("straight"), *got = course("stopped");
    assert_string_equal(got, want);
    free(want);
    free(got);
}

static vt_train_transformer_options all_at_once(interruption *at) {
    vt_train_transformer_options options = choices(at);
    options.common.restart = true;
    options.phases.sandwich = true;
    options.phases.rule = VT_DRAW_WEIGHTED;
    options.phases.weights[0] = 1, options.phases.weights[1] = 3;
    options.phases.more_bridge = 1;
    options.distill = 0.5;
    options.log_conflict = 3;
    return options;
}

static vt_train_transformer_options lists_in_bf16(interruption *at) {
    vt_train_transformer_options options = choices(at);
    options.common.restart = true;
    options.common.precision = VT_NUMBER_BF16;
    options.schedules = "4,4,2;4,3,1;4,4,3";
    options.phases.rule = VT_DRAW_DEEPEST_FIRST;
    options.phases.joint_ratio = 0.7;
    options.distill = 1;
    return options;
}

static void test_resume(void **state) {
    (void)state;
    check_resume(all_at_once);
    cJSON *line = last_line("straight", "phase");
    assert_string_equal(cJSON_GetObjectItem(line, "phase")->valuestring, "sandwich");
    cJSON_Delete(line);
}

static void test_resume_lists(void **state) {
    (void)state;
    check_resume(lists_in_bf16);
    char *text = course("straight");
    assert_non_null(strstr(text, "\"path_schedule\":\"4,4,3\"")); /* the deepest is first */
    const char *deepest = strstr(text, "\"path_schedule\":\"4,4,3\""),
               *other = strstr(text, "\"path_schedule\":\"4,4,2\"");
    assert_true(!other || other > deepest);
    assert_non_null(strstr(text, "\"test_loss_schedule2\":"));
    assert_non_null(strstr(text, "\"test_loss_depth2\":"));
    free(text);
    /* An option left out is noticed. */
    interruption at = {0};
    vt_train_transformer_options options = lists_in_bf16(&at);
    options.common.restart = false;
    options.common.resume = true;
    options.distill = 0;
    vt_train_result result;
    options.common.output = in_folder("straight", ".");
    assert_int_not_equal(vt_train_transformer(kern, &options, &result, &err), VARIANT_OK);
    assert_non_null(strstr(err.message, "distill 1, now it is not set"));
}

/* ---- what the choices do ---- */

/* A subnet of all layers is the full path: both at once are one of them, its teacher teaches nothing,
 * the gradients agree. */
static void test_whole_subnet(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.phases.depth_count = 1;
    options.phases.depths[0] = DEPTH;
    options.phases.fixed_ratio = 0;
    double full = train(options, "full");
    options.phases.fixed_ratio = 1;
    options.distill = 1;
    options.log_conflict = 4;
    assert_true(train(options, "taught") == full);
    assert_true(fabs(last_number("taught", "cosine") - 1) < 1e-5);
    cJSON *line = last_line("taught", "cosine_by_layer");
    cJSON *layers = cJSON_GetObjectItem(line, "cosine_by_layer");
    assert_int_equal(cJSON_GetArraySize(layers), DEPTH);
    for (int l = 0; l < DEPTH; ++l)
        assert_true(fabs(cJSON_GetArrayItem(layers, l)->valuedouble - 1) < 1e-5);
    cJSON_Delete(line);
    options.phases.fixed_ratio = -1;
    options.phases.sandwich = true;
    options.distill = 0;
    double both = train(options, "both");
    if (!(fabs(both - full) < 1e-3 * full)) fail_msg("%g, and %g for both paths", full, both);
}

/* Logging the conflict changes no weight; a shallow subnet does not agree wholly. */
static void test_conflict(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.phases.sandwich = true;
    double plain = train(options, "plain");
    options.log_conflict = 2;
    assert_true(train(options, "logged") == plain);
    double cosine = last_number("logged", "cosine");
    if (!(cosine < 0.9999 && cosine > -1)) fail_msg("cosine %g", cosine);
    assert_int_equal(last_number("logged", "cosine_by_layer"), 0); /* there; an array */
    assert_true(fabs(last_number("logged", "subnet_share") - 0.5) < 1e-9);
}

/* The harder the teacher pulls, the nearer is the subnet to it. */
static void test_distill(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.common.steps = 100;
    options.common.log_every = 10;
    options.common.lr.peak = 1e-2;
    options.phases.depth_count = 1;
    options.phases.depths[0] = 1;
    options.phases.sandwich = true;
    options.distill = 1e-6;
    train(options, "loose");
    options.distill = 10;
    train(options, "drawn");
    double loose = last_number("loose", "distill_kl"), drawn = last_number("drawn", "distill_kl");
    if (!(loose > 0 && drawn > 0 && drawn < 0.7 * loose))
        fail_msg("kl %g with a teacher, %g without", drawn, loose);
}

/* The weight moves evenly over the training, where it has an end to move to, and is logged. */
static void test_distill_end(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.common.steps = 5;
    options.phases.sandwich = true;
    options.distill = 4;
    train(options, "steady");
    if (!(fabs(last_number("steady", "distill") - 4) < 1e-9))
        fail_msg("weight %g", last_number("steady", "distill"));
    options.distill_end = 1;
    train(options, "falling");
    if (!(fabs(last_number("falling", "distill") - 1.6) < 1e-9)) /* 4 - 3 x 4 / 5 */
        fail_msg("weight %g at the last of 5 steps", last_number("falling", "distill"));
    assert_true(last_number("steady", "distill_kl") != last_number("falling", "distill_kl"));
}

/* A bridge not named is 6 in 10 of the scales, and no range where one more would leave none. */
static void test_own_bridge(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.phases.fixed_ratio = 1;
    options.bridge = 2;
    double named = train(options, "named");
    options.bridge = -1;
    assert_true(train(options, "own") == named);
    options.bridge = 1;
    assert_true(train(options, "other") != named);
}

/* The full path and each subnet have a running mean of the loss of their own. */
static void test_loss_means(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.common.log_every = STEPS;
    options.phases.fixed_ratio = 0.6;
    train(options, "means");
    char want[64];
    cJSON *line = last_line("means", "draws"), *draws = cJSON_GetObjectItem(line, "draws");
    int deep = cJSON_GetArrayItem(draws, 0)->valueint, low = cJSON_GetArrayItem(draws, 1)->valueint;
    cJSON_Delete(line);
    assert_true(deep > 0 && low > 0 && deep + low < STEPS);
    snprintf(want, sizeof want, "\\\"steps\\\":[%d,%d,%d]", STEPS - deep - low, deep, low);
    vt_mapping file;
    assert_ok(vt_mapping_open(&file, in_folder("means", "checkpoint.safetensors"), &err));
    if (!memmem(file.data, file.size, want, strlen(want))) fail_msg("no %s", want);
    vt_mapping_close(&file);
}

static void test_evaluation(void **state) {
    (void)state;
    static const char *const keys[] = {"test_loss", "test_loss_depth3", "test_loss_depth2",
                                       "test_loss_depth1", "test_depth1_loss_by_scale"};
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.common.steps = 2;
    options.phases.depth_count = 1;
    options.phases.depths[0] = 3;
    train(options, "evaluated");
    cJSON *line = last_line("evaluated", "evaluation");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i)
        if (!cJSON_HasObjectItem(line, keys[i])) fail_msg("no %s", keys[i]);
    cJSON_Delete(line);
}

static void test_refused(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.schedules = "4,4";
    refuse(options, "2 depths given");
    options.schedules = "4,4,2;";
    refuse(options, "4,4,2;");
    options.schedules = "4,5,2";
    refuse(options, "5");
    options.schedules = "4,4,2";
    options.phases.more_bridge = 1;
    refuse(options, "one of them");
    options = choices(&at);
    options.phases.more_bridge = 3;
    refuse(options, "3 scales");
    options = choices(&at);
    options.distill = NAN;
    refuse(options, "distillation");
    options.distill = 0;
    options.distill_end = 1;
    refuse(options, "one to begin with");
}

/* A published checkpoint, as it came: a trainer's .pth, with transformer and tokenizer. */
static void test_published(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_transformer_options options = choices(&at);
    options.tokenizer = NULL;
    options.model = VARIANT_TEST_DIR "/golden/torch/micro_trainer.pth";
    options.cache = NULL;
    options.common.steps = 2;
    options.phases.depth_count = 1;
    options.phases.depths[0] = 1;
    vt_train_result result;
    options.common.output = in_folder("published", ".");
    variant_status status = vt_train_transformer(kern, &options, &result, &err);
    if (status != VARIANT_OK) fail_msg("%s", err.message);
    assert_true(isfinite(result.loss));
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/variant_choices_XXXXXX");
    if (!mkdtemp(folder) || vt_kern_open(&kern, NULL, 1, &err) != VARIANT_OK) return -1;
    snprintf(data, sizeof data, "%s/" DATA, folder);
    if (variant_folder_make(data, &err) != VARIANT_OK) return -1;
    write_squares(folder, "train", 48, 1);
    write_squares(folder, "t10k", 8, 2);
    char output[96];
    snprintf(output, sizeof output, "%s/tok", folder);
    interruption at = {0};
    vt_train_tokenizer_options options;
    vt_train_result result;
    vt_train_tokenizer_options_init(&options);
    options.common.data = vt_data_of(data);
    options.common.output = output;
    options.common.steps = 4;
    options.common.batch = 4;
    options.common.lr.warmup = 100;
    options.common.stop = &at.stop;
    options.config.levels = 2;
    options.config.mult[0] = options.config.mult[1] = 1;
    options.config.codes = 24;
    options.config.latent_dim = 8;
    options.config.scales = 3;
    options.config.sides[0] = 1, options.config.sides[1] = 2, options.config.sides[2] = 4;
    return vt_train_tokenizer(kern, &options, &result, &err) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    vt_kern_close(&kern);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),       cmocka_unit_test(test_resume_lists),
        cmocka_unit_test(test_whole_subnet), cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_distill),      cmocka_unit_test(test_distill_end),
        cmocka_unit_test(test_own_bridge),   cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_published),
        cmocka_unit_test(test_loss_means),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
