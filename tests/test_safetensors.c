/* Model files in safetensors, the files beneath them (mapping, atomic replacement) and synthetic
 * tensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rng.h"
#include "io/file.h"
#include "io/synth.h"
#include "io/tensors.h"

static char folder[] = "/tmp/variant-safetensors-XXXXXX";
static char path[128];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static size_t entries_in_folder(void) {
    char command[256];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *pipe = popen(command, "r");
    size_t count = 0;
    assert_int_equal(fscanf(pipe, "%zu", &count), 1);
    pclose(pipe);
    return count;
}

/* Not through vt_file_write, and a new file each time: thousands of files forced to disk would take
 * minutes. */
static void write_bytes(const void *bytes, size_t size) {
    unlink(path);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

static volatile unsigned touched; /* so that the reads below happen */

/* Opens path; reads the ends of every tensor, so that a pointer outside the file would fault. */
static variant_status open_and_touch(variant_error *err) {
    unsigned sum = 0;
    vt_tensor_file *file = NULL;
    variant_status status = vt_tensor_file_open(&file, path, err);
    if (status != VARIANT_OK) {
        assert_null(file);
        assert_non_null(strstr(err->message, path));
        assert_null(strchr(err->message, '\n'));
        return status;
    }
    for (int i = 0; i < vt_tensor_file_count(file); i++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        assert_non_null(tensor->data);
        assert_int_equal((uintptr_t)tensor->data % vt_dtype_size(tensor->type), 0);
        if (!tensor->bytes) continue;
        sum += ((const unsigned char *)tensor->data)[0];
        sum += ((const unsigned char *)tensor->data)[tensor->bytes - 1];
    }
    touched = sum;
    vt_tensor_file_close(&file);
    assert_null(file);
    return status;
}

/* A file with this header and `data` zero bytes. */
static variant_status try_header(const char *header, size_t data, variant_error *err) {
    size_t length = strlen(header);
    unsigned char *bytes = calloc(1, 8 + length + data + 1);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    write_bytes(bytes, 8 + length + data);
    free(bytes);
    return open_and_touch(err);
}

static const int64_t sides[3] = {2, 3, 5};

static void write_every_type(unsigned char data[VT_OTHER][30 * 8]) {
    static char names[VT_OTHER][16];
    static const char *const keys[] = {"variant.config", "quoted \"key\""};
    static const char *const values[] = {"{\"depth\": 4}", "line\nand \xc3\xa9"};
    vt_tensor_out out[VT_OTHER + 2];
    variant_error err;
    for (int t = 0; t < VT_OTHER; t++) {
        for (int i = 0; i < 30 * 8; i++)
            data[t][i] = (unsigned char)(vt_splitmix64((uint64_t)(t * 1000 + i)));
        snprintf(names[t], sizeof names[t], "tensor.%s", vt_dtype_name((vt_dtype)t));
        out[t] = (vt_tensor_out){.name = names[t], .type = (vt_dtype)t, .rank = 3, .data = data[t]};
        memcpy(out[t].shape, sides, sizeof sides);
    }
    out[VT_OTHER] = (vt_tensor_out){.name = "scalar", .type = VT_F32, .rank = 0, .data = data[0]};
    out[VT_OTHER + 1] =
        (vt_tensor_out){.name = "empty", .type = VT_F32, .rank = 2, .shape = {0, 7}};
    assert_int_equal(vt_safetensors_write(path, out, VT_OTHER + 2, keys, values, 2, &err),
                     VARIANT_OK);
}

static void round_trip(void **state) {
    (void)state;
    static unsigned char data[VT_OTHER][30 * 8];
    variant_error err;
    vt_tensor_file *file = NULL;
    write_every_type(data);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_string_equal(vt_tensor_file_format(file), "safetensors");
    assert_string_equal(vt_tensor_file_path(file), path);
    assert_int_equal(vt_tensor_file_count(file), VT_OTHER + 2);
    for (int t = 0; t < VT_OTHER; t++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, t); /* the order of writing */
        char name[32];
        snprintf(name, sizeof name, "tensor.%s", vt_dtype_name((vt_dtype)t));
        assert_ptr_equal(tensor, vt_tensor_file_find(file, NULL, name));
        assert_ptr_equal(tensor, vt_tensor_file_find(file, "", name));
        assert_null(vt_tensor_file_find(file, "group", name));
        assert_int_equal(tensor->type, t);
        assert_int_equal(tensor->rank, 3);
        assert_memory_equal(tensor->shape, sides, sizeof sides);
        assert_int_equal(tensor->count, 30);
        assert_int_equal(tensor->bytes, 30 * vt_dtype_size((vt_dtype)t));
        assert_memory_equal(tensor->data, data[t], tensor->bytes);
        assert_int_equal((uintptr_t)tensor->data % vt_dtype_size((vt_dtype)t), 0);
    }
    assert_int_equal(vt_tensor_file_find(file, NULL, "scalar")->count, 1);
    assert_int_equal(vt_tensor_file_find(file, NULL, "empty")->count, 0);
    assert_null(vt_tensor_file_find(file, NULL, "tensor"));
    assert_null(vt_tensor_file_find(file, NULL, "zzz"));
    assert_null(vt_tensor_file_at(file, VT_OTHER + 2));
    assert_int_equal(vt_tensor_file_meta_count(file), 2);
    assert_string_equal(vt_tensor_file_meta(file, "variant.config"), "{\"depth\": 4}");
    assert_string_equal(vt_tensor_file_meta(file, "quoted \"key\""), "line\nand \xc3\xa9");
    assert_null(vt_tensor_file_meta(file, "depth"));
    vt_tensor_file_close(&file);

    unsigned char head[8];
    FILE *stream = fopen(path, "rb");
    assert_int_equal(fread(head, 1, 8, stream), 8);
    fclose(stream);
    assert_int_equal((8 + head[0] + 256 * head[1]) % 64, 0); /* data can be mapped */
}

