/* test_train.c - training: runs that go on bit for bit, logs, codebook revival, bad input.
 *
 * Run as "test_train --child KIND FOLDER" the program is a training run that kills itself in the
 * middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rng.h"
#include "io/file.h"
#include "io/picture.h"
#include "train/log.h"
#include "train/token_cache.h"
#include "train/trainer.h"
#include "tests/squares.h"

#define PICTURES 64
#define TEST_PICTURES 12
#define STOP_AT 7 /* no multiple of SAVE_EVERY: a stop saves by itself */
#define KILL_AT 9 /* nor this: steps since the last checkpoint are lost and run again */
#define SAVE_EVERY 5
#define STEPS 14

static char folder[64];
static variant_error err;
static vt_kern *kern;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

static const char *in_folder(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- tiny runs ---- */

/* A caller that stops or dies after a step. */
typedef struct interruption {
    int64_t stop_at, kill_at;
    volatile sig_atomic_t stop;
    int notes;
    char note[512];
} interruption;

static void on_progress(void *user, const vt_train_progress *progress) {
    interruption *at = user;
    if (strcmp(progress->doing, "training") != 0) return;
    if (progress->step == at->stop_at) at->stop = 1;
    if (progress->step == at->kill_at) raise(SIGKILL);
}

static void on_note(void *user, const char *line) {
    interruption *at = user;
    ++at->notes;
    snprintf(at->note, sizeof at->note, "%s", line);
}

/* The strings live as long as the run: buffers of their own. */
static void common_of(vt_train_common *common, const char *output, interruption *at) {
    static char data[256], place[4][256];
    static int next;
    char *out = place[next++ % 4];
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(out, sizeof place[0], "%s/%s", folder, output);
    common->data = vt_data_of(data);
    common->output = out;
    common->steps = STEPS;
    common->batch = 8;
    common->flip = true;
    common->save_every = SAVE_EVERY;
    common->log_every = 2;
    common->eval_every = 7;
    common->lr.warmup = 4;
    common->seed = 5;
    common->progress = on_progress;
    common->note = on_note;
    common->stop = &at->stop;
    common->user = at;
}

static vt_train_tokenizer_options tokenizer_run(const char *output, interruption *at) {
    vt_train_tokenizer_options options;
    vt_train_tokenizer_options_init(&options);
    common_of(&options.common, output, at);
    options.common.sample_every = 7;
    options.crop = 2;
    options.revive_after = 12;
    options.config.levels = 2;
    options.config.mult[0] = options.config.mult[1] = 1;
    options.config.codes = 24;
    options.config.latent_dim = 8;
    options.config.scales = 3;
    options.config.sides[0] = 1, options.config.sides[1] = 2, options.config.sides[2] = 4;
    return options;
}

static vt_train_transformer_options transformer_run(const char *output, bool supernet,
                                                    interruption *at) {
    static char tokenizer[256], model[256];
    vt_train_transformer_options options;
    if (supernet)
        vt_train_supernet_options_init(&options);
    else
        vt_train_transformer_options_init(&options);
    common_of(&options.common, output, at);
    snprintf(tokenizer, sizeof tokenizer, "%s/tok", folder);
    snprintf(model, sizeof model, "%s/var/transformer.safetensors", folder);
    options.tokenizer = tokenizer;
    options.config.depth = 4;
    options.config.width = 32;
    options.config.hidden = 64;
    options.common.sample_every = 7;
    options.common.lr.peak = 1e-2;
    if (!supernet) return options;
    options.model = model;
    options.distill = 0, options.distill_end = -1;
    options.phases.sandwich = false;
    options.phases.joint_end = 0.5;
    options.phases.transition_end = 1.5;
    options.phases.depth_count = 2;
    options.phases.depths[0] = 2;
    options.phases.depths[1] = 1;
    options.bridge = 1;
    return options;
}

enum { /* float32, then bf16 products, in one order */
       KIND_TOKENIZER,
       KIND_TRANSFORMER,
       KIND_SUPERNET,
       KIND_TOKENIZER_BF16,
       KIND_TRANSFORMER_BF16,
       KIND_SUPERNET_BF16,
       KINDS_APART = KIND_TOKENIZER_BF16
};

static variant_status run(int kind, const char *output, bool resume, interruption *at,
                          vt_train_result *result) {
    bool half = kind >= KINDS_APART;
    if (kind % KINDS_APART == KIND_TOKENIZER) {
        vt_train_tokenizer_options options = tokenizer_run(output, at);
        options.common.precision = half ? VT_NUMBER_BF16 : VT_NUMBER_F32;
        options.common.resume = resume;
        return vt_train_tokenizer(kern, &options, result, &err);
    }
    bool supernet = kind % KINDS_APART == KIND_SUPERNET;
    vt_train_transformer_options options = transformer_run(output, supernet, at);
    options.common.precision = half ? VT_NUMBER_BF16 : VT_NUMBER_F32;
    options.common.resume = resume;
    return vt_train_transformer(kern, &options, result, &err);
}

static int child(const char *kind, const char *place) {
    interruption at = {.kill_at = KILL_AT};
    vt_train_result result;
    snprintf(folder, sizeof folder, "%s", place);
    if (vt_kern_open(&kern, NULL, 2, &err) != VARIANT_OK) return 3;
    run(atoi(kind), "killed", false, &at, &result);
    fprintf(stderr, "the child outlived its run: %s\n", err.message);
    return 4;
}

/* ---- runs that go on ---- */

static void assert_same_file(const char *a, const char *b) {
    vt_mapping p, q;
    assert_ok(vt_mapping_open(&p, a, &err));
    assert_ok(vt_mapping_open(&q, b, &err));
    if (p.size != q.size || memcmp(p.data, q.data, p.size) != 0) fail_msg("%s and %s differ", a, b);
    vt_mapping_close(&p);
    vt_mapping_close(&q);
}

static const char *model_name(int kind) {
    return kind % KINDS_APART == KIND_TOKENIZER ? "tokenizer.safetensors"
                                                : "transformer.safetensors";
}

static const char *const straight[] = {"tok", "var", "net", "tok16", "var16", "net16"};

static void compare_runs(int kind, const char *other) {
    char a[128], b[128];
    snprintf(a, sizeof a, "%s/%s", straight[kind], model_name(kind));
    snprintf(b, sizeof b, "%s/%s", other, model_name(kind));
    assert_same_file(in_folder(a), in_folder(b));
    snprintf(a, sizeof a, "%s/checkpoint.safetensors", straight[kind]);
    snprintf(b, sizeof b, "%s/checkpoint.safetensors", other);
    assert_same_file(in_folder(a), in_folder(b));
}

static void remove_run(const char *name) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", in_folder(name));
    assert_int_equal(system(command), 0);
}

