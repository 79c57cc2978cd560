/* terminal.c - which terminal it is: by what it says of itself in the environment, and by chafa's list of terminals. It is never
 * asked, as answers would have to be fished from what the user types. Pictures: terminal_picture.c. */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#ifdef VARIANT_CHAFA
#include <chafa.h>
#endif

enum {
    CELL_WIDTH = 10,
    CELL_HEIGHT = 20
}; /* of the VT340, which sixel goes by; and where nothing is said */

/* "" where there is none. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static bool says(const char *name, const char *what) {
    return strstr(variable(name), what) != NULL;
}

/* ---- what chafa knows ---- */

typedef struct known {
    bool kitty, iterm, sixel, direct;
} known;

#ifdef VARIANT_CHAFA
static known ask_chafa(void) {
    extern char **environ;
    ChafaTermInfo *info = chafa_term_db_detect(chafa_term_db_get_default(), environ);
    const known found = {
        .kitty = chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1),
        .iterm = chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE),
        .sixel = chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_SIXELS),
        .direct = chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT)};
    chafa_term_info_unref(info);
    return found;
}
#else
static known ask_chafa(void) {
    return (known){0};
}
#endif

/* Inside tmux or screen, which take the pictures of no protocol unless they are told to. */
static bool is_multiplexed(void) {
    return *variable("TMUX") || *variable("STY") || strncmp(variable("TERM"), "tmux", 4) == 0 ||
           strncmp(variable("TERM"), "screen", 6) == 0;
}

static cli_protocol detect(void) {
    if (is_multiplexed()) return CLI_SHOW_BLOCKS;
    if (*variable("KITTY_WINDOW_ID") || says("TERM", "kitty") || says("TERM", "ghostty"))
        return CLI_SHOW_KITTY;
    if (says("TERM_PROGRAM", "iTerm") || says("LC_TERMINAL", "iTerm") ||
        says("TERM_PROGRAM", "WezTerm"))
        return CLI_SHOW_ITERM;
    const known found = ask_chafa();
    return found.kitty   ? CLI_SHOW_KITTY
           : found.iterm ? CLI_SHOW_ITERM
           : found.sixel ? CLI_SHOW_SIXEL
                         : CLI_SHOW_BLOCKS;
}

static int count_colours(void) {
    if (*variable("NO_COLOR")) return 0;
    if (says("COLORTERM", "truecolor") || says("COLORTERM", "24bit") || ask_chafa().direct)
        return 24;
    return 256;
}

/* A terminal on which the cursor can be moved. */
static bool is_capable(int fd) {
    const char *term = variable("TERM");
    return isatty(fd) && *term && strcmp(term, "dumb") != 0;
}

void cli_terminal_measure(cli_terminal *t) {
    struct winsize size = {0};
    const bool told = ioctl(fileno(t->to), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
    t->columns = told ? size.ws_col : 80;
    t->rows = told ? size.ws_row : 24;
    if (t->protocol == CLI_SHOW_BLOCKS) {
        t->cell_width = 1, t->cell_height = 2;
        return;
    }
    t->cell_width = CELL_WIDTH, t->cell_height = CELL_HEIGHT;
    t->measured = told && size.ws_xpixel >= size.ws_col && size.ws_ypixel >= size.ws_row;
    if (!t->measured) return;
    t->cell_width = size.ws_xpixel / size.ws_col;
    t->cell_height = size.ws_ypixel / size.ws_row;
}

variant_status cli_terminal_open(cli_terminal *t, cli_protocol wanted, bool stdout_is_free,
                                 variant_error *err) {
    *t = (cli_terminal){.protocol = wanted};
    if (stdout_is_free && is_capable(STDOUT_FILENO))
        t->to = stdout, t->live = true;
    else if (is_capable(STDERR_FILENO))
        t->to = stderr, t->live = true;
    else
        t->to = stdout_is_free ? stdout : stderr;
    if (wanted == CLI_SHOW_AUTO && !t->live)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "--show: neither stdout nor stderr is a terminal that shows pictures: name how, "
            "--show=kitty, iterm, sixel or blocks, or leave it out");
#ifndef VARIANT_CHAFA
    if (wanted == CLI_SHOW_SIXEL)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "--show=sixel: this program was built without chafa (apt install "
            "libchafa-dev libglib2.0-dev, and build again): expected kitty, iterm or "
            "blocks");
#endif
    if (wanted == CLI_SHOW_AUTO) t->protocol = detect();
    t->colours = count_colours();
    cli_terminal_measure(t);
    return VARIANT_OK;
}
