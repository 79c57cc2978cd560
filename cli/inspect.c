/* inspect.c - `variant inspect`: what a model file holds and what generating with it takes. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/branches.h"
#include "engine/calibrate.h"
#include "engine/model_packed.h"
#include "features/features.h"
#include "io/file.h"
#include "tools.h"

typedef struct settings {
    variant_engine_options engine;
    int bridge; /* -1: not given */
    bool tensors, json;
} settings;

/* ---- facts as JSON, from which the text is printed too ---- */

static size_t count_parameters(const vt_params *params) {
    size_t count = 0;
    for (int i = 0; i < params->count; ++i) {
        if (!(params->items[i]->flags & VT_PARAM_BUFFER)) count += params->items[i]->count;
    }
    return count;
}

static void add_number(cJSON *to, const char *key, double value) {
    cJSON_AddNumberToObject(to, key, value);
}

static void add_scales(cJSON *to, const int *sides, int scales) {
    int tokens = 0;
    for (int k = 0; k < scales; ++k) tokens += sides[k] * sides[k];
    cJSON_AddItemToObject(to, "sides", cJSON_CreateIntArray(sides, scales));
    add_number(to, "scales", scales);
    add_number(to, "tokens", tokens);
}

/* The state dicts that hold a tokenizer or a transformer, and which are taken. */
static void add_parts(cJSON *to, const vt_model *model, const vt_tensor_file *file) {
    static const char *const names[] = {"tokenizer", "transformer"};
    cJSON *list = cJSON_AddArrayToObject(to, "parts");
    for (int part = 0; part < 2; ++part) {
        const char *groups[64];
        int count = vt_model_groups(file, part, groups, 64);
        for (int i = 0; i < count; ++i) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "part", names[part]);
            cJSON_AddStringToObject(item, "in", groups[i]);
            cJSON_AddBoolToObject(item, "taken",
                                  model->files[part] == file &&
                                      strcmp(model->groups[part], groups[i]) == 0);
            cJSON_AddItemToArray(list, item);
        }
    }
}

/* Tensors of the model that hold NaN or infinities: buffers, which nobody reads, may. */
static void add_not_finite(cJSON *list, const vt_model *model) {
    const vt_params *params[] = {model->tokenizer ? vt_tokenizer_params(model->tokenizer) : NULL,
                                 model->transformer ? vt_transformer_params(model->transformer)
                                                    : NULL,
                                 model->preview ? vt_preview_params(model->preview) : NULL};
    static const int files[] = {0, 1, 0};
    for (int part = 0; part < 3; ++part) {
        for (int i = 0; params[part] && i < params[part]->count; ++i) {
            const vt_param *param = params[part]->items[i];
            const vt_tensor *tensor = vt_tensor_file_find(model->files[files[part]],
                                                          model->groups[files[part]], param->name);
            size_t found =
                tensor && !(param->flags & VT_PARAM_BUFFER) ? vt_tensor_not_finite(tensor) : 0;
            if (!found) continue;
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "tensor", param->name);
            add_number(item, "not_finite", (double)found);
            add_number(item, "of", (double)tensor->count);
            cJSON_AddItemToArray(list, item);
        }
    }
}

static cJSON *describe_file(const vt_tensor_file *file) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "path", vt_tensor_file_path(file));
    cJSON_AddStringToObject(item, "format", vt_tensor_file_format(file));
    add_number(item, "tensors", vt_tensor_file_count(file));
    add_number(item, "bytes", (double)vt_tensor_file_bytes(file));
    return item;
}

static void add_packed(cJSON *to, const vt_tensor_file *file) {
    vt_packed_info info;
    if (vt_packed_info_of(&info, file, NULL) != VARIANT_OK || !info.is) return;
    cJSON *packed = cJSON_AddObjectToObject(to, "packed");
    cJSON_AddStringToObject(packed, "layout", VT_PANELS_LAYOUT);
    add_number(packed, "version", VT_PANELS_VERSION);
    cJSON_AddStringToObject(packed, "weights", vt_number_name(info.weights));
}

