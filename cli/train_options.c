/* train_options.c - see train_options.h: the tables of the five kinds of training, of which most rows are common to all
 * of them, and what of their options goes together. */
#include "train_options.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "values.h"

/* ---- values of their own ---- */

static bool read_epochs(void *owner, const char *text) {
    variant_training *run = owner;
    run->steps = 0; /* the last of both counts */
    if (cli_double(text, 0, 1e6, &run->epochs) && run->epochs > 0.0) return true;
    return cli_refuse("expected a number above 0, up to %g", 1e6);
}

static bool read_betas(void *owner, const char *text) {
    variant_training *run = owner;
    double betas[2];
    int count = 0;
    if (!cli_doubles(text, 0, 1, 2, betas, &count) || count != 2)
        return cli_refuse(
            "expected two numbers from 0 to 1 with a comma between, such as 0.9,0.95");
    run->beta1 = betas[0];
    run->beta2 = betas[1];
    return true;
}

static void show_betas(const void *owner, char *out, size_t size) {
    const variant_training *run = owner;
    snprintf(out, size, "%g,%g", run->beta1, run->beta2);
}

static bool read_spike(void *owner, const char *text) {
    double *spike = &((variant_training *)owner)->spike;
    return (cli_double(text, 0, 1e6, spike) && (*spike == 0.0 || *spike > 1.0)) ||
           cli_refuse("expected 0, or a number above 1, up to 1000000");
}

/* "3-5": the first, and how many more. */
static bool read_bridge(void *owner, const char *text) {
    variant_train_supernet_options *options = &((training *)owner)->supernet;
    int first = 0, last = 0;
    if (!cli_range(text, 0, VARIANT_MAX_SCALES, &first, &last)) return false;
    options->bridge = first;
    options->more_bridge = last - first;
    return true;
}

/* ---- rows that all kinds have ---- */

#define MOST 1000000000
#define COMMON(member) variant_training, member

