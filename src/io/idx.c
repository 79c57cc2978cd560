/* idx.c - reads IDX pairs (see idx.h) whole into memory.
 *
 * A header is believed only after its product was compared with what the file can hold: deflate
 * expands at most 1032 times, so that a few hostile bytes never ask for gigabytes. zlib's gz
 * functions read plain files too. Called by dataset.c. */
#include "io/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/rng.h"
#include "core/descriptor.h"
#include "io/file.h"

#define DEFLATE_MOST 1032
#define SIDE_MAX 32768

/* FNV-1a of the labels of Fashion-MNIST, by which it is known in any folder. */
#define FASHION_TRAIN_LABELS UINT64_C(0xb9f71c71bae5f277)
#define FASHION_TEST_LABELS UINT64_C(0x25bdf8123f06fac3)

/* ---- one file ---- */

static variant_status gz_fail(gzFile file, const char *path, variant_error *err) {
    int code = Z_OK;
    const char *text = gzerror(file, &code);
    if (code == Z_ERRNO) return vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    if (code == Z_MEM_ERROR)
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for reading", path);
    if (code == Z_OK || code == Z_BUF_ERROR)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: truncated IDX file", path);
    return vt_fail(err, VARIANT_E_FORMAT, "%s: damaged gzip data (%s)", path, text);
}

static variant_status gz_take(gzFile file, const char *path, void *out, size_t size,
                              variant_error *err) {
    uint8_t *to = out;
    while (size > 0) {
        unsigned part = size > (1u << 30) ? 1u << 30 : (unsigned)size;
        int got = gzread(file, to, part);
        if (got <= 0) return gz_fail(file, path, err);
        to += got;
        size -= (size_t)got;
    }
    return VARIANT_OK;
}

/* Reads the header and the bytes behind it; `rank` dimensions of unsigned bytes are expected. */
static variant_status idx_take(gzFile file, const char *path, int rank, uint32_t dims[3],
                               uint8_t **out, variant_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) return vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    uint8_t header[16];
    VT_TRY(gz_take(file, path, header, 4, err));
    if (header[0] || header[1] || header[2] != 8 || header[3] != rank) {
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: not an IDX file of unsigned bytes in %d dimension%s (it starts with "
                       "%02x %02x %02x %02x)",
                       path, rank, rank == 1 ? "" : "s", header[0], header[1], header[2],
                       header[3]);
    }
    VT_TRY(gz_take(file, path, header, (size_t)(4 * rank), err));
    uint64_t bytes = 1;
    for (int i = 0; i < rank; i++) {
        const uint8_t *h = header + 4 * i;
        dims[i] = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
        if (dims[i] < 1 || dims[i] > (i ? SIDE_MAX : INT_MAX)) {
            return vt_fail(err, VARIANT_E_FORMAT, "%s: dimension %d is %lu, expected 1 to %d", path,
                           i, (unsigned long)dims[i], i ? SIDE_MAX : INT_MAX);
        }
        bytes *= dims[i]; /* below 2^61 */
    }
    if (bytes / DEFLATE_MOST > (uint64_t)info.st_size || bytes > SIZE_MAX) {
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: truncated IDX file (%llu bytes announced, %lld stored)", path,
                       (unsigned long long)bytes, (long long)info.st_size);
    }
    *out = malloc((size_t)bytes);
    if (!*out)
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for %llu bytes", path,
                       (unsigned long long)bytes);
    VT_TRY(gz_take(file, path, *out, (size_t)bytes, err));
    int more = gzgetc(file); /* the end has the checksum looked at as well */
    int code = Z_OK;
    gzerror(file, &code);
    if (more < 0 && code < 0) return gz_fail(file, path, err);
    if (more >= 0) return vt_fail(err, VARIANT_E_FORMAT, "%s: bytes left after the IDX data", path);
    return VARIANT_OK;
}

