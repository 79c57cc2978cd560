/* image.c - pictures in memory: fitting, padding, contact sheets.
 *
 * Samples are bytes in (height, width, channels) order, as the codecs deliver them and as files
 * are written. Resampling computes in float from weights that are exact ratios of integers, each
 * output sample on its own, so that a window of a scaled picture does not depend on the window.
 * Called by the datasets and the writers. */
#include "io/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "io/picture.h"

/* ---- memory ---- */

bool vt_image_bytes(uint8_t *out, const float *values, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        float scaled = 127.5f * (values[i] + 1.0f);
        out[i] = !(scaled > 0.0f) ? 0 : scaled >= 255.0f ? 255 : (uint8_t)lrintf(scaled);
    }
    return vt_all_finite(values, n);
}

void vt_image_free(vt_image *image) {
    if (!image) return;
    free(image->data);
    *image = (vt_image){0};
}

variant_status vt_image_new(vt_image *out, int width, int height, int channels,
                            variant_error *err) {
    *out = (vt_image){0};
    if (width < 1 || height < 1 || width > VT_IMAGE_SIDE_MAX || height > VT_IMAGE_SIDE_MAX ||
        (channels != 1 && channels != 3)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "picture of %d x %d x %d: expected sides of 1 to %d, 1 or 3 channels", width,
                       height, channels, VT_IMAGE_SIDE_MAX);
    }
    uint8_t *data = calloc((size_t)width * (size_t)height, (size_t)channels);
    if (!data)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture of %d x %d", width, height);
    *out = (vt_image){width, height, channels, data};
    return VARIANT_OK;
}

static bool is_image(const vt_image *image) {
    return image && image->data && image->width >= 1 && image->height >= 1 &&
           image->width <= VT_IMAGE_SIDE_MAX && image->height <= VT_IMAGE_SIDE_MAX &&
           (image->channels == 1 || image->channels == 3);
}

/* ---- resampling ---- */

/* Of each output position along one axis: which inputs, with what weight. */
typedef struct axis {
    int taps;      /* room for each output */
    int *first;    /* (count): first input */
    int *used;     /* (count): inputs from there on, at most taps */
    float *weight; /* (count, taps) */
} axis;

static void axis_free(axis *a) {
    free(a->first);
    free(a->used);
    free(a->weight);
}

/* Down: the share of the input that the output covers. In units of 1/target input pixels all
 * borders are integers. */
static int taps_area(float *weight, int *first, int64_t source, int64_t target, int64_t i) {
    int64_t low = i * source, high = low + source;
    int64_t from = low / target, to = (high + target - 1) / target;
    *first = (int)from;
    for (int64_t j = from; j < to; j++) {
        int64_t begin = j * target > low ? j * target : low;
        int64_t end = (j + 1) * target < high ? (j + 1) * target : high;
        weight[j - from] = (float)((double)(end - begin) / (double)source);
    }
    return (int)(to - from);
}

/* Up: between the two nearest centres, the border repeated. */
static int taps_linear(float *weight, int *first, int64_t source, int64_t target, int64_t i) {
    /* in units of 1/(2 target) from the first centre */
    int64_t place = (2 * i + 1) * source - target;
    if (place < 0) place = 0;
    int64_t base = place / (2 * target);
    if (base >= source - 1) {
        *first = (int)(source - 1);
        weight[0] = 1.0f;
        return 1;
    }
    *first = (int)base;
    weight[1] = (float)((double)(place - base * 2 * target) / (double)(2 * target));
    weight[0] = 1.0f - weight[1];
    return 2;
}

/* Outputs offset .. offset + count of `target` made of `source` inputs. */
static bool axis_init(axis *a, int source, int target, int offset, int count) {
    bool down = target <= source;
    a->taps = down ? source / target + 2 : 2;
    a->first = malloc((size_t)count * sizeof *a->first);
    a->used = malloc((size_t)count * sizeof *a->used);
    a->weight = calloc((size_t)count, (size_t)a->taps * sizeof *a->weight);
    if (!a->first || !a->used || !a->weight) return false;
    for (int i = 0; i < count; i++) {
        float *weight = a->weight + (size_t)i * (size_t)a->taps;
        a->used[i] =
            (down ? taps_area : taps_linear)(weight, &a->first[i], source, target, offset + i);
    }
    return true;
}

/* sums (columns, channels) += share * the row resampled along x. */
static void row_add(float *sums, const uint8_t *row, const axis *ax, int columns, int channels,
                    float share) {
    for (int x = 0; x < columns; x++, sums += channels) {
        const uint8_t *from = row + (size_t)ax->first[x] * (size_t)channels;
        const float *weight = ax->weight + (size_t)x * (size_t)ax->taps;
        float value[3] = {0};
        for (int t = 0; t < ax->used[x]; t++, from += channels) {
            for (int c = 0; c < channels; c++) value[c] += weight[t] * (float)from[c];
        }
        for (int c = 0; c < channels; c++) sums[c] += share * value[c];
    }
}

