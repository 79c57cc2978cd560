/* test_torch.c - PyTorch checkpoints: real ones equal the formula their weights were made by; damaged ones are refused with a line. */
#include "torch_file.h"

/* ---- real files ---- */

enum { TOKENS = 5 }; /* patch_nums 1, 2 */

static int scale_of(size_t token) {
    return token < 1 ? 0 : 1;
}

/* What tensor i of the micro model must hold, as float32. */
static void expected_values(float *out, const vt_tensor *tensor, const char *model) {
    const char *name = tensor->name;
    if (strstr(name, "zero_k_bias") || strstr(name, "ema_vocab_hit_SV")) {
        memset(out, 0, tensor->count * sizeof *out);
    } else if (strcmp(name, "lvl_1L") == 0) {
        assert_int_equal(tensor->count, TOKENS);
        for (size_t i = 0; i < TOKENS; i++) out[i] = (float)scale_of(i);
    } else if (strcmp(name, "attn_bias_for_masking") == 0) {
        assert_int_equal(tensor->count, TOKENS * TOKENS);
        for (size_t i = 0; i < TOKENS * TOKENS; i++)
            out[i] = scale_of(i / TOKENS) >= scale_of(i % TOKENS) ? 0.0f : -INFINITY;
    } else {
        vt_synth_tensor(out, "P", model, name, tensor->rank, tensor->shape);
    }
}

static void check_tensor(const vt_tensor *tensor, const char *model, vt_dtype float_type) {
    variant_error err;
    float *got = calloc(tensor->count, sizeof *got), *want = calloc(tensor->count, sizeof *want);
    assert_int_equal(vt_tensor_to_f32(tensor, got, &err), VARIANT_OK);
    expected_values(want, tensor, model);
    if (float_type == VT_F16)
        for (size_t i = 0; i < tensor->count; i++)
            want[i] = vt_f32_from_f16(vt_f16_from_f32(want[i]));
    for (size_t i = 0; i < tensor->count; i++)
        if (got[i] != want[i])
            fail_msg("%s[%zu]: %.9g, expected %.9g", tensor->name, i, got[i], want[i]);
    assert_int_equal(tensor->type, strcmp(tensor->name, "lvl_1L") == 0 ? VT_I64 : float_type);
    free(got);
    free(want);
}

static vt_tensor_file *open_golden(const char *name, const char *format, int count) {
    variant_error err;
    vt_tensor_file *file = NULL;
    char full[512];
    snprintf(full, sizeof full, GOLDEN "%s", name);
    if (vt_tensor_file_open(&file, full, &err) != VARIANT_OK) fail_msg("%s", err.message);
    assert_string_equal(vt_tensor_file_format(file), format);
    assert_int_equal(vt_tensor_file_count(file), count);
    return file;
}

static void check_bare(const char *name, const char *format, int count, const char *model,
                       vt_dtype float_type) {
    vt_tensor_file *file = open_golden(name, format, count);
    for (int i = 0; i < count; i++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        assert_string_equal(tensor->group, "");
        assert_ptr_equal(vt_tensor_file_find(file, NULL, tensor->name), tensor);
        check_tensor(tensor, model, float_type);
    }
    if (strcmp(model, "var") == 0) {
        const vt_tensor *head = vt_tensor_file_find(file, "", "head.weight");
        assert_true(head->rank == 2 && head->shape[0] == 32 && head->shape[1] == 64);
        assert_string_equal(vt_tensor_file_at(file, 0)->name, "pos_start"); /* the file's order */
    }
    vt_tensor_file_close(&file);
}

static void bare_state_dicts(void **state) {
    (void)state;
    check_bare("micro_vae.pth", "pytorch zip", 140, "vae", VT_F32);
    check_bare("micro_var.pth", "pytorch zip", 38, "var", VT_F32);
    check_bare("micro_var_fp16.pth", "pytorch zip", 38, "var", VT_F16);
    check_bare("micro_var_legacy.pth", "pytorch legacy", 38, "var", VT_F32);
}

static void trainer_checkpoint(void **state) {
    (void)state;
    vt_tensor_file *file = open_golden("micro_trainer.pth", "pytorch zip", 178);
    int vae = 0;
    for (int i = 0; i < 178; i++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        bool is_vae = strcmp(tensor->group, "trainer/vae_local") == 0;
        if (!is_vae) assert_string_equal(tensor->group, "trainer/var_wo_ddp");
        assert_ptr_equal(vt_tensor_file_find(file, tensor->group, tensor->name), tensor);
        check_tensor(tensor, is_vae ? "vae" : "var", VT_F32);
        vae += is_vae;
    }
    assert_int_equal(vae, 140);
    assert_null(vt_tensor_file_find(file, "trainer/vae_local", "head.weight"));
    assert_non_null(vt_tensor_file_find(file, NULL, "head.weight"));
    assert_string_equal(vt_tensor_file_meta(file, "trainer/config/patch_nums"), "[1,2]");
    assert_string_equal(vt_tensor_file_meta(file, "trainer/config/label_smooth"), "0");
    assert_string_equal(vt_tensor_file_meta(file, "args/depth"), "2");
    assert_string_equal(vt_tensor_file_meta(file, "args/pn"), "1_2");
    assert_string_equal(vt_tensor_file_meta(file, "epoch"), "3");
    assert_string_equal(vt_tensor_file_meta(file, "iter"), "17");
    assert_int_equal(vt_tensor_file_meta_count(file), 6);
    vt_tensor_file_close(&file);
}

