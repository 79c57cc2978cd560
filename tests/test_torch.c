/* PyTorch checkpoints: real ones equal the formula their weights were made by; damaged and hostile
 * ones are refused with a line, and nothing in them is ever run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/rng.h"
#include "io/file.h"
#include "io/synth.h"
#include "io/tensors.h"

#define GOLDEN VARIANT_TEST_DIR "/golden/torch/"

static char path[] = "/dev/shm/variant-torch-XXXXXX"; /* in memory where there is such a place */

static int make_file(void **state) {
    (void)state;
    if (access("/dev/shm", W_OK) != 0) strcpy(path, "/tmp/variant-torch-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static int drop_file(void **state) {
    (void)state;
    return unlink(path);
}

/* A new file each time: some file systems write a file that is cut to nothing and filled again to
 * disk at once. */
static void write_bytes(const void *bytes, size_t size) {
    unlink(path);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

static volatile unsigned touched;

/* Opens path; reads the ends of every tensor, so that a pointer outside the file would fault. */
static variant_status open_and_touch(variant_error *err) {
    vt_tensor_file *file = NULL;
    variant_status status = vt_tensor_file_open(&file, path, err);
    if (status != VARIANT_OK) {
        assert_null(file);
        if (status != VARIANT_E_FORMAT || !strstr(err->message, path) || strchr(err->message, '\n'))
            fail_msg("%s: %s", variant_status_name(status), err->message);
        return status;
    }
    for (int i = 0; i < vt_tensor_file_count(file); i++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        assert_non_null(tensor->data);
        assert_int_equal((uintptr_t)tensor->data % vt_dtype_size(tensor->type), 0);
        if (!tensor->bytes) continue;
        touched += ((const unsigned char *)tensor->data)[0];
        touched += ((const unsigned char *)tensor->data)[tensor->bytes - 1];
    }
    vt_tensor_file_close(&file);
    return status;
}

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

typedef struct blob {
    unsigned char *bytes;
    size_t size;
} blob;

static blob load(const char *name) {
    variant_error err;
    char full[512];
    vt_mapping map;
    snprintf(full, sizeof full, GOLDEN "%s", name);
    assert_int_equal(vt_mapping_open(&map, full, &err), VARIANT_OK);
    blob out = {malloc(map.size), map.size};
    memcpy(out.bytes, map.data, map.size);
    vt_mapping_close(&map);
    return out;
}

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

static uint32_t little32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The directory's checksum field of data.pkl, and where its bytes are. */
static size_t find_pickle(const blob *zip, size_t *data, size_t *size) {
    for (size_t at = 0; at + 46 < zip->size; at++) {
        const unsigned char *entry = zip->bytes + at;
        if (memcmp(entry, "PK\1\2", 4) != 0) continue;
        size_t name = entry[28] + 256u * entry[29];
        if (name < 8 || memcmp(entry + 46 + name - 8, "data.pkl", 8) != 0) continue;
        const unsigned char *local = zip->bytes + little32(entry + 42);
        *data = (size_t)(local - zip->bytes) + 30 + local[26] + 256u * local[27] + local[28] +
                256u * local[29];
        *size = little32(entry + 24);
        return at + 16;
    }
    fail_msg("no data.pkl");
    return 0;
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

/* ---- hand-made pickles, as the main pickle of a legacy file ---- */

typedef struct text {
    unsigned char bytes[1 << 20];
    size_t size;
} text;

static text made;

static void put(const void *bytes, size_t size) {
    assert_true(made.size + size <= sizeof made.bytes);
    memcpy(made.bytes + made.size, bytes, size);
    made.size += size;
}

#define PUT(literal) put(literal, sizeof(literal) - 1)

static void put_int(int64_t value) { /* LONG1 of eight bytes */
    PUT("\x8a\x08");
    put(&value, 8);
}

static void put_string(const char *string) {
    PUT("U");
    made.bytes[made.size++] = (unsigned char)strlen(string);
    put(string, strlen(string));
}

/* Everything before the main pickle. */
static void start(void) {
    made.size = 0;
    PUT("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    PUT("\x80\x02M\xe9\x03.");
    PUT("\x80\x02}U\x0dlittle_endian\x88s.");
    PUT("\x80\x02");
}

/* STOP and, where the pickle mentions a storage, the list of one storage "0" and its data: six
 * floats 0 to 5. */
static variant_status finish(variant_error *err) {
    bool mentioned = memmem(made.bytes, made.size, "storage", 7) != NULL;
    if (!mentioned) {
        PUT(".\x80\x02].");
        write_bytes(made.bytes, made.size);
        return open_and_touch(err);
    }
    PUT(".\x80\x02]U\x01"
        "0a.");
    int64_t count = 6;
    put(&count, 8);
    for (int i = 0; i < 6; i++) put(&(float){(float)i}, 4);
    write_bytes(made.bytes, made.size);
    return open_and_touch(err);
}

static void put_storage(const char *type) {
    PUT("(U\x07storage");
    PUT("ctorch\n");
    put(type, strlen(type));
    PUT("\nU\x01"
        "0U\x03"
        "cpuK\x06NtQ");
}

/* function(storage, offset, (rows, columns), (down, right), False, {}) */
static void put_tensor(const char *function, int64_t offset, int64_t rows, int64_t columns,
                       int64_t down, int64_t right) {
    put(function, strlen(function));
    PUT("(");
    put_storage("FloatStorage");
    put_int(offset);
    put_int(rows);
    put_int(columns);
    PUT("\x86");
    put_int(down);
    put_int(right);
    PUT("\x86\x89}tR");
}

#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"

static variant_status try_view(int64_t offset, int64_t rows, int64_t columns, int64_t down,
                               int64_t right, variant_error *err) {
    start();
    PUT("}U\x01w");
    put_tensor(REBUILD, offset, rows, columns, down, right);
    PUT("s");
    return finish(err);
}

static void views(void **state) {
    (void)state;
    static const float transposed[6] = {0, 3, 1, 4, 2, 5};
    static const float repeated[6] = {2, 3, 2, 3, 2, 3};
    variant_error err;
    vt_tensor_file *file = NULL;
    assert_int_equal(try_view(0, 2, 3, 3, 1, &err), VARIANT_OK);
    assert_int_equal(try_view(0, 3, 2, 1, 3, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_memory_equal(vt_tensor_file_find(file, "", "w")->data, transposed, sizeof transposed);
    vt_tensor_file_close(&file);
    assert_int_equal(try_view(2, 3, 2, 0, 1, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_memory_equal(vt_tensor_file_find(file, "", "w")->data, repeated, sizeof repeated);
    vt_tensor_file_close(&file);
    assert_int_equal(try_view(5, 1, 1, 99, 99, &err),
                     VARIANT_OK); /* strides of single sides do not matter */
    assert_int_equal(try_view(99, 0, 3, 3, 1, &err), VARIANT_OK); /* no elements, no reach */

    const int64_t huge = INT64_MAX;
    const int64_t bad[][5] = {{1, 2, 3, 3, 1},        {6, 1, 1, 1, 1},        {0, 2, 3, 4, 1},
                              {-1, 2, 3, 3, 1},       {0, -2, 3, 3, 1},       {0, 2, 3, -3, 1},
                              {huge, 1, 1, 1, 1},     {0, huge, huge, 1, 1},  {0, huge, 1, 0, 0},
                              {0, 2, 2, huge, huge},  {0, huge / 8, 2, 0, 1}, {huge, 2, 2, huge, 1},
                              {0, 2, 3, huge / 2, 1}, {0, 1 << 30, 1, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (try_view(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], &err) !=
            VARIANT_E_FORMAT)
            fail_msg("view %zu is read", i);
    }
}

static void expect_refused(const char *word) {
    variant_error err;
    if (finish(&err) != VARIANT_E_FORMAT) fail_msg("'%s': not refused", word);
    if (!strstr(err.message, word)) fail_msg("'%s' is not in: %s", word, err.message);
}

/* The file is read; its one tensor says what it is when it is asked for its numbers. */
static void expect_other(const char *type) {
    variant_error err;
    float numbers[8];
    vt_tensor_file *file = NULL;
    if (finish(&err) != VARIANT_OK) fail_msg("%s: %s", type, err.message);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "w");
    assert_non_null(tensor);
    assert_int_equal(tensor->type, VT_OTHER);
    assert_string_equal(vt_tensor_type_name(tensor), type);
    vt_tensor asked = *tensor;
    asked.count = 1;
    assert_int_equal(vt_tensor_to_f32(&asked, numbers, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, type));
    vt_tensor_file_close(&file);
}

static void unknown_functions(void **state) {
    (void)state;
    variant_error err;
    /* A tensor made by a function that is not known, or of a type that is not read, is named, and an error
     * for whoever asks for its numbers. */
    start();
    PUT("}U\x01w");
    put_tensor("cevil\nmake_tensor\n", 0, 2, 3, 3, 1);
    PUT("s");
    expect_other("evil.make_tensor");
    start();
    PUT("}U\x01wctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage("QInt8Storage");
    put_int(0);
    PUT("K\6\x85K\1\x85tRs");
    expect_other("QInt8Storage");

    /* A call to a function of the system is a record: nothing happens, and what is beside it is
     * read. */
    char marker[sizeof path + 8], command[128];
    snprintf(marker, sizeof marker, "%s.ran", path);
    snprintf(command, sizeof command, "touch %s", marker);
    start();
    PUT("}U\x01xcos\nsystem\n");
    put_string(command);
    PUT("\x85RsU\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    assert_int_equal(finish(&err), VARIANT_OK);
    assert_int_not_equal(access(marker, F_OK), 0);
    start();
    PUT("cos\nsystem\n");
    put_string(command);
    PUT("\x85R");
    expect_refused("no tensors");
    assert_int_not_equal(access(marker, F_OK), 0);
}

static void layouts(void **state) {
    (void)state;
    variant_error err;
    vt_tensor_file *file = NULL;
    /* {"state_dict": {"w": parameter}, "args": Namespace(lr=0.5, name="x"), "groups": [{"k": 1}],
     * "sizes": Size(2, 3), "odd": {7: w2, None: 1}} */
    start();
    PUT("}U\x0astate_dict}U\x01wctorch._utils\n_rebuild_parameter\n(");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("\x88"
        "ccollections\nOrderedDict\n)RtRss");
    PUT("U\x04"
        "argscargparse\nNamespace\n)\x81}U\x02lrG\x3f\xe0\0\0\0\0\0\0sU\x04nameU\x01xsbs");
    PUT("U\x06groups]}U\x01kK\x01sas");
    PUT("U\x05sizesctorch\nSize\nK\x02K\x03\x86\x85Rs");
    PUT("U\x03odd}K\x07");
    put_tensor(REBUILD, 3, 1, 3, 3, 1);
    PUT("sNK\x01ss");
    assert_int_equal(finish(&err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_count(file), 2);
    assert_non_null(vt_tensor_file_find(file, "state_dict", "w"));
    assert_non_null(vt_tensor_file_find(file, "odd", "7"));
    assert_true(((const float *)vt_tensor_file_find(file, NULL, "7")->data)[0] == 3.0f);
    assert_string_equal(vt_tensor_file_meta(file, "args/lr"), "0.5");
    assert_string_equal(vt_tensor_file_meta(file, "args/name"), "x");
    assert_string_equal(vt_tensor_file_meta(file, "groups/0/k"), "1");
    assert_string_equal(vt_tensor_file_meta(file, "sizes"), "[2,3]");
    assert_int_equal(vt_tensor_file_meta_count(file), 4);
    vt_tensor_file_close(&file);
    /* Protocol 4: frames, memoised strings, names from the stack. */
    start();
    PUT("\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94\x8c\x01w\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_"
        "tensor_v2\x94\x93\x94(");
    PUT("(\x8c\x07storage\x8c\x05torch\x8c\x0c"
        "FloatStorage\x93\x8c\x01"
        "0\x8c\x03"
        "cpuK\x06NtQK\0K\x06\x85K\x01\x85\x89}tRs");
    assert_int_equal(finish(&err), VARIANT_OK);
    /* The same name twice. */
    start();
    PUT("}U\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("sU\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    expect_refused("twice");
}

static void hostile(void **state) {
    (void)state;
    variant_error err;
    static const struct {
        const char *bytes;
        size_t size;
        const char *word;
    } cases[] = {
#define CASE(literal, word) {literal, sizeof(literal) - 1, word}
        CASE("\xff", "unknown instruction 0xff"),
        CASE("P1\n", "unknown instruction"),
        CASE("i", "unknown instruction"),
        CASE("X\xff\xff\xff\xff", "ends early"),
        CASE("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "ends early"),
        CASE("\x8b\xff\xff\xff\xff", "ends early"),
        CASE("]r\xff\xff\xff\xff", "memo index"),
        CASE("]r\xff\xff\x3f\0", "no tensors"), /* the largest index there may be */
        CASE("j\xff\xff\xff\xff", "memo index"),
        CASE("h\x07", "memo index"),
        CASE("q\0", "stack is empty"),
        CASE("0", "stack is empty"),
        CASE("\x87", "stack is empty"),
        CASE("K\x01(\x85", "stack is empty"),
        CASE("t", "no mark"),
        CASE("]K\x01K\x01s", "no container"),
        CASE("}(K\x01u", "without a value"),
        CASE("K\x01K\x01R", "no tuple"),
        CASE("K\x01K\x01\x93", "no string"),
        CASE("ccollections\nOrderedDict\n]K\x01"
             "a\x85R",
             "no pairs"),
        CASE("ccollections\nOrderedDict\nK\x01\x85R", "no list"),
        CASE("K\x01Q", "persistent id"),
        CASE("}U\x01wctorch._utils\n_rebuild_tensor_v2\n)Rs", "not rebuilt from"),
        CASE("}q\0U\x01"
             "ah\0s",
             "nested"), /* contains itself */
        CASE("]q\0h\0"
             "a",
             "nested"),
        CASE("cx\ny\n)Rq\0h\0b", "no tensors"), /* its own state */
        CASE("N", "no tensors"),
        CASE("(", "stack is empty"),
        CASE("", "stack is empty"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start();
        put(cases[i].bytes, cases[i].size);
        expect_refused(cases[i].word);
    }

    /* Nested deeper than a stack of calls would bear. */
    start();
    for (int i = 0; i < 200000; i++) PUT("]");
    for (int i = 0; i < 199999; i++) PUT("a");
    expect_refused("nested");
    start();
    for (int i = 0; i < 200000; i++) PUT("(");
    expect_refused("more values");

    /* Each level holds the last one twice: 2^40 values in 200 bytes, as lists and as dictionaries.
     */
    start();
    PUT("]q\0");
    for (int i = 0; i < 40; i++) PUT("0](h\0h\0eq\0");
    expect_refused("more values");
    start();
    PUT("}q\0");
    for (int i = 0; i < 40; i++) PUT("0}(K\x01h\0K\x02h\0uq\0");
    expect_refused("more memory"); /* that its paths would take */

    /* One list that is the argument of ever more calls of unknown functions. */
    start();
    PUT("]q\0");
    for (int i = 0; i < 40; i++) PUT("0cx\ny\n](h\0h\0e\x85Rq\0");
    expect_refused("no tensors");

    /* A control character in a name stays out of the message. */
    start();
    PUT("}U\x03w\nxctorch._utils\n_rebuild_tensor_v2\n)Rs");
    expect_refused("w?x");

    /* Noise after each prefix of a sound pickle. */
    start();
    size_t head = made.size;
    PUT("}U\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    size_t sound = made.size;
    for (uint64_t i = 0; i < 2000; i++) {
        made.size = head + vt_splitmix64(i) % (sound - head);
        for (int j = 0; j < 24; j++) {
            unsigned char byte = (unsigned char)vt_splitmix64(i * 24 + (uint64_t)j + 9);
            put(&byte, 1);
        }
        finish(&err);
        start();
        PUT("}U\x01w");
        put_tensor(REBUILD, 0, 2, 3, 3, 1);
        PUT("s");
    }
}

/* A zip that says it is larger than it is, in every way zip64 offers. */
static void hostile_zip(void **state) {
    (void)state;
    variant_error err;
    write_bytes("PK\3\4", 4);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    blob whole = load("micro_var_fp16.pth");
    size_t data = 0, size = 0, field = find_pickle(&whole, &data, &size);
    static const size_t fields[] = {20, 24, 42}; /* stored size, size, header offset */
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t value = 1; value; value <<= 1) {
            blob copy = load("micro_var_fp16.pth");
            uint32_t huge = value == 1 ? UINT32_MAX : value;
            memcpy(copy.bytes + field - 16 + fields[i], &huge, 4);
            write_bytes(copy.bytes, copy.size);
            variant_status status = open_and_touch(&err);
            uint32_t was = little32(whole.bytes + field - 16 + fields[i]);
            assert_int_equal(status, huge == was ? VARIANT_OK : VARIANT_E_FORMAT);
            free(copy.bytes);
        }
    }
    whole.bytes[field - 6] = 8; /* deflated, which its bytes are not */
    write_bytes(whole.bytes, whole.size);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "packed bytes end or break"));
    whole.bytes[field - 6] = 12; /* bzip2 */
    write_bytes(whole.bytes, whole.size);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "another method than deflate"));
    free(whole.bytes);
}

static void put_number(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        made.bytes[made.size++] = (unsigned char)(i < 8 ? value >> (8 * i) : 0);
}

/* A directory entry whose three large fields are in the zip64 extra field. */
static void put_entry64(const char *name, uint32_t crc, uint64_t size, uint64_t header) {
    PUT("PK\1\2\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    put_number(crc, 4);
    put_number(UINT64_MAX, 8);
    put_number(strlen(name), 2);
    put_number(28, 2);
    put_number(0, 10);
    put_number(UINT32_MAX, 4);
    put(name, strlen(name));
    PUT("\1\0\x18\0");
    put_number(size, 8);
    put_number(size, 8);
    put_number(header, 8);
}

static void put_local(const char *name) {
    PUT("PK\3\4\x2d\0\0\0\0\0\0\0\0\0");
    put_number(0, 12);
    put_number(strlen(name), 2);
    put_number(0, 2);
    put(name, strlen(name));
}

static void write_at(FILE *stream, uint64_t at) {
    assert_int_equal(fseeko(stream, (off_t)at, SEEK_SET), 0);
    assert_int_equal(fwrite(made.bytes, 1, made.size, stream), made.size);
}

/* A checkpoint past 4 GB (with a hole in it, so that it takes no room): zip64 throughout, mapped in
 * place. */
static void large_zip(void **state) {
    (void)state;
    const uint64_t size = (uint64_t)4500 << 20, pickle_at = 64 + size;
    variant_error err;
    vt_tensor_file *file = NULL;
    unlink(path);
    FILE *stream = fopen(path, "wb");
    made.size = 0;
    put_local("m/data/0"); /* 38 bytes; an extra field fills up to 64, as real files do */
    made.bytes[28] = 26;
    made.size += 26;
    write_at(stream, 0);
    made.size = 0;
    put((const float[]){7, 8}, 8);
    write_at(stream, pickle_at - 8);

    made.size = 0;
    PUT("\x80\x02}U\x01w" REBUILD "((U\x07storagectorch\nFloatStorage\nU\x01"
        "0U\x03"
        "cpu");
    put_int((int64_t)(size / 4));
    PUT("tQ");
    put_int((int64_t)(size / 4 - 2));
    PUT("K\2\x85K\1\x85\x89}tRs.");
    static unsigned char pickle[512];
    size_t pickle_size = made.size;
    assert_in_range(pickle_size, 1, sizeof pickle);
    memcpy(pickle, made.bytes, pickle_size);
    uint32_t crc = (uint32_t)crc32(0, pickle, (uInt)pickle_size);

    made.size = 0;
    put_local("m/data.pkl");
    put(pickle, pickle_size);
    uint64_t directory_at = pickle_at + made.size, before = made.size;
    put_entry64("m/data/0", 0, size, 0);
    put_entry64("m/data.pkl", crc, pickle_size, pickle_at);
    uint64_t directory_size = made.size - before, end_at = pickle_at + made.size;
    PUT("PK\6\6");
    put_number(44, 8);
    put_number(45 | 45 << 16, 4);
    put_number(0, 8);
    put_number(2, 8);
    put_number(2, 8);
    put_number(directory_size, 8);
    put_number(directory_at, 8);
    PUT("PK\6\7");
    put_number(0, 4);
    put_number(end_at, 8);
    put_number(1, 4);
    PUT("PK\5\6\0\0\0\0");
    put_number(UINT64_MAX, 8);
    put_number(UINT32_MAX, 4);
    put_number(0, 2);
    write_at(stream, pickle_at);
    assert_int_equal(fclose(stream), 0);

    if (vt_tensor_file_open(&file, path, &err) != VARIANT_OK) fail_msg("%s", err.message);
    const vt_tensor *tensor = vt_tensor_file_find(file, "", "w");
    assert_non_null(tensor);
    assert_int_equal(tensor->count, 2);
    assert_true(((const float *)tensor->data)[0] == 7 && ((const float *)tensor->data)[1] == 8);
    vt_tensor_file_close(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_state_dicts),
        cmocka_unit_test(trainer_checkpoint),
        cmocka_unit_test(truncated),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(flipped_pickles),
        cmocka_unit_test(checksums),
        cmocka_unit_test(views),
        cmocka_unit_test(unknown_functions),
        cmocka_unit_test(layouts),
        cmocka_unit_test(hostile),
        cmocka_unit_test(hostile_zip),
        cmocka_unit_test(large_zip),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