static void row_store(uint8_t *out, const float *sums, int columns, int channels, bool flip) {
    for (int x = 0; x < columns; x++) {
        uint8_t *to = out + (size_t)(flip ? columns - 1 - x : x) * (size_t)channels;
        for (int c = 0; c < channels; c++) {
            float value = *sums++ + 0.5f;
            to[c] = (uint8_t)(value < 0.0f ? 0.0f : value > 255.0f ? 255.0f : value);
        }
    }
}

/* Its floats and rows: what vt_image_resample_rows takes beyond `axis`es. */
typedef struct row_room {
    float *sums;   /* (columns, channels) */
    uint8_t *out;  /* likewise */
    uint8_t *from; /* (width of the source, channels) */
} row_room;

static size_t axis_bytes(int64_t source, int64_t target, int64_t count) {
    const int64_t taps = target <= source ? source / target + 2 : 2;
    return (size_t)count * (2 * sizeof(int) + (size_t)taps * sizeof(float));
}

size_t vt_image_resample_bytes(int width, int height, int channels, const vt_window *window) {
    const size_t c = (size_t)channels, columns = (size_t)window->columns * c;
    return axis_bytes(width, window->width, window->columns) +
           axis_bytes(height, window->height, window->rows) +
           columns * (sizeof(float) + sizeof(uint8_t)) + (size_t)width * c;
}

static const uint8_t *row_of(void *user, int y, uint8_t *room) {
    const vt_image *image = user;
    (void)room;
    return image->data + (size_t)y * (size_t)image->width * (size_t)image->channels;
}

variant_status vt_image_resample_rows(const vt_rows *from, const vt_window *window,
                                      const vt_row_sink *to, variant_error *err) {
    axis ax = {0}, ay = {0};
    const size_t width = (size_t)window->columns * (size_t)from->channels;
    row_room room = {.sums = malloc(width * sizeof *room.sums),
                     .out = malloc(width),
                     .from = malloc((size_t)from->width * (size_t)from->channels)};
    const bool enough = room.sums && room.out && room.from &&
                        axis_init(&ax, from->width, window->width, window->x, window->columns) &&
                        axis_init(&ay, from->height, window->height, window->y, window->rows);
    for (int y = 0; enough && y < window->rows; y++) {
        memset(room.sums, 0, width * sizeof *room.sums);
        for (int t = 0; t < ay.used[y]; t++)
            row_add(room.sums, from->row(from->user, ay.first[y] + t, room.from), &ax,
                    window->columns, from->channels,
                    ay.weight[(size_t)y * (size_t)ay.taps + (size_t)t]);
        row_store(room.out, room.sums, window->columns, from->channels, window->flip);
        to->row(to->user, y, room.out);
    }
    axis_free(&ax);
    axis_free(&ay);
    free(room.sums);
    free(room.out);
    free(room.from);
    return enough ? VARIANT_OK
                  : vt_fail(err, VARIANT_E_MEMORY, "no memory for scaling to %d x %d",
                            window->width, window->height);
}

vt_rows vt_image_rows(vt_image *image) {
    return (vt_rows){image->width, image->height, image->channels, row_of, image};
}

void vt_image_keep_row(void *user, int y, const uint8_t *row) {
    const vt_image *image = user;
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    memcpy(image->data + (size_t)y * stride, row, stride);
}

variant_status vt_image_resample(vt_image *out, const vt_image *image, const vt_window *window,
                                 variant_error *err) {
    vt_image source = *image;
    const vt_rows from = vt_image_rows(&source);
    VT_TRY(vt_image_new(out, window->columns, window->rows, image->channels, err));
    variant_status status =
        vt_image_resample_rows(&from, window, &(vt_row_sink){vt_image_keep_row, out}, err);
    if (status != VARIANT_OK) vt_image_free(out);
    return status;
}

int vt_slack_offset(double f, int slack) {
    double offset = ceil(f * slack - 0.5);
    return offset <= 0 ? 0 : offset >= slack ? slack : (int)offset;
}

void vt_scaled_size(int width, int height, int side, int *scaled_width, int *scaled_height) {
    int64_t shorter = width < height ? width : height;
    *scaled_width = (int)((2 * (int64_t)width * side + shorter) / (2 * shorter));
    *scaled_height = (int)((2 * (int64_t)height * side + shorter) / (2 * shorter));
}

const char *vt_fit_name(vt_fit fit) {
    static const char *const names[] = {"crop", "pad", "stretch"};
    return names[fit];
}

void vt_fit_size(vt_fit fit, int width, int height, int side, int *to_width, int *to_height) {
    *to_width = *to_height = side;
    if (fit == VT_FIT_CROP) vt_scaled_size(width, height, side, to_width, to_height);
    if (fit != VT_FIT_PAD) return;
    int64_t longer = width > height ? width : height;
    *to_width = (int)((2 * (int64_t)width * side + longer) / (2 * longer));
    *to_height = (int)((2 * (int64_t)height * side + longer) / (2 * longer));
    if (*to_width < 1) *to_width = 1;
    if (*to_height < 1) *to_height = 1;
}

/* ---- what image.h offers on top ---- */

