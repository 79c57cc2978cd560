/* data_options.h - which pictures a command reads, and how it takes them: the options that all of them share. */
#ifndef VT_CLI_DATA_OPTIONS_H
#define VT_CLI_DATA_OPTIONS_H

#include <getopt.h>

#include "core/status.h"
#include "io/data.h"

enum { CLI_DATA = 2000, CLI_SPLIT, CLI_HOLDOUT, CLI_FIT, CLI_ALPHA };

#define CLI_SPLIT_WORDS "train|test|all"
#define CLI_FIT_WORDS "crop|pad|stretch"
#define CLI_ALPHA_WORDS "white|black|drop"

/* What each says, for every --help. */
#define CLI_HOLDOUT_TEXT                                                                           \
    "share of the pictures that is test where there is no test/ (default 0.05; 0: none)"
#define CLI_FIT_TEXT "pictures that are no square: crop (default), pad (black beside), stretch"
#define CLI_ALPHA_TEXT "see-through pictures over white (default) or black; drop: hidden colours"

/* Of commands that read pictures as a model takes them. */
#define CLI_TAKE_OPTIONS                                                                           \
    {"fit", required_argument, NULL, CLI_FIT}, {                                                   \
        "alpha", required_argument, NULL, CLI_ALPHA                                                \
    }
#define CLI_TAKE_HELP                                                                              \
    "      --fit " CLI_FIT_WORDS "  " CLI_FIT_TEXT "\n"                                            \
    "      --alpha " CLI_ALPHA_WORDS "  " CLI_ALPHA_TEXT "\n"                                      \
    "                         (both, where not given: as the model was trained)\n"
/* Of commands that read one part of a data set. */
#define CLI_DATA_OPTIONS                                                                           \
    {"split", required_argument, NULL, CLI_SPLIT},                                                 \
        {"holdout", required_argument, NULL, CLI_HOLDOUT}, CLI_TAKE_OPTIONS
#define CLI_DATA_HELP                                                                              \
    "      --split test|train|all  which of its pictures (default test)\n"                         \
    "      --holdout X        " CLI_HOLDOUT_TEXT "\n" CLI_TAKE_HELP

typedef struct cli_data {
    vt_data data;
    bool split_chosen;
    const char *command; /* for notes */
} cli_data;

/* The test pictures of nothing yet. */
cli_data cli_data_defaults(const char *command);
/* One option of the table; CLI_DATA: one more path. Returns 1: taken; 0: its value is not valid; -1: not one
 * of these. */
int cli_data_option(cli_data *data, int id, const char *text);
/* One more path; false when there is no more room, or text is empty. */
bool cli_data_add(vt_data *data, const char *text);
/* Prints "variant COMMAND: note: LINE"; user: the command's name. */
void cli_data_note(void *user, const char *line);

/* Reads one picture file as (side, side, channels) in [-1, 1]; small: centred on black when it is not larger. */
variant_status cli_picture_square(float *out, const char *path, int side, int channels,
                                  const vt_data *data, bool small, variant_error *err);

#endif
