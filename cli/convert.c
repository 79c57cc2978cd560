/* convert.c - `variant convert`: any readable model to one safetensors file that needs no options
 * to be opened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "features/features.h"
#include "features/inception.h"
#include "calibrate.h"
#include "io/file.h"
#include "tools.h"
#include "values.h"

typedef struct settings {
    variant_engine_options engine;
    cli_tensors_out output;
    const char *classes;
    bool force, pack;
    const char *weights; /* of --pack */
    bool int8, int4;     /* --type int8 or int4; output.type is f32 then */
    cli_calibration calibration;
    bool json;
    int uncond_depth;     /* 0: as it is */
    const char *cfg_late; /* NULL: as it is */
    const char *to;       /* "torch-names"; NULL: a model of ours */
    const char *tokenizer_out;
    size_t max_shard;
} settings;

/* Cuts text into its lines in place; blank lines at the end do not count. names: free() it. */
static variant_status read_names(char *text, const char *path, int expected, char ***names,
                                 variant_error *err) {
    size_t length = strlen(text), count = 0;
    while (length > 0 && strchr(" \t\r\n", text[length - 1])) text[--length] = '\0';
    for (size_t i = 0; i < length; ++i) count += text[i] == '\n';
    count += length > 0;
    if (count != (size_t)expected)
        return vt_fail(err, VARIANT_E_MODEL, "%s: holds %zu names, the model has %d classes", path,
                       count, expected);
    *names = calloc(count + 1, sizeof **names);
    if (!*names) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the class names");
    char *line = text;
    for (size_t i = 0; i < count; ++i) {
        char *end = strchr(line, '\n');
        if (end) *end = '\0';
        size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r') line[n - 1] = '\0';
        if (line[0] == '\0')
            return vt_fail(err, VARIANT_E_FORMAT, "%s:%zu: an empty class name", path, i + 1);
        (*names)[i] = line;
        if (end) line = end + 1;
    }
    return VARIANT_OK;
}

/* FID's network has a file of its own; *done tells whether it was one. */
static variant_status convert_inception(const settings *s, bool *done, variant_error *err) {
    vt_tensor_file *file = NULL;
    variant_status status = VARIANT_OK;
    *done = false;
    if (vt_is_folder(s->engine.model)) return VARIANT_OK;
    VT_CHECK(vt_tensor_file_open(&file, s->engine.model, err));
    VT_CHECK(vt_features_unwrap(file, err));
    *done = vt_inception_is(file);
    if (*done && (s->to || s->max_shard))
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: FID's Inception takes neither --to nor --max-shard-size",
                         s->engine.model));
    if (*done && (s->classes || s->engine.tokenizer || s->pack))
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: FID's Inception takes neither --classes, --tokenizer nor --pack",
                         s->engine.model));
    if (*done && s->int8)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: FID's Inception has convolutions alone, which are f32, f16 or bf16",
                         s->engine.model));
    if (*done) VT_CHECK(vt_inception_convert(s->output.path, file, s->output.type, err));
cleanup:
    vt_tensor_file_close(&file);
    return status;
}

/* What a request takes that says nothing of guidance, kept in the model. */
static variant_status set_guidance(const settings *s, vt_model *model, variant_error *err) {
    vt_supernet_info *supernet = &model->supernet;
    if (s->uncond_depth == 0 && !s->cfg_late) return VARIANT_OK;
    if (!supernet->trained)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: no supernet, whose guidance --uncond-depth and --cfg-late would set",
                       s->engine.model);
    bool trained = s->uncond_depth == 0;
    for (int i = 0; i < supernet->depth_count; ++i)
        trained = trained || supernet->depths[i] == s->uncond_depth;
    if (!trained)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "--uncond-depth %d: %s was not trained at that depth (variant inspect tells "
                       "which)",
                       s->uncond_depth, s->engine.model);
    if (s->uncond_depth > 0) supernet->uncond_depth = s->uncond_depth;
    if (!s->cfg_late) return VARIANT_OK;
    const int depth = vt_transformer_configuration(model->transformer)->depth;
    if (vt_supernet_read_late(supernet, s->cfg_late) &&
        supernet->late[supernet->late_count - 1].depth <= depth)
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "--cfg-late %s: expected a factor up to 100, or one for each depth, of at most "
                   "%d layers, as in 12:2.2,6:3,3:4",
                   s->cfg_late, depth);
}

/* Which way of int8 suits each product, and the file. */
static variant_status write_int8(const settings *s, cli_session *session, const vt_model_save *save,
                                 variant_error *err) {
    const vt_model *model = session->model;
    const bool measured = s->calibration.data.data.count > 0;
    int records;
    if (!model->transformer)
        return vt_fail(err, VARIANT_E_MODEL, "%s: --type %s is for transformers, and it has none",
                       s->engine.model, s->int4 ? "int4" : "int8");
    if (vt_params_integers(vt_transformer_params(model->transformer), model->files[1],
                           model->groups[1], &records) > 0)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: its weights are %s already: convert the model it was made from",
                       s->engine.model, records > 0 ? "int4" : "int8");
    if (measured && !model->tokenizer)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: --calibrate needs a tokenizer for its pictures; give its file with "
                       "--tokenizer",
                       s->engine.model);
    vt_int8_plan plan = {.int4 = s->int4};
    variant_status status = cli_calibrate(&plan, session, &s->calibration, err);
    if (status == VARIANT_OK) status = vt_model_write_int8(s->output.path, save, &plan, err);
    if (status == VARIANT_OK) cli_calibration_print(&plan, s->json);
    vt_int8_plan_close(&plan);
    return status;
}

