/* selftest.c - walks reference files, tells what each holds, builds its synthetic model and has it
 * computed.
 *
 * The parts that compute are in tokenizer.c, transformer.c, generate.c and inception.c, the comparison in
 * compare.c. One file is under test at a time and
 * its model lives no longer than that, so that a folder with a large model needs the memory of one.
 */
#include "selftest/selftest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "kern/dry.h"
#include "selftest/parts.h"

#define FOLDER_DEPTH 8

/* ---- the synthetic model ---- */

variant_status vt_selftest_model_open(vt_selftest_model *out, vt_selftest *test, bool transformer,
                                      bool train, variant_error *err) {
    *out = (vt_selftest_model){0};
    variant_status status = VARIANT_OK;
    const char *text = vt_tensor_file_meta(test->file, "config");
    if (!text)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "has no \"config\" in its metadata to build the model from");
    VT_CHECK(vt_golden_config_parse(&out->config, text, "metadata \"config\"", err));
    out->length = vt_tokenizer_tokens(&out->config.tokenizer);

    VT_CHECK(vt_tokenizer_open(&out->tokenizer, test->kern, &out->config.tokenizer, err));
    vt_params *vae = vt_tokenizer_params(out->tokenizer);
    vt_number weights = test->options.weights;
    vt_params_set_type(vae, weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16, false);
    VT_CHECK(vt_params_synthesize(vae, out->config.seed, "vae", err));
    VT_CHECK(vt_params_prepare(vae, err));
    if (train && !transformer) VT_CHECK(vt_params_train(vae, err));
    if (transformer) {
        VT_CHECK(vt_transformer_open(&out->transformer, test->kern, &out->config.transformer, err));
        vt_params *var = vt_transformer_params(out->transformer);
        vt_params_set_type(var, weights, false);
        VT_CHECK(vt_params_synthesize(var, out->config.seed, "var", err));
        VT_CHECK(vt_transformer_prepare(out->transformer, err));
        if (train) VT_CHECK(vt_params_train(var, err));
    }

    if (test->kern->dry) {
        vt_arena_init_counting(&out->arena, test->kern);
    } else {
        VT_CHECK(test->kern->memory_reserve(test->kern, test->arena_bytes, &out->memory, err));
        out->memory_bytes = test->arena_bytes;
        vt_arena_init(&out->arena, out->memory, out->memory_bytes);
    }
cleanup:
    if (status != VARIANT_OK) vt_selftest_model_close(out, test);
    return status;
}

void vt_selftest_model_close(vt_selftest_model *model, vt_selftest *test) {
    vt_transformer_close(&model->transformer);
    vt_tokenizer_close(&model->tokenizer);
    if (model->memory) test->kern->memory_release(test->kern, model->memory, model->memory_bytes);
    vt_golden_config_free(&model->config);
    if (model->arena.peak > test->arena_bytes) test->arena_bytes = model->arena.peak;
    *model = (vt_selftest_model){0};
}

variant_status vt_selftest_upload_maps(vt_selftest *test, vt_selftest_model *model,
                                       const float *maps, int batch, int side, float **out,
                                       variant_error *err) {
    return vt_selftest_upload(test, model, maps, batch, side, model->config.tokenizer.channels, out,
                              err);
}

variant_status vt_selftest_upload(vt_selftest *test, vt_selftest_model *model, const float *maps,
                                  int batch, int side, int map_channels, float **out,
                                  variant_error *err) {
    size_t channels = (size_t)map_channels, pixels = (size_t)side * (size_t)side;
    size_t count = (size_t)batch * channels * pixels;
    float *nhwc = malloc(count * sizeof *nhwc);
    *out = vt_arena_floats(&model->arena, count);
    variant_status status = vt_arena_check(&model->arena, "the self-test's pictures", err);
    if (status == VARIANT_OK && !nhwc)
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the self-test's pictures");
    if (status == VARIANT_OK) {
        for (size_t b = 0; b < (size_t)batch; ++b) {
            for (size_t c = 0; c < channels; ++c) {
                for (size_t p = 0; p < pixels; ++p)
                    nhwc[(b * pixels + p) * channels + c] = maps[(b * channels + c) * pixels + p];
            }
        }
        test->kern->upload(test->kern, *out, nhwc, count * sizeof *nhwc);
    }
    free(nhwc);
    return status;
}

