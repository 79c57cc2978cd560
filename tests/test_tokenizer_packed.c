/* test_tokenizer_packed.c - pictures decoded and encoded with bf16 weights: how near they
 * come to float32's, on both backends and every instruction set; that neither threads nor batch
 * change a bit; and that int8 is refused by convolutions of every size. */
#include "tests/fixtures.h"

#include <math.h>

#include "core/cpu.h"
#include "kern/cpu/cpu.h"
#include "nn/conv.h"
#include "tokenizer/tokenizer.h"

enum { BATCH = 3 };

/* One tokenizer of the golden configuration with weights of a type, and what it made. */
typedef struct subject {
    vt_kern *kern;
    vt_tokenizer *tokenizer;
    void *memory;
    vt_arena arena;
    float *pictures, *latents; /* (BATCH, ...) */
    size_t picture_floats, latent_floats;
} subject;

enum { MEMORY = 256 << 20 };

static float *waves(size_t n, double step) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; ++i) {
        double t = step * (double)i;
        x[i] = (float)(sin(t) + 0.4 * sin(0.01 * t * (double)i));
    }
    return x;
}

static void run_passes(subject *s, int first, int count, float *pictures, float *latents) {
    float *from = waves(BATCH * s->latent_floats, 0.7);
    float *in = waves(BATCH * s->picture_floats, 0.01);
    assert_ok(vt_tokenizer_decode(s->tokenizer, &s->arena, count,
                                  from + (size_t)first * s->latent_floats, pictures, err));
    assert_ok(vt_tokenizer_encode(s->tokenizer, &s->arena, count,
                                  in + (size_t)first * s->picture_floats, latents, err));
    free(from);
    free(in);
}

static void subject_open(subject *s, const char *backend, int threads, vt_number type) {
    vt_tokenizer_config config = tokenizer_config('B');
    assert_ok(vt_kern_open(&s->kern, backend, threads, err));
    assert_ok(vt_tokenizer_open(&s->tokenizer, s->kern, &config, err));
    vt_params *params = vt_tokenizer_params(s->tokenizer);
    vt_params_set_type(params, type, false);
    assert_ok(vt_params_synthesize(params, "B", "vae", err));
    assert_ok(vt_params_prepare(params, err));
    assert_ok(s->kern->memory_reserve(s->kern, MEMORY, &s->memory, err));
    vt_arena_init(&s->arena, s->memory, MEMORY);
    size_t side = (size_t)vt_tokenizer_side(&config), small = (size_t)config.sides[2];
    s->picture_floats = side * side * 3;
    s->latent_floats = small * small * (size_t)config.latent_dim;
    s->pictures = malloc(BATCH * s->picture_floats * sizeof *s->pictures);
    s->latents = malloc(BATCH * s->latent_floats * sizeof *s->latents);
    run_passes(s, 0, BATCH, s->pictures, s->latents);
}

static void subject_close(subject *s) {
    free(s->pictures);
    free(s->latents);
    s->kern->memory_release(s->kern, s->memory, MEMORY);
    vt_tokenizer_close(&s->tokenizer);
    vt_kern_close(&s->kern);
}

/* Of the range that `want` covers, in decibels. */
static double signal_to_noise(const float *got, const float *want, size_t n) {
    double squares = 0, low = want[0], high = want[0];
    for (size_t i = 0; i < n; ++i) {
        double off = (double)got[i] - want[i];
        squares += off * off;
        low = fmin(low, want[i]);
        high = fmax(high, want[i]);
    }
    return 10 * log10((high - low) * (high - low) * (double)n / squares);
}

static void assert_near(const subject *got, const subject *want, double decibels) {
    double pictures = signal_to_noise(got->pictures, want->pictures, BATCH * got->picture_floats);
    double latents = signal_to_noise(got->latents, want->latents, BATCH * got->latent_floats);
    print_message("%s: pictures at %.1f dB, latents at %.1f dB\n",
                  got->kern->details ? got->kern->details : got->kern->name, pictures, latents);
    assert_true(pictures > decibels);
    assert_true(latents > decibels);
}

/* A number that falls on the other side of a rounding early on moves many behind it, so two
 * backends agree little better with each other than with float32. */
static void near_float32(vt_number type, double decibels, double to_ref) {
    subject exact, defined;
    subject_open(&exact, "ref", 1, VT_NUMBER_F32);
    subject_open(&defined, "ref", 1, type);
    assert_near(&defined, &exact, decibels);
    unsetenv("VARIANT_CPU");
    for (int isa = 0, best = (int)vt_isa_best(); isa <= best; ++isa) {
        subject s;
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        subject_open(&s, "cpu", 2, type);
        assert_near(&s, &exact, decibels);
        assert_near(&s, &defined, to_ref);
        subject_close(&s);
    }
    unsetenv("VARIANT_CPU");
    subject_close(&exact);
    subject_close(&defined);
}

