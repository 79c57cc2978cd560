/* edit_mask.c - masks of edits: how far pixels are from them, which cells they leave, and what is put under them. See
 * edit.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"

/* ---- distances: Meijster, Roerdink and Hesselink 2000, exact and in whole numbers ---- */

#define FAR 65535 /* farther than any side is long */

void vt_edit_distances(uint16_t *out, const uint8_t *hole, int width, int height) {
    const size_t w = (size_t)width;
    for (size_t x = 0; x < w; ++x) {
        int from = FAR;
        for (size_t y = 0; y < (size_t)height; ++y) {
            from = hole[y * w + x] ? 0 : from < FAR ? from + 1 : FAR;
            out[y * w + x] = (uint16_t)from;
        }
        from = FAR;
        for (size_t y = (size_t)height; y-- > 0;) {
            from = hole[y * w + x] ? 0 : from < FAR ? from + 1 : FAR;
            if (from < out[y * w + x]) out[y * w + x] = (uint16_t)from;
        }
    }
}

/* Square of the distance from column x to the hole by way of column i. */
static int64_t through(const uint16_t *g, int x, int i) {
    return (int64_t)(x - i) * (x - i) + (int64_t)g[i] * g[i];
}

/* The first column from which on u > i is nearer. */
static int64_t crossing(const uint16_t *g, int i, int u) {
    const int64_t a = (int64_t)u * u - (int64_t)i * i + (int64_t)g[u] * g[u] - (int64_t)g[i] * g[i];
    const int64_t b = 2 * (int64_t)(u - i);
    return (a >= 0 ? a / b : -((-a + b - 1) / b)) + 1;
}

/* Squares of the distances of a row; s, t: (width). */
static void row_distances(int64_t *out, const uint16_t *g, int width, int *s, int64_t *t) {
    int q = 0;
    s[0] = 0;
    t[0] = 0;
    for (int u = 1; u < width; ++u) {
        while (q >= 0 && through(g, (int)t[q], s[q]) > through(g, (int)t[q], u)) --q;
        const int64_t from = q < 0 ? 0 : crossing(g, s[q], u);
        if (from >= width) continue;
        s[++q] = u;
        t[q] = from;
    }
    for (int u = width - 1; u >= 0; --u) {
        out[u] = through(g, u, s[q]);
        if (u == t[q]) --q;
    }
}

static uint8_t level(int64_t square, int grow, int feather) {
    const double beyond = sqrt((double)square) - grow;
    if (beyond <= 0) return 255;
    const double left = 1.0 - beyond / (feather + 1.0);
    return left <= 0 ? 0 : (uint8_t)lround(255.0 * left);
}

/* A row's room: distances, and two lists of columns. */
size_t vt_edit_alpha_bytes(int width) {
    return (size_t)width * (2 * sizeof(int64_t) + sizeof(int));
}

variant_status vt_edit_alpha(uint8_t *out, const uint16_t *distances, int width, int height,
                             int grow, int feather, variant_error *err) {
    const size_t w = (size_t)width;
    int64_t *row = malloc(w * sizeof *row), *from = malloc(w * sizeof *from);
    int *nearest = malloc(w * sizeof *nearest);
    const bool enough = row && from && nearest;
    for (size_t y = 0; enough && y < (size_t)height; ++y) {
        row_distances(row, distances + y * w, width, nearest, from);
        for (size_t x = 0; x < w; ++x) out[y * w + x] = level(row[x], grow, feather);
    }
    free(row);
    free(from);
    free(nearest);
    return enough
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for a mask of %d x %d", width, height);
}

/* ---- cells ---- */

/* Mean of (side, side) over the window that output i, j of n x n averages; kern.h's resize_area. */
static double area_mean(const uint8_t *map, int side, int n, int i, int j) {
    const int top = i * side / n, bottom = ((i + 1) * side + n - 1) / n;
    const int left = j * side / n, right = ((j + 1) * side + n - 1) / n;
    double sum = 0;
    for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) sum += map[y * side + x];
    return sum / ((bottom - top) * (right - left));
}

void vt_edit_cells(const uint8_t *hole, int side, const vt_tokenizer_config *config, float keep,
                   uint8_t *cells, uint8_t *kept, float *gain) {
    const int s = config->sides[config->scales - 1];
    int at = 0;
    for (int i = 0; i < s * s; ++i) cells[i] = area_mean(hole, side, s, i / s, i % s) <= 0;
    for (int k = 0; k < config->scales; ++k) {
        const int n = config->sides[k];
        for (int i = 0; i < n * n; ++i, ++at) {
            const double share = area_mean(cells, s, n, i / n, i % n);
            kept[at] = share > 0 && share >= (double)keep - 1e-6;
            gain[at] = share > 0 ? (float)(1.0 / share) : 0.0f;
        }
    }
}

/* ---- what is put under the mask ---- */

#define SWEEPS 16

