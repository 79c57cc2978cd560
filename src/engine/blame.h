/* blame.h - where numbers stopped being numbers. Asked only once some have: looking costs nothing before.
 * Private to engine/. */
#ifndef VT_ENGINE_BLAME_H
#define VT_ENGINE_BLAME_H

#include "engine/session.h"

/* The logits of scale k (from 0) are not all finite: E_MODEL, which names the first of what they were made from, in
 * the order it was made, that is not either. The session is as the step left it. */
variant_status vt_blame_logits(const vt_session *session, const vt_transformer_config *config,
                               const vt_schedule *schedule, const vt_condition *condition, int k,
                               variant_error *err);
/* The decoder's pictures are not all finite; scale: after which of them they were decoded, from 0. */
variant_status vt_blame_picture(const vt_session *session, const vt_tokenizer_config *config,
                                int scale, variant_error *err);

#endif
