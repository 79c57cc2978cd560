/* edit.h - a picture that comes with a request, and which part of it is to be drawn again. */
#ifndef VT_SERVE_EDIT_H
#define VT_SERVE_EDIT_H

#include "io/picture.h"
#include "serve/fault.h"

enum { SV_EDIT_SIDE = 8192, SV_EDIT_PIXELS = 1 << 24 };

struct MHD_Connection;

/* What came, still as files. */
typedef struct sv_parts {
    cJSON *json;          /* the other members; owned */
    vt_bytes image, mask; /* borrowed, of the body or of `held`; size 0: there is none */
    uint8_t *held[2];     /* owned: what was base64 */
    int images;           /* that came */
} sv_parts;

/* Of multipart/form-data, or of JSON with data URLs: members image (or image[], images) and mask. */
bool sv_parts_of_form(sv_parts *out, struct MHD_Connection *connection, const char *body,
                      size_t size, sv_fault *fault);
bool sv_parts_of_json(sv_parts *out, const char *body, size_t size, sv_fault *fault);
void sv_parts_free(sv_parts *parts);

typedef struct sv_edit {
    variant_edit edit; /* points to those below */
    vt_image pixels, mask;
    size_t bytes; /* of both */
} sv_edit;

/* Sizes alone, by the files' heads: bytes is what decoding will take. */
bool sv_edit_measure(sv_edit *out, const sv_parts *parts, sv_fault *fault);
/* Then the pixels. What is drawn again is see-through in the mask, or white where it has no alpha at all; where there is no mask the picture's own see-through pixels are it. */
bool sv_edit_decode(sv_edit *edit, const sv_parts *parts, sv_fault *fault);
/* The pixels, once the library has what it needs of them. */
void sv_edit_free(sv_edit *edit);

#endif
