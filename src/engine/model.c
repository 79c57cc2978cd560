/* model.c - finds a tokenizer and a transformer in files, checks that they fit, and loads them.
 * See model.h. */
#include "engine/model.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "variant.h"
#include "core/rng.h"
#include "engine/model_config.h"
#include "engine/model_files.h"
#include "engine/model_packed.h"
#include "io/file.h"

int vt_supernet_bridge(const vt_supernet_info *supernet, int scales) {
    return supernet->trained ? supernet->bridge : (6 * scales + 5) / 10;
}

vt_selector vt_supernet_selector(const vt_supernet_info *supernet) {
    bool named = supernet->trained && supernet->selector != VT_EXPLICIT;
    return named ? supernet->selector : VT_EQUIDISTANT;
}

int vt_supernet_uncond_depth(const vt_supernet_info *supernet) {
    int least = 0;
    if (!supernet->trained || supernet->uncond_depth > 0) return supernet->uncond_depth;
    for (int i = 0; i < supernet->depth_count; ++i) {
        const int depth = supernet->depths[i];
        if (least < 2 || (depth > 1 && depth < least)) least = depth;
    }
    return least;
}

float vt_supernet_cfg_late(const vt_supernet_info *supernet, int depth) {
    const struct vt_late *late = supernet->late;
    const int count = supernet->trained ? supernet->late_count : 0;
    if (count == 0) return 1.0f;
    int i = 0;
    while (i < count && late[i].depth < depth) ++i;
    if (i == 0) return late[0].factor;
    if (i == count) return late[count - 1].factor;
    const float place =
        (float)(depth - late[i - 1].depth) / (float)(late[i].depth - late[i - 1].depth);
    return late[i - 1].factor + place * (late[i].factor - late[i - 1].factor);
}

static bool add_late(vt_supernet_info *supernet, int depth, double factor) {
    int at = 0;
    if (depth < 1 || depth > VT_SCHEDULE_LAYERS || !(factor > 0.0 && factor <= 100.0) ||
        supernet->late_count > VT_MAX_DEPTHS)
        return false;
    while (at < supernet->late_count && supernet->late[at].depth < depth) ++at;
    if (at < supernet->late_count && supernet->late[at].depth == depth) return false;
    memmove(supernet->late + at + 1, supernet->late + at,
            (size_t)(supernet->late_count - at) * sizeof *supernet->late);
    supernet->late[at] = (struct vt_late){depth, (float)factor};
    ++supernet->late_count;
    return true;
}

bool vt_supernet_read_late(vt_supernet_info *supernet, const char *text) {
    char *end;
    double factor = strtod(text, &end);
    supernet->late_count = 0;
    if (end != text && !*end) return add_late(supernet, 1, factor);
    for (;;) {
        const long depth = strtol(text, &end, 10);
        if (end == text || *end != ':' || depth < 1 || depth > VT_SCHEDULE_LAYERS) return false;
        text = end + 1;
        factor = strtod(text, &end);
        if (end == text || !add_late(supernet, (int)depth, factor)) return false;
        if (!*end) return true;
        if (*end != ',') return false;
        text = end + 1;
    }
}

void vt_model_options_init(vt_model_options *options) {
    *options = (vt_model_options){.need_tokenizer = true, .need_transformer = true, .verify = true};
}

