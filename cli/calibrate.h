/* calibrate.h - `variant convert --type int8 --calibrate`: pictures of a data set as the token maps that the engine measures
 * a transformer's products on (engine/calibrate.h), and what it chose, told. */
#ifndef VT_CLI_CALIBRATE_H
#define VT_CLI_CALIBRATE_H

#include "data_options.h"
#include "engine/calibrate.h"
#include "tools.h"

typedef struct cli_calibration {
    cli_data data; /* data.count 0: none was given */
    int pictures;
    double tolerance;
} cli_calibration;

/* Of cli_calibration: --calibrate and what belongs to it. */
extern const cli_option cli_calibration_options[];
cli_calibration cli_calibration_defaults(void);

/* The plan of the session's model (out->int4 says of which type), whose weights are float32: measured where data are given, else blocks everywhere. Close
 * it in any case. */
variant_status cli_calibrate(vt_int8_plan *out, cli_session *session, const cli_calibration *asked,
                             variant_error *err);
/* What was chosen, for a person or as JSON, on stdout. */
void cli_calibration_print(const vt_int8_plan *plan, bool json);

#endif
