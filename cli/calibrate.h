/* calibrate.h - `variant convert --type int8 --calibrate`: which pictures of a data set a transformer's products are measured on, and
 * what was chosen from that, told. */
#ifndef VT_CLI_CALIBRATE_H
#define VT_CLI_CALIBRATE_H

#include "cli.h"
#include "data_options.h"

typedef struct cli_calibration {
    cli_data data; /* paths.count 0: none was given */
    int pictures;
    double row_error;
} cli_calibration;

/* Of cli_calibration: --calibrate and what belongs to it. */
extern const cli_option cli_calibration_options[];
cli_calibration cli_calibration_defaults(void);

/* What was chosen, for a person or as JSON, on stdout. */
void cli_calibration_print(const variant_conversion *made, bool json);

#endif
