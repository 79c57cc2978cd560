/* test_library_convert.c - models looked into and converted as a program that links libvariant does it: by include/variant.h alone. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include "tests/library.h"

#define MODEL VARIANT_SOURCE_DIR "/models/fashion"
enum { COUNT = 12, SIDE = 32, CLASSES = 10 };

static uint8_t pixels[COUNT][SIDE][SIDE];
static int32_t labels[COUNT];

static int setup(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; ++i) {
        labels[i] = i % CLASSES;
        for (int y = 0; y < SIDE; ++y)
            for (int x = 0; x < SIDE; ++x)
                pixels[i][y][x] = (uint8_t)(abs(x - 16) < 4 + i % 7 && abs(y - 16) < 12 ? 200 : 0);
    }
    return folder_make();
}

static int teardown(void **state) {
    (void)state;
    return folder_remove();
}

static variant_engine_options engine_of(const char *model) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model;
    return options;
}

static variant_convert_options into(const char *output) {
    variant_convert_options options;
    variant_convert_options_init(&options);
    options.output = output;
    return options;
}

static variant_inspection *inspect(const char *path) {
    variant_inspection *facts = NULL;
    const variant_engine_options model = engine_of(path);
    assert_ok(variant_inspect(&facts, &model, NULL, &err));
    return facts;
}

/* The whole file; free() it. */
static void *bytes_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*size);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* A picture that the model makes. */
static variant_picture *picture_of(const char *path, const char *weights) {
    variant_engine *engine = NULL;
    variant_picture *pictures = NULL;
    variant_request request;
    variant_engine_options options = engine_of(path);
    options.weights = weights;
    variant_request_init(&request);
    request.class_name = "3";
    request.depth = 2;
    assert_ok(variant_engine_open(&engine, &options, &err));
    assert_ok(variant_generate(engine, &request, &pictures, NULL, &err));
    variant_engine_close(&engine);
    return pictures;
}

/* Mean difference of two pictures, in levels of 255. */
static double difference(const variant_picture *a, const variant_picture *b) {
    const int count = a->width * a->height * a->channels;
    double sum = 0;
    assert_int_equal(b->width * b->height * b->channels, count);
    for (int i = 0; i < count; ++i) sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / count;
}

static double apart(const char *path, const char *weights) {
    variant_picture *here = picture_of(path, weights), *there = picture_of(MODEL, NULL);
    const double found = difference(here, there);
    variant_pictures_free(&here, 1);
    variant_pictures_free(&there, 1);
    return found;
}

/* ---- inspect ---- */

/* What it tells is what an engine of the same files tells, and what a request then takes. */
static void it_tells_what_an_engine_has(void **state) {
    (void)state;
    variant_engine *engine = NULL;
    const variant_engine_options model = engine_of(MODEL);
    variant_inspection *facts = inspect(MODEL);
    assert_ok(variant_engine_open(&engine, &model, &err));
    const variant_info *info = variant_engine_info(engine);
    const variant_transformer_facts *t = facts->transformer;
    assert_string_equal(facts->hash, info->hash);
    assert_int_equal(t->depth, info->depth);
    assert_int_equal(t->width, info->width);
    assert_int_equal(t->heads, info->heads);
    assert_int_equal(t->classes, info->classes);
    assert_int_equal(t->class_name_count, info->classes);
    assert_string_equal(t->class_names[3], variant_engine_class_name(engine, 3));
    assert_int_equal(t->scales, info->scales);
    assert_memory_equal(t->sides, info->sides, sizeof *t->sides * (size_t)t->scales);
    assert_int_equal(t->supernet, info->supernet);
    assert_int_equal(t->depth_count, info->depth_count);
    assert_memory_equal(t->depths, info->depths, sizeof *t->depths * (size_t)t->depth_count);
    assert_int_equal(t->bridge, info->bridge);
    assert_string_equal(t->layers, info->layers);
    assert_int_equal(t->uncond_depth, info->uncond_depth);
    assert_true(fabs(t->cfg_lates[0] - (double)info->cfg_late) < 1e-6);
    assert_int_equal(facts->tokenizer->picture_side, info->picture_side);
    assert_int_equal(facts->tokenizer->codes, info->codes);
    assert_int_equal(facts->tokenizer->tokens, t->tokens);
    assert_non_null(facts->preview);
    assert_null(facts->network);
    assert_null(facts->tensors);
    assert_null(t->integers);
    assert_int_equal(facts->damaged_count, 0);

    assert_int_equal(t->cost_count, 1 + t->depth_count - (t->depths[0] == t->depth));
    for (int i = 0; i < t->cost_count; ++i) {
        variant_request request;
        variant_report report = {.size = sizeof report};
        variant_picture *pictures = NULL;
        variant_request_init(&request);
        request.class_name = "1";
        request.depth = t->costs[i]->depth;
        assert_ok(variant_generate(engine, &request, &pictures, &report, &err));
        assert_string_equal(t->costs[i]->layers_by_scale, report.depths);
        assert_true(t->costs[i]->kv_peak_bytes == report.kv_peak_bytes);
        variant_pictures_free(&pictures, 1);
    }
    variant_engine_close(&engine);
    variant_inspection_free(&facts);
    assert_null(facts);
    variant_inspection_free(&facts);
}

