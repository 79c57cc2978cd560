/* request.h - a request with every choice made: labels, layers of each branch, sizes. Private to engine/. */
#ifndef VT_ENGINE_REQUEST_H
#define VT_ENGINE_REQUEST_H

#include "engine/branches.h"
#include "engine/edit.h"
#include "engine/engine.h"
#include "engine/loop.h"

typedef struct vt_choices {
    const variant_engine *engine;
    variant_request
        request; /* its numbers, callbacks and cancel flag: what it points to otherwise is read already */
    const vt_transformer_config *config;
    vt_branches branches;       /* layers and guidance */
    int32_t *labels;            /* (count), owned */
    int32_t *given;             /* (request.given_count, L), owned; NULL */
    vt_edit *edits;             /* (request.edit_count), owned; NULL */
    int scales;                 /* that are drawn */
    int batch;                  /* pictures at a time */
    bool sizes_only;            /* edits are measured, not made */
    vt_decoder decoder;         /* of pictures */
    vt_decoder preview_decoder; /* of what the preview callback alone sees */
    char warning[256];
} vt_choices;

/* E_ARGUMENT with one line where the request is not valid for this model; free in any case. */
variant_status vt_choices_make(vt_choices *out, const variant_engine *engine,
                               const variant_request *request, variant_error *err);
/* The same for measuring alone: of pictures to edit it has the sizes (vt_edit_measure). */
variant_status vt_choices_measure(vt_choices *out, const variant_engine *engine,
                                  const variant_request *request, variant_error *err);
void vt_choices_free(vt_choices *choices);
/* A report in which nothing has happened yet. */
void vt_choices_report(const vt_choices *choices, variant_report *report);
/* Picture `index` of the request as it joins a loop; the choices must outlive it. */
vt_join vt_choices_join(const vt_choices *choices, int index);

/* What picture `index` of the request is drawn into; NULL: nothing. */
const vt_edit *vt_choices_edit(const vt_choices *choices, int index);

vt_loop_parts vt_engine_parts(const variant_engine *engine);

#endif
