/* data_options.c - see data_options.h. */
#include "data_options.h"

#include <stdint.h>
#include <stdio.h>

#include "values.h"

cli_data cli_data_defaults(void) {
    variant_data all;
    variant_data_init(&all);
    return (cli_data){.split = "test", .holdout = all.holdout};
}

variant_data cli_data_asked_of(const cli_paths *paths, const cli_data *data) {
    variant_data out;
    variant_data_init(&out);
    out.paths = paths->count ? paths->at : NULL;
    out.path_count = paths->count;
    out.split = data->split;
    out.holdout = data->holdout;
    out.fit = data->fit;
    out.alpha = data->alpha;
    return out;
}

variant_data cli_data_asked(const cli_data *data) {
    return cli_data_asked_of(&data->paths, data);
}

bool cli_data_add(cli_paths *paths, const char *text) {
    const char *path = NULL;
    if (!cli_text(text, "a folder of pictures, IDX files or an .npz of pictures", &path))
        return false;
    if (paths->count == CLI_MOST_PATHS)
        return cli_refuse("expected at most %d data sets", CLI_MOST_PATHS);
    paths->at[paths->count++] = path;
    return true;
}

static bool add_data(void *owner, const char *text) {
    return cli_data_add(&((cli_data *)owner)->paths, text);
}

static bool read_channels(void *owner, const char *text) {
    return cli_channels(text, owner);
}

#define DATA_WORDS                                                                                 \
    "a folder with a sub-folder a class, IDX files or an .npz; several are joined by the names "   \
    "of their classes"
const cli_option cli_data_options[] = {
    {"data", "PATH", DATA_WORDS, .read = add_data, .own = true},
    {"split", "WHICH", "which of its pictures: {words}",
     CLI_NAME(cli_data, split, "train|test|all"), CLI_MARK(cli_data, split_chosen)},
    {"holdout", "X", "share of the pictures that is test where there is no test/, {range}; 0: none",
     CLI_REAL(cli_data, holdout, 0, 0.9)},
    {"fit", "WHICH", "pictures that are no square: {words}",
     CLI_NAME(cli_data, fit, "crop|pad|stretch"), .notes = "|black beside|",
     .unset = "as the model was trained, else crop"},
    {"alpha", "WHICH", "see-through pictures over {words}",
     CLI_NAME(cli_data, alpha, "white|black|drop"), .notes = "||hidden colours",
     .unset = "as the model was trained, else white"},
    {0},
};

const cli_option cli_training_data_option[] = {
    {"data", "PATH", DATA_WORDS " (required)", .read = add_data, .own = true},
    {0},
};

const cli_option cli_pad_option[] = {
    {"pad", NULL, "centre small pictures on black instead of enlarging them",
     .kind = CLI_KIND_FLAG},
    {0},
};

const cli_option cli_channels_option[] = {
    {"channels", "1|3", "of pictures: grey or colour", .read = read_channels,
     .unset = "as the pictures have it; of a folder to train on colour"},
    {0},
};
