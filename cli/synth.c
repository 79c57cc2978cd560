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

typedef struct settings {
    variant_engine_options engine;
    cli_tensors_out output;
    const char *only, *preview;
} settings;

static variant_status write_model(const settings *s, vt_kern *kern, const vt_golden_config *config,
                                  variant_error *err) {
    vt_tokenizer *tokenizer = NULL;
    vt_transformer *transformer = NULL;
    vt_preview *preview = NULL;
    vt_preview_config shape;
    variant_status status = VARIANT_OK;
    if (!s->only || strcmp(s->only, "tokenizer") == 0) {
        VT_CHECK(vt_tokenizer_open(&tokenizer, kern, &config->tokenizer, err));
        VT_CHECK(vt_params_synthesize(vt_tokenizer_params(tokenizer), config->seed, "vae", err));
    }
    if (s->preview) {
        VT_CHECK(vt_preview_config_choose(&shape, &config->tokenizer, s->preview, err));
        VT_CHECK(vt_preview_open(&preview, kern, &config->tokenizer, &shape, err));
        VT_CHECK(vt_params_synthesize(vt_preview_params(preview), config->seed, "vae", err));
    }
    if (!s->only || strcmp(s->only, "transformer") == 0) {
        VT_CHECK(vt_transformer_open(&transformer, kern, &config->transformer, err));
        VT_CHECK(
            vt_params_synthesize(vt_transformer_params(transformer), config->seed, "var", err));
    }
    vt_model_save save = {.tokenizer = tokenizer,
                          .transformer = transformer,
                          .preview = preview,
                          .type = s->output.type};
    VT_CHECK(vt_model_write(s->output.path, &save, err));
cleanup:
    vt_preview_close(&preview);
    vt_transformer_close(&transformer);
    vt_tokenizer_close(&tokenizer);
    return status;
}

static void init(void *user) {
    cli_engine_init(&((settings *)user)->engine);
}

static int run(void *user, const cli_line *line) {
    const settings *s = user;
    if (!line->operand_count) return cli_misuse("expected one configuration, a JSON file");
    if (!s->output.path) return cli_misuse("-o is missing: the file to write");
    if (s->preview && s->only && strcmp(s->only, "transformer") == 0)
        return cli_misuse("--preview goes with a tokenizer: not with --only transformer");
    const char *path = line->operands[0];
    variant_error err = {0};
    if (strcmp(path, "inception") == 0) {
        if (s->only || s->preview)
            return cli_misuse("--%s is for a model: inception has one part",
                              s->only ? "only" : "preview");
        if (vt_inception_write(s->output.path, "I1", s->output.type, &err) == VARIANT_OK) return 0;
        return cli_fail(&err);
    }
    char *text = NULL;
    vt_golden_config config = {0};
    vt_kern *kern = NULL;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_file_read_text(&text, path, 1 << 20, &err));
    VT_CHECK(vt_golden_config_parse(&config, text, path, &err));
    VT_CHECK(vt_kern_open(&kern, s->engine.backend, s->engine.threads, &err));
    VT_CHECK(write_model(s, kern, &config, &err));
cleanup:
    vt_kern_close(&kern);
    vt_golden_config_free(&config);
    free(text);
    return cli_end(status, &err);
}

static const cli_option options[] = {
    CLI_ROWS(cli_tensors_out_options, cli_tensors_out, settings, output, NULL),
    {"only", "PART", "{words}", CLI_NAME(settings, only, "tokenizer|transformer"), .unset = "both"},
    {"preview", "SIZE", "a preview decoder in it as well: {words}",
     CLI_NAME(settings, preview, VT_PREVIEW_SIZES), .unset = "none"},
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

const cli_command cli_synth = {
    .name = "synth",
    .purpose = "a synthetic model from a configuration",
    .usage = "CONFIG.json|inception -o OUT.safetensors [options]",
    .about = "Writes the synthetic model that CONFIG describes: weights by formula, the same on "
             "every machine. CONFIG is JSON: seed, depth, width, heads, V, Cvae, classes, "
             "patch_nums, attn_l2_norm, shared_aln, ch, ch_mult, nres; and, if wanted, channels "
             "(3) and mlp_ratio (4). The word inception means FID's network instead (96 MB), to "
             "try what needs its file: what it measures says nothing about quality.",
    .examples = "variant synth tiny.json -o tiny.safetensors\n"
                "variant synth inception -o inception.safetensors\n"
                "variant synth var_d16.json --only transformer --type f16 -o d16.safetensors",
    .operands = 1,
    CLI_OF_THIS_FILE,
};
