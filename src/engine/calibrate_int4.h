/* calibrate_int4.h - the int4 records of one product (kern/int4.h), from a sample of its rows of x. Called by calibrate.c. */
#ifndef VT_ENGINE_CALIBRATE_INT4_H
#define VT_ENGINE_CALIBRATE_INT4_H

#include "engine/calibrate.h"

/* w: (n, k), x: (rows, k), host memory. Of the choice its errors, `rows` (0: too few different ones to
 * measure by) and records are set: those of the way whose error is
 * the least on every fourth row of x, which no way is made from. Rows of w are dealt out to the team; the records are the same
 * for any. */
variant_status vt_calibrate_int4(vt_int8_choice *choice, vt_team *team, const float *w,
                                 const float *x, int rows, variant_error *err);

#endif