static variant_status idx_read(const char *path, int rank, uint32_t dims[3], uint8_t **out,
                               variant_error *err) {
    *out = NULL;
    errno = 0;
    const int descriptor = vt_open(path, O_RDONLY);
    gzFile file = descriptor < 0 ? NULL : gzdopen(descriptor, "rb");
    if (!file) {
        const variant_status status =
            descriptor < 0 ? vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno))
                           : vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to read it", path);
        if (descriptor >= 0) vt_close(descriptor);
        return status;
    }
    gzbuffer(file, 1 << 17);
    variant_status status = idx_take(file, path, rank, dims, out, err);
    if (status != VARIANT_OK) {
        free(*out);
        *out = NULL;
    }
    gzclose_r(file);
    return status;
}

/* ---- finding the pair ---- */

static bool is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* prefix + split + one of the usual endings, the first that is there; NULL: none (or no memory). */
static char *pictures_find(const char *prefix, const char *split) {
    static const char *const endings[] = {"-images-idx3-ubyte.gz", "-images-idx3-ubyte",
                                          "-images.idx3-ubyte.gz", "-images.idx3-ubyte"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s%s", prefix, split, endings[i]) < 0) return NULL;
        if (is_file(path)) return path;
        free(path);
    }
    return NULL;
}

/* path with the last `from` of its file name made `to`; NULL: there is none (or no memory). */
static char *name_replace(const char *path, const char *from, const char *to) {
    const char *slash = strrchr(path, '/');
    const char *at = strstr(slash ? slash : path, from);
    char *result = NULL;
    if (!at) return NULL;
    if (asprintf(&result, "%.*s%s%s", (int)(at - path), path, to, at + strlen(from)) < 0)
        return NULL;
    return result;
}

/* The labels beside the file of pictures, gzipped or not. */
static char *labels_find(const char *pictures) {
    char *half = name_replace(pictures, "images", "labels");
    char *path = half ? name_replace(half, "idx3", "idx1") : NULL;
    if (half && !path) path = strdup(half);
    free(half);
    if (!path || is_file(path)) return path;
    size_t length = strlen(path);
    char *other = NULL;
    if (length > 3 && strcmp(path + length - 3, ".gz") == 0) {
        other = strndup(path, length - 3);
    } else if (asprintf(&other, "%s.gz", path) < 0) {
        other = NULL;
    }
    if (other && is_file(other)) {
        free(path);
        return other;
    }
    free(other);
    return path;
}

/* *pictures: the file of pictures that path and split stand for, or NULL when path is no IDX at
 * all. */
static variant_status pair_find(char **pictures, const char *path, bool test_split,
                                variant_error *err) {
    const char *wanted = test_split ? "t10k" : "train", *other = test_split ? "train" : "t10k";
    const char *again = test_split ? "test" : wanted; /* as some call it */
    *pictures = NULL;
    if (is_file(path)) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        bool train = strncmp(name, "train", 5) == 0;
        if (test_split && !train && strncmp(name, "t10k", 4) != 0) {
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "%s: has no test split beside it; expected train-... or t10k-...", path);
        }
        *pictures = test_split && train ? name_replace(path, "train", "t10k") : strdup(path);
        return *pictures ? VARIANT_OK
                         : vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", path);
    }
    char *prefix = NULL;
    if (asprintf(&prefix, "%s%s", path, vt_is_folder(path) ? "/" : "") < 0) {
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", path);
    }
    variant_status status = VARIANT_OK;
    *pictures = pictures_find(prefix, wanted);
    if (!*pictures) *pictures = pictures_find(prefix, again);
    if (!*pictures) {
        char *rest = pictures_find(prefix, other);
        if (rest)
            status = vt_fail(err, VARIANT_E_IO, "%s%s-images-idx3-ubyte.gz: not found beside %s",
                             prefix, wanted, rest);
        free(rest);
    }
    free(prefix);
    return status;
}

