/* convert.c - `variant convert`: any readable model to one safetensors file that needs no options
 * to be opened. */
#include <stdio.h>
#include <string.h>

#include "calibrate.h"
#include "progress.h"
#include "request.h"

typedef struct settings {
    variant_engine_options engine;
    const char *output, *type, *classes;
    bool force, pack;
    const char *weights; /* of --pack; NULL: as the file has them */
    cli_calibration calibration;
    bool json;
    int uncond_depth;     /* 0: as it is */
    const char *cfg_late; /* NULL: as it is */
    const char *to;       /* "torch-names"; NULL: a model of ours */
    const char *tokenizer_out;
    size_t max_shard;
} settings;

/* ---- progress ---- */

typedef struct watch {
    cli_live live;
    cli_pace pace;
} watch;

static bool show(void *user, const char *doing, int done, int total) {
    watch *w = user;
    char left[48];
    if (done <= 1) w->pace = (cli_pace){0};
    cli_left_text(cli_pace_left(&w->pace, cli_now(), done, total), left, sizeof left);
    if (done < total)
        cli_live_show(&w->live, "%s: %d of %d%s", doing, done, total, left);
    else
        cli_live_clear(&w->live);
    return true;
}

/* ---- what the library says ---- */

/* It names members of its structs; whoever reads this knows them as options. */
static const struct {
    const char *member, *option;
} as_options[] = {{"to=", "--to "},
                  {"type=", "--type "},
                  {"force=true", "--force"},
                  {"max_shard_bytes", "--max-shard-size"},
                  {"tokenizer_output", "--tokenizer-out"},
                  {"uncond_depth", "--uncond-depth"},
                  {"cfg_late", "--cfg-late"},
                  {"row_error", "--row-error"},
                  {"calibrate_count", "--calibrate-pictures"}};

/* How long the member's name is that a word begins with, so that paths stay what they are: 0, none. */
static size_t member_at(const char *line, const char *at, const char **option) {
    for (size_t i = 0; i < sizeof as_options / sizeof *as_options; ++i) {
        const char *member = as_options[i].member;
        const size_t length = strlen(member);
        const bool begins = at == line || at[-1] == ' ';
        if (!begins || strncmp(at, member, length) != 0) continue;
        if (member[length - 1] != '=' && at[length] && !strchr(" ,:;", at[length])) continue;
        *option = as_options[i].option;
        return length;
    }
    return 0;
}

/* With options' names into out (cut at its size). */
static void name_options(char *out, size_t size, const char *line) {
    size_t used = 0;
    for (const char *at = line; *at && used + 1 < size;) {
        const char *option;
        const size_t length = member_at(line, at, &option);
        if (length == 0) {
            out[used++] = *at++;
            continue;
        }
        used += (size_t)snprintf(out + used, size - used, "%s", option);
        if (used >= size) used = size - 1;
        at += length;
    }
    out[used] = '\0';
}

static void warn(void *user, const char *line) {
    char named[1024];
    name_options(named, sizeof named, line);
    cli_warn(user, named);
}

/* ---- the command ---- */

static bool is_integers(const settings *s) {
    return s->type && (strcmp(s->type, "int8") == 0 || strcmp(s->type, "int4") == 0);
}

/* The type that a file has whose weights are integers or packed; of others bf16. */
static variant_status own_type(const settings *s, const char **out, variant_error *err) {
    static const char *const types[] = {"bf16", "int8", "int4"};
    variant_inspection *found = NULL;
    variant_engine_options model = s->engine;
    model.warn = NULL; /* it is told when the model is opened */
    const variant_status status = variant_inspect(&found, &model, NULL, err);
    if (status != VARIANT_OK) return status;
    const variant_integer_facts *integers =
        found->transformer ? found->transformer->integers : NULL;
    *out = integers && integers->int4 > 0 ? "int4" : integers ? "int8" : "bf16";
    for (int i = 0; i < found->file_count; ++i)
        for (size_t k = 0; found->files[i]->packed && k < sizeof types / sizeof *types; ++k)
            if (strcmp(found->files[i]->packed, types[k]) == 0) *out = types[k];
    variant_inspection_free(&found);
    return VARIANT_OK;
}

