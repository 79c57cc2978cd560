/* request.h - the options of a request and of the engine that answers it, for the commands that generate:
 * names, help and parsing in one place, so that every command takes them alike. */
#ifndef VT_CLI_REQUEST_H
#define VT_CLI_REQUEST_H

#include <getopt.h>

#include "cli.h"

enum {
    CLI_REQUEST = 400, /* the first of these ids */
    CLI_REQUEST_TOKENIZER = CLI_REQUEST,
    CLI_REQUEST_SIDES,
    CLI_REQUEST_HEADS,
    CLI_REQUEST_PART,
    CLI_REQUEST_CLASS,
    CLI_REQUEST_CFG,
    CLI_REQUEST_TOP_K,
    CLI_REQUEST_TOP_P,
    CLI_REQUEST_GREEDY,
    CLI_REQUEST_SMOOTH,
    CLI_REQUEST_DEPTH,
    CLI_REQUEST_BRIDGE,
    CLI_REQUEST_DEPTHS,
    CLI_REQUEST_LAYERS,
    CLI_REQUEST_RETAIN,
    CLI_REQUEST_BATCH,
    CLI_REQUEST_BACKEND,
    CLI_REQUEST_WEIGHTS,
    CLI_REQUEST_KV
};

/* Rows of an option table; the letters are m: n: s: t:. */
#define CLI_REQUEST_OPTIONS                                                                        \
    {"model", required_argument, NULL, 'm'},                                                       \
        {"tokenizer", required_argument, NULL, CLI_REQUEST_TOKENIZER},                             \
        {"sides", required_argument, NULL, CLI_REQUEST_SIDES},                                     \
        {"heads", required_argument, NULL, CLI_REQUEST_HEADS},                                     \
        {"part", required_argument, NULL, CLI_REQUEST_PART},                                       \
        {"class", required_argument, NULL, CLI_REQUEST_CLASS},                                     \
        {"count", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'},           \
        {"cfg-scale", required_argument, NULL, CLI_REQUEST_CFG},                                   \
        {"top-k", required_argument, NULL, CLI_REQUEST_TOP_K},                                     \
        {"top-p", required_argument, NULL, CLI_REQUEST_TOP_P},                                     \
        {"greedy", no_argument, NULL, CLI_REQUEST_GREEDY},                                         \
        {"smooth", no_argument, NULL, CLI_REQUEST_SMOOTH},                                         \
        {"depth", required_argument, NULL, CLI_REQUEST_DEPTH},                                     \
        {"bridge", required_argument, NULL, CLI_REQUEST_BRIDGE},                                   \
        {"depths", required_argument, NULL, CLI_REQUEST_DEPTHS},                                   \
        {"layers", required_argument, NULL, CLI_REQUEST_LAYERS},                                   \
        {"retain-kv", no_argument, NULL, CLI_REQUEST_RETAIN},                                      \
        {"batch", required_argument, NULL, CLI_REQUEST_BATCH},                                     \
        {"threads", required_argument, NULL, 't'},                                                 \
        {"backend", required_argument, NULL, CLI_REQUEST_BACKEND},                                 \
        {"weights", required_argument, NULL, CLI_REQUEST_WEIGHTS}, {                               \
        "kv", required_argument, NULL, CLI_REQUEST_KV                                              \
    }

#define CLI_REQUEST_MODEL_HELP                                                                     \
    "model\n"                                                                                      \
    "  -m, --model PATH       a file, or a folder that holds tokenizer and transformer\n"          \
    "      --tokenizer FILE   the tokenizer, when it is not in MODEL\n"                            \
    "      --sides 1,2,3      sides of the scales, where no file tells them\n"                     \
    "      --heads N          attention heads, 1 to 1024, where no file tells\n" CLI_PART_HELP
#define CLI_REQUEST_SAMPLING_HELP                                                                  \
    "sampling\n"                                                                                   \
    "  -s, --seed S           0 to 2^64 - 1 (default 0), or -1: a random one, which is printed.\n" \
    "                         Same seed, same bytes, whatever --threads and --batch\n"             \
    "      --cfg-scale T      classifier-free guidance, 0 (off) to 100 (default 1.5)\n"            \
    "      --top-k K          0 (off) or more (default 900)\n"                                     \
    "      --top-p P          0 (off) to 1 (default 0.96)\n"                                       \
    "      --greedy           always the most likely token; not with --smooth\n"                   \
    "      --smooth           mix codes by Gumbel softmax: smoother, less diverse\n"
#define CLI_REQUEST_DEPTH_HELP                                                                     \
    "depth\n"                                                                                      \
    "      --depth D          layers of the late scales, 1 to the model's; 0 (default): all\n"     \
    "      --bridge N         scales at full depth before them, 0 to all (default: as trained)\n"  \
    "      --depths LIST      layers of every scale, such as 16,16,8,8\n"                          \
    "      --layers WHICH     equidistant, rounded or prefix (default: as trained), a list\n"      \
    "                         0,3,7, or one list a scale: \"0-7;0-7;0,3,7\"\n"
#define CLI_REQUEST_RUN_HELP                                                                       \
    "running\n"                                                                                    \
    "      --batch N          pictures at a time, 1 to 4096 (default 8)\n"                         \
    "      --weights TYPE     f32 (default, exact), bf16 (half the memory, fast) or int8 (a "      \
    "quarter)\n"                                                                                   \
    "      --kv TYPE          of keys and values: f32, bf16 or int8 (default: f32 with f32 "       \
    "weights, else bf16)\n"                                                                        \
    "  -t, --threads N        1 to 1024 (default: one a processor)\n"                              \
    "      --backend NAME     cpu (default) or ref\n"

typedef struct cli_request {
    variant_engine_options engine;
    variant_request request;
    bool drawn_seed;    /* -s -1 */
    char classes[4096]; /* of several --class, a line each; request.class_name points at them */
} cli_request;

/* Defaults of both. */
void cli_request_init(cli_request *request);
/* One option of the table. Returns 1: taken; 0: its value is not valid; -1: not one of these. */
int cli_request_option(cli_request *request, int id, const char *text);
/* -1 where its options go together, else the exit status, after a complaint. */
int cli_request_check(const cli_request *request, const char *command);

#endif
