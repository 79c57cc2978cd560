/* base64.h - bytes as letters (RFC 4648), besides variant_base64: pictures in reports, in JSON and in terminals. */
#ifndef VT_CORE_BASE64_H
#define VT_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Letters that so many bytes take. */
static inline size_t vt_base64_letters(size_t size) {
    return (size + 2) / 3 * 4;
}
/* To room for that many and a NUL, which is written; returns where that is. */
char *vt_base64_put(char *to, const uint8_t *bytes, size_t size);
/* *out: free(). Blanks and line ends between letters are passed over. False: no base64, or no memory (*out NULL). */
bool vt_base64_read(const char *text, size_t length, uint8_t **out, size_t *size);

#endif
