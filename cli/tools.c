/* tools.c - opening a model for a command, and pictures between files, floats and tokens. */
#include "tools.h"
#include "values.h"

/* ---- options ---- */

static bool read_type(void *owner, const char *text) {
    static const vt_dtype types[] = {VT_F32, VT_F16, VT_BF16};
    int place = cli_word(text, "f32|f16|bf16");
    if (place >= 0) ((cli_tensors_out *)owner)->type = types[place];
    return place >= 0;
}

const cli_option cli_tensors_out_options[] = {
    {"output", "FILE", "the safetensors file", .letter = 'o',
     CLI_TEXT(cli_tensors_out, path, "where to write"), .own = true},
    {"type", "T", "of weights: {words}; vectors stay f32", .words = "f32|f16|bf16",
     .read = read_type, .unset = "f32"},
    {0},
};

/* ---- a model at work ---- */

vt_model_options cli_model_options(const variant_engine_options *engine) {
    vt_model_options model;
    vt_model_options_init(&model);
    model.model = engine->model;
    model.tokenizer = engine->tokenizer;
    model.sides = engine->sides;
    model.heads = engine->heads;
    model.part = engine->part;
    model.warn = cli_warn;
    return model;
}

variant_status cli_session_open_model(cli_session *out, const variant_engine_options *options,
                                      vt_model_options *model, variant_error *err) {
    *out = (cli_session){0};
    variant_status status = VARIANT_OK;
    model->any_weights = !options->weights;
    if (options->weights)
        CLI_TRY(vt_number_parse(&model->weights, "--weights", options->weights, err));
    CLI_CHECK(vt_kern_open(&out->kern, options->backend, options->threads, err));
    CLI_CHECK(vt_model_open(&out->model, out->kern, model, err));
    out->codec = (vt_codec){.kern = out->kern, .model = out->model};
cleanup:
    if (status != VARIANT_OK) cli_session_close(out);
    return status;
}

variant_status cli_session_open(cli_session *out, const variant_engine_options *options,
                                bool need_tokenizer, variant_error *err) {
    vt_model_options model = cli_model_options(options);
    model.need_tokenizer = need_tokenizer;
    model.need_transformer = false;
    return cli_session_open_model(out, options, &model, err);
}

variant_status cli_session_decoder(cli_session *session, const char *decoder, variant_error *err) {
    return vt_codec_choose(&session->codec, decoder, err);
}

void cli_session_close(cli_session *session) {
    vt_codec_close(&session->codec);
    vt_model_close(&session->model);
    vt_kern_close(&session->kern);
    *session = (cli_session){0};
}

variant_status cli_encode_pictures(cli_session *session, int n, const float *pictures,
                                   int32_t *tokens, variant_error *err) {
    return vt_codec_encode(&session->codec, n, pictures, tokens, err);
}

variant_status cli_decode_tokens(cli_session *session, int n, const int32_t *tokens,
                                 float *pictures, variant_error *err) {
    return vt_codec_decode(&session->codec, n, tokens, pictures, err);
}
