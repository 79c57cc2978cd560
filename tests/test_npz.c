/* test_npz.c - archives that NumPy wrote (tests/eval_reference.py): what is read, what is refused by name, and
 * files torn and damaged at every byte. */
#include "fixtures.h"
#include "io/npz.h"
#include "io/npz_write.h"

#define NPZ GOLDEN "npz/"

static vt_npz open_npz(const char *path) {
    vt_npz out;
    assert_ok(vt_npz_open(&out, path, err));
    return out;
}

static void test_reads(void **state) {
    (void)state;
    vt_npy array;
    double numbers[6];
    assert_true(vt_npz_is(NPZ "statistics.npz"));
    assert_false(vt_npz_is(GOLDEN "sampling.safetensors"));
    assert_false(vt_npz_is(NPZ "nothing.npz"));
    vt_npz npz = open_npz(NPZ "others.npz");
    assert_true(vt_npz_has(&npz, "narrow"));
    assert_false(vt_npz_has(&npz, "narrow.npy"));
    assert_ok(vt_npz_find(&npz, "narrow", &array, err));
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.count, 4);
    assert_true(array.shape[0] == 2 && array.shape[1] == 2);
    assert_true(array.kind == 'f' && array.size == 4);
    assert_ok(vt_npy_read(&array, numbers, err));
    assert_true(numbers[0] == 1 && numbers[1] == -2.5 && numbers[2] == 3);
    assert_true(numbers[3] == (double)1e30f);
    assert_ok(vt_npz_find(&npz, "scalar", &array, err));
    assert_true(array.rank == 0 && array.count == 1 && array.size == 8);
    assert_ok(vt_npy_read(&array, numbers, err));
    assert_true(numbers[0] == 7.25);
    assert_ok(vt_npz_find(&npz, "empty", &array, err));
    assert_true(array.rank == 2 && array.count == 0 && array.shape[1] == 3);
    vt_npz_close(&npz);
    vt_npz_close(&npz); /* again: nothing */
}

static void expect_numbers(vt_npz *npz, const char *name, size_t count, const double *want) {
    vt_npy array;
    double got[32];
    assert_ok(vt_npz_find(npz, name, &array, err));
    assert_true(array.count == count && count <= 32);
    assert_ok(vt_npy_read(&array, got, err));
    for (size_t i = 0; i < count; ++i)
        if (got[i] != want[i]) fail_msg("%s[%zu] is %g, expected %g", name, i, got[i], want[i]);
}

