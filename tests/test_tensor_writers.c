/* test_tensor_writers.c - tensors to PyTorch's zip and to shards with an index, read back by this program's readers; and a model's parts as
 * the original's state dicts. (tests/torch_names.sh has PyTorch read them.) */
#include "fixtures.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

#include "core/rng.h"
#include "io/file.h"
#include "io/tensors.h"

static char folder[64];

static int setup(void **state) {
    (void)state;
    make_folder(folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static vt_tensor_file *reopen(const char *path) {
    vt_tensor_file *file = NULL;
    assert_ok(vt_tensor_file_open(&file, path, err));
    return file;
}

static bool there(const char *name) {
    return access(in_folder(name), F_OK) == 0;
}

/* Of the folder, those that are being written too. */
static int count_files(void) {
    DIR *all = opendir(folder);
    int count = 0;
    assert_non_null(all);
    while (readdir(all)) ++count;
    closedir(all);
    return count;
}

/* ---- tensors of every type and of many shapes ---- */

enum { COUNT = VT_OTHER + 5, BYTES = 8 * 3 * 5 * 7 };

static uint8_t bytes[COUNT][BYTES];

static variant_status read_now(const vt_tensor_out *tensor, void *out, variant_error *err) {
    (void)err;
    memcpy(out, tensor->source, BYTES / 8 * vt_dtype_size(tensor->type));
    return VARIANT_OK;
}

static variant_status read_never(const vt_tensor_out *tensor, void *out, variant_error *err) {
    (void)out;
    return vt_fail(err, VARIANT_E_MODEL, "%s cannot be read", tensor->name);
}

static void fill(vt_tensor_out out[COUNT]) {
    static char names[COUNT][32];
    for (int i = 0; i < COUNT; ++i) {
        for (int j = 0; j < BYTES; ++j) bytes[i][j] = (uint8_t)(i * 31 + j * 7);
        snprintf(names[i], sizeof names[i], i % 2 ? "blocks.%d.weight" : "odd name, number %d", i);
        out[i] = (vt_tensor_out){.name = names[i],
                                 .type = i < VT_OTHER ? (vt_dtype)i : VT_F32,
                                 .rank = 3,
                                 .shape = {3, 5, 7},
                                 .data = bytes[i]};
    }
    for (int j = 0; j < BYTES; ++j) bytes[VT_BOOL][j] &= 1;
    out[VT_OTHER].rank = 0; /* a scalar */
    out[VT_OTHER + 1].shape[1] = 0;
    out[VT_OTHER + 2] = (vt_tensor_out){.name = "now", .rank = 4, .shape = {1, 1, 15, 7}};
    out[VT_OTHER + 2].read = read_now;
    out[VT_OTHER + 2].source = bytes[VT_OTHER + 2];
    out[VT_OTHER + 3] = (vt_tensor_out){.name = "none", .type = VT_I64, .rank = 1, .shape = {0}};
}

static void expect_all(const vt_tensor_file *file, const vt_tensor_out want[COUNT]) {
    assert_int_equal(vt_tensor_file_count(file), COUNT);
    for (int i = 0; i < COUNT; ++i) {
        const vt_tensor *got = vt_tensor_file_find(file, "", want[i].name);
        if (!got) fail_msg("%s is not there", want[i].name);
        assert_int_equal(got->type, want[i].type);
        assert_int_equal(got->rank, want[i].rank);
        for (int d = 0; d < got->rank; ++d) assert_int_equal(got->shape[d], want[i].shape[d]);
        if (got->bytes) assert_memory_equal(got->data, bytes[i], got->bytes);
    }
}

/* ---- PyTorch ---- */

static void a_state_dict(void **state) {
    (void)state;
    vt_tensor_out list[COUNT];
    char *texts[2];
    fill(list);
    assert_ok(vt_torch_write(in_folder("a.pth"), list, COUNT, NULL, err));
    assert_ok(vt_torch_write(in_folder("b.pth"), list, COUNT, NULL, err));
    vt_tensor_file *file = reopen(in_folder("a.pth"));
    assert_string_equal(vt_tensor_file_format(file), "pytorch zip");
    expect_all(file, list);
    /* used where it lies, which the alignment is for */
    const uint8_t *first = vt_tensor_file_at(file, 0)->data;
    for (int i = 1; i < VT_OTHER; ++i)
        assert_int_equal(((const uint8_t *)vt_tensor_file_at(file, i)->data - first) % 64, 0);
    vt_tensor_file_close(&file);
    struct stat sizes[2];
    for (int i = 0; i < 2; ++i) {
        const char *path = in_folder(i ? "b.pth" : "a.pth");
        assert_int_equal(stat(path, &sizes[i]), 0);
        FILE *stream = fopen(path, "rb");
        texts[i] = malloc((size_t)sizes[i].st_size);
        assert_int_equal(fread(texts[i], 1, (size_t)sizes[i].st_size, stream), sizes[i].st_size);
        fclose(stream);
    }
    assert_int_equal(sizes[0].st_size, sizes[1].st_size);
    assert_memory_equal(texts[0], texts[1], (size_t)sizes[0].st_size);
    free(texts[0]);
    free(texts[1]);
}

static void a_state_dict_of_nothing(void **state) {
    (void)state;
    const vt_tensor_out none = {.name = "none", .rank = 1, .shape = {0}};
    assert_ok(vt_torch_write(in_folder("none.pth"), &none, 1, NULL, err));
    vt_tensor_file *file = reopen(in_folder("none.pth"));
    assert_int_equal(vt_tensor_file_at(file, 0)->count, 0);
    vt_tensor_file_close(&file);
}

static variant_status write_shards(const char *name, size_t most, const vt_tensor_out *list,
                                   int count, const vt_work_watch *watch, variant_error *err) {
    const vt_safetensors_out out = {
        .path = in_folder(name), .tensors = list, .count = count, .watch = watch};
    return vt_shards_write(&out, most, NULL, err);
}

/* Two files of a set appear together: where one cannot be written, what was there before is there. */
static void files_of_a_set(void **state) {
    (void)state;
    vt_tensor_out list[COUNT];
    vt_replace_set files = {0};
    fill(list);
    char path[96];
    snprintf(path, sizeof path, "%s/both.safetensors", folder);
    const vt_safetensors_out out = {.path = path, .tensors = list, .count = COUNT};
    assert_ok(vt_torch_stage(&files, in_folder("both.pth"), list, COUNT, NULL, err));
    assert_ok(vt_shards_stage(&files, &out, 900, NULL, err));
    assert_false(there("both.pth") || there("both.safetensors.index.json"));
    assert_ok(vt_replace_set_commit(&files, err));
    assert_true(there("both.pth") && there("both.safetensors.index.json"));
    const int before = count_files();
    assert_ok(vt_torch_stage(&files, in_folder("other.pth"), list, COUNT, NULL, err));
    list[3].name = list[1].name;
    assert_fails(vt_shards_stage(&files, &out, 900, NULL, err), VARIANT_E_ARGUMENT, "twice");
    vt_replace_set_abandon(&files);
    assert_true(!there("other.pth") && count_files() == before);
}

static void what_cannot_be_written(void **state) {
    (void)state;
    vt_tensor_out list[COUNT];
    fill(list);
    list[3].name = list[1].name;
    assert_fails(vt_torch_write(in_folder("x.pth"), list, COUNT, NULL, err), VARIANT_E_ARGUMENT,
                 "twice");
    assert_fails(write_shards("x.safetensors", 500, list, COUNT, NULL, err), VARIANT_E_ARGUMENT,
                 "twice");
    fill(list);
    list[VT_OTHER + 2].read = read_never;
    assert_fails(vt_torch_write(in_folder("x.pth"), list, COUNT, NULL, err), VARIANT_E_MODEL,
                 "now");
    assert_fails(vt_torch_write("-", list, 2, NULL, err), VARIANT_E_ARGUMENT, "standard output");
    assert_fails(vt_torch_write("/dev/full", list, 2, NULL, err), VARIANT_E_IO, "/dev/full");
    assert_fails(vt_torch_write(in_folder("no/x.pth"), list, 2, NULL, err), VARIANT_E_IO,
                 "no/x.pth");
    assert_fails(write_shards("x.pth", 500, list, 2, NULL, err), VARIANT_E_ARGUMENT,
                 "NAME-00001-of-0000N.safetensors");
    assert_fails(write_shards("no/x.safetensors", 500, list, 2, NULL, err), VARIANT_E_IO,
                 "no/x-00001-of-00002.safetensors");
    assert_false(there("x.pth") || there("x.safetensors"));
    assert_true(vt_torch_is_name("a/b.pth") && vt_torch_is_name("b.PT") &&
                vt_torch_is_name("x.bin"));
    assert_false(vt_torch_is_name("a.pth/b") || vt_torch_is_name("pth") ||
                 vt_torch_is_name("x.pthx"));
}

/* ---- shards ---- */

static void shards_and_their_index(void **state) {
    (void)state;
    vt_tensor_out list[COUNT];
    const char *key = "variant.config", *value = "{\"format\":1}";
    const size_t most =
        900; /* 8-byte numbers are 840 each: alone; three of the smaller share one */
    int shards = -1;
    fill(list);
    vt_safetensors_out out = {.path = in_folder("m.safetensors"),
                              .tensors = list,
                              .count = COUNT,
                              .meta_keys = &key,
                              .meta_values = &value,
                              .meta_count = 1};
    assert_ok(vt_shards_write(&out, most, &shards, err));
    assert_true(shards > 4 && shards < COUNT);
    assert_false(there("m.safetensors"));
    vt_tensor_file *file = reopen(in_folder("m.safetensors.index.json"));
    expect_all(file, list);
    assert_string_equal(vt_tensor_file_meta(file, key), value);
    char format[64], name[64];
    snprintf(format, sizeof format, "safetensors, %d shards", shards);
    assert_string_equal(vt_tensor_file_format(file), format);
    vt_tensor_file_close(&file);
    for (int i = 1; i <= shards; ++i) {
        snprintf(name, sizeof name, "m-%05d-of-%05d.safetensors", i, shards);
        file = reopen(in_folder(name));
        size_t sum = 0;
        for (int j = 0; j < vt_tensor_file_count(file); ++j)
            sum += vt_tensor_file_at(file, j)->bytes;
        assert_in_range(sum, 1, most);
        vt_tensor_file_close(&file);
    }
    /* of a tensor that is larger than a shard may be, one to itself; of all in one, no index */
    const vt_safetensors_out three = {
        .path = in_folder("s.safetensors"), .tensors = list, .count = 3};
    assert_ok(vt_shards_write(&three, 1, &shards, err));
    assert_int_equal(shards, 3);
    out.path = in_folder("one.safetensors");
    assert_ok(vt_shards_write(&out, 1 << 20, &shards, err));
    assert_int_equal(shards, 0);
    assert_true(there("one.safetensors") && !there("one.safetensors.index.json"));
    file = reopen(in_folder("one.safetensors"));
    expect_all(file, list);
    vt_tensor_file_close(&file);
}

/* ---- who watches ---- */

static int told, stop_at;

static bool listen(void *user, const char *doing, int done, int total) {
    (void)user;
    assert_string_equal(doing, "writing");
    assert_int_equal(total, COUNT);
    assert_true(done == told || done == told + 1); /* where a shard ends the next one begins */
    told = done;
    return done < stop_at;
}

static void writing_is_watched(void **state) {
    (void)state;
    const vt_work_watch watch = {.goes_on = listen};
    vt_tensor_out list[COUNT];
    fill(list);
    stop_at = COUNT + 1;
    told = 0;
    assert_ok(vt_torch_write(in_folder("w.pth"), list, COUNT, &watch, err));
    assert_int_equal(told, COUNT);
    told = 0;
    assert_ok(write_shards("w.safetensors", 900, list, COUNT, &watch, err));
    assert_int_equal(told, COUNT);
    /* The last one is not too late, and what was there before is what is there. */
    const uint8_t first = bytes[0][0];
    memset(bytes, 7, sizeof bytes);
    assert_int_not_equal(first, 7);
    for (stop_at = COUNT; stop_at > 0; stop_at /= 2) {
        told = 0;
        assert_fails(vt_torch_write(in_folder("w.pth"), list, COUNT, &watch, err),
                     VARIANT_E_STOPPED, "writing");
        told = 0;
        assert_fails(write_shards("w.safetensors", 900, list, COUNT, &watch, err),
                     VARIANT_E_STOPPED, "writing");
        told = 0;
        assert_fails(write_shards("v.safetensors", 900, list, COUNT, &watch, err),
                     VARIANT_E_STOPPED, "writing");
    }
    assert_false(there("v-00001-of-00007.safetensors") || there("v.safetensors.index.json"));
    fill(list);
    vt_tensor_file *file = reopen(in_folder("w.pth"));
    expect_all(file, list);
    vt_tensor_file_close(&file);
    file = reopen(in_folder("w.safetensors.index.json"));
    expect_all(file, list);
    vt_tensor_file_close(&file);
}

/* ---- a model ---- */

static char said[512];

static void hear(void *user, const char *line) {
    (void)user;
    strncat(said, line, sizeof said - strlen(said) - 1);
}

/* Values of the parameters of two models are the same. */
static void expect_same(const vt_params *a, const vt_params *b) {
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; ++i) {
        const vt_param *x = a->items[i], *y = b->items[i];
        assert_string_equal(x->name, y->name);
        if (x->flags & VT_PARAM_BUFFER) continue;
        assert_memory_equal(x->value, y->value, x->count * sizeof *x->value);
    }
}

static void check_buffers(const vt_model *model) {
    const vt_tensor_file *var = model->files[1], *vae = model->files[0];
    const vt_tensor *levels = vt_tensor_file_find(var, "", "lvl_1L"),
                    *mask = vt_tensor_file_find(var, "", "attn_bias_for_masking"),
                    *zeros = vt_tensor_file_find(var, "", "blocks.1.attn.zero_k_bias"),
                    *hits = vt_tensor_file_find(vae, "", "quantize.ema_vocab_hit_SV");
    assert_true(levels && mask && zeros && hits);
    const int64_t *level = levels->data, tokens = levels->shape[1];
    assert_int_equal(levels->type, VT_I64);
    assert_int_equal(tokens, 30);
    assert_true(level[0] == 0 && level[1] == 1 && level[4] == 1 && level[5] == 2 && level[14] == 3);
    for (int64_t i = 0; i < tokens; ++i)
        for (int64_t j = 0; j < tokens; ++j) {
            const float value = ((const float *)mask->data)[i * tokens + j];
            assert_true(level[j] <= level[i] ? value == 0.0f : isinf(value) && value < 0.0f);
        }
    for (size_t i = 0; i < zeros->count; ++i) assert_true(((const float *)zeros->data)[i] == 0.0f);
    assert_int_equal(hits->shape[0], 4);
}

/* As `ending` says, out and back by this program; without --sides: lvl_1L tells them. */
static void there_and_back(const char *ending) {
    synthetic made;
    vt_model *model = NULL, *again = NULL;
    vt_model_options options;
    char var[96], vae[96];
    synthetic_open(&made, 'A');
    assert_ok(vt_model_new(&model, made.kern, err));
    vt_model_save save = {
        .tokenizer = made.tokenizer, .transformer = made.transformer, .warn = hear};
    snprintf(var, sizeof var, "%s/var.%s", folder, ending);
    snprintf(vae, sizeof vae, "%s/vae.%s", folder, ending);
    said[0] = '\0';
    assert_ok(vt_model_write_torch(var, vae, model, &save, err));
    assert_string_equal(said, "");
    assert_ok(vt_model_write_torch(var, NULL, model, &save, err));
    assert_non_null(strstr(said, "tokenizer_output"));
    vt_model_options_init(&options);
    options.model = var;
    options.tokenizer = vae;
    assert_ok(vt_model_open(&again, made.kern, &options, err));
    expect_same(vt_transformer_params(made.transformer), vt_transformer_params(again->transformer));
    expect_same(vt_tokenizer_params(made.tokenizer), vt_tokenizer_params(again->tokenizer));
    check_buffers(again);
    vt_model_close(&again);
    vt_model_close(&model);
    synthetic_close(&made);
}

static void a_model_as_pytorch(void **state) {
    (void)state;
    there_and_back("pth");
}

static void a_model_as_safetensors(void **state) {
    (void)state;
    there_and_back("safetensors");
}

static void a_model_that_cannot(void **state) {
    (void)state;
    synthetic made;
    vt_model *model = NULL;
    synthetic_open(&made, 'A');
    assert_ok(vt_model_new(&model, made.kern, err));
    const vt_model_save all = {.tokenizer = made.tokenizer, .transformer = made.transformer};
    vt_model_save part = all, sharded = all;
    const char *var = in_folder("n.pth");
    assert_fails(vt_model_write_torch(in_folder("n.npz"), NULL, model, &all, err),
                 VARIANT_E_ARGUMENT, ".safetensors");
    assert_fails(vt_model_write_torch(var, in_folder("vae"), model, &all, err), VARIANT_E_ARGUMENT,
                 ".pth");
    part.tokenizer = NULL;
    assert_fails(vt_model_write_torch(var, in_folder("n2.pth"), model, &part, err), VARIANT_E_MODEL,
                 "no tokenizer");
    part = (vt_model_save){.tokenizer = made.tokenizer};
    assert_fails(vt_model_write_torch(var, in_folder("n2.pth"), model, &part, err), VARIANT_E_MODEL,
                 "tokenizer alone");
    sharded.most_bytes = 1000;
    assert_fails(vt_model_write_torch(var, NULL, model, &sharded, err), VARIANT_E_ARGUMENT,
                 "max_shard_bytes");
    assert_fails(vt_model_write_torch(var, in_folder("no/vae.pth"), model, &all, err), VARIANT_E_IO,
                 "no/vae.pth"); /* which is found when the first one is complete */
    assert_false(there("n.pth") || there("n2.pth") || there("n.npz"));
    assert_ok(vt_model_write_torch(in_folder("n.pth"), NULL, model, &part, err)); /* a tokenizer */
    vt_model_close(&model);
    synthetic_close(&made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_dict),           cmocka_unit_test(a_state_dict_of_nothing),
        cmocka_unit_test(what_cannot_be_written), cmocka_unit_test(files_of_a_set),
        cmocka_unit_test(shards_and_their_index), cmocka_unit_test(a_model_as_pytorch),
        cmocka_unit_test(a_model_as_safetensors), cmocka_unit_test(a_model_that_cannot),
        cmocka_unit_test(writing_is_watched),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
