/* engine.h - a loaded model and its backend: immutable once open, shared by every request.
 * Private to the library; the public side is variant.h. */
#ifndef VT_ENGINE_ENGINE_H
#define VT_ENGINE_ENGINE_H

#include "engine/model.h"

/* What vt_need says. */
#define VT_NO_ENGINE "no engine: expected an open one"
#define VT_NO_LOOP "no loop: expected an open one"
#define VT_NO_ROOM_FOR_PICTURES "nowhere to put pictures"

struct variant_engine {
    vt_kern *kern;
    vt_model *model;
    vt_number weights, kv;
    bool trusts;    /* checksums of its files are not looked at */
    bool synthetic; /* weights by formula: its pictures are worth nothing */
    variant_info info;
    void (*warn)(void *user, const char *line); /* while it is opened */
    void (*log)(void *user, variant_log_level level, const char *line);
    void *user; /* of both */
};

/* A line to whoever opened the engine, where they listen. */
void vt_engine_log(const variant_engine *engine, variant_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An engine around a model that someone else owns, with both its parts and prepared; for pictures of a model in training, or of one
 * made from a formula. */
variant_engine vt_engine_around(vt_kern *kern, vt_model *model, vt_number weights, vt_number kv);

/* What of an engine's options a model is opened with: files or memory, sides, heads, part, warn. rooms: where the second lies as long as
 * the model is being opened. E_ARGUMENT: a model or a tokenizer is given more than once. */
variant_status vt_engine_model_options(vt_model_options *out, vt_in_memory rooms[2],
                                       const variant_engine_options *options, variant_error *err);

/* How keys and values are stored where nobody says. */
vt_number vt_kv_default(vt_number weights);

#endif