static bool is_fashion(const vt_idx *idx, int highest, const char *path) {
    if (idx->width != 28 || idx->height != 28 || highest != 9) return false;
    uint64_t hash = vt_fnv1a64(idx->labels, (size_t)idx->count);
    if (hash == FASHION_TRAIN_LABELS || hash == FASHION_TEST_LABELS) return true;
    char *real = realpath(path, NULL);
    bool named = real && strcasestr(real, "fashion");
    free(real);
    return named;
}

/* Labels that occur become the classes, without gaps: in the training pictures' labels where those are found. */
static variant_status classes_number(vt_idx *out, const char *path, const char *labels,
                                     variant_error *err) {
    int places[256];
    uint32_t dims[3] = {(uint32_t)out->count};
    uint8_t *train = NULL;
    char *pictures = NULL, *beside = NULL;
    if (pair_find(&pictures, path, false, NULL) == VARIANT_OK && pictures)
        beside = labels_find(pictures);
    if (beside && strcmp(beside, labels) != 0) idx_read(beside, 1, dims, &train, NULL);
    free(pictures);
    free(beside);
    const uint8_t *known = train ? train : out->labels;
    uint32_t count = train ? dims[0] : (uint32_t)out->count;
    for (int i = 0; i < 256; i++) places[i] = -1;
    for (uint32_t i = 0; i < count; i++) places[known[i]] = 0;
    free(train);
    for (int i = 0; i < 256; i++) {
        if (places[i] < 0) continue;
        places[i] = out->classes;
        out->numbers[out->classes++] = i;
    }
    for (int i = 0; i < out->count; i++) {
        if (places[out->labels[i]] < 0)
            return vt_fail(err, VARIANT_E_FORMAT,
                           "%s: label %d, which the training pictures do not have", labels,
                           out->labels[i]);
        out->labels[i] = (uint8_t)places[out->labels[i]];
    }
    return VARIANT_OK;
}

variant_status vt_idx_open(vt_idx *out, const char *path, bool test_split, bool *found,
                           variant_error *err) {
    *out = (vt_idx){0};
    char *pictures = NULL, *labels = NULL;
    uint32_t dims[3] = {0}, label_dims[3] = {0};
    int highest = 0;
    variant_status status = VARIANT_OK;

    *found = false;
    VT_CHECK(pair_find(&pictures, path, test_split, err));
    if (!pictures) goto cleanup;
    *found = true;
    labels = labels_find(pictures);
    if (!labels) {
        status = vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: no data set: expected a folder of pictures, IDX files (with "
                         "\"images\" in the name) or an .npz",
                         pictures);
        goto cleanup;
    }
    VT_CHECK(idx_read(pictures, 3, dims, &out->pixels, err));
    VT_CHECK(idx_read(labels, 1, label_dims, &out->labels, err));
    if (dims[0] != label_dims[0]) {
        status = vt_fail(err, VARIANT_E_FORMAT, "%s: %lu labels for %lu pictures", labels,
                         (unsigned long)label_dims[0], (unsigned long)dims[0]);
        goto cleanup;
    }
    out->count = (int)dims[0];
    out->height = (int)dims[1];
    out->width = (int)dims[2];
    for (int i = 0; i < out->count; i++)
        if (out->labels[i] > highest) highest = out->labels[i];
    out->fashion = is_fashion(out, highest, pictures);
    VT_CHECK(classes_number(out, path, labels, err));

cleanup:
    free(pictures);
    free(labels);
    if (status != VARIANT_OK) vt_idx_free(out);
    return status;
}

bool vt_idx_has_test(const char *path) {
    char *pictures = NULL;
    bool there =
        pair_find(&pictures, path, true, NULL) == VARIANT_OK && pictures && is_file(pictures);
    free(pictures);
    return there;
}

void vt_idx_free(vt_idx *idx) {
    free(idx->pixels);
    free(idx->labels);
    *idx = (vt_idx){0};
}
