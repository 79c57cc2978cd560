/* kept.h - memory of what the public functions of this folder hand out: many small pieces that are freed as one. A result's struct
 * comes first in a piece of its own, vt_kept_free gives all back. */
#ifndef VT_CONVERT_KEPT_H
#define VT_CONVERT_KEPT_H

#include "core/status.h"

typedef struct vt_kept {
    struct vt_kept_piece *last;
} vt_kept;

/* `size` bytes of 0 into the pointer at `out`, which may be of any type. */
variant_status vt_kept_take(vt_kept *kept, void *out, size_t size, variant_error *err);
/* A copy of text; NULL of NULL. */
variant_status vt_kept_text(vt_kept *kept, const char **out, const char *text, variant_error *err);
void vt_kept_free(vt_kept *kept);

#endif
