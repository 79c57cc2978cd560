/* token_cache.h - the training pictures as tokens of a frozen tokenizer, encoded once.
 *
 * The file is safetensors: "tokens" (N, views, L) as I16 (I32 for more than 32768 codes); view 1 is
 * the mirrored picture; "contents" (N), 64 bits of every picture's file; of data sets too large to be
 * decoded at opening also "stamps" (N), by which a file that nobody has touched is known without
 * reading it. Its metadata tells the tokenizer and how pictures were taken. A file that does not match is
 * made anew, with a note that says why. It is mapped, so that a large data set costs no memory. */
#ifndef VT_TRAIN_TOKEN_CACHE_H
#define VT_TRAIN_TOKEN_CACHE_H

#include "engine/model.h"
#include "train/batches.h"

typedef struct vt_token_cache {
    int count, views, tokens; /* N, 1 or 2, L */
    vt_tensor_file *file;     /* NULL: in `owned` */
    const int16_t *narrow;    /* (N, views, L), one of the two */
    const int32_t *wide;
    int32_t *owned;
} vt_token_cache;

typedef struct vt_token_cache_options {
    vt_arena *arena; /* at least vt_token_cache_bytes.arena */
    vt_tokenizer *tokenizer;
    const vt_model *
        files; /* that the tokenizer is mapped from: tokens are none where one was cut short; NULL */
    const vt_pictures *pictures;
    bool flip;        /* two views */
    const char *path; /* NULL: memory only */
    bool
        named; /* by a person: a file there that is no cache is theirs, and refused (E_ARGUMENT), not written over */
    bool verify; /* look at every picture's content, though its stamp says that it is as it was */
    void (*note)(void *user, const char *line); /* why a file is made anew; may be NULL */
    void *user_note;
    /* After every batch; false: stop with E_STOPPED. May be NULL. */
    bool (*progress)(void *user, int done, int total);
    void *user;
} vt_token_cache_options;

/* What making the tokens takes, at most: where a file holds them already, none of it. */
typedef struct vt_token_cache_bytes {
    size_t arena;  /* of a batch */
    size_t host;   /* of a batch */
    size_t tokens; /* of all pictures; they stay where there is no path */
    size_t file;   /* while the file is written */
} vt_token_cache_bytes;
variant_status vt_token_cache_measure(vt_token_cache_bytes *out,
                                      const vt_token_cache_options *options, variant_error *err);

variant_status vt_token_cache_open(vt_token_cache *out, const vt_token_cache_options *options,
                                   variant_error *err);
void vt_token_cache_close(vt_token_cache *cache);
/* Where the file was cut short meanwhile (vt_tensor_file_settle), zeros. */
void vt_token_cache_get(const vt_token_cache *cache, int position, bool flip,
                        int32_t *out); /* (L) */

/* 64 bits of a model's values, names and shapes. */
variant_status vt_params_hash(const vt_params *params, uint64_t *out, variant_error *err);

#endif
