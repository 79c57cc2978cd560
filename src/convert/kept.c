/* kept.c - see kept.h. */
#include "convert/kept.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct vt_kept_piece {
    struct vt_kept_piece *before;
    alignas(max_align_t) unsigned char bytes[];
};

variant_status vt_kept_take(vt_kept *kept, void *out, size_t size, variant_error *err) {
    size_t all;
    struct vt_kept_piece *piece = NULL;
    if (!__builtin_add_overflow(sizeof *piece, size, &all)) piece = calloc(1, all);
    if (!piece) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu bytes of a result", size);
    piece->before = kept->last;
    kept->last = piece;
    const void *bytes = piece->bytes;
    memcpy(out, &bytes, sizeof bytes);
    return VARIANT_OK;
}

variant_status vt_kept_text(vt_kept *kept, const char **out, const char *text, variant_error *err) {
    char *copy = NULL;
    *out = NULL;
    if (!text) return VARIANT_OK;
    const size_t size = strlen(text) + 1;
    VT_TRY(vt_kept_take(kept, &copy, size, err));
    memcpy(copy, text, size);
    *out = copy;
    return VARIANT_OK;
}

void vt_kept_free(vt_kept *kept) {
    while (kept->last) {
        struct vt_kept_piece *piece = kept->last;
        kept->last = piece->before;
        free(piece);
    }
}