static void it_lists_files_and_tensors(void **state) {
    (void)state;
    variant_inspection *facts = NULL;
    const variant_engine_options model = engine_of(MODEL);
    variant_inspect_options options;
    variant_inspect_options_init(&options);
    options.tensors = true;
    options.bridge = 2;
    assert_ok(variant_inspect(&facts, &model, &options, &err));
    int tensors = 0;
    size_t numbers = 0;
    for (int i = 0; i < facts->file_count; ++i) {
        assert_string_equal(facts->files[i]->format, "safetensors");
        assert_true(facts->files[i]->part_count > 0 && facts->files[i]->parts[0]->taken);
        assert_null(facts->files[i]->packed);
        tensors += facts->files[i]->tensors;
    }
    assert_int_equal(facts->tensor_count, tensors);
    for (int i = 0; i < tensors; ++i) {
        const variant_tensor_facts *tensor = facts->tensors[i];
        int64_t product = 1;
        for (int d = 0; d < tensor->rank; ++d) product *= tensor->shape[d];
        assert_true(tensor->numbers == (size_t)product && tensor->not_finite == 0);
        numbers += tensor->numbers;
    }
    assert_true(numbers >= facts->tokenizer->parameters + facts->transformer->parameters +
                               facts->preview->parameters);
    assert_int_equal(facts->transformer->costs[1]->bridge, 2);
    char *json = variant_inspection_json(facts);
    assert_non_null(strstr(json, "\"tensors\":"));
    assert_non_null(strstr(json, facts->hash));
    free(json);
    variant_inspection_free(&facts);
}

static void it_tells_a_network(void **state) {
    (void)state;
    variant_inspection *facts = inspect(MODEL "/classifier.safetensors");
    assert_null(facts->tokenizer);
    assert_null(facts->transformer);
    assert_string_equal(facts->network->name, "classifier");
    assert_int_equal(facts->network->classes, CLASSES);
    assert_int_equal(facts->file_count, 1);
    assert_string_equal(facts->hash, facts->network->hash);
    variant_inspection_free(&facts);
}

