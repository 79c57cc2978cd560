/* convert.c - `variant convert`: any readable model to one safetensors file that needs no options
 * to be opened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "features/features.h"
#include "features/inception.h"
#include "io/file.h"
#include "tools.h"

static const char help[] =
    "usage: variant convert IN -o OUT.safetensors [options]\n"
    "\n"
    "Reads safetensors or PyTorch checkpoints (a tokenizer, a transformer or both) and writes one "
    "safetensors file with\n"
    "the configuration and the class names inside. FID's Inception (pt_inception-2015-12-05) is "
    "converted as well.\n"
    "\n"
    "options\n"
    "  -o, --output FILE      the safetensors file\n"
    "  -m, --model PATH       IN, given as an option\n"
    "      --tokenizer FILE   the tokenizer, when it is not in IN\n"
    "      --type T           of weights: f32 (default), f16, bf16; vectors stay f32\n"
    "      --force            write f16 or bf16 though a tensor's numbers overflow (they become "
    "the type's\n"
    "                         largest) or vanish (more than 1 % of its norm is lost)\n"
    "      --sides 1,2,3      sides of the scales, where no file tells them\n"
    "      --heads N          attention heads, where no file tells them\n" CLI_PART_HELP
    "      --classes FILE     names of the classes, a line each\n" CLI_RUN_HELP "\n"
    "examples\n"
    "  variant convert var_d16.pth --tokenizer vae_ch160v4096z32.pth -o d16.safetensors --type "
    "f16\n"
    "  variant convert models/fashion -o fashion.safetensors --classes names.txt\n";

enum { OPT_CLASSES = CLI_OWN, OPT_FORCE };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"type", required_argument, NULL, CLI_TYPE},
    {"classes", required_argument, NULL, OPT_CLASSES},
    {"force", no_argument, NULL, OPT_FORCE},
    CLI_MODEL_OPTIONS,
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    const char *classes;
    bool force;
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    if (id == OPT_FORCE) return s->force = true;
    if (id != OPT_CLASSES) return cli_model_option(&s->model, id, text) == 1;
    return cli_text(text, "a file of names, a line each", &s->classes);
}

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
    if (vt_is_folder(s->model.model)) return VARIANT_OK;
    VT_CHECK(vt_tensor_file_open(&file, s->model.model, err));
    VT_CHECK(vt_features_unwrap(file, err));
    *done = vt_inception_is(file);
    if (*done && (s->classes || s->model.tokenizer))
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: FID's Inception takes neither --classes nor --tokenizer",
                         s->model.model));
    if (*done) VT_CHECK(vt_inception_convert(s->model.output, file, s->model.type, err));
cleanup:
    vt_tensor_file_close(&file);
    return status;
}

static variant_status convert(const settings *s, variant_error *err) {
    bool done;
    VT_TRY(convert_inception(s, &done, err));
    if (done) return VARIANT_OK;
    cli_session session;
    char *text = NULL, **names = NULL;
    VT_TRY(cli_session_open(&session, &s->model, s->model.tokenizer != NULL, false, err));
    vt_model *model = session.model;
    variant_status status = VARIANT_OK;
    vt_model_save save = {.tokenizer = model->tokenizer,
                          .transformer = model->transformer,
                          .class_count = model->class_count,
                          .class_names = model->class_names,
                          .supernet = model->supernet.trained ? &model->supernet : NULL,
                          .training = model->training,
                          .type = s->model.type,
                          .force = s->force,
                          .warn = cli_warn};
    if (s->classes) {
        if (!model->transformer) {
            status = vt_fail(err, VARIANT_E_ARGUMENT,
                             "--classes: %s holds no transformer whose classes could be named",
                             s->model.model);
            goto cleanup;
        }
        int classes = vt_transformer_configuration(model->transformer)->classes;
        VT_CHECK(vt_file_read_text(&text, s->classes, 1 << 24, err));
        VT_CHECK(read_names(text, s->classes, classes, &names, err));
        save.class_count = classes;
        save.class_names = names;
    }
    VT_CHECK(vt_model_write(s->model.output, &save, err));
cleanup:
    free(names);
    free(text);
    cli_session_close(&session);
    return status;
}

int cli_convert(int argc, char **argv) {
    settings s = {0};
    cli_parser parser = {.command = "convert",
                         .help = help,
                         .letters = ":m:o:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (!s.model.model && optind < argc) s.model.model = argv[optind++];
    if (optind < argc) return cli_usage("convert", "unexpected argument %s", argv[optind]);
    if (!s.model.model) return cli_usage("convert", "which model? give a file or a folder");
    if (!s.model.output) return cli_usage("convert", "-o is missing: the file to write");
    variant_error err = {0};
    return convert(&s, &err) == VARIANT_OK ? 0 : cli_fail("convert", &err);
}
