/* bmp.c - Windows bitmaps: 1, 4 and 8 bits with a palette, 16, 24 and 32 bits, upright or upside down.
 * Called by picture_read.c.
 *
 * Layout: a file header of 14 bytes that says where the pixels begin; an information header whose first word is its
 * size; masks of the colours, or the palette; rows from below, each on a multiple of 4 bytes. */
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

enum { PLAIN = 0, RLE8 = 1, RLE4 = 2, MASKS = 3, ALPHA_MASKS = 6 };

typedef struct bmp {
    vt_bytes file;
    uint32_t pixels, info; /* where the pixels begin; size of the information header */
    int64_t width, height;
    bool from_above;
    int bits, colours, entry; /* bytes of a palette's entry */
    const uint8_t *palette;
    uint32_t masks[4]; /* red, green, blue, alpha */
} bmp;

static uint32_t word(const uint8_t *at, int size) {
    uint32_t value = 0;
    for (int i = size - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static variant_status damaged(const char *reason, variant_error *err) {
    return vt_fail(err, VARIANT_E_FORMAT, "damaged BMP (%s)", reason);
}

static variant_status sizes_read(bmp *b, uint32_t *compression, variant_error *err) {
    const uint8_t *data = b->file.data;
    if (b->file.size < 26) return damaged("it ends in its header", err);
    b->pixels = word(data + 10, 4);
    b->info = word(data + 14, 4);
    if ((b->info != 12 && b->info < 40) || b->info > 1024 || 14 + b->info > b->file.size)
        return damaged("its header", err);
    bool old = b->info == 12;
    int64_t height = old ? (int64_t)word(data + 20, 2) : (int32_t)word(data + 22, 4);
    b->width = old ? (int64_t)word(data + 18, 2) : (int32_t)word(data + 18, 4);
    b->from_above = height < 0;
    b->height = b->from_above ? -height : height;
    b->bits = (int)word(data + (old ? 24 : 28), 2);
    *compression = old ? PLAIN : word(data + 30, 4);
    b->entry = old ? 3 : 4;
    uint32_t used = old ? 0 : word(data + 46, 4);
    b->colours = b->bits > 8 ? 0 : used > 0 && used <= 1u << b->bits ? (int)used : 1 << b->bits;
    return vt_picture_size_check("BMP", b->width, b->height, err);
}

static variant_status colours_read(bmp *b, uint32_t compression, variant_error *err) {
    size_t at = 14 + (size_t)b->info;
    bool masks = compression == MASKS || compression == ALPHA_MASKS;
    if (compression == RLE8 || compression == RLE4)
        return vt_fail(err, VARIANT_E_FORMAT, "a BMP with run lengths: convert it first");
    if (!masks && compression != PLAIN)
        return vt_fail(err, VARIANT_E_FORMAT, "a BMP of compression %u: convert it first",
                       compression);
    bool known = b->bits == 1 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 ||
                 b->bits == 32;
    if (!known || (masks && b->bits != 16 && b->bits != 32))
        return vt_fail(err, VARIANT_E_FORMAT, "damaged BMP (%d bits a pixel)", b->bits);
    if (masks) { /* in longer headers part of them, at the same place */
        int count = compression == ALPHA_MASKS || b->info >= 56 ? 4 : 3;
        if (54 + 4 * (size_t)count > b->file.size) return damaged("its masks", err);
        for (int c = 0; c < count; c++) b->masks[c] = word(b->file.data + 54 + 4 * c, 4);
    } else if (b->bits == 16) {
        memcpy(b->masks, (uint32_t[]){0x7C00, 0x3E0, 0x1F, 0}, sizeof b->masks);
    } else {
        memcpy(b->masks, (uint32_t[]){0xFF0000, 0xFF00, 0xFF, 0}, sizeof b->masks);
    }
    b->palette = b->file.data + at;
    if (at + (size_t)b->colours * (size_t)b->entry > b->file.size)
        return damaged("it ends in its palette", err);
    return VARIANT_OK;
}

/* The bits of a mask, scaled to 8. */
static uint8_t masked(uint32_t value, uint32_t mask) {
    if (!mask) return 0;
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift;
    return (uint8_t)(((value & mask) >> shift) * 255u / most);
}

static bool row_store(const bmp *b, const uint8_t *row, uint8_t *out, bool alpha) {
    for (int64_t x = 0; x < b->width; x++) {
        if (b->bits <= 8) {
            int place = b->bits == 8 ? 0 : (int)((8 / b->bits - 1 - x % (8 / b->bits)) * b->bits);
            int index = row[x * b->bits / 8] >> place & ((1 << b->bits) - 1);
            if (index >= b->colours) return false;
            const uint8_t *colour = b->palette + (size_t)index * (size_t)b->entry;
            for (int c = 0; c < 3; c++) *out++ = colour[2 - c];
            continue;
        }
        uint32_t value = word(row + x * b->bits / 8, b->bits / 8);
        for (int c = 0; c < (alpha ? 4 : 3); c++) *out++ = masked(value, b->masks[c]);
    }
    return true;
}

/* Files whose alpha is 0 everywhere were written by programs that do not know it. */
static void alpha_forget(vt_raw_picture *out) {
    size_t pixels = (size_t)out->width * (size_t)out->height;
    for (size_t i = 0; i < pixels; i++)
        if (out->data[4 * i + 3] != 0) return;
    for (size_t i = 0; i < pixels; i++) out->data[4 * i + 3] = 255;
}

variant_status vt_bmp_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err) {
    bmp b = {.file = file};
    uint32_t compression = PLAIN;
    VT_TRY(sizes_read(&b, &compression, err));
    VT_TRY(colours_read(&b, compression, err));
    bool alpha = b.masks[3] != 0;
    out->width = (int)b.width;
    out->height = (int)b.height;
    out->channels = alpha ? 4 : 3;
    if (header_only) return VARIANT_OK;
    size_t stride = (size_t)((b.width * b.bits + 31) / 32 * 4),
           row = (size_t)(b.width * out->channels);
    if (b.pixels > file.size || (file.size - b.pixels) / stride < (size_t)b.height)
        return damaged("it ends early", err);
    out->data = malloc(row * (size_t)b.height);
    if (!out->data)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d x %d samples", out->width,
                       out->height);
    for (size_t y = 0; y < (size_t)b.height; y++) {
        size_t from = b.from_above ? y : (size_t)b.height - 1 - y;
        if (row_store(&b, file.data + b.pixels + from * stride, out->data + y * row, alpha))
            continue;
        free(out->data);
        out->data = NULL;
        return damaged("a colour that its palette does not have", err);
    }
    if (alpha) alpha_forget(out);
    return VARIANT_OK;
}
