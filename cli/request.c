/* request.c - see request.h. */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "values.h"

enum { DEFAULT_BATCH = 8 };

bool cli_decoder_is_preview(const char *decoder) {
    return decoder && strcmp(decoder, "preview") == 0;
}

void cli_engine_init(variant_engine_options *engine) {
    variant_engine_options_init(engine);
    engine->warn = cli_warn;
}

void cli_request_init(cli_request *request) {
    cli_engine_init(&request->engine);
    variant_request_init(&request->request);
    request->request.batch = DEFAULT_BATCH;
}

/* Several are a list: a line each, as names may have commas. */
static bool add_class(void *owner, const char *text) {
    cli_request *r = owner;
    size_t used = strlen(r->classes), size = sizeof r->classes - used;
    if (!*text)
        return cli_refuse(
            "expected a class's number or name, several between commas, random, all or uncond");
    if ((size_t)snprintf(r->classes + used, size, "%s%s", used ? "\n" : "", text) >= size)
        return cli_refuse("expected at most %zu letters in all classes", sizeof r->classes - 1);
    r->request.class_name = r->classes;
    return true;
}

static bool read_seed(void *owner, const char *text) {
    cli_request *r = owner;
    r->drawn_seed = *text < '0' || *text > '9';
    return cli_seed(text, &r->request.seed);
}

static bool read_cfg_scales(void *owner, const char *text) {
    cli_request *r = owner;
    double scales[VARIANT_MAX_SCALES];
    if (!cli_doubles(text, 0, 100, VARIANT_MAX_SCALES, scales, &r->request.cfg_scale_count))
        return false;
    for (int k = 0; k < r->request.cfg_scale_count; ++k) r->cfg_scales[k] = (float)scales[k];
    r->request.cfg_scales = r->cfg_scales;
    return true;
}

#define ENGINE(member) variant_engine_options, member
const cli_option cli_engine_options[] = {
    {"model", "PATH", "a file, or a folder that holds tokenizer and transformer", .letter = 'm',
     CLI_TEXT(ENGINE(model), "a model's file or folder")},
    {"tokenizer", "FILE", "the tokenizer, when it is not in MODEL",
     CLI_TEXT(ENGINE(tokenizer), "a tokenizer's file")},
    {"sides", "1,2,3", "sides of the scales, where no file tells them",
     CLI_LIST(ENGINE(sides), 1, 1024, VARIANT_MAX_SCALES)},
    {"heads", "N", "attention heads, {range}, where no file tells them",
     CLI_INT(ENGINE(heads), 1, 1024), .unset = ""},
    {"part", "NAME", "which of several models in a file, such as ema or model",
     CLI_TEXT(ENGINE(part), "the name of a state dict, such as ema or model"),
     .unset = "averaged weights before others, said on stderr"},
    {"no-verify", NULL,
     "take tensors as they are, though their checksums in the file say that they are damaged",
     CLI_OFF(ENGINE(verify))},
    {"weights", "TYPE", "{words}", CLI_NAME(ENGINE(weights), "f32|bf16|int8|int4"),
     .notes = "exact|half the memory, fast|a quarter; a tokenizer's are bf16|a seventh, coarse",
     .unset = "f32; of a packed file its own"},
    {"kv", "TYPE", "of keys and values: {words}", CLI_NAME(ENGINE(kv), "f32|bf16|int8"),
     .unset = "f32 with f32 weights, else bf16"},
    {"threads", "N", "{range}", .letter = 't', CLI_INT(ENGINE(threads), 1, 1024),
     .unset = "one a processor"},
    {"backend", "NAME", "{words}", CLI_NAME(ENGINE(backend), VARIANT_BACKENDS),
     .notes = VARIANT_BACKEND_NOTES},
    {0},
};