variant_status vt_sides_parse(const char *text, int *sides, int *count, variant_error *err) {
    *count = variant_list_ints(text, 1, 1024, VT_MAX_SCALES, sides);
    if (*count > 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "sides \"%.64s\": expected up to %d sides such as 1,2,3,4", text, VT_MAX_SCALES);
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
    if (options->heads > 0 && own->heads > 0 && options->heads != own->heads)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: heads %d do not fit: the model has %d",
                       vt_tensor_file_path(model->files[VT_TRANSFORMER_PART]), options->heads,
                       own->heads);
    if (options->sides) {
        VT_TRY(vt_sides_parse(options->sides, sides, &count, err));
        apply_sides(&config.scales, config.sides, sides, count);
    } else {
        apply_sides(&config.scales, config.sides, own->transformer_sides, own->transformer_scales);
    }
    const vt_tensor_file *file = model->files[VT_TRANSFORMER_PART];
    const char *group = model->groups[VT_TRANSFORMER_PART];
    VT_TRY(vt_transformer_config_infer(&config, file, group, err));
    VT_TRY(vt_transformer_open(&model->transformer, model->kern, &config, err));
    vt_params *params = vt_transformer_params(model->transformer);
    vt_params_set_type(params, options->weights, options->copy);
    params->any_numbers = options->any_numbers;
    VT_TRY(vt_params_load(params, file, group, options->copy, err));
    int records;
    const int integers = vt_params_integers(params, file, group, &records);
    const vt_number has = records > 0 ? VT_NUMBER_INT4 : VT_NUMBER_INT8;
    if (integers > 0 && options->weights != has && !options->any_integers)
        vt_model_warn(options,
                      "%s: %d weights are %s in this file: what runs as %s are those, multiplied "
                      "out (weights %s runs them as they are)",
                      vt_tensor_file_path(file), integers, vt_number_name(has),
                      vt_number_name(options->weights), vt_number_name(has));
    return vt_transformer_prepare(model->transformer, err);
}

/* The scales of a tokenizer: the option, its own configuration, the transformer's, or the
 * published list that its
 * count of scales points to. */
static variant_status tokenizer_sides(const vt_model *model, const vt_model_options *options,
                                      const vt_file_config *own, vt_tokenizer_config *config,
                                      variant_error *err) {
    static const int published[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    const vt_tensor *hits =
        vt_tensor_file_find(file, model->groups[VT_TOKENIZER_PART], "quantize.ema_vocab_hit_SV");
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
            "%s: nothing tells the sides of the tokenizer's scales; give sides such as 1,2,3,4",
            vt_tensor_file_path(file));
    }
    return VARIANT_OK;
}

static variant_status load_tokenizer(vt_model *model, const vt_model_options *options,
                                     const vt_file_config *own, variant_error *err) {
    vt_tokenizer_config config = {0};
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    const char *group = model->groups[VT_TOKENIZER_PART];
    VT_TRY(tokenizer_sides(model, options, own, &config, err));
    VT_TRY(vt_tokenizer_config_infer(&config, file, group, err));
    VT_TRY(vt_tokenizer_open(&model->tokenizer, model->kern, &config, err));
    vt_params *params = vt_tokenizer_params(model->tokenizer);
    vt_params_set_type(params, options->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                       options->copy);
    params->any_numbers = options->any_numbers;
    if (options->skip_encoder) {
        vt_params_skip(params, "encoder.");
        vt_params_skip(params, "quant_conv.");
    }
    VT_TRY(vt_params_load(params, file, group, options->copy, err));
    return vt_params_prepare(params, err);
}

static bool is_of_preview(const vt_tensor *tensor) {
    return strncmp(tensor->name, VT_PREVIEW_PREFIX, strlen(VT_PREVIEW_PREFIX)) == 0;
}

/* Fewer widths or blocks than it was trained with leave tensors over. */
static variant_status check_preview(const vt_model *model, const vt_preview_config *config,
                                    variant_error *err) {
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (!is_of_preview(tensor) || strcmp(tensor->group, model->groups[VT_TOKENIZER_PART]) != 0)
            continue;
        if (!vt_params_find(vt_preview_params(model->preview), tensor->name))
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: tensor %s belongs to no preview decoder of %d levels with %d "
                           "block%s each, as which it was read",
                           vt_tensor_file_path(file), tensor->name, config->levels, config->blocks,
                           config->blocks == 1 ? "" : "s");
    }
    return VARIANT_OK;
}