static cJSON *describe_files(const vt_model *model) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < 2; ++i) {
        const vt_tensor_file *file = model->files[i];
        if (!file || (i == 1 && file == model->files[0])) continue;
        cJSON *item = describe_file(file);
        add_parts(item, model, file);
        add_packed(item, file);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static cJSON *describe_tokenizer(vt_tokenizer *tokenizer) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(tokenizer);
    const vt_params *params = vt_tokenizer_params(tokenizer);
    cJSON *item = cJSON_CreateObject();
    add_number(item, "parameters", (double)count_parameters(params));
    add_number(item, "mapped_bytes", (double)params->mapped_bytes);
    add_number(item, "picture_side", vt_tokenizer_side(config));
    add_number(item, "channels", config->channels);
    add_number(item, "base_width", config->base_width);
    cJSON_AddItemToObject(item, "mult", cJSON_CreateIntArray(config->mult, config->levels));
    add_number(item, "blocks", config->blocks);
    add_number(item, "codes", config->codes);
    add_number(item, "latent_dim", config->latent_dim);
    add_scales(item, config->sides, config->scales);
    return item;
}

static cJSON *describe_preview(const vt_model *model) {
    const vt_preview_config *config = vt_preview_configuration(model->preview);
    const vt_params *params = vt_preview_params(model->preview);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "hash", model->preview_hash);
    add_number(item, "parameters", (double)count_parameters(params));
    add_number(item, "mapped_bytes", (double)params->mapped_bytes);
    cJSON_AddItemToObject(item, "widths", cJSON_CreateIntArray(config->widths, config->levels));
    add_number(item, "blocks", config->blocks);
    cJSON *training = model->preview_training ? cJSON_Parse(model->preview_training) : NULL;
    if (training) cJSON_AddItemToObject(item, "training", training);
    return item;
}

/* Bytes of float32 keys and values of `tokens` tokens of a layer. */
static double kv_bytes(const vt_transformer_config *config, int64_t tokens) {
    return (double)tokens * 2 * config->width * (double)sizeof(float);
}

/* The most that both branches of a guided picture hold. */
static double kv_peak(const vt_transformer_config *config, const vt_branches *b, bool released) {
    int64_t most = 0;
    for (int k = 0; k < config->scales; ++k) {
        const int64_t tokens = vt_schedule_branches_kv_tokens(
            &b->cond, &b->uncond, b->guided_scales, config->sides, k, released);
        most = tokens > most ? tokens : most;
    }
    return kv_bytes(config, most);
}

/* What a request of this depth holds, guided as one that says nothing of it; saved: beside full depth in both branches. */
static cJSON *describe_depth(const vt_model *model, int bridge, int depth) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const int D = config->depth, K = config->scales;
    vt_branches branches;
    variant_request request;
    variant_request_init(&request);
    request.depth = depth;
    request.bridge = bridge;
    if (vt_branches_make(&branches, model, &request, NULL) != VARIANT_OK) return NULL;
    char layers[4096];
    vt_schedule_describe(&branches.cond, layers, sizeof layers);
    cJSON *item = cJSON_CreateObject();
    double full = 2 * kv_bytes(config, (int64_t)D * vt_transformer_tokens(config));
    double retained = kv_peak(config, &branches, false);
    double released = kv_peak(config, &branches, true);
    add_number(item, "depth", depth);
    add_number(item, "bridge", depth == D ? K : bridge);
    cJSON_AddStringToObject(item, "layers_by_scale", layers);
    add_number(item, "kv_peak_bytes", released);
    add_number(item, "kv_end_bytes",
               kv_bytes(config, vt_schedule_branches_kv_tokens(&branches.cond, &branches.uncond,
                                                               branches.guided_scales,
                                                               config->sides, K - 1, true)));
    add_number(item, "kv_retained_bytes", retained);
    add_number(item, "saved", 1 - released / full);
    add_number(item, "saved_retained", 1 - retained / full);
    return item;
}

/* Full depth, then those trained, else halves down to two. */
static cJSON *describe_depths(const vt_model *model, int bridge) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const vt_supernet_info *supernet = &model->supernet;
    cJSON *list = cJSON_CreateArray();
    cJSON *item = describe_depth(model, bridge, config->depth);
    if (item) cJSON_AddItemToArray(list, item);
    int halves = 1;
    while (2 * halves < config->depth) halves *= 2;
    for (int i = 0; supernet->trained ? i < supernet->depth_count : halves >= 2; ++i, halves /= 2) {
        int depth = supernet->trained ? supernet->depths[i] : halves;
        item = depth < config->depth ? describe_depth(model, bridge, depth) : NULL;
        if (item) cJSON_AddItemToArray(list, item);
    }
    return list;
}

