/* show.c - see show.h. Each drawing is made in memory and written at once, and leaves the cursor at the beginning of the line
 * below: what stops the program leaves a terminal as it was. */
#include "show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum {
    PIXELS = 256, /* to which small pictures are enlarged, by whole factors; of blocks 32 */
    BLOCK_PIXELS = 32,
    LINES_BELOW = 3, /* of the screen, which are left to what stands below */
    GAP = 1          /* cells between pictures */
};

const cli_option cli_show_option[] = {
    {"show", "[=HOW]",
     "pictures in the terminal, growing scale by scale, each of which is decoded for it: {words}; "
     "without -o no file is written",
     .kind = CLI_KIND_WORD, .words = "none|auto|kitty|iterm|sixel|blocks", .alone = "auto",
     .notes = "|as the terminal can||||half blocks, by NO_COLOR in shades"},
    {0},
};

variant_status cli_show_open(cli_show *show, cli_protocol wanted, bool stdout_is_free,
                             variant_error *err) {
    *show = (cli_show){.id = ((unsigned)getpid() & 0xFFFFu) << 15 | 1u};
    return cli_terminal_open(&show->terminal, wanted, stdout_is_free, err);
}

static void forget_tiles(cli_show *show) {
    for (int i = 0; show->tiles && i < show->layout.fit; ++i)
        variant_pictures_free(&show->tiles[i], 1);
    free(show->tiles);
    show->tiles = NULL;
}

void cli_show_close(cli_show *show) {
    forget_tiles(show);
}

void cli_show_settle(cli_show *show) {
    if (!show->terminal.live || show->settled) return;
    show->settled = true;
    fputs("\033\\\033[0m\033[999B\r\n", show->terminal.to); /* end of a string, no colours, down */
    fflush(show->terminal.to);
    show->standing = 0;
}

/* ---- sizes ---- */

static int least(int a, int b) {
    return a < b ? a : b;
}
static int most(int a, int b) {
    return a > b ? a : b;
}
static int cells(int pixels, int cell) {
    return (pixels + cell - 1) / cell;
}

/* Enlarged by a whole factor where it is small, as it is, or made smaller to fit the screen. */
static cli_layout lay_out(const cli_terminal *t, int width, int height) {
    const int wide = t->columns * t->cell_width,
              high = most(t->rows - LINES_BELOW, 1) * t->cell_height,
              wanted =
                  (t->protocol == CLI_SHOW_BLOCKS ? BLOCK_PIXELS : PIXELS) / most(width, height),
              zoom = least(most(wanted, 1), least(wide / width, high / height));
    cli_layout l = {.width = width * zoom, .height = height * zoom};
    if (zoom < 1) {
        const double share = least(wide * height, high * width) == wide * height
                                 ? (double)wide / width
                                 : (double)high / height;
        l.width = most((int)(width * share), 1);
        l.height = most((int)(height * share), 1);
    }
    l.columns = cells(l.width, t->cell_width);
    l.rows = cells(l.height, t->cell_height);
    l.across = most((t->columns + GAP) / (l.columns + GAP), 1);
    l.fit = l.across * most((t->rows - LINES_BELOW) / l.rows, 1);
    return l;
}

static variant_status make_tile(const cli_layout *l, variant_picture **out,
                                const variant_picture *from, variant_error *err) {
    variant_pictures_free(out, 1);
    return variant_picture_scale(out, from, l->width, l->height, err);
}

/* Before the first picture of a batch. */
static variant_status begin(cli_show *show, int width, int height, variant_error *err) {
    if (show->tiles) return VARIANT_OK;
    cli_terminal_measure(&show->terminal);
    show->layout = lay_out(&show->terminal, width, height);
    show->tiles = calloc((size_t)show->layout.fit, sizeof *show->tiles);
    return show->tiles ? VARIANT_OK
                       : variant_fail(err, VARIANT_E_MEMORY, "no memory to show pictures");
}

/* ---- drawing ---- */

