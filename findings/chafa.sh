#!/usr/bin/env bash
# Debian 12's chafa library (libchafa-dev 1.12.4-1+b1): the package does not bring what its headers need, and a sixel canvas below six
# pixels ends the program.
#
# Expected of the package: `apt install libchafa-dev` is enough for `pkg-config --cflags chafa`, as for any -dev package.
# Seen: it depends on libchafa0 alone; chafa.h includes glib.h and chafa.pc requires glib-2.0, so pkg-config fails until
# libglib2.0-dev is there as well.
# Expected of the library: a canvas of one cell in sixel mode, whose cell is W x H pixels, prints W x H pixels, for all W and H above 0.
# Seen: the height is rounded down to a multiple of six and the picture squeezed into it (20 rows become 18); below six rows that is
# none, and drawing divides by it: SIGFPE. Nothing in the documentation says so.
# What it means here: cli/terminal_picture.c adds rows of nothing up to a multiple of six, and tools/install-deps.sh names libglib2.0-dev.
#
# Needs gcc, apt and both packages (tools/install-deps.sh).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
wrong=0
expect() { [ "$2" = "$3" ] && echo "$1: $2" || { echo "$1: $2, and this file says $3"; wrong=1; }; }

apt-get download -qq libchafa-dev=1.12.4-1+b1 >/dev/null 2>&1
expect "libchafa-dev depends on" "$(dpkg-deb -f libchafa-dev_*.deb Depends)" "libchafa0 (= 1.12.4-1+b1)"
dpkg-deb -x libchafa-dev_*.deb dev
expect "chafa.pc requires" "$(sed -n 's/^Requires: *//p' dev/usr/lib/*/pkgconfig/chafa.pc)" "glib-2.0"

cat >sixel.c <<'C'
#include <chafa.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int width = 12, height = argc > 1 ? atoi(argv[1]) : 6;
    unsigned char *pixels = calloc((size_t)(width * height), 3);
    ChafaCanvasConfig *config = chafa_canvas_config_new();
    chafa_canvas_config_set_pixel_mode(config, CHAFA_PIXEL_MODE_SIXELS);
    chafa_canvas_config_set_geometry(config, 1, 1);
    chafa_canvas_config_set_cell_geometry(config, width, height);
    ChafaCanvas *canvas = chafa_canvas_new(config);
    chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGB8, pixels, width, height, 3 * width);
    GString *text = chafa_canvas_print(canvas, chafa_term_db_get_fallback_info(chafa_term_db_get_default()));
    int w, h;
    if (sscanf(text->str, "\033P0;1;0q\"1;1;%d;%d", &w, &h) == 2) printf("%d x %d\n", w, h);
    return 0;
}
C
# shellcheck disable=SC2046
gcc sixel.c $(pkg-config --cflags --libs chafa) -o sixel
expect "12 x 24 pixels" "$(./sixel 24)" "12 x 24"
expect "12 x 20 pixels" "$(./sixel 20)" "12 x 18"
expect "12 x 5 pixels" "$( (./sixel 5 || echo "status $?") 2>/dev/null | tail -1)" "status 136"
exit $wrong
