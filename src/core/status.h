/* status.h - how every internal function reports failure.
 *
 * A function that can fail returns variant_status and takes a `variant_error *err` (may be NULL)
 * as its last parameter. It reports with vt_fail, and passes a callee's failure on with VT_TRY. */
#ifndef VT_CORE_STATUS_H
#define VT_CORE_STATUS_H

#include "variant.h"

/* Fills err (if not NULL) with a printf-style message and returns code. */
variant_status vt_fail(variant_error *err, variant_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message already in err; returns the status in err. For callers that
 * know the file or tensor a deeper message is about. */
variant_status vt_fail_within(variant_error *err, variant_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Analysers (of gcc by tools/analyse.py) do not look into status.c, and would follow paths on which a failure is none. */
#if defined __clang_analyzer__ || defined VT_ANALYSER
#define vt_fail(err, code, ...) (vt_fail(err, code, __VA_ARGS__), (code))
#define vt_fail_within(err, code, ...) (vt_fail_within(err, code, __VA_ARGS__), (code))
#endif

/* What public functions are given: empties err, and is E_ARGUMENT with the line where it is NULL. */
variant_status vt_need(const void *given, const char *line, variant_error *err);

/* Of a list that they are given: a count other than 0 of a list that is NULL is E_ARGUMENT; names are the fields'. */
variant_status vt_need_list(const void *list, const char *name, long long count,
                            const char *count_name, variant_error *err);

/* Returns from the calling function when expression is not VARIANT_OK. Only where nothing needs
 * cleanup. */
#define VT_TRY(expression)                                                                         \
    do {                                                                                           \
        variant_status vt_try_ = (expression);                                                     \
        if (vt_try_ != VARIANT_OK) return vt_try_;                                                 \
    } while (0)

/* Goes to the `cleanup:` label with the local `status` set when expression is not VARIANT_OK. */
#define VT_CHECK(expression)                                                                       \
    do {                                                                                           \
        status = (expression);                                                                     \
        if (status != VARIANT_OK) goto cleanup;                                                    \
    } while (0)

#endif