static void it_refuses(void **state) {
    (void)state;
    variant_inspection *facts = NULL;
    variant_engine_options model = engine_of(in_folder("absent"));
    variant_inspect_options options;
    assert_fails(variant_inspect(&facts, &model, NULL, &err), VARIANT_E_IO, "absent");
    assert_null(facts);
    FILE *file = fopen(in_folder("text"), "w");
    fputs("no model at all", file);
    fclose(file);
    model.model = in_folder("text");
    assert_fails(variant_inspect(&facts, &model, NULL, &err), VARIANT_E_FORMAT, "text");
    model.model = MODEL;
    variant_inspect_options_init(&options);
    options.bridge = 33;
    assert_fails(variant_inspect(&facts, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "bridge 33: expected 0 to 32");
    options.size = 1;
    assert_fails(variant_inspect(&facts, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "variant_inspect_options");
    model.size = 0;
    assert_fails(variant_inspect(&facts, &model, NULL, &err), VARIANT_E_ARGUMENT,
                 "variant_engine_options");
    assert_fails(variant_inspect(NULL, &model, NULL, &err), VARIANT_E_ARGUMENT, "nowhere");
}

/* ---- convert ---- */

/* Converted as it is it makes the same picture; in halves nearly; from memory the same file. */
static void it_converts(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    const char *whole = in_folder("f32.safetensors"), *half = in_folder("f16.safetensors");
    variant_convert_options options = into(whole);
    variant_conversion *made = NULL;
    assert_ok(variant_convert(&made, &model, &options, &err));
    assert_int_equal(made->product_count, 0);
    assert_null(made->json);
    variant_conversion_free(&made);
    assert_true(apart(whole, NULL) <= 0);
    options.output = half;
    options.type = "f16";
    assert_ok(variant_convert(NULL, &model, &options, &err));
    assert_true(apart(half, NULL) < 4);

    size_t size, again;
    void *bytes = bytes_of(whole, &size);
    variant_engine_options memory = engine_of(NULL);
    memory.model_bytes = bytes;
    memory.model_size = size;
    variant_inspection *facts = NULL, *of_half = inspect(half);
    assert_ok(variant_inspect(&facts, &memory, NULL, &err));
    assert_true((double)of_half->files[0]->bytes < 0.6 * (double)facts->files[0]->bytes);
    assert_true(facts->transformer->parameters == of_half->transformer->parameters);
    variant_inspection_free(&facts);
    variant_inspection_free(&of_half);
    options = into(in_folder("memory.safetensors"));
    assert_ok(variant_convert(NULL, &memory, &options, &err));
    void *from_memory = bytes_of(options.output, &again);
    assert_true(again == size);
    assert_memory_equal(from_memory, bytes, size);
    free(from_memory);
    free(bytes);
}

static void it_names_classes(void **state) {
    (void)state;
    static const char *const names[] = {"null",        "eins",  "zwei",   "drei", "vier",
                                        "f\xc3\xbcnf", "sechs", "sieben", "acht", "neun"};
    const variant_engine_options model = engine_of(MODEL);
    variant_convert_options options = into(in_folder("named.safetensors"));
    options.class_names = names;
    options.class_count = CLASSES;
    assert_ok(variant_convert(NULL, &model, &options, &err));
    variant_inspection *facts = inspect(options.output);
    for (int i = 0; i < CLASSES; ++i)
        assert_string_equal(facts->transformer->class_names[i], names[i]);
    variant_inspection_free(&facts);

    options.class_count = 9;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_MODEL,
                 "holds 9 names, the model has 10 classes");
    options.classes = in_folder("names.txt");
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "expected one of them");
    options.class_names = NULL;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "class_count 9, but class_names is NULL");
    options.class_count = 0;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_IO, "names.txt");
    FILE *file = fopen(options.classes, "w");
    fputs("0\n1\n2\n\n4\n5\n6\n7\n8\n9\n\n", file);
    fclose(file);
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_FORMAT,
                 "names.txt:4: an empty class name");
}

static void it_sets_guidance(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    variant_convert_options options = into(in_folder("guided.safetensors"));
    variant_inspection *facts = inspect(MODEL);
    options.uncond_depth = facts->transformer->depths[facts->transformer->depth_count - 1];
    options.cfg_late = "1.75";
    assert_ok(variant_convert(NULL, &model, &options, &err));
    variant_inspection_free(&facts);
    facts = inspect(options.output);
    assert_int_equal(facts->transformer->uncond_depth, options.uncond_depth);
    assert_true(fabs(facts->transformer->cfg_lates[0] - 1.75) < 1e-6);
    variant_inspection_free(&facts);
    options.uncond_depth = 97;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "uncond_depth 97");
    options.uncond_depth = -1;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "uncond_depth -1");
    options.uncond_depth = 0;
    options.cfg_late = "99:1";
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "cfg_late 99:1: expected a factor");
}

/* ---- integers and packed weights ---- */

typedef struct watch {
    int encoded, run, measured, written, total;
    const char *stop_while;
} watch;

static bool look(void *user, const char *doing, int done, int total) {
    watch *w = user;
    assert_true(done >= 0 && done <= total);
    if (strcmp(doing, "encoding pictures") == 0) w->encoded = done, w->total = total;
    if (strcmp(doing, "running pictures") == 0) w->run = done;
    if (strcmp(doing, "measuring products") == 0) w->measured = done;
    if (strcmp(doing, "writing") == 0) w->written = done;
    return !w->stop_while || strcmp(doing, w->stop_while) != 0 || done < total / 2;
}

