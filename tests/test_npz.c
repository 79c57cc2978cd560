/* test_npz.c - archives that NumPy wrote (tests/eval_reference.py): what is read, what is refused by name, and
 * files torn and damaged at every byte. */
#include "fixtures.h"
#include "io/npz.h"

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
    assert_true(array.shape[0] == 2 && array.shape[1] == 2 && !array.wide);
    vt_npy_read(&array, numbers);
    assert_true(numbers[0] == 1 && numbers[1] == -2.5 && numbers[2] == 3);
    assert_true(numbers[3] == (double)1e30f);
    assert_ok(vt_npz_find(&npz, "scalar", &array, err));
    assert_true(array.rank == 0 && array.count == 1 && array.wide);
    vt_npy_read(&array, numbers);
    assert_true(numbers[0] == 7.25);
    assert_ok(vt_npz_find(&npz, "empty", &array, err));
    assert_true(array.rank == 2 && array.count == 0 && array.shape[1] == 3);
    vt_npz_close(&npz);
    vt_npz_close(&npz); /* again: nothing */
}

static void test_refusals(void **state) {
    (void)state;
    vt_npy array;
    vt_npz npz = open_npz(NPZ "others.npz");
    assert_fails(vt_npz_find(&npz, "absent", &array, err), VARIANT_E_FORMAT,
                 "others.npz: no array absent");
    assert_fails(vt_npz_find(&npz, "fortran", &array, err), VARIANT_E_FORMAT,
                 "array fortran: expected C order");
    assert_fails(vt_npz_find(&npz, "whole", &array, err), VARIANT_E_FORMAT, "little-endian floats");
    assert_fails(vt_npz_find(&npz, "big", &array, err), VARIANT_E_FORMAT, "little-endian floats");
    assert_fails(vt_npz_find(&npz, "text", &array, err), VARIANT_E_FORMAT, "little-endian floats");
    assert_fails(vt_npz_find(&npz, "pair", &array, err), VARIANT_E_FORMAT, "little-endian floats");
    assert_fails(vt_npz_find(&npz, "five", &array, err), VARIANT_E_FORMAT, "shape cannot be read");
    vt_npz_close(&npz);
    npz = open_npz(NPZ "compressed.npz");
    assert_true(vt_npz_has(&npz, "mu"));
    assert_fails(vt_npz_find(&npz, "mu", &array, err), VARIANT_E_FORMAT,
                 "array mu: zip entry 'mu.npy' is compressed");
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
        vt_npy_read(&array, mu);
    if (vt_npz_find(&npz, "mu", &array, &error) == VARIANT_OK && array.count == 4) {
        vt_npy_read(&array, mu);
        good = true;
    }
    assert_null(strchr(error.message, '\n'));
    vt_npz_close(&npz);
    return good;
}

static void test_damage(void **state) {
    (void)state;
    static unsigned char bytes[4096], copy[4096];
    char folder[64], path[96];
    double want[16] = {0}, got[16] = {0};
    FILE *file = fopen(NPZ "statistics.npz", "rb");
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
    assert_true(refused > 200); /* 4 numbers, the header of 128 bytes, names and offsets */
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