/* {"12": 2.2, "6": 3}: of full depth and the trained ones. */
static void add_late(cJSON *item, const vt_supernet_info *supernet, int depth) {
    char name[16];
    cJSON *late = cJSON_AddObjectToObject(item, "cfg_late");
    for (int i = -1; i < supernet->depth_count; ++i) {
        const int d = i < 0 ? depth : supernet->depths[i];
        snprintf(name, sizeof name, "%d", d);
        if (i < 0 || d > vt_supernet_uncond_depth(supernet))
            add_number(late, name, (double)vt_supernet_cfg_late(supernet, d));
    }
}

/* The training may have drawn the bridge, from the supernet's up to this one. */
static int last_bridge(const vt_model *model) {
    cJSON *record = model->training ? cJSON_Parse(model->training) : NULL;
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "bridge"));
    int first = 0, last = 0;
    const int read = text ? sscanf(text, "%d-%d", &first, &last) : 0;
    cJSON_Delete(record);
    const int bridge = model->supernet.bridge;
    return read == 2 && first == bridge && last > first ? last : bridge;
}

static cJSON *describe_transformer(const vt_model *model, int bridge) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const vt_params *params = vt_transformer_params(model->transformer);
    const vt_supernet_info *supernet = &model->supernet;
    cJSON *item = cJSON_CreateObject();
    add_number(item, "parameters", (double)count_parameters(params));
    add_number(item, "mapped_bytes", (double)params->mapped_bytes);
    add_number(item, "depth", config->depth);
    add_number(item, "width", config->width);
    add_number(item, "heads", config->heads);
    add_number(item, "hidden", config->hidden);
    add_number(item, "codes", config->codes);
    add_number(item, "latent_dim", config->latent_dim);
    add_number(item, "classes", config->classes);
    cJSON_AddBoolToObject(item, "l2_norm", config->l2_norm);
    cJSON_AddBoolToObject(item, "shared_adaln", config->shared_adaln);
    add_scales(item, config->sides, config->scales);
    cJSON *names = cJSON_AddArrayToObject(item, "class_names");
    for (int i = 0; i < model->class_count; ++i)
        cJSON_AddItemToArray(names, cJSON_CreateString(model->class_names[i]));
    cJSON *trained = cJSON_AddObjectToObject(item, "supernet");
    cJSON_AddBoolToObject(trained, "trained", supernet->trained);
    if (supernet->trained) {
        add_number(trained, "bridge", supernet->bridge);
        add_number(trained, "last_bridge", last_bridge(model));
        cJSON_AddItemToObject(trained, "depths",
                              cJSON_CreateIntArray(supernet->depths, supernet->depth_count));
        cJSON_AddStringToObject(trained, "layers", vt_selector_name(supernet->selector));
        add_number(trained, "uncond_depth", vt_supernet_uncond_depth(supernet));
        add_late(trained, supernet, config->depth);
    }
    const char *int8 = vt_tensor_file_meta(model->files[1], VT_INT8_KEY);
    cJSON *record = int8 ? cJSON_Parse(int8) : NULL;
    if (record) cJSON_AddItemToObject(item, "int8", record);
    if (bridge < 0) bridge = vt_supernet_bridge(supernet, config->scales);
    if (bridge > config->scales) bridge = config->scales;
    cJSON_AddItemToObject(item, "depths", describe_depths(model, bridge));
    return item;
}

static void add_tensors(cJSON *list, const vt_tensor_file *file) {
    for (int j = 0; j < vt_tensor_file_count(file); ++j) {
        const vt_tensor *tensor = vt_tensor_file_at(file, j);
        cJSON *item = cJSON_CreateObject(), *shape = cJSON_AddArrayToObject(item, "shape");
        cJSON_AddStringToObject(item, "name", tensor->name);
        if (tensor->group[0]) cJSON_AddStringToObject(item, "group", tensor->group);
        cJSON_AddStringToObject(item, "type", vt_tensor_type_name(tensor));
        size_t bad = vt_tensor_not_finite(tensor);
        if (bad) add_number(item, "not_finite", (double)bad);
        for (int d = 0; d < tensor->rank; ++d)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)tensor->shape[d]));
        cJSON_AddItemToArray(list, item);
    }
}

