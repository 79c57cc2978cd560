/* session.h - the memory of one batch of one request: arena, KV cache and the buffers that live
 * across scales. Mutable and private to a call of variant_generate; generate.c runs the loop
 * over it. */
#ifndef VT_ENGINE_SESSION_H
#define VT_ENGINE_SESSION_H

#include "engine/engine.h"

typedef struct vt_session {
    vt_kern *kern;
    vt_arena arena;
    void *memory; /* the arena's address space */
    size_t memory_bytes;
    vt_kv_cache *cache;
    int batch, streams;    /* pictures; picture x guidance branch: conditional ones first */
    int32_t *tokens;       /* (B, n_k^2) of the scale at hand, backend memory */
    float *embeddings;     /* (B, n_k^2, Cvae), mixtures of codes for smoothing; NULL without */
    float *weights;        /* (B, n_k^2, V), likewise */
    float *logits;         /* (streams, n_K^2, V) */
    float *input;          /* (streams, n_{k+1}^2, Cvae) */
    float *f_hat;          /* (B, s, s, Cvae) */
    float *picture;        /* (B, side, side, channels) */
    int32_t *host_tokens;  /* (B, n_K^2), host memory */
    vt_sample_part *parts; /* (B), host memory: the logits of each picture, and its tokens */
} vt_session;

typedef struct vt_session_options {
    int batch;
    bool guided, smooth, retain_kv;
    const vt_schedule *schedule;
    const int32_t *labels; /* (streams): how many differ decides what the condition takes */
} vt_session_options;

/* What a batch takes, to the byte, found by running its code without computing (kern/dry.h): the
 * arena, and all keys and values at their most. */
typedef struct vt_session_bytes {
    size_t arena, kv;
} vt_session_bytes;
variant_status vt_session_measure(vt_session_bytes *out, const variant_engine *engine,
                                  const vt_session_options *options, variant_error *err);

/* Reserves what vt_session_measure tells; address space costs nothing until touched. */
variant_status vt_session_open(vt_session *out, const variant_engine *engine,
                               const vt_session_options *options, variant_error *err);
void vt_session_close(vt_session *session);

/* Draws the tokens of `parts`. */
variant_status vt_session_sample(vt_session *session, int vocab, variant_error *err);

/* f_hat to `picture`, some pictures at a time: their maps are what takes most memory. */
variant_status vt_session_decode(vt_session *session, vt_tokenizer *tokenizer, variant_error *err);

/* Gives up keys and values of the layers whose last scale is k. */
void vt_session_release(vt_session *session, const vt_schedule *schedule, int k);

#endif
