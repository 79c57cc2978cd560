/* tools.h - what the commands around a model share: opening one, pictures as floats, and the file they write.
 *
 * Included by the commands' files alone. */
#ifndef VT_CLI_TOOLS_H
#define VT_CLI_TOOLS_H

#include "cli.h"
#include "engine/codec.h"
#include "request.h"

/* A safetensors file that a command writes. */
typedef struct cli_tensors_out {
    const char *path;
    vt_dtype type; /* of weights */
} cli_tensors_out;

/* Of cli_tensors_out: --output and --type. */
extern const cli_option cli_tensors_out_options[];

/* ---- a model at work ---- */

typedef struct cli_session {
    vt_kern *kern;
    vt_model *model;
    vt_codec codec; /* of the two above */
} cli_session;

/* What of an engine's options a model is opened with; both parts needed, weights f32 whatever those say. */
vt_model_options cli_model_options(const variant_engine_options *engine);

/* Without the options' weights those of the model's options, but of a packed file its own. */
variant_status cli_session_open_model(cli_session *out, const variant_engine_options *options,
                                      vt_model_options *model, variant_error *err);
/* A tokenizer that is needed and not there is an error. */
variant_status cli_session_open(cli_session *out, const variant_engine_options *options,
                                bool need_tokenizer, variant_error *err);
/* Before the first picture: which decoder, as --decoder names it or NULL. E_MODEL: there is none. */
variant_status cli_session_decoder(cli_session *session, const char *decoder, variant_error *err);
void cli_session_close(cli_session *session);

/* ---- pictures ---- */

/* n pictures (n, side, side, channels), host memory, to tokens (n, L), host memory. */
variant_status cli_encode_pictures(cli_session *session, int n, const float *pictures,
                                   int32_t *tokens, variant_error *err);
/* tokens (n, L) to pictures (n, side, side, channels), not clamped. */
variant_status cli_decode_tokens(cli_session *session, int n, const int32_t *tokens,
                                 float *pictures, variant_error *err);

#endif
