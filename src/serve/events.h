/* events.h - what happens to a job, as server-sent events: the images API's partial pictures, and all there is to know of a job. */
#ifndef VT_SERVE_EVENTS_H
#define VT_SERVE_EVENTS_H

#include "serve/http.h"

/* Pieces for sv_stream: image_generation.partial_image and .completed (or image_edit. of an edit). */
char *sv_next_image_event(sv_call *call, bool *end);
/* progress, preview, and completed, failed or cancelled. */
char *sv_next_job_event(sv_call *call, bool *end);
/* State, place, scale, and once completed the pictures (where they are wanted). */
cJSON *sv_job_json(sv_call *call, sv_job *job, bool pictures);

#endif
