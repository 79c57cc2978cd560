/* test_train_memory.c - what a training is said to take is what it takes: part by part, the arena to the byte,
 * resident memory within a bound; and one that does not fit says so before it begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/trainer.h"
#include "tests/squares.h"

#define PICTURES 64
#define TEST_PICTURES 40
#define STEPS 6

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static char folder[64];
static variant_error err;
static vt_kern *kern;

enum kind { TOKENIZER, CLASSIFIER, DECODER, TRANSFORMER, SANDWICH, PHASES, CONFLICT, KINDS };
static const char *const names[KINDS] = {"tok",      "judge",  "dec",     "var",
                                         "sandwich", "phases", "conflict"};

static const char *in_folder(const char *name) {
    static char paths[16][256];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void common_of(vt_train_common *common, vt_number precision) {
    common->data = vt_data_of(in_folder("data"));
    common->steps = STEPS;
    common->batch = 8;
    common->flip = true;
    common->eval_every = 3;
    common->sample_every = 3;
    common->precision = precision;
    common->restart = true;
}

static vt_train_tokenizer_options tokenizer_of(vt_number precision) {
    vt_train_tokenizer_options options;
    vt_train_tokenizer_options_init(&options);
    common_of(&options.common, precision);
    options.side = 16;
    options.config.codes = 24;
    options.config.latent_dim = 8;
    return options;
}

static vt_train_classifier_options classifier_of(vt_number precision) {
    vt_train_classifier_options options;
    vt_train_classifier_options_init(&options);
    common_of(&options.common, precision);
    options.config.side = 28;
    return options;
}

static vt_train_decoder_options decoder_of(vt_number precision) {
    vt_train_decoder_options options;
    vt_train_decoder_options_init(&options);
    common_of(&options.common, precision);
    options.tokenizer = in_folder("tok");
    return options;
}

static vt_train_transformer_options transformer_of(enum kind kind, vt_number precision) {
    vt_train_transformer_options options;
    if (kind == TRANSFORMER)
        vt_train_transformer_options_init(&options);
    else
        vt_train_supernet_options_init(&options);
    common_of(&options.common, precision);
    options.tokenizer = in_folder("tok");
    options.config.depth = 4;
    options.config.width = 64;
    if (kind == SANDWICH || kind == CONFLICT) options.config.depth = 0, options.config.width = 0;
    if (kind == SANDWICH || kind == CONFLICT) options.model = in_folder("var");
    if (kind == PHASES) {
        options.phases.sandwich = false;
        options.phases.fixed_ratio = 0.5;
        options.distill = 0.0, options.distill_end = -1.0;
    }
    if (kind == CONFLICT) options.log_conflict = 2, options.tokenizer = NULL; /* the model's */
    return options;
}

/* A run of its kind; a dry one has no folder. */
static variant_status train(enum kind kind, vt_number precision, bool dry,
                            vt_train_result *result) {
    vt_train_tokenizer_options tokenizer = tokenizer_of(precision);
    vt_train_classifier_options classifier = classifier_of(precision);
    vt_train_decoder_options decoder = decoder_of(precision);
    vt_train_transformer_options transformer = transformer_of(kind, precision);
    vt_train_common *common = kind == TOKENIZER    ? &tokenizer.common
                              : kind == CLASSIFIER ? &classifier.common
                              : kind == DECODER    ? &decoder.common
                                                   : &transformer.common;
    common->dry_run = dry;
    common->output = dry ? NULL : in_folder(names[kind]);
    return kind == TOKENIZER    ? vt_train_tokenizer(kern, &tokenizer, result, &err)
           : kind == CLASSIFIER ? vt_train_classifier(kern, &classifier, result, &err)
           : kind == DECODER    ? vt_train_decoder(kern, &decoder, result, &err)
                                : vt_train_transformer(kern, &transformer, result, &err);
}