static cJSON *describe_features(const vt_features_info *info) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "network", info->name);
    cJSON_AddBoolToObject(item, "inception", info->inception);
    add_number(item, "picture_side", info->side);
    add_number(item, "channels", info->channels);
    add_number(item, "features", info->dims);
    add_number(item, "spatial_features", info->spatial_dims);
    add_number(item, "classes", info->classes);
    return item;
}

/* ---- text ---- */

static double number(const cJSON *of, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(of, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *text_of(const cJSON *of, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(of, key));
    return text ? text : "";
}

static bool truth(const cJSON *of, const char *key) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(of, key));
}

static void print_list(const cJSON *of, const char *key) {
    const cJSON *item;
    const char *comma = "";
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(of, key)) {
        printf("%s%d", comma, (int)item->valuedouble);
        comma = ",";
    }
}

static const char *bytes_text(double bytes, char *out, size_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
    snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

static void print_parameters(const cJSON *part) {
    char mapped[32];
    printf("  parameters     %.0f", number(part, "parameters"));
    if (number(part, "mapped_bytes") > 0)
        printf(" (%s stay in the mapped file)",
               bytes_text(number(part, "mapped_bytes"), mapped, sizeof mapped));
    printf("\n");
}

static void print_scales(const cJSON *part) {
    printf("  scales         %.0f: sides ", number(part, "scales"));
    print_list(part, "sides");
    printf(", %.0f tokens\n", number(part, "tokens"));
}

static void print_tokenizer(const cJSON *part) {
    printf("tokenizer\n");
    print_parameters(part);
    printf("  pictures       %.0f x %.0f, %s\n", number(part, "picture_side"),
           number(part, "picture_side"), number(part, "channels") == 1 ? "grey" : "RGB");
    print_scales(part);
    printf("  codebook       %.0f codes of %.0f\n", number(part, "codes"),
           number(part, "latent_dim"));
    printf("  widths         %.0f times ", number(part, "base_width"));
    print_list(part, "mult");
    printf(", %.0f blocks a level\n", number(part, "blocks"));
}

static void print_preview(const cJSON *part) {
    printf("preview decoder  %s\n", text_of(part, "hash"));
    print_parameters(part);
    printf("  widths         ");
    print_list(part, "widths");
    printf(", %.0f block%s a level\n", number(part, "blocks"),
           number(part, "blocks") == 1 ? "" : "s");
}

static void print_depths(const cJSON *part) {
    printf("  keys and values of one picture with guidance, float32\n");
    printf("    depth  bridge        peak       saved      at the end   all retained  saved\n");
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(part, "depths")) {
        char peak[32], end[32], retained[32];
        printf("    %5.0f  %6.0f  %12s  %7.1f %%  %12s  %12s  %4.1f %%\n", number(item, "depth"),
               number(item, "bridge"), bytes_text(number(item, "kv_peak_bytes"), peak, sizeof peak),
               100 * number(item, "saved"),
               bytes_text(number(item, "kv_end_bytes"), end, sizeof end),
               bytes_text(number(item, "kv_retained_bytes"), retained, sizeof retained),
               100 * number(item, "saved_retained"));
    }
}

/* How many products take what, and on what that was measured. */
static void print_int8(const cJSON *record) {
    int count = 0, coarse = 0, rows = 0, folded = 0;
    const cJSON *item;
    if (!record) return;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(record, "weights")) {
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "type");
        const bool int4 = type && strcmp(text_of(item, "type"), "int4") == 0;
        ++*(int4 ? &coarse : &count);
        rows += strcmp(text_of(item, "scale_of"), "rows") == 0;
        folded += number(item, "folded") > 0;
    }
    printf("  weights        ");
    if (coarse > 0) printf("int4: %d products; ", coarse);
    printf("int8: %d products, %d of them with one scale a row", count, rows);
    if (number(record, "pictures") > 0)
        printf(", factors folded before %d; measured on %.0f pictures", folded,
               number(record, "pictures"));
    printf("\n");
}

