/* edit.c - see edit.h. */
#include "engine/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/sized.h"

#define DEFAULT_KEEP 1.0f /* these two as measured: docs/EDITING.md */
#define DEFAULT_PULL 1.0f
#define LARGEST_SIDE 32768
#define MOST_PIXELS ((int64_t)1 << 28)

void variant_edit_init_sized(variant_edit *edit, size_t size) {
    const variant_edit defaults = {.feather = -1, .keep = DEFAULT_KEEP, .pull = DEFAULT_PULL};
    vt_sized_init(edit, size, &defaults, sizeof defaults);
}

/* ---- what was asked ---- */

/* What of an edit is a name, read. */
typedef struct ways {
    vt_fit fit;
    bool neighbours, mean, once;
} ways;

static variant_status read_ways(ways *out, const variant_edit *asked, const char *training,
                                variant_error *err) {
    vt_data data = vt_data_of("");
    const char *fill = asked->fill ? asked->fill : "neighbours";
    const char *codes = asked->codes ? asked->codes : "again";
    VT_TRY(vt_data_follow(&data, training, err));
    *out = (ways){.fit = data.fit,
                  .neighbours = strcmp(fill, "neighbours") == 0,
                  .mean = strcmp(fill, "mean") == 0,
                  .once = strcmp(codes, "once") == 0};
    if (!out->neighbours && !out->mean && strcmp(fill, "none") != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "edit: fill \"%.32s\": expected neighbours, mean or none", fill);
    if (!out->once && strcmp(codes, "again") != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "edit: codes \"%.32s\": expected again or once",
                       codes);
    if (!asked->fit) return VARIANT_OK;
    for (out->fit = VT_FIT_CROP; out->fit <= VT_FIT_STRETCH; ++out->fit)
        if (strcmp(asked->fit, vt_fit_name(out->fit)) == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "edit: fit \"%.32s\": expected crop, pad or stretch",
                   asked->fit);
}

static bool is_side(int64_t pixels) {
    return pixels >= 1 && pixels <= LARGEST_SIDE;
}