/* ---- one file ---- */

static void report(vt_selftest *test, const char *path, const char *tensor,
                   vt_selftest_verdict verdict, const char *note) {
    if (verdict == VT_SELFTEST_SKIP)
        ++test->counts.skipped;
    else
        ++test->counts.failed;
    vt_selftest_line line = {.file = path, .tensor = tensor, .verdict = verdict, .note = note};
    if (test->options.line) test->options.line(test->options.user, &line);
}

typedef variant_status (*computation)(vt_selftest *test, variant_error *err);

static bool has_prefix(const vt_selftest *test, const char *prefix) {
    for (int i = 0; i < vt_tensor_file_count(test->file); ++i) {
        if (strncmp(vt_tensor_file_at(test->file, i)->name, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static bool has_suffix(const vt_selftest *test, const char *suffix) {
    size_t length = strlen(suffix);
    for (int i = 0; i < vt_tensor_file_count(test->file); ++i) {
        const char *name = vt_tensor_file_at(test->file, i)->name;
        size_t n = strlen(name);
        if (n > length && strcmp(name + n - length, suffix) == 0) return true;
    }
    return false;
}

/* What the tensors' names tell; NULL: no kind known here. */
static computation tell_kind(const vt_selftest *test) {
    bool config = vt_tensor_file_meta(test->file, "config") != NULL;
    if (has_prefix(test, "probs/")) return vt_selftest_sampling;
    if (has_suffix(test, "/pool3"))
        return vt_selftest_is_rounded(test) ? NULL : vt_selftest_inception;
    if (!config) return NULL;
    if (vt_selftest_find(test, "grad_norm") || has_prefix(test, "final_norm/"))
        return vt_selftest_is_rounded(test) ? NULL : vt_selftest_adamw;
    if (vt_selftest_find(test, "latent") || has_prefix(test, "train/"))
        return vt_selftest_tokenizer;
    if (has_prefix(test, "encode/") || has_suffix(test, "/tokens")) return vt_selftest_generate;
    if (vt_selftest_find(test, "tokens")) return vt_selftest_transformer;
    return NULL;
}

/* Those with a model run twice: over a backend that computes nothing, to find out what its arena takes, and in earnest. */
static variant_status compute_measured(vt_selftest *test, computation compute, variant_error *err) {
    vt_kern *kern = test->kern;
    vt_dry_kern dry;
    if (compute == vt_selftest_sampling || compute == vt_selftest_inception)
        return compute(test, err);
    vt_dry_kern_init(&dry, kern);
    test->kern = &dry.kern;
    test->arena_bytes = 0;
    variant_status status = compute(test, err);
    test->kern = kern;
    return status == VARIANT_OK ? compute(test, err) : status;
}

static variant_status check_file(vt_selftest *test, const char *path, const char *prefix) {
    variant_error err = {0};
    vt_tensor_file *file = NULL;
    variant_status status = vt_tensor_file_open(&file, path, &err);
    if (status != VARIANT_OK) {
        report(test, path, "", VT_SELFTEST_FAIL, err.message);
        return VARIANT_OK;
    }
    int count = vt_tensor_file_count(file);
    test->file = file;
    snprintf(test->prefix, sizeof test->prefix, "%s", prefix);
    test->done = calloc((size_t)count + 1, 1);
    computation compute = test->done ? tell_kind(test) : NULL;
    if (!test->done) {
        status = VARIANT_E_MEMORY;
    } else if (!compute) {
        report(test, path, "", VT_SELFTEST_SKIP, "holds nothing that the self-test computes");
    } else {
        ++test->counts.files;
        if (compute_measured(test, compute, &err) != VARIANT_OK) {
            report(test, path, "", VT_SELFTEST_FAIL, err.message);
        } else {
            /* packed weights have no gradients */
            for (int i = 0; i < count && !vt_selftest_is_rounded(test); ++i) {
                if (!test->done[i])
                    report(test, path, vt_tensor_file_at(file, i)->name, VT_SELFTEST_FAIL,
                           "nothing computes a tensor of this name");
            }
        }
    }
    free(test->done);
    test->done = NULL;
    test->file = NULL;
    vt_tensor_file_close(&file);
    return status;
}

/* ---- folders ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* inside: the path below the folder that was asked for, "" or "A/". */
static variant_status check_folder(vt_selftest *test, const char *folder, const char *inside,
                                   int depth, int *found, variant_error *err) {
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, visible, alphasort);
    if (count < 0)
        return vt_fail(err, VARIANT_E_IO, "%s: cannot be read: %s", folder, strerror(errno));
    variant_status status = VARIANT_OK;
    for (int i = 0; i < count; ++i) {
        const char *name = entries[i]->d_name;
        char path[4096], prefix[512];
        int n = snprintf(path, sizeof path, "%s/%s", folder, name);
        int m = snprintf(prefix, sizeof prefix, "%s%s", inside, name);
        bool fits = n > 0 && (size_t)n < sizeof path && m > 0 && (size_t)m + 2 < sizeof prefix;
        if (status == VARIANT_OK && fits && vt_is_folder(path)) {
            snprintf(prefix + m, sizeof prefix - (size_t)m, "/");
            if (depth < FOLDER_DEPTH)
                status = check_folder(test, path, prefix, depth + 1, found, err);
        } else if (status == VARIANT_OK && fits && ends_with(name, ".safetensors")) {
            snprintf(prefix + m - strlen(".safetensors"), 2, "/");
            ++*found;
            status = check_file(test, path, prefix);
            if (status != VARIANT_OK) vt_fail(err, status, "%s: not enough memory", path);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- life ---- */

variant_status vt_selftest_open(vt_selftest **out, const vt_selftest_options *options,
                                variant_error *err) {
    vt_selftest *test = calloc(1, sizeof *test);
    if (!test) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the self-test");
    test->options = *options;
    variant_status status = vt_kern_open(&test->kern, options->backend, options->threads, err);
    if (status != VARIANT_OK) vt_selftest_close(&test);
    *out = test;
    return status;
}

void vt_selftest_close(vt_selftest **test) {
    if (!*test) return;
    for (int i = 0; i < (*test)->kept_count; ++i) {
        free((char *)(uintptr_t)(*test)->kept[i].name);
        free((void *)(uintptr_t)(*test)->kept[i].data);
    }
    free((*test)->kept);
    vt_kern_close(&(*test)->kern);
    free(*test);
    *test = NULL;
}

variant_status vt_selftest_run(vt_selftest *test, const char *path, variant_error *err) {
    if (!vt_is_folder(path)) {
        vt_mapping mapping;
        VT_TRY(vt_mapping_open(&mapping, path, err));
        vt_mapping_close(&mapping);
        return check_file(test, path, "");
    }
    int found = 0;
    VT_TRY(check_folder(test, path, "", 0, &found, err));
    if (found == 0) return vt_fail(err, VARIANT_E_IO, "%s: holds no .safetensors file", path);
    return VARIANT_OK;
}

vt_selftest_counts vt_selftest_result(const vt_selftest *test) {
    return test->counts;
}

variant_status vt_selftest_dump(const vt_selftest *test, const char *path, variant_error *err) {
    return vt_safetensors_write(path, test->kept, test->kept_count, NULL, NULL, 0, err);
}
