/* png.c - PNG files in and out by libpng, with text pairs.
 *
 * libpng reports by a jump. All that must outlive one lies in a png_work on the caller's side of
 * setjmp, and the steps run in a function of their own, so that no local variable is ever read
 * after a jump. Called by picture_read.c (decoding) and by everything that writes pictures. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/file.h"
#include "io/jailed.h"
#include "io/picture.h"

#define TEXT_VALUE_MAX ((size_t)4 << 20)  /* of what is written, and unfolded */
#define CHUNK_BYTES_MAX ((size_t)8 << 20) /* of what is read, but for pixels: libpng's own choice */
#define COMPRESSION_LEVEL 6 /* fixed, as the filter is: equal pictures are equal files */

typedef struct png_work {
    jmp_buf jump;
    variant_status status;
    char message[200];
    FILE *stream;  /* to write */
    vt_bytes left; /* to read */
    png_structp png;
    png_infop info;
    bool header_only;
    int width, height, channels; /* channels as libpng delivers them: 1 to 4 */
    int orientation;
    uint8_t *samples;      /* (height, width, channels) */
    png_bytep *rows;       /* height pointers into samples */
    const vt_image *image; /* to write */
    const vt_image_text *text;
    int text_count;
    const char *key; /* to find */
    char *value;     /* found, or NULL */
} png_work;

typedef void (*png_steps)(png_work *work);

