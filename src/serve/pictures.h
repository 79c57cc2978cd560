/* pictures.h - finished pictures and previews as answers hold them. */
#ifndef VT_SERVE_PICTURES_H
#define VT_SERVE_PICTURES_H

#include "serve/http.h"

/* Base64 of a picture's file, in the wish's format; NULL: no memory. settings: what made it is inside. */
char *sv_picture_base64(const sv_wish *wish, const variant_picture *picture);
/* The members that the images API gives to each picture: b64_json or url, and what made it. */
cJSON *sv_picture_json(sv_call *call, const sv_job *job, int index);
/* A copy of a preview that is newer than `after` scales, its pixels to be freed: false where there is none. slot: of the
 * job's. Takes the lock. */
bool sv_preview_copy(sv_job *job, int picture, int slot, int after, variant_picture *out,
                     int *scale);
/* What was used: seed, depth and why, guidance. */
cJSON *sv_settings_json(const sv_job *job);
/* size, quality, background, output_format: of the whole answer, and of every event. */
void sv_add_form(cJSON *json, const sv_job *job);
/* Tokens drawn are the nearest there is to what this field counts elsewhere. */
cJSON *sv_usage_json(const sv_job *job);

#endif
