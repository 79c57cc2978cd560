/* serve.c - `variant serve`: a model behind HTTP (src/serve). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "request.h"
#include "serve/serve.h"
#include "values.h"

typedef struct settings {
    vt_serve_options serve;
    char name[128];
} settings;

static void init(void *user) {
    settings *s = user;
    vt_serve_options_init(&s->serve);
    cli_engine_init(&s->serve.engine);
}

/* A request may name no less. */
static bool read_deadline(void *user, const char *text) {
    settings *s = user;
    if (!cli_seconds(text, &s->serve.deadline)) return false;
    return s->serve.deadline >= VT_SERVE_LEAST_DEADLINE ||
           cli_refuse("expected at least %g ms", 1e3 * VT_SERVE_LEAST_DEADLINE);
}

#define SERVE(member) settings, serve.member
static const cli_option options[] = {
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, serve.engine, CLI_MODEL),
    {"name", "NAME", "of the model, as clients see it", CLI_TEXT(SERVE(name), "a name"),
     .unset = "its file's"},
    CLI_HEADING("who may ask"),
    {"listen", "ADDRESS", "localhost, or an address of this machine in numbers",
     CLI_TEXT(SERVE(listen), "an address")},
    {"port", "N", "{range}; 0: one that is free, told in the log", CLI_INT(SERVE(port), 0, 65535)},
    {"api-key-file", "FILE",
     "keys that clients have to send, one a line; a single one may stand in the environment, "
     "VARIANT_API_KEY, instead; needed where others than this machine reach the address",
     CLI_TEXT(SERVE(api_key_file), "a file of keys")},
    {"insecure", NULL, "let everybody ask without a key", CLI_FLAG(SERVE(insecure))},
    {"origin", "ORIGIN",
     "of a web page elsewhere that may ask, such as https://example.org; *: any",
     CLI_TEXT(SERVE(origin), "an origin"), .unset = "none"},
    CLI_HEADING("how much"),
    {"max-memory", "SIZE",
     "weights, requests at work and pictures kept together never take more: 8G",
     CLI_BYTES(SERVE(max_memory)), .unset = "three quarters of what is there", .own = true},
    {"queue", "N", "requests that may wait, {range}; more are told to come back (429)",
     CLI_INT(SERVE(queue), 1, 100000)},
    {"per-client", "N",
     "requests of one key, or of one address where there are no keys, that may wait or be at work, "
     "{range}; more "
     "are told to come back (429)",
     CLI_INT(SERVE(per_client), 1, 100000), .unset = "no limit"},
    {"batch", "N", "pictures of one request at a time, at most, {range}",
     CLI_INT(SERVE(batch), 1, 10), .own = true},
    {"connections", "N",
     "open at one time, {range}; a new one takes the place of the longest idle; where all are "
     "busy it is told to come back (503)",
     CLI_INT(SERVE(connections), 4, 100000)},
    {"deadline", "TIME", "after which a request is given up: 90s, 800ms",
     CLI_SECONDS(SERVE(deadline)), .read = read_deadline},
    {"adapt", "TIME",
     "of work that may wait: while it is more, requests that name neither depth nor quality get "
     "fewer layers, "
     "down to the least trained depth",
     CLI_SECONDS(SERVE(adapt)), .unset = "off"},
    {"drain", "TIME", "that requests have to finish in after SIGTERM", CLI_SECONDS(SERVE(drain))},
    {"keep", "TIME", "that finished pictures of jobs are kept", CLI_SECONDS(SERVE(keep))},
    {"keep-size", "SIZE", "of pictures kept; the oldest go first", CLI_BYTES(SERVE(keep_bytes))},
    {"max-body", "SIZE", "of a request that brings pictures", CLI_BYTES(SERVE(max_body))},
    {"sweep", "PATH", "what `variant sweep` measured, for quality and plans",
     CLI_TEXT(SERVE(sweep), "a sweep's folder or sweep.json"), .own = true},
    CLI_HEADING("running"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, serve.engine,
             CLI_PRECISION " " CLI_RUN),
    {"no-sandbox", NULL,
     "decode pictures that come with requests in the server's own process, where a fault of a "
     "decoder is a fault of the server",
     CLI_FLAG(SERVE(no_sandbox))},
    {"quiet", NULL, "log no answers", .letter = 'q', CLI_FLAG(SERVE(quiet)), .own = true},
    {0},
};

/* "fashion" of models/fashion and of models/fashion/fashion.safetensors. */
static void name_model(settings *s) {
    char path[4096];
    if (s->serve.name) return;
    snprintf(path, sizeof path, "%s", s->serve.engine.model);
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; --length)
        path[length - 1] = '\0';
    const char *slash = strrchr(path, '/');
    snprintf(s->name, sizeof s->name, "%.127s", slash ? slash + 1 : path);
    char *dot = strrchr(s->name, '.');
    if (dot && dot > s->name) *dot = '\0';
    s->serve.name = s->name;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    variant_error err = {0};
    (void)line;
    const int done = cli_model_check(&s->serve.engine);
    if (done >= 0) return done;
    name_model(s);
    const char *key = getenv("VARIANT_API_KEY");
    if (key && *key) s->serve.api_key = key;
    return cli_end(vt_serve(&s->serve, &err), &err);
}

const cli_command cli_serve = {
    .name = "serve",
    .purpose = "a model behind HTTP: the images API of OpenAI's clients, and jobs to watch",
    .usage = "-m MODEL [options]",
    .about = "Answers requests for pictures over HTTP. Requests of any depth share steps, which "
             "read the weights once for all. POST /v1/images/generations is what OpenAI's clients "
             "ask, with the class as the prompt; POST /api/jobs makes jobs that can be watched, "
             "cancelled and refined. The log, JSON, goes to stderr; GET /metrics counts. SIGTERM "
             "lets requests finish, SIGHUP opens the model's file again. docs/SERVING.md shows all "
             "of it.",
    .examples = "variant serve -m models/fashion\n"
                "variant serve -m models/fashion --listen 0.0.0.0 --api-key-file keys.txt "
                "--max-memory 2G",
    .opens = true,
    CLI_OF_THIS_FILE,
};
