/* test_train_slices.c - a batch computed slice by slice: the same pictures, draws and counts, and the batch's gradient to
 * within float32's rounding, of every training; a run in slices goes on bit for bit; and activations that are computed again
 * are the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/json.h"
#include "train/trainer.h"
#include "tests/squares.h"

#define PICTURES 48
#define TEST_PICTURES 8
#define BATCH 8
#define STEPS 3
#define RATE 0.05
#define NO_RATE 1e-30 /* moves no weight */

/* What an entry of a gradient, a sum of many float32 products, may differ by when its terms are added in another order:
 * for n terms of independent rounding sqrt(n) u |terms|. Here n is at most BATCH pictures of 28 x 28 places, and terms
 * cancel down to a tenth of their size at most: */
#define ROUNDING (80.0 * 10.0 * FLT_EPSILON / 2)

static char folder[64];
static variant_error err;
static vt_kern *kern;

enum kind { TOKENIZER, CLASSIFIER, DECODER, TRANSFORMER, SANDWICH, PHASES, KINDS };
static const char *const names[KINDS] = {"tok", "judge", "dec", "var", "sandwich", "phases"};

static const char *in_folder(const char *name) {
    static char paths[16][256];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- runs ---- */

typedef struct asked {
    vt_number precision;
    int accumulate;
    const char *output;
    bool recompute;
    double rate;
    int64_t steps, stop_after;
    bool resume;
} asked;

/* Moments that remember nothing and a large eps: an update is the gradient itself, g / (|g| + 1), times the rate. */
static void common_of(vt_train_common *common, const asked *asked) {
    common->data = vt_data_of(in_folder("data"));
    common->output = asked->output;
    common->steps = asked->steps;
    common->batch = BATCH;
    common->accumulate = asked->accumulate;
    common->recompute = asked->recompute;
    common->flip = true;
    common->log_every = 1;
    common->lr = (vt_lr){.peak = asked->rate, .end = 0.0, .warmup = 0};
    common->optimizer.beta1 = common->optimizer.beta2 = 0.0;
    common->optimizer.eps = 1.0;
    common->optimizer.clip = common->optimizer.weight_decay = 0.0;
    common->precision = asked->precision;
    common->stop_after = asked->stop_after;
    common->resume = asked->resume;
    common->restart = !asked->resume;
}

static variant_status train_tokenizer(const asked *asked, vt_train_result *result) {
    vt_train_tokenizer_options options;
    vt_train_tokenizer_options_init(&options);
    common_of(&options.common, asked);
    options.side = 16;
    options.crop = 2;
    options.revive_after = 2;
    options.config.codes = 24;
    options.config.latent_dim = 8;
    return vt_train_tokenizer(kern, &options, result, &err);
}

static variant_status train_classifier(const asked *asked, vt_train_result *result) {
    vt_train_classifier_options options;
    vt_train_classifier_options_init(&options);
    common_of(&options.common, asked);
    options.config.side = 16;
    options.erase = 0.5;
    return vt_train_classifier(kern, &options, result, &err);
}

static variant_status train_decoder(const asked *asked, vt_train_result *result) {
    vt_train_decoder_options options;
    vt_train_decoder_options_init(&options);
    common_of(&options.common, asked);
    options.tokenizer = in_folder("teacher");
    return vt_train_decoder(kern, &options, result, &err);
}

static variant_status train_transformer(enum kind kind, const asked *asked,
                                        vt_train_result *result) {
    vt_train_transformer_options options;
    if (kind == TRANSFORMER)
        vt_train_transformer_options_init(&options);
    else
        vt_train_supernet_options_init(&options);
    common_of(&options.common, asked);
    options.tokenizer = in_folder("teacher");
    options.cache = in_folder("tokens.cache");
    options.config.depth = 4;
    options.config.width = 32;
    options.config.hidden = 64;
    options.label_drop = 0.3;
    if (kind == PHASES) {
        options.phases.sandwich = false;
        options.phases.fixed_ratio = 0.5;
        options.distill = 0.0, options.distill_end = -1.0;
    }
    if (kind == SANDWICH) options.log_conflict = 2;
    return vt_train_transformer(kern, &options, result, &err);
}

static vt_train_result train(enum kind kind, const asked *asked) {
    vt_train_result result;
    const variant_status status = kind == TOKENIZER    ? train_tokenizer(asked, &result)
                                  : kind == CLASSIFIER ? train_classifier(asked, &result)
                                  : kind == DECODER    ? train_decoder(asked, &result)
                                                       : train_transformer(kind, asked, &result);
    if (status != VARIANT_OK)
        fail_msg("%s in %d slices: %s", names[kind], asked->accumulate, err.message);
    return result;
}

static const char *output_of(enum kind kind, vt_number precision, int accumulate) {
    char name[64];
    snprintf(name, sizeof name, "%s_%s_%d", names[kind], vt_number_name(precision), accumulate);
    return in_folder(name);
}

/* ---- comparisons ---- */

static float *numbers_of(const vt_tensor *tensor, size_t *count) {
    *count = 1;
    for (int i = 0; i < tensor->rank; ++i) *count *= (size_t)tensor->shape[i];
    float *out = malloc(*count * sizeof *out);
    assert_non_null(out);
    assert_int_equal(vt_tensor_to_f32(tensor, out, &err), VARIANT_OK);
    return out;
}

typedef struct distance {
    double difference, moved, size; /* norms: of w' - w, of w - w0, of w */
} distance;

static distance distance_of(const vt_tensor *whole, const vt_tensor *sliced,
                            const vt_tensor *before) {
    size_t n, same, also;
    float *w = numbers_of(whole, &n), *s = numbers_of(sliced, &same),
          *b = numbers_of(before, &also);
    distance sum = {0};
    assert_true(n == same && n == also);
    for (size_t i = 0; i < n; ++i) {
        sum.difference += ((double)w[i] - (double)s[i]) * ((double)w[i] - (double)s[i]);
        sum.moved += ((double)w[i] - (double)b[i]) * ((double)w[i] - (double)b[i]);
        sum.size += (double)w[i] * (double)w[i];
    }
    free(w), free(s), free(b);
    return (distance){sqrt(sum.difference), sqrt(sum.moved), sqrt(sum.size)};
}

/* Tensor by tensor, by how far the first step moved it, and the last bits of the weights themselves. */
static void assert_near(const char *whole, const char *sliced, const char *before) {
    vt_tensor_file *w, *s, *b;
    char path[3][300];
    const char *const folders[3] = {whole, sliced, before};
    for (int i = 0; i < 3; ++i)
        snprintf(path[i], sizeof path[i], "%s/checkpoint.safetensors", folders[i]);
    assert_int_equal(vt_tensor_file_open(&w, path[0], &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&s, path[1], &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&b, path[2], &err), VARIANT_OK);
    for (int i = 0; i < vt_tensor_file_count(w); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(w, i);
        if (strncmp(tensor->name, "training/", 9) == 0 || !vt_tensor_is_float(tensor)) continue;
        const distance d = distance_of(tensor, vt_tensor_file_find(s, NULL, tensor->name),
                                       vt_tensor_file_find(b, NULL, tensor->name));
        const double bound = ROUNDING * d.moved + STEPS * FLT_EPSILON * d.size;
        if (!(d.difference <= bound))
            fail_msg("%s: %s differs by %g, expected at most %g", sliced, tensor->name,
                     d.difference, bound);
    }
    vt_tensor_file_close(&w), vt_tensor_file_close(&s), vt_tensor_file_close(&b);
}

static cJSON *log_of(const char *output) {
    char path[300], *text = NULL;
    cJSON *lines = cJSON_CreateArray();
    snprintf(path, sizeof path, "%s/log.jsonl", output);
    assert_int_equal(vt_file_read_text(&text, path, 1 << 20, &err), VARIANT_OK);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        cJSON_AddItemToArray(lines, cJSON_Parse(line));
    free(text);
    return lines;
}

/* Numbers of six digits, to within `share` of them; what is counted is the same. */
static void assert_same_json(const char *what, const cJSON *a, const cJSON *b, double share) {
    if (a->string && strcmp(a->string, "pictures_per_second") == 0) return;
    assert_int_equal(a->type, b->type);
    if (cJSON_IsString(a)) assert_string_equal(a->valuestring, b->valuestring);
    if (cJSON_IsNumber(a)) {
        const double p = a->valuedouble, q = b->valuedouble;
        if (fabs(p - q) > share * fmax(fabs(p), fabs(q)) + 1e-7)
            fail_msg("%s: %s is %.6g in one, %.6g in the other", what, a->string ? a->string : "",
                     p, q);
    }
    assert_int_equal(cJSON_GetArraySize(a), cJSON_GetArraySize(b));
    for (a = a->child, b = b->child; a; a = a->next, b = b->next) {
        if (a->string) assert_string_equal(a->string, b->string);
        assert_same_json(what, a, b, share);
    }
}

static void assert_same_log(const char *whole, const char *sliced, vt_number precision) {
    cJSON *a = log_of(whole), *b = log_of(sliced);
    assert_true(cJSON_GetArraySize(a) > 0);
    assert_same_json(sliced, a, b, precision == VT_NUMBER_BF16 ? 1.0 / 512 : 2e-5);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* ---- tests ---- */

/* In even and in uneven slices, and picture by picture. */
static void check_kinds(vt_number precision, int64_t steps) {
    static const int parts[] = {2, 3, BATCH};
    char whole[128], before[128], sliced[128];
    for (enum kind kind = TOKENIZER; kind < KINDS; ++kind) {
        snprintf(before, sizeof before, "%s", output_of(kind, precision, 0));
        snprintf(whole, sizeof whole, "%s", output_of(kind, precision, 1));
        asked a = {.precision = precision, .output = before, .rate = NO_RATE, .steps = 1};
        train(kind, &a);
        a = (asked){.precision = precision, .output = whole, .rate = RATE, .steps = steps};
        const vt_train_result one = train(kind, &a);
        for (int i = 0; i < 3; ++i) {
            snprintf(sliced, sizeof sliced, "%s", output_of(kind, precision, parts[i]));
            a.output = sliced;
            a.accumulate = parts[i];
            const vt_train_result many = train(kind, &a);
            if (kind != PHASES) /* whose few steps do not draw every path */
                assert_int_equal(many.activations_peak, many.memory.activations);
            assert_true(many.activations_peak <= many.memory.activations);
            assert_true(many.memory.activations <= one.memory.activations);
            assert_near(whole, sliced, before);
            assert_same_log(whole, sliced, precision);
        }
    }
}

static void test_float32(void **state) {
    (void)state;
    check_kinds(VT_NUMBER_F32, STEPS);
}

/* The first step: behind it a weight's last bit decides how a product rounds it to bf16. */
static void test_bf16(void **state) {
    (void)state;
    check_kinds(VT_NUMBER_BF16, 1);
}

static void assert_same_file(const char *a, const char *b) {
    char path[2][300];
    vt_mapping p, q;
    snprintf(path[0], sizeof path[0], "%s/checkpoint.safetensors", a);
    snprintf(path[1], sizeof path[1], "%s/checkpoint.safetensors", b);
    assert_int_equal(vt_mapping_open(&p, path[0], &err), VARIANT_OK);
    assert_int_equal(vt_mapping_open(&q, path[1], &err), VARIANT_OK);
    if (p.size != q.size || memcmp(p.data, q.data, p.size) != 0) fail_msg("%s and %s differ", a, b);
    vt_mapping_close(&p);
    vt_mapping_close(&q);
}

/* One slice is the whole batch; a run in slices goes on in as many without being told; another number is told. */
static void test_goes_on(void **state) {
    (void)state;
    for (enum kind kind = TOKENIZER; kind < KINDS; ++kind) {
        char one[128], straight[128];
        asked a = {.precision = VT_NUMBER_F32, .rate = RATE, .steps = STEPS, .accumulate = 1};
        vt_train_result result;
        a.output = snprintf(one, sizeof one, "%s", in_folder("one")) > 0 ? one : NULL;
        train(kind, &a);
        assert_same_file(output_of(kind, VT_NUMBER_F32, 1), one);
        snprintf(straight, sizeof straight, "%s", output_of(kind, VT_NUMBER_F32, 3));
        a.accumulate = 3;
        a.stop_after = 2;
        assert_true(train(kind, &a).stopped);
        a.stop_after = 0;
        a.resume = true;
        if (kind == CLASSIFIER) {
            a.accumulate = 4;
            assert_int_equal(train_classifier(&a, &result), VARIANT_E_ARGUMENT);
            assert_non_null(strstr(err.message, "accumulate 3, now it is 4"));
        }
        a.accumulate = 0;
        train(kind, &a);
        assert_same_file(straight, one);
    }
}

/* The same bits in less memory, of a whole batch and in slices. */
static void check_recompute(vt_number precision, int64_t steps) {
    for (enum kind kind = TOKENIZER; kind < KINDS; ++kind)
        for (int accumulate = 1; accumulate <= 3; accumulate += 2) {
            char again[128];
            snprintf(again, sizeof again, "%s", in_folder("again"));
            asked a = {.precision = precision,
                       .accumulate = accumulate,
                       .rate = RATE,
                       .steps = steps,
                       .recompute = true,
                       .output = again};
            const vt_train_result result = train(kind, &a);
            assert_same_file(output_of(kind, precision, accumulate), again);
            assert_true(result.activations_peak <= result.memory.activations);
        }
}

static void test_recompute(void **state) {
    (void)state;
    check_recompute(VT_NUMBER_F32, STEPS);
    check_recompute(VT_NUMBER_BF16, 1);
}

static void test_bad_input(void **state) {
    (void)state;
    vt_train_result result;
    asked a = {.precision = VT_NUMBER_F32,
               .rate = RATE,
               .steps = STEPS,
               .output = in_folder("bad"),
               .accumulate = BATCH + 1};
    assert_int_equal(train_classifier(&a, &result), VARIANT_E_ARGUMENT);
    assert_string_equal(err.message, "a batch of 8 in 9 slices: expected 1 to 8, a picture each");
    a.accumulate = -1;
    assert_int_equal(train_classifier(&a, &result), VARIANT_E_ARGUMENT);
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/variant_slices_XXXXXX");
    if (!mkdtemp(folder) || vt_kern_open(&kern, NULL, 2, NULL) != VARIANT_OK) return -1;
    if (mkdir(in_folder("data"), 0777) != 0) return -1;
    write_squares(folder, "train", PICTURES, 1);
    write_squares(folder, "t10k", TEST_PICTURES, 2);
    train(TOKENIZER, &(asked){.precision = VT_NUMBER_F32,
                              .output = in_folder("teacher"),
                              .rate = RATE,
                              .steps = STEPS});
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
        cmocka_unit_test(test_float32),   cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_goes_on), /* beside what the two left, as is the next */
        cmocka_unit_test(test_recompute), cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
