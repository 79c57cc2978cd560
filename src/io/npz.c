/* npz.c - see npz.h. An .npy entry: "\x93NUMPY", version, header length (2 or 4 bytes), a Python dict as
 * text, then the numbers. The dict is read by its three keys; nothing is evaluated. */
#include "io/npz.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define POOL_LIMIT ((size_t)64 << 20) /* for the directory */

bool vt_npz_is(const char *path) {
    unsigned char head[4] = {0};
    FILE *file = fopen(path, "rb");
    size_t got = file ? fread(head, 1, sizeof head, file) : 0;
    if (file) fclose(file);
    return got == sizeof head && memcmp(head, "PK\3\4", 4) == 0;
}

variant_status vt_npz_open(vt_npz *out, const char *path, variant_error *err) {
    *out = (vt_npz){.path = strdup(path)};
    if (!out->path) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read %s", path);
    vt_pool_init(&out->pool, POOL_LIMIT);
    variant_status status = vt_mapping_open(&out->map, path, err);
    if (status == VARIANT_OK) {
        variant_error inner = {0};
        status = vt_zip_open(&out->zip, out->map.data, out->map.size, &out->pool, &inner);
        if (status != VARIANT_OK) vt_fail(err, status, "%s: %s", path, inner.message);
    }
    if (status != VARIANT_OK) vt_npz_close(out);
    return status;
}

void vt_npz_close(vt_npz *npz) {
    vt_pool_free(&npz->pool);
    vt_mapping_close(&npz->map);
    free(npz->path);
    *npz = (vt_npz){0};
}

static void entry_name(char *out, size_t size, const char *name) {
    snprintf(out, size, "%s.npy", name);
}

bool vt_npz_has(const vt_npz *npz, const char *name) {
    char entry[64];
    entry_name(entry, sizeof entry, name);
    return vt_zip_has(&npz->zip, entry);
}

/* What follows 'key': in the dict, without blanks; NULL when the key is missing. */
static const char *value_of(const char *text, const char *key) {
    const char *at = strstr(text, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, "'\": ");
    return at;
}

static bool read_shape(vt_npy *out, const char *text) {
    out->rank = 0;
    out->count = 1;
    if (*text++ != '(') return false;
    for (;;) {
        text += strspn(text, " ,");
        if (*text == ')') return true;
        char *end;
        long long size = strtoll(text, &end, 10);
        if (end == text || size < 0 || out->rank == 4) return false;
        if (__builtin_mul_overflow(out->count, (size_t)size, &out->count)) return false;
        out->shape[out->rank++] = size;
        text = end;
    }
}

/* The dict of `length` bytes, NUL-terminated. NULL: fine; else what is wrong. */
static const char *read_header(vt_npy *out, const char *text) {
    const char *type = value_of(text, "'descr'"), *order = value_of(text, "'fortran_order'");
    const char *shape = value_of(text, "'shape'");
    if (!type || !order || !shape) return "its header has no descr, fortran_order and shape";
    if (strncmp(type, "<f8", 3) != 0 && strncmp(type, "<f4", 3) != 0)
        return "expected little-endian floats (<f4 or <f8)";
    out->wide = type[2] == '8';
    if (strncmp(order, "False", 5) != 0) return "expected C order";
    return read_shape(out, shape) ? NULL : "its shape cannot be read";
}

static const char *read_array(vt_npy *out, const vt_zip_entry *entry) {
    const unsigned char *bytes = entry->data;
    if (entry->size < 12 || memcmp(bytes, MAGIC, 6) != 0) return "not a .npy array";
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > entry->size - start || length > 65536) return "its header does not fit";
    char *text = malloc(length + 1);
    if (!text) return "no memory for its header";
    memcpy(text, bytes + start, length);
    text[length] = '\0';
    const char *wrong = read_header(out, text);
    free(text);
    if (wrong) return wrong;
    size_t need;
    if (__builtin_mul_overflow(out->count, (size_t)(out->wide ? 8 : 4), &need) ||
        need > entry->size - start - length)
        return "it is cut short";
    out->data = bytes + start + length;
    return NULL;
}

variant_status vt_npz_find(const vt_npz *npz, const char *name, vt_npy *out, variant_error *err) {
    char entry[64];
    const vt_zip_entry *found = NULL;
    variant_error inner = {0};
    *out = (vt_npy){0};
    entry_name(entry, sizeof entry, name);
    if (!vt_zip_has(&npz->zip, entry))
        return vt_fail(err, VARIANT_E_FORMAT, "%s: no array %s in it", npz->path, name);
    if (vt_zip_find(&npz->zip, entry, &found, &inner) != VARIANT_OK)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: array %s: %s", npz->path, name, inner.message);
    if (vt_zip_check(found, &inner) != VARIANT_OK)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: array %s: %s", npz->path, name, inner.message);
    const char *wrong = read_array(out, found);
    return wrong ? vt_fail(err, VARIANT_E_FORMAT, "%s: array %s: %s", npz->path, name, wrong)
                 : VARIANT_OK;
}

void vt_npy_read(const vt_npy *array, double *out) {
    for (size_t i = 0; i < array->count; ++i) {
        float narrow;
        if (array->wide) {
            memcpy(&out[i], (const char *)array->data + 8 * i, 8);
        } else {
            memcpy(&narrow, (const char *)array->data + 4 * i, 4);
            out[i] = (double)narrow;
        }
    }
}
