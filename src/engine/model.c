/* model.c - finds a tokenizer and a transformer in files, checks that they fit, and loads them.
 * See model.h. */
#include "engine/model.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/rng.h"
#include "engine/model_config.h"
#include "io/file.h"

#define TOKENIZER_MARK "quantize.embedding.weight"
#define TRANSFORMER_MARK "blocks.0.attn.mat_qkv.weight"
#define MAX_FOLDER_FILES 64

enum part { TOKENIZER, TRANSFORMER, PARTS };
static const char *const part_names[PARTS] = {"tokenizer", "transformer"};
static const char *const part_marks[PARTS] = {TOKENIZER_MARK, TRANSFORMER_MARK};

int vt_supernet_bridge(const vt_supernet_info *supernet, int scales) {
    return supernet->trained ? supernet->bridge : (6 * scales + 5) / 10;
}

vt_selector vt_supernet_selector(const vt_supernet_info *supernet) {
    bool named = supernet->trained && supernet->selector != VT_EXPLICIT;
    return named ? supernet->selector : VT_EQUIDISTANT;
}

void vt_model_options_init(vt_model_options *options) {
    *options = (vt_model_options){.need_tokenizer = true, .need_transformer = true};
}

variant_status vt_sides_parse(const char *text, int *sides, int *count, variant_error *err) {
    *count = 0;
    for (const char *p = text; *p;) {
        char *end;
        long side = strtol(p, &end, 10);
        bool last = *end == '\0';
        if (end == p || side < 1 || side > 1024 || *count == VT_MAX_SCALES ||
            (!last && *end != ','))
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "--sides %s: expected up to %d sides such as 1,2,3,4", text,
                           VT_MAX_SCALES);
        sides[(*count)++] = (int)side;
        p = last ? end : end + 1;
    }
    if (*count == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "--sides is empty: expected sides such as 1,2,3,4");
    return VARIANT_OK;
}

/* ---- finding the parts ---- */

/* Which state dict of the file holds the part: the trainer's own name first, else the first that
 * has the mark. */
static const char *group_of(const vt_tensor_file *file, enum part part) {
    static const char *const preferred[PARTS] = {"trainer/vae_local", "trainer/var_wo_ddp"};
    if (vt_tensor_file_find(file, preferred[part], part_marks[part])) return preferred[part];
    const vt_tensor *found = vt_tensor_file_find(file, NULL, part_marks[part]);
    return found ? found->group : NULL;
}

static bool is_model_name(const char *name) {
    if (strcmp(name, "checkpoint.safetensors") == 0) return false;
    static const char *const endings[] = {".safetensors", ".pth", ".pt", ".bin"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0)
            return name[0] != '.';
    }
    return false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static variant_status list_folder(const char *path, char **names, int *count, variant_error *err) {
    DIR *folder = opendir(path);
    if (!folder) return vt_fail(err, VARIANT_E_IO, "%s: cannot be listed", path);
    *count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) && *count < MAX_FOLDER_FILES;) {
        if (!is_model_name(entry->d_name)) continue;
        if (asprintf(&names[*count], "%s/%s", path, entry->d_name) < 0) break;
        ++*count;
    }
    closedir(folder);
    qsort(names, (size_t)*count, sizeof *names, by_name);
    return VARIANT_OK;
}

/* Keeps the file for the parts it alone holds; two candidates for a part are an error that names
 * both. A tokenizer that
 * was named by its own option is not looked for. */
static variant_status take_parts(vt_model *model, vt_tensor_file *file, bool tokenizer_named,
                                 bool *taken, variant_error *err) {
    *taken = false;
    for (int part = tokenizer_named ? TRANSFORMER : TOKENIZER; part < PARTS; ++part) {
        if (!group_of(file, (enum part)part)) continue;
        if (model->files[part] && model->files[part] != file)
            return vt_fail(err, VARIANT_E_MODEL, "two files hold a %s: %s and %s; name one",
                           part_names[part], vt_tensor_file_path(model->files[part]),
                           vt_tensor_file_path(file));
        model->files[part] = file;
        *taken = true;
    }
    return VARIANT_OK;
}