static void test_bf16(void **state) {
    (void)state;
    near_float32(VT_NUMBER_BF16, 45, 50);
}

static void test_bits(void **state) {
    (void)state;
    for (int type = VT_NUMBER_F32; type <= VT_NUMBER_BF16; ++type) {
        subject one, three;
        subject_open(&one, "cpu", 1, (vt_number)type);
        subject_open(&three, "cpu", 3, (vt_number)type);
        size_t pictures = BATCH * one.picture_floats, latents = BATCH * one.latent_floats;
        assert_memory_equal(one.pictures, three.pictures, pictures * sizeof(float));
        assert_memory_equal(one.latents, three.latents, latents * sizeof(float));
        float *alone = malloc(one.picture_floats * sizeof(float)),
              *latent = malloc(one.latent_floats * sizeof(float));
        for (int i = 0; i < BATCH; ++i) {
            run_passes(&three, i, 1, alone, latent);
            assert_memory_equal(alone, one.pictures + (size_t)i * one.picture_floats,
                                one.picture_floats * sizeof(float));
            assert_memory_equal(latent, one.latents + (size_t)i * one.latent_floats,
                                one.latent_floats * sizeof(float));
        }
        free(alone);
        free(latent);
        subject_close(&one);
        subject_close(&three);
    }
}

static void test_int8(void **state) {
    (void)state;
    for (int kernel = 1; kernel <= 3; kernel += 2) {
        vt_kern *kern = NULL;
        vt_params params;
        vt_conv2d conv;
        variant_error error = {0};
        assert_ok(vt_kern_open(&kern, "cpu", 1, err));
        vt_params_init(&params, kern);
        vt_conv2d_register(&conv, &params, 32, 32, kernel, 1, "nin");
        vt_params_set_type(&params, VT_NUMBER_INT8, false);
        assert_int_equal(vt_params_synthesize(&params, "B", "vae", &error), VARIANT_E_UNSUPPORTED);
        assert_non_null(strstr(error.message, "nin.weight"));
        assert_null(conv.w->weight);
        vt_params_close(&params);
        vt_kern_close(&kern);
    }
}

/* A convolution of 128 to 128 channels on pictures of 10 x 10, with weights of a type; returns its result and the bytes of
 * its weight. */
static float *wide_convolution(vt_kern *kern, vt_number type, size_t *bytes) {
    enum { SIDE = 10, CHANNELS = 128, FLOATS = SIDE * SIDE * CHANNELS };
    vt_params params;
    vt_conv2d conv;
    void *memory;
    vt_arena arena;
    vt_params_init(&params, kern);
    vt_conv2d_register(&conv, &params, CHANNELS, CHANNELS, 3, 1, "wide");
    vt_params_set_type(&params, type, false);
    assert_ok(vt_params_synthesize(&params, "B", "vae", err));
    assert_ok(vt_params_prepare(&params, err));
    assert_ok(kern->memory_reserve(kern, MEMORY, &memory, err));
    vt_arena_init(&arena, memory, MEMORY);
    const vt_picture_run run = {.kern = kern, .arena = &arena, .batch = 1};
    float *x = waves(FLOATS, 0.3), *y = malloc(FLOATS * sizeof *y);
    assert_ok(vt_conv2d_forward(&conv, &run, SIDE, x, y, err));
    *bytes = kern->weight_bytes(conv.w->weight);
    free(x);
    kern->memory_release(kern, memory, MEMORY);
    vt_params_close(&params);
    return y;
}

/* Wide ones are in Winograd's domain, 16 taps, where the backend does not say that nine are faster. */
static void test_taps(void **state) {
    (void)state;
    vt_kern *ref = NULL, *cpu = NULL;
    size_t bytes;
    assert_ok(vt_kern_open(&ref, "ref", 1, err));
    assert_ok(vt_kern_open(&cpu, "cpu", 2, err));
    float *want = wide_convolution(ref, VT_NUMBER_F32, &bytes);
    float *got = wide_convolution(cpu, VT_NUMBER_BF16, &bytes);
    assert_int_equal(bytes, (cpu->conv_direct(cpu) ? 9 : 16) * 128 * 128 * 2);
    assert_false(ref->conv_direct(ref));
    assert_int_equal(cpu->conv_direct(cpu), strcmp(vt_cpu_tiles(cpu)->name, "amx") == 0);
    assert_true(signal_to_noise(got, want, 10 * 10 * 128) > 50);
    free(want);
    free(got);
    vt_kern_close(&ref);
    vt_kern_close(&cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