/* Tensors of the preview decoder lie beside the tokenizer's; without its mark there is none. */
static variant_status load_preview(vt_model *model, const vt_model_options *options,
                                   vt_file_config *own, variant_error *err) {
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    const char *group = model->groups[VT_TOKENIZER_PART];
    const vt_tokenizer_config *of = vt_tokenizer_configuration(model->tokenizer);
    if (!vt_tensor_file_find(file, group, VT_PREVIEW_MARK)) return VARIANT_OK;
    if (own->preview.levels == 0) vt_preview_config_infer(&own->preview, file, group);
    if (vt_preview_config_check(&own->preview, of, VARIANT_E_MODEL, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_MODEL, "%s", vt_tensor_file_path(file));
    VT_TRY(vt_preview_open(&model->preview, model->kern, of, &own->preview, err));
    VT_TRY(check_preview(model, &own->preview, err));
    vt_params *params = vt_preview_params(model->preview);
    vt_params_set_type(params, options->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                       options->copy);
    params->any_numbers = options->any_numbers;
    model->preview_training = own->preview_training;
    own->preview_training = NULL;
    VT_TRY(vt_params_load(params, file, group, options->copy, err));
    return vt_params_prepare(params, err);
}

/* The metadata names depths and scales that the transformer has. */
static variant_status check_supernet(const vt_model *model, const vt_supernet_info *supernet,
                                     const vt_model_options *options, variant_error *err) {
    const vt_tensor_file *file = model->files[VT_TRANSFORMER_PART];
    const char *what = NULL;
    int named = 0;
    if (!model->transformer || !supernet->trained) return VARIANT_OK;
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    for (int i = 0; i < supernet->depth_count && !what; ++i)
        if (supernet->depths[i] > config->depth) named = supernet->depths[i], what = "depths";
    if (!what && supernet->uncond_depth > config->depth)
        named = supernet->uncond_depth, what = "guidance.uncond_depth";
    if (!what && supernet->late_count > 0 &&
        supernet->late[supernet->late_count - 1].depth > config->depth)
        named = supernet->late[supernet->late_count - 1].depth, what = "guidance.late";
    if (what)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: metadata " VT_CONFIG_KEY ": supernet.%s names %d layers, this "
                       "transformer has %d",
                       vt_tensor_file_path(file), what, named, config->depth);
    if (!options->sides && (supernet->bridge < 0 || supernet->bridge > config->scales))
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: metadata " VT_CONFIG_KEY ": supernet.bridge is %d, expected 0 to the "
                       "%d scales of this transformer",
                       vt_tensor_file_path(file), supernet->bridge, config->scales);
    return VARIANT_OK;
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

/* What trainers keep beside the weights in one state dict: losses with networks of their own, averages whose
 * names lost their dots, and single numbers such as a step. */
static bool is_of_training(const vt_tensor *tensor) {
    static const char *const words[] = {
        "loss",           "losses", "criterion",       "disc",      "discriminator",
        "discriminators", "lpips",  "perceptual_loss", "model_ema", "logvar"};
    size_t first = strcspn(tensor->name, ".");
    if (tensor->rank == 0 && tensor->name[first] == '\0') return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        if (strlen(words[i]) == first && strncmp(tensor->name, words[i], first) == 0) return true;
    return false;
}

/* Every weight of the groups that were read must belong to one of the parts; others are passed over, said. */
static variant_status check_surplus(const vt_model *model, const vt_model_options *options,
                                    int part, variant_error *err) {
    const vt_tensor_file *file = model->files[part];
    const char *group = model->groups[part];
    const vt_tensor *first = NULL;
    int passed = 0;
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strcmp(tensor->group, group) != 0 || strncmp(tensor->name, "training/", 9) == 0)
            continue;
        bool known = false;
        if (model->tokenizer)
            known = vt_params_find(vt_tokenizer_params(model->tokenizer), tensor->name);
        if (!known && model->transformer)
            known = vt_params_find(vt_transformer_params(model->transformer), tensor->name) ||
                    vt_params_is_scale(vt_transformer_params(model->transformer), file, tensor);
        if (known) continue;
        if (vt_tensor_is_float(tensor) && !is_of_training(tensor))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s belongs to no part of this model",
                           vt_tensor_file_path(file), tensor->name);
        if (passed++ == 0) first = tensor;
    }
    if (passed > 0)
        vt_model_warn(
            options, "%s: passed over %d tensor%s that %s no weight of this model: %s (%s)%s",
            vt_tensor_file_path(file), passed, passed == 1 ? "" : "s", passed == 1 ? "is" : "are",
            first->name, vt_tensor_type_name(first), passed == 1 ? "" : ", ...");
    return VARIANT_OK;
}

/* ---- identity ---- */

/* Of a large tensor only some stretches are hashed, so that opening a mapped 8 GB file does not
 * read it whole; training changes every tensor everywhere. */