/* Of variant_training. */
static const cli_option length_rows[] = {
    {"epochs", "X", "times through the data, above 0, real numbers allowed",
     CLI_REAL(COMMON(epochs), 0, 1e6), .read = read_epochs, .unset = "from the data"},
    {"steps", "N", "steps instead of --epochs", CLI_INT64(COMMON(steps), 1, MOST), .unset = ""},
    {"stop-after", "STEP",
     "end behind this step as Ctrl-C does, the rate being that of --steps or --epochs; --resume "
     "goes on",
     CLI_INT64(COMMON(stop_after), 1, MOST), .unset = "the last"},
    {"limit", "N", "only N pictures, spread over the data, for quick trials",
     CLI_INT(COMMON(limit), 1, MOST), .unset = "all"},
    {0},
};
static const cli_option step_rows[] = {
    {"lr-end", "X", "where the cosine ends, {range}", CLI_REAL(COMMON(learning_rate_end), 0, 1),
     .unset = "a fiftieth of --lr"},
    {"schedule", "RULE", "the rate after the warm-up: {words}",
     CLI_EITHER(COMMON(constant_rate), "cosine|constant", 1)},
    {"weight-decay", "X", "of matrices, {range}", CLI_REAL(COMMON(weight_decay), 0, 10)},
    {"betas", "X,Y", "of AdamW", .read = read_betas, .show = show_betas},
    {"clip", "X", "global gradient norm; 0: off", CLI_REAL(COMMON(clip), 0, 1e9)},
    {"flip", NULL, "mirror pictures at random", CLI_FLAG(COMMON(flip))},
    {"precision", "TYPE", "of products: {words}; sums and weights stay f32",
     CLI_NAME(COMMON(precision), "f32|bf16")},
    {0},
};
static const cli_option sheet_row[] = {
    {"sample-every", "STEPS", "a contact sheet in samples/; 0: never",
     CLI_INT64(COMMON(sample_every), 0, MOST)},
    {0},
};
static const cli_option run_rows[] = {
    {"output", "DIR", "the run's folder (required)", .letter = 'o',
     CLI_TEXT(COMMON(output), "a folder for the run's results"), .own = true},
    {"data-index", "FILE",
     "what folders of more than 20000 training pictures hold, kept so that they are opened again "
     "at once",
     CLI_TEXT(COMMON(index), "a file for an index of pictures"),
     .unset = "pictures.index in the run's folder"},
    {"log-every", "STEPS", "a line of log.jsonl", CLI_INT64(COMMON(log_every), 0, MOST)},
    {"save-every", "STEPS", "a checkpoint", CLI_INT64(COMMON(save_every), 0, MOST)},
    {"eval-count", "N", "pictures of the test split; 0: all", CLI_INT(COMMON(eval_count), 0, MOST)},
    {"seed", "N", "of everything random", .letter = 's', CLI_U64(COMMON(seed)), .own = true},
    {"resume", NULL,
     "go on from the checkpoint in the run's folder; what followed from the data is as it was",
     CLI_FLAG(COMMON(resume))},
    {"extend", "RULE", "--resume with other --steps or --epochs: {words}",
     CLI_EITHER(COMMON(keep_rate), "cosine|constant", 1),
     .notes = "the rate goes over to the cosine of the new length|it stays as it is"},
    {"restart", NULL, "start anew though there is a checkpoint", CLI_FLAG(COMMON(restart))},
    {"no-verify", NULL,
     "take tensors of models and of the checkpoint as they are, though their checksums say that "
     "they are damaged",
     CLI_OFF(COMMON(verify)), .own = true},
    {"dry-run", NULL,
     "tell the memory that it would take, part by part, and end; -o may be left out",
     CLI_FLAG(COMMON(dry_run))},
    {"on-divergence", "WHAT", "at a gradient that is not finite, or a spike: {words}",
     CLI_EITHER(COMMON(skip_diverged), "stop|skip", 1), .notes = "|the step is left out"},
    {"spike", "FACTOR",
     "a loss above FACTOR times its running mean is a spike, 1.5 say; 0: none is, else above 1",
     CLI_REAL(COMMON(spike), 0, 1e6), .read = read_spike},
    {0},
};
static const cli_option rank_rows[] = {
    {"wire", "TYPE", "as what gradients travel between ranks: {words}; the log has what it loses",
     CLI_NAME(COMMON(wire), "f32|bf16")},
    {"no-shard-optimizer", NULL,
     "every rank keeps AdamW's moments of all weights, instead of a share; the same weights",
     CLI_OFF(COMMON(shard_optimizer))},
    {0},
};
static const cli_option memory_rows[] = {
    {"accumulate", "N",
     "compute a batch in N slices, one after another: the memory for activations is one slice's, "
     "the "
     "weights are the same to within rounding",
     CLI_INT(COMMON(accumulate), 1, 65536), .unset = "1"},
    {"recompute", NULL,
     "keep a layer's input alone and compute the rest again for its gradient: the same weights in "
     "less memory, for about a third more time",
     CLI_FLAG(COMMON(recompute))},
    {0},
};
static const cli_option no_rows[] = {{0}};
/* Of training. */
static const cli_option own_run_rows[] = {
    {"threads", "N", "{range}", .letter = 't', CLI_INT(training, run.threads, 1, 1024),
     .unset = "one a processor"},
    {"json", NULL, "--dry-run: one object on stdout", CLI_FLAG(training, json), .own = true},
    {"quiet", NULL, "no progress", .letter = 'q', CLI_FLAG(training, quiet)},
    {0},
};

/* most, rate, rise and every: what follows from the data where the options are not given. sheet_row: or none. */
#define COMMON_ROWS(most, rate, rise, every, sheet)                                                \
    CLI_HEADING("data"), CLI_ROWS(cli_training_data_option, cli_data, training, data, NULL),       \
        CLI_ROWS(cli_data_options, cli_data, training, data, "holdout fit alpha"),                 \
        CLI_HEADING("length and rate"),                                                            \
        CLI_ROWS(length_rows, variant_training, training, run, NULL),                              \
        OWN_ROW("batch", "N", "pictures a step", "from the data, up to " most,                     \
                CLI_INT(training, run.batch, 1, 65536)),                                           \
        OWN_ROW("lr", "X", "highest learning rate, {range}", rate,                                 \
                CLI_ABOVE(training, run.learning_rate, 0, 1)),                                     \
        OWN_ROW("warmup", "STEPS", "linear warm-up", rise ", of short trainings a tenth",          \
                CLI_INT64(training, run.warmup, 0, MOST)),                                         \
        CLI_ROWS(step_rows, variant_training, training, run, NULL), CLI_HEADING("memory"),         \
        CLI_ROWS(memory_rows, variant_training, training, run, NULL), CLI_HEADING("the run"),      \
        CLI_ROWS(run_rows, variant_training, training, run, NULL),                                 \
        CLI_ROWS(sheet, variant_training, training, run, NULL),                                    \
        OWN_ROW("eval-every", "STEPS", "evaluate on the test split", every,                        \
                CLI_INT64(training, run.eval_every, 0, MOST)),                                     \
        {.rows = own_run_rows}, CLI_HEADING("several ranks (mpirun)"),                             \
        CLI_ROWS(rank_rows, variant_training, training, run, NULL), CLI_HEADING("the model")