static variant_status find_in_folder(vt_model *model, const char *path, bool tokenizer_named,
                                     variant_error *err) {
    char *names[MAX_FOLDER_FILES];
    int count = 0;
    VT_TRY(list_folder(path, names, &count, err));
    variant_status status = VARIANT_OK;
    for (int i = 0; status == VARIANT_OK && i < count; ++i) {
        vt_tensor_file *file = NULL;
        bool taken = false;
        status = vt_tensor_file_open(&file, names[i], err);
        if (status == VARIANT_OK) status = take_parts(model, file, tokenizer_named, &taken, err);
        if (!taken) vt_tensor_file_close(&file);
    }
    if (status == VARIANT_OK && count == 0)
        status = vt_fail(err, VARIANT_E_MODEL,
                         "%s: no .safetensors, .pth, .pt or .bin file in this folder", path);
    for (int i = 0; i < count; ++i) free(names[i]);
    return status;
}

static variant_status find_parts(vt_model *model, const vt_model_options *options,
                                 variant_error *err) {
    bool taken = false;
    if (!options->model)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no model given: expected a file or a folder (-m)");
    if (options->tokenizer) {
        vt_tensor_file *file = NULL;
        VT_TRY(vt_tensor_file_open(&file, options->tokenizer, err));
        if (!group_of(file, TOKENIZER)) {
            vt_fail(err, VARIANT_E_MODEL, "%s: holds no tokenizer (no tensor %s)",
                    options->tokenizer, TOKENIZER_MARK);
            vt_tensor_file_close(&file);
            return VARIANT_E_MODEL;
        }
        model->files[TOKENIZER] = file;
    }
    if (vt_is_folder(options->model))
        return find_in_folder(model, options->model, options->tokenizer, err);
    vt_tensor_file *file = NULL;
    VT_TRY(vt_tensor_file_open(&file, options->model, err));
    variant_status status = take_parts(model, file, options->tokenizer, &taken, err);
    if (status == VARIANT_OK && !taken)
        status = vt_fail(err, VARIANT_E_MODEL, "%s: no %stransformer (%s) in it", options->model,
                         options->tokenizer ? "" : "tokenizer (" TOKENIZER_MARK ") or ",
                         TRANSFORMER_MARK);
    if (!taken) vt_tensor_file_close(&file);
    return status;
}

static variant_status check_found(const vt_model *model, const vt_model_options *options,
                                  variant_error *err) {
    if (options->need_tokenizer && !model->files[TOKENIZER])
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: no tokenizer in it; give its file with --tokenizer", options->model);
    if (options->need_transformer && !model->files[TRANSFORMER])
        return vt_fail(err, VARIANT_E_MODEL, "%s: no transformer in it", options->model);
    return VARIANT_OK;
}

/* ---- loading ---- */

static void apply_sides(int *scales, int *sides, const int *from, int count) {
    *scales = count;
    memcpy(sides, from, (size_t)count * sizeof *sides);
}

static variant_status load_transformer(vt_model *model, const vt_model_options *options,
                                       const vt_file_config *own, variant_error *err) {
    vt_transformer_config config = {.heads = options->heads > 0 ? options->heads : own->heads};
    int sides[VT_MAX_SCALES], count = 0;
    if (options->sides) {
        VT_TRY(vt_sides_parse(options->sides, sides, &count, err));
        apply_sides(&config.scales, config.sides, sides, count);
    } else {
        apply_sides(&config.scales, config.sides, own->transformer_sides, own->transformer_scales);
    }
    const vt_tensor_file *file = model->files[TRANSFORMER];
    const char *group = group_of(file, TRANSFORMER);
    VT_TRY(vt_transformer_config_infer(&config, file, group, err));
    VT_TRY(vt_transformer_open(&model->transformer, model->kern, &config, err));
    vt_params *params = vt_transformer_params(model->transformer);
    vt_params_set_type(params, options->weights, options->copy);
    VT_TRY(vt_params_load(params, file, group, options->copy, err));
    return vt_transformer_prepare(model->transformer, err);
}

/* The scales of a tokenizer: the option, its own configuration, the transformer's, or the
 * published list that its
 * count of scales points to. */
