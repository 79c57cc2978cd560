/* loop.h - the loop over streams: pictures in the making, each at a scale of its own, that go one scale further together.
 *
 * A drawing is one picture in the making: its conditional stream, with guidance an unconditional one, its f_hat and its
 * tokens so far. Drawings join between steps and leave between steps; a step takes every drawing that is there one scale
 * on. What a drawing becomes depends on no other: not on who shares its steps, nor on when it joined.
 *
 *     step:  logits = transformer(all streams)      weights are read once
 *            tokens = choose(logits)                the caller's: sampled, given, or not looked at
 *            each f_hat += its tokens' codes; each input_{k+1} = area(f_hat)
 *
 * The one place where a step is made: generation (generate.c), measuring memory (vt_loop_measure) and the self-test all
 * call it. A loop belongs to one thread at a time. */
#ifndef VT_ENGINE_LOOP_H
#define VT_ENGINE_LOOP_H

#include "tokenizer/preview.h"
#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

/* What a loop works with; borrowed. */
typedef struct vt_loop_parts {
    vt_kern *kern;
    vt_transformer *transformer;
    vt_tokenizer *tokenizer;
    vt_preview *preview; /* the tokenizer's small decoder; NULL: none */
    vt_number kv;        /* type of keys and values */
} vt_loop_parts;

/* Which decoder; also bits of a set. */
typedef enum vt_decoder { VT_DECODER_FULL = 1, VT_DECODER_PREVIEW = 2 } vt_decoder;

typedef struct vt_drawing {
    int k;      /* the scale its streams stand at */
    int scales; /* at which it is done */
    vt_stream cond, uncond;
    int uncond_scales; /* uncond runs as well, in so many scales */
    bool smooth;       /* mixtures of codes instead of codes */
    bool retain_kv;
    int decoders;
    bool
        broken; /* set by whoever chooses: its numbers are none; its tokens are not looked at again */
    void *owner;                  /* whoever let it join */
    int index;                    /* of the owner's pictures */
    int32_t label;                /* its class */
    float *f_hat;                 /* (s, s, Cvae), backend memory */
    const struct vt_known *known; /* what it keeps of a picture (known.h); NULL: nothing */
    float *latent;                /* known: of the picture, (s, s, Cvae), backend memory */
    int32_t *codes;               /* likewise, known->once: (L) */
    const float *halves;          /* likewise, known->pull: -|code|^2 / 2 of each, (V) */
    int32_t *tokens;              /* (L), host memory: chosen so far, scale after scale */
    int offset;                   /* of the scale at hand among them */
    /* within a step: first rows of its streams in the logits, of its tokens among all tokens */
    int row, uncond_row, token_row;
    struct vt_party *party; /* those who joined with it, and their memory */
    int place;              /* among them */
} vt_drawing;

/* Who joins. The schedules are borrowed until it has left. */
typedef struct vt_join {
    int32_t label;
    const vt_schedule *schedule;
    int scales;                /* that it runs: 1 to K */
    const vt_schedule *uncond; /* layers of the unconditional stream; NULL: no guidance */
    int uncond_scales;         /* scales that it runs, from the first on: 1 to `scales` */
    bool smooth, retain_kv;
    int decoders; /* set of vt_decoder that it will be decoded by; 0: the full one */
    const struct vt_known *known; /* of a picture that is kept in part; NULL */
    void *owner;
    int index;
    int32_t *tokens; /* (L), host memory, borrowed: where its tokens go; NULL: nobody will look */
} vt_join;

/* Seconds that went by, added up by vt_loop_step; of the transformer's, what the head took. */
typedef struct vt_loop_seconds {
    double condition, transformer, head, choose, quantizer;
} vt_loop_seconds;

typedef struct vt_loop {
    vt_loop_parts parts;
    vt_kern *kern;  /* what computes: parts.kern, or the one that only counts */
    vt_arena arena; /* of a step */
    void *memory;
    size_t memory_bytes;
    vt_drawing **drawings; /* (count), those farthest on first */
    vt_drawing **running;  /* (capacity): of them, those that are not done */
    int count, capacity;
    struct vt_loop_needs {
        int drawings, streams, smooth, classes, keys, known, decoders;
    } needs; /* the most that `memory` was measured for */
    vt_loop_seconds seconds;
} vt_loop;

/* A step before its tokens are chosen. Drawings in the order of `drawings`; a drawing's tokens are rows
 * [token_row, token_row + n_k^2) of `tokens`, its logits rows [row, ..) and, guided, [uncond_row, ..) of `logits`. */
typedef struct vt_step {
    vt_loop *loop;
    vt_drawing *const *drawings;
    int count, rows; /* drawings; tokens of all */
    int vocab;
    float *logits;   /* (rows of all streams, V), backend memory; may be overwritten */
    int32_t *tokens; /* (rows), backend memory: to be filled, for smooth drawings too */
    float *
        weights; /* (rows, V), backend memory: to be filled for smooth drawings; NULL: there is none */
    int32_t *
        known; /* (rows), backend memory: codes of cells that are kept (known.h); NULL: there is none */
    void *workspace; /* for kern->sample, a part a drawing */
} vt_step;

/* Fills step->tokens, and each drawing's own at drawing->tokens + drawing->offset. */
typedef variant_status vt_choose(void *user, vt_step *step, variant_error *err);

/* Drawings from i on that stand side by side at one scale: a batch of the tokenizer. */
int vt_step_batch(const vt_step *step, int i);

void vt_loop_open(vt_loop *out, const vt_loop_parts *parts);
void vt_loop_close(vt_loop *loop);

/* Bytes that `count` drawings take if they join an empty loop together and stay: what their largest step needs, what they
 * hold, and their keys and values at their most. Found by running this code over a backend that only counts. */
typedef struct vt_loop_bytes {
    size_t step, held, kv;
} vt_loop_bytes;
variant_status vt_loop_measure(vt_loop_bytes *out, const vt_loop_parts *parts, const vt_join *who,
                               int count, variant_error *err);

/* Lets `count` drawings join at scale 0; out: (count). Before anything is taken, what they and those who are there will
 * need is compared with what the limits of the process leave: E_MEMORY, and nothing has changed for the others. */
variant_status vt_loop_join(vt_loop *loop, const vt_join *who, int count, vt_drawing **out,
                            variant_error *err);
/* Gives back what the drawing holds; at any scale. */
void vt_loop_leave(vt_loop *loop, vt_drawing *drawing);

/* Takes every drawing that is not done one scale on. An error leaves them all where no step can go on from. */
variant_status vt_loop_step(vt_loop *loop, vt_choose *choose, void *user, variant_error *err);

/* Decodes f_hat of `count` drawings, at any scale, some at a time, and hands each picture (side, side, channels), in backend
 * memory, to take. */
typedef variant_status vt_take_picture(void *user, vt_drawing *drawing, const float *picture,
                                       variant_error *err);
variant_status vt_loop_decode(vt_loop *loop, vt_decoder by, vt_drawing *const *drawings, int count,
                              vt_take_picture *take, void *user, variant_error *err);

/* Does its unconditional stream run at the scale at hand? */
static inline bool vt_drawing_is_guided(const vt_drawing *drawing) {
    return drawing->k < drawing->uncond_scales;
}

/* Bytes of keys and values that a drawing holds; the most is after a step, since layers give theirs up right before one. */
size_t vt_drawing_kv_bytes(const vt_drawing *drawing);
/* Bytes of what those who joined with it hold beside keys and values. */
size_t vt_drawing_party_bytes(const vt_drawing *drawing);

#endif
