/* test_models.c - opening models from every arrangement of files, and the lines that name what
 * does not fit. */
#include "tests/fixtures.h"

#include <sys/stat.h>

static char folder[64];
static vt_kern *kern;

static const char *path_of(const char *name) {
    static char path[16][160];
    static int next;
    next = (next + 1) % 16;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static int open_kern(void **state) {
    (void)state;
    make_folder(folder);
    assert_ok(vt_kern_open(&kern, "cpu", 1, err));
    synthetic a;
    synthetic_open(&a, 'A');
    vt_model_save save = {.tokenizer = a.tokenizer, .transformer = a.transformer};
    assert_ok(vt_model_write(path_of("both.safetensors"), &save, err));
    assert_int_equal(mkdir(path_of("folder"), 0755), 0);
    save.transformer = NULL;
    assert_ok(vt_model_write(path_of("folder/tokenizer.safetensors"), &save, err));
    vt_tokenizer_config narrow = tokenizer_config('A');
    vt_tokenizer *other = NULL;
    narrow.codes = 32;
    assert_ok(vt_tokenizer_open(&other, a.kern, &narrow, err));
    assert_ok(vt_params_synthesize(vt_tokenizer_params(other), "N", "vae", err));
    save.tokenizer = other;
    assert_ok(vt_model_write(path_of("narrow.safetensors"), &save, err));
    vt_tokenizer_close(&other);
    save.transformer = a.transformer;
    save.tokenizer = NULL;
    save.type = VT_F16;
    assert_ok(vt_model_write(path_of("folder/transformer.safetensors"), &save, err));
    synthetic_close(&a);
    return 0;
}

static int close_kern(void **state) {
    (void)state;
    vt_kern_close(&kern);
    remove_folder(folder);
    return 0;
}

static variant_status try_open(vt_model_options options, vt_model **model, variant_error *err) {
    vt_model *opened = NULL;
    variant_status status = vt_model_open(&opened, kern, &options, err);
    if (model)
        *model = opened;
    else
        vt_model_close(&opened);
    return status;
}

static vt_model_options options_for(const char *model) {
    vt_model_options options;
    vt_model_options_init(&options);
    options.model = model;
    return options;
}

static float first_weight(vt_model *model) {
    return vt_params_find(vt_transformer_params(model->transformer), "head.weight")->value[0];
}

static void every_arrangement_opens(void **state) {
    (void)state;
    vt_model *model = NULL;
    assert_ok(try_open(options_for(path_of("both.safetensors")), &model, err));
    assert_true(first_weight(model) == -0.132984832f);
    assert_true(vt_transformer_params(model->transformer)->mapped_bytes > 0);
    char hash[17];
    strcpy(hash, model->hash);
    vt_model_close(&model);

    assert_ok(try_open(options_for(path_of("folder")), &model, err));
    assert_float_equal(first_weight(model), -0.132984832f, 1e-4); /* half precision */
    assert_string_not_equal(hash, model->hash);
    vt_model_close(&model);

    vt_model_options two = options_for(path_of("folder/transformer.safetensors"));
    assert_fails(try_open(two, NULL, err), VARIANT_E_MODEL, "give its file as tokenizer");
    two.tokenizer = path_of("folder/tokenizer.safetensors");
    assert_ok(try_open(two, &model, err));
    vt_model_close(&model);
    two.model = path_of("both.safetensors"); /* the named tokenizer wins over the one inside */
    assert_ok(try_open(two, &model, err));
    vt_model_close(&model);

    vt_model_options copied = options_for(path_of("both.safetensors"));
    copied.copy = true;
    assert_ok(try_open(copied, &model, err));
    assert_int_equal(vt_transformer_params(model->transformer)->mapped_bytes, 0);
    vt_model_close(&model);
}

/* A number of heads beside what the file tells must be that. */
static void heads_must_fit(void **state) {
    (void)state;
    vt_model *model = NULL;
    vt_model_options told = options_for(path_of("both.safetensors"));
    assert_ok(try_open(told, &model, err));
    told.heads = vt_transformer_configuration(model->transformer)->heads;
    vt_model_close(&model);
    assert_ok(try_open(told, &model, err));
    vt_model_close(&model);
    told.heads *= 2;
    assert_fails(try_open(told, NULL, err), VARIANT_E_ARGUMENT, "do not fit");
}

static void pytorch_checkpoints_open(void **state) {
    (void)state;
    vt_model *model = NULL;
    vt_model_options trainer =
        options_for(GOLDEN "torch/micro_trainer.pth"); /* its own patch_nums */
    assert_ok(try_open(trainer, &model, err));
    assert_int_equal(vt_transformer_configuration(model->transformer)->scales, 2);
    assert_int_equal(vt_tokenizer_side(vt_tokenizer_configuration(model->tokenizer)), 4);
    vt_model_close(&model);
    vt_model_options two = options_for(GOLDEN "torch/micro_var_legacy.pth");
    two.tokenizer = GOLDEN "torch/micro_vae.pth";
    assert_ok(try_open(two, &model, err)); /* lvl_1L tells its sides */
    assert_int_equal(vt_transformer_configuration(model->transformer)->sides[1], 2);
    vt_model_close(&model);
    two.sides = "1,2";
    assert_ok(try_open(two, &model, err));
    vt_model_close(&model);
    two.sides = "1,2,3";
    assert_fails(try_open(two, NULL, err), VARIANT_E_MODEL, "2");
    two.sides = "1,,2";
    assert_fails(try_open(two, NULL, err), VARIANT_E_ARGUMENT, "sides \"");
}

/* Copies both.safetensors tensor by tensor, with one change. */
static void rewrite(const char *to, const char *drop, const char *reshape, const char *add) {
    vt_tensor_file *file = NULL;
    assert_ok(vt_tensor_file_open(&file, path_of("both.safetensors"), err));
    vt_tensor_out *list = calloc((size_t)vt_tensor_file_count(file) + 1, sizeof *list);
    static const float zero[1];
    int count = 0;
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (drop && strcmp(tensor->name, drop) == 0) continue;
        vt_tensor_out *out = &list[count++];
        *out = (vt_tensor_out){
            .name = tensor->name, .type = tensor->type, .rank = tensor->rank, .data = tensor->data};
        memcpy(out->shape, tensor->shape, sizeof out->shape);
        if (reshape && strcmp(tensor->name, reshape) == 0) {
            out->rank = 1;
            out->shape[0] = (int64_t)tensor->count;
        }
    }
    if (add)
        list[count++] =
            (vt_tensor_out){.name = add, .type = VT_F32, .rank = 1, .shape = {1}, .data = zero};
    const char *key = "variant.config", *value = vt_tensor_file_meta(file, key);
    assert_ok(vt_safetensors_write(to, list, count, &key, &value, 1, err));
    free(list);
    vt_tensor_file_close(&file);
}

