/* variant/generate.h - pictures of an engine: requests and edits, what they took, and what they will take of memory. */
#ifndef VARIANT_GENERATE_H
#define VARIANT_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/engine.h>
#include <variant/picture.h>

VARIANT_BEGIN

typedef struct variant_progress {
    int pictures_done, pictures; /* finished, asked for */
    int scale, scales;           /* finished in this batch, K */
} variant_progress;

/* A picture after a scale: `scale` of `scales` are done. */
typedef struct variant_preview {
    int picture, pictures; /* of the request, from 0 */
    int scale, scales;
    int width, height, channels;
    const uint8_t *pixels; /* (height, width, channels), for the length of the call */
} variant_preview;

/* A picture of which a part is drawn again; what it points to is borrowed for the length of the call that takes the request.
 * The model sees a square of it, scaled to its own side, that holds the part and what lies around it; the part's surroundings
 * guide what is drawn. What comes back has the picture's size: outside of the part and a seam around it, pixels are the
 * picture's own. */
typedef struct variant_edit {
    size_t size;                 /* variant_edit_init sets it */
    int width, height, channels; /* 1 grey or 3 RGB */
    const uint8_t *pixels;       /* (height, width, channels) */
    const uint8_t *mask; /* (height, width): from 128 on drawn again, below kept; NULL: all kept */
    int grow;            /* pixels by which the part drawn again reaches beyond the mask */
    int feather; /* width of the seam, pixels; 0: none; -1: what a cell of the finest token map covers */
    int left, top, right, bottom; /* pixels added at each side, drawn */
    /* of a picture that is no square, "crop", "pad" or "stretch"; NULL: as the model's training did. Crop: the middle, moved
     * as far as the part asks for, and larger where that needs it; beyond the picture the model may draw what it likes */
    const char *fit;
    bool pad; /* a picture smaller than the model's is centred on black, not enlarged */
    const char *
        fill; /* what lies in the part while the rest is encoded: "neighbours" (default), "mean", "none" */
    /* how kept cells find their codes: "again" (default), for what is left at every scale of the map drawn so far; "once",
     * as the picture itself is encoded */
    const char *codes;
    /* a cell of a token map whose area is known in part is kept from this share of it on, 0 to 1; below, it is drawn ... */
    float keep;
    float
        pull; /* ... so much the more likely near what is known of it, the more is; 0: drawn freely */
} variant_edit;

/* grow 0, feather -1, keep 1, pull 1, and the defaults above. */
VARIANT_SIZED(variant_edit);

typedef struct variant_request {
    size_t size; /* variant_request_init sets it */
    /* "random" (drawn per picture), "all" (one after another), "uncond", a number or a name, or several of
     * these three between commas, one after another and again from the first. A name as it is written comes
     * first, even one with commas; a number is a label unless a class is called so; other case is taken where
     * no second class is meant. */
    const char *class_name;
    /* instead of class_name: picture i is of labels[(first_image + i) % label_count], label_count of them,
     * variant_info.classes meaning uncond. Borrowed for the length of the call; NULL */
    const int32_t *labels;
    int label_count;
    int count; /* pictures */
    int batch; /* pictures at a time; 0: 8. Results do not depend on it. */
    /* token maps to begin with instead of drawing them: given_count of variant_picture.token_count each, of which the first
     * given_scales scales count; picture i has number (first_image + i) % given_count of them. Borrowed for the length of the call; NULL:
     * given_scales must be 0 */
    const int32_t *given_tokens;
    int given_count, given_scales;
    int scales; /* draw so many alone and decode what is there; 0: all. Tokens of the others are 0 */
    /* pictures to edit: picture i of the request is of edits[(first_image + i) % edit_count], each of edits->size bytes. The
     * engine must have its encoder; not with given_tokens. Borrowed for the length of the call; NULL */
    const variant_edit *edits;
    int edit_count;
    /* "picture mask", hashes in hex: these settings are of an edit of them (variant_settings_request), and edits must be
     * given again; others than these are told in the report's warning. NULL */
    const char *edited;
    uint64_t seed; /* picture i depends on (seed, first_image + i) alone */
    int first_image;
    /* classifier-free guidance t: logits = (1 + t_k) cond - t_k uncond, t_k = t k / (K-1); 0:
     * off */
    float cfg_scale;
    /* factor on the t_k of scales where the unconditional branch runs fewer layers than the conditional one, 0 to 100; -1:
     * variant_info.cfg_late */
    float cfg_late;
    /* t of every scale instead, variant_info.scales of them; borrowed for the length of the call; NULL. Behind the last
     * that is not 0 the unconditional branch is not computed any more, and what it held is given up. */
    const float *cfg_scales;
    int cfg_scale_count;
    int top_k;   /* 0: off */
    float top_p; /* 0 or 1: off */
    bool greedy; /* arg max instead of sampling; not with smooth */
    /* Gumbel-softmax mixture of codes instead of one code (the original's more_smooth) */
    bool smooth;
    int depth;          /* layers of the late scales; 0: all */
    int bridge;         /* scales at full depth before them; -1: the model's own, or 0.6 K */
    const char *depths; /* "16,16,8": layers of every scale; NULL */
    /* "equidistant", "rounded", "prefix", "0,3,7" or one list a scale "0-7;0,7"; NULL: variant_info's */
    const char *layers;
    /* The layers of guidance's unconditional branch, likewise (the bridge is the same). uncond_depth 0 and NULL: those above.
     * -1 and NULL: in a supernet's late scales variant_info.uncond_depth, or those above where they are no more: guided by
     * the weaker model that it holds (autoguidance, arXiv 2406.02507), pictures are better and cheaper. */
    int uncond_depth;
    const char *uncond_depths, *uncond_layers;
    /* What makes pictures of the last map: "full", or "preview", the model's small decoder (E_MODEL where it has none).
     * NULL: full, but for pictures that `preview` alone sees: those come from the small one where there is one. */
    const char *decoder;
    /* "preview" must be the one of this hash (variant_settings_request), else E_MODEL; NULL: any */
    const char *decoder_hash;
    /* keep every layer's keys and values to the end (default: released after its last scale) */
    bool retain_kv;
    bool keep_scales; /* also return the picture after each scale */
    /* after each scale; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, const variant_progress *at);
    /* receives each picture after each scale, for the decoder's time each (see `decoder`); NULL */
    void (*preview)(void *user, const variant_preview *at);
    /* asked before pictures are decoded for `preview` alone: is anybody going to look after `scale` scales? NULL: always.
     * Finished pictures come in any case */
    bool (*previews)(void *user, int scale);
    void *user;
    /* stops with E_STOPPED before the next scale once it is not 0; another thread may set it, atomically; NULL */
    const int *cancel;
} variant_request;