static char *last_steps(const char *name) {
    static char steps[512];
    char *text = NULL;
    size_t used = 0;
    assert_ok(vt_file_read_text(&text, in_folder(name), 1 << 20, &err));
    steps[0] = '\0';
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        used += snprintf(steps + used, sizeof steps - used, "%d ",
                         cJSON_GetObjectItem(json, "step")->valueint);
        cJSON_Delete(json);
    }
    free(text);
    return steps;
}

static void check_resume(int kind) {
    interruption at = {0};
    vt_train_result result;
    char log[64];
    assert_ok(run(kind, straight[kind], false, &at, &result));
    assert_false(result.stopped);
    assert_int_equal(result.step, STEPS);

    at = (interruption){.stop_at = STOP_AT};
    assert_ok(run(kind, "stopped", false, &at, &result));
    assert_true(result.stopped);
    assert_int_equal(result.step, STOP_AT);
    at = (interruption){0};
    assert_ok(run(kind, "stopped", true, &at, &result));
    assert_int_equal(result.step, STEPS);
    compare_runs(kind, "stopped");
    snprintf(log, sizeof log, "%s/log.jsonl", straight[kind]);
    char *want = strdup(last_steps(log));
    assert_string_equal(last_steps("stopped/log.jsonl"), want);
    free(want);
    remove_run("stopped");
}

