/* request.c - see request.h. */
#include "request.h"

#include <stdio.h>
#include <string.h>

void cli_request_init(cli_request *request) {
    request->classes[0] = '\0';
    request->drawn_seed = false;
    variant_engine_options_init(&request->engine);
    request->engine.warn = cli_warn;
    variant_request_init(&request->request);
}

/* Several are a list: a line each, as names may have commas. */
static bool add_class(cli_request *r, const char *text) {
    size_t used = strlen(r->classes), size = sizeof r->classes - used;
    if (!*text)
        return cli_refuse(
            "expected a class's number or name, several between commas, random, all or uncond");
    if ((size_t)snprintf(r->classes + used, size, "%s%s", used ? "\n" : "", text) >= size)
        return cli_refuse("expected at most %zu letters in all classes", sizeof r->classes - 1);
    r->request.class_name = r->classes;
    return true;
}

static int float_of(float *out, const char *text, double high) {
    double number;
    if (!cli_double(text, 0, high, &number)) return 0;
    *out = (float)number;
    return 1;
}

static int flag(bool *out) {
    *out = true;
    return 1;
}

static int engine_option(variant_engine_options *engine, int id, const char *text) {
    switch (id) {
    case 'm':
        return cli_text(text, "a model's file or folder", &engine->model);
    case CLI_REQUEST_TOKENIZER:
        return cli_text(text, "a tokenizer's file", &engine->tokenizer);
    case CLI_REQUEST_SIDES:
        return cli_sides(text, &engine->sides);
    case CLI_REQUEST_HEADS:
        return cli_int(text, 1, 1024, &engine->heads);
    case CLI_REQUEST_PART:
        return cli_text(text, "the name of a state dict, such as ema or model", &engine->part);
    case 't':
        return cli_threads(text, &engine->threads);
    case CLI_REQUEST_BACKEND:
        engine->backend = text;
        return cli_word(text, "cpu|ref") >= 0;
    case CLI_REQUEST_WEIGHTS:
        engine->weights = text;
        return cli_is_number_type(text);
    case CLI_REQUEST_KV:
        engine->kv = text;
        return cli_is_number_type(text);
    }
    return -1;
}

int cli_request_option(cli_request *r, int id, const char *text) {
    variant_request *request = &r->request;
    int depths[VARIANT_MAX_SCALES], count = 0; /* only to see that they are numbers */
    switch (id) {
    case CLI_REQUEST_CLASS:
        return add_class(r, text);
    case 'n':
        return cli_int(text, 1, 1000000, &request->count);
    case 's':
        r->drawn_seed = *text < '0' || *text > '9';
        return cli_seed(text, &request->seed);
    case CLI_REQUEST_CFG:
        return float_of(&request->cfg_scale, text, 100);
    case CLI_REQUEST_TOP_K:
        return cli_int(text, 0, 1 << 24, &request->top_k);
    case CLI_REQUEST_TOP_P:
        return float_of(&request->top_p, text, 1);
    case CLI_REQUEST_GREEDY:
        return flag(&request->greedy);
    case CLI_REQUEST_SMOOTH:
        return flag(&request->smooth);
    case CLI_REQUEST_DEPTH:
        return cli_int(text, 0, 1000, &request->depth);
    case CLI_REQUEST_BRIDGE:
        return cli_int(text, 0, 1000, &request->bridge);
    case CLI_REQUEST_DEPTHS:
        request->depths = text;
        return cli_ints(text, 1, 1000, VARIANT_MAX_SCALES, depths, &count);
    case CLI_REQUEST_LAYERS:
        return cli_text(text,
                        "equidistant, rounded, prefix, a list such as 0,3,5-7, or one a scale",
                        &request->layers);
    case CLI_REQUEST_RETAIN:
        return flag(&request->retain_kv);
    case CLI_REQUEST_BATCH:
        return cli_int(text, 1, 4096, &request->batch);
    }
    return engine_option(&r->engine, id, text);
}

int cli_request_check(const cli_request *r, const char *command) {
    const variant_request *request = &r->request;
    if (request->greedy && request->smooth)
        return cli_usage(command,
                         "--greedy takes the most likely code, --smooth mixes several: give "
                         "one of them");
    if (request->depths && (request->depth || request->bridge >= 0))
        return cli_usage(command, "--depths says every scale's depth: give no --depth or --bridge "
                                  "with it");
    return -1;
}
