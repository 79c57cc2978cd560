/* Checksums of tensors in safetensors files, and files that are cut short while they are mapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rng.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/npz.h"
#include "io/npz_write.h"
#include "io/tensors.h"
#include "variant/files.h"

/* A tensor of more than two pieces, whose last is short, and small ones. */
#define LARGE ((size_t)5 * VT_SUM_PIECE / 2 + 36)

static char folder[] = "/tmp/variant-checksums-XXXXXX";
static char path[128];
static unsigned char *large;
static const float small[6] = {1, 2, 3, 4, 5, 6};

static int make(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    large = malloc(LARGE);
    for (size_t i = 0; large && i < LARGE / 4; i++) {
        const float value = (float)(vt_splitmix64(i) % 1000) * 0.001f;
        memcpy(large + 4 * i, &value, sizeof value);
    }
    return large ? 0 : -1;
}

static int drop(void **state) {
    (void)state;
    char command[256];
    free(large);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const vt_tensor_out tensors[] = {
    {.name = "small", .type = VT_F32, .rank = 1, .shape = {6}, .data = small},
    {.name = "none", .type = VT_F32, .rank = 1, .shape = {0}},
    {.name = "large", .type = VT_F32, .rank = 1, .shape = {LARGE / 4}, .data = NULL},
    {.name = "bytes", .type = VT_U8, .rank = 1, .shape = {24}, .data = small},
};
enum { TENSORS = sizeof tensors / sizeof *tensors };

static variant_status give_large(const vt_tensor_out *tensor, void *out, variant_error *err) {
    (void)tensor;
    (void)err;
    memcpy(out, large, LARGE);
    return VARIANT_OK;
}

static void write_file(size_t most) {
    vt_tensor_out list[TENSORS];
    variant_error err = {0};
    memcpy(list, tensors, sizeof list);
    list[2].read = give_large;
    const vt_safetensors_out out = {.path = path, .tensors = list, .count = TENSORS};
    if (vt_shards_write(&out, most, NULL, &err) != VARIANT_OK) fail_msg("%s", err.message);
}

static char *read_all(const char *name, size_t *size) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(1, *size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void write_bytes(const char *name, const char *bytes, size_t size) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void flip(const char *name, size_t byte, int bit) {
    size_t size;
    char *bytes = read_all(name, &size);
    assert_true(byte < size);
    bytes[byte] = (char)(bytes[byte] ^ 1 << bit);
    write_bytes(name, bytes, size);
    free(bytes);
}

/* Puts `with`, as long, in the place of the first `what`. */
static void put(const char *what, const char *with) {
    size_t size, length = strlen(what);
    char *bytes = read_all(path, &size);
    char *at = memmem(bytes, size, what, length);
    assert_non_null(at);
    assert_int_equal(length, strlen(with));
    memcpy(at, with, length);
    write_bytes(path, bytes, size);
    free(bytes);
}

/* Only `damaged` (NULL: none) is refused, by the name of the file `place`, and none once the file is trusted. */
static void expect(const char *opened, const char *place, const char *damaged, int threads) {
    vt_tensor_file *file;
    vt_team *team = NULL;
    variant_error err = {0};
    assert_int_equal(vt_tensor_file_open(&file, opened, &err), VARIANT_OK);
    assert_int_equal(vt_team_open(&team, threads, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_count(file), TENSORS);
    for (int i = 0; i < TENSORS; i++) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        const bool bad = damaged && strcmp(tensor->name, damaged) == 0;
        assert_int_equal(vt_tensor_verify(file, tensor, team, &err),
                         bad ? VARIANT_E_FORMAT : VARIANT_OK);
        if (!bad) continue;
        assert_non_null(strstr(err.message, place));
        assert_non_null(strstr(err.message, damaged));
        assert_null(strchr(err.message, '\n'));
    }
    vt_tensor_file_trust(file);
    for (int i = 0; i < TENSORS; i++)
        assert_int_equal(vt_tensor_verify(file, vt_tensor_file_at(file, i), team, &err),
                         VARIANT_OK);
    vt_team_close(&team);
    vt_tensor_file_close(&file);
}

/* ---- checksums ---- */

static void what_they_are(void **state) {
    (void)state;
    char text[VT_SUM_TEXT];
    vt_sum back, whole = vt_sum_of(large, LARGE), pieces = {0};
    vt_sum_text(text, vt_sum_of("abc", 3)); /* as xxh128sum has it */
    assert_string_equal(text, "06b05ab6733a618578af5f94892f3950");
    assert_true(vt_sum_parse(&back, text));
    assert_int_equal(back.low, 0x78af5f94892f3950u);
    assert_false(vt_sum_parse(&back, NULL));
    assert_false(vt_sum_parse(&back, "06b05ab6733a618578af5f94892f395"));
    assert_false(vt_sum_parse(&back, "06b05ab6733a618578af5f94892f395g"));
    for (size_t i = 0, at = 0; at < LARGE; at += VT_SUM_PIECE, i++) {
        const vt_sum one =
            vt_sum_of_piece(large + at, LARGE - at < VT_SUM_PIECE ? LARGE - at : VT_SUM_PIECE, i);
        pieces.high ^= one.high;
        pieces.low ^= one.low;
    }
    assert_memory_equal(&whole, &pieces, sizeof whole);
    memcpy(text, large, 16); /* pieces that change places */
    memmove(large, large + VT_SUM_PIECE, 16);
    memcpy(large + VT_SUM_PIECE, text, 16);
    pieces = vt_sum_of(large, LARGE);
    assert_memory_not_equal(&whole, &pieces, sizeof whole);
    memmove(large + VT_SUM_PIECE, large, 16);
    memcpy(large, text, 16);
}

static size_t data_at(const char *name, const char *tensor) {
    vt_tensor_file *file;
    size_t size;
    assert_int_equal(vt_tensor_file_open(&file, name, NULL), VARIANT_OK);
    char *bytes = read_all(name, &size);
    const vt_tensor *found = vt_tensor_file_find(file, NULL, tensor);
    const char *at = memmem(bytes, size, found->data, found->bytes);
    const size_t offset = (size_t)(at - bytes);
    assert_non_null(at);
    free(bytes);
    vt_tensor_file_close(&file);
    return offset;
}

static void a_bit_is_found(void **state) {
    (void)state;
    write_file(0);
    for (int threads = 1; threads <= 3; threads++) expect(path, path, NULL, threads);
    const size_t at = data_at(path, "large"),
                 bytes[] = {0, VT_SUM_PIECE - 1, VT_SUM_PIECE, LARGE - 1};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        flip(path, at + bytes[i], (int)i % 8);
        for (int threads = 1; threads <= 3; threads++) expect(path, path, "large", threads);
        flip(path, at + bytes[i], (int)i % 8);
    }
    flip(path, at - 1, 7);
    expect(path, path, "small", 1);
    flip(path, at - 1, 7);
    flip(path, at + LARGE + 23, 0);
    expect(path, path, "bytes", 1);
}

static void in_a_shard(void **state) {
    (void)state;
    char index[160], shard[160];
    snprintf(index, sizeof index, "%s.index.json", path);
    snprintf(shard, sizeof shard, "%s/file-00002-of-00003.safetensors", folder);
    write_file(1000);
    expect(index, shard, NULL, 2);
    flip(shard, data_at(shard, "large") + 77, 3);
    expect(index, shard, "large", 2);
}

/* A list that cannot be read is damaged itself; one of another kind, or none, is as if nothing had been written. */
static void the_list(void **state) {
    (void)state;
    char hex[VT_SUM_TEXT], other[VT_SUM_TEXT];
    vt_sum sum = vt_sum_of(small, sizeof small);
    vt_sum_text(hex, sum);
    sum.low ^= 16;
    vt_sum_text(other, sum);
    write_file(0);
    put(hex, other);
    expect(path, path, "small", 1);
    write_file(0);
    put(hex, "06b05ab6733a618578af5f94892f395x");
    expect(path, path, "small", 1);
    write_file(0);
    put("\\\"small\\\":", "\\\"smell\\\":");
    expect(path, path, NULL, 1);
    write_file(0);
    put(VT_SUMS_KIND, "xxh9-128-mib");
    flip(path, data_at(path, "large"), 0);
    expect(path, path, NULL, 1);
    write_file(0);
    put(VT_SUMS_KEY, "variant.checkpots");
    flip(path, data_at(path, "large"), 0);
    expect(path, path, NULL, 1);
    write_file(0);
    put("{\\\"" VT_SUMS_KIND, "[\\\"" VT_SUMS_KIND);
    vt_tensor_file *file;
    assert_int_equal(vt_tensor_file_open(&file, path, NULL), VARIANT_OK);
    variant_error err = {0};
    for (int i = 0; i < TENSORS; i++)
        assert_int_equal(vt_tensor_verify(file, vt_tensor_file_at(file, i), NULL, &err),
                         i == 1 ? VARIANT_OK : VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "metadata " VT_SUMS_KEY " is damaged"));
    assert_null(vt_tensor_file_meta(file, VT_SUMS_KEY));
    vt_tensor_file_close(&file);
}