static void assert_parts(enum kind kind, vt_number precision, const vt_train_memory *m) {
    assert_true(m->weights > 0 && m->activations > 0 && m->data > 0 && m->saving > 0);
    assert_true(m->gradients >= m->moments / 2 && m->gradients < m->moments / 2 + (1 << 16));
    assert_true(m->weights >= m->moments / 2 && m->weights < m->moments / 8 * 5); /* and a table */
    assert_int_equal(m->packed > 0, precision == VT_NUMBER_BF16);
    assert_int_equal(m->tokenizer > 0, kind >= DECODER);
    assert_int_equal(m->encoding > 0, kind >= TRANSFORMER);
    assert_int_equal(m->samples > 0, kind != CLASSIFIER);
    size_t kept = m->weights + m->packed + m->gradients + m->moments + m->tokenizer + m->data;
    size_t steps = m->activations + m->saving + m->samples;
    assert_int_equal(m->total, kept + (steps > m->encoding ? steps : m->encoding));
}

/* In the order of `kind`, since later ones stand on earlier ones' files. */
static void check_kinds(vt_number precision) {
    for (enum kind kind = TOKENIZER; kind < KINDS; ++kind) {
        vt_train_result dry, run;
        variant_status status = train(kind, precision, true, &dry);
        if (status != VARIANT_OK) fail_msg("%s, dry: %s", names[kind], err.message);
        status = train(kind, precision, false, &run);
        if (status != VARIANT_OK) fail_msg("%s: %s", names[kind], err.message);
        assert_parts(kind, precision, &dry.memory);
        assert_memory_equal(&dry.memory, &run.memory, sizeof dry.memory);
        assert_int_equal(dry.steps, STEPS);
        if (run.activations_peak != dry.memory.activations)
            fail_msg("%s, %s: %zu bytes said, %zu taken", names[kind], vt_number_name(precision),
                     dry.memory.activations, run.activations_peak);
    }
}

static void test_float32(void **state) {
    (void)state;
    check_kinds(VT_NUMBER_F32);
}

static void test_bf16(void **state) {
    (void)state;
    check_kinds(VT_NUMBER_BF16);
}

static size_t activations_of(const vt_train_transformer_options *options) {
    vt_train_result result;
    if (vt_train_transformer(kern, options, &result, &err) != VARIANT_OK)
        fail_msg("%s", err.message);
    return result.memory.activations;
}

/* What every kind of step takes is in it: distillation, a second gradient, the batch, evaluations. */
static void test_reasons(void **state) {
    (void)state;
    vt_train_result result;
    vt_train_transformer_options options = transformer_of(SANDWICH, VT_NUMBER_F32);
    options.common.dry_run = true;
    options.common.eval_count = 1; /* an evaluation of more would be more than a step of eight */
    const size_t taught = activations_of(&options);
    options.distill = 0.0, options.distill_end = -1.0;
    const size_t plain = activations_of(&options);
    assert_true(taught > plain);
    options.log_conflict = 5;
    assert_true(activations_of(&options) > plain);
    options.log_conflict = 0;
    options.common.batch = 16;
    assert_true(activations_of(&options) > plain);
    options.common.batch = 1;
    const size_t least = activations_of(&options);
    assert_true(least < plain);
    options.common.eval_count = 0;
    assert_true(activations_of(&options) > least);
    options.common.sample_every = 0;
    assert_int_equal(vt_train_transformer(kern, &options, &result, &err), VARIANT_OK);
    assert_int_equal(result.memory.samples, 0);
}

/* Nothing is left of a dry run, and it needs no folder. */
static void test_leaves_nothing(void **state) {
    (void)state;
    vt_train_result result;
    vt_train_classifier_options options = classifier_of(VT_NUMBER_F32);
    options.common.dry_run = true;
    options.common.restart = false;
    options.common.output = in_folder("nowhere");
    assert_int_equal(vt_train_classifier(kern, &options, &result, &err), VARIANT_OK);
    assert_int_not_equal(access(options.common.output, F_OK), 0);
    assert_true(result.memory.total > 0);
    options.common.output = in_folder("judge"); /* where there is a run already */
    assert_int_equal(vt_train_classifier(kern, &options, &result, &err), VARIANT_OK);
    options.common.dry_run = false;
    options.common.output = NULL;
    assert_int_equal(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_ARGUMENT);
}

