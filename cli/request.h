/* request.h - the options of an engine and of a request to it, for every command that opens a model: their rows, and what
 * of them goes together. A command's table includes those it takes, by name. */
#ifndef VT_CLI_REQUEST_H
#define VT_CLI_REQUEST_H

#include "cli.h"

/* Of variant_engine_options, as cli_engine_init leaves them. */
extern const cli_option cli_engine_options[];
#define CLI_MODEL "model tokenizer sides heads part no-verify"
#define CLI_PRECISION "weights kv"
#define CLI_RUN "threads backend"

typedef struct cli_request {
    variant_engine_options engine;
    variant_request request;
    bool drawn_seed;                      /* -s -1 */
    float cfg_scales[VARIANT_MAX_SCALES]; /* request.cfg_scales points at them */
    char classes[4096]; /* of several --class, a line each; request.class_name points at them */
} cli_request;

/* Of cli_request, but for its engine. */
extern const cli_option cli_request_options[];
#define CLI_GUIDANCE "cfg-scale cfg-scales cfg-late uncond-depth uncond-depths uncond-layers"
#define CLI_SAMPLING "seed top-k top-p greedy smooth"
#define CLI_DEPTH "depth bridge depths layers"

/* Of one const char *: --decoder, as variant_request has it. */
extern const cli_option cli_decoder_option[];

/* Of one bool: --json. */
extern const cli_option cli_json_option[];
/* Of one const char *: --arch, a published shape or a configuration. */
extern const cli_option cli_arch_option[];

/* Does a value of --decoder, or none, ask for the small one? */
bool cli_decoder_is_preview(const char *decoder);

/* Defaults. */
void cli_engine_init(variant_engine_options *engine);
void cli_request_init(cli_request *request);
/* -1 where a model is named, else the exit status, after a complaint. */
int cli_model_check(const variant_engine_options *engine);
/* Likewise of a command whose operand may be the model. */
int cli_model_operand(variant_engine_options *engine, const cli_line *line);
/* -1 where its options go together, else the exit status, after a complaint. */
int cli_request_check(const cli_request *request, const cli_line *line);

#endif
