/* data_options.h - which pictures a command reads, and how it takes them: the options that all of them share. */
#ifndef VT_CLI_DATA_OPTIONS_H
#define VT_CLI_DATA_OPTIONS_H

#include "core/status.h"
#include "io/data.h"
#include "options.h"

typedef struct cli_data {
    vt_data data;
    bool split_chosen;
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
/* One more path; false when there is no more room, or text is empty. */
bool cli_data_add(vt_data *data, const char *text);

#endif