static variant_status tokenizer_sides(const vt_model *model, const vt_model_options *options,
                                      const vt_file_config *own, vt_tokenizer_config *config,
                                      variant_error *err) {
    static const int published[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
    const vt_tensor_file *file = model->files[TOKENIZER];
    const vt_tensor *hits =
        vt_tensor_file_find(file, group_of(file, TOKENIZER), "quantize.ema_vocab_hit_SV");
    if (options->sides) return vt_sides_parse(options->sides, config->sides, &config->scales, err);
    if (own->tokenizer_scales > 0) {
        apply_sides(&config->scales, config->sides, own->tokenizer_sides, own->tokenizer_scales);
    } else if (model->transformer) {
        const vt_transformer_config *transformer = vt_transformer_configuration(model->transformer);
        apply_sides(&config->scales, config->sides, transformer->sides, transformer->scales);
    } else if (hits && hits->rank == 2 && hits->shape[0] == 10) {
        apply_sides(&config->scales, config->sides, published, 10);
    } else {
        return vt_fail(
            err, VARIANT_E_MODEL,
            "%s: nothing tells the sides of the tokenizer's scales; give --sides 1,2,...",
            vt_tensor_file_path(file));
    }
    return VARIANT_OK;
}

static variant_status load_tokenizer(vt_model *model, const vt_model_options *options,
                                     const vt_file_config *own, variant_error *err) {
    vt_tokenizer_config config = {0};
    const vt_tensor_file *file = model->files[TOKENIZER];
    const char *group = group_of(file, TOKENIZER);
    VT_TRY(tokenizer_sides(model, options, own, &config, err));
    VT_TRY(vt_tokenizer_config_infer(&config, file, group, err));
    VT_TRY(vt_tokenizer_open(&model->tokenizer, model->kern, &config, err));
    vt_params *params = vt_tokenizer_params(model->tokenizer);
    vt_params_set_type(params, options->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                       options->copy);
    if (options->skip_encoder) {
        vt_params_skip(params, "encoder.");
        vt_params_skip(params, "quant_conv.");
    }
    VT_TRY(vt_params_load(params, file, group, options->copy, err));
    return vt_params_prepare(params, err);
}

static variant_status check_fit(const vt_model *model, variant_error *err) {
    if (!model->tokenizer || !model->transformer) return VARIANT_OK;
    const vt_tokenizer_config *a = vt_tokenizer_configuration(model->tokenizer);
    const vt_transformer_config *b = vt_transformer_configuration(model->transformer);
    if (a->codes != b->codes || a->latent_dim != b->latent_dim)
        return vt_fail(err, VARIANT_E_MODEL,
                       "tokenizer (codebook %d x %d) and transformer (codebook %d x %d) do not fit",
                       a->codes, a->latent_dim, b->codes, b->latent_dim);
    bool same = a->scales == b->scales;
    for (int k = 0; same && k < a->scales; ++k) same = a->sides[k] == b->sides[k];
    if (same) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_MODEL,
        "tokenizer (%d scales, last side %d) and transformer (%d scales, last side %d) do not fit",
        a->scales, a->sides[a->scales - 1], b->scales, b->sides[b->scales - 1]);
}

/* Every tensor of the groups that were read must belong to one of the parts. */
static variant_status check_surplus(const vt_model *model, enum part part, variant_error *err) {
    const vt_tensor_file *file = model->files[part];
    const char *group = group_of(file, part);
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strcmp(tensor->group, group) != 0 || strncmp(tensor->name, "training/", 9) == 0)
            continue;
        bool known = false;
        if (model->tokenizer)
            known = vt_params_find(vt_tokenizer_params(model->tokenizer), tensor->name);
        if (!known && model->transformer)
            known = vt_params_find(vt_transformer_params(model->transformer), tensor->name);
        if (!known)
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s belongs to no part of this model",
                           vt_tensor_file_path(file), tensor->name);
    }
    return VARIANT_OK;
}

/* ---- identity ---- */

/* Of a large tensor only some stretches are hashed, so that opening a mapped 8 GB file does not
 * read it whole; training changes every tensor everywhere. */
#define WHOLE_BYTES ((size_t)1 << 20)
#define SAMPLES 16
#define SAMPLE_BYTES 256

