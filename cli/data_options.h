/* data_options.h - which pictures a command reads, and how it takes them: the options that all of them share. */
#ifndef VT_CLI_DATA_OPTIONS_H
#define VT_CLI_DATA_OPTIONS_H

#include "cli.h"

enum { CLI_MOST_PATHS = 16 };

/* Data sets, joined by the names of their classes. */
typedef struct cli_paths {
    const char *at[CLI_MOST_PATHS];
    int count;
} cli_paths;

typedef struct cli_data {
    cli_paths paths;
    const char *split;       /* "train", "test" or "all" ... */
    bool split_chosen;       /* ... by the line */
    double holdout;          /* as variant_data has it */
    const char *fit, *alpha; /* likewise; NULL: not given */
} cli_data;

/* Of cli_data. */
extern const cli_option cli_data_options[];
#define CLI_TAKE "fit alpha" /* of commands that read pictures as a model takes them */
#define CLI_PART_OF_DATA                                                                           \
    "split holdout fit alpha" /* ... and of those that read one part of a data set */
/* --data alone, where there is nothing without it. */
extern const cli_option cli_training_data_option[];
/* Of one bool: --pad. */
extern const cli_option cli_pad_option[];
/* Of one int: --channels. */
extern const cli_option cli_channels_option[];

/* The test pictures of nothing yet. */
cli_data cli_data_defaults(void);
/* What is asked, for the library; it points into `data`. Without a split that was chosen: data's own. */
variant_data cli_data_asked(const cli_data *data);
/* Likewise of these paths, taken as `data` says. */
variant_data cli_data_asked_of(const cli_paths *paths, const cli_data *data);
/* One more path; false when there is no more room, or text is empty. */
bool cli_data_add(cli_paths *paths, const char *text);

#endif
