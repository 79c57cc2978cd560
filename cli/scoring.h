/* scoring.h - the options of what pictures are judged by: the real ones, the network, the spread. Of eval and sweep. */
#ifndef VT_CLI_SCORING_H
#define VT_CLI_SCORING_H

#include "data_options.h"

typedef struct cli_scoring {
    cli_paths reference;
    int reference_count;  /* of its pictures; 0: all */
    const char *features; /* the network; NULL: the model's folder has it */
    const char *resize;   /* "pytorch" or "tensorflow"; NULL: not said */
    int draws;            /* of the bootstrap; -1: not said */
} cli_scoring;

/* Of cli_scoring. */
extern const cli_option cli_scoring_options[];

cli_scoring cli_scoring_defaults(void);
/* E_ARGUMENT: no network is named, and `model` (NULL: none) is no folder that could have one. */
variant_status cli_scoring_check(const cli_scoring *scoring, const char *model, variant_error *err);
/* The reference, taken as `data` says; it points into both. Which part of it, unless the line says, is the library's choice. */
variant_data cli_scoring_reference(const cli_scoring *scoring, const cli_data *data);

#endif