variant_status vt_image_square(vt_image *out, const vt_image *image, int side, vt_fit fit,
                               variant_error *err) {
    vt_window window = {0};
    vt_image scaled = {0};
    if (fit == VT_FIT_CROP) return vt_image_fit(out, image, side, 0.5, 0.5, false, err);
    *out = (vt_image){0};
    vt_fit_size(fit, image->width, image->height, side, &window.width, &window.height);
    window.columns = window.width;
    window.rows = window.height;
    VT_TRY(vt_image_resample(&scaled, image, &window, err));
    variant_status status = vt_image_pad(out, &scaled, side, 0, err);
    vt_image_free(&scaled);
    return status;
}

variant_status vt_image_fit(vt_image *out, const vt_image *image, int side, double fx, double fy,
                            bool flip, variant_error *err) {
    *out = (vt_image){0};
    if (!is_image(image) || side < 1 || side > VT_IMAGE_SIDE_MAX || !(fx >= 0 && fx <= 1) ||
        !(fy >= 0 && fy <= 1)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "fitting a picture to side %d at (%g, %g): expected a side of 1 to %d and a "
                       "place in [0, 1]",
                       side, fx, fy, VT_IMAGE_SIDE_MAX);
    }
    vt_window window = {.columns = side, .rows = side, .flip = flip};
    vt_scaled_size(image->width, image->height, side, &window.width, &window.height);
    window.x = vt_slack_offset(fx, window.width - side);
    window.y = vt_slack_offset(fy, window.height - side);
    return vt_image_resample(out, image, &window, err);
}

variant_status vt_image_pad(vt_image *out, const vt_image *image, int side, uint8_t value,
                            variant_error *err) {
    *out = (vt_image){0};
    if (!is_image(image)) return vt_fail(err, VARIANT_E_ARGUMENT, "padding needs a picture");
    if (image->width > side || image->height > side) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "cannot pad a picture of %d x %d to side %d",
                       image->width, image->height, side);
    }
    VT_TRY(vt_image_new(out, side, side, image->channels, err));
    size_t channels = (size_t)image->channels, stride = (size_t)side * channels,
           row = (size_t)image->width * channels;
    size_t left = (size_t)((side - image->width) / 2) * channels;
    size_t top = (size_t)((side - image->height) / 2);
    memset(out->data, value, stride * (size_t)side);
    for (size_t y = 0; y < (size_t)image->height; y++) {
        memcpy(out->data + (top + y) * stride + left, image->data + y * row, row);
    }
    return VARIANT_OK;
}

/* The picture, each pixel zoom x zoom, with its corner at (left, top) of the sheet. */
static void sheet_place(vt_image *sheet, const vt_image *picture, size_t left, size_t top,
                        size_t zoom) {
    size_t channels = (size_t)sheet->channels, stride = (size_t)sheet->width * channels;
    size_t width = (size_t)picture->width * zoom;
    for (size_t y = 0; y < (size_t)picture->height; y++) {
        const uint8_t *from = picture->data + y * (size_t)picture->width * channels;
        uint8_t *row = sheet->data + (top + y * zoom) * stride + left * channels;
        for (size_t x = 0; x < width; x++)
            memcpy(row + x * channels, from + x / zoom * channels, channels);
        for (size_t copy = 1; copy < zoom; copy++)
            memcpy(row + copy * stride, row, width * channels);
    }
}

variant_status vt_image_sheet(vt_image *out, const vt_image *pictures, int count, int columns,
                              int gap, int zoom, variant_error *err) {
    *out = (vt_image){0};
    if (!pictures || count < 1 || columns < 1 || gap < 0 || gap > VT_IMAGE_SIDE_MAX || zoom < 1 ||
        zoom > VT_IMAGE_SIDE_MAX) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a sheet needs pictures, columns >= 1, gap >= 0 and zoom >= 1");
    }
    const vt_image *first = &pictures[0];
    for (int i = 0; i < count; i++) {
        if (!is_image(&pictures[i]) || pictures[i].width != first->width ||
            pictures[i].height != first->height || pictures[i].channels != first->channels) {
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "sheet: picture %d is not of the first one's size", i);
        }
    }
    if (columns > count) columns = count;
    int rows = (count + columns - 1) / columns;
    int64_t cell_width = (int64_t)first->width * zoom + gap,
            cell_height = (int64_t)first->height * zoom + gap;
    int64_t width = columns * cell_width + gap, height = rows * cell_height + gap;
    if (width > VT_IMAGE_SIDE_MAX || height > VT_IMAGE_SIDE_MAX) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "a sheet of %lld x %lld is larger than %d a side",
                       (long long)width, (long long)height, VT_IMAGE_SIDE_MAX);
    }
    VT_TRY(vt_image_new(out, (int)width, (int)height, first->channels, err));
    memset(out->data, 255, (size_t)width * (size_t)height * (size_t)first->channels);
    for (int i = 0; i < count; i++) {
        size_t left = (size_t)(gap + i % columns * cell_width),
               top = (size_t)(gap + i / columns * cell_height);
        sheet_place(out, &pictures[i], left, top, (size_t)zoom);
    }
    return VARIANT_OK;
}