/* ---- damaged files ---- */

/* Changes bytes of path in place: writing the whole file for every bit would take minutes. */
static void patch_file(FILE *stream, size_t at, const void *bytes, size_t size) {
    fseek(stream, (long)at, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    fflush(stream);
}

static const char *const golden_names[] = {"micro_vae.pth", "micro_var.pth", "micro_var_fp16.pth",
                                           "micro_var_legacy.pth", "micro_trainer.pth"};
enum { GOLDEN_COUNT = 5 };

static void truncated(void **state) {
    (void)state;
    variant_error err;
    for (int f = 0; f < GOLDEN_COUNT; f++) {
        blob whole = load(golden_names[f]);
        write_bytes(whole.bytes, whole.size);
        assert_int_equal(open_and_touch(&err), VARIANT_OK);
        /* From the longest down, so that each is one call; the first and last 256 bytes at every
         * length. */
        size_t length = whole.size;
        while (length > 0) {
            bool edge = length <= 256 || length > whole.size - 256;
            size_t step = 1 + vt_splitmix64(length) % (whole.size / 200);
            length -= edge || step > length ? 1 : step;
            assert_int_equal(truncate(path, (off_t)length), 0);
            if (open_and_touch(&err) == VARIANT_OK)
                fail_msg("%s cut to %zu is read", golden_names[f], length);
        }
        free(whole.bytes);
    }
}

/* Flips `count` random bits, one at a time, in [begin, begin + size). */
static int flip_bits(const blob *whole, size_t begin, size_t size, int count, uint64_t seed) {
    variant_error err;
    int refused = 0;
    write_bytes(whole->bytes, whole->size);
    FILE *stream = fopen(path, "r+b");
    for (int i = 0; i < count; i++) {
        uint64_t bit = vt_splitmix64(seed + (uint64_t)i) % (8 * size);
        size_t at = begin + bit / 8;
        unsigned char flipped = (unsigned char)(whole->bytes[at] ^ 1 << bit % 8);
        patch_file(stream, at, &flipped, 1);
        refused += open_and_touch(&err) != VARIANT_OK;
        patch_file(stream, at, &whole->bytes[at], 1);
    }
    fclose(stream);
    assert_int_equal(open_and_touch(&err), VARIANT_OK); /* all is as it was */
    return refused;
}

static void flipped_bits(void **state) {
    (void)state;
    for (int f = 0; f < GOLDEN_COUNT; f++) {
        blob whole = load(golden_names[f]);
        bool legacy = strstr(golden_names[f], "legacy") != NULL;
        size_t small = legacy ? 6300 : 4096;
        /* The smaller one of each format thoroughly; the others are slow and of the same kind. */
        int count = legacy || whole.size < 500000 ? 2000 : 300;
        int head = flip_bits(&whole, 0, small, count, 1);
        int tail = flip_bits(&whole, whole.size - small, small, count, 2); /* a zip's directory */
        int all = flip_bits(&whole, 0, whole.size, count, 3);
        assert_true(head > count / 10);
        if (!legacy) assert_true(tail > count / 10 && all > count / 2);
        free(whole.bytes);
    }
}

/* Bits flipped in the main pickle with the checksum made right again, so that they reach the stack
 * machine. */
static void flipped_pickles(void **state) {
    (void)state;
    variant_error err;
    for (int f = 0; f < GOLDEN_COUNT; f++) {
        if (strstr(golden_names[f], "legacy")) continue;
        blob whole = load(golden_names[f]);
        size_t data = 0, size = 0, field = find_pickle(&whole, &data, &size);
        write_bytes(whole.bytes, whole.size);
        FILE *stream = fopen(path, "r+b");
        int refused = 0;
        for (uint64_t i = 0; i < 1000; i++) {
            size_t bit = vt_splitmix64(i + 77) % (8 * size), at = data + bit / 8;
            whole.bytes[at] ^= (unsigned char)(1 << bit % 8);
            uint32_t crc = (uint32_t)crc32(0, whole.bytes + data, (uInt)size);
            unsigned char sum[4] = {(unsigned char)crc, (unsigned char)(crc >> 8),
                                    (unsigned char)(crc >> 16), (unsigned char)(crc >> 24)};
            patch_file(stream, at, &whole.bytes[at], 1);
            patch_file(stream, field, sum, 4);
            refused += open_and_touch(&err) != VARIANT_OK;
            whole.bytes[at] ^= (unsigned char)(1 << bit % 8);
            patch_file(stream, at, &whole.bytes[at], 1);
        }
        fclose(stream);
        assert_in_range(refused, 100, 999);
        free(whole.bytes);
    }
}

/* A bit of a weight is noticed, and the message says what is wrong. */
static void checksums(void **state) {
    (void)state;
    variant_error err;
    vt_tensor_file *file = open_golden("micro_var.pth", "pytorch zip", 38);
    const vt_tensor *head = vt_tensor_file_find(file, NULL, "head.weight");
    blob whole = load("micro_var.pth");
    unsigned char *found = memmem(whole.bytes, whole.size, head->data, head->bytes);
    assert_non_null(found);
    found[head->bytes / 2] ^= 0x10;
    write_bytes(whole.bytes, whole.size);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "head.weight"));
    assert_non_null(strstr(err.message, "checksum"));
    free(whole.bytes);
    vt_tensor_file_close(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_state_dicts), cmocka_unit_test(trainer_checkpoint),
        cmocka_unit_test(truncated),        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(flipped_pickles),  cmocka_unit_test(checksums),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