static void check_kill(int kind) {
    char number[16], *text = NULL;
    snprintf(number, sizeof number, "%d", kind);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "test_train", "--child", number, folder, (char *)NULL);
        _exit(5);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(access(in_folder("killed/checkpoint.safetensors"), F_OK), 0);
    assert_int_equal(access(in_folder("killed/transformer.safetensors"), F_OK), -1);
    assert_ok(vt_file_read_text(&text, in_folder("killed/log.jsonl"), 1 << 20, &err));
    assert_non_null(strstr(text, "\"step\":8,")); /* past the checkpoint at 5: to be cut */
    free(text);

    interruption at = {0};
    vt_train_result result;
    assert_ok(run(kind, "killed", true, &at, &result));
    assert_non_null(strstr(at.note, "step 5 of"));
    compare_runs(kind, "killed");
    assert_ok(vt_file_read_text(&text, in_folder("killed/log.jsonl"), 1 << 20, &err));
    char *first = strstr(text, "\"step\":8,");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\"step\":8,"));
    free(text);
    remove_run("killed");
}

static void test_resume_tokenizer(void **state) {
    (void)state;
    check_resume(KIND_TOKENIZER);
    check_kill(KIND_TOKENIZER);
}

static void test_resume_transformer(void **state) {
    (void)state;
    check_resume(KIND_TRANSFORMER);
    check_kill(KIND_TRANSFORMER);
}

static void test_resume_supernet(void **state) {
    (void)state;
    check_resume(KIND_SUPERNET);
    check_kill(KIND_SUPERNET);
}

/* ---- logs ---- */

/* First and last training line of a log; checks that every line has the keys. */
static void read_log(const char *name, const char *const *keys, const char *const *eval_keys,
                     double *first, double *last) {
    char *text = NULL;
    int lines = 0, evaluations = 0;
    assert_ok(vt_file_read_text(&text, in_folder(name), 1 << 20, &err));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        bool evaluation = cJSON_HasObjectItem(json, "evaluation");
        for (const char *const *key = evaluation ? eval_keys : keys; *key; ++key)
            if (!cJSON_HasObjectItem(json, *key))
                fail_msg("%s: a line without %s: %s", name, *key, line);
        evaluations += evaluation;
        if (!evaluation) {
            *last = cJSON_GetObjectItem(json, "loss")->valuedouble;
            if (lines++ == 0) *first = *last;
        }
        cJSON_Delete(json);
    }
    free(text);
    assert_int_equal(lines, STEPS / 2);
    assert_int_equal(evaluations, 2);
}

/* Thirty-two pictures of 8 x 8, three times as large, eight in a row; not all of one grey. */
static void assert_sheet(const char *path) {
    vt_image sheet;
    assert_ok(vt_picture_read(&sheet, path, 1, VT_ALPHA_WHITE, NULL, &err));
    assert_true(sheet.width >= 8 * 24 && sheet.height >= 4 * 24 && sheet.height < sheet.width);
    bool flat = true;
    for (int i = 1; i < sheet.width * sheet.height; ++i)
        flat = flat && sheet.data[i] == sheet.data[0];
    assert_false(flat);
    vt_image_free(&sheet);
}

