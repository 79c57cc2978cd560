/* npz.c - see npz.h. An .npy entry: "\x93NUMPY", version, header length (2 or 4 bytes), a Python dict as
 * text, then the numbers. The dict is read by its three keys; nothing is evaluated. */
#include "io/npz.h"

#include <stdlib.h>
#include <string.h>

#include "io/file_kind.h"
#include "io/tensors.h"

#define MAGIC "\x93NUMPY"
#define POOL_LIMIT ((size_t)64 << 20) /* for the directory */
#define NAME_LIMIT 256

bool vt_npz_is(const char *path) {
    vt_mapping map;
    if (vt_mapping_open(&map, path, NULL) != VARIANT_OK) return false;
    vt_mapping_guard(&map);
    bool is = map.size >= 4 && memcmp(map.data, "PK\3\4", 4) == 0;
    vt_mapping_close(&map);
    return is;
}

variant_status vt_npz_open(vt_npz *out, const char *path, variant_error *err) {
    *out = (vt_npz){.path = strdup(path)};
    if (!out->path) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read %s", path);
    vt_pool_init(&out->pool, POOL_LIMIT);
    variant_status status = vt_mapping_open(&out->map, path, err);
    if (status == VARIANT_OK) {
        variant_error inner = {0};
        vt_mapping_guard(&out->map);
        char kind[VT_FILE_KIND];
        bool other = out->map.size < 4 || memcmp(out->map.data, "PK", 2) != 0;
        if (other && vt_file_kind(kind, &out->map, path))
            status = vt_fail(&inner, VARIANT_E_FORMAT, "%s", kind);
        else
            status = vt_zip_open(&out->zip, out->map.data, out->map.size, &out->pool, &inner);
        if (status != VARIANT_OK) vt_fail(err, status, "%s: %s", path, inner.message);
        status = vt_mapping_settle(&out->map, path, status, err);
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
    char entry[NAME_LIMIT];
    entry_name(entry, sizeof entry, name);
    return vt_zip_has(&npz->zip, entry);
}

const char *vt_npz_name(vt_npz *npz, size_t index) {
    for (size_t i = 0; i < npz->zip.count; ++i) {
        const char *name = npz->zip.entries[i].name;
        size_t length = strlen(name);
        if (length < 5 || strcmp(name + length - 4, ".npy") != 0 || index-- > 0) continue;
        return vt_pool_text(&npz->pool, name, length - 4);
    }
    return NULL;
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
        text = end + (*end == 'L'); /* a long of Python 2 */
    }
}

/* A type such as '<f8'. NULL: fine; else what is wrong. */
static const char *read_type(vt_npy *out, const char *text) {
    static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4",
                                        "i8", "u1", "u2", "u4", "u8", "b1"};
    if (!text[0] || !strchr("<>|=", text[0])) return "its type is no plain number";
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        if (strncmp(text + 1, known[i], 2) != 0 || (text[3] != '\'' && text[3] != '"')) continue;
        out->big_endian = text[0] == '>';
        out->kind = text[1];
        out->size = text[2] - '0';
        return NULL;
    }
    return text[1] == 'V'
               ? "its type is lost (NumPy saves bfloat16 and 8-bit floats as bare bytes); "
                 "expected f2, f4, f8, whole numbers or bools"
               : "its type is not f2, f4, f8, a whole number or a bool";
}

/* The dict, NUL-terminated. NULL: fine; else what is wrong. */
static const char *read_header(vt_npy *out, const char *text) {
    const char *type = value_of(text, "'descr'"), *order = value_of(text, "'fortran_order'");
    const char *shape = value_of(text, "'shape'");
    if (!type || !order || !shape) return "its header has no descr, fortran_order and shape";
    const char *wrong = read_type(out, type);
    if (wrong) return wrong;
    out->fortran = strncmp(order, "True", 4) == 0;
    if (!out->fortran && strncmp(order, "False", 5) != 0)
        return "its fortran_order is neither True nor False";
    return read_shape(out, shape) ? NULL : "its shape cannot be read";
}

