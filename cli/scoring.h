/* scoring.h - the options of what pictures are judged by: the real ones, the network, the spread. Of eval and sweep. */
#ifndef VT_CLI_SCORING_H
#define VT_CLI_SCORING_H

#include "io/data.h"
#include "options.h"

typedef struct cli_scoring {
    vt_data reference;    /* its paths */
    int reference_count;  /* of its pictures; 0: all */
    const char *features; /* the network; NULL: the model's folder has it */
    int resize;           /* vt_features_resize; -1: not said */
    int draws;            /* of the bootstrap; -1: not said */
} cli_scoring;

/* Of cli_scoring. */
extern const cli_option cli_scoring_options[];

cli_scoring cli_scoring_defaults(void);

#endif