static variant_status convert(const settings *s, variant_error *err) {
    const char *packed = s->weights;
    if (s->pack && !packed) {
        const variant_status status = own_type(s, &packed, err);
        if (status != VARIANT_OK) return status;
    }
    const variant_data data = cli_data_asked(&s->calibration.data);
    watch w = {.pace = {0}};
    variant_convert_options options;
    variant_conversion *made = NULL;
    variant_convert_options_init(&options);
    options.output = s->output;
    options.type = s->type;
    options.pack = s->pack ? packed : NULL;
    options.force = s->force;
    options.classes = s->classes;
    options.uncond_depth = s->uncond_depth;
    options.cfg_late = s->cfg_late;
    options.to = s->to;
    options.tokenizer_output = s->tokenizer_out;
    options.max_shard_bytes = s->max_shard;
    options.calibrate = data.path_count > 0 ? &data : NULL;
    options.calibrate_count = s->calibration.pictures;
    options.row_error = s->calibration.row_error;
    options.progress = show;
    options.note = cli_note;
    options.user = &w;
    options.cancel = cli_catch_stop();
    cli_live_open(&w.live);
    const variant_status status = variant_convert(&made, &s->engine, &options, err);
    cli_live_clear(&w.live);
    if (status == VARIANT_OK && is_integers(s)) cli_calibration_print(made, s->json);
    variant_conversion_free(&made);
    if (status == VARIANT_OK) return status;
    char message[sizeof err->message];
    name_options(message, sizeof message, err->message);
    memcpy(err->message, message, sizeof message);
    return status;
}

static void init(void *user) {
    settings *s = user;
    cli_engine_init(&s->engine);
    s->engine.warn = warn;
    s->calibration = cli_calibration_defaults();
}

/* What --to and --max-shard-size go with: -1, or the exit status after a complaint. */
static int check_layout(const settings *s) {
    if (s->to && (s->pack || is_integers(s)))
        return cli_misuse("--to %s is a model for PyTorch, of f32, f16 or bf16: not with --%s",
                          s->to, s->pack ? "pack" : "type int8 or int4");
    if (s->tokenizer_out && !s->to)
        return cli_misuse("--tokenizer-out belongs to --to torch-names");
    if (s->pack && s->max_shard)
        return cli_misuse("--max-shard-size: a packed file is one, which is used where it lies");
    return -1;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_model_operand(&s->engine, line);
    if (done >= 0) return done;
    if (!s->output) return cli_misuse("-o is missing: the file to write");
    const char *alone = cli_first_given(
        line, "calibrate|calibrate-pictures|row-error|split|holdout|fit|alpha|json");
    if (alone && !is_integers(s)) return cli_misuse("--%s belongs to --type int8 or int4", alone);
    if (alone && s->calibration.data.paths.count == 0 && strcmp(alone, "json") != 0)
        return cli_misuse("--%s belongs to --calibrate DATA", alone);
    if (s->pack && cli_first_given(line, "type|force"))
        return cli_misuse(
            "--pack writes weights as they are computed with: give --weights, no --%s",
            cli_first_given(line, "type|force"));
    if (!s->pack && cli_given(line, "weights"))
        return cli_misuse("--weights is for --pack; --type says how a file keeps them");
    done = check_layout(s);
    if (done >= 0) return done;
    variant_error err = {0};
    const int status = cli_end(convert(s, &err), &err);
    if (status == 0 && is_integers(s) && !s->json)
        fprintf(stderr, "to run it so: --weights %s\n", s->type);
    return status;
}