#define REQUEST(member) cli_request, request.member
const cli_option cli_request_options[] = {
    {"class", "C",
     "name or number, a list as 3,7,Sneaker (one after another; given twice, a list as well), all, "
     "random or uncond",
     CLI_TEXT(REQUEST(class_name), NULL), .read = add_class},
    {"count", "N", "pictures, {range}; of a list of classes, unless given, one each", .letter = 'n',
     CLI_INT(REQUEST(count), 1, 1000000)},
    {"first", "N", "begin with picture N of the seed: the same bytes as in one go",
     CLI_INT(REQUEST(first_image), 0, 1000000000)},
    {"scales", "K", "draw the first K scales alone and decode what is there",
     CLI_INT(REQUEST(scales), 1, VARIANT_MAX_SCALES), .unset = "all"},
    {"seed", "S",
     "0 to 2^64 - 1, or -1: a random one, which is printed. Same seed, same bytes, whatever "
     "--threads and --batch",
     .letter = 's', CLI_U64(REQUEST(seed)), .read = read_seed},
    {"cfg-scale", "T", "classifier-free guidance, {range}; 0: off, which halves the work",
     CLI_FLOAT(REQUEST(cfg_scale), 0, 100)},
    {"cfg-scales", "T,T,...",
     "guidance of every scale instead, each 0 to 100; behind the last that is not 0 its branch is "
     "not computed",
     .read = read_cfg_scales, .unset = "from 0 up to --cfg-scale", .own = true},
    {"cfg-late", "X",
     "factor on the guidance of scales where its unconditional branch runs fewer layers than the "
     "conditional one, {range}",
     CLI_FLOAT(REQUEST(cfg_late), 0, 100), .unset = "as the model says, else 1"},
    {"uncond-depth", "U",
     "layers of guidance's unconditional branch in the late scales; 0: as --depth",
     CLI_INT(REQUEST(uncond_depth), 0, 1000),
     .unset = "as the model says, else of a supernet the least it was trained for, "
              "1 left out, and of others as --depth"},
    {"uncond-depths", "LIST", "its layers of every scale, such as 16,16,2,2",
     CLI_LIST(REQUEST(uncond_depths), 1, 1000, VARIANT_MAX_SCALES), .unset = "as --uncond-depth"},
    {"uncond-layers", "WHICH", "which they are, as --layers",
     CLI_TEXT(REQUEST(uncond_layers),
              "equidistant, rounded, prefix, a list such as 0,3,5-7, or one a scale"),
     .words = "equidistant|rounded|prefix", .letters = "0123456789,;- ", .unset = "as trained"},
    {"top-k", "K", "0 (off) or more", CLI_INT(REQUEST(top_k), 0, 1 << 24)},
    {"top-p", "P", "0 (off) to 1", CLI_FLOAT(REQUEST(top_p), 0, 1)},
    {"greedy", NULL, "always the most likely token; not with --smooth", CLI_FLAG(REQUEST(greedy))},
    {"smooth", NULL, "mix codes by Gumbel softmax: smoother, less diverse",
     CLI_FLAG(REQUEST(smooth))},
    {"depth", "D", "layers of the late scales, 1 to the model's; 0: all",
     CLI_INT(REQUEST(depth), 0, 1000)},
    {"bridge", "N", "scales at full depth before them, 0 to all", CLI_INT(REQUEST(bridge), 0, 1000),
     .unset = "as trained"},
    {"depths", "LIST", "layers of every scale, such as 16,16,8,8",
     CLI_LIST(REQUEST(depths), 1, 1000, VARIANT_MAX_SCALES)},
    {"layers", "WHICH",
     "equidistant, rounded or prefix, a list 0,3,7, or one list a scale: \"0-7;0-7;0,3,7\"",
     CLI_TEXT(REQUEST(layers),
              "equidistant, rounded, prefix, a list such as 0,3,5-7, or one a scale"),
     .words = "equidistant|rounded|prefix", .letters = "0123456789,;- ", .unset = "as trained"},
    {"retain-kv", NULL,
     "keep all keys and values to the end: the same pictures for more memory, to measure by",
     CLI_FLAG(REQUEST(retain_kv))},
    {"batch", "N", "pictures at a time, {range}", CLI_INT(REQUEST(batch), 1, 4096)},
    {0},
};