static void work_stop(png_work *work, variant_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

static void work_stop(png_work *work, variant_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(work->message, sizeof work->message, format, args);
    va_end(args);
    work->status = status;
    longjmp(work->jump, 1);
}

static void png_failed(png_structp png, png_const_charp message) {
    png_work *work = png_get_error_ptr(png);
    int reason = errno;
    if (work->stream && ferror(work->stream)) {
        work_stop(work, VARIANT_E_IO, "%s", reason ? strerror(reason) : "the transfer failed");
    }
    work_stop(work, VARIANT_E_FORMAT, "damaged PNG (%s)", message);
}

static void png_warned(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

/* Runs the steps and turns a jump into a status. What the steps acquired stays in work for
 * work_free. */
static variant_status work_run(png_work *work, png_steps steps, variant_error *err) {
    errno = 0;
    if (setjmp(work->jump)) return vt_fail(err, work->status, "%s", work->message);
    steps(work);
    return VARIANT_OK;
}

static void work_free(png_work *work) {
    if (work->image) {
        png_destroy_write_struct(&work->png, &work->info);
    } else {
        png_destroy_read_struct(&work->png, &work->info, NULL);
    }
    free(work->rows);
    free(work->samples);
    free(work->value);
}

/* ---- reading ---- */

static void png_take(png_structp png, png_bytep out, size_t size) {
    png_work *work = png_get_io_ptr(png);
    if (size > work->left.size) png_error(png, "it ends early");
    memcpy(out, work->left.data, size);
    work->left.data += size;
    work->left.size -= size;
}

/* libpng takes memory by what a chunk says of its length: is none longer than what is left of the file? Looked at up to the pixels
 * where the header alone is wanted. */
static bool chunks_fit(vt_bytes file, bool header_only) {
    for (size_t at = 8; at + 8 <= file.size;) {
        const uint8_t *c = file.data + at;
        const size_t length = (size_t)c[0] << 24 | (size_t)c[1] << 16 | (size_t)c[2] << 8 | c[3];
        if (header_only && memcmp(c + 4, "IDAT", 4) == 0) return true;
        if (length > file.size - at - 8) return false;
        if (memcmp(c + 4, "IEND", 4) == 0) return true;
        at += 12 + length;
    }
    return true;
}

/* The chunk may come before or after the pixels. */
static int orientation_of(const png_work *work) {
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    return png_get_eXIf_1(work->png, work->info, &size, &exif) ? vt_exif_orientation(exif, size)
                                                               : 0;
}

static int text_take(png_structp png, png_unknown_chunkp chunk);

/* libpng would unfold every text and profile and keep them all, a thousand of 8 MB each out of a file of 8 MB: of texts only
 * the one that is looked for is (text_take), of profiles none. */
static void limit_chunks(png_work *work) {
    static const png_byte unwanted[] = "iCCP\0sPLT", texts[] = "tEXt\0zTXt\0iTXt";
    png_set_chunk_malloc_max(work->png, CHUNK_BYTES_MAX);
    png_set_keep_unknown_chunks(work->png, PNG_HANDLE_CHUNK_NEVER, unwanted, 2);
    png_set_keep_unknown_chunks(
        work->png, work->key ? PNG_HANDLE_CHUNK_ALWAYS : PNG_HANDLE_CHUNK_NEVER, texts, 3);
    if (work->key) png_set_read_user_chunk_fn(work->png, work, text_take);
}

static void steps_read_header(png_work *work) {
    work->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, work, png_failed, png_warned);
    if (work->png) work->info = png_create_info_struct(work->png);
    if (!work->info) work_stop(work, VARIANT_E_MEMORY, "no memory for the PNG reader");
    if (!chunks_fit(work->left, work->header_only)) png_error(work->png, "it ends early");
    png_set_read_fn(work->png, work, png_take);
    png_set_user_limits(work->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours below says more */
    limit_chunks(work);
    png_read_info(work->png, work->info);

    png_uint_32 width = png_get_image_width(work->png, work->info);
    png_uint_32 height = png_get_image_height(work->png, work->info);
    variant_error refused = {0};
    if (vt_picture_size_check("PNG", width, height, &refused) != VARIANT_OK)
        work_stop(work, VARIANT_E_FORMAT, "%s", refused.message);
    work->width = (int)width;
    work->height = (int)height;
    work->channels = png_get_color_type(work->png, work->info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

static void steps_read_samples(png_work *work) {
    png_set_expand(work->png);   /* palettes to RGB, few bits to 8, transparency to alpha */
    png_set_scale_16(work->png); /* rounded, not cut */
    png_set_interlace_handling(work->png);
    png_read_update_info(work->png, work->info);
    work->channels = png_get_channels(work->png, work->info);
    size_t stride = (size_t)work->width * (size_t)work->channels;
    if (work->channels < 1 || work->channels > 4 ||
        png_get_rowbytes(work->png, work->info) != stride) {
        work_stop(work, VARIANT_E_FORMAT, "damaged PNG (rows of an unexpected size)");
    }
    work->samples = malloc(stride * (size_t)work->height);
    work->rows = malloc((size_t)work->height * sizeof *work->rows);
    if (!work->samples || !work->rows) {
        work_stop(work, VARIANT_E_MEMORY, "no memory for %d x %d samples", work->width,
                  work->height);
    }
    for (int y = 0; y < work->height; y++) work->rows[y] = work->samples + (size_t)y * stride;
    png_read_image(work->png, work->rows);
    png_read_end(work->png, work->info);
}

static void steps_decode(png_work *work) {
    steps_read_header(work);
    if (!work->header_only) steps_read_samples(work);
    work->orientation = orientation_of(work);
}

variant_status vt_png_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err) {
    png_work work = {.left = file, .header_only = header_only};
    variant_status status = work_run(&work, steps_decode, err);
    if (status == VARIANT_OK) {
        *out = (vt_raw_picture){work.width, work.height, work.channels, work.orientation,
                                work.samples};
        work.samples = NULL;
    }
    work_free(&work);
    return status;
}

/* ---- text ---- */

static char *utf8_from_latin1(const uint8_t *latin1, size_t length) {
    size_t used = 0;
    char *utf8 = malloc(2 * length + 1);
    if (!utf8) return NULL;
    for (size_t i = 0; i < length && latin1[i]; i++) {
        if (latin1[i] < 0x80) {
            utf8[used++] = (char)latin1[i];
        } else {
            utf8[used++] = (char)(0xC0 | latin1[i] >> 6);
            utf8[used++] = (char)(0x80 | (latin1[i] & 0x3F));
        }
    }
    utf8[used] = '\0';
    return utf8;
}

/* The value of a text as it lies in its chunk, behind key, flags and languages: unfolded, where it is packed. */
static char *text_value(vt_bytes bytes, bool packed, bool utf8) {
    uint8_t *unfolded = packed ? malloc(TEXT_VALUE_MAX) : NULL;
    uLongf size = TEXT_VALUE_MAX;
    char *value = NULL;
    if (unfolded && uncompress(unfolded, &size, bytes.data, (uLong)bytes.size) == Z_OK)
        bytes = (vt_bytes){unfolded, size};
    if (!packed || bytes.data == unfolded)
        value = utf8 ? strndup((const char *)bytes.data, bytes.size)
                     : utf8_from_latin1(bytes.data, bytes.size);
    free(unfolded);
    return value;
}

/* Passes over a text that ends with a NUL; false: it does not. */
static bool pass_text(vt_bytes *bytes) {
    const uint8_t *end = bytes->size ? memchr(bytes->data, 0, bytes->size) : NULL;
    if (!end) return false;
    bytes->size -= (size_t)(end + 1 - bytes->data);
    bytes->data = end + 1;
    return true;
}

/* libpng hands over a chunk: keeps the value of the first text with the key. Returns 1: libpng is to keep nothing. */
static int text_take(png_structp png, png_unknown_chunkp chunk) {
    png_work *work = png_get_user_chunk_ptr(png);
    vt_bytes bytes = {chunk->data, chunk->size};
    const char *name = (const char *)chunk->name;
    const bool plain = strcmp(name, "tEXt") == 0, utf8 = strcmp(name, "iTXt") == 0;
    bool packed = strcmp(name, "zTXt") == 0;
    if (work->value || !(plain || packed || utf8)) return 1;
    if (!pass_text(&bytes) || strcmp((const char *)chunk->data, work->key) != 0) return 1;
    const size_t flags = plain ? 0 : packed ? 1 : 2; /* packed?, and the one way of packing */
    if (bytes.size < flags || (flags && bytes.data[flags - 1] != 0)) return 1;
    packed = packed || (utf8 && bytes.data[0]);
    bytes = (vt_bytes){bytes.data + flags, bytes.size - flags};
    if (utf8 && !pass_text(&bytes)) return 1; /* its language ... */
    if (utf8 && !pass_text(&bytes)) return 1; /* ... and the key in it */
    work->value = text_value(bytes, packed, utf8);
    return 1;
}

/* Pixels are passed over: memory does not depend on their number. */
static void steps_find_text(png_work *work) {
    steps_read_header(work);
    if (work->value) return;
    png_read_update_info(work->png, work->info);
    png_read_end(work->png, work->info); /* text may follow the picture */
    if (!work->value)
        work_stop(work, VARIANT_E_FORMAT, "the PNG has no text with key \"%s\"", work->key);
}

variant_status vt_png_text(char **out, vt_bytes file, const char *key, variant_error *err) {
    png_work work = {.left = file, .key = key};
    const variant_status status = work_run(&work, steps_find_text, err);
    *out = NULL;
    if (status == VARIANT_OK) {
        *out = work.value;
        work.value = NULL;
    }
    work_free(&work);
    return status;
}

variant_status vt_image_read_text(char **out, const char *path, const char *key,
                                  variant_error *err) {
    *out = NULL;
    if (!path || !key)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a PNG's text needs a path and a key");
    vt_mapping map;
    VT_TRY(vt_mapping_open(&map, path, err));
    vt_mapping_guard(&map);
    const vt_bytes file = {map.data, map.size};
    variant_status status =
        vt_jail_is_on() ? vt_jailed_text(out, file, key, err) : vt_png_text(out, file, key, err);
    if (status != VARIANT_OK) status = vt_fail_within(err, status, "%s", path);
    status = vt_mapping_settle(&map, path, status, err);
    vt_mapping_close(&map);
    if (status != VARIANT_OK) free(*out);
    if (status != VARIANT_OK) *out = NULL;
    return status;
}

/* ---- writing ---- */

static bool is_ascii(const char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80) return false;
    }
    return true;
}

/* Well-formed by length and continuation bytes, without overlong forms and surrogates. */
static bool is_utf8(const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        if ((*s >= 0x80 && *s < 0xC2) || *s > 0xF4) return false;
        int more = (*s >= 0xC2) + (*s >= 0xE0) + (*s >= 0xF0);
        if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return false;
        if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return false;
        for (s++; more > 0; more--, s++) {
            if ((*s & 0xC0) != 0x80) return false;
        }
    }
    return true;
}

