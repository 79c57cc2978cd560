/* data_options.c - see data_options.h. */
#include "data_options.h"

#include <stdint.h>
#include <stdio.h>

#include "io/picture.h"
#include "values.h"

cli_data cli_data_defaults(const char *command) {
    return (cli_data){.command = command, .data = {.split = VT_SPLIT_TEST, .holdout = VT_HOLDOUT}};
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

int cli_data_option(cli_data *data, int id, const char *text) {
    vt_data *d = &data->data;
    int word;
    switch (id) {
    case CLI_DATA:
        return cli_data_add(d, text);
    case CLI_SPLIT:
        word = cli_word(text, CLI_SPLIT_WORDS);
        if (word >= 0) d->split = (vt_split)word;
        d->flat_whole = false; /* now it was asked for */
        data->split_chosen = true;
        return word >= 0;
    case CLI_HOLDOUT:
        return cli_double(text, 0, 0.9, &d->holdout);
    case CLI_FIT:
        word = cli_word(text, CLI_FIT_WORDS);
        if (word >= 0) d->fit = (vt_fit)word;
        d->fit_chosen = true;
        return word >= 0;
    case CLI_ALPHA:
        word = cli_word(text, CLI_ALPHA_WORDS);
        if (word >= 0) d->alpha = (vt_alpha)word;
        d->alpha_chosen = true;
        return word >= 0;
    default:
        return -1;
    }
}

void cli_data_note(void *user, const char *line) {
    fprintf(stderr, "variant %s: note: %s\n", (const char *)user, line);
}

variant_status cli_picture_square(float *out, const char *path, int side, int channels,
                                  const vt_data *data, bool small, variant_error *err) {
    vt_image read = {0}, square = {0};
    VT_TRY(vt_picture_read(&read, path, channels, data->alpha, NULL, err));
    bool pad = small && read.width <= side && read.height <= side;
    variant_status status = pad ? vt_image_pad(&square, &read, side, 0, err)
                                : vt_image_square(&square, &read, side, data->fit, err);
    size_t samples = (size_t)side * (size_t)side * (size_t)channels;
    for (size_t i = 0; status == VARIANT_OK && i < samples; ++i)
        out[i] = (float)square.data[i] / 127.5f - 1.0f;
    vt_image_free(&read);
    vt_image_free(&square);
    return status;
}