static variant_status convert(const settings *s, variant_error *err) {
    bool done;
    VT_TRY(convert_inception(s, &done, err));
    if (done) return VARIANT_OK;
    cli_session session;
    char *text = NULL, **names = NULL;
    vt_model_options options = cli_model_options(&s->engine);
    options.need_tokenizer = s->engine.tokenizer != NULL;
    options.need_transformer = false;
    options.any_integers = s->int8; /* refused below */
    options.own_numbers = s->pack ? NULL : "to convert";
    VT_TRY(cli_session_open_model(&session, &s->engine, &options, err));
    vt_model *model = session.model;
    variant_status status = set_guidance(s, model, err);
    vt_model_save save = {.tokenizer = model->tokenizer,
                          .transformer = model->transformer,
                          .preview = model->preview,
                          .preview_training = model->preview_training,
                          .class_count = model->class_count,
                          .class_names = model->class_names,
                          .supernet = model->supernet.trained ? &model->supernet : NULL,
                          .training = model->training,
                          .type = s->output.type,
                          .most_bytes = s->max_shard,
                          .force = s->force,
                          .warn = cli_warn};
    if (status != VARIANT_OK) goto cleanup;
    if (s->classes) {
        if (!model->transformer) {
            status = vt_fail(err, VARIANT_E_ARGUMENT,
                             "--classes: %s holds no transformer whose classes could be named",
                             s->engine.model);
            goto cleanup;
        }
        int classes = vt_transformer_configuration(model->transformer)->classes;
        VT_CHECK(vt_file_read_text(&text, s->classes, 1 << 24, err));
        VT_CHECK(read_names(text, s->classes, classes, &names, err));
        save.class_count = classes;
        save.class_names = names;
    }
    status = s->to     ? vt_model_write_torch(s->output.path, s->tokenizer_out, model, &save, err)
             : s->int8 ? write_int8(s, &session, &save, err)
             : s->pack ? vt_model_write_packed(s->output.path, model, &save, err)
                       : vt_model_write(s->output.path, &save, err);
cleanup:
    free(names);
    free(text);
    cli_session_close(&session);
    return status;
}

static void init(void *user) {
    settings *s = user;
    cli_engine_init(&s->engine);
    s->calibration = cli_calibration_defaults();
    s->weights = "bf16";
}

static bool read_type(void *owner, const char *text) {
    static const vt_dtype types[] = {VT_F32, VT_F16, VT_BF16, VT_F32, VT_F32};
    settings *s = owner;
    const int place = cli_word(text, "f32|f16|bf16|int8|int4");
    if (place < 0) return false;
    s->output.type = types[place];
    s->int4 = place == 4;
    s->int8 = place == 3 || s->int4;
    return true;
}

/* What --to and --max-shard-size go with: -1, or the exit status after a complaint. */
static int check_layout(const settings *s) {
    if (s->to && (s->pack || s->int8))
        return cli_misuse("--to %s is a model for PyTorch, of f32, f16 or bf16: not with --%s",
                          s->to, s->pack ? "pack" : "type int8 or int4");
    if (s->tokenizer_out && !s->to)
        return cli_misuse("--tokenizer-out belongs to --to torch-names");
    if (!s->to && vt_torch_is_name(s->output.path))
        return cli_misuse("%s: what is written is safetensors; a file for PyTorch: --to "
                          "torch-names",
                          s->output.path);
    if (s->pack && s->max_shard)
        return cli_misuse("--max-shard-size: a packed file is one, which is used where it lies");
    return -1;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_model_operand(&s->engine, line);
    if (done >= 0) return done;
    if (!s->output.path) return cli_misuse("-o is missing: the file to write");
    const char *alone = cli_first_given(
        line, "calibrate|calibrate-pictures|row-error|split|holdout|fit|alpha|json");
    if (alone && !s->int8) return cli_misuse("--%s belongs to --type int8 or int4", alone);
    if (alone && s->calibration.data.data.count == 0 && strcmp(alone, "json") != 0)
        return cli_misuse("--%s belongs to --calibrate DATA", alone);
    if (s->pack && cli_first_given(line, "type|force"))
        return cli_misuse(
            "--pack writes weights as they are computed with: give --weights, no --%s",
            cli_first_given(line, "type|force"));
    if (!s->pack && cli_given(line, "weights"))
        return cli_misuse("--weights is for --pack; --type says how a file keeps them");
    done = check_layout(s);
    if (done >= 0) return done;
    s->engine.weights = s->pack ? s->weights : "f32"; /* a packed file has no numbers to convert */
    variant_error err = {0};
    const int status = cli_end(convert(s, &err), &err);
    if (status == 0 && s->int8 && !s->json)
        fprintf(stderr, "to run it so: --weights %s\n", s->int4 ? "int4" : "int8");
    return status;
}

static const cli_option options[] = {
    CLI_ROWS(cli_tensors_out_options, cli_tensors_out, settings, output, "output"),
    {"type", "T",
     "of weights: {words}; vectors stay f32, and of int8 the tokenizer, whose convolutions become "
     "bf16, and embeddings; int4 is as int8 with the products of the blocks in four bits",
     .words = "f32|f16|bf16|int8|int4", .read = read_type, .own = true, .unset = "f32"},
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
     .notes = "|a scale a row; a tokenizer's are bf16|groups of 16; likewise", .own = true},
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
    CLI_OF_THIS_FILE,
};
