/* tools.h - what the commands around a model share: parsing options, opening a model, pictures as
 * floats.
 *
 * Included by the commands' files alone. generate and train need only cli.h and parse.h. */
#ifndef VT_CLI_TOOLS_H
#define VT_CLI_TOOLS_H

#include "cli.h"
#include "core/arena.h"
#include "engine/model.h"
#include "io/image.h"
#include "parse.h"

/* ---- options ---- */

/* Options that several commands have; a command's own ids count up from CLI_OWN. */
enum {
    CLI_TOKENIZER = 256,
    CLI_SIDES,
    CLI_HEADS,
    CLI_BACKEND,
    CLI_JSON,
    CLI_TYPE,
    CLI_PAD,
    CLI_WEIGHTS,
    CLI_KV,
    CLI_PART,
    CLI_FILE_QUALITY,
    CLI_OWN = 300
};

#define CLI_MODEL_OPTIONS                                                                          \
    {"model", required_argument, NULL, 'm'},                                                       \
        {"tokenizer", required_argument, NULL, CLI_TOKENIZER},                                     \
        {"sides", required_argument, NULL, CLI_SIDES},                                             \
        {"part", required_argument, NULL, CLI_PART}, {                                             \
        "heads", required_argument, NULL, CLI_HEADS                                                \
    }
#define CLI_PRECISION_OPTIONS                                                                      \
    {"weights", required_argument, NULL, CLI_WEIGHTS}, {                                           \
        "kv", required_argument, NULL, CLI_KV                                                      \
    }
#define CLI_FILE_QUALITY_OPTION                                                                    \
    { "file-quality", required_argument, NULL, CLI_FILE_QUALITY }
/* Of commands that run the tokenizer alone. */
#define CLI_WEIGHTS_OPTION                                                                         \
    { "weights", required_argument, NULL, CLI_WEIGHTS }
#define CLI_RUN_OPTIONS                                                                            \
    {"threads", required_argument, NULL, 't'}, {"backend", required_argument, NULL, CLI_BACKEND},  \
        {"help", no_argument, NULL, 'h'}, {                                                        \
        NULL, 0, NULL, 0                                                                           \
    }

#define CLI_MODEL_HELP                                                                             \
    "  -m, --model PATH       a file, or a folder that holds tokenizer and transformer\n"          \
    "      --tokenizer FILE   the tokenizer, when it is not in MODEL\n"                            \
    "      --sides 1,2,3      sides of the scales, where no file tells them\n"                     \
    "      --heads N          attention heads, where no file tells them\n" CLI_PART_HELP
#define CLI_PRECISION_HELP                                                                         \
    "      --weights TYPE     f32 (default, exact), bf16 (half the memory, fast) or int8 (a "      \
    "quarter)\n"                                                                                   \
    "      --kv TYPE          of keys and values: f32, bf16 or int8 (default: f32 with f32 "       \
    "weights, else bf16)\n"
#define CLI_WEIGHTS_HELP                                                                           \
    "      --weights TYPE     f32 (default, exact) or bf16 (half the memory, fast); int8 means "   \
    "bf16 "                                                                                        \
    "here\n"
#define CLI_RUN_HELP                                                                               \
    "  -t, --threads N        1 to 1024 (default: one a processor)\n"                              \
    "      --backend NAME     cpu (default) or ref, the slow plain-C definition\n"                 \
    "  -h, --help             this text\n"

/* What these options say. */
typedef struct cli_model {
    const char *model, *tokenizer, *sides, *backend;
    const char *weights, *kv, *part;
    int heads, threads;
    const char *output; /* -o */
    int file_quality;   /* of pictures */
    bool json, pad;
    bool any_numbers; /* NaN among weights is no error: inspect looks at such models */
    vt_dtype type;    /* --type, VT_F32 */
} cli_model;

/* One option of the table. Returns 1: taken; 0: its value is not valid; -1: not one of these. */
int cli_model_option(cli_model *options, int id, const char *text);

/* ---- a model at work ---- */

typedef struct cli_session {
    vt_kern *kern;
    vt_model *model;
    vt_arena arena;
    void *memory;
    size_t memory_bytes;
} cli_session;

variant_status cli_session_open(cli_session *out, const cli_model *options, bool need_tokenizer,
                                bool need_transformer, variant_error *err);
void cli_session_close(cli_session *session);

/* Pictures to work on at a time, so that memory stays moderate. */
int cli_picture_batch(const vt_tokenizer_config *config);

/* ---- pictures ---- */

/* Bytes of floats (side, side, channels), clamped. */
variant_status cli_picture_image(vt_image *out, const float *values,
                                 const vt_tokenizer_config *config, variant_error *err);
/* n pictures (n, side, side, channels), host memory, to tokens (n, L), host memory. */
variant_status cli_encode_pictures(cli_session *session, int n, const float *pictures,
                                   int32_t *tokens, variant_error *err);
/* tokens (n, L) to pictures (n, side, side, channels), not clamped. */
variant_status cli_decode_tokens(cli_session *session, int n, const int32_t *tokens,
                                 float *pictures, variant_error *err);

#endif