#define WHOLE_BYTES ((size_t)1 << 20)
#define SAMPLES 16
#define SAMPLE_BYTES 256

/* Of the preview decoder's tensors alone, or of all others. */
static uint64_t hash_file(uint64_t hash, const vt_tensor_file *file, bool preview) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (is_of_preview(tensor) != preview) continue;
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

/* A preview decoder that comes later leaves a model what it was: pictures made before are still its. */
static void compute_hash(vt_model *model) {
    const uint64_t none = vt_fnv1a64("variant", 7);
    uint64_t hash = none;
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        if (model->chosen[part])
            hash = vt_fnv1a64_more(hash, model->groups[part], strlen(model->groups[part]));
    if (model->files[VT_TOKENIZER_PART])
        hash = hash_file(hash, model->files[VT_TOKENIZER_PART], false);
    if (model->files[VT_TRANSFORMER_PART] &&
        model->files[VT_TRANSFORMER_PART] != model->files[VT_TOKENIZER_PART])
        hash = hash_file(hash, model->files[VT_TRANSFORMER_PART], false);
    snprintf(model->hash, sizeof model->hash, "%016llx", (unsigned long long)hash);
    if (!model->preview) return;
    hash = hash_file(none, model->files[VT_TOKENIZER_PART], true);
    snprintf(model->preview_hash, sizeof model->preview_hash, "%016llx", (unsigned long long)hash);
}

/* A packed file is the model that was packed. */
static variant_status set_hash(vt_model *model, variant_error *err) {
    vt_packed_info info;
    const vt_tensor_file *file = model->files[VT_TOKENIZER_PART];
    const bool whole = file && file == model->files[VT_TRANSFORMER_PART];
    VT_TRY(vt_packed_info_of(&info, whole ? file : NULL, err));
    if (!info.is) {
        compute_hash(model);
        return VARIANT_OK;
    }
    memcpy(model->hash, info.hash, sizeof info.hash);
    if (model->preview) memcpy(model->preview_hash, info.preview_hash, sizeof info.preview_hash);
    return VARIANT_OK;
}

static void free_class_names(vt_model *model) {
    for (int i = 0; i < model->class_count; ++i) free(model->class_names[i]);
    free(model->class_names);
    model->class_names = NULL;
    model->class_count = 0;
}

variant_status vt_model_set_class_names(vt_model *model, const char *const *names, int count,
                                        variant_error *err) {
    free_class_names(model);
    model->class_names = calloc((size_t)count, sizeof *model->class_names);
    for (int i = 0; model->class_names && i < count; ++i, ++model->class_count)
        if (!(model->class_names[i] = strdup(names[i]))) break;
    if (model->class_count == count) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d class names", count);
}

static variant_status set_names(vt_model *model, const vt_model_options *options, int part,
                                vt_file_config *own, variant_error *err) {
    int classes =
        model->transformer ? vt_transformer_configuration(model->transformer)->classes : 0;
    if (own->class_count > 0 && (classes == 0 || own->class_count == classes)) {
        model->class_count = own->class_count;
        model->class_names = own->class_names;
        own->class_count = 0;
        own->class_names = NULL;
        return VARIANT_OK;
    }
    if (own->class_count > 0)
        vt_model_warn(options,
                      "%s: names %d classes, but the model has %d: its names are not taken%s",
                      vt_tensor_file_path(model->files[part]), own->class_count, classes,
                      classes == 1000 ? ", ImageNet's are" : "");
    if (classes != 1000) return VARIANT_OK;
    return vt_model_set_class_names(model, vt_imagenet_names, 1000, err);
}