static variant_status check(const variant_edit *asked, variant_error *err) {
    const int added[] = {asked->left, asked->top, asked->right, asked->bottom};
    if (!is_side(asked->width) || !is_side(asked->height))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "edit: a picture of %d x %d pixels: expected sides of 1 to %d", asked->width,
                       asked->height, LARGEST_SIDE);
    if (asked->channels != 1 && asked->channels != 3)
        return vt_fail(err, VARIANT_E_ARGUMENT, "edit: %d channels: expected 1 or 3",
                       asked->channels);
    for (int i = 0; i < 4; ++i)
        if (added[i] < 0 || added[i] > LARGEST_SIDE)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "edit: %d pixels added at a side: expected 0 to %d", added[i],
                           LARGEST_SIDE);
    const int64_t width = (int64_t)asked->width + added[0] + added[2],
                  height = (int64_t)asked->height + added[1] + added[3];
    if (!is_side(width) || !is_side(height) || width * height > MOST_PIXELS)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "edit: %lld x %lld pixels: expected sides up to %d, %lld pixels in all",
                       (long long)width, (long long)height, LARGEST_SIDE, (long long)MOST_PIXELS);
    if (asked->grow < 0 || asked->grow > LARGEST_SIDE)
        return vt_fail(err, VARIANT_E_ARGUMENT, "edit: grow %d: expected 0 to %d pixels",
                       asked->grow, LARGEST_SIDE);
    if (asked->feather < -1 || asked->feather > LARGEST_SIDE)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "edit: feather %d: expected 0 to %d pixels, or -1 for a cell's",
                       asked->feather, LARGEST_SIDE);
    if (!(asked->keep >= 0.0f && asked->keep <= 1.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT, "edit: keep %g: expected 0 to 1",
                       (double)asked->keep);
    if (!(asked->pull >= 0.0f && asked->pull <= 1000.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT, "edit: pull %g: expected 0 to 1000",
                       (double)asked->pull);
    return VARIANT_OK;
}

/* ---- the canvas and its hole ---- */

/* Grey becomes RGB where to has it; from (n pixels) of `channels`. */
static void put_pixels(uint8_t *to, int to_channels, const uint8_t *from, int channels, size_t n) {
    if (to_channels == channels) {
        memcpy(to, from, n * (size_t)channels);
        return;
    }
    for (size_t i = 0; i < n; ++i) memset(to + 3 * i, from[i], 3);
}

/* Of the canvas, without its pixels. */
static void size_canvas(vt_image *canvas, const variant_edit *asked, int channels) {
    *canvas = (vt_image){.width = asked->width + asked->left + asked->right,
                         .height = asked->height + asked->top + asked->bottom,
                         .channels = channels};
}

/* Black where something is added; e->alpha (height, width): 255 there and where the mask says so, 0 elsewhere. */
static variant_status make_canvas(vt_edit *e, const variant_edit *asked, variant_error *err) {
    const int channels = e->canvas.channels;
    const size_t from = (size_t)asked->width, width = (size_t)e->canvas.width,
                 height = (size_t)e->canvas.height;
    VT_TRY(vt_image_new(&e->canvas, (int)width, (int)height, channels, err));
    e->alpha = malloc(width * height);
    if (!e->alpha) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a mask");
    memset(e->alpha, 255, width * height);
    for (size_t y = 0; y < (size_t)asked->height; ++y) {
        const size_t at = (y + (size_t)asked->top) * width + (size_t)asked->left;
        put_pixels(e->canvas.data + at * (size_t)channels, channels,
                   asked->pixels + y * from * (size_t)asked->channels, asked->channels, from);
        for (size_t x = 0; x < from; ++x)
            e->alpha[at + x] = asked->mask && asked->mask[y * from + x] >= 128 ? 255 : 0;
    }
    return VARIANT_OK;
}

static bool any_of(const uint8_t *map, size_t n) {
    for (size_t i = 0; i < n; ++i)
        if (map[i]) return true;
    return false;
}

/* First and last row or column of a map that are not all 0: of (outer) runs of (inner) numbers at these strides. */
static void extent(const uint8_t *map, int outer, size_t stride, int inner, size_t step, int *first,
                   int *last) {
    *first = outer;
    *last = -1;
    for (int i = 0; i < outer; ++i)
        for (int j = 0; j < inner; ++j) {
            if (!map[(size_t)i * stride + (size_t)j * step]) continue;
            if (*first == outer) *first = i;
            *last = i;
            break;
        }
}

/* ---- the window ---- */

/* Where a window of `size` over `whole` begins: in the middle, moved as far as it takes to hold [first, last] with what of
 * `margin` there is room for, and inside where it fits. */
static int window_begin(int whole, int size, int first, int last, int margin) {
    const int room = (size - (last - first + 1)) / 2;
    int begin = (whole - size) / 2;
    if (whole <= size) return whole < size ? -((size - whole) / 2) : 0;
    if (margin > room) margin = room > 0 ? room : 0;
    if (begin > first - margin) begin = first - margin;
    if (begin + size < last + 1 + margin) begin = last + 1 + margin - size;
    return begin < 0 ? 0 : begin > whole - size ? whole - size : begin;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

static int most(int a, int b) {
    return a > b ? a : b;
}

/* Crop: a square of the shorter side as in training, larger where the hole would be more than half as wide, so that there is
 * something around it. */
static void choose_window(vt_edit *e, const variant_edit *asked, const ways *w, int side) {
    const int width = e->canvas.width, height = e->canvas.height;
    int top, bottom, left, right;
    extent(e->alpha, height, (size_t)width, width, 1, &top, &bottom);
    extent(e->alpha, width, 1, height, (size_t)width, &left, &right);
    const int reach = most(bottom - top, right - left) + 1;
    int size = least(most(width, height), most(least(width, height), 2 * reach));
    if (w->fit == VT_FIT_PAD) size = most(width, height);
    if (asked->pad && width <= side && height <= side) size = side;
    e->width = e->height = size;
    if (w->fit == VT_FIT_STRETCH && size != side) {
        e->width = width;
        e->height = height;
    }
    e->x = window_begin(width, e->width, left, right, e->width / 8);
    e->y = window_begin(height, e->height, top, bottom, e->height / 8);
}

/* The window's rows of the canvas, or of a map (channels 1), with `beyond` where the canvas ends. */
typedef struct window_rows {
    const vt_edit *edit;
    const uint8_t *from;
    size_t channels;
    uint8_t beyond;
} window_rows;

static const uint8_t *window_row(void *user, int y, uint8_t *room) {
    const window_rows *w = user;
    const vt_edit *e = w->edit;
    const int first = most(e->x, 0), end = least(e->x + e->width, e->canvas.width);
    const uint8_t *row =
        w->from + (size_t)(y + e->y) * (size_t)e->canvas.width * w->channels; /* if there is one */
    const bool there = y + e->y >= 0 && y + e->y < e->canvas.height;
    if (there && first == e->x && end == e->x + e->width) return row + (size_t)first * w->channels;
    memset(room, w->beyond, (size_t)e->width * w->channels);
    if (there)
        memcpy(room + (size_t)(first - e->x) * w->channels, row + (size_t)first * w->channels,
               (size_t)(end - first) * w->channels);
    return room;
}

/* The window, of the canvas or a map, as side x side. */
static variant_status view(vt_image *out, const vt_edit *e, const uint8_t *from, int channels,
                           uint8_t beyond, int side, variant_error *err) {
    window_rows rows = {e, from, (size_t)channels, beyond};
    const vt_rows source = {e->width, e->height, channels, window_row, &rows};
    const vt_window whole = {.width = side, .height = side, .columns = side, .rows = side};
    VT_TRY(vt_image_new(out, side, side, channels, err));
    return vt_image_resample_rows(&source, &whole, &(vt_row_sink){vt_image_keep_row, out}, err);
}

/* ---- what is known ---- */

/* What the model is told, all of it 0. */
static variant_status take_memory(vt_edit *e, const vt_tokenizer_config *config,
                                  variant_error *err) {
    const size_t side = (size_t)vt_tokenizer_side(config),
                 s = (size_t)config->sides[config->scales - 1],
                 length = (size_t)vt_tokenizer_tokens(config),
                 floats = side * side * (size_t)config->channels;
    e->known.picture = calloc(floats, sizeof *e->known.picture);
    e->known.cells = calloc(s, s);
    e->known.kept = calloc(length, 1);
    e->known.gain = calloc(length, sizeof *e->known.gain);
    e->held += floats * sizeof(float) + s * s + length * (1 + sizeof(float));
    return e->known.picture && e->known.cells && e->known.kept && e->known.gain
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture to edit");
}

/* seen: the window as the model sees it; hole: likewise, how much of each pixel is drawn again. */
static variant_status know(vt_edit *e, const variant_edit *asked, const ways *w, vt_image *seen,
                           const vt_image *hole, const vt_tokenizer_config *config,
                           variant_error *err) {
    const int side = vt_tokenizer_side(config);
    const size_t floats = (size_t)side * (size_t)side * (size_t)config->channels;
    float *picture = (float *)(uintptr_t)e->known.picture,
          *gain = (float *)(uintptr_t)e->known.gain;
    uint8_t *cells = (uint8_t *)(uintptr_t)e->known.cells,
            *kept = (uint8_t *)(uintptr_t)e->known.kept;
    for (size_t i = 0; i < floats; ++i) picture[i] = (float)seen->data[i] / 127.5f - 1.0f;
    if (w->neighbours || w->mean)
        VT_TRY(vt_edit_fill(picture, hole->data, side, config->channels, w->neighbours, err));
    vt_edit_cells(hole->data, side, config, asked->keep, cells, kept, gain);
    const size_t s = (size_t)config->sides[config->scales - 1];
    e->whole = !any_of(cells, s * s);
    return VARIANT_OK;
}

/* What is masked is masked in the model's eyes, however small a part of one of its pixels it is. */
static void keep_holes(vt_image *hole, const vt_edit *e) {
    const int first = most(e->x, 0), end = least(e->x + e->width, e->canvas.width);
    for (int y = most(e->y, 0); y < least(e->y + e->height, e->canvas.height); ++y) {
        const int row = (int)((int64_t)(y - e->y) * hole->height / e->height);
        for (int x = first; x < end; ++x) {
            const int column = (int)((int64_t)(x - e->x) * hole->width / e->width);
            uint8_t *seen = hole->data + (size_t)row * (size_t)hole->width + column;
            if (*seen == 0 && e->alpha[(size_t)y * (size_t)e->canvas.width + (size_t)x]) *seen = 1;
        }
    }
}

/* By e->alpha while it has no seam: that is drawn, but known. */
static variant_status look(vt_edit *e, const variant_edit *asked, const ways *w,
                           const vt_tokenizer_config *config, variant_error *err) {
    const int side = vt_tokenizer_side(config);
    const bool black = w->fit == VT_FIT_PAD || asked->pad;
    vt_image seen = {0}, hole = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(view(&seen, e, e->canvas.data, e->canvas.channels, 0, side, err));
    VT_CHECK(vt_image_convert(&seen, config->channels, err));
    VT_CHECK(view(&hole, e, e->alpha, 1, black ? 0 : 255, side, err));
    keep_holes(&hole, e);
    VT_CHECK(know(e, asked, w, &seen, &hole, config, err));
cleanup:
    vt_image_free(&seen);
    vt_image_free(&hole);
    return status;
}

static void hash_text(char *out, const uint8_t *bytes, size_t n, int a, int b, int c) {
    const int32_t sizes[] = {a, b, c};
    const uint64_t hash = vt_fnv1a64_more(vt_fnv1a64(sizes, sizeof sizes), bytes, n);
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

/* While e->alpha is the mask as it was given. */
static void name_it(vt_edit *e, const variant_edit *asked) {
    const size_t pixels = (size_t)asked->width * (size_t)asked->height;
    hash_text(e->picture_hash, asked->pixels, pixels * (size_t)asked->channels, asked->width,
              asked->height, asked->channels);
    hash_text(e->mask_hash, e->alpha, (size_t)e->canvas.width * (size_t)e->canvas.height,
              e->canvas.width, e->canvas.height, 1);
}

/* For whoever describes the picture; every name is said. */
static void keep_choices(vt_edit *e, const variant_edit *asked, const ways *w) {
    e->asked = *asked;
    e->asked.pixels = e->asked.mask = NULL;
    e->asked.fit = vt_fit_name(w->fit);
    e->asked.fill = w->neighbours ? "neighbours" : w->mean ? "mean" : "none";
    e->asked.codes = w->once ? "once" : "again";
}

/* ---- memory ---- */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Its bytes, whatever the mask: the window is taken for as large as one may be. */
static void tally(vt_edit *e, const vt_tokenizer_config *config) {
    const int side = vt_tokenizer_side(config), channels = e->canvas.channels,
              largest = most(side, most(e->canvas.width, e->canvas.height));
    const size_t pixels = (size_t)e->canvas.width * (size_t)e->canvas.height,
                 seen = (size_t)side * (size_t)side, samples = seen * (size_t)config->channels;
    const vt_window in = {.width = side, .height = side, .columns = side, .rows = side},
                    back = {
                        .width = largest, .height = largest, .columns = largest, .rows = largest};
    const size_t look = larger(vt_image_resample_bytes(largest, largest, 1, &in),
                               vt_edit_fill_bytes(side, config->channels)),
                 all =
                     seen * (size_t)channels +
                     larger(vt_image_resample_bytes(largest, largest, channels, &in), seen + look);
    e->held += pixels * ((size_t)channels + 1);
    e->making = pixels * sizeof(uint16_t) + larger(vt_edit_alpha_bytes(e->canvas.width), all);
    e->laying = vt_image_resample_bytes(side, side, config->channels, &back) +
                samples * (sizeof(float) + 1);
}

/* Checks, sizes, and what the model is told, which is nothing yet. */
static variant_status begin(vt_edit *out, const variant_edit *asked, const variant_engine *engine,
                            ways *w, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    *out = (vt_edit){0};
    VT_TRY(check(asked, err));
    VT_TRY(read_ways(w, asked, engine->model->training, err));
    size_canvas(&out->canvas, asked, most(asked->channels, config->channels));
    VT_TRY(take_memory(out, config, err));
    tally(out, config);
    out->known.once = w->once;
    out->known.pull = asked->pull;
    return VARIANT_OK;
}

variant_status vt_edit_measure(vt_edit *out, const variant_edit *asked,
                               const variant_engine *engine, variant_error *err) {
    ways w;
    return begin(out, asked, engine, &w, err);
}

/* ---- all of it ---- */

variant_status vt_edit_make(vt_edit *out, const variant_edit *asked, const variant_engine *engine,
                            variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    const int side = vt_tokenizer_side(config), cell = side / config->sides[config->scales - 1];
    uint16_t *distances = NULL;
    variant_status status = VARIANT_OK;
    ways w;
    VT_CHECK(begin(out, asked, engine, &w, err));
    if (!asked->pixels)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "edit: no pixels (NULL): expected width * height * channels of them"));
    VT_CHECK(make_canvas(out, asked, err));
    const int width = out->canvas.width, height = out->canvas.height;
    const size_t pixels = (size_t)width * (size_t)height;
    name_it(out, asked);
    if (!any_of(out->alpha, pixels))
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "edit: the mask is empty: nothing is to be drawn again"));
    distances = malloc(pixels * sizeof *distances);
    if (!distances) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a mask"));
    vt_edit_distances(distances, out->alpha, width, height);
    VT_CHECK(vt_edit_alpha(out->alpha, distances, width, height, asked->grow, 0, err));
    choose_window(out, asked, &w, side);
    keep_choices(out, asked, &w);
    VT_CHECK(look(out, asked, &w, config, err));
    const int feather = asked->feather >= 0 ? asked->feather
                                            : (int)(((int64_t)cell * out->width + side / 2) / side);
    VT_CHECK(vt_edit_alpha(out->alpha, distances, width, height, asked->grow, feather, err));