static void print_transformer(const cJSON *part) {
    printf("transformer\n");
    print_parameters(part);
    printf("  shape          depth %.0f, width %.0f, heads %.0f of %.0f, MLP %.0f\n",
           number(part, "depth"), number(part, "width"), number(part, "heads"),
           number(part, "width") / number(part, "heads"), number(part, "hidden"));
    printf("  attention      %s; AdaLN %s\n",
           truth(part, "l2_norm") ? "normalised q and k" : "plain",
           truth(part, "shared_adaln") ? "shared by the layers" : "of each layer its own");
    print_scales(part);
    print_int8(cJSON_GetObjectItemCaseSensitive(part, "int8"));
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(part, "class_names");
    int named = cJSON_GetArraySize(names);
    printf("  classes        %.0f", number(part, "classes"));
    for (int i = 0; i < named && i < 20; ++i)
        printf("%s%s", i ? ", " : ": ", cJSON_GetArrayItem(names, i)->valuestring);
    printf("%s\n", named > 20 ? ", ..." : "");
    const cJSON *supernet = cJSON_GetObjectItemCaseSensitive(part, "supernet");
    if (truth(supernet, "trained")) {
        printf("  supernet       trained for depths ");
        print_list(supernet, "depths");
        const double first = number(supernet, "bridge"), last = number(supernet, "last_bridge");
        printf(" after %.0f", first);
        if (last > first) printf(" to %.0f", last);
        printf(" full scales, layers %s\n", text_of(supernet, "layers"));
        printf("  guidance       its unconditional branch runs %.0f layers in the late scales; "
               "--cfg-scale there times",
               number(supernet, "uncond_depth"));
        const cJSON *late;
        cJSON_ArrayForEach(late, cJSON_GetObjectItemCaseSensitive(supernet, "cfg_late"))
            printf(" %g at depth %s%s", late->valuedouble, late->string, late->next ? "," : "\n");
    } else {
        printf("  supernet       no training recorded: depths below %.0f will cost quality\n",
               number(part, "depth"));
    }
    print_depths(part);
}

static void print_features(const cJSON *part) {
    double spatial = number(part, "spatial_features");
    printf("feature network\n");
    printf("  name           %s%s\n", text_of(part, "network"),
           truth(part, "inception") ? ": scores are FID, sFID and IS" : ": scores carry its name");
    printf("  pictures       %.0f x %.0f, %s\n", number(part, "picture_side"),
           number(part, "picture_side"), number(part, "channels") == 1 ? "grey" : "RGB");
    printf("  features       %.0f", number(part, "features"));
    if (spatial > 0) printf(", spatial %.0f", spatial);
    printf("\n  classes        %.0f\n", number(part, "classes"));
}

/* Only where it is not plain: several of a part, or words before its names. */
static void print_parts(const cJSON *file) {
    const cJSON *item, *parts = cJSON_GetObjectItemCaseSensitive(file, "parts");
    bool plain = true;
    cJSON_ArrayForEach(item, parts) plain = plain && !text_of(item, "in")[0];
    if (plain) return;
    printf("  holds         ");
    cJSON_ArrayForEach(item, parts)
        printf("%s %s in %s%s", item == parts->child ? "" : ",", text_of(item, "part"),
               text_of(item, "in")[0] ? text_of(item, "in") : "bare names",
               truth(item, "taken") ? "" : " (not taken)");
    printf("\n");
}

static void print_text(const cJSON *facts) {
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(facts, "files")) {
        char bytes[32];
        printf("%s\n  %s, %.0f tensors, %s\n", text_of(item, "path"), text_of(item, "format"),
               number(item, "tensors"), bytes_text(number(item, "bytes"), bytes, sizeof bytes));
        print_parts(item);
        const cJSON *packed = cJSON_GetObjectItemCaseSensitive(item, "packed");
        if (packed)
            printf("  packed         %s weights as %s version %.0f: used where they lie; the hash "
                   "is that of "
                   "the model that was packed\n",
                   text_of(packed, "weights"), text_of(packed, "layout"),
                   number(packed, "version"));
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(facts, "not_finite"))
        printf("NOT A NUMBER     %s: %.0f of %.0f numbers are NaN or infinite; no command but this "
               "takes the model\n",
               text_of(item, "tensor"), number(item, "not_finite"), number(item, "of"));
    printf("hash             %s\n", text_of(facts, "hash"));
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(facts, "tokenizer");
    if (part) print_tokenizer(part);
    part = cJSON_GetObjectItemCaseSensitive(facts, "preview_decoder");
    if (part) print_preview(part);
    part = cJSON_GetObjectItemCaseSensitive(facts, "transformer");
    if (part) print_transformer(part);
    part = cJSON_GetObjectItemCaseSensitive(facts, "feature_network");
    if (part) print_features(part);
    if (cJSON_GetObjectItemCaseSensitive(facts, "tensors")) printf("tensors\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(facts, "tensors")) {
        printf("  %-5s (", text_of(item, "type"));
        print_list(item, "shape");
        printf(")  %s%s%s", text_of(item, "group"), text_of(item, "group")[0] ? "/" : "",
               text_of(item, "name"));
        if (number(item, "not_finite") > 0)
            printf("  %.0f NaN or infinite", number(item, "not_finite"));
        printf("\n");
    }
}

