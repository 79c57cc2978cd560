/* torch_file.h - what the tests of PyTorch checkpoints share: one temporary file, written anew for every try and opened with all of its
 * tensors touched; real files in memory; bytes put one behind another. */
#ifndef VT_TESTS_TORCH_FILE_H
#define VT_TESTS_TORCH_FILE_H

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

static inline int make_file(void **state) {
    (void)state;
    if (access("/dev/shm", W_OK) != 0) strcpy(path, "/tmp/variant-torch-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static inline int drop_file(void **state) {
    (void)state;
    return unlink(path);
}

/* A new file each time: some file systems write a file that is cut to nothing and filled again to
 * disk at once. */
static inline void write_bytes(const void *bytes, size_t size) {
    unlink(path);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

static volatile unsigned touched;

/* Opens path; reads the ends of every tensor, so that a pointer outside the file would fault. */
static inline variant_status open_and_touch(variant_error *err) {
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

/* ---- real files in memory ---- */

typedef struct blob {
    unsigned char *bytes;
    size_t size;
} blob;

static inline blob load(const char *name) {
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

static inline uint32_t little32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* The directory's checksum field of data.pkl, and where its bytes are. */
static inline size_t find_pickle(const blob *zip, size_t *data, size_t *size) {
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

/* ---- bytes put one behind another ---- */

typedef struct text {
    unsigned char bytes[1 << 20];
    size_t size;
} text;

static text made;

static inline void put(const void *bytes, size_t size) {
    assert_true(made.size + size <= sizeof made.bytes);
    memcpy(made.bytes + made.size, bytes, size);
    made.size += size;
}

#define PUT(literal) put(literal, sizeof(literal) - 1)

static inline void put_int(int64_t value) { /* LONG1 of eight bytes */
    PUT("\x8a\x08");
    put(&value, 8);
}

#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"

#endif