/* A tensor is looked at for both at once. */
static void looking(void **state) {
    (void)state;
    vt_tensor_file *file;
    float value;
    write_file(0);
    const size_t at = data_at(path, "large") + 4000;
    memcpy(&value, large + 4000, sizeof value);
    for (int bit = 30; bit >= 23; bit--) { /* to an infinity or NaN */
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (!(bits >> bit & 1)) flip(path, at + (size_t)bit / 8, bit % 8);
    }
    assert_int_equal(vt_tensor_file_open(&file, path, NULL), VARIANT_OK);
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "large");
    vt_tensor_seen seen = vt_tensor_look(tensor, true, NULL);
    assert_true(seen.changed);
    assert_int_equal(seen.not_finite, 1);
    seen = vt_tensor_look(tensor, false, NULL);
    assert_true(seen.changed);
    assert_int_equal(seen.not_finite, 0);
    vt_tensor_file_trust(file);
    seen = vt_tensor_look(tensor, true, NULL);
    assert_false(seen.changed);
    assert_int_equal(seen.not_finite, 1);
    vt_tensor_file_close(&file);
}

/* ---- files that are cut short ---- */

static volatile unsigned touched;

static void touch(const void *args, vt_span span) {
    const vt_tensor *tensor = args;
    for (size_t i = (size_t)span.begin; i < (size_t)span.end; i++)
        touched += ((const unsigned char *)tensor->data)[i * 4096];
}

