/* report.h - a sweep as one page to look at.
 *
 * FOLDER/report.html is made from FOLDER/sweep.json and the strips of pictures beside it: one file, without
 * script and without anything from outside. What the sweep did not measure is left out, and the page says so.
 * Called at the end of a sweep and by `variant sweep --report-only`. */
#ifndef VT_EVAL_REPORT_H
#define VT_EVAL_REPORT_H

#include "core/status.h"

variant_status vt_report_write(const char *folder, variant_error *err);

#endif