/* A row that says other things in another kind's table. */
#define OWN_ROW(name_, argument_, help_, unset_, ...)                                              \
    { name_, argument_, help_, __VA_ARGS__, .unset = unset_, .own = true }

/* ---- the five tables ---- */

#define TOKENIZER_(member) training, tokenizer.member
static const cli_option tokenizer_options[] = {
    COMMON_ROWS("32", "0.001", "100", "at the end only", sheet_row),
    {"side", "PIXELS", "of pictures; made one that the levels can halve",
     CLI_INT(TOKENIZER_(side), 1, 4096), .unset = "32", .own = true},
    CLI_ROWS(cli_channels_option, int, training, tokenizer.channels, NULL),
    {"width", "N", "channels of the first level, {range}", CLI_INT(TOKENIZER_(width), 32, 4096),
     .step = 32, .own = true, .unset = "32; 64 for many large pictures"},
    {"mult", "A,B,..",
     "channel multipliers, one a level; every level but the first halves the side",
     CLI_INTS(TOKENIZER_(mult), tokenizer.level_count, 1, 1024), .own = true,
     .unset = "from --side; 1,2,2 at 32 pixels"},
    {"blocks", "N", "residual blocks a level", CLI_INT(TOKENIZER_(blocks), 1, 16)},
    {"codes", "N", "codebook entries", CLI_INT(TOKENIZER_(codes), 2, 1 << 20),
     .unset = "from the data, 64 to 4096"},
    {"latent", "N", "size of a code", CLI_INT(TOKENIZER_(latent_dim), 1, 4096),
     .unset = "16; above 1024 codes 32"},
    {"sides", "A,B,..", "sides of the token maps",
     CLI_INTS(TOKENIZER_(sides), tokenizer.scales, 1, 128), .own = true,
     .unset = "from --side: 1,2,3,4,5,6,8 at 32 and 64 pixels"},
    {"crop", "PIXELS", "read pictures this much larger and cut a random window",
     CLI_INT(TOKENIZER_(crop), 0, 1024), .own = true},
    {"vq-weight", "X", "weight of the quantisation loss", CLI_REAL(TOKENIZER_(vq_weight), 0, 1000)},
    {"revive-after", "STEPS", "re-seed a code unused for so long; 0: never",
     CLI_INT(TOKENIZER_(revive_after), 0, 1000000)},
    {0},
};

#define DECODER_(member) training, decoder.member
static const cli_option decoder_options[] = {
    COMMON_ROWS("32", "0.002", "100", "at the end only", sheet_row),
    {"tokenizer", "FILE",
     "a trained tokenizer, or a whole model: what is written is it and the decoder (required)",
     CLI_TEXT(DECODER_(tokenizer), "a tokenizer's file or folder"), .own = true},
    {"part", "NAME", "which of several models in a file, such as ema or model",
     CLI_TEXT(DECODER_(part), "the name of a state dict, such as ema or model"),
     .unset = "averaged weights before others, said on stderr"},
    {"size", "NAME", "{words} of the channels of the tokenizer's own decoder",
     CLI_NAME(DECODER_(decoder), "tiny|small|medium"), .notes = "an eighth|a quarter|half",
     .unset = "small"},
    {"pixels", "X", "weight of the squared difference from the pictures, {range}",
     CLI_REAL(DECODER_(pixels), 0, 1000)},
    {"teacher", "X",
     "weight of the squared difference from what the tokenizer's own decoder makes, {range}",
     CLI_REAL(DECODER_(teacher), 0, 1000)},
    {"partial", "P", "chance that a picture is shown by its first scales alone, {range}",
     CLI_REAL(DECODER_(partial), 0, 1)},
    {0},
};