static void test_logs(void **state) {
    (void)state;
    static const char *const common_eval[] = {"step", "epoch", "pictures", NULL};
    static const char *const tokenizer[] = {"step",
                                            "epoch",
                                            "loss",
                                            "mse",
                                            "vq_loss",
                                            "psnr",
                                            "codes_used",
                                            "codes_used_by_scale",
                                            "revived",
                                            "codes_perplexity",
                                            "grad_norm",
                                            "lr",
                                            "pictures_per_second",
                                            NULL};
    static const char *const tokenizer_eval[] = {"step", "test_psnr", "test_mse", NULL};
    static const char *const transformer[] = {"step",
                                              "epoch",
                                              "loss",
                                              "accuracy",
                                              "loss_by_scale",
                                              "accuracy_by_scale",
                                              "grad_norm",
                                              "lr",
                                              "pictures_per_second",
                                              NULL};
    static const char *const supernet[] = {"loss", "loss_by_scale", "phase", "ratio",
                                           "path", "subnet_share",  NULL};
    static const char *const supernet_eval[] = {"test_loss", "test_loss_depth2", "test_loss_depth1",
                                                NULL};
    double first = 0, last = 0;
    read_log("tok/log.jsonl", tokenizer, tokenizer_eval, &first, &last);
    if (!(last < 0.7 * first)) fail_msg("tokenizer: loss %g after %g", last, first);
    read_log("var/log.jsonl", transformer, common_eval, &first, &last);
    if (!(last < 0.95 * first)) fail_msg("transformer: loss %g after %g", last, first);
    read_log("net/log.jsonl", supernet, supernet_eval, &first, &last);
    assert_int_equal(access(in_folder("tok/samples/00000007.png"), F_OK), 0);
    assert_sheet(in_folder("var/samples/00000014.png"));
    assert_sheet(in_folder("net/samples/00000007.png"));
}

/* A supernet's model says what it was trained for, and its folder is a whole model. */
static void test_supernet_model(void **state) {
    (void)state;
    vt_model_options options;
    vt_model *model = NULL;
    vt_model_options_init(&options);
    options.model = in_folder("net");
    assert_ok(vt_model_open(&model, kern, &options, &err));
    assert_true(model->supernet.trained);
    assert_int_equal(model->supernet.bridge, 1);
    assert_int_equal(model->supernet.depth_count, 2);
    assert_int_equal(model->supernet.depths[1], 1);
    assert_int_equal(model->class_count, 3);
    vt_model_close(&model);
}

static void test_log_cut(void **state) {
    (void)state;
    vt_log log;
    char *text = NULL;
    const char *path = in_folder("cut.jsonl"),
               *lines = "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"ste";
    assert_ok(vt_file_write(path, lines, strlen(lines), &err));
    assert_ok(vt_log_open(&log, path, 2, &err));
    cJSON *line = cJSON_CreateObject();
    vt_log_number(line, "x", 1.0 / 3.0);
    vt_log_number(line, "nan", NAN);
    assert_ok(vt_log_write(&log, line, &err));
    cJSON_Delete(line);
    vt_log_close(&log);
    assert_ok(vt_file_read_text(&text, path, 1000, &err));
    assert_string_equal(text, "{\"step\":1}\n{\"step\":2}\n{\"x\":0.333333,\"nan\":null}\n");
    free(text);
}

/* ---- codebook ---- */

static void test_codes_revived(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_result result;
    char *text = NULL;
    vt_train_tokenizer_options options = tokenizer_run("revive", &at);
    options.common.steps = 40;
    options.common.log_every = 20;
    options.common.eval_every = 0;
    options.common.sample_every = 0;
    options.common.eval_count = 4;
    options.revive_after = 10;
    assert_ok(vt_train_tokenizer(kern, &options, &result, &err));
    assert_ok(vt_file_read_text(&text, in_folder("revive/log.jsonl"), 1 << 20, &err));
    int revived = 0;
    double used = 0.0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        const cJSON *count = cJSON_GetObjectItem(json, "revived");
        if (count) {
            revived += count->valueint;
            used = cJSON_GetObjectItem(json, "codes_used")->valuedouble;
        }
        cJSON_Delete(json);
    }
    free(text);
    assert_true(revived > 0);
    if (used != 1.0) fail_msg("%g of the codes in use", used);
}

