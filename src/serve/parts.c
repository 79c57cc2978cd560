/* parts.c - pictures and members out of a body: multipart/form-data by libmicrohttpd's post processor, or JSON with data URLs
 * (edit.h). */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/json.h"
#include "serve/edit.h"
#include "core/base64.h"
#include "serve/fields.h"
#include "serve/text.h"

enum { MOST_TEXT = 8192, MOST_PARTS = 100 };

void sv_parts_free(sv_parts *parts) {
    cJSON_Delete(parts->json);
    free(parts->held[0]);
    free(parts->held[1]);
    *parts = (sv_parts){0};
}

/* ---- a form ---- */

/* One part as it comes, bit by bit. */
typedef struct form {
    sv_parts *parts;
    sv_fault *fault;
    char name[64];
    uint8_t *data;
    size_t size, room;
    int held; /* of parts->held: 0 image, 1 mask, -1: a member in text */
    int count;
} form;

static int place_of(const char *name) {
    if (strcmp(name, "image") == 0 || strncmp(name, "image[", 6) == 0) return 0;
    return strcmp(name, "mask") == 0 ? 1 : -1;
}

/* Text of a form as JSON has it: numbers and truth values where the member is no text. */
static cJSON *value_of(const char *name, const char *text) {
    static const char *const texts[] = {"prompt", "model", "user", "seed", "size"};
    char *end;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
        if (strcmp(name, texts[i]) == 0) return cJSON_CreateString(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return cJSON_CreateBool(*text == 't');
    const double number = strtod(text, &end);
    return *text && !*end ? cJSON_CreateNumber(number) : cJSON_CreateString(text);
}

/* The part at hand is whole. */
static bool end_part(form *f) {
    if (!f->name[0]) return true;
    if (f->held < 0) {
        if (!sv_is_utf8((const char *)f->data, f->size) || memchr(f->data, 0, f->size))
            return sv_refuse(f->fault, 400, "invalid_form", f->name, "%s: not UTF-8", f->name);
        f->data[f->size] = '\0';
        if (!cJSON_GetObjectItemCaseSensitive(f->parts->json, f->name))
            if (!vt_json_put(f->parts->json, f->name, value_of(f->name, (char *)f->data)))
                return sv_refuse(f->fault, 503, "out_of_memory", "", "no memory for a form");
        free(f->data);
    } else if (f->parts->held[f->held]) { /* a second one */
        if (f->held == 1)
            return sv_refuse(f->fault, 400, "invalid_value", "mask",
                             "mask: expected one picture, got more");
        if (f->held == 0) ++f->parts->images;
        free(f->data);
    } else {
        vt_bytes *bytes = f->held == 0 ? &f->parts->image : &f->parts->mask;
        if (f->held == 0) ++f->parts->images;
        f->parts->held[f->held] = f->data;
        *bytes = (vt_bytes){f->data, f->size};
    }
    f->data = NULL;
    f->size = f->room = 0;
    f->name[0] = '\0';
    return true;
}

static bool add_to_part(form *f, const char *data, size_t size) {
    if (f->held < 0 && f->size + size > MOST_TEXT)
        return sv_refuse(f->fault, 400, "invalid_form", f->name, "%s: longer than %d bytes",
                         f->name, MOST_TEXT);
    if (f->size + size + 1 > f->room) {
        const size_t room = 2 * (f->size + size + 1);
        uint8_t *larger = realloc(f->data, room);
        if (!larger) return sv_refuse(f->fault, 503, "out_of_memory", "", "no memory for a form");
        f->data = larger;
        f->room = room;
    }
    if (size) memcpy(f->data + f->size, data, size);
    f->size += size;
    return true;
}

static enum MHD_Result on_part(void *user, enum MHD_ValueKind kind, const char *name,
                               const char *file, const char *type, const char *encoding,
                               const char *data, uint64_t at, size_t size) {
    (void)kind, (void)file, (void)type, (void)encoding;
    form *f = user;
    if (at == 0 && !end_part(f)) return MHD_NO;
    if (at == 0) {
        if (++f->count > MOST_PARTS) { /* each is looked for among those before */
            sv_refuse(f->fault, 400, "invalid_form", "", "the form has more than %d parts",
                      MOST_PARTS);
            return MHD_NO;
        }
        if (!name || strlen(name) >= sizeof f->name || !sv_is_utf8(name, strlen(name))) {
            sv_refuse(f->fault, 400, "invalid_form", "", "a part of the form has no proper name");
            return MHD_NO;
        }
        snprintf(f->name, sizeof f->name, "%s", name);
        f->held = place_of(name);
    }
    return add_to_part(f, data, size) ? MHD_YES : MHD_NO;
}

bool sv_parts_of_form(sv_parts *out, struct MHD_Connection *connection, const char *body,
                      size_t size, sv_fault *fault) {
    *out = (sv_parts){.json = cJSON_CreateObject()};
    *fault = (sv_fault){0};
    form f = {.parts = out, .fault = fault};
    struct MHD_PostProcessor *processor =
        MHD_create_post_processor(connection, 64 << 10, on_part, &f);
    bool whole = processor && size > 0 && MHD_post_process(processor, body, size) == MHD_YES;
    if (processor && MHD_destroy_post_processor(processor) != MHD_YES) whole = false;
    if (whole) whole = end_part(&f);
    free(f.data);
    if (whole && cJSON_GetArraySize(out->json) + out->images > 0) return true;
    if (!fault->status)
        sv_refuse(fault, 400, "invalid_form", "", "the form is damaged, or holds nothing");
    return false;
}

/* ---- JSON ---- */

/* The text of "data:image/png;base64,...", {"image_url": that}, or the first of a list of them. */
static const char *url_of(const cJSON *item, int *count) {
    if (cJSON_IsArray(item)) {
        *count = cJSON_GetArraySize(item);
        item = item->child;
    } else if (item) {
        *count = 1;
    }
    const cJSON *url = cJSON_IsObject(item) ? sv_field(item, "image_url") : item;
    if (cJSON_IsObject(url)) url = sv_field(url, "url");
    return cJSON_IsString(url) ? url->valuestring : NULL;
}

static bool read_url(sv_parts *parts, int place, const char *name, const char *url,
                     sv_fault *fault) {
    const char *comma = url ? strchr(url, ',') : NULL;
    size_t size;
    if (!comma || strncasecmp(url, "data:", 5) != 0 || comma - url < 12 ||
        strncasecmp(comma - 7, ";base64", 7) != 0)
        return sv_refuse(fault, 400, "invalid_value", name,
                         "%s: expected a data URL, data:image/png;base64,...; other addresses are "
                         "not fetched",
                         name);
    if (!vt_base64_read(comma + 1, strlen(comma + 1), &parts->held[place], &size))
        return sv_refuse(fault, 400, "invalid_value", name, "%s: what follows base64, is none",
                         name);
    *(place == 0 ? &parts->image : &parts->mask) = (vt_bytes){parts->held[place], size};
    return true;
}

bool sv_parts_of_json(sv_parts *out, const char *body, size_t size, sv_fault *fault) {
    int masks = 0;
    *out = (sv_parts){0};
    if (!sv_json_read(&out->json, body, size, fault)) return false;
    const cJSON *image = sv_field(out->json, "image"), *mask = sv_field(out->json, "mask");
    if (!image) image = sv_field(out->json, "images");
    if (image && !read_url(out, 0, "image", url_of(image, &out->images), fault)) return false;
    if (mask && !read_url(out, 1, "mask", url_of(mask, &masks), fault)) return false;
    /* the pictures are not needed twice */
    static const char *const taken[] = {"image", "images", "mask"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; ++i)
        cJSON_DeleteItemFromObjectCaseSensitive(out->json, taken[i]);
    return true;
}
