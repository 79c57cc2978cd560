/* terminal_picture.c - a picture as what a terminal is sent: see terminal.h.
 *
 * kitty   ESC _G keys ; base64 of a PNG ESC \, in pieces of 4096 letters
 * iterm   ESC ]1337;File=keys:base64 of a PNG BEL
 * sixel   ESC P 0;1;0 q .. ESC \, which chafa writes; it takes whole rows of six pixels alone
 * blocks  an upper half block whose foreground is the upper pixel and whose background is the lower */
#include <stdlib.h>
#include <string.h>
#ifdef VARIANT_CHAFA
#include <chafa.h>
#endif

#include "terminal.h"

enum { PIECE = 4096 };

/* Base64 of the picture as a PNG: free(); *size: of the PNG. */
static variant_status encode(char **letters, size_t *size, const variant_picture *image,
                             variant_error *err) {
    uint8_t *png;
    *letters = NULL;
    CLI_TRY(variant_picture_encode(image, "png", 0, &png, size, err));
    *letters = variant_base64(png, *size);
    free(png);
    return *letters ? VARIANT_OK
                    : variant_fail(err, VARIANT_E_MEMORY, "no memory to show a picture");
}

/* q=2: it answers nothing, which would look typed; C=1: the cursor stays. Rows are told where nobody knows how many pixels a
 * cell has, so that the next line is below the picture. */
static variant_status put_kitty(const cli_terminal *t, FILE *to, const variant_picture *image,
                                unsigned id, variant_error *err) {
    char *letters, rows[32] = "";
    size_t size;
    CLI_TRY(encode(&letters, &size, image, err));
    if (!t->measured)
        snprintf(rows, sizeof rows, "r=%d,", (image->height + t->cell_height - 1) / t->cell_height);
    const size_t length = strlen(letters);
    for (size_t at = 0; at < length; at += PIECE) {
        const size_t piece = length - at < PIECE ? length - at : PIECE;
        fprintf(to, "\033_G");
        if (at == 0) fprintf(to, "a=T,f=100,i=%u,q=2,C=1,%s", id, rows);
        fprintf(to, "m=%d;%.*s\033\\", at + piece < length, (int)piece, letters + at);
    }
    free(letters);
    return VARIANT_OK;
}

static variant_status put_iterm(const cli_terminal *t, FILE *to, const variant_picture *image,
                                variant_error *err) {
    char *letters;
    size_t size;
    CLI_TRY(encode(&letters, &size, image, err));
    fprintf(to, "\033]1337;File=inline=1;size=%zu;width=%d;height=%d;preserveAspectRatio=1:%s\a",
            size, (image->width + t->cell_width - 1) / t->cell_width,
            (image->height + t->cell_height - 1) / t->cell_height, letters);
    free(letters);
    return VARIANT_OK;
}

#ifdef VARIANT_CHAFA
/* The picture with alpha, and rows of nothing below it up to a multiple of six: chafa would shrink it to one. */
static uint8_t *in_rows_of_six(const variant_picture *image, int height) {
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *rgba = calloc((size_t)image->width * (size_t)height, 4);
    for (size_t i = 0; rgba && i < pixels; ++i) {
        for (size_t c = 0; c < 3; ++c)
            rgba[4 * i + c] = image->pixels[image->channels == 3 ? 3 * i + c : i];
        rgba[4 * i + 3] = 255;
    }
    return rgba;
}

/* One cell of the picture's size: then no pixel of chafa's canvas is not one of ours. */
static variant_status put_sixel(FILE *to, const variant_picture *image, variant_error *err) {
    const int width = image->width, height = (image->height + 5) / 6 * 6;
    uint8_t *rgba = in_rows_of_six(image, height);
    if (!rgba) return variant_fail(err, VARIANT_E_MEMORY, "no memory to show a picture");
    ChafaCanvasConfig *config = chafa_canvas_config_new();
    chafa_canvas_config_set_pixel_mode(config, CHAFA_PIXEL_MODE_SIXELS);
    chafa_canvas_config_set_geometry(config, 1, 1);
    chafa_canvas_config_set_cell_geometry(config, width, height);
    ChafaCanvas *canvas = chafa_canvas_new(config);
    chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGBA8_UNASSOCIATED, rgba, width, height,
                                 4 * width);
    ChafaTermInfo *info = chafa_term_db_get_fallback_info(chafa_term_db_get_default());
    GString *text = chafa_canvas_print(canvas, info);
    fwrite(text->str, 1, text->len, to);
    g_string_free(text, TRUE);
    chafa_term_info_unref(info);
    chafa_canvas_unref(canvas);
    chafa_canvas_config_unref(config);
    free(rgba);
    return VARIANT_OK;
}
#else
static variant_status put_sixel(FILE *to, const variant_picture *image, variant_error *err) {
    (void)to;
    (void)image;
    return variant_fail(err, VARIANT_E_ARGUMENT, "--show=sixel: built without chafa");
}
#endif