#define CLASSIFIER_(member) training, classifier.member
static const cli_option classifier_options[] = {
    COMMON_ROWS("64", "0.002", "100", "every epoch, of many epochs twenty times", no_rows),
    {"model", "FILE", "what to start from: another classifier of the same shape",
     CLI_TEXT(CLASSIFIER_(model), "a model's file or folder"), .own = true, .unset = "nothing"},
    {"side", "PIXELS", "of pictures; made one that the levels can halve",
     CLI_INT(CLASSIFIER_(side), 2, 1024), .unset = "32", .own = true},
    CLI_ROWS(cli_channels_option, int, training, classifier.channels, NULL),
    {"width", "N", "channels of the first level, {range}", CLI_INT(CLASSIFIER_(width), 32, 4096),
     .step = 32, .own = true},
    {"mult", "A,B,..", "channel multipliers, one a level; every level halves the side",
     CLI_INTS(CLASSIFIER_(mult), classifier.level_count, 1, 1024), .own = true,
     .unset = "from --side; 1,2,2 at 32 pixels"},
    {"blocks", "N", "residual blocks a level", CLI_INT(CLASSIFIER_(blocks), 1, 16)},
    {"features", "N", "numbers that describe a picture", CLI_INT(CLASSIFIER_(features), 1, 4096),
     .own = true},
    {"crop", "PIXELS", "read pictures this much larger and cut a random window",
     CLI_INT(CLASSIFIER_(crop), 0, 1024), .own = true, .unset = "4, an eighth of sides below 32"},
    {"erase", "P", "chance that a rectangle of a picture is covered",
     CLI_REAL(CLASSIFIER_(erase), 0, 1)},
    {"label-smoothing", "X", "of the targets, {range}",
     CLI_REAL(CLASSIFIER_(label_smoothing), 0, 0.999), .own = true},
    {0},
};

/* Of variant_train_transformer_options: a new transformer, and the tokens it is trained on. */
#define MODEL_(member) variant_train_transformer_options, member
static const cli_option model_rows[] = {
    {"tokenizer", "FILE", "a trained tokenizer (required, unless --model holds one)",
     CLI_TEXT(MODEL_(tokenizer), "a tokenizer's file or folder"), .own = true},
    {"part", "NAME", "which of several models in a file, such as ema or model",
     CLI_TEXT(MODEL_(part), "the name of a state dict, such as ema or model"),
     .unset = "averaged weights before others, said on stderr"},
    {"token-cache", "FILE", "the pictures as tokens",
     CLI_TEXT(MODEL_(cache), "a file for the tokens"), .unset = "tokens.cache in the run's folder"},
    {"verify-data", NULL,
     "read every picture again to see whether its tokens still hold (sets up to 20000 always do; "
     "larger ones only files whose times or inode changed)",
     CLI_FLAG(MODEL_(verify_data))},
    {"depth", "N", "layers of a new transformer", CLI_INT(MODEL_(depth), 1, VARIANT_MAX_LAYERS),
     .own = true, .unset = "from the data, 4 to 16"},
    {"width", "N", "channels of a new transformer", CLI_INT(MODEL_(width), 1, 65536), .own = true,
     .unset = "from the data, 64 to 384"},
    {"heads", "N", "attention heads", CLI_INT(MODEL_(heads), 1, 1024), .own = true,
     .unset = "one for 64 of --width"},
    {"mlp-ratio", "X", "hidden width of the MLP, {range}", CLI_REAL(MODEL_(mlp_ratio), 0.1, 64)},
    {"shared-adaln", NULL, "one modulation for all blocks, as the 512 px model",
     CLI_FLAG(MODEL_(shared_adaln))},
    {"no-l2-norm", NULL, "plain attention, without normalised queries and keys",
     CLI_OFF(MODEL_(l2_norm))},
    {"label-drop", "X", "labels dropped for guidance, {range}", CLI_REAL(MODEL_(label_drop), 0, 1)},
    {"label-smoothing", "X", "of the targets, {range}", CLI_REAL(MODEL_(label_smoothing), 0, 1),
     .own = true},
    {0},
};
#define SHAPE "depth|width|heads|mlp-ratio|shared-adaln|no-l2-norm"

static const cli_option transformer_options[] = {
    COMMON_ROWS("32", "from the width: 0.001 at 128", "200", "at the end only", sheet_row),
    CLI_ROWS(model_rows, variant_train_transformer_options, training, transformer, NULL),
    {0},
};