static void misfits_are_named(void **state) {
    (void)state;
    const char *path = path_of("odd.safetensors");
    rewrite(path, "blocks.3.ffn.fc1.weight", NULL, NULL);
    assert_fails(try_open(options_for(path), NULL, err), VARIANT_E_MODEL,
                 "blocks.3.ffn.fc1.weight is missing");
    rewrite(path, NULL, "blocks.2.attn.proj.weight", NULL);
    assert_fails(try_open(options_for(path), NULL, err), VARIANT_E_MODEL,
                 "blocks.2.attn.proj.weight has shape (16384), expected (128, 128)");
    rewrite(path, NULL, NULL, "blocks.6.surprise");
    assert_fails(try_open(options_for(path), NULL, err), VARIANT_E_MODEL, "blocks.6.surprise");
    rewrite(path, NULL, NULL, "training/step");
    assert_ok(try_open(options_for(path), NULL, err));
    rewrite(path, "decoder.mid.block_1.conv1.weight", NULL, NULL);
    assert_fails(try_open(options_for(path), NULL, err), VARIANT_E_MODEL,
                 "decoder.mid.block_1.conv1.weight is missing");
    unlink(path);
    assert_fails(try_open(options_for(path), NULL, err), VARIANT_E_IO, "odd.safetensors");
    const char *empty = path_of("empty");
    assert_int_equal(mkdir(empty, 0755), 0);
    assert_fails(try_open(options_for(empty), NULL, err), VARIANT_E_MODEL, "no ");
    rmdir(empty);
    vt_model_options mixed =
        options_for(path_of("both.safetensors")); /* A's transformer, P's tokenizer */
    mixed.tokenizer = GOLDEN "torch/micro_vae.pth";
    assert_fails(try_open(mixed, NULL, err), VARIANT_E_MODEL,
                 "ema_vocab_hit_SV has shape (2, 32)"); /* other scales */
    mixed.tokenizer = path_of("narrow.safetensors");
    assert_fails(try_open(mixed, NULL, err), VARIANT_E_MODEL, "do not fit");
    assert_int_equal(mkdir(path_of("crowd"), 0755), 0);
    rewrite(path_of("crowd/a.safetensors"), NULL, NULL, NULL);
    rewrite(path_of("crowd/b.safetensors"), NULL, NULL, NULL);
    assert_fails(try_open(options_for(path_of("crowd")), NULL, err), VARIANT_E_MODEL,
                 "two files hold a");
}