static void cut_to(size_t size) {
    assert_int_equal(truncate(path, (off_t)size), 0);
}

static void arrays_of_a_cut_archive(void) {
    variant_error err = {0};
    vt_npz_writer writer;
    vt_npz npz;
    vt_npy array;
    vt_npy_rows *rows;
    const int64_t shape[2] = {(int64_t)(LARGE / 1024), 1024};
    unsigned char row[1024];
    snprintf(path, sizeof path, "%s/file.npz", folder);
    assert_int_equal(vt_npz_writer_open(&writer, path, &err), VARIANT_OK);
    assert_int_equal(vt_npz_writer_put(&writer, "arr_0", "|u1", 2, shape, large, &err), VARIANT_OK);
    assert_int_equal(vt_npz_writer_commit(&writer, &err), VARIANT_OK);
    assert_int_equal(vt_npz_open(&npz, path, &err), VARIANT_OK);
    assert_int_equal(vt_npz_find(&npz, "arr_0", &array, &err), VARIANT_OK);
    assert_int_equal(vt_npy_rows_open(&rows, &array, &err), VARIANT_OK);
    assert_int_equal(vt_npy_rows_read(rows, shape[0] - 1, 1, row, &err), VARIANT_OK);
    cut_to(8192);
    assert_int_equal(vt_npy_rows_read(rows, shape[0] - 1, 1, row, &err), VARIANT_E_IO);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "cut short"));
    vt_npy_rows_close(&rows);
    vt_npz_close(&npz);
    unlink(path);
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
}