/* PNG's rule for keys, kept to ASCII: 1 to 79 printable bytes, none of them a space at an
 * end or beside another. */
static bool is_key(const char *key) {
    size_t length = key ? strlen(key) : 0;
    if (length < 1 || length > 79 || key[0] == ' ' || key[length - 1] == ' ' || strstr(key, "  "))
        return false;
    for (; *key; key++) {
        if (*key < 0x20 || *key > 0x7E) return false;
    }
    return true;
}

static variant_status text_check(const vt_image_text *text, int count, variant_error *err) {
    for (int i = 0; i < count; i++) {
        if (!is_key(text[i].key)) {
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "PNG text key \"%s\": expected 1 to 79 printable ASCII characters",
                           text[i].key ? text[i].key : "");
        }
        const char *value = text[i].value;
        if (!value || strlen(value) > TEXT_VALUE_MAX || !is_utf8(value)) {
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "PNG text %s: expected UTF-8 of at most %zu bytes", text[i].key,
                           TEXT_VALUE_MAX);
        }
    }
    return VARIANT_OK;
}

static void steps_encode(png_work *work) {
    const vt_image *image = work->image;
    work->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, work, png_failed, png_warned);
    if (work->png) work->info = png_create_info_struct(work->png);
    if (!work->info) work_stop(work, VARIANT_E_MEMORY, "no memory for the PNG writer");
    png_init_io(work->png, work->stream);
    png_set_compression_level(work->png, COMPRESSION_LEVEL);
    png_set_compression_mem_level(work->png, 8);
    png_set_compression_strategy(work->png, 1); /* zlib's Z_FILTERED */
    png_set_filter(work->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
    png_set_IHDR(work->png, work->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 image->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < work->text_count; i++) { /* libpng copies key and value */
        png_text entry = {.key = (char *)work->text[i].key,
                          .text = (char *)work->text[i].value,
                          .lang = (char *)"",
                          .lang_key = (char *)""};
        entry.compression =
            is_ascii(entry.text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        png_set_text(work->png, work->info, &entry, 1);
    }
    png_write_info(work->png, work->info);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++)
        png_write_row(work->png, image->data + (size_t)y * stride);
    png_write_end(work->png, work->info);
}