/* Prints facts and frees them. */
static void report(const settings *s, cJSON *facts) {
    if (s->json) {
        char *text = cJSON_Print(facts);
        if (text) puts(text);
        cJSON_free(text);
    } else {
        print_text(facts);
    }
    cJSON_Delete(facts);
}

static variant_status inspect_model(const settings *s, variant_error *err) {
    cli_session session;
    vt_model_options options = cli_model_options(&s->engine);
    options.need_tokenizer = s->engine.tokenizer != NULL;
    options.need_transformer = false;
    options.any_numbers = options.any_integers = true;
    VT_TRY(cli_session_open_model(&session, &s->engine, &options, err));
    const vt_model *model = session.model;
    cJSON *facts = cJSON_CreateObject();
    cJSON_AddItemToObject(facts, "files", describe_files(model));
    cJSON_AddStringToObject(facts, "hash", model->hash);
    add_not_finite(cJSON_AddArrayToObject(facts, "not_finite"), model);
    if (model->tokenizer)
        cJSON_AddItemToObject(facts, "tokenizer", describe_tokenizer(model->tokenizer));
    if (model->preview) cJSON_AddItemToObject(facts, "preview_decoder", describe_preview(model));
    if (model->transformer)
        cJSON_AddItemToObject(facts, "transformer", describe_transformer(model, s->bridge));
    cJSON *list = s->tensors ? cJSON_AddArrayToObject(facts, "tensors") : NULL;
    for (int i = 0; list && i < 2; ++i) {
        const vt_tensor_file *file = model->files[i];
        if (file && (i == 0 || file != model->files[0])) add_tensors(list, file);
    }
    report(s, facts);
    cli_session_close(&session);
    return VARIANT_OK;
}

static variant_status inspect_features(const settings *s, variant_error *err) {
    vt_kern *kern = NULL;
    vt_features *features = NULL;
    vt_tensor_file *file = NULL;
    vt_features_info info;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_kern_open(&kern, s->engine.backend, s->engine.threads, err));
    VT_CHECK(vt_features_open(&features, kern, s->engine.model, err));
    VT_CHECK(vt_tensor_file_open(&file, s->engine.model, err));
    vt_features_info_get(features, &info);
    cJSON *facts = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(facts, "files"), describe_file(file));
    cJSON_AddStringToObject(facts, "hash", info.hash);
    cJSON_AddItemToObject(facts, "feature_network", describe_features(&info));
    if (s->tensors) add_tensors(cJSON_AddArrayToObject(facts, "tensors"), file);
    report(s, facts);
cleanup:
    vt_tensor_file_close(&file);
    vt_features_close(&features);
    vt_kern_close(&kern);
    return status;
}

static void init(void *user) {
    settings *s = user;
    cli_engine_init(&s->engine);
    s->bridge = -1;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_model_operand(&s->engine, line);
    if (done >= 0) return done;
    variant_error err = {0};
    bool features = !vt_is_folder(s->engine.model) && vt_features_is(s->engine.model);
    variant_status status = (features ? inspect_features : inspect_model)(s, &err);
    return cli_end(status, &err);
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    {"bridge", "N", "scales at full depth, for the table of depths",
     CLI_INT(settings, bridge, 0, VT_SCHEDULE_SCALES), .unset = "as trained", .own = true},
    {"tensors", NULL, "also every tensor", CLI_FLAG(settings, tensors)},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

const cli_command cli_inspect = {
    .name = "inspect",
    .purpose = "what a model file holds, and what it needs",
    .usage = "MODEL [options]",
    .about = "Prints format, configuration, sizes, classes, what supernet training left, and the "
             "memory of keys and values at each depth; of a network that scores are measured in "
             "(FID's Inception, a classifier) its features. A damaged file gives one line that "
             "says what is wrong.",
    .examples = "variant inspect models/fashion\n"
                "variant inspect var_d30.pth --tokenizer vae_ch160v4096z32.pth --bridge 7 --json",
    .operands = 1,
    CLI_OF_THIS_FILE,
};
