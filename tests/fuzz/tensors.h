/* tensors.h - what every target that opens a file of tensors asks of one that was taken: all of it can be looked at. */
#ifndef TESTS_FUZZ_TENSORS_H
#define TESTS_FUZZ_TENSORS_H

#include "io/tensors.h"
#include "tests/fuzz/fuzz.h"

/* Shapes and sizes agree, each byte of data can be read and every element converted; names find their tensors. */
static inline void look_at_tensors(vt_tensor_file *file) {
    variant_error err = {0};
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *t = vt_tensor_file_at(file, i);
        size_t count = 1;
        FUZZ_EXPECT(t->rank >= 0 && t->rank <= VT_MAX_RANK);
        for (int d = 0; d < t->rank; ++d) {
            FUZZ_EXPECT(t->shape[d] >= 0 &&
                        !__builtin_mul_overflow(count, (size_t)t->shape[d], &count));
        }
        FUZZ_EXPECT(count == t->count);
        FUZZ_EXPECT(vt_tensor_file_find(file, t->group, t->name) == t);
        FUZZ_EXPECT(vt_tensor_type_name(t)[0]);
        if (t->type == VT_OTHER || t->count == 0) continue;
        FUZZ_EXPECT(t->bytes == t->count * vt_dtype_size(t->type) && t->data);
        FUZZ_EXPECT((uintptr_t)t->data % vt_dtype_size(t->type) == 0);
        if (t->count > 1 << 20) continue;
        float *floats = malloc(t->count * sizeof *floats);
        int32_t *whole = malloc(t->count * sizeof *whole);
        FUZZ_EXPECT(floats && whole);
        fuzz_told(vt_tensor_to_f32(t, floats, &err), &err);
        fuzz_told(vt_tensor_to_i32(t, whole, &err), &err);
        FUZZ_EXPECT(vt_tensor_not_finite(t) <= t->count);
        free(floats);
        free(whole);
    }
    for (int i = 0; i < vt_tensor_file_meta_count(file); ++i) {
        const char *key, *value;
        vt_tensor_file_meta_at(file, i, &key, &value);
        FUZZ_EXPECT(key && value && strlen(key) + strlen(value) > 0);
        FUZZ_EXPECT(vt_tensor_file_meta(file, key));
    }
}

/* The input as a file of tensors that was looked at, NULL where it is refused; no more than `most` bytes of memory. */
static inline vt_tensor_file *open_tensors(const uint8_t *data, size_t size, size_t most) {
    vt_tensor_file *file = NULL;
    variant_error err = {0};
    fuzz_begin();
    const variant_status status = vt_tensor_file_of_memory(&file, "input", data, size, &err);
    fuzz_told(status, &err);
    fuzz_end(most);
    if (status == VARIANT_OK)
        look_at_tensors(file);
    else
        FUZZ_EXPECT(!file && strncmp(err.message, "input: ", 7) == 0);
    return file;
}

/* What readers of models do next: wrappers' names become groups. */
static inline void unwrap_tensors(vt_tensor_file *file) {
    static const char *const marks[] = {"weight", "bias", "pos_1LC"};
    variant_error err = {0};
    const int count = vt_tensor_file_count(file);
    const variant_status status = vt_tensor_file_unwrap(file, marks, 3, &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) FUZZ_EXPECT(vt_tensor_file_count(file) == count);
}

#endif
