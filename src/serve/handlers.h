/* handlers.h - what answers requests, a group a file. */
#ifndef VT_SERVE_HANDLERS_H
#define VT_SERVE_HANDLERS_H

#include "serve/http.h"

/* images.c: the images API */
void sv_images_generate(sv_call *call);
void sv_images_edit(sv_call *call);
/* The picture, mask and other members of a body, decoded; edit->bytes are counted in server->inbox. False: nothing is held. */
bool sv_images_read_edit(sv_call *call, sv_edit *edit, cJSON **json, sv_fault *fault);

/* page.c: the page at / and its parts */
void sv_page(sv_call *call);
void sv_page_part(sv_call *call);

/* jobs.c */
void sv_jobs_create(sv_call *call);
void sv_jobs_edit(sv_call *call);
void sv_jobs_show(sv_call *call);
void sv_jobs_cancel(sv_call *call);
void sv_jobs_refine(sv_call *call);
void sv_jobs_events(sv_call *call);
void sv_jobs_image(sv_call *call);

/* about.c: the model, plans, the state of the server */
void sv_models_list(sv_call *call);
void sv_models_show(sv_call *call);
void sv_model_show(sv_call *call);
void sv_plan_show(sv_call *call);
void sv_schedules_show(sv_call *call);
void sv_health(sv_call *call);
void sv_ready(sv_call *call);
void sv_metrics_show(sv_call *call);
void sv_openapi(sv_call *call);
/* src/serve/openapi.json, put into the program by the build; NUL-terminated. */
extern const char sv_openapi_text[];

#endif
