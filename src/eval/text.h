/* text.h - text that grows: what the report, its drawings and the tables are written into.
 *
 * Memory that runs out is remembered in `failed` and asked for once, at the end, so that the hundreds of
 * additions in between stay readable. */
#ifndef VT_EVAL_TEXT_H
#define VT_EVAL_TEXT_H

#include <stddef.h>

#include "core/status.h"

typedef struct vt_text {
    char *data; /* NUL-terminated once anything was added; owned */
    size_t size, room;
    bool failed;
} vt_text;

void vt_text_add(vt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With & < > " ' written as entities: fit for HTML text and attribute values. */
void vt_text_add_escaped(vt_text *text, const char *words);
void vt_text_add_base64(vt_text *text, const void *bytes, size_t size);
void vt_text_free(vt_text *text);

/* ---- numbers for people (and variant/text.h) ---- */

/* Three significant digits without an exponent: 0.123, 12.3, 1230. */
void vt_text_number(char *out, size_t size, double value);

#endif
