/* sized.h - structs of variant.h that begin with their size: a caller's, of whichever version, to today's and back. Called where
 * the public functions that take one begin and end; what lies between knows today's alone. */
#ifndef VT_CORE_SIZED_H
#define VT_CORE_SIZED_H

#include "core/status.h"

/* What NAME_init_sized does: `defaults` (today's, `today` bytes) as far as the caller's struct reaches, 0 beyond, and its size. */
void vt_sized_init(void *out, size_t size, const void *defaults, size_t today);

/* out: today's struct, with its defaults; takes what the caller's holds. E_ARGUMENT: NULL, or a size that no _init has set;
 * E_UNSUPPORTED: beyond today's something is set. name: "variant_request". */
variant_status vt_sized_take(void *out, size_t today, const void *given, const char *name,
                             variant_error *err);
#define VT_SIZED_TAKE(out, given, name, err)                                                       \
    (name##_init(out), vt_sized_take((out), sizeof *(out), (given), #name, (err)))

/* Of a struct to be filled: vt_sized_take's errors of its size; it is all 0 then but for its size. */
variant_status vt_sized_clear(void *given, const char *name, variant_error *err);
/* Today's struct into the caller's, no further than that reaches: not at all into one whose size was refused. */
void vt_sized_give(void *given, const void *result, size_t today);

#endif