/* One test, as the next has the handlers of cmocka again. */
static void a_guarded_file(void **state) {
    (void)state;
    variant_error err = {0};
    vt_tensor_file *file, *other;
    vt_team *team;
    assert_int_equal(variant_guard_files(&err), VARIANT_OK);
    assert_int_equal(variant_guard_files(NULL), VARIANT_OK);
    for (int round = 0; round < 20; round++) {
        write_file(0);
        assert_int_equal(vt_team_open(&team, 3, &err), VARIANT_OK);
        assert_int_equal(vt_tensor_file_open_guarded(&file, path, &err), VARIANT_OK);
        assert_int_equal(vt_tensor_file_open_guarded(&other, path, &err), VARIANT_OK);
        const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "large");
        const unsigned char *bytes = tensor->data;
        vt_team_deal(team, (int64_t)(LARGE / 4096), touch, tensor);
        assert_int_equal(vt_tensor_file_settle(file, VARIANT_OK, &err), VARIANT_OK);
        assert_int_equal(vt_tensor_file_settle(file, VARIANT_E_MODEL, &err), VARIANT_E_MODEL);
        cut_to((size_t)1 << 20);
        vt_team_deal(team, (int64_t)(LARGE / 4096), touch, tensor);
        assert_int_equal(vt_tensor_file_settle(file, VARIANT_OK, &err), VARIANT_E_IO);
        assert_non_null(strstr(err.message, path));
        assert_non_null(strstr(err.message, "cut short"));
        assert_memory_equal(bytes, large, 4096);
        assert_int_equal(bytes[LARGE - 1], 0);
        assert_int_equal(vt_tensor_file_settle(other, VARIANT_OK, &err), VARIANT_OK);
        vt_tensor_file_close(&file);
        vt_tensor_file_close(&other);
        vt_team_close(&team);
    }
    arrays_of_a_cut_archive();
}

/* What lies behind the end within its last page is zero without a signal: sizes tell, also before anybody reads. */
static void sizes_tell(void **state) {
    (void)state;
    variant_error err = {0};
    vt_tensor_file *file;
    write_file(0);
    assert_int_equal(vt_tensor_file_open_guarded(&file, path, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_intact(file, &err), VARIANT_OK);
    cut_to(vt_tensor_file_bytes(file) - 1);
    assert_int_equal(vt_tensor_file_settle(file, VARIANT_OK, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_intact(file, &err), VARIANT_E_IO);
    assert_non_null(strstr(err.message, path));
    unlink(path); /* another file there is not this one */
    write_file(0);
    cut_to(100);
    assert_int_equal(vt_tensor_file_intact(file, &err), VARIANT_OK);
    vt_tensor_file_close(&file);
}

/* Ends of a child that reads behind the end of a file that nobody guards. */
static int end_of_child(void (*prepare)(void)) {
    write_file(0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        vt_tensor_file *file;
        signal(SIGBUS, SIG_DFL);
        prepare();
        if (vt_tensor_file_open(&file, path, NULL) != VARIANT_OK || truncate(path, 4096) != 0)
            _exit(1);
        touch(vt_tensor_file_find(file, NULL, "large"), (vt_span){0, LARGE / 4096, 0});
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void leave_with_42(int number) {
    (void)number;
    _exit(42);
}

static void guard(void) {
    if (variant_guard_files(NULL) != VARIANT_OK) _exit(2);
}

static void guard_behind_another(void) {
    signal(SIGBUS, leave_with_42);
    guard();
}

/* Runs before any other installs the handler. */
static void other_files_end_the_process(void **state) {
    (void)state;
    int status = end_of_child(guard);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    status = end_of_child(guard_behind_another);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_files_end_the_process),
        cmocka_unit_test(what_they_are),
        cmocka_unit_test(a_bit_is_found),
        cmocka_unit_test(in_a_shard),
        cmocka_unit_test(the_list),
        cmocka_unit_test(looking),
        cmocka_unit_test(a_guarded_file),
        cmocka_unit_test(sizes_tell),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
