/* test_torch_zip.c - the zip around a PyTorch checkpoint: one that says it is larger than it is, and one past 4 GB. */
#include "torch_file.h"

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
        cmocka_unit_test(hostile_zip),
        cmocka_unit_test(large_zip),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
