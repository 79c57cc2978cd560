/* png_animation.c - animated PNG: the frames of an animation behind a still picture, so that a viewer that knows no
 * animations shows the last one. libpng writes pictures alone: each frame is a PNG of its own in memory, whose chunks are
 * taken over into the file. Called by engine/picture.c.
 *
 *     signature | IHDR | acTL | text | IDAT of the last frame | fcTL 0, fdAT .. | fcTL 1, fdAT .. | .. | IEND
 *
 * fcTL and fdAT are numbered together from 0 on; the picture in IDAT is no frame. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/file.h"
#include "io/picture.h"

enum { SIGNATURE = 8, AROUND = 12 /* length, type and check sum of a chunk */ };

typedef struct writing {
    const vt_animation *animation;
    FILE *stream;
    uint32_t sequence; /* of the next fcTL or fdAT */
    uint8_t head[25];  /* the first picture's IHDR chunk, which that of every frame must equal */
} writing;

static void put32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; ++i) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put16(uint8_t *to, int value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *from) {
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* A failed write shows when the file is finished: vt_replace_commit looks at the stream. */
static void put_chunk(writing *w, const char *type, const uint8_t *numbers, size_t number_count,
                      const uint8_t *data, size_t size) {
    uint8_t head[8], tail[4];
    put32(head, (uint32_t)(number_count + size));
    memcpy(head + 4, type, 4);
    uLong sum = crc32(0, head + 4, 4);
    if (number_count) sum = crc32(sum, numbers, (uInt)number_count);
    if (size) sum = crc32(sum, data, (uInt)size);
    put32(tail, (uint32_t)sum);
    fwrite(head, 1, sizeof head, w->stream);
    if (number_count) fwrite(numbers, 1, number_count, w->stream);
    if (size) fwrite(data, 1, size, w->stream);
    fwrite(tail, 1, sizeof tail, w->stream);
}

static void put_control(writing *w) {
    uint8_t numbers[8];
    put32(numbers, (uint32_t)w->animation->frames);
    put32(numbers + 4, (uint32_t)w->animation->plays);
    put_chunk(w, "acTL", numbers, sizeof numbers, NULL, 0);
}

/* The whole picture, in place of what was there, for as long as frame i is to be seen. */
static void put_frame_control(writing *w, int i) {
    const vt_animation *a = w->animation;
    uint8_t numbers[26] = {0};
    put32(numbers, w->sequence++);
    memcpy(numbers + 4, w->head + 8, 8); /* width and height, as IHDR has them */
    put16(numbers + 20, i + 1 < a->frames ? a->delay_ms : a->last_ms);
    put16(numbers + 22, 1000);
    put_chunk(w, "fcTL", numbers, sizeof numbers, NULL, 0);
}

static void put_frame_data(writing *w, const uint8_t *data, size_t size) {
    uint8_t number[4];
    put32(number, w->sequence++);
    put_chunk(w, "fdAT", number, sizeof number, data, size);
}

/* Takes over the chunks of a PNG that vt_png_encode made: of the still picture (frame -1) all, of a frame the pixels. */
static variant_status put_picture(writing *w, int frame, vt_bytes png, variant_error *err) {
    if (frame < 0) {
        fwrite(png.data, 1, SIGNATURE, w->stream);
        memcpy(w->head, png.data + SIGNATURE, sizeof w->head);
    } else if (memcmp(w->head, png.data + SIGNATURE, sizeof w->head) != 0) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "frame %d is not of the last one's size", frame);
    } else {
        put_frame_control(w, frame);
    }
    for (size_t at = SIGNATURE; at + AROUND <= png.size;) {
        const uint8_t *chunk = png.data + at;
        const size_t size = get32(chunk);
        const bool header = memcmp(chunk + 4, "IHDR", 4) == 0,
                   pixels = memcmp(chunk + 4, "IDAT", 4) == 0,
                   end = memcmp(chunk + 4, "IEND", 4) == 0;
        if (frame >= 0 && pixels) put_frame_data(w, chunk + 8, size);
        if (frame < 0 && !end) fwrite(chunk, 1, size + AROUND, w->stream);
        if (frame < 0 && header) put_control(w);
        at += size + AROUND;
    }
    return VARIANT_OK;
}

static variant_status write_frame(writing *w, int frame, const vt_image_text *text, int text_count,
                                  variant_error *err) {
    const vt_animation *a = w->animation;
    vt_image image = {0};
    vt_bytes png = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(a->frame(a->user, frame < 0 ? a->frames - 1 : frame, &image, err));
    VT_CHECK(vt_png_encode(&png, &image, text, frame < 0 ? text_count : 0, err));
    VT_CHECK(put_picture(w, frame, png, err));
cleanup:
    free((void *)(uintptr_t)png.data);
    vt_image_free(&image);
    return status;
}

static variant_status write_all(writing *w, const vt_image_text *text, int text_count,
                                variant_error *err) {
    for (int i = -1; i < w->animation->frames; ++i)
        VT_TRY(write_frame(w, i, text, text_count, err));
    put_chunk(w, "IEND", NULL, 0, NULL, 0);
    return VARIANT_OK;
}

variant_status vt_image_write_animation(const vt_animation *animation, const char *path,
                                        const vt_image_text *text, int text_count,
                                        variant_error *err) {
    const vt_animation *a = animation;
    if (!a || !path || a->frames < 1 || a->plays < 0 || a->delay_ms < 1 || a->last_ms < 1 ||
        a->delay_ms > VT_FRAME_MS_MAX || a->last_ms > VT_FRAME_MS_MAX)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "an animation needs a path, a frame, and times of 1 to %d ms",
                       VT_FRAME_MS_MAX);
    vt_replace replace;
    VT_TRY(vt_replace_open(&replace, path, err));
    writing w = {.animation = a, .stream = replace.stream};
    variant_status status = write_all(&w, text, text_count, err);
    if (status == VARIANT_OK)
        status = vt_replace_commit(&replace, err);
    else
        vt_fail_within(err, status, "%s", path);
    vt_replace_abandon(&replace);
    return status;
}