variant_status vt_model_new(vt_model **out, vt_kern *kern, variant_error *err) {
    *out = calloc(1, sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a model");
    (*out)->kern = kern;
    return VARIANT_OK;
}

/* Types that the files leave to choose; a note where their weights cannot be used as they lie. */
static variant_status settle_weights(vt_model *model, vt_model_options *options,
                                     variant_error *err) {
    const vt_tensor_file *packed;
    VT_TRY(vt_packed_weights(model, options, &options->weights, &packed, err));
    model->weights = options->weights;
    if (packed && !model->kern->panels && !model->kern->dry)
        vt_model_warn(
            options,
            "%s: its weights are packed for the cpu backend; this one takes them apart, to "
            "the same numbers",
            vt_tensor_file_path(packed));
    return VARIANT_OK;
}

variant_status vt_model_open(vt_model **out, vt_kern *kern, const vt_model_options *asked,
                             variant_error *err) {
    *out = NULL;
    vt_model_options settled = *asked;
    const vt_model_options *options = &settled;
    vt_file_config own[VT_MODEL_PARTS] = {0};
    variant_status status = VARIANT_OK;
    vt_model *model;
    VT_TRY(vt_model_new(&model, kern, err));
    VT_CHECK(vt_model_find(model, options, err));
    VT_CHECK(settle_weights(model, &settled, err));
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        if (model->files[part]) VT_CHECK(vt_file_config_read(&own[part], model->files[part], err));
    if (model->files[VT_TRANSFORMER_PART])
        VT_CHECK(load_transformer(model, options, &own[VT_TRANSFORMER_PART], err));
    if (model->files[VT_TOKENIZER_PART])
        VT_CHECK(load_tokenizer(model, options, &own[VT_TOKENIZER_PART], err));
    if (model->tokenizer) VT_CHECK(load_preview(model, options, &own[VT_TOKENIZER_PART], err));
    VT_CHECK(check_fit(model, err));
    for (int part = 0; part < VT_MODEL_PARTS; ++part) {
        bool seen = part > 0 && model->files[part] == model->files[0] &&
                    strcmp(model->groups[part], model->groups[0]) == 0;
        if (model->files[part] && !seen) VT_CHECK(check_surplus(model, options, part, err));
    }
    const int named =
        own[VT_TRANSFORMER_PART].class_count > 0 ? VT_TRANSFORMER_PART : VT_TOKENIZER_PART;
    VT_CHECK(set_names(model, options, named, &own[named], err));
    model->supernet = own[VT_TRANSFORMER_PART].supernet;
    VT_CHECK(check_supernet(model, &model->supernet, options, err));
    int trained = model->files[VT_TRANSFORMER_PART] ? VT_TRANSFORMER_PART : VT_TOKENIZER_PART;
    const char *training = vt_tensor_file_meta(model->files[trained], VT_TRAINING_KEY);
    if (training && !(model->training = strdup(training)))
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for metadata"));
    VT_CHECK(set_hash(model, err));
cleanup:
    for (int part = 0; part < VT_MODEL_PARTS; ++part) vt_file_config_free(&own[part]);
    status = vt_model_settle(model, status, err);
    if (status != VARIANT_OK)
        vt_model_close(&model);
    else
        *out = model;
    return status;
}

variant_status vt_model_settle(const vt_model *model, variant_status status, variant_error *err) {
    if (!model) return status;
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        status = vt_tensor_file_settle(model->files[part], status, err);
    return status;
}

variant_status vt_model_intact(const vt_model *model, variant_error *err) {
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        VT_TRY(vt_tensor_file_intact(model->files[part], err));
    return VARIANT_OK;
}

static bool is_intact(void *user, const char *doing, int done, int total) {
    variant_error unused;
    (void)doing, (void)done, (void)total;
    return vt_model_settle(user, VARIANT_OK, &unused) == VARIANT_OK;
}

variant_status vt_model_settle_written(const vt_model *model, variant_status status,
                                       variant_error *err) {
    variant_error cut;
    if (status == VARIANT_OK) return vt_model_settle(model, status, err);
    if (vt_model_intact(model, &cut) == VARIANT_OK) return status;
    return vt_fail(err, VARIANT_E_IO, "%s", cut.message);
}

vt_work_watch vt_model_watch(vt_model *model) {
    return (vt_work_watch){is_intact, model};
}

void vt_model_close(vt_model **model) {
    vt_model *m = *model;
    if (!m) return;
    vt_preview_close(&m->preview);
    vt_tokenizer_close(&m->tokenizer);
    vt_transformer_close(&m->transformer);
    if (m->files[0] == m->files[1]) m->files[1] = NULL;
    vt_tensor_file_close(&m->files[0]);
    vt_tensor_file_close(&m->files[1]);
    free_class_names(m);
    free(m->training);
    free(m->preview_training);
    free(m);
    *model = NULL;
}