static variant_data data_of(variant_array *array) {
    variant_data data;
    variant_array_init(array);
    array->pixels = pixels[0][0];
    array->count = COUNT;
    array->height = array->width = SIDE;
    array->channels = 1;
    array->labels = labels;
    variant_data_init(&data);
    data.array = array;
    data.class_count = CLASSES;
    data.holdout = 0;
    return data;
}

static void it_measures_products(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    static const char *const types[] = {"int8", "int4"};
    variant_array array;
    const variant_data data = data_of(&array);
    for (int i = 0; i < 2; ++i) {
        watch w = {0};
        variant_conversion *made = NULL;
        variant_convert_options options = into(in_folder("integers.safetensors"));
        options.type = types[i];
        options.calibrate = &data;
        options.calibrate_count = 4;
        options.progress = look;
        options.user = &w;
        assert_ok(variant_convert(&made, &model, &options, &err));
        assert_int_equal(w.total, 4);
        assert_true(w.encoded == 4 && w.run == 4 && w.measured == made->product_count);
        assert_true(w.written > made->product_count);
        assert_int_equal(made->pictures, 4);
        int rows = 0, folded = 0, coarse = 0, seen = 0;
        for (int j = 0; j < made->product_count; ++j) {
            const variant_converted_product *p = made->products[j];
            const bool int4 = strcmp(p->type, "int4") == 0;
            coarse += int4;
            rows += p->scale_of_rows;
            folded += p->folded > 0;
            if (p->rows_seen == 0) { /* too few different ones, which int4 tells apart */
                assert_true(int4 && isnan(p->nearest) && isnan(p->blocks));
                continue;
            }
            ++seen;
            assert_true(int4 ? p->nearest > 0 && p->nearest < 0.5 && isnan(p->blocks)
                             : p->blocks > 0 && p->blocks < 0.2 && isnan(p->nearest));
        }
        assert_int_equal(coarse > 0, i);
        assert_true(2 * seen > made->product_count);
        variant_inspection *facts = inspect(options.output);
        const variant_integer_facts *integers = facts->transformer->integers;
        assert_int_equal(integers->int4, coarse);
        assert_int_equal(integers->int8, made->product_count - coarse);
        assert_int_equal(integers->rows, rows);
        assert_int_equal(integers->folded, folded);
        assert_int_equal(integers->pictures, 4);
        assert_string_equal(integers->json, made->json);
        assert_true(apart(options.output, types[i]) < 40);
        variant_inspection_free(&facts);
        variant_conversion_free(&made);
        const variant_engine_options second = engine_of(options.output);
        variant_convert_options more = into(in_folder("no.safetensors"));
        more.type = "int8";
        assert_fails(variant_convert(&made, &second, &more, &err), VARIANT_E_MODEL, "already");
        assert_null(made);
    }
}

static void it_packs(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    variant_convert_options options = into(in_folder("packed.safetensors"));
    options.pack = "bf16";
    assert_ok(variant_convert(NULL, &model, &options, &err));
    variant_inspection *facts = inspect(options.output), *of_model = inspect(MODEL);
    assert_string_equal(facts->files[0]->packed, "bf16");
    assert_string_equal(facts->hash, of_model->hash);
    variant_inspection_free(&facts);
    variant_inspection_free(&of_model);
    variant_picture *packed = picture_of(options.output, NULL), *same = picture_of(MODEL, "bf16");
    assert_true(difference(packed, same) <= 0);
    variant_pictures_free(&packed, 1);
    variant_pictures_free(&same, 1);
    const variant_engine_options second = engine_of(options.output);
    options = into(in_folder("no.safetensors"));
    assert_fails(variant_convert(NULL, &second, &options, &err), VARIANT_E_MODEL, "to convert");
}

/* ---- other layouts of files ---- */