/* Pictures side by side, a row of characters after another. */
static void put_blocks(const cli_show *show, FILE *to, int first, int count) {
    for (int row = 0; row < show->layout.rows; ++row) {
        for (int i = 0; i < count; ++i) {
            if (i) fprintf(to, "%*s", GAP, "");
            cli_terminal_blocks(&show->terminal, to, show->tiles[first + i], row);
        }
        fputc('\n', to);
    }
}

/* Room first, so that nothing scrolls while the cursor goes from picture to picture. */
static variant_status put_pictures(const cli_show *show, FILE *to, int first, int count,
                                   variant_error *err) {
    const cli_layout *l = &show->layout;
    for (int row = 0; row < l->rows; ++row) fputc('\n', to);
    fprintf(to, "\033[%dA", l->rows);
    for (int i = 0; i < count; ++i) {
        fputc('\r', to);
        if (i) fprintf(to, "\033[%dC", i * (l->columns + GAP));
        fputs("\0337", to);
        CLI_TRY(cli_terminal_picture(&show->terminal, to, show->tiles[first + i],
                                     show->id + (unsigned)(first + i), err));
        fputs("\0338", to);
    }
    fprintf(to, "\r\033[%dB", l->rows);
    return VARIANT_OK;
}

/* The first `count` tiles, over what stands above the cursor. */
static variant_status put_tiles(cli_show *show, FILE *to, int count, variant_error *err) {
    const cli_layout *l = &show->layout;
    if (show->terminal.live) fputs("\r\033[K", to); /* a line of progress */
    if (show->standing) fprintf(to, "\033[%dA", show->standing);
    for (int first = 0; first < count; first += l->across) {
        const int here = least(l->across, count - first);
        if (show->terminal.protocol == CLI_SHOW_BLOCKS)
            put_blocks(show, to, first, here);
        else
            CLI_TRY(put_pictures(show, to, first, here, err));
    }
    show->standing = cells(count, l->across) * l->rows;
    return VARIANT_OK;
}

static variant_status draw(cli_show *show, int count, variant_error *err) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to) return variant_fail(err, VARIANT_E_MEMORY, "no memory to show pictures");
    variant_status status = put_tiles(show, to, count, err);
    if (fclose(to) != 0 && status == VARIANT_OK)
        status = variant_fail(err, VARIANT_E_MEMORY, "no memory to show pictures");
    if (status == VARIANT_OK) {
        fwrite(text, 1, size, show->terminal.to);
        fflush(show->terminal.to);
    }
    free(text);
    return status;
}

/* ---- what comes ---- */

void cli_show_grow(cli_show *show, const variant_preview *at) {
    const variant_picture picture = {.width = at->width,
                                     .height = at->height,
                                     .channels = at->channels,
                                     .pixels = (uint8_t *)(uintptr_t)at->pixels};
    variant_error none;
    if (at->scale == at->scales) return; /* finished ones come by cli_show_finish */
    if (begin(show, at->width, at->height, &none) != VARIANT_OK) return;
    if (show->layout.rows >= show->terminal.rows) return; /* no going back over a line that left */
    const int count = least(at->pictures, show->layout.fit);
    if (at->picture < count &&
        make_tile(&show->layout, &show->tiles[at->picture], &picture, &none) != VARIANT_OK)
        return;
    if (at->picture == at->pictures - 1) (void)draw(show, count, &none);
}

variant_status cli_show_finish(cli_show *show, const variant_picture *pictures, int count,
                               variant_error *err) {
    for (int first = 0; first < count;) {
        CLI_TRY(begin(show, pictures[first].width, pictures[first].height, err));
        const int here = least(count - first, show->layout.fit);
        for (int i = 0; i < here; ++i)
            CLI_TRY(make_tile(&show->layout, &show->tiles[i], &pictures[first + i], err));
        CLI_TRY(draw(show, here, err));
        show->standing = 0; /* these stay */
        show->id += (unsigned)here;
        first += here;
    }
    forget_tiles(show);
    return VARIANT_OK;
}