#define SUPERNET_(member) training, supernet.member
#define PATHS "sandwich|phases|fixed-ratio"
static const cli_option supernet_options[] = {
    COMMON_ROWS("16", "from the width: at 128 0.0002, without --model 0.001", "100",
                "at the end only", sheet_row),
    {"model", "FILE", "what to start from: a trained full transformer, yours or a published .pth",
     CLI_TEXT(SUPERNET_(model), "a model's file or folder"), .own = true, .unset = "nothing"},
    CLI_ROWS(model_rows, variant_train_transformer_options, training, transformer, NULL),
    CLI_HEADING("its subnets"),
    {"depths", "A,B,..", "of the subnets",
     CLI_INTS(SUPERNET_(depths), supernet.depth_count, 1, VARIANT_MAX_LAYERS), .own = true,
     .unset = "half of the layers and a quarter"},
    {"bridge", "N|N-M", "scales at full depth before the subnet's; a range is drawn from",
     CLI_INT(SUPERNET_(bridge), 0, VARIANT_MAX_SCALES), .read = read_bridge, .own = true,
     .unset = "6 in 10 of all, to one more"},
    {"layers", "NAME", "{words}", CLI_NAME(SUPERNET_(layers), "equidistant|rounded|prefix"),
     .own = true},
    {"train-schedules", "A,B,..;A,B,..",
     "subnets as layers for each scale, instead of --depths and --bridge",
     CLI_TEXT(SUPERNET_(schedules),
              "layers of every scale such as 8,8,4,2, several between semicolons"),
     .letters = "0123456789,; ", .unset = "none"},
    {"sandwich", NULL,
     "both paths at every step, their gradients averaged: what is done unless another way is "
     "chosen",
     CLI_FLAG(SUPERNET_(sandwich))},
    {"phases", NULL,
     "one path a step instead, the subnet's ever more often: joint, transition, subnet phase",
     CLI_OFF(SUPERNET_(sandwich))},
    {"joint-ratio", "P", "--phases: chance of the subnet at first, {range}",
     CLI_REAL(SUPERNET_(joint_ratio), 0, 1)},
    {"joint-end", "EPOCH", "--phases: end of the joint phase",
     CLI_REAL(SUPERNET_(joint_end), 0, 1e6), .unset = "a sixth of the epochs"},
    {"transition-end", "EPOCH", "--phases: end of the transition",
     CLI_REAL(SUPERNET_(transition_end), 0, 1e6), .unset = "two thirds of the epochs"},
    {"fixed-ratio", "P", "one path a step, the subnet's with this chance throughout, {range}",
     CLI_REAL(SUPERNET_(fixed_ratio), 0, 1), .unset = ""},
    {"draw", "RULE", "of a subnet: {words}",
     CLI_NAME(SUPERNET_(draw), "uniform|weighted|deepest-first"),
     .notes = "||others join until --transition-end"},
    {"draw-weights", "A,B,..", "one for each of --depths; --draw weighted is implied",
     CLI_REALS(SUPERNET_(weights), supernet.weight_count, 0, 1e9)},
    {"distill", "X",
     "weight of KL from the full path's predictions where layers are left out; 0: none",
     CLI_REAL(SUPERNET_(distill), 0, 1e6)},
    {"distill-end", "X",
     "its weight at the end, moved to evenly; where --distill is given it stays",
     CLI_REAL(SUPERNET_(distill_end), 0, 1e6)},
    {"uncond-train-depth", "U",
     "drop labels mostly where the subnet of this depth is drawn, one of --depths: guidance's "
     "unconditional branch",
     CLI_INT(SUPERNET_(uncond_depth), 1, VARIANT_MAX_LAYERS), .own = true,
     .unset = "on every step"},
    {"log-conflict", "STEPS", "log the cosine between the gradients of both paths; 0: never",
     CLI_INT64(SUPERNET_(log_conflict), 0, MOST)},
    {0},
};

/* ---- what goes together ---- */

/* How a supernet's subnets are drawn. */
static int settle_draw(variant_train_supernet_options *options, const cli_line *line) {
    const bool late = strcmp(options->draw, "deepest-first") == 0;
    const int weights = options->weight_count;
    if (cli_given(line, "transition-end") && !cli_given(line, "phases") && !late)
        return cli_misuse("--transition-end is for --phases or --draw deepest-first");
    if (strcmp(options->draw, "uniform") == 0 && weights > 0) options->draw = "weighted";
    if (strcmp(options->draw, "weighted") != 0)
        return weights > 0 ? cli_misuse("--draw-weights is for --draw weighted") : -1;
    int subnets = options->depth_count;
    if (options->schedules) {
        subnets = 1;
        for (const char *at = options->schedules; *at; ++at) subnets += *at == ';';
    }
    if (subnets > 0 && weights != subnets) /* 0: the depths follow from the model */
        return cli_misuse("--draw-weights: %d given, expected %d, one a subnet", weights, subnets);
    return -1;
}