cleanup:
    free(distances);
    return status;
}

void vt_edit_free(vt_edit *edit) {
    vt_image_free(&edit->canvas);
    free(edit->alpha);
    free((void *)(uintptr_t)edit->known.picture);
    free((void *)(uintptr_t)edit->known.cells);
    free((void *)(uintptr_t)edit->known.kept);
    free((void *)(uintptr_t)edit->known.gain);
    *edit = (vt_edit){0};
}

/* ---- laying back ---- */

static uint8_t mixed(uint8_t under, uint8_t over, unsigned alpha) {
    return (uint8_t)((over * alpha + under * (255u - alpha) + 127u) / 255u);
}

/* Where the window's rows go. */
typedef struct laying {
    const vt_edit *edit;
    size_t channels; /* of those rows */
    uint8_t *out;    /* (height, width, channels) of the canvas */
} laying;

static void lay_row(void *user, int y, const uint8_t *row) {
    const laying *l = user;
    const vt_edit *e = l->edit;
    const int width = e->canvas.width, end = least(e->x + e->width, width);
    const size_t channels = (size_t)e->canvas.channels, grey = l->channels == 1;
    if (y + e->y < 0 || y + e->y >= e->canvas.height) return;
    for (int x = most(e->x, 0); x < end; ++x) {
        const size_t at = (size_t)(y + e->y) * (size_t)width + (size_t)x;
        const uint8_t *over = row + (size_t)(x - e->x) * l->channels;
        for (size_t c = 0; e->alpha[at] && c < channels; ++c)
            l->out[at * channels + c] =
                mixed(e->canvas.data[at * channels + c], over[grey ? 0 : c], e->alpha[at]);
    }
}

variant_status vt_edit_lay(const vt_edit *e, const vt_image *drawn, uint8_t *out,
                           variant_error *err) {
    vt_image from = *drawn;
    laying to = {e, (size_t)drawn->channels, out};
    const vt_rows rows = vt_image_rows(&from);
    const vt_window window = {
        .width = e->width, .height = e->height, .columns = e->width, .rows = e->height};
    memcpy(out, e->canvas.data,
           (size_t)e->canvas.width * (size_t)e->canvas.height * (size_t)e->canvas.channels);
    return vt_image_resample_rows(&rows, &window, &(vt_row_sink){lay_row, &to}, err);
}