static uint64_t hash_file(uint64_t hash, const vt_tensor_file *file) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        const unsigned char *bytes = tensor->data;
        hash = vt_fnv1a64_more(hash, tensor->name, strlen(tensor->name));
        hash = vt_fnv1a64_more(hash, tensor->shape, (size_t)tensor->rank * sizeof *tensor->shape);
        if (tensor->bytes <= WHOLE_BYTES) {
            hash = vt_fnv1a64_more(hash, bytes, tensor->bytes);
            continue;
        }
        size_t stride = (tensor->bytes - SAMPLE_BYTES) / (SAMPLES - 1);
        for (size_t j = 0; j < SAMPLES; ++j)
            hash = vt_fnv1a64_more(hash, bytes + j * stride, SAMPLE_BYTES);
        vt_tensor_file_release(file, tensor); /* a touch maps its neighbours too */
    }
    return hash;
}

static void set_hash(vt_model *model) {
    uint64_t hash = vt_fnv1a64("variant", 7);
    if (model->files[TOKENIZER]) hash = hash_file(hash, model->files[TOKENIZER]);
    if (model->files[TRANSFORMER] && model->files[TRANSFORMER] != model->files[TOKENIZER])
        hash = hash_file(hash, model->files[TRANSFORMER]);
    snprintf(model->hash, sizeof model->hash, "%016llx", (unsigned long long)hash);
}

static variant_status set_names(vt_model *model, vt_file_config *own, variant_error *err) {
    int classes =
        model->transformer ? vt_transformer_configuration(model->transformer)->classes : 0;
    if (own->class_count > 0 && (classes == 0 || own->class_count == classes)) {
        model->class_count = own->class_count;
        model->class_names = own->class_names;
        own->class_count = 0;
        own->class_names = NULL;
        return VARIANT_OK;
    }
    if (classes != 1000) return VARIANT_OK;
    model->class_names = calloc(1000, sizeof *model->class_names);
    for (int i = 0; model->class_names && i < 1000; ++i, ++model->class_count)
        if (!(model->class_names[i] = strdup(vt_imagenet_names[i]))) break;
    if (model->class_count == 1000) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for class names");
}

variant_status vt_model_open(vt_model **out, vt_kern *kern, const vt_model_options *options,
                             variant_error *err) {
    *out = NULL;
    vt_file_config own[PARTS] = {0};
    variant_status status = VARIANT_OK;
    vt_model *model = calloc(1, sizeof *model);
    if (!model) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a model");
    model->kern = kern;
    VT_CHECK(find_parts(model, options, err));
    VT_CHECK(check_found(model, options, err));
    for (int part = 0; part < PARTS; ++part)
        if (model->files[part]) VT_CHECK(vt_file_config_read(&own[part], model->files[part], err));
    if (model->files[TRANSFORMER])
        VT_CHECK(load_transformer(model, options, &own[TRANSFORMER], err));
    if (model->files[TOKENIZER]) VT_CHECK(load_tokenizer(model, options, &own[TOKENIZER], err));
    VT_CHECK(check_fit(model, err));
    for (int part = 0; part < PARTS; ++part)
        if (model->files[part]) VT_CHECK(check_surplus(model, (enum part)part, err));
    VT_CHECK(
        set_names(model, own[TRANSFORMER].class_count ? &own[TRANSFORMER] : &own[TOKENIZER], err));
    model->supernet = own[TRANSFORMER].supernet;
    enum part trained = model->files[TRANSFORMER] ? TRANSFORMER : TOKENIZER;
    const char *training = vt_tensor_file_meta(model->files[trained], VT_TRAINING_KEY);
    if (training && !(model->training = strdup(training)))
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for metadata"));
    set_hash(model);
cleanup:
    for (int part = 0; part < PARTS; ++part) vt_file_config_free(&own[part]);
    if (status != VARIANT_OK)
        vt_model_close(&model);
    else
        *out = model;
    return status;
}

void vt_model_close(vt_model **model) {
    vt_model *m = *model;
    if (!m) return;
    vt_tokenizer_close(&m->tokenizer);
    vt_transformer_close(&m->transformer);
    if (m->files[0] == m->files[1]) m->files[1] = NULL;
    vt_tensor_file_close(&m->files[0]);
    vt_tensor_file_close(&m->files[1]);
    for (int i = 0; i < m->class_count; ++i) free(m->class_names[i]);
    free(m->class_names);
    free(m->training);
    free(m);
    *model = NULL;
}