/* ---- tokens ---- */

static void test_token_cache(void **state) {
    (void)state;
    vt_model_options model_options;
    vt_model *model = NULL;
    vt_model_options_init(&model_options);
    model_options.need_transformer = false;
    model_options.model = in_folder("tok");
    assert_ok(vt_model_open(&model, kern, &model_options, &err));
    vt_dataset *dataset = NULL;
    vt_dataset_options data = {.data = vt_data_of(in_folder("data")), .side = 8, .channels = 1};
    assert_ok(vt_dataset_open(&dataset, &data, &err));
    vt_pictures pictures;
    vt_pictures_options picture_options = {
        .dataset = dataset, .limit = 10, .side = 8, .channels = 1, .team = kern->team};
    assert_ok(vt_pictures_open(&pictures, &picture_options, &err));
    vt_arena arena;
    void *memory = NULL;
    size_t bytes = (size_t)1 << 28;
    assert_ok(kern->memory_reserve(kern, bytes, &memory, &err));
    vt_arena_init(&arena, memory, bytes);

    vt_token_cache made, again, memory_only;
    vt_token_cache_options options = {.arena = &arena,
                                      .tokenizer = model->tokenizer,
                                      .pictures = &pictures,
                                      .flip = true,
                                      .path = in_folder("some.cache")};
    assert_ok(vt_token_cache_open(&made, &options, &err));
    struct stat before, after;
    assert_int_equal(stat(options.path, &before), 0);
    assert_ok(vt_token_cache_open(&again, &options, &err));
    assert_int_equal(stat(options.path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* taken as it is */
    vt_token_cache_options without = options;
    without.path = NULL;
    assert_ok(vt_token_cache_open(&memory_only, &without, &err));
    int differing = 0;
    for (int i = 0; i < 10; ++i)
        for (int view = 0; view < 2; ++view) {
            int32_t a[21], b[21], c[21];
            vt_token_cache_get(&made, i, view, a);
            vt_token_cache_get(&again, i, view, b);
            vt_token_cache_get(&memory_only, i, view, c);
            assert_memory_equal(a, b, sizeof a);
            assert_memory_equal(a, c, sizeof a);
            vt_token_cache_get(&made, i, !view, c);
            differing += memcmp(a, c, sizeof a) != 0;
        }
    assert_true(differing > 0); /* the views are two */
    vt_token_cache_close(&made);
    vt_token_cache_close(&again);

    vt_params *params = vt_tokenizer_params(model->tokenizer); /* another tokenizer: made anew */
    vt_param *codebook = vt_params_find(params, "quantize.embedding.weight");
    float *changed = malloc(codebook->count * sizeof *changed), *mapped = codebook->value;
    kern->download(kern, changed, codebook->value, codebook->count * sizeof *changed);
    changed[0] += 1.0f;
    codebook->value = changed;
    assert_ok(vt_token_cache_open(&again, &options, &err));
    assert_int_equal(stat(options.path, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    codebook->value = mapped;
    free(changed);
    vt_token_cache_close(&again);

    options.named = true; /* a cache that does not fit is made again, what is none stays */
    assert_ok(vt_token_cache_open(&again, &options, &err));
    vt_token_cache_close(&again);
    static int32_t maps[21];
    const variant_tokens exported = {
        .count = 1, .length = 21, .tokens = maps, .scales = 3, .sides = {1, 2, 4}};
    static const char *const names[] = {"maps.npz", "maps.safetensors"};
    for (int i = 0; i < 2; ++i) {
        options.path = in_folder(names[i]);
        assert_ok(variant_tokens_write(&exported, options.path, &err));
        assert_int_equal(stat(options.path, &before), 0);
        assert_int_equal(vt_token_cache_open(&again, &options, &err), VARIANT_E_ARGUMENT);
        assert_non_null(strstr(err.message, "is no token cache of a training"));
        assert_int_equal(stat(options.path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
    }
    vt_token_cache_close(&memory_only);
    kern->memory_release(kern, memory, bytes);
    vt_pictures_close(&pictures);
    vt_dataset_close(&dataset);
    vt_model_close(&model);
}

static void test_batches(void **state) {
    (void)state;
    vt_batches batches;
    int seen[10] = {0};
    assert_ok(vt_batches_open(&batches, 10, 3, true, 4, 9, &err));
    assert_int_equal(vt_batches_per_epoch(&batches), 3);
    int flips = 0;
    for (int step = 0; step < 3; ++step) {
        vt_batches_select(&batches, step);
        for (int i = 0; i < 3; ++i) {
            ++seen[batches.picks[i].position];
            flips += batches.picks[i].flip;
            assert_in_range(batches.picks[i].x, 0, 4);
        }
    }
    for (int i = 0; i < 10; ++i) assert_in_range(seen[i], 0, 1); /* none twice in an epoch */
    assert_in_range(flips, 1, 8);
    vt_pick then = batches.picks[1];
    vt_batches_select(&batches, 7);
    vt_batches_select(&batches, 2); /* a step's batch depends on its number alone */
    assert_memory_equal(&then, &batches.picks[1], sizeof then);
    vt_batches_close(&batches);
    assert_int_equal(vt_batches_open(&batches, 10, 11, false, 0, 1, &err), VARIANT_E_ARGUMENT);
}

static void test_learning_rate(void **state) {
    (void)state;
    vt_lr lr = {.peak = 1.0, .end = 0.1, .cosine = true, .warmup = 4};
    assert_float_equal(vt_lr_at(&lr, 0, 104), 0.25, 1e-12);
    assert_float_equal(vt_lr_at(&lr, 3, 104), 1.0, 1e-12);
    assert_float_equal(vt_lr_at(&lr, 4, 104), 1.0, 1e-12);
    assert_float_equal(vt_lr_at(&lr, 54, 104), 0.55, 1e-12);
    assert_float_equal(vt_lr_at(&lr, 104, 104), 0.1, 1e-12);
    lr.cosine = false;
    assert_float_equal(vt_lr_at(&lr, 100, 104), 1.0, 1e-12);
}

/* ---- bad input ---- */

static void assert_fails(variant_status got, variant_status want, const char *with) {
    assert_int_equal(got, want);
    if (!strstr(err.message, with)) fail_msg("\"%s\" does not say \"%s\"", err.message, with);
    assert_null(strchr(err.message, '\n'));
}

static void test_bad_input(void **state) {
    (void)state;
    interruption at = {0};
    vt_train_result result;
    assert_ok(variant_folder_make(in_folder("empty/a"), &err));

    vt_train_tokenizer_options options = tokenizer_run("bad", &at);
    options.common.data = vt_data_of(in_folder("empty"));
    assert_fails(vt_train_tokenizer(kern, &options, &result, &err), VARIANT_E_FORMAT,
                 "no pictures");

    options = tokenizer_run("tok", &at);
    assert_fails(vt_train_tokenizer(kern, &options, &result, &err), VARIANT_E_ARGUMENT,
                 "resume goes on");
    options.common.resume = true;
    options.common.batch = 16;
    assert_fails(vt_train_tokenizer(kern, &options, &result, &err), VARIANT_E_ARGUMENT,
                 "batch 8, now it is 16");
    options = tokenizer_run("bad", &at);
    options.common.batch = 65;
    assert_fails(vt_train_tokenizer(kern, &options, &result, &err), VARIANT_E_ARGUMENT,
                 "batch of 65");
    options = tokenizer_run("bad", &at);
    options.common.lr.peak = -1;
    assert_fails(vt_train_tokenizer(kern, &options, &result, &err), VARIANT_E_ARGUMENT,
                 "learning rate");

    vt_train_transformer_options net = transformer_run("bad", true, &at);
    net.phases.depths[0] = 9;
    assert_fails(vt_train_transformer(kern, &net, &result, &err), VARIANT_E_ARGUMENT, "9");
    net = transformer_run("bad", false, &at);
    net.tokenizer = in_folder("var/transformer.safetensors");
    assert_fails(vt_train_transformer(kern, &net, &result, &err), VARIANT_E_MODEL, "no tokenizer");
}

/* ---- bf16 products ---- */

static void numbers_of(const char *name, const char *key, double *numbers, int count) {
    char *text = NULL;
    int found = 0;
    assert_ok(vt_file_read_text(&text, in_folder(name), 1 << 20, &err));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *json = cJSON_Parse(line);
        const cJSON *number = cJSON_GetObjectItem(json, key);
        if (number && found < count) numbers[found++] = number->valuedouble;
        cJSON_Delete(json);
    }
    free(text);
    assert_int_equal(found, count);
}

static void test_bf16(void **state) {
    (void)state;
    enum { LINES = STEPS / 2 };
    double whole[LINES], half[LINES];
    interruption at = {0};
    vt_train_result result;
    for (int kind = KIND_TOKENIZER_BF16; kind <= KIND_SUPERNET_BF16; ++kind) {
        char log[2][64];
        check_resume(kind);
        check_kill(kind);
        snprintf(log[0], sizeof log[0], "%s/log.jsonl", straight[kind - KINDS_APART]);
        snprintf(log[1], sizeof log[1], "%s/log.jsonl", straight[kind]);
        for (int norm = 0; norm < 2; ++norm) {
            numbers_of(log[0], norm ? "grad_norm" : "loss", whole, LINES);
            numbers_of(log[1], norm ? "grad_norm" : "loss", half, LINES);
            bool same = true;
            /* A tokenizer's tokens are choices: a near one falls the other way, and what follows is
             * another run, no worse but not to be compared number by number. */
            bool choices = kind == KIND_TOKENIZER_BF16;
            for (int i = 0; i < (choices ? 1 : LINES); ++i) {
                double allowed = (norm ? 0.05 : 0.01) * (choices ? 5 : 1);
                if (!(fabs(half[i] / whole[i] - 1) < allowed))
                    fail_msg("%s, line %d: %g in bf16, %g in float32", log[1], i, half[i],
                             whole[i]);
                same &= half[i] == whole[i];
            }
            if (choices && !norm) assert_true(half[LINES - 1] < half[0]);
            assert_false(same); /* or it was float32 after all */
        }
    }
    /* a run does not become one of another precision */
    assert_int_equal(run(KIND_TRANSFORMER, "var16", true, &at, &result), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "precision bf16"));
    /* threads do not change a bit */
    vt_kern_close(&kern);
    assert_ok(vt_kern_open(&kern, NULL, 5, &err));
    assert_ok(run(KIND_SUPERNET_BF16, "five", false, &at, &result));
    compare_runs(KIND_SUPERNET_BF16, "five");
    remove_run("five");
}

static int setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/variant-train-XXXXXX");
    if (!mkdtemp(folder) || variant_folder_make(in_folder("data"), &err) != VARIANT_OK) return -1;
    write_squares(folder, "train", PICTURES, 1);
    write_squares(folder, "t10k", TEST_PICTURES, 2);
    return vt_kern_open(&kern, NULL, 2, &err) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    vt_kern_close(&kern);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--child") == 0) return child(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning_rate),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_log_cut),
        cmocka_unit_test(test_resume_tokenizer), /* leaves tok/, and the next two var/ and net/, for
                                                    what follows */
        cmocka_unit_test(test_resume_transformer),
        cmocka_unit_test(test_resume_supernet),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_supernet_model),
        cmocka_unit_test(test_codes_revived),
        cmocka_unit_test(test_token_cache),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
