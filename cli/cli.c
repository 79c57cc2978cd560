/* cli.c - complaints, numbers and option parsing of every command. */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

int cli_fail(const char *command, const variant_error *err) {
    const char *message = err->message[0] ? err->message : variant_status_sentence(err->status);
    fprintf(stderr, "variant %s: %s\n", command, message);
    return 1;
}

int cli_usage(const char *command, const char *format, ...) {
    fprintf(stderr, "variant %s: ", command);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (variant %s --help shows the options)\n", command);
    return 2;
}

static volatile sig_atomic_t stop_signal;

static void on_stop(int number) {
    stop_signal = number;
}

const volatile sig_atomic_t *cli_catch_stop(void) {
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_signal;
}

bool cli_int(const char *text, long low, long high, int *out) {
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < low || value > high) return false;
    *out = (int)value;
    return true;
}

bool cli_threads(const char *text, int *out) {
    if (!cli_int(text, 1, 1024, out)) return false;
    omp_set_num_threads(*out);
    return true;
}

bool cli_u64(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') return false; /* strtoull takes signs and blanks */
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0) return false;
    *out = value;
    return true;
}

bool cli_double(const char *text, double low, double high, double *out) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) return false;
    *out = value;
    return true;
}

bool cli_bytes(const char *text, size_t *out) {
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},         {"B", 1},         {"K", 1e3},         {"KB", 1e3},
                 {"M", 1e6},      {"MB", 1e6},      {"G", 1e9},         {"GB", 1e9},
                 {"KiB", 1024.0}, {"MiB", 1048576}, {"GiB", 1073741824}};
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; ++i) {
        if (strcmp(end, units[i].name) != 0) continue;
        value *= units[i].bytes;
        if (!(value >= 1.0 && value <= 1e15)) return false;
        *out = (size_t)value;
        return true;
    }
    return false;
}

bool cli_seconds(const char *text, double *out) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text) return false;
    if (strcmp(end, "ms") == 0)
        value /= 1e3;
    else if (*end != '\0' && strcmp(end, "s") != 0)
        return false;
    if (!(value > 0.0 && value <= 1e6)) return false;
    *out = value;
    return true;
}

bool cli_is_number_type(const char *text) {
    return strcmp(text, "f32") == 0 || strcmp(text, "bf16") == 0 || strcmp(text, "int8") == 0;
}

/* ---- options ---- */

static bool read_type(const char *text, vt_dtype *type) {
    static const struct {
        const char *name;
        vt_dtype type;
    } types[] = {{"f32", VT_F32}, {"f16", VT_F16}, {"bf16", VT_BF16}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; ++i) {
        if (strcmp(text, types[i].name) != 0) continue;
        *type = types[i].type;
        return true;
    }
    return false;
}

int cli_model_option(cli_model *options, int id, const char *text) {
    switch (id) {
    case 'm':
        options->model = text;
        return 1;
    case 'o':
        options->output = text;
        return 1;
    case 't':
        return cli_threads(text, &options->threads);
    case CLI_TOKENIZER:
        options->tokenizer = text;
        return 1;
    case CLI_SIDES:
        options->sides = text;
        return 1;
    case CLI_HEADS:
        return cli_int(text, 1, 1024, &options->heads);
    case CLI_BACKEND:
        options->backend = text;
        return strcmp(text, "cpu") == 0 || strcmp(text, "ref") == 0;
    case CLI_TYPE:
        return read_type(text, &options->type);
    case CLI_JSON:
        options->json = true;
        return 1;
    case CLI_WEIGHTS:
        options->weights = text;
        return cli_is_number_type(text);
    case CLI_KV:
        options->kv = text;
        return cli_is_number_type(text);
    case CLI_PAD:
        options->pad = true;
        return 1;
    default:
        return -1;
    }
}

static const char *option_name(const struct option *options, int id) {
    for (; options->name; ++options) {
        if (options->val == id) return options->name;
    }
    return "?";
}

int cli_parse(const cli_parser *parser, int argc, char **argv) {
    opterr = 0;
    optind = 1;
    for (;;) {
        int id = getopt_long(argc, argv, parser->letters, parser->options, NULL);
        if (id == -1) return -1;
        if (id == 'h') {
            fputs(parser->help, stdout);
            return 0;
        }
        if (id == '?') {
            if (optopt > 0 && optopt < 256)
                return cli_usage(parser->command, "unknown option -%c", optopt);
            return cli_usage(parser->command, "unknown option %s", argv[optind - 1]);
        }
        if (id == ':') return cli_usage(parser->command, "%s needs a value", argv[optind - 1]);
        if (!parser->accept(parser->user, id, optarg))
            return cli_usage(parser->command, "--%s %s: not a valid value",
                             option_name(parser->options, id), optarg ? optarg : "");
    }
}
