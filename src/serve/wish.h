/* wish.h - what somebody asks for, read from JSON: a request of the library, and how its pictures are to be handed over. */
#ifndef VT_SERVE_WISH_H
#define VT_SERVE_WISH_H

#include "serve/edit.h"
#include "serve/fields.h"

enum { SV_MOST_PICTURES = 10, SV_MOST_PARTIALS = 3 };

/* What "low", "medium", "high" and "auto" mean. */
enum { SV_LOW, SV_MEDIUM, SV_HIGH, SV_AUTO, SV_QUALITIES };
extern const char *const sv_quality_names[SV_QUALITIES];

/* What wishes are read for: the model, and schedules of the qualities. */
typedef struct sv_wish_context {
    const variant_engine *engine;
    variant_info info;
    int batch;                  /* pictures at a time, at most */
    double deadline;            /* of a request that names none, and the most; seconds */
    bool planned[SV_QUALITIES]; /* "auto" is what a request is that says nothing */
    variant_plan plans[SV_QUALITIES];
} sv_wish_context;

typedef struct sv_wish {
    variant_request request; /* points into what follows */
    cJSON *json;             /* as it was asked; owned */
    char depths[VARIANT_MAX_SCALES * 6];
    float cfg_scales[VARIANT_MAX_SCALES];
    int32_t labels[SV_MOST_PICTURES]; /* of pictures that are refined ... */
    int32_t *tokens;                  /* ... and their token maps: (count, L); owned */
    sv_edit
        edit; /* request.edits points to it, where there is one; its pixels are owned until the request has begun */
    int quality;
    const char *format; /* "png" or "jpeg" */
    int compression;    /* 1 to 100, of a JPEG; 0: its default */
    bool url;           /* an address instead of the picture itself */
    bool stream;
    int partials;       /* pictures on the way, of a stream */
    double deadline;    /* seconds */
    bool depth_chosen;  /* by the one who asks, and not by a quality */
    bool auto_depth;    /* nothing of it was said: the server may choose */
    double max_latency; /* seconds from its arrival that choose the depth; 0: none */
    double expected;    /* seconds that were foretold of it then */
    char why[256];      /* the depth is what it is */
    char layers[32];    /* request.layers, and of the unconditional branch */
} sv_wish;

/* Reads body members: takes json, and the edit's pixels, in any case. edit: the picture to change, or NULL. from: a wish whose settings hold where json says nothing, but for its classes,
 * which whoever refines puts in; or NULL. The wish must not be moved afterwards. */
bool sv_wish_read(sv_wish *out, const sv_wish_context *context, const sv_wish *from,
                  const sv_edit *edit, cJSON *json, sv_fault *fault);
/* Puts a schedule into it, and why. */
void sv_wish_take_plan(sv_wish *wish, const variant_plan *plan, const char *why);
void sv_wish_free(sv_wish *wish);
/* After how many scales partial picture `index` is shown: from 1 to scales - 1. */
int sv_partial_scale(const sv_wish *wish, int scales, int index);

#endif