static const cli_option options[] = {
    {"output", "FILE", "the safetensors file", .letter = 'o',
     CLI_TEXT(settings, output, "where to write"), .own = true},
    {"type", "T",
     "of weights: {words}; vectors stay f32, and of int8 the tokenizer, whose convolutions become "
     "bf16, and embeddings; int4 is as int8 with the products of the blocks in four bits",
     CLI_NAME(settings, type, "f32|f16|bf16|int8|int4"), .own = true, .unset = "f32"},
    CLI_ROWS(cli_calibration_options, cli_calibration, settings, calibration, NULL),
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    {"force", NULL,
     "write f16 or bf16 though a tensor's numbers overflow (they become the type's largest) or "
     "vanish (more than 1 % of its norm is lost)",
     CLI_FLAG(settings, force)},
    {"pack", NULL,
     "write the weights as the cpu backend computes with them: the file opens without packing, is "
     "used where it lies, and serves for nothing else",
     CLI_FLAG(settings, pack)},
    {"weights", "TYPE", "of --pack: {words}", CLI_NAME(settings, weights, "bf16|int8|int4"),
     .notes = "|a scale a row; a tokenizer's are bf16|groups of 16; likewise", .own = true,
     .unset = "as a file of integers has them, else bf16"},
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    {"to", "WHAT",
     "{words}: a state dict as the original PyTorch code loads it with strict=True, its buffers "
     "too; -o FILE.pth or FILE.safetensors is the transformer",
     CLI_NAME(settings, to, "torch-names"), .unset = "a model for this program"},
    {"tokenizer-out", "FILE", "of --to torch-names: the tokenizer, likewise",
     CLI_TEXT(settings, tokenizer_out, "a file to write")},
    {"max-shard-size", "SIZE",
     "a larger model becomes NAME-00001-of-0000N.safetensors and so on, with the index "
     "NAME.safetensors.index.json, of at most so many bytes of tensors each (2G, 500M)",
     CLI_BYTES(settings, max_shard), .unset = "one file"},
    {"classes", "FILE", "names of the classes, a line each",
     CLI_TEXT(settings, classes, "a file of names, a line each")},
    {"uncond-depth", "U",
     "of a supernet: layers of guidance's unconditional branch in the late scales where a request "
     "says nothing, one of the trained depths",
     CLI_INT(settings, uncond_depth, 1, 1000), .own = true, .unset = "as it is"},
    {"cfg-late", "X|D:X,..",
     "likewise the factor on guidance where that branch is the shallower one, or one for each "
     "depth "
     "of the conditional branch",
     CLI_TEXT(settings, cfg_late, "a factor up to 100, or one for each depth as in 12:2.2,6:3,3:4"),
     .own = true, .letters = "0123456789.,:", .unset = "as it is"},
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

const cli_command cli_convert = {
    .name = "convert",
    .purpose = "any readable model to one safetensors file",
    .usage = "MODEL -o OUT.safetensors [options]",
    .about = "Reads safetensors or PyTorch checkpoints (a tokenizer, a transformer or both) and "
             "writes one safetensors file with the configuration and the class names inside. "
             "FID's Inception (pt_inception-2015-12-05) is converted as well.",
    .examples =
        "variant convert var_d16.pth --tokenizer vae_ch160v4096z32.pth -o d16.safetensors "
        "--type f16\n"
        "variant convert models/fashion -o fashion.safetensors --classes names.txt\n"
        "variant convert models/fashion -o fashion8.safetensors --type int8 --calibrate "
        "/usr/share/datasets/fashion-mnist\n"
        "variant convert models/fashion -o fashion4.safetensors --type int4 --calibrate "
        "/usr/share/datasets/fashion-mnist\n"
        "variant convert models/fashion -o packed.safetensors --pack --weights int8\n"
        "variant convert models/fashion --to torch-names -o var.pth --tokenizer-out vae.pth\n"
        "variant convert var_d30.pth -o d30/model.safetensors --max-shard-size 2G",
    .operands = 1,
    .opens = true,
    CLI_OF_THIS_FILE,
};