static variant_status within(const vt_npy *array, variant_status status, variant_error *err) {
    const char *name = array->entry->name;
    if (status != VARIANT_OK)
        status = vt_fail_within(err, status, "%s: array %.*s", array->npz->path,
                                (int)strlen(name) - 4, name);
    return vt_mapping_settle(&array->npz->map, array->npz->path, status, err);
}

static variant_status read_array(vt_npy *out, vt_zip_stream *stream, variant_error *err) {
    unsigned char head[12];
    VT_TRY(vt_zip_stream_read(stream, head, 10, err));
    if (memcmp(head, MAGIC, 6) != 0) return vt_fail(err, VARIANT_E_FORMAT, "not a .npy array");
    size_t length = head[8] | (size_t)head[9] << 8;
    if (head[6] > 1) {
        VT_TRY(vt_zip_stream_read(stream, head + 10, 2, err));
        length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    if (length > 65536) return vt_fail(err, VARIANT_E_FORMAT, "its header does not fit");
    char *text = calloc(length + 1, 1);
    if (!text) return vt_fail(err, VARIANT_E_MEMORY, "no memory for its header");
    variant_status status = vt_zip_stream_read(stream, text, length, err);
    const char *wrong = status == VARIANT_OK ? read_header(out, text) : NULL;
    free(text);
    VT_TRY(status);
    if (wrong) return vt_fail(err, VARIANT_E_FORMAT, "%s", wrong);
    out->start = vt_zip_stream_at(stream);
    size_t need;
    if (__builtin_mul_overflow(out->count, (size_t)out->size, &need) ||
        need > out->entry->size - out->start)
        return vt_fail(err, VARIANT_E_FORMAT, "it is cut short");
    return VARIANT_OK;
}

variant_status vt_npz_find(const vt_npz *npz, const char *name, vt_npy *out, variant_error *err) {
    char entry[NAME_LIMIT];
    vt_zip_stream *stream = NULL;
    *out = (vt_npy){.npz = npz};
    entry_name(entry, sizeof entry, name);
    if (!vt_zip_has(&npz->zip, entry))
        return vt_fail(err, VARIANT_E_FORMAT, "%s: no array %s in it", npz->path, name);
    if (vt_zip_find(&npz->zip, entry, &out->entry, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_FORMAT, "%s: array %s", npz->path, name);
    variant_status status = vt_zip_stream_open(&stream, out->entry, err);
    if (status == VARIANT_OK) status = read_array(out, stream, err);
    vt_zip_stream_close(&stream);
    return within(out, status, err);
}

/* ---- numbers ---- */

/* In place: numbers of `size` bytes turned around where they are not of this machine's order. */
static void turn(unsigned char *bytes, size_t count, const vt_npy *array) {
    size_t size = (size_t)array->size;
    if (!array->big_endian || size == 1) return;
    for (size_t i = 0; i < count; ++i, bytes += size)
        for (size_t a = 0, b = size - 1; a < b; ++a, --b) {
            unsigned char kept = bytes[a];
            bytes[a] = bytes[b];
            bytes[b] = kept;
        }
}

static double to_double(const unsigned char *at, char kind, int size) {
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)size);
    if (kind == 'f' && size == 8) {
        double value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    if (kind == 'f') {
        float value;
        if (size == 2) return (double)vt_f32_from_f16((uint16_t)bits);
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    if (kind == 'b') return bits ? 1 : 0;
    if (kind == 'u' || size == 8) return kind == 'u' ? (double)bits : (double)(int64_t)bits;
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    return (double)(int64_t)((bits ^ sign) - sign);
}

/* Where in C order the next number of a file in Fortran order belongs: the first index runs fastest. */
static size_t next_place(const vt_npy *array, int64_t *index, size_t place) {
    size_t stride[4] = {0}, step = 1;
    for (int d = array->rank - 1; d >= 0; --d) {
        stride[d] = step;
        step *= (size_t)array->shape[d];
    }
    for (int d = 0; d < array->rank; ++d) {
        place += stride[d];
        if (++index[d] < array->shape[d]) break;
        place -= stride[d] * (size_t)array->shape[d];
        index[d] = 0;
    }
    return place;
}

static variant_status read_numbers(const vt_npy *array, vt_zip_stream *stream, double *out,
                                   variant_error *err) {
    unsigned char bytes[8 * 1024];
    int64_t index[4] = {0};
    size_t size = (size_t)array->size, place = 0;
    VT_TRY(vt_zip_stream_read(stream, NULL, array->start, err));
    for (size_t done = 0; done < array->count;) {
        size_t some = array->count - done < 1024 ? array->count - done : 1024;
        VT_TRY(vt_zip_stream_read(stream, bytes, some * size, err));
        turn(bytes, some, array);
        for (size_t i = 0; i < some; ++i, ++done) {
            out[array->fortran ? place : done] =
                to_double(bytes + i * size, array->kind, array->size);
            if (array->fortran) place = next_place(array, index, place);
        }
    }
    /* what may lie behind the numbers belongs to the checksum */
    return vt_zip_stream_read(stream, NULL, array->entry->size - vt_zip_stream_at(stream), err);
}

variant_status vt_npy_read(const vt_npy *array, double *out, variant_error *err) {
    vt_zip_stream *stream = NULL;
    variant_status status = vt_zip_stream_open(&stream, array->entry, err);
    if (status == VARIANT_OK) status = read_numbers(array, stream, out, err);
    vt_zip_stream_close(&stream);
    return within(array, status, err);
}

/* ---- rows ---- */

struct vt_npy_rows {
    vt_npy array;
    vt_zip_stream *stream;
};

size_t vt_npy_row_bytes(const vt_npy *array) {
    size_t numbers = array->rank > 0 ? 1 : 0;
    for (int d = 1; d < array->rank; ++d) numbers *= (size_t)array->shape[d];
    return array->count ? numbers * (size_t)array->size : 0;
}

variant_status vt_npy_rows_open(vt_npy_rows **out, const vt_npy *array, variant_error *err) {
    *out = NULL;
    if (array->rank < 1 || (array->fortran && array->rank > 1))
        return within(array,
                      vt_fail(err, VARIANT_E_FORMAT,
                              array->rank < 1 ? "a single number, expected rows"
                                              : "in Fortran order, where rows do not lie together; "
                                                "save it through np.ascontiguousarray"),
                      err);
    /* rows of packed entries are checked while they are unpacked, up to the last; stored ones are not */
    if (array->entry->data) VT_TRY(within(array, vt_zip_check(array->entry, err), err));
    vt_npy_rows *rows = *out = calloc(1, sizeof *rows);
    if (!rows) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read %s", array->npz->path);
    rows->array = *array;
    return VARIANT_OK;
}

void vt_npy_rows_close(vt_npy_rows **rows) {
    if (!*rows) return;
    vt_zip_stream_close(&(*rows)->stream);
    free(*rows);
    *rows = NULL;
}

variant_status vt_npy_rows_read(vt_npy_rows *rows, int64_t first, int64_t count, void *out,
                                variant_error *err) {
    const vt_npy *array = &rows->array;
    size_t row = vt_npy_row_bytes(array);
    if (first < 0 || count < 0 || first > array->shape[0] || count > array->shape[0] - first)
        return within(array,
                      vt_fail(err, VARIANT_E_ARGUMENT, "rows %lld to %lld, expected 0 to %lld",
                              (long long)first, (long long)(first + count - 1),
                              (long long)(array->shape[0] - 1)),
                      err);
    if (row == 0 || count == 0) return VARIANT_OK;
    size_t begin = array->start + (size_t)first * row, bytes = (size_t)count * row;
    variant_status status = VARIANT_OK;
    if (array->entry->data) {
        memcpy(out, array->entry->data + begin, bytes);
    } else {
        if (rows->stream && vt_zip_stream_at(rows->stream) > begin)
            vt_zip_stream_close(&rows->stream);
        if (!rows->stream) status = vt_zip_stream_open(&rows->stream, array->entry, err);
        if (status == VARIANT_OK)
            status =
                vt_zip_stream_read(rows->stream, NULL, begin - vt_zip_stream_at(rows->stream), err);
        if (status == VARIANT_OK) status = vt_zip_stream_read(rows->stream, out, bytes, err);
    }
    turn(out, bytes / (size_t)array->size, array);
    return within(array, status, err);
}