/* class "random", count 1, seed 0, cfg_scale 1.5, top_k 900, top_p 0.96, full depth, guidance as the model says. */
VARIANT_SIZED(variant_request);

typedef struct variant_report {
    size_t size;              /* variant_report_init sets it */
    double condition_seconds; /* AdaLN vectors, once a batch */
    double transformer_seconds, sampling_seconds, quantizer_seconds, decoder_seconds;
    double total_seconds;
    int scales;
    double scale_seconds[VARIANT_MAX_SCALES];      /* transformer, summed over batches ... */
    double scale_head_seconds[VARIANT_MAX_SCALES]; /* ... and what of it the head took */
    int scale_layers[VARIANT_MAX_SCALES];          /* layers run */
    /* held at the end of the scale, for the largest batch */
    size_t scale_kv_bytes[VARIANT_MAX_SCALES];
    size_t kv_peak_bytes, kv_end_bytes;  /* for the largest batch */
    size_t arena_peak_bytes;             /* activations */
    size_t peak_resident_bytes;          /* of the whole process so far */
    char depths[VARIANT_MAX_SCALES * 4]; /* "8,8,8,4,4,4" */
    /* of guidance's unconditional branch, likewise; 0: a scale that it does not run; "": no guidance */
    char uncond_depths[VARIANT_MAX_SCALES * 4];
    char warning[256]; /* "" or one line for the user */
} variant_report;
/* All 0. */
VARIANT_SIZED(variant_report);

/* Makes request->count pictures; *pictures is an array to free with variant_pictures_free.
 * report may be NULL. Threads: any. */
variant_status variant_generate(const variant_engine *engine, const variant_request *request,
                                variant_picture **pictures, variant_report *report,
                                variant_error *error);

/* What a request takes, to the byte and without computing it: weights, activations of its largest batch, keys and values at
 * their most; and pictures. Of pictures to edit only the sizes are asked (pixels and masks may be NULL: all of a mask is
 * taken for drawn); what the caller holds of them comes on top. */
typedef struct variant_memory {
    size_t size;            /* variant_memory_init sets it */
    size_t weights, mapped; /* as in variant_info */
    size_t arena, kv;
    size_t edits;    /* what pictures to edit are copied into, masks and seams, at their most */
    size_t pictures; /* finished ones, all of request.count */
} variant_memory;
/* All 0. */
VARIANT_SIZED(variant_memory);

/* Threads: any. */
variant_status variant_request_memory(const variant_engine *engine, const variant_request *request,
                                      variant_memory *memory, variant_error *error);

VARIANT_END

#endif
