/* show.h - --show of `variant generate`: pictures in the terminal, side by side, drawn over while they grow. */
#ifndef VT_CLI_SHOW_H
#define VT_CLI_SHOW_H

#include "options.h"
#include "terminal.h"
#include "variant.h"

/* Of one cli_protocol. */
extern const cli_option cli_show_option[];

/* How pictures of one size stand on the terminal. */
typedef struct cli_layout {
    int width, height; /* pixels of a picture as it is shown */
    int columns, rows; /* cells of it */
    int across, fit;   /* pictures side by side, and on the screen at once */
} cli_layout;

typedef struct cli_show {
    cli_terminal terminal;
    cli_layout layout;       /* of the batch at hand, once its first picture has come */
    variant_picture **tiles; /* (layout.fit) as they are shown; owned */
    int standing;            /* rows of pictures above the cursor that the next drawing replaces */
    unsigned id;             /* kitty's, of the batch's first picture */
    bool settled;
} cli_show;

/* As cli_terminal_open. */
variant_status cli_show_open(cli_show *show, cli_protocol wanted, bool stdout_is_free,
                             variant_error *err);
/* Of a request's `preview`: draws what is on the screen when the last of its pictures has come. */
void cli_show_grow(cli_show *show, const variant_preview *at);
/* Draws a batch that is finished, over what grew. */
variant_status cli_show_finish(cli_show *show, const variant_picture *pictures, int count,
                               variant_error *err);
/* After a Ctrl-C: the terminal throws away what it had not drawn yet, be it half a picture, and where the cursor is nobody
 * knows: ends what may be open and goes below all that stands there. Once: what is drawn after it ends where it should. */
void cli_show_settle(cli_show *show);
void cli_show_close(cli_show *show);

#endif
