/* data_options.c - see data_options.h. */
#include "data_options.h"

#include <stdint.h>
#include <stdio.h>

#include "values.h"

cli_data cli_data_defaults(void) {
    return (cli_data){.data = {.split = VT_SPLIT_TEST, .holdout = VT_HOLDOUT}};
}

variant_data cli_data_asked(const cli_data *data) {
    const vt_data *d = &data->data;
    variant_data out;
    variant_data_init(&out);
    out.paths = d->count ? d->paths : NULL;
    out.path_count = d->count;
    out.split = vt_split_name(d->split);
    out.holdout = d->holdout;
    out.fit = d->fit_chosen ? vt_fit_name(d->fit) : NULL;
    out.alpha = d->alpha_chosen ? vt_alpha_name(d->alpha) : NULL;
    return out;
}

bool cli_data_add(vt_data *data, const char *text) {
    const char *path = NULL;
    if (!cli_text(text, "a folder of pictures, IDX files or an .npz of pictures", &path))
        return false;
    if (data->count == VT_DATA_PATHS)
        return cli_refuse("expected at most %d data sets", VT_DATA_PATHS);
    data->paths[data->count++] = path;
    return true;
}

static bool add_data(void *owner, const char *text) {
    return cli_data_add(&((cli_data *)owner)->data, text);
}

static bool read_channels(void *owner, const char *text) {
    return cli_channels(text, owner);
}

#define DATA_WORDS                                                                                 \
    "a folder with a sub-folder a class, IDX files or an .npz; several are joined by the names "   \
    "of their classes"
#define DATA(member) cli_data, data.member
const cli_option cli_data_options[] = {
    {"data", "PATH", DATA_WORDS, .read = add_data, .own = true},
    {"split", "WHICH", "which of its pictures: {words}",
     CLI_WORD(vt_split, DATA(split), "train|test|all"), CLI_MARK(cli_data, split_chosen)},
    {"holdout", "X", "share of the pictures that is test where there is no test/, {range}; 0: none",
     CLI_REAL(DATA(holdout), 0, 0.9)},
    {"fit", "WHICH", "pictures that are no square: {words}",
     CLI_WORD(vt_fit, DATA(fit), "crop|pad|stretch"), CLI_MARK(DATA(fit_chosen)),
     .notes = "|black beside|", .unset = "as the model was trained, else crop"},
    {"alpha", "WHICH", "see-through pictures over {words}",
     CLI_WORD(vt_alpha, DATA(alpha), "white|black|drop"), CLI_MARK(DATA(alpha_chosen)),
     .notes = "||hidden colours", .unset = "as the model was trained, else white"},
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