/* Choices of a supernet that exclude or need each other. */
static int settle_supernet(variant_train_supernet_options *options, const cli_line *line) {
    const char *shape = cli_first_given(line, SHAPE);
    int one = cli_one_of(line, PATHS);
    if (cli_given(line, "distill") && !cli_given(line, "distill-end")) options->distill_end = -1.0;
    if (options->model && shape) return cli_misuse("--%s: the shape is that of --model", shape);
    if (one >= 0) return one;
    const char *joint = cli_first_given(line, "joint-ratio|joint-end");
    if (joint && !cli_given(line, "phases")) return cli_misuse("--%s is for --phases", joint);
    return settle_draw(options, line);
}

/* What is required. */
static int settle_given(const training *run) {
    const bool supernet = run->kind == VARIANT_TRAINING_SUPERNET;
    if (!run->data.paths.count)
        return cli_misuse("--data is missing: a folder of pictures or IDX files");
    if (!run->run.output && !run->run.dry_run)
        return cli_misuse("-o is missing: the folder for the run's results");
    if ((run->kind == VARIANT_TRAINING_TRANSFORMER && !run->transformer.tokenizer) ||
        (run->kind == VARIANT_TRAINING_DECODER && !run->decoder.tokenizer))
        return cli_misuse("--tokenizer is missing: a trained tokenizer");
    if (supernet && !run->supernet.model && !run->transformer.tokenizer)
        return cli_misuse("--model is missing: the trained full transformer to start from "
                          "(or --tokenizer, to start from nothing)");
    return -1;
}

int training_settle(training *run, const cli_line *line) {
    const int one = cli_one_of(line, "resume|restart"), given = settle_given(run);
    if (given >= 0) return given;
    if (one >= 0) return one;
    if (run->json && !run->run.dry_run) return cli_misuse("--json is for --dry-run");
    if (run->run.resume && !run->run.output)
        return cli_misuse("--resume needs -o, the folder of the run that it goes on with");
    if (cli_given(line, "extend") && !run->run.resume)
        return cli_misuse("--extend is for --resume");
    return run->kind == VARIANT_TRAINING_SUPERNET ? settle_supernet(&run->supernet, line) : -1;
}

/* ---- the commands ---- */

static void init_kind(training *run, variant_training_kind kind) {
    *run = (training){.kind = kind, .data = cli_data_defaults()};
    variant_training_init(&run->run, kind);
    variant_train_tokenizer_options_init(&run->tokenizer);
    variant_train_transformer_options_init(&run->transformer);
    variant_train_supernet_options_init(&run->supernet);
    variant_train_classifier_options_init(&run->classifier);
    variant_train_decoder_options_init(&run->decoder);
}

static void init_tokenizer(void *settings) {
    init_kind(settings, VARIANT_TRAINING_TOKENIZER);
}

static void init_transformer(void *settings) {
    init_kind(settings, VARIANT_TRAINING_TRANSFORMER);
}

static void init_supernet(void *settings) {
    init_kind(settings, VARIANT_TRAINING_SUPERNET);
}

static void init_classifier(void *settings) {
    init_kind(settings, VARIANT_TRAINING_CLASSIFIER);
}

static void init_decoder(void *settings) {
    init_kind(settings, VARIANT_TRAINING_DECODER);
}

#define KIND(kind)                                                                                 \
    .name = "train " #kind, .options = kind##_options, .init = init_##kind, .run = training_run,   \
    .size = sizeof(training), .opens = true, .usage = "--data DIR|IDX -o DIR [options]",           \
    .notes = "What follows from the data is printed as it would be given (chosen: ..). "           \
             "Ctrl-C finishes the step, saves, and tells how to go on."