/* Of the parts that it makes of the model one is made again, and draws what the model draws. */
static void it_writes_state_dicts(void **state) {
    (void)state;
    static const char *const endings[] = {"pth", "safetensors"};
    const variant_engine_options model = engine_of(MODEL);
    variant_inspection *of_model = inspect(MODEL);
    for (int i = 0; i < 2; ++i) {
        watch w = {0};
        char var[128], vae[128];
        snprintf(var, sizeof var, "%s/var.%s", folder, endings[i]);
        snprintf(vae, sizeof vae, "%s/vae.%s", folder, endings[i]);
        variant_convert_options options = into(var);
        options.to = "torch-names";
        options.tokenizer_output = vae;
        options.progress = look;
        options.user = &w;
        assert_ok(variant_convert(NULL, &model, &options, &err));
        assert_true(w.written > 10); /* tensors of the tokenizer, which is last */
        variant_inspection *facts = NULL;
        variant_engine_options parts = engine_of(var);
        variant_inspect_options with_tensors;
        variant_inspect_options_init(&with_tensors);
        with_tensors.tensors = true;
        parts.tokenizer = vae;
        assert_ok(variant_inspect(&facts, &parts, &with_tensors, &err));
        assert_int_equal(facts->file_count, 2);
        assert_string_equal(facts->files[0]->format, i == 0 ? "pytorch zip" : "safetensors");
        assert_true(facts->transformer->parameters == of_model->transformer->parameters);
        assert_true(facts->tokenizer->parameters == of_model->tokenizer->parameters);
        assert_int_equal(facts->transformer->scales, of_model->transformer->scales);
        assert_null(facts->preview);
        bool masked = false;
        for (int j = 0; j < facts->tensor_count; ++j)
            masked |= strcmp(facts->tensors[j]->name, "attn_bias_for_masking") == 0;
        assert_true(masked);
        variant_inspection_free(&facts);
        if (i == 0) continue; /* PyTorch's files do not say what the supernet was trained at */
        options = into(in_folder("again.safetensors"));
        assert_ok(variant_convert(NULL, &parts, &options, &err));
        assert_true(apart(options.output, NULL) <= 0);
    }
    variant_inspection_free(&of_model);
}

static void it_writes_shards(void **state) {
    (void)state;
    watch w = {0};
    variant_engine_options model = engine_of(MODEL);
    variant_convert_options options = into(in_folder("sharded.safetensors"));
    options.max_shard_bytes = 4 << 20;
    options.progress = look;
    options.user = &w;
    assert_ok(variant_convert(NULL, &model, &options, &err));
    assert_int_not_equal(access(options.output, F_OK), 0);
    const char *index = in_folder("sharded.safetensors.index.json");
    variant_inspection *facts = inspect(index);
    assert_non_null(strstr(facts->files[0]->format, " shards"));
    assert_int_equal(w.written, facts->files[0]->tensors); /* told of as one work */
    assert_true(apart(index, NULL) <= 0);
    variant_inspection_free(&facts);

    options.output = in_folder("fits.safetensors");
    options.max_shard_bytes = 1 << 30;
    assert_ok(variant_convert(NULL, &model, &options, &err));
    assert_int_equal(access(options.output, F_OK), 0);
    /* what was compiled with an older header has a shorter struct, behind which lies anything */
    options.output = in_folder("older.safetensors");
    options.to = "anything";
    options.size = offsetof(variant_convert_options, to);
    assert_ok(variant_convert(NULL, &model, &options, &err));
}

static int files_in_folder(const char *prefix) {
    DIR *listing = opendir(folder);
    int count = 0;
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += strstr(entry->d_name, prefix) != NULL;
    closedir(listing);
    return count;
}

/* Of shards none is left, and a state dict is what it was. */
static void other_layouts_can_be_stopped(void **state) {
    (void)state;
    static const char *const places[] = {"writing", "converting"};
    const variant_engine_options model = engine_of(MODEL);
    for (int i = 0; i < 4; ++i) {
        watch w = {.stop_while = places[i % 2]};
        variant_convert_options options =
            into(in_folder(i < 2 ? "stopped.safetensors" : "stopped.pth"));
        options.type = i % 2 ? "bf16" : NULL;
        options.max_shard_bytes = i < 2 ? 1 << 20 : 0;
        options.to = i < 2 ? NULL : "torch-names";
        options.progress = look;
        options.user = &w;
        assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_STOPPED,
                     places[i % 2]);
        assert_true((w.written > 0) == (i % 2 == 0));
        assert_int_equal(files_in_folder("stopped"), 0);
    }
}

