/* test_packed.c - model files that hold packed weights: the same pictures as of the file that was packed, on every backend; the same
 * bytes whatever instruction set packs; panels against their definition; and where they may lie. */
#include "tests/fixtures.h"

#include <math.h>

#include "core/rng.h"
#include "engine/model_packed.h"
#include "io/file.h"
#include "kern/number.h"
#include "kern/panels.h"
#include "tests/hidden_backend.h"

static char folder[64];

static int make(void **state) {
    (void)state;
    make_folder(folder);
    assert_ok(vt_kern_register("hidden", hidden_over_default, err));
    return 0;
}

static int clear(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Packs the file at `from` by a backend; whoever opens the result needs no option. */
static void pack_by(const char *backend, const char *from, const char *to, vt_number weights) {
    vt_kern *kern;
    vt_model *model;
    vt_model_options options;
    vt_model_options_init(&options);
    options.model = from;
    options.weights = weights;
    assert_ok(vt_kern_open(&kern, backend, 2, err));
    assert_ok(vt_model_open(&model, kern, &options, err));
    const vt_model_save save = {.tokenizer = model->tokenizer, .transformer = model->transformer};
    assert_ok(vt_model_write_packed(to, model, &save, err));
    vt_model_close(&model);
    vt_kern_close(&kern);
}

static void pack(const char *from, const char *to, vt_number weights) {
    pack_by("cpu", from, to, weights);
}

static variant_engine *engine_of(const char *path, const char *backend, const char *weights) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = path;
    options.backend = backend;
    options.weights = weights;
    options.threads = 2;
    options.encoder = true;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

static void assert_same_pictures(const variant_engine *a, const variant_engine *b) {
    enum { COUNT = 3 };
    variant_picture *p, *q;
    variant_request request;
    const variant_info info = *variant_engine_info(a);
    uint8_t pixels[64 * 64 * 3];
    variant_edit edit; /* which runs the encoder, too */
    const int side = info.picture_side;
    assert_true(side <= 64);
    for (int i = 0; i < side * side * 3; ++i) pixels[i] = (uint8_t)(i * 7 % 251);
    uint8_t mask[64 * 64] = {0};
    for (int i = 0; i < side * side / 2; ++i) mask[i] = 255;
    variant_edit_init(&edit);
    edit.width = edit.height = side, edit.channels = 3, edit.pixels = pixels, edit.mask = mask;
    variant_request_init(&request);
    request.count = COUNT;
    request.seed = 9;
    request.edits = &edit;
    for (request.edit_count = 0; request.edit_count < 2; ++request.edit_count) {
        request.edits = request.edit_count ? &edit : NULL;
        assert_ok(variant_generate(a, &request, &p, NULL, err));
        assert_ok(variant_generate(b, &request, &q, NULL, err));
        for (int i = 0; i < COUNT; ++i) {
            assert_memory_equal(p[i].pixels, q[i].pixels, (size_t)(side * side * 3));
            const char *kernels =
                strstr(p[i].settings, ",\"kernels\""); /* may be named otherwise */
            assert_non_null(kernels);
            assert_memory_equal(p[i].settings, q[i].settings, (size_t)(kernels - p[i].settings));
        }
        variant_pictures_free(&p, COUNT);
        variant_pictures_free(&q, COUNT);
    }
}

static void draws_the_same(void **state) {
    (void)state;
    static const char *const backends[] = {"cpu", "ref", "hidden"};
    char from[128], to[160];
    for (char which = 'A'; which <= 'B'; ++which) {
        synthetic_file(from, sizeof from, folder, which, NULL);
        for (vt_number type = VT_NUMBER_BF16; type <= VT_NUMBER_INT4; ++type) {
            snprintf(to, sizeof to, "%s/packed-%c-%d.safetensors", folder, which, (int)type);
            pack(from, to, type);
            for (int i = 0; i < 3; ++i) {
                variant_engine *a = engine_of(from, backends[i], vt_number_name(type)),
                               *b = engine_of(to, backends[i], NULL);
                variant_info p, q;
                p = *variant_engine_info(a);
                q = *variant_engine_info(b);
                assert_string_equal(p.hash, q.hash);
                assert_string_equal(q.weights, vt_number_name(type));
                assert_string_equal(p.kv, q.kv);
                assert_int_equal(p.weight_bytes + p.mapped_bytes, q.weight_bytes + q.mapped_bytes);
                if (i == 0) assert_true(q.mapped_bytes * 10 > q.weight_bytes * 9);
                assert_same_pictures(a, b);
                variant_engine_close(&a);
                variant_engine_close(&b);
            }
        }
    }
}

/* Files packed by every instruction set that this machine has. */
static void packs_the_same_bytes(void **state) {
    (void)state;
    static const char *const levels[] = {"baseline", "avx2", "avx512", "avx512vnni", "avx512bf16"};
    const char *own = getenv("VARIANT_CPU");
    char kept[64] = "", from[128], to[160];
    if (own) snprintf(kept, sizeof kept, "%s", own);
    synthetic_file(from, sizeof from, folder, 'A', NULL);
    for (vt_number type = VT_NUMBER_BF16; type <= VT_NUMBER_INT4; ++type) {
        uint64_t first = 0;
        for (size_t i = 0; i < sizeof levels / sizeof *levels; ++i) {
            vt_mapping map;
            setenv("VARIANT_CPU", levels[i], 1);
            snprintf(to, sizeof to, "%s/%s.safetensors", folder, levels[i]);
            pack(from, to, type);
            assert_ok(vt_mapping_open(&map, to, err));
            const uint64_t hash = vt_fnv1a64(map.data, map.size);
            vt_mapping_close(&map);
            if (i == 0) first = hash;
            if (hash != first) fail_msg("%s packs otherwise than %s", levels[i], levels[0]);
        }
    }
    if (own)
        setenv("VARIANT_CPU", kept, 1);
    else
        unsetenv("VARIANT_CPU");
}

static bool yes(const vt_kern *kern) {
    (void)kern;
    return true;
}

static bool no(const vt_kern *kern) {
    (void)kern;
    return false;
}

/* The cpu backend of processors that are faster with nine taps (AMX), and of others. */
static variant_status open_nine(vt_kern **out, int threads, variant_error *e) {
    VT_TRY(vt_kern_open(out, "cpu", threads, e));
    (*out)->conv_direct = yes;
    return VARIANT_OK;
}

static variant_status open_sixteen(vt_kern **out, int threads, variant_error *e) {
    VT_TRY(vt_kern_open(out, "cpu", threads, e));
    (*out)->conv_direct = no;
    return VARIANT_OK;
}

static void wide_file(const char *path) {
    vt_kern *kern;
    vt_tokenizer *tokenizer;
    vt_transformer *transformer;
    vt_tokenizer_config a = tokenizer_config('A');
    const vt_transformer_config b = transformer_config('A');
    a.base_width = 128; /* the least whose convolutions may have either kernel */
    assert_ok(vt_kern_open(&kern, "cpu", 2, err));
    assert_ok(vt_tokenizer_open(&tokenizer, kern, &a, err));
    assert_ok(vt_transformer_open(&transformer, kern, &b, err));
    assert_ok(vt_params_synthesize(vt_tokenizer_params(tokenizer), "W", "vae", err));
    assert_ok(vt_params_synthesize(vt_transformer_params(transformer), "W", "var", err));
    const vt_model_save save = {.tokenizer = tokenizer, .transformer = transformer};
    assert_ok(vt_model_write(path, &save, err));
    vt_transformer_close(&transformer);
    vt_tokenizer_close(&tokenizer);
    vt_kern_close(&kern);
}

/* Packed on one kind of machine, used on the other: the pictures are those of where it was packed. */
static void moves_between_machines(void **state) {
    (void)state;
    static const char *const kinds[] = {"nine", "sixteen"};
    char from[128], to[160];
    assert_ok(vt_kern_register("nine", open_nine, err));
    assert_ok(vt_kern_register("sixteen", open_sixteen, err));
    snprintf(from, sizeof from, "%s/wide.safetensors", folder);
    wide_file(from);
    for (int packer = 0; packer < 2; ++packer) {
        variant_engine *own = engine_of(from, kinds[packer], "bf16");
        snprintf(to, sizeof to, "%s/%s.safetensors", folder, kinds[packer]);
        pack_by(kinds[packer], from, to, VT_NUMBER_BF16);
        for (int reader = 0; reader < 2; ++reader) {
            variant_engine *here = engine_of(to, kinds[reader], NULL);
            assert_same_pictures(own, here);
            variant_engine_close(&here);
        }
        variant_engine_close(&own);
    }
}

/* W's rows read back from what cpu packs are those that ref rounds. */
static void panels_are_as_defined(void **state) {
    (void)state;
    static const int shapes[][3] = {/* n, k, taps */
                                    {16, 64, 1},
                                    {1, 1, 1},
                                    {33, 70, 1},
                                    {40, 36, 4},
                                    {17, 144, 16}};
    vt_kern *cpu;
    assert_ok(vt_kern_open(&cpu, "cpu", 1, err));
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; ++s)
        for (vt_number type = VT_NUMBER_BF16; type <= VT_NUMBER_INT8; ++type) {
            const int n = shapes[s][0], k = shapes[s][1];
            float values[40 * 160], row[160];
            vt_weight *weight = NULL;
            vt_panels panels;
            vt_weight_spec spec = {
                .type = type, .n = n, .k = k, .taps = shapes[s][2], .values = values};
            if (type == VT_NUMBER_INT8 && spec.taps > 1) continue;
            for (int i = 0; i < n * k; ++i)
                values[i] = (float)vt_uniform(3, VT_RNG_CLASS, (uint32_t)s, (uint32_t)i, 0) - 0.5f;
            assert_ok(cpu->weight_open(cpu, &weight, &spec, err));
            const vt_packed packed = cpu->weight_packed(weight);
            assert_true(vt_panels_of(&panels, &spec));
            assert_int_equal(panels.bytes + panels.scales * sizeof(float),
                             cpu->weight_bytes(weight));
            spec.packed = &packed;
            for (int j = 0; j < n; ++j) {
                float most = 0.0f;
                for (int i = 0; i < k; ++i)
                    most = values[j * k + i] > most    ? values[j * k + i]
                           : -values[j * k + i] > most ? -values[j * k + i]
                                                       : most;
                vt_panels_row(&panels, &spec, j, row);
                for (int i = 0; i < k; ++i)
                    if (type == VT_NUMBER_BF16)
                        assert_true(row[i] == vt_round_bf16(values[j * k + i]));
                    else
                        assert_true(row[i] == rintf(values[j * k + i] * vt_int8_inverse(most)));
                if (type == VT_NUMBER_INT8) assert_true(packed.scale[j] == vt_int8_scale(most));
            }
            cpu->weight_close(cpu, &weight);
        }
    vt_kern_close(&cpu);
}