/* Text and picture can be written? */
static variant_status check(const vt_image *image, const vt_image_text *text, int text_count,
                            variant_error *err) {
    if (!image || !image->data || text_count < 0 || (text_count && !text) || image->width < 1 ||
        image->height < 1 || (image->channels != 1 && image->channels != 3)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "writing a PNG needs a path and a picture of 1 or 3 channels");
    }
    return text_check(text, text_count, err);
}

variant_status vt_image_write_png(const vt_image *image, const char *path,
                                  const vt_image_text *text, int text_count, variant_error *err) {
    VT_TRY(check(path ? image : NULL, text, text_count, err));
    vt_replace replace;
    VT_TRY(vt_replace_open(&replace, path, err));
    png_work work = {
        .stream = replace.stream, .image = image, .text = text, .text_count = text_count};
    variant_status status = work_run(&work, steps_encode, err);
    work_free(&work);
    if (status == VARIANT_OK) {
        status = vt_replace_commit(&replace, err);
    } else {
        vt_fail_within(err, status, "%s", path);
    }
    vt_replace_abandon(&replace);
    return status;
}

variant_status vt_png_encode(vt_bytes *out, const vt_image *image, const vt_image_text *text,
                             int text_count, variant_error *err) {
    char *file = NULL;
    size_t size = 0;
    *out = (vt_bytes){0};
    VT_TRY(check(image, text, text_count, err));
    FILE *stream = open_memstream(&file, &size);
    if (!stream) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a PNG");
    png_work work = {.stream = stream, .image = image, .text = text, .text_count = text_count};
    variant_status status = work_run(&work, steps_encode, err);
    work_free(&work);
    if (fclose(stream) != 0 && status == VARIANT_OK)
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for a PNG");
    if (status == VARIANT_OK)
        *out = (vt_bytes){(const uint8_t *)file, size};
    else
        free(file);
    return status;
}