/* A picture with its gaps, and halves of it: pixels (side, side, channels), known (side, side). */
typedef struct layer {
    int side, channels;
    float *pixels;
    uint8_t *known;
} layer;

/* Each pixel the mean of the known ones under it. */
static void shrink(layer *half, const layer *whole) {
    const int c = whole->channels;
    for (int i = 0; i < half->side * half->side; ++i) {
        const int y = 2 * (i / half->side), x = 2 * (i % half->side);
        float *out = half->pixels + (size_t)i * (size_t)c;
        int count = 0;
        for (int j = 0; j < c; ++j) out[j] = 0.0f;
        for (int j = 0; j < 4; ++j) {
            const int v = y + j / 2, u = x + j % 2;
            /* all of the side's squares are known or not, which clang's analyser counts otherwise
             * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch) */
            if (v >= whole->side || u >= whole->side || !whole->known[v * whole->side + u])
                continue;
            const float *in = whole->pixels + (size_t)(v * whole->side + u) * (size_t)c;
            for (int k = 0; k < c; ++k) out[k] += in[k];
            ++count;
        }
        half->known[i] = count > 0;
        for (int j = 0; j < c && count; ++j) out[j] /= (float)count;
    }
}

/* The mean of a pixel's neighbours; true where it has one. */
static void relax(const layer *l, int y, int x) {
    static const int dy[] = {-1, 1, 0, 0}, dx[] = {0, 0, -1, 1};
    const int c = l->channels, side = l->side;
    float *out = l->pixels + (size_t)(y * side + x) * (size_t)c;
    for (int k = 0; k < c; ++k) {
        float sum = 0.0f;
        int count = 0;
        for (int j = 0; j < 4; ++j) {
            const int v = y + dy[j], u = x + dx[j];
            if (v < 0 || u < 0 || v >= side || u >= side) continue;
            sum += l->pixels[(size_t)(v * side + u) * (size_t)c + (size_t)k];
            ++count;
        }
        out[k] = count ? sum / (float)count : out[k];
    }
}

/* Gaps take the half's pixels, then settle among their neighbours. */
static void settle(const layer *whole, const layer *half) {
    const int c = whole->channels, side = whole->side;
    for (int i = 0; i < side * side; ++i) {
        if (whole->known[i]) continue;
        const int at = i / side / 2 * half->side + i % side / 2;
        memcpy(whole->pixels + (size_t)i * (size_t)c, half->pixels + (size_t)at * (size_t)c,
               (size_t)c * sizeof(float));
    }
    for (int sweep = 0; sweep < SWEEPS; ++sweep)
        for (int i = 0; i < side * side; ++i)
            if (!whole->known[i]) relax(whole, i / side, i % side);
}

static variant_status fill_layer(const layer *whole, variant_error *err) {
    const int side = (whole->side + 1) / 2;
    if (whole->side == 1) return VARIANT_OK;
    layer half = {.side = side, .channels = whole->channels};
    const size_t count = (size_t)side * (size_t)side;
    half.pixels = malloc(count * (size_t)half.channels * sizeof *half.pixels);
    half.known = malloc(count);
    variant_status status = half.pixels && half.known
                                ? VARIANT_OK
                                : vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture");
    if (status == VARIANT_OK) {
        shrink(&half, whole);
        status = fill_layer(&half, err);
    }
    if (status == VARIANT_OK) settle(whole, &half);
    free(half.pixels);
    free(half.known);
    return status;
}

static void fill_mean(const layer *l) {
    const size_t count = (size_t)l->side * (size_t)l->side, channels = (size_t)l->channels;
    for (size_t k = 0; k < channels; ++k) {
        double sum = 0;
        size_t known = 0;
        for (size_t i = 0; i < count; ++i) {
            if (!l->known[i]) continue;
            sum += (double)l->pixels[i * channels + k];
            ++known;
        }
        for (size_t i = 0; i < count; ++i)
            if (!l->known[i])
                l->pixels[i * channels + k] = known ? (float)(sum / (double)known) : 0;
    }
}

size_t vt_edit_fill_bytes(int side, int channels) {
    size_t bytes = (size_t)side * (size_t)side;
    while (side > 1) {
        side = (side + 1) / 2;
        bytes += (size_t)side * (size_t)side * ((size_t)channels * sizeof(float) + 1);
    }
    return bytes;
}

variant_status vt_edit_fill(float *picture, const uint8_t *hole, int side, int channels,
                            bool neighbours, variant_error *err) {
    const size_t count = (size_t)side * (size_t)side;
    layer whole = {.side = side, .channels = channels, .pixels = picture, .known = malloc(count)};
    if (!whole.known) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture");
    for (size_t i = 0; i < count; ++i) whole.known[i] = hole[i] == 0;
    fill_mean(&whole); /* also where nothing is known at all */
    const variant_status status = neighbours ? fill_layer(&whole, err) : VARIANT_OK;
    free(whole.known);
    return status;
}