/* tests/npz_kinds.py: every type, both byte orders, both orders of axes; deflated and stored. */
static void test_kinds(void **state) {
    (void)state;
    static const char *const files[] = {NPZ "kinds.npz", NPZ "kinds_stored.npz"};
    const double count[] = {0, 1, 2, 3, 4, 5}, signs[] = {-2, -1, 0, 1, 2, 3};
    const double halves[] = {-1.5, 0.25, 65504},
                 cube[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                           12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
    const double bools[] = {1, 0, 1};
    for (size_t i = 0; i < 2; ++i) {
        vt_npz npz = open_npz(files[i]);
        const char *const whole[] = {"u1", "u2", "u4", "u8", "u2_big", "u8_big"};
        const char *const signed_ones[] = {"i1",     "i2",     "i4", "i8", "i4_big",
                                           "f4_big", "f8_big", "f4", "f8"};
        for (size_t k = 0; k < 6; ++k) expect_numbers(&npz, whole[k], 6, count);
        for (size_t k = 0; k < 9; ++k) expect_numbers(&npz, signed_ones[k], 6, signs);
        expect_numbers(&npz, "f2", 3, halves);
        expect_numbers(&npz, "f2_big", 3, halves);
        expect_numbers(&npz, "flags", 3, bools);
        expect_numbers(&npz, "cube", 24, cube);
        expect_numbers(&npz, "cube_fortran", 24, cube);
        vt_npy array;
        assert_fails(vt_npz_find(&npz, "bytes", &array, err), VARIANT_E_FORMAT, "bfloat16");
        assert_fails(vt_npz_find(&npz, "complex", &array, err), VARIANT_E_FORMAT,
                     "its type is not");
        size_t names = 0;
        while (vt_npz_name(&npz, names)) ++names;
        assert_int_equal(names, 23);
        assert_string_equal(vt_npz_name(&npz, 0), "bytes");
        vt_npz_close(&npz);
    }
}

static void test_rows(void **state) {
    (void)state;
    static const char *const files[] = {NPZ "kinds.npz", NPZ "kinds_stored.npz"};
    for (size_t i = 0; i < 2; ++i) {
        vt_npz npz = open_npz(files[i]);
        vt_npy array;
        vt_npy_rows *rows;
        uint8_t pixels[3 * 12];
        assert_ok(vt_npz_find(&npz, "pictures", &array, err));
        assert_true(array.rank == 4 && array.shape[0] == 7 && array.kind == 'u' && array.size == 1);
        assert_int_equal(vt_npy_row_bytes(&array), 12);
        assert_ok(vt_npy_rows_open(&rows, &array, err));
        const int64_t firsts[] = {2, 3, 6, 0, 4}; /* forwards and back */
        for (size_t k = 0; k < 5; ++k) {
            int64_t n = firsts[k] < 5 ? 3 : 1;
            assert_ok(vt_npy_rows_read(rows, firsts[k], n, pixels, err));
            for (int64_t j = 0; j < 12 * n; ++j) assert_int_equal(pixels[j], 12 * firsts[k] + j);
        }
        assert_fails(vt_npy_rows_read(rows, 6, 2, pixels, err), VARIANT_E_ARGUMENT,
                     "array pictures: rows 6 to 7, expected 0 to 6");
        vt_npy_rows_close(&rows);
        uint16_t turned[2];
        assert_ok(vt_npz_find(&npz, "u2_big", &array, err));
        assert_ok(vt_npy_rows_open(&rows, &array, err));
        assert_ok(vt_npy_rows_read(rows, 4, 2, turned, err));
        assert_true(turned[0] == 4 && turned[1] == 5);
        vt_npy_rows_close(&rows);
        assert_ok(vt_npz_find(&npz, "cube_fortran", &array, err));
        assert_fails(vt_npy_rows_open(&rows, &array, err), VARIANT_E_FORMAT, "ascontiguousarray");
        vt_npz_close(&npz);
    }
}

static void test_refusals(void **state) {
    (void)state;
    vt_npy array;
    vt_npz npz = open_npz(NPZ "others.npz");
    assert_fails(vt_npz_find(&npz, "absent", &array, err), VARIANT_E_FORMAT,
                 "others.npz: no array absent");
    assert_fails(vt_npz_find(&npz, "text", &array, err), VARIANT_E_FORMAT,
                 "array text: its type is not f2, f4, f8");
    assert_fails(vt_npz_find(&npz, "pair", &array, err), VARIANT_E_FORMAT,
                 "its type is no plain number");
    assert_fails(vt_npz_find(&npz, "five", &array, err), VARIANT_E_FORMAT, "shape cannot be read");
    vt_npz_close(&npz);
    assert_fails(vt_npz_open(&npz, NPZ "nothing.npz", err), VARIANT_E_IO, "nothing.npz");
    assert_fails(vt_npz_open(&npz, GOLDEN "sampling.safetensors", err), VARIANT_E_FORMAT,
                 "zip archive");
}

/* Opens a file of these bytes and reads all of two arrays: true when mu came out whole. */
static bool reads(const char *path, const unsigned char *bytes, size_t size, double *mu) {
    variant_error error = {0};
    vt_npz npz;
    vt_npy array;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    bool good = false;
    if (vt_npz_open(&npz, path, &error) != VARIANT_OK) {
        assert_true(error.message[0] && !strchr(error.message, '\n'));
        return false;
    }
    if (vt_npz_find(&npz, "sigma", &array, &error) == VARIANT_OK && array.count <= 16)
        (void)vt_npy_read(&array, mu, &error);
    if (vt_npz_find(&npz, "mu", &array, &error) == VARIANT_OK && array.count == 4)
        good = vt_npy_read(&array, mu, &error) == VARIANT_OK;
    assert_null(strchr(error.message, '\n'));
    vt_npz_close(&npz);
    return good;
}

static void damage(const char *archive, int least) {
    static unsigned char bytes[4096], copy[4096];
    char folder[64], path[96];
    double want[16] = {0}, got[16] = {0};
    FILE *file = fopen(archive, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_in_range(size, 500, sizeof bytes - 1);
    make_folder(folder);
    snprintf(path, sizeof path, "%s/x.npz", folder);
    assert_true(reads(path, bytes, size, want));
    for (size_t length = 0; length < size; ++length)
        assert_false(reads(path, bytes, length, got)); /* its directory is at the end */
    /* a damaged byte is an error, or it lies where it means nothing: never other numbers */
    int refused = 0;
    for (size_t at = 0; at < size; ++at) {
        memcpy(copy, bytes, size);
        copy[at] ^= 0xff;
        if (reads(path, copy, size, got))
            assert_memory_equal(got, want, 4 * sizeof *got);
        else
            ++refused;
    }
    assert_true(refused > least);
    remove_folder(folder);
}

static void test_damage(void **state) {
    (void)state;
    damage(NPZ "statistics.npz", 200); /* 4 numbers, the header of 128 bytes, names and offsets */
    damage(NPZ "statistics_packed.npz", 200);
}

/* ---- writing ---- */

static char *read_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* Rows in pieces, several arrays; the reader, which checks sums and sizes, takes them back; twice the same bytes. */
static void test_writes(void **state) {
    (void)state;
    char folder[64], paths[2][96];
    const int64_t shape[] = {3, 2}, none[] = {0, 5};
    const int32_t numbers[] = {1, -2, 3, 40000, 5, 6};
    const double seven = 7.25;
    make_folder(folder);
    for (int i = 0; i < 2; ++i) {
        vt_npz_writer w;
        snprintf(paths[i], sizeof paths[i], "%s/%d.npz", folder, i);
        assert_ok(vt_npz_writer_open(&w, paths[i], err));
        assert_ok(vt_npz_writer_begin(&w, "whole", "<i4", 2, shape, err));
        assert_ok(vt_npz_writer_add(&w, numbers, 3 * sizeof *numbers, err));
        assert_int_equal(access(paths[i], F_OK), -1); /* not before it is finished */
        assert_ok(vt_npz_writer_add(&w, numbers + 3, 3 * sizeof *numbers, err));
        assert_ok(vt_npz_writer_put(&w, "scalar", "<f8", 0, NULL, &seven, err));
        assert_ok(vt_npz_writer_put(&w, "empty", "|u1", 2, none, NULL, err));
        assert_ok(vt_npz_writer_commit(&w, err));
        vt_npz_writer_abandon(&w);
    }
    size_t sizes[2];
    char *bytes[] = {read_bytes(paths[0], &sizes[0]), read_bytes(paths[1], &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
    vt_npz npz = open_npz(paths[0]);
    vt_npy array;
    const double want[] = {1, -2, 3, 40000, 5, 6};
    expect_numbers(&npz, "whole", 6, want);
    expect_numbers(&npz, "scalar", 1, &seven);
    assert_ok(vt_npz_find(&npz, "empty", &array, err));
    assert_true(array.rank == 2 && array.count == 0 && array.kind == 'u');
    vt_npz_close(&npz);
    remove_folder(folder);
}

static void test_writes_whole_or_not_at_all(void **state) {
    (void)state;
    char folder[64], path[96];
    const int64_t shape = 4;
    vt_npz_writer w;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/x.npz", folder);
    assert_ok(vt_npz_writer_open(&w, path, err));
    assert_ok(vt_npz_writer_begin(&w, "a", "|u1", 1, &shape, err));
    assert_ok(vt_npz_writer_add(&w, "123", 3, err));
    assert_fails(vt_npz_writer_add(&w, "45", 2, err), VARIANT_E_ARGUMENT, "shape");
    assert_fails(vt_npz_writer_begin(&w, "b", "|u1", 1, &shape, err), VARIANT_E_ARGUMENT,
                 "entry a.npy lacks 1 bytes");
    assert_fails(vt_npz_writer_commit(&w, err), VARIANT_E_ARGUMENT, "lacks");
    vt_npz_writer_abandon(&w);
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
    assert_fails(vt_npz_writer_open(&w, "-", err), VARIANT_E_ARGUMENT, "standard output");
    assert_fails(vt_npz_writer_open(&w, path, err), VARIANT_E_IO, path);
    /* a full disk */
    const int64_t much = 1 << 20;
    char *zeros = calloc(1, (size_t)much);
    assert_ok(vt_npz_writer_open(&w, "/dev/full", err));
    variant_error error = {0};
    variant_status status = vt_npz_writer_put(&w, "a", "|u1", 1, &much, zeros, &error);
    if (status == VARIANT_OK) status = vt_npz_writer_commit(&w, &error);
    assert_int_equal(status, VARIANT_E_IO);
    assert_non_null(strstr(error.message, "/dev/full"));
    vt_npz_writer_abandon(&w);
    free(zeros);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_writes_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