variant_status cli_terminal_picture(const cli_terminal *t, FILE *to, const variant_picture *image,
                                    unsigned id, variant_error *err) {
    if (t->protocol == CLI_SHOW_KITTY) return put_kitty(t, to, image, id, err);
    if (t->protocol == CLI_SHOW_ITERM) return put_iterm(t, to, image, err);
    return put_sixel(to, image, err);
}

/* ---- blocks ---- */

/* r, g and b of a pixel in 24 bits. */
static unsigned pixel_at(const variant_picture *image, int x, int y) {
    const uint8_t *p =
        image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * (size_t)image->channels;
    const bool grey = image->channels == 1;
    return (unsigned)p[0] << 16 | (unsigned)p[grey ? 0 : 1] << 8 | p[grey ? 0 : 2];
}

static int level_of(int value) {
    return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
}

static int apart(unsigned colour, int r, int g, int b) {
    const int dr = (int)(colour >> 16) - r, dg = (int)(colour >> 8 & 255) - g,
              db = (int)(colour & 255) - b;
    return dr * dr + dg * dg + db * db;
}

/* The nearest of xterm's 256 colours: its cube has levels 0, 95, 135, .. 255 from colour 16 on, its greys are 8, 18, .. 238 from
 * 232 on. */
static int nearest_of_256(unsigned colour) {
    const int levels[6] = {0, 95, 135, 175, 215, 255};
    const int rgb[3] = {(int)(colour >> 16), (int)(colour >> 8 & 255), (int)(colour & 255)};
    const int r = level_of(rgb[0]), g = level_of(rgb[1]), b = level_of(rgb[2]);
    const int mean = (rgb[0] + rgb[1] + rgb[2]) / 3,
              grey = mean < 8     ? 0
                     : mean > 238 ? 23
                                  : (mean - 3) / 10,
              shade = 8 + 10 * grey;
    return apart(colour, shade, shade, shade) < apart(colour, levels[r], levels[g], levels[b])
               ? 232 + grey
               : 16 + 36 * r + 6 * g + b;
}

/* what: 38, what stands in front, or 48, behind. */
static void put_colour(FILE *to, int colours, int what, unsigned colour) {
    if (colours == 24)
        fprintf(to, "\033[%d;2;%u;%u;%um", what, colour >> 16, colour >> 8 & 255, colour & 255);
    else
        fprintf(to, "\033[%d;5;%dm", what, nearest_of_256(colour));
}

/* Rec. 601, of 24 bits: weights that sum to 65536. */
static int luma(unsigned colour) {
    const unsigned r = colour >> 16, g = colour >> 8 & 255, b = colour & 255;
    return (int)((19595u * r + 38470u * g + 7471u * b + 32768u) >> 16);
}

/* Without colours: two pixels as one of five shades, on a dark terminal. */
static void put_shades(FILE *to, const variant_picture *image, int row) {
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"};
    const int lower = 2 * row + 1 < image->height ? 2 * row + 1 : 2 * row;
    for (int x = 0; x < image->width; ++x) {
        int sum = 0;
        for (int half = 0; half < 2; ++half) {
            const unsigned colour = pixel_at(image, x, half ? lower : 2 * row);
            sum += luma(colour);
        }
        fputs(shades[(sum * 4 + 255) / 510], to);
    }
}

void cli_terminal_blocks(const cli_terminal *t, FILE *to, const variant_picture *image, int row) {
    if (t->colours == 0) {
        put_shades(to, image, row);
        return;
    }
    const bool pair =
        2 * row + 1 < image->height; /* the last row of an odd height has no lower pixel */
    unsigned above = ~0u, below = ~0u;
    for (int x = 0; x < image->width; ++x) {
        const unsigned upper = pixel_at(image, x, 2 * row),
                       lower = pair ? pixel_at(image, x, 2 * row + 1) : 0;
        if (upper != above) put_colour(to, t->colours, 38, upper);
        if (pair && lower != below) put_colour(to, t->colours, 48, lower);
        above = upper, below = lower;
        fputs("▀", to);
    }
    fputs("\033[0m", to);
}