static void it_refuses_layouts(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    variant_convert_options o = into(in_folder("not.pth"));
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "not.pth: what is written is safetensors");
    o.to = "diffusers";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "to \"diffusers\": expected torch-names, or nothing");
    o.to = "torch-names";
    o.type = "int4";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "with type=int8 or int4");
    o.type = NULL;
    o.pack = "bf16";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "with pack");
    o.pack = NULL;
    o.max_shard_bytes = 1000;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "a PyTorch file is one");
    o.max_shard_bytes = 0;
    o.tokenizer_output = in_folder("not.npz");
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "not.npz");
    o.to = NULL;
    o.output = in_folder("not.safetensors");
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "belongs to to=torch-names");
    o.tokenizer_output = NULL;
    o.pack = "bf16";
    o.max_shard_bytes = 1000;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "max_shard_bytes 1000: a packed file is one");
    assert_int_equal(files_in_folder("not."), 0);
}

/* Wherever it is stopped, the file is what it was. */
static void it_can_be_stopped(void **state) {
    (void)state;
    const variant_engine_options model = engine_of(MODEL);
    static const char *const types[] = {"int8", "int8", "int8", "f32", "f16"};
    static const char *const places[] = {"encoding pictures", "running pictures",
                                         "measuring products", "writing", "converting"};
    variant_array array;
    const variant_data data = data_of(&array);
    const char *path = in_folder("kept.safetensors");
    FILE *file = fopen(path, "w");
    fputs("kept", file);
    fclose(file);
    for (int i = 0; i < 5; ++i) {
        watch w = {.stop_while = places[i]};
        variant_convert_options options = into(path);
        options.type = types[i];
        options.calibrate = strcmp(types[i], "int8") == 0 ? &data : NULL;
        options.calibrate_count = 2;
        options.progress = look;
        options.user = &w;
        assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_STOPPED, places[i]);
    }
    const int cancel = 1;
    variant_convert_options options = into(path);
    options.cancel = &cancel;
    assert_fails(variant_convert(NULL, &model, &options, &err), VARIANT_E_STOPPED, "stopped");
    size_t size;
    char *bytes = bytes_of(path, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(bytes, "kept", 4);
    free(bytes);
}

static void it_refuses_options(void **state) {
    (void)state;
    variant_engine_options model = engine_of(MODEL);
    variant_array array;
    const variant_data data = data_of(&array);
    variant_convert_options o = into(NULL);
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "no output");
    assert_fails(variant_convert(NULL, &model, NULL, &err), VARIANT_E_ARGUMENT,
                 "variant_convert_options");
    o = into(in_folder("no.safetensors"));
    o.type = "f8";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "type \"f8\": expected f32, f16, bf16, int8 or int4");
    o.type = "f16";
    o.calibrate = &data;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "type=int8 or int4");
    o.type = "int8";
    o.calibrate_count = 0;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "calibrate_count 0: expected 1 to 100000");
    o.calibrate_count = 2;
    o.row_error = (double)NAN;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "expected 0 to 100");
    o.row_error = 1;
    array.channels = 2;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "calibrate: an array of pictures of 2 channels");
    o.calibrate = NULL;
    o.pack = "bf16";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "beside a type");
    o.type = NULL;
    o.pack = "f32";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT,
                 "pack f32: expected bf16, int8 or int4");
    o.pack = "bf16";
    model.backend = "ref";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_UNSUPPORTED, "expected cpu");
    o.pack = NULL;
    model = engine_of(in_folder("absent"));
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_IO, "absent");
    model = engine_of(MODEL);
    model.heads = -1;
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "heads is -1");
    model.heads = 0;
    model.model_config = "{}";
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "model_config");
    model = engine_of(NULL);
    assert_fails(variant_convert(NULL, &model, &o, &err), VARIANT_E_ARGUMENT, "model");
    assert_int_not_equal(access(o.output, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_what_an_engine_has),
        cmocka_unit_test(it_lists_files_and_tensors),
        cmocka_unit_test(it_tells_a_network),
        cmocka_unit_test(it_refuses),
        cmocka_unit_test(it_converts),
        cmocka_unit_test(it_names_classes),
        cmocka_unit_test(it_sets_guidance),
        cmocka_unit_test(it_measures_products),
        cmocka_unit_test(it_packs),
        cmocka_unit_test(it_writes_state_dicts),
        cmocka_unit_test(it_writes_shards),
        cmocka_unit_test(other_layouts_can_be_stopped),
        cmocka_unit_test(it_refuses_layouts),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(it_refuses_options),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
