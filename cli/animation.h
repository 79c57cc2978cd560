/* animation.h - --animate of `variant generate`: pictures that grow scale by scale, as animated PNG files beside or instead
 * of those of -o. */
#ifndef VT_CLI_ANIMATION_H
#define VT_CLI_ANIMATION_H

#include "output.h"
#include "variant.h"

typedef struct cli_animation {
    cli_output output; /* path NULL: none is written */
    double delay, hold;
    int loops;
} cli_animation;

/* Of cli_animation. */
extern const cli_option cli_animation_options[];

void cli_animation_init(cli_animation *animation);
/* -1 where its options go together, else the exit status, after a complaint. */
int cli_animation_check(const cli_animation *animation, const cli_line *line);
/* Complains about files that cannot be written, as cli_output_check does. */
variant_status cli_animation_check_output(const cli_animation *animation, bool several,
                                          variant_error *err);
/* To a file that picture `index` gives its number, of several; on a sheet with columns above 0. */
variant_status cli_animation_write(const cli_animation *animation, const variant_picture *pictures,
                                   int count, int columns, int zoom, int index, bool several,
                                   variant_error *err);

#endif