/* cJSON writes fifteen digits of these. */
static void wide_sides_are_written_whole(void **state) {
    (void)state;
    variant_error err;
    vt_tensor_file *file = NULL;
    const vt_tensor_out none = {.name = "none",
                                .type = VT_F32,
                                .rank = 2,
                                .shape = {((int64_t)1 << 53) - 1, 0},
                                .data = ""};
    assert_int_equal(vt_safetensors_write(path, &none, 1, NULL, NULL, 0, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_true(vt_tensor_file_at(file, 0)->shape[0] == ((int64_t)1 << 53) - 1);
    vt_tensor_file_close(&file);
}

static void writing_refuses(void **state) {
    (void)state;
    variant_error err;
    float x = 1;
    vt_tensor_out twice[2] = {{.name = "a", .rank = 1, .shape = {1}, .data = &x},
                              {.name = "a", .rank = 1, .shape = {1}, .data = &x}};
    assert_int_equal(vt_safetensors_write(path, twice, 2, NULL, NULL, 0, &err), VARIANT_E_ARGUMENT);
    twice[0].rank = VT_MAX_RANK + 1;
    assert_int_equal(vt_safetensors_write(path, twice, 1, NULL, NULL, 0, &err), VARIANT_E_ARGUMENT);
    assert_int_not_equal(
        vt_safetensors_write("/nonexistent/folder/x", twice + 1, 1, NULL, NULL, 0, NULL),
        VARIANT_OK);
}

static void conversions(void **state) {
    (void)state;
    /* Every half value there is goes to float and back unchanged (NaN to a NaN). */
    for (uint32_t half = 0; half < 65536; half++) {
        float f = vt_f32_from_f16((uint16_t)half), b = vt_f32_from_bf16((uint16_t)half);
        if (isnan(f))
            assert_true(isnan(vt_f32_from_f16(vt_f16_from_f32(f))));
        else
            assert_int_equal(vt_f16_from_f32(f), half);
        if (isnan(b))
            assert_true(isnan(vt_f32_from_bf16(vt_bf16_from_f32(b))));
        else
            assert_int_equal(vt_bf16_from_f32(b), half);
    }
    assert_true(vt_f32_from_f16(0x3c00) == 1.0f && vt_f32_from_f16(0x0001) == 0x1p-24f);
    assert_true(vt_f32_from_f16(0x7bff) == 65504.0f && isinf(vt_f32_from_f16(0xfc00)));
    /* Halfway goes to even, just beyond goes up; between any two neighbours. */
    for (uint32_t half = 0; half < 0x7bff; half++) {
        float low = vt_f32_from_f16((uint16_t)half), high = vt_f32_from_f16((uint16_t)(half + 1));
        float middle = 0.5f * (low + high);
        assert_int_equal(vt_f16_from_f32(middle), half + (half & 1));
        assert_int_equal(vt_f16_from_f32(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(vt_f16_from_f32(-nextafterf(middle, 0)), half | 0x8000);
    }
    assert_int_equal(vt_f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(vt_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(vt_bf16_from_f32(0x1.01p0f), 0x3f80); /* halfway, even below */
    assert_int_equal(vt_bf16_from_f32(0x1.03p0f), 0x3f82); /* halfway, even above */
    assert_int_equal(vt_bf16_from_f32(3.4e38f), 0x7f80);

    variant_error err;
    float f[3];
    int32_t n[3];
    const int64_t large[3] = {1, -2, (int64_t)1 << 31};
    const double doubles[3] = {0.1, -2.5, 1e300};
    vt_tensor tensor = {.name = "x",
                        .type = VT_I64,
                        .rank = 1,
                        .shape = {3},
                        .count = 3,
                        .bytes = 24,
                        .data = large};
    assert_int_equal(vt_tensor_to_f32(&tensor, f, &err), VARIANT_OK);
    assert_true(f[0] == 1 && f[1] == -2 && f[2] == 0x1p31f);
    assert_int_equal(vt_tensor_to_i32(&tensor, n, &err), VARIANT_E_FORMAT);
    tensor.count = 2;
    assert_int_equal(vt_tensor_to_i32(&tensor, n, &err), VARIANT_OK);
    assert_true(n[0] == 1 && n[1] == -2);
    tensor = (vt_tensor){.name = "x", .type = VT_F64, .count = 3, .data = doubles};
    assert_int_equal(vt_tensor_to_f32(&tensor, f, &err), VARIANT_OK);
    assert_true(f[0] == 0.1f && f[1] == -2.5f && isinf(f[2]));
    assert_int_equal(vt_tensor_to_i32(&tensor, n, &err), VARIANT_E_FORMAT);
}

/* Numbers that are none, at every place of a few lengths, in every type that has them. */
static void not_finite(void **state) {
    (void)state;
    static float f[9000];
    static double d[100];
    static uint16_t h[9000];
    for (size_t n = 1; n < 9000; n += 1777) {
        vt_tensor tensor = {.name = "x", .type = VT_F32, .count = n, .data = f};
        for (size_t i = 0; i < n; i++) f[i] = (float)i * 1e33f; /* up to 9e36 */
        assert_int_equal(vt_tensor_not_finite(&tensor), 0);
        for (size_t at = 0; at < n; at += 97) {
            float was = f[at];
            f[at] = at % 2 ? NAN : -INFINITY;
            assert_int_equal(vt_tensor_not_finite(&tensor), 1);
            f[at] = was;
        }
        for (size_t i = 0; i < n; i++) f[i] = NAN;
        assert_int_equal(vt_tensor_not_finite(&tensor), n);
        tensor.data = h;
        for (int half = 0; half < 2; half++) {
            tensor.type = half ? VT_BF16 : VT_F16;
            for (size_t i = 0; i < n; i++) h[i] = half ? 0x7f7f : 0xfbff; /* the largest */
            assert_int_equal(vt_tensor_not_finite(&tensor), 0);
            for (size_t i = 0; i < n; i++) h[i] = half ? 0xff80 : 0x7c01; /* -infinity, NaN */
            assert_int_equal(vt_tensor_not_finite(&tensor), n);
        }
    }
    d[3] = 1e39; /* finite, but not as float32 */
    d[4] = 3e38;
    d[7] = -(double)NAN;
    vt_tensor wide = {.name = "x", .type = VT_F64, .count = 100, .data = d};
    assert_int_equal(vt_tensor_not_finite(&wide), 2);
    vt_tensor whole = {.name = "x", .type = VT_I32, .count = 100, .data = f};
    assert_int_equal(vt_tensor_not_finite(&whole), 0);
}

static void half_losses(void **state) {
    (void)state;
    float values[1000];
    for (int i = 0; i < 1000; i++) values[i] = 0.02f * (float)(i - 500);
    vt_half_loss loss = vt_half_loss_of(values, 1000, VT_F16);
    assert_true(loss.overflow == 0 && loss.vanished == 0 && loss.nonzero == 999 &&
                loss.error < 5e-4);
    loss = vt_half_loss_of(values, 1000, VT_BF16);
    assert_true(loss.overflow == 0 && loss.error > 1e-4 && loss.error < 4e-3);
    values[1] = -65519; /* still 65504 */
    values[2] = 65520;
    values[3] = 3.39e38f;
    loss = vt_half_loss_of(values, 1000, VT_F16);
    assert_true(loss.overflow == 2 && loss.largest == 3.39e38f);
    values[3] = 3.4e38f;
    assert_true(vt_half_loss_of(values, 1000, VT_BF16).overflow == 1);
    for (int i = 0; i < 1000; i++) values[i] = i % 10 ? 0.0f : 2e-8f;
    loss = vt_half_loss_of(values, 1000, VT_F16);
    assert_true(loss.vanished == 100 && loss.nonzero == 100 && loss.error == 1);
    assert_true(vt_half_loss_of(values, 1000, VT_BF16).vanished == 0);
}

/* Which name and group the tensor of these values ends up with. */
static void expect_place(const vt_tensor_file *file, int index, const char *group,
                         const char *name) {
    const vt_tensor *tensor = vt_tensor_file_at(file, index);
    if (strcmp(tensor->group, group) != 0 || strcmp(tensor->name, name) != 0)
        fail_msg("tensor %d is '%s' in '%s', expected '%s' in '%s'", index, tensor->name,
                 tensor->group, name, group);
    assert_ptr_equal(vt_tensor_file_find(file, group, name), tensor);
}

static void unwrapping(void **state) {
    (void)state;
    static const char *const names[] = {
        "a.0.w",
        "a.0.b",
        "module.ema.a.0.w",
        "module.ema.a._orig_mod.0.b",
        "module.x",
        "optimizer.m.a.0.w",
        "_orig_mod.a.0._orig_mod.w",
        "_orig_mod.rest",
        "xa.0.w",
    };
    enum { COUNT = sizeof names / sizeof *names };
    static const char *const marks[] = {"a.0.w", "q.w"};
    vt_tensor_out out[COUNT];
    variant_error err = {0};
    vt_tensor_file *file = NULL;
    for (int i = 0; i < COUNT; i++)
        out[i] =
            (vt_tensor_out){.name = names[i], .type = VT_U8, .rank = 1, .shape = {1}, .data = "x"};
    assert_int_equal(vt_safetensors_write(path, out, COUNT, NULL, NULL, 0, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    if (vt_tensor_file_unwrap(file, marks, 2, &err) != VARIANT_OK) fail_msg("%s", err.message);
    expect_place(file, 0, "", "a.0.w");
    expect_place(file, 1, "", "a.0.b");
    expect_place(file, 2, "module.ema", "a.0.w");
    expect_place(file, 3, "module.ema", "a.0.b");
    expect_place(file, 4, "", "module.x");
    expect_place(file, 5, "", "optimizer.m.a.0.w");
    expect_place(file, 6, "_orig_mod", "a.0.w");
    expect_place(file, 7, "_orig_mod", "rest");
    expect_place(file, 8, "", "xa.0.w");
    vt_tensor_file_close(&file);
}

static void malformed_headers(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        variant_status status;
    } cases[] = {
        {"{}", 0, VARIANT_OK},
        {"{}   \n", 0, VARIANT_OK},
        {"{}", 3, VARIANT_E_FORMAT}, /* trailing bytes */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740991,0],\"data_offsets\":[0,0]}}", 0,
         VARIANT_OK}, /* the last that a double tells from its neighbours */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,0],\"data_offsets\":[0,0]}}", 0,
         VARIANT_E_FORMAT},
        {"  {\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         VARIANT_OK}, /* blanks first: the format's own reader takes them */
        {"{\"__metadata__\":null}", 0, VARIANT_OK},
        {"{\"__metadata__\":{},\"__metadata__\":null}", 0, VARIANT_E_FORMAT},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, VARIANT_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}", 9,
         VARIANT_E_FORMAT}, /* a hole */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]}}",
         9, VARIANT_OK}, /* misaligned */
        {"{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
         "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[7,7]},"
         "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}",
         12, VARIANT_OK}, /* in any order, and nothing may lie anywhere */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         12, VARIANT_E_FORMAT}, /* a hole between */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         8, VARIANT_E_FORMAT}, /* the same bytes for two */
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         VARIANT_E_FORMAT}, /* a key twice */
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, VARIANT_OK},
        {"{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, VARIANT_OK},
        {"{\"a\":{\"dtype\":\"U16\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[4,6],\"data_offsets\":[0,12]}}", 12, VARIANT_OK},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F8 \",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, VARIANT_E_FORMAT}, /* overlapping */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         8, VARIANT_E_FORMAT}, /* twice */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0.5,8.5]}}", 9,
         VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1e300,1e300]}}", 8,
         VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
         8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}",
         0, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
         VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         VARIANT_OK}, /* a type of the future: nobody asks for it here */
        {"{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, VARIANT_E_FORMAT},
        {"{\"a\\nb\":7}", 8, VARIANT_E_FORMAT},
        {"{\"__metadata__\":[]}", 0, VARIANT_E_FORMAT},
        {"{\"__metadata__\":{\"a\":1}}", 0, VARIANT_E_FORMAT},
        {"{\"a\":", 0, VARIANT_E_FORMAT},
        {"{} x", 0, VARIANT_E_FORMAT},
    };
    variant_error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        variant_status status = try_header(cases[i].header, cases[i].data, &err);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].header, variant_status_name(status));
    }
    enum { DEEP = 200000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    memcpy(deep, "{\"a\":", 5);
    deep[DEEP] = '\0';
    assert_int_equal(try_header(deep, 0, &err), VARIANT_E_FORMAT);
    free(deep);
    write_bytes("", 0);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    write_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_int_equal(vt_tensor_file_open(&(vt_tensor_file *){NULL}, "/nonexistent", &err),
                     VARIANT_E_IO);
    assert_int_equal(vt_tensor_file_open(&(vt_tensor_file *){NULL}, folder, &err), VARIANT_E_IO);
}