const cli_option cli_decoder_option[] = {
    {"decoder", "NAME", "what makes pictures of the last map: {words}", .kind = CLI_KIND_NAME,
     .words = "full|preview", .notes = "the tokenizer's own|a small one, where the model has it",
     .unset = "full; what a preview alone shows, preview where there is one"},
    {0},
};

const cli_option cli_json_option[] = {
    {"json", NULL, "the result as JSON, on stdout", .kind = CLI_KIND_FLAG},
    {0},
};

const cli_option cli_arch_option[] = {
    {"arch", "NAME",
     "synthetic weights instead of a model: time and memory of var-d16, var-d20, var-d24, var-d30, "
     "or a configuration as `variant synth` reads it",
     .kind = CLI_KIND_TEXT,
     .expects = "var-d16, var-d20, var-d24, var-d30, or a configuration's file"},
    {0},
};

int cli_model_check(const variant_engine_options *engine) {
    if (engine->model) return -1;
    return cli_misuse("which model? give -m FILE or -m FOLDER");
}

int cli_model_operand(variant_engine_options *engine, const cli_line *line) {
    if (engine->model && line->operand_count)
        return cli_misuse("unexpected argument %s", line->operands[0]);
    if (line->operand_count) engine->model = line->operands[0];
    return engine->model ? -1 : cli_misuse("which model? give a file or a folder");
}

static bool is_guided(const variant_request *request) {
    for (int k = 0; request->cfg_scales && k < request->cfg_scale_count; ++k)
        if (request->cfg_scales[k] > 0.0f) return true;
    return !request->cfg_scales && request->cfg_scale > 0.0f;
}

static void warn_of_no_branch(const variant_request *request, const cli_line *line) {
    const char *name = cli_first_given(line, "uncond-depth|uncond-depths|uncond-layers");
    char text[160];
    if (!name || is_guided(request)) return;
    snprintf(text, sizeof text,
             "--%s changes nothing: without guidance (--cfg-scale 0) there is no unconditional "
             "branch",
             name);
    cli_warn(NULL, text);
}

/* --cfg-late is for scales where the unconditional branch is the shallower one. */
static void warn_of_late(const variant_request *request, const cli_line *line) {
    if (!cli_given(line, "cfg-late")) return;
    if (!is_guided(request))
        cli_warn(NULL, "--cfg-late changes nothing: there is no guidance (--cfg-scale 0)");
    else if (request->uncond_depth == 0 && !request->uncond_depths && !request->uncond_layers)
        cli_warn(NULL, "--cfg-late changes nothing: with --uncond-depth 0 no scale's unconditional "
                       "branch runs fewer layers");
}

int cli_request_check(const cli_request *r, const cli_line *line) {
    const variant_request *request = &r->request;
    if (request->greedy && request->smooth)
        return cli_misuse("--greedy takes the most likely code, --smooth mixes several: give "
                          "one of them");
    if (request->depths && (request->depth || cli_given(line, "bridge")))
        return cli_misuse("--depths says every scale's depth: give no --depth or --bridge with it");
    if (request->cfg_scales && cli_given(line, "cfg-scale"))
        return cli_misuse("--cfg-scales says every scale's guidance: give no --cfg-scale with it");
    if (request->cfg_scales && cli_given(line, "cfg-late"))
        return cli_misuse("--cfg-scales says every scale's guidance: give no --cfg-late with it");
    if (request->uncond_depths && cli_given(line, "uncond-depth"))
        return cli_misuse(
            "--uncond-depths says every scale's depth: give no --uncond-depth with it");
    warn_of_no_branch(request, line);
    warn_of_late(request, line);
    return -1;
}
