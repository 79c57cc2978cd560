/* terminal.h - what the terminal is that pictures are shown on, and a picture in its language. Used by show.c. */
#ifndef VT_CLI_TERMINAL_H
#define VT_CLI_TERMINAL_H

#include <stdio.h>

#include "cli.h"

typedef enum cli_protocol {
    CLI_SHOW_NONE,
    CLI_SHOW_AUTO,
    CLI_SHOW_KITTY,  /* PNG in kitty's graphics protocol */
    CLI_SHOW_ITERM,  /* PNG in iTerm2's inline images */
    CLI_SHOW_SIXEL,  /* up to 256 colours a picture, by chafa */
    CLI_SHOW_BLOCKS, /* a character for two pixels, one above the other */
} cli_protocol;

typedef struct cli_terminal {
    FILE *to;
    cli_protocol protocol;       /* never NONE or AUTO once it is opened */
    bool live;                   /* it is one whose cursor moves: pictures can be drawn over */
    int colours;                 /* of blocks: 24 (bits), 256, or 0 for none */
    int columns, rows;           /* in cells */
    int cell_width, cell_height; /* pixels of a picture in a cell */
    bool measured;               /* the terminal said how many pixels a cell has */
} cli_terminal;

/* Chooses where pictures go and how: the standard output where it is a terminal and free (nothing else is written there), else
 * stderr where that is one; with a protocol that is named, to the one that is free even if neither is. E_ARGUMENT: no
 * terminal and none named, or a protocol that this build lacks. */
variant_status cli_terminal_open(cli_terminal *terminal, cli_protocol wanted, bool stdout_is_free,
                                 variant_error *err);
/* Reads the size anew; 80 x 24 where there is no terminal. */
void cli_terminal_measure(cli_terminal *terminal);

/* The picture with its top left corner at the cursor; where the cursor is afterwards is left open. id: of kitty's pictures, a
 * later one of the same id takes its place. Not for blocks. */
variant_status cli_terminal_picture(const cli_terminal *terminal, FILE *to,
                                    const variant_picture *image, unsigned id, variant_error *err);
/* Of blocks: row `row` of cells, that is rows 2 row and 2 row + 1 of the picture; the cursor is behind it. */
void cli_terminal_blocks(const cli_terminal *terminal, FILE *to, const variant_picture *image,
                         int row);

#endif