/* A small file cut at every length is refused; with one bit flipped it is read or refused, no
 * worse. */
/* A NUL in a name would end it early, and another tensor be read by it; "\\u0000" is none, its backslash is escaped. */
static void names_are_read_whole(void **state) {
    (void)state;
    variant_error err;
#define ENTRY "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
    assert_int_equal(try_header("{\"x\\u0000y\":" ENTRY, 4, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "NUL character"));
    assert_int_equal(try_header("{\"x\\\\u0000y\":" ENTRY, 4, &err), VARIANT_OK);
    static const char nul[] = "{\"weight_map\": {\"x\\u0000y\": \"file.safetensors\"}}";
    write_bytes(nul, sizeof nul - 1);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "an index with a NUL character"));
    static const char raw[] = "{\"weight_map\": {\"x\0y\": \"file.safetensors\"}}";
    write_bytes(raw, sizeof raw - 1);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "an index with a NUL character"));
}

/* An index that names itself is told once. */
static void an_index_of_itself(void **state) {
    (void)state;
    variant_error err;
    static const char itself[] = "{\"weight_map\": {\"x\": \"file.safetensors\"}}";
    write_bytes(itself, sizeof itself - 1);
    assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    const char *first = strstr(err.message, path);
    assert_non_null(strstr(err.message, "names the index itself, expected tensors"));
    assert_true(first && !strstr(first + 1, path));
}

