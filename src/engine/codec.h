/* codec.h - a model's tokenizer at work: pictures as floats to token maps and back, in memory that is measured first. Used by the
 * public functions (tokenize.c), by evaluation and by the commands. One thread at a time; several of one model may be at work. */
#ifndef VT_ENGINE_CODEC_H
#define VT_ENGINE_CODEC_H

#include "core/arena.h"
#include "engine/model.h"

typedef struct vt_codec {
    vt_kern *kern; /* borrowed, as is the model, which has a tokenizer */
    vt_model *model;
    bool preview;   /* pictures are decoded by the model's preview decoder */
    vt_arena arena; /* of some pictures; reserved when the first come */
    void *memory;
    size_t memory_bytes;
} vt_codec;

/* Between pictures: which decoder, "full", "preview" or NULL (full). E_MODEL: there is none. */
variant_status vt_codec_choose(vt_codec *codec, const char *decoder, variant_error *err);
/* Gives back the memory it works in. */
void vt_codec_forget(vt_codec *codec);
/* Was the model opened with its encoder? */
bool vt_codec_encodes(const vt_codec *codec);
void vt_codec_close(vt_codec *codec);

/* A public tokenizer's. */
vt_codec *vt_codec_of(variant_tokenizer *tokenizer);

/* Pictures to work on at a time, so that memory stays moderate. */
int vt_codec_batch(const vt_tokenizer_config *config);
/* n pictures (n, side, side, channels), host memory, to tokens (n, L), host memory. */
variant_status vt_codec_encode(vt_codec *codec, int n, const float *pictures, int32_t *tokens,
                               variant_error *err);
/* tokens (n, L) to pictures (n, side, side, channels), not clamped. */
variant_status vt_codec_decode(vt_codec *codec, int n, const int32_t *tokens, float *pictures,
                               variant_error *err);

#endif
