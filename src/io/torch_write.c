/* torch_write.c - a state dict as torch.save writes one: the zip archive whose main pickle torch.c reads. Called by the engine.
 *
 * archive/data.pkl is the pickle, archive/data/I the numbers of tensor I, archive/byteorder and archive/version what they say. Of the
 * pickle's language (protocol 2) only what every unpickler knows is used, without a memo. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/tensor_file.h"
#include "io/zip_write.h"

enum { ALIGN = 64 }; /* of a storage within the archive, as PyTorch's own writer does */

bool vt_torch_is_name(const char *path) {
    static const char *const endings[] = {".pth", ".pt", ".bin", ".ckpt"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

static const char *storage_name(vt_dtype type) {
    static const char *const names[VT_OTHER] = {
        [VT_F32] = "FloatStorage",     [VT_F64] = "DoubleStorage", [VT_F16] = "HalfStorage",
        [VT_BF16] = "BFloat16Storage", [VT_I8] = "CharStorage",    [VT_U8] = "ByteStorage",
        [VT_I16] = "ShortStorage",     [VT_I32] = "IntStorage",    [VT_I64] = "LongStorage",
        [VT_BOOL] = "BoolStorage"};
    return names[type];
}

/* ---- the pickle ---- */

#define PUT(stream, literal) fwrite(literal, 1, sizeof(literal) - 1, stream)
#define DICTIONARY "ccollections\nOrderedDict\n)R" /* OrderedDict() */

static void put_little(FILE *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(value >> (8 * i) & 0xff), out);
}

static void put_text(FILE *out, const char *text) {
    fputc('X', out); /* BINUNICODE */
    put_little(out, strlen(text), 4);
    fputs(text, out);
}

/* BININT, or LONG1 of nine bytes with the sign in the last. */
static void put_int(FILE *out, uint64_t value) {
    if (value <= INT32_MAX) {
        fputc('J', out);
        put_little(out, value, 4);
        return;
    }
    PUT(out, "\x8a\x09");
    put_little(out, value, 8);
    fputc(0, out);
}

/* _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()) */
static void put_tensor(FILE *out, const vt_tensor *tensor, int index) {
    char key[16];
    uint64_t strides[VT_MAX_RANK], step = 1;
    snprintf(key, sizeof key, "%d", index);
    PUT(out, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(out, "storage");
    fprintf(out, "ctorch\n%s\n", storage_name(tensor->type));
    put_text(out, key);
    put_text(out, "cpu");
    put_int(out, tensor->count);
    PUT(out, "tQ"); /* the tuple by which torch.load finds a storage */
    put_int(out, 0);
    for (int d = tensor->rank - 1; d >= 0; d--) {
        strides[d] = step;
        step *= tensor->shape[d] > 0 ? (uint64_t)tensor->shape[d] : 1;
    }
    fputc('(', out);
    for (int d = 0; d < tensor->rank; d++) put_int(out, (uint64_t)tensor->shape[d]);
    PUT(out, "t(");
    for (int d = 0; d < tensor->rank; d++) put_int(out, strides[d]);
    PUT(out, "t\x89" DICTIONARY "tR");
}

static variant_status make_pickle(char **out, size_t *size, const vt_tensor *tensors, int count,
                                  variant_error *err) {
    FILE *stream = open_memstream(out, size);
    if (stream) {
        PUT(stream, "\x80\x02" DICTIONARY "(");
        for (int i = 0; i < count; i++) {
            put_text(stream, tensors[i].name);
            put_tensor(stream, &tensors[i], i);
        }
        PUT(stream, "u.");
    }
    const bool failed = !stream || ferror(stream);
    if (stream && (fclose(stream) != 0 || failed || !*out))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the names of %d tensors", count);
    return stream ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory to write tensors");
}

/* ---- the archive ---- */

static variant_status put_entry(vt_zip_writer *zip, const char *name, const void *bytes,
                                size_t size, variant_error *err) {
    VT_TRY(vt_zip_writer_begin(zip, name, size, ALIGN, err));
    return vt_zip_writer_add(zip, bytes, size, err);
}

typedef struct archive {
    vt_zip_writer zip;
    int next; /* tensor whose entry comes next */
} archive;

static variant_status put_next(archive *to, const void *data, size_t bytes, variant_error *err) {
    char name[48];
    snprintf(name, sizeof name, "archive/data/%d", to->next++);
    return put_entry(&to->zip, name, data, bytes, err);
}

/* Tensors without elements have entries without bytes. */
static variant_status put_empty(archive *to, int end, variant_error *err) {
    while (to->next < end) VT_TRY(put_next(to, NULL, 0, err));
    return VARIANT_OK;
}

static variant_status put_storage(void *user, int index, const void *data, size_t bytes,
                                  variant_error *err) {
    VT_TRY(put_empty(user, index, err));
    return put_next(user, data, bytes, err);
}

static variant_status put_all(archive *to, const vt_tensor *measured, const vt_tensor_out *tensors,
                              int count, const char *pickle, size_t pickle_size,
                              const vt_work_watch *watch, variant_error *err) {
    VT_TRY(put_entry(&to->zip, "archive/data.pkl", pickle, pickle_size, err));
    VT_TRY(put_entry(&to->zip, "archive/byteorder", "little", 6, err));
    VT_TRY(vt_tensors_each(measured, tensors, count, put_storage, to, watch, err));
    VT_TRY(put_empty(to, count, err));
    return put_entry(&to->zip, "archive/version", "3\n", 2, err);
}

variant_status vt_torch_stage(vt_replace_set *into, const char *path, const vt_tensor_out *tensors,
                              int count, const vt_work_watch *watch, variant_error *err) {
    variant_status status = VARIANT_OK;
    archive to = {0};
    char *pickle = NULL;
    size_t pickle_size = 0;
    vt_tensor *measured = calloc((size_t)count + 1, sizeof *measured);
    if (!measured) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path);
    status = vt_tensors_measure(measured, tensors, count, err);
    if (status == VARIANT_OK) status = make_pickle(&pickle, &pickle_size, measured, count, err);
    if (status != VARIANT_OK) {
        status = vt_fail_within(err, status, "%s", path);
        goto cleanup;
    }
    VT_CHECK(vt_zip_writer_open(&to.zip, path, "a PyTorch file", err));
    VT_CHECK(put_all(&to, measured, tensors, count, pickle, pickle_size, watch, err));
    VT_CHECK(vt_zip_writer_stage(&to.zip, into, err));
cleanup:
    vt_zip_writer_abandon(&to.zip);
    free(pickle);
    free(measured);
    return status;
}

variant_status vt_torch_write(const char *path, const vt_tensor_out *tensors, int count,
                              const vt_work_watch *watch, variant_error *err) {
    vt_replace_set file = {0};
    VT_TRY(vt_torch_stage(&file, path, tensors, count, watch, err));
    return vt_replace_set_commit(&file, err);
}
