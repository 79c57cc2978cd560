/* jailed_picture.c - see jailed.h: pictures, and texts out of them. */
#include <stdlib.h>
#include <string.h>

#include "io/jailed.h"

/* docs/RELIABILITY.md has what decoders take; memory is address space here, of which libraries ask for more than they use. */
#define HEAD_MEMORY ((size_t)96 << 20)
#define BYTES_A_PIXEL 64
#define MOST_TEXT ((size_t)8 << 20) /* 4 MB are unfolded of one */
#define SECONDS 30.0
#define PIXELS_A_SECOND (1 << 20)

typedef struct question {
    bool header_only;
    char key[80]; /* "": the comment */
} question;

typedef struct head {
    int width, height, channels, orientation;
} head;

static variant_status run_picture(vt_jail_room *room, variant_error *err) {
    const question *asked = room->ask;
    vt_raw_picture raw;
    VT_TRY(vt_raw_decode(&raw, (vt_bytes){room->data, room->size}, asked->header_only, err));
    *(head *)room->head = (head){raw.width, raw.height, raw.channels, raw.orientation};
    room->out = raw.data;
    if (raw.data) room->out_size = (size_t)raw.width * (size_t)raw.height * (size_t)raw.channels;
    return VARIANT_OK;
}

static vt_jail_job job_of(vt_input input, const question *asked) {
    return (vt_jail_job){.ask = asked,
                         .ask_size = sizeof *asked,
                         .file = input.file,
                         .bytes = input.bytes.data,
                         .size = input.bytes.size,
                         .memory = HEAD_MEMORY,
                         .seconds = SECONDS};
}

static variant_status check(const head *got, variant_error *err) {
    VT_TRY(vt_picture_size_check("picture", got->width, got->height, err));
    if (got->channels >= 1 && got->channels <= 4) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT, "its reader tells of %d channels, expected 1 to 4",
                   got->channels);
}

static variant_status ask(vt_jail_job *job, head *got, uint8_t **out, size_t *size,
                          variant_error *err) {
    job->run = run_picture;
    VT_TRY(vt_jail_call(job, got, sizeof *got, out, size, err));
    return check(got, err);
}

variant_status vt_jailed_picture(vt_raw_picture *raw, vt_input input, bool header_only,
                                 variant_error *err) {
    question asked = {.header_only = true};
    vt_jail_job job = job_of(input, &asked);
    head got;
    uint8_t *data = NULL;
    size_t size = 0;
    *raw = (vt_raw_picture){0};
    variant_status status = ask(&job, &got, &data, &size, err);
    free(data); /* of a head there is none */
    data = NULL;
    if (status == VARIANT_OK && !header_only) {
        const size_t pixels = (size_t)got.width * (size_t)got.height;
        asked.header_only = false;
        job.memory += BYTES_A_PIXEL * pixels;
        job.most = 4 * pixels; /* a head tells its channels without alpha */
        job.seconds += (double)pixels / PIXELS_A_SECOND;
        status = ask(&job, &got, &data, &size, err);
        if (status == VARIANT_OK &&
            size != (size_t)got.width * (size_t)got.height * (size_t)got.channels)
            status = vt_fail(err, VARIANT_E_FORMAT,
                             "its reader gives %zu bytes of pixels of %d x %d x %d", size,
                             got.width, got.height, got.channels);
    }
    if (status != VARIANT_OK) {
        free(data);
        return status;
    }
    *raw = (vt_raw_picture){got.width, got.height, got.channels, got.orientation, data};
    return VARIANT_OK;
}

static variant_status run_text(vt_jail_room *room, variant_error *err) {
    const question *asked = room->ask;
    const vt_bytes file = {room->data, room->size};
    char *text = NULL;
    if (asked->key[0])
        VT_TRY(vt_png_text(&text, file, asked->key, err));
    else
        text = vt_picture_comment(file);
    room->out = (uint8_t *)text;
    room->out_size = text ? strlen(text) + 1 : 0;
    return VARIANT_OK;
}

variant_status vt_jailed_text(char **out, vt_bytes file, const char *key, variant_error *err) {
    question asked = {0};
    vt_jail_job job = job_of((vt_input){file, -1}, &asked);
    uint8_t *text;
    size_t size;
    job.run = run_text;
    job.most = MOST_TEXT;
    *out = NULL;
    if (key && (!*key || strlen(key) >= sizeof asked.key))
        return vt_fail(err, VARIANT_E_FORMAT, "the PNG has no text with key \"%.100s\"", key);
    if (key) memcpy(asked.key, key, strlen(key));
    VT_TRY(vt_jail_call(&job, NULL, 0, &text, &size, err));
    if (size) text[size - 1] = '\0';
    *out = (char *)text;
    return VARIANT_OK;
}