static void damaged_files(void **state) {
    (void)state;
    variant_error err;
    float x[6] = {1, 2, 3, 4, 5, 6};
    vt_tensor_out out[2] = {{.name = "first", .rank = 2, .shape = {2, 2}, .data = x},
                            {.name = "second", .rank = 1, .shape = {2}, .data = x + 4}};
    const char *key = "k", *value = "v";
    assert_int_equal(vt_safetensors_write(path, out, 2, &key, &value, 1, &err), VARIANT_OK);
    vt_mapping map;
    assert_int_equal(vt_mapping_open(&map, path, &err), VARIANT_OK);
    size_t size = map.size;
    unsigned char *bytes = malloc(size);
    memcpy(bytes, map.data, size);
    vt_mapping_close(&map);
    for (size_t length = 0; length < size; length++) {
        write_bytes(bytes, length);
        assert_int_equal(open_and_touch(&err), VARIANT_E_FORMAT);
    }
    int refused = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        size_t bit = vt_splitmix64(i) % (8 * size);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        write_bytes(bytes, size);
        variant_status status = open_and_touch(&err);
        assert_true(status == VARIANT_OK || status == VARIANT_E_FORMAT);
        refused += status != VARIANT_OK;
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_in_range(refused, 200, 1999);
    free(bytes);
}

