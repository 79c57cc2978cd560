/* synth.c - `variant synth`: a checkpoint whose every weight is a formula (io/synth.h), for tests
 * and benchmarks. */
#include <string.h>

#include "request.h"

typedef struct settings {
    variant_engine_options engine;
    const char *output, *type, *only, *preview;
} settings;

static void init(void *user) {
    cli_engine_init(&((settings *)user)->engine);
}

static int run(void *user, const cli_line *line) {
    const settings *s = user;
    if (!line->operand_count) return cli_misuse("expected one configuration, a JSON file");
    if (!s->output) return cli_misuse("-o is missing: the file to write");
    if (s->preview && s->only && strcmp(s->only, "transformer") == 0)
        return cli_misuse("--preview goes with a tokenizer: not with --only transformer");
    if (strcmp(line->operands[0], "inception") == 0 && (s->only || s->preview))
        return cli_misuse("--%s is for a model: inception has one part",
                          s->only ? "only" : "preview");
    variant_error err = {0};
    variant_synth_options options;
    variant_synth_options_init(&options);
    options.config = line->operands[0];
    options.type = s->type;
    options.only = s->only;
    options.preview = s->preview;
    options.backend = s->engine.backend;
    options.threads = s->engine.threads;
    return cli_end(variant_synthesize(s->output, &options, &err), &err);
}

static const cli_option options[] = {
    {"output", "FILE", "the safetensors file", .letter = 'o',
     CLI_TEXT(settings, output, "where to write"), .own = true},
    {"type", "T", "of weights: {words}; vectors stay f32", CLI_NAME(settings, type, "f32|f16|bf16"),
     .unset = "f32"},
    {"only", "PART", "{words}", CLI_NAME(settings, only, "tokenizer|transformer"), .unset = "both"},
    {"preview", "SIZE", "a preview decoder in it as well: {words}",
     CLI_NAME(settings, preview, VARIANT_PREVIEW_SIZES), .unset = "none"},
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