static void refuses_what_it_cannot_use(void **state) {
    (void)state;
    static _Alignas(64) uint16_t numbers[16 * 32 + 32];
    vt_kern *kern;
    vt_weight *weight = NULL;
    vt_packed packed = {.numbers = numbers + 4};
    vt_weight_spec spec = {.type = VT_NUMBER_BF16, .n = 16, .k = 32, .packed = &packed};
    assert_ok(vt_kern_open(&kern, "cpu", 1, err));
    assert_fails(kern->weight_open(kern, &weight, &spec, err), VARIANT_E_ARGUMENT,
                 "a multiple of 64");
    packed.numbers = numbers;
    spec.gradients = true;
    assert_fails(kern->weight_open(kern, &weight, &spec, err), VARIANT_E_ARGUMENT,
                 "without gradients");
    spec.gradients = false;
    spec.type = VT_NUMBER_F32;
    assert_fails(kern->weight_open(kern, &weight, &spec, err), VARIANT_E_ARGUMENT,
                 "bf16, int8 or int4");
    spec.type = VT_NUMBER_BF16;
    assert_ok(kern->weight_open(kern, &weight, &spec, err));
    assert_true(kern->weight_packed(weight).numbers == numbers);
    kern->weight_close(kern, &weight);
    vt_kern_close(&kern);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_the_same),
        cmocka_unit_test(packs_the_same_bytes),
        cmocka_unit_test(moves_between_machines),
        cmocka_unit_test(panels_are_as_defined),
        cmocka_unit_test(refuses_what_it_cannot_use),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