/* ---- in a process of its own ---- */

/* kB of a line of /proc/self/status; 0: there is none. */
static size_t status_bytes(const char *name) {
    char line[256];
    size_t kilobytes = 0, length = strlen(name);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0) kilobytes = strtoull(line + length, NULL, 10);
    if (file) fclose(file);
    return kilobytes << 10;
}

static bool forget_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    bool good = file && fputs("5", file) >= 0;
    return file && fclose(file) == 0 && good;
}

static vt_train_classifier_options large_classifier(const char *output) {
    vt_train_classifier_options options = classifier_of(VT_NUMBER_F32);
    options.common.steps = 2;
    options.common.batch = 48;
    options.config.side = 56;
    options.config.width = 64;
    options.common.output = in_folder(output);
    return options;
}

/* The exit status of `body` in a child. */
static int in_child(int (*body)(void)) {
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        vt_kern *own = NULL; /* threads do not survive a fork */
        if (vt_kern_open(&own, NULL, 1, &err) != VARIANT_OK) _exit(90);
        kern = own;
        _exit(body());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SLACK ((size_t)24 << 20) /* the program's own: stacks, BLAS, decoding, the allocator's */

static int resident(void) {
    vt_train_result result;
    vt_train_classifier_options options = large_classifier("resident");
    if (vt_train_classifier(kern, &options, &result, &err) != VARIANT_OK) return 1;
    options.common.dry_run = true; /* now all code and tables are there */
    if (!forget_peak()) return 77;
    size_t before = status_bytes("VmRSS:");
    options.common.dry_run = false;
    if (vt_train_classifier(kern, &options, &result, &err) != VARIANT_OK) return 2;
    size_t peak = status_bytes("VmHWM:") - before, said = result.memory.total;
    fprintf(stderr, "said %zu bytes, resident %zu more than before\n", said, peak);
    return peak > said + SLACK ? 3 : peak < said / 10 * 7 ? 4 : 0;
}

static void test_resident(void **state) {
    (void)state;
    if (SANITIZED) skip();
    int code = in_child(resident);
    if (code == 77) skip();
    assert_int_equal(code, 0);
}

/* The address space holds half of what is missing: one line at once, no step, no file. */
static int misfit(void) {
    vt_train_result result;
    vt_train_classifier_options options = large_classifier("misfit");
    options.common.dry_run = true;
    if (vt_train_classifier(kern, &options, &result, &err) != VARIANT_OK) return 1;
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = status_bytes("VmSize:") + result.memory.total / 2;
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    options.common.dry_run = false;
    if (vt_train_classifier(kern, &options, &result, &err) != VARIANT_E_MEMORY) return 3;
    if (!strstr(err.message, "this training needs ") || strchr(err.message, '\n')) return 4;
    return access(in_folder("misfit/log.jsonl"), F_OK) == 0 ? 5 : 0;
}

static void test_misfit(void **state) {
    (void)state;
    if (SANITIZED) skip();
    assert_int_equal(in_child(misfit), 0);
}

static int setup(void **state) {
    (void)state;
    char path[128];
    snprintf(folder, sizeof folder, "/tmp/variant_memory_XXXXXX");
    if (!mkdtemp(folder) || vt_kern_open(&kern, NULL, 2, NULL) != VARIANT_OK) return -1;
    snprintf(path, sizeof path, "%s/data", folder);
    if (mkdir(path, 0777) != 0) return -1;
    write_squares(folder, "train", PICTURES, 1);
    write_squares(folder, "t10k", TEST_PICTURES, 2);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    vt_kern_close(&kern);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),  cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_reasons),  cmocka_unit_test(test_leaves_nothing),
        cmocka_unit_test(test_resident), cmocka_unit_test(test_misfit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