static const cli_command tokenizer_command = {
    KIND(tokenizer),
    .purpose = "pictures to token maps and back: the first thing to train",
    .about = "Trains a tokenizer: pictures to token maps and back.",
    .examples = "variant train tokenizer --data fashion-mnist -o runs/tok --epochs 8 "
                "--sample-every 500\n"
                "variant train tokenizer --data photos -o runs/tok --side 64",
};
static const cli_command transformer_command = {
    KIND(transformer),
    .purpose = "draws token maps for a class, scale by scale",
    .about = "Trains a transformer on a trained tokenizer's token maps.",
    .examples = "variant train transformer --data fashion-mnist --tokenizer runs/tok -o runs/var "
                "--epochs 20\n"
                "variant train transformer --data fashion-mnist --tokenizer runs/tok -o runs/var "
                "--epochs 20 --resume",
};
static const cli_command supernet_command = {
    KIND(supernet),
    .purpose = "makes a trained transformer run at several depths",
    .about = "Trains a full transformer on so that its late scales can run fewer layers.",
    .examples = "variant train supernet --data fashion-mnist --model runs/var -o runs/net --epochs "
                "12 \\\n"
                "    --depths 4,2\n"
                "variant train supernet --data imagenet/train --model var_d16.pth --tokenizer "
                "vae_ch160v4096z32.pth \\\n"
                "    -o runs/d16 --depths 8,4,2 --lr 1e-6 --precision bf16",
};
static const cli_command classifier_command = {
    KIND(classifier),
    .purpose = "names the class of a picture: what generated ones are judged by",
    .about = "Trains a classifier on your own pictures: what generated ones are judged by.",
    .examples = "variant train classifier --data fashion-mnist -o runs/classifier --epochs 8\n"
                "variant train classifier --data photos -o runs/classifier --side 64 --flip",
};

static const cli_command decoder_command = {
    KIND(decoder),
    .purpose = "a small, fast decoder for previews, beside a tokenizer's own",
    .about =
        "Trains a preview decoder: a small one that makes of a tokenizer's maps nearly what the "
        "tokenizer's own makes of them, in a fraction of its time. What is written is the "
        "model given, unchanged, with the decoder inside: `--decoder preview` uses it, and "
        "previews of scales do so by themselves.",
    .examples =
        "variant train decoder --data fashion-mnist --tokenizer models/fashion -o runs/decoder\n"
        "variant train decoder --data photos --tokenizer runs/tokenizer -o runs/decoder "
        "--size tiny --sample-every 500",
};

static const cli_command *const kinds[] = {&tokenizer_command, &transformer_command,
                                           &supernet_command,  &classifier_command,
                                           &decoder_command,   NULL};

const cli_command cli_train = {
    .name = "train",
    .purpose =
        "a tokenizer, a transformer, a supernet of many depths, a classifier, or a preview decoder",
    .usage = "tokenizer|transformer|supernet|classifier|decoder --data DIR|IDX -o DIR [options]",
    .about = "Trains a model on your own pictures: a tokenizer first, on it a transformer, of "
             "that a supernet.",
    .notes = "variant train tokenizer --help, and so on, lists the options of each.",
    .kinds = kinds,
};

/* ---- the same, planned: no more than the memory they would take ---- */

#define PLANNED(kind)                                                                              \
    static void init_planned_##kind(void *settings) {                                              \
        training *run = settings;                                                                  \
        init_##kind(run);                                                                          \
        run->run.dry_run = true;                                                                   \
    }                                                                                              \
    static const cli_command planned_##kind = {                                                    \
        .name = "plan train " #kind,                                                               \
        .purpose = "the memory of `variant train " #kind "` with these options",                   \
        .options = kind##_options,                                                                 \
        .init = init_planned_##kind,                                                               \
        .opens = true,                                                                             \
        .run = training_run,                                                                       \
        .size = sizeof(training),                                                                  \
        .usage = "--data DIR|IDX [options]",                                                       \
        .about = "Tells, part by part, the bytes that the training would take; takes none of "     \
                 "them.",                                                                          \
    }

PLANNED(tokenizer);
PLANNED(transformer);
PLANNED(supernet);
PLANNED(classifier);
PLANNED(decoder);

static const cli_command *const planned[] = {&planned_tokenizer, &planned_transformer,
                                             &planned_supernet,  &planned_classifier,
                                             &planned_decoder,   NULL};

const cli_command cli_plan_train = {
    .name = "plan train",
    .purpose = "the memory that a training would take",
    .usage = "tokenizer|transformer|supernet|classifier|decoder --data DIR|IDX [options]",
    .about = "Tells the memory of a training before it begins: `variant train KIND --dry-run`.",
    .kinds = planned,
};