static void text_is(const char *expected) {
    variant_error err;
    char *text = NULL;
    assert_int_equal(vt_file_read_text(&text, path, 1000, &err), VARIANT_OK);
    assert_string_equal(text, expected);
    free(text);
}

static void replacing_keeps_the_old(void **state) {
    (void)state;
    variant_error err;
    write_bytes("old", 3);
    size_t before = entries_in_folder();

    vt_replace replace;
    assert_int_equal(vt_replace_open(&replace, path, &err), VARIANT_OK);
    fputs("half of the n", replace.stream);
    fflush(replace.stream);
    text_is("old");
    vt_replace_abandon(&replace);
    text_is("old");
    assert_int_equal(entries_in_folder(), before);

    /* The disk is full: here, a file may not grow past 4096 bytes. */
    struct rlimit old, tiny;
    getrlimit(RLIMIT_FSIZE, &old);
    tiny = (struct rlimit){4096, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static char block[100000];
    setrlimit(RLIMIT_FSIZE, &tiny);
    variant_status written = vt_file_write(path, block, sizeof block, &err);
    variant_status saved = vt_safetensors_write(
        path,
        &(vt_tensor_out){
            .name = "x", .type = VT_U8, .rank = 1, .shape = {sizeof block}, .data = block},
        1, NULL, NULL, 0, &err);
    variant_status opened = vt_replace_open(&replace, path, &err), committed = VARIANT_OK;
    for (int i = 0; i < 100; i++) fwrite(block, 1, 1000, replace.stream);
    committed = vt_replace_commit(&replace, &err);
    vt_replace_abandon(&replace);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(written, VARIANT_E_IO);
    assert_int_equal(saved, VARIANT_E_IO);
    assert_int_equal(opened, VARIANT_OK);
    assert_int_equal(committed, VARIANT_E_IO);
    assert_non_null(strstr(err.message, path));
    text_is("old");
    assert_int_equal(entries_in_folder(), before);
    assert_int_equal(vt_file_write("/dev/full", block, sizeof block, &err), VARIANT_E_IO);
    struct stat info;
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_true(S_ISCHR(info.st_mode)); /* written to, not replaced */

    assert_int_equal(vt_file_write("/proc/nowhere/file", "x", 1, &err), VARIANT_E_IO);
    assert_int_equal(vt_file_write(folder, "x", 1, &err), VARIANT_E_IO);
    assert_int_equal(vt_file_write(path, "new", 3, &err), VARIANT_OK);
    text_is("new");
    assert_int_equal(entries_in_folder(), before);
}

/* Below /dev lie devices and links, which are opened and written to; and in /dev/shm files, which are replaced: a shorter one keeps nothing of
 * the one before. */
static void files_in_shared_memory_are_replaced(void **state) {
    (void)state;
    char place[64], *text = NULL;
    snprintf(place, sizeof place, "/dev/shm/variant-test-%ld", (long)getpid());
    if (vt_file_write(place, "a longer text", 13, NULL) != VARIANT_OK) {
        print_message("SKIP files_in_shared_memory_are_replaced: /dev/shm cannot be written\n");
        return;
    }
    assert_int_equal(vt_file_write(place, "short", 5, NULL), VARIANT_OK);
    assert_int_equal(vt_file_read_text(&text, place, 100, NULL), VARIANT_OK);
    assert_string_equal(text, "short");
    free(text);
    assert_int_equal(unlink(place), 0);
    assert_int_equal(vt_file_write("/dev/null", "x", 1, NULL), VARIANT_OK);
}

static void text_and_folders(void **state) {
    (void)state;
    variant_error err;
    char *text = NULL, deep[200];
    write_bytes("12345", 5);
    assert_int_equal(vt_file_read_text(&text, path, 5, &err), VARIANT_OK);
    free(text);
    assert_int_equal(vt_file_read_text(&text, path, 4, &err), VARIANT_E_FORMAT);
    assert_null(text);
    write_bytes("1\0", 2);
    assert_int_equal(vt_file_read_text(&text, path, 5, &err), VARIANT_E_FORMAT);
    assert_int_equal(vt_file_read_text(&text, "/nonexistent", 5, &err), VARIANT_E_IO);
    char *large = malloc(100001);
    memset(large, 'x', 100000);
    large[100000] = '\0';
    write_bytes(large, 100000);
    assert_int_equal(vt_file_read_text(&text, path, 1 << 20, &err), VARIANT_OK);
    assert_string_equal(text, large);
    free(text);
    free(large);

    snprintf(deep, sizeof deep, "%s/a//b/c/", folder);
    assert_false(vt_is_folder(deep));
    assert_int_equal(variant_folder_make(deep, &err), VARIANT_OK);
    assert_true(vt_is_folder(deep));
    assert_int_equal(variant_folder_make(deep, &err), VARIANT_OK);
    assert_int_equal(variant_folder_make(path, &err), VARIANT_E_IO);
    snprintf(deep, sizeof deep, "%s/below", path);
    assert_int_equal(variant_folder_make(deep, &err), VARIANT_E_IO);
    assert_int_equal(variant_folder_make("", &err), VARIANT_E_IO);
    assert_non_null(strstr(err.message, "name of a folder"));
}

/* How many of the mapping's pages are in memory. */
static size_t pages_there(const vt_mapping *map) {
    static unsigned char there[2048];
    const size_t pages = map->size / 4096;
    size_t found = 0;
    assert_true(pages <= sizeof there);
    assert_int_equal(mincore((void *)(uintptr_t)map->data, map->size, there), 0);
    for (size_t i = 0; i < pages; i++) found += there[i] & 1;
    return found;
}

/* A file that memory has let go of comes back without anybody touching it, all of it: Linux takes a part of one long request. */
static void asking_ahead(void **state) {
    (void)state;
    enum { SIZE = 8 << 20, PAGES = SIZE / 4096 };
    if (sysconf(_SC_PAGESIZE) != 4096) skip();
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    write_bytes(bytes, SIZE);
    free(bytes);
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    vt_mapping map;
    variant_error err;
    assert_int_equal(vt_mapping_open(&map, path, &err), VARIANT_OK);
    vt_mapping_ask(&map, map.data + 1, SIZE); /* reaches beyond it: nothing */
    vt_mapping_ask(&map, map.data, 0);
    const size_t before = pages_there(&map);
    if (before == PAGES) { /* a file system that lives in memory */
        vt_mapping_close(&map);
        skip();
    }
    assert_int_equal(before, 0);
    vt_mapping_ask(&map, map.data, SIZE);
    for (int i = 0; i < 500 && pages_there(&map) < PAGES; i++) usleep(20000);
    assert_int_equal(pages_there(&map), PAGES);
    vt_mapping_close(&map);
}

static void synthetic_tensors(void **state) {
    (void)state;
    float w[64 * 64];
    int32_t n[6];
    static const int32_t labels[6] = {0, 1, 6, 30, 31, 12};
    vt_synth_tensor(w, "A", "var", "head.weight", 2, (const int64_t[]){32, 128});
    assert_true(w[0] == -0.132984832f && w[1] == -0.0135451127f && w[2] == 0.0793394819f);
    vt_synth_tensor(w, "A", "vae", "encoder.mid.block_1.norm1.weight", 1, (const int64_t[]){32});
    assert_true(w[0] == 1.1301372f && w[1] == 1.184786f && w[2] == 1.0710076f);
    vt_synth_integers(n, 6, "A/tokens/2", 64);
    assert_memory_equal(n, labels, sizeof n);
    vt_synth_symmetric(w, 64 * 64, "A/image");
    double sum = 0;
    for (int i = 0; i < 64 * 64; i++) {
        assert_true(w[i] >= -1 && w[i] < 1);
        sum += w[i];
    }
    assert_true(fabs(sum / (64 * 64)) < 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_finite),
        cmocka_unit_test(half_losses),
        cmocka_unit_test(unwrapping),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(wide_sides_are_written_whole),
        cmocka_unit_test(writing_refuses),
        cmocka_unit_test(conversions),
        cmocka_unit_test(malformed_headers),
        cmocka_unit_test(names_are_read_whole),
        cmocka_unit_test(an_index_of_itself),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(replacing_keeps_the_old),
        cmocka_unit_test(files_in_shared_memory_are_replaced),
        cmocka_unit_test(text_and_folders),
        cmocka_unit_test(asking_ahead),
        cmocka_unit_test(synthetic_tensors),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