static void classes_by_number_and_name(void **state) {
    (void)state;
    char *names[10] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                       "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    synthetic a;
    synthetic_open(&a, 'A');
    vt_supernet_info supernet = {
        .trained = true, .bridge = 2, .depth_count = 2, .depths = {3, 2}, .selector = VT_ROUNDED};
    supernet.uncond_depth = 3, supernet.late_count = 2;
    supernet.late[0] = (struct vt_late){3, 4.0f}, supernet.late[1] = (struct vt_late){5, 2.0f};
    vt_model_save save = {.tokenizer = a.tokenizer,
                          .transformer = a.transformer,
                          .class_count = 10,
                          .class_names = names,
                          .supernet = &supernet,
                          .training = "{\"steps\":3}"};
    assert_ok(vt_model_write(path_of("named.safetensors"), &save, err));
    synthetic_close(&a);
    vt_model *model = NULL;
    int label = -1;
    assert_ok(try_open(options_for(path_of("named.safetensors")), &model, err));
    assert_ok(vt_model_class(model, "ankle BOOT", &label, err));
    assert_int_equal(label, 9);
    assert_ok(vt_model_class(model, "3", &label, err));
    assert_int_equal(label, 3);
    assert_ok(vt_model_class(model, "uncond", &label, err));
    assert_int_equal(label, 10);
    assert_fails(vt_model_class(model, "shirts", &label, err), VARIANT_E_ARGUMENT,
                 "for example Shirt");
    assert_fails(vt_model_class(model, "nothing", &label, err), VARIANT_E_ARGUMENT,
                 "for example T-shirt/top");
    assert_fails(vt_model_class(model, "boot", &label, err), VARIANT_E_ARGUMENT,
                 "for example Ankle boot");
    assert_true(model->supernet.trained);
    assert_int_equal(model->supernet.bridge, 2);
    assert_int_equal(model->supernet.depths[1], 2);
    assert_int_equal(model->supernet.selector, VT_ROUNDED);
    assert_int_equal(vt_supernet_uncond_depth(&model->supernet), 3);
    static const float want[] = {4.0f, 4.0f, 4.0f, 3.0f, 2.0f, 2.0f}; /* of depths 1 to 6 */
    for (int depth = 1; depth <= 6; ++depth)
        assert_true(vt_supernet_cfg_late(&model->supernet, depth) == want[depth - 1]);
    static const char *const wrong[] = {"",   "x",    "-1",      "0",   "101",   "nan",    "3",
                                        "3:", "3:2,", "3:2,3:4", "0:2", "129:2", "3:2;4:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
        assert_int_equal(vt_supernet_read_late(&supernet, wrong[i]), strcmp(wrong[i], "3") == 0);
    assert_string_equal(model->training, "{\"steps\":3}");
    vt_model_close(&model);
    assert_string_equal(vt_imagenet_names[207], "golden retriever");
    assert_string_equal(vt_imagenet_names[999], "toilet tissue");
    for (int i = 0; i < 1000; ++i) /* a name chooses one class */
        for (int j = 0; j < i; ++j)
            assert_string_not_equal(vt_imagenet_names[i], vt_imagenet_names[j]);
}

static void half_written_files_do_not_appear(void **state) {
    (void)state;
    synthetic a;
    synthetic_open(&a, 'A');
    vt_model_save save = {.tokenizer = a.tokenizer};
    assert_fails(vt_model_write(path_of("no/such/folder.safetensors"), &save, err), VARIANT_E_IO,
                 "no/such");
    assert_fails(vt_model_write("/dev/full/x.safetensors", &save, err), VARIANT_E_IO, "/dev/full");
    synthetic_close(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_arrangement_opens),
        cmocka_unit_test(pytorch_checkpoints_open),
        cmocka_unit_test(heads_must_fit),
        cmocka_unit_test(misfits_are_named),
        cmocka_unit_test(classes_by_number_and_name),
        cmocka_unit_test(half_written_files_do_not_appear),
    };
    return cmocka_run_group_tests(tests, open_kern, close_kern);
}
