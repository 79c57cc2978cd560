/* synth.c - `variant synth`: a checkpoint whose every weight is a formula (io/synth.h), for tests
 * and benchmarks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "features/inception.h"
#include "selftest/golden_config.h"
#include "io/file.h"
#include "tools.h"

static const char help[] =
    "usage: variant synth CONFIG.json|inception -o OUT.safetensors [options]\n"
    "\n"
    "Writes the synthetic model that CONFIG describes: weights by formula, the same on every "
    "machine.\n"
    "CONFIG is JSON: seed, depth, width, heads, V, Cvae, classes, patch_nums, attn_l2_norm, "
    "shared_aln, ch, ch_mult,\n"
    "nres; and, if wanted, channels (3) and mlp_ratio (4). The word inception means FID's network "
    "instead (96 MB),\n"
    "to try what needs its file: what it measures says nothing about quality.\n"
    "\n"
    "options\n"
    "  -o, --output FILE      the safetensors file\n"
    "      --only PART        tokenizer or transformer\n"
    "      --type T           of weights: f32 (default), f16, bf16\n" CLI_RUN_HELP "\n"
    "examples\n"
    "  variant synth tiny.json -o tiny.safetensors\n"
    "  variant synth inception -o inception.safetensors\n"
    "  variant synth var_d16.json --only transformer --type f16 -o d16.safetensors\n";

enum { OPT_ONLY = CLI_OWN };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"only", required_argument, NULL, OPT_ONLY},
    {"type", required_argument, NULL, CLI_TYPE},
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    bool no_tokenizer, no_transformer;
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    if (id != OPT_ONLY) return cli_model_option(&s->model, id, text) == 1;
    int part = cli_word(text, "tokenizer|transformer");
    s->no_transformer = part == 0;
    s->no_tokenizer = part == 1;
    return part >= 0;
}

static variant_status write_model(const settings *s, vt_kern *kern, const vt_golden_config *config,
                                  variant_error *err) {
    vt_tokenizer *tokenizer = NULL;
    vt_transformer *transformer = NULL;
    variant_status status = VARIANT_OK;
    if (!s->no_tokenizer) {
        VT_CHECK(vt_tokenizer_open(&tokenizer, kern, &config->tokenizer, err));
        VT_CHECK(vt_params_synthesize(vt_tokenizer_params(tokenizer), config->seed, "vae", err));
    }
    if (!s->no_transformer) {
        VT_CHECK(vt_transformer_open(&transformer, kern, &config->transformer, err));
        VT_CHECK(
            vt_params_synthesize(vt_transformer_params(transformer), config->seed, "var", err));
    }
    vt_model_save save = {
        .tokenizer = tokenizer, .transformer = transformer, .type = s->model.type};
    VT_CHECK(vt_model_write(s->model.output, &save, err));
cleanup:
    vt_transformer_close(&transformer);
    vt_tokenizer_close(&tokenizer);
    return status;
}

int cli_synth(int argc, char **argv) {
    settings s = {0};
    cli_parser parser = {.command = "synth",
                         .help = help,
                         .letters = ":o:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind + 1 != argc) return cli_usage("synth", "expected one configuration, a JSON file");
    if (!s.model.output) return cli_usage("synth", "-o is missing: the file to write");
    variant_error err = {0};
    if (strcmp(argv[optind], "inception") == 0) {
        if (s.no_tokenizer || s.no_transformer)
            return cli_usage("synth", "--only is for a model: inception has one part");
        if (vt_inception_write(s.model.output, "I1", s.model.type, &err) == VARIANT_OK) return 0;
        return cli_fail("synth", &err);
    }
    char *text = NULL;
    vt_golden_config config = {0};
    vt_kern *kern = NULL;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_file_read_text(&text, argv[optind], 1 << 20, &err));
    VT_CHECK(vt_golden_config_parse(&config, text, argv[optind], &err));
    VT_CHECK(vt_kern_open(&kern, s.model.backend, s.model.threads, &err));
    VT_CHECK(write_model(&s, kern, &config, &err));
cleanup:
    vt_kern_close(&kern);
    vt_golden_config_free(&config);
    free(text);
    return status == VARIANT_OK ? 0 : cli_fail("synth", &err);
}
