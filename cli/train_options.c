/* train_options.c - see train_options.h: the table of flags, the setters behind it, the help made from
 * it. */
#include "train_options.h"

#include <stdio.h>
#include <string.h>

#include "parse.h"

enum { MODELS = TRANSFORMER | SUPERNET, PICTURES = TOKENIZER | CLASSIFIER, ALL = 15 };

enum {
    O_EPOCHS = 256,
    O_STEPS,
    O_BATCH,
    O_LIMIT,
    O_LR,
    O_LR_END,
    O_SCHEDULE,
    O_WARMUP,
    O_DECAY,
    O_BETAS,
    O_CLIP,
    O_FLIP,
    O_LOG,
    O_SAVE,
    O_SAMPLE,
    O_EVAL,
    O_EVAL_COUNT,
    O_RESUME,
    O_EXTEND,
    O_RESTART,
    O_DIVERGENCE,
    O_SPIKE,
    O_QUIET,
    O_PRECISION,
    O_SIDE,
    O_CHANNELS,
    O_WIDTH,
    O_MULT,
    O_BLOCKS,
    O_CODES,
    O_LATENT,
    O_SIDES,
    O_CROP,
    O_VQ,
    O_REVIVE,
    O_FEATURES,
    O_ERASE,
    O_TOKENIZER,
    O_PART,
    O_CACHE,
    O_VERIFY,
    O_DEPTH,
    O_HEADS,
    O_RATIO,
    O_SHARED,
    O_NO_L2,
    O_DROP,
    O_SMOOTHING,
    O_MODEL,
    O_JOINT_RATIO,
    O_JOINT_END,
    O_TRANSITION_END,
    O_FIXED,
    O_SANDWICH,
    O_PHASES,
    O_DRAW,
    O_WEIGHTS,
    O_SCHEDULES,
    O_DISTILL,
    O_DISTILL_END,
    O_CONFLICT,
    O_DEPTHS,
    O_BRIDGE,
    O_LAYERS
};

typedef struct flag {
    const char *name;
    int id;
    int kinds;
    const char *argument; /* NULL: none */
    const char *help;
} flag;

static const flag flags[] = {
    {"data", CLI_DATA, ALL, "DIR|IDX",
     "a folder with a sub-folder a class, IDX files or an .npz (required); several are\n"
     "                                   joined by the names of their classes"},
    {"holdout", CLI_HOLDOUT, ALL, "X", CLI_HOLDOUT_TEXT},
    {"fit", CLI_FIT, ALL, CLI_FIT_WORDS, CLI_FIT_TEXT},
    {"alpha", CLI_ALPHA, ALL, CLI_ALPHA_WORDS, CLI_ALPHA_TEXT},
    {"output", 'o', ALL, "DIR", "the run's folder (required)"},
    {"epochs", O_EPOCHS, ALL, "X",
     "times through the data, above 0, real numbers allowed (from the data)"},
    {"steps", O_STEPS, ALL, "N", "steps instead of --epochs"},
    {"batch", O_BATCH, TOKENIZER | TRANSFORMER, "N", "pictures a step (from the data, up to 32)"},
    {"batch", O_BATCH, SUPERNET, "N", "pictures a step (from the data, up to 16)"},
    {"batch", O_BATCH, CLASSIFIER, "N", "pictures a step (from the data, up to 64)"},
    {"limit", O_LIMIT, ALL, "N", "only N pictures, spread over the data, for quick trials (all)"},
    {"lr", O_LR, TOKENIZER, "X", "highest learning rate, above 0 to 1 (0.001)"},
    {"lr", O_LR, TRANSFORMER, "X",
     "highest learning rate, above 0 to 1 (from the width: 0.001 at 128)"},
    {"lr", O_LR, SUPERNET, "X",
     "highest learning rate, above 0 to 1 (from the width: at 128 0.0002, without --model 0.001)"},
    {"lr", O_LR, CLASSIFIER, "X", "highest learning rate, above 0 to 1 (0.002)"},
    {"lr-end", O_LR_END, ALL, "X", "where the cosine ends (a fiftieth of --lr)"},
    {"schedule", O_SCHEDULE, ALL, "cosine|constant", "the rate after the warm-up (cosine)"},
    {"warmup", O_WARMUP, TOKENIZER | SUPERNET | CLASSIFIER, "STEPS",
     "linear warm-up (100, of short trainings a tenth)"},
    {"warmup", O_WARMUP, TRANSFORMER, "STEPS", "linear warm-up (200, of short trainings a tenth)"},
    {"weight-decay", O_DECAY, TOKENIZER, "X", "of matrices (0)"},
    {"weight-decay", O_DECAY, MODELS | CLASSIFIER, "X", "of matrices (0.05)"},
    {"betas", O_BETAS, ALL, "X,Y", "of AdamW (0.9,0.95)"},
    {"clip", O_CLIP, ALL, "X", "global gradient norm (2; 0: off)"},
    {"flip", O_FLIP, ALL, NULL, "mirror pictures at random (off)"},
    {"log-every", O_LOG, ALL, "STEPS", "a line of log.jsonl (50)"},
    {"save-every", O_SAVE, ALL, "STEPS", "a checkpoint (500)"},
    {"sample-every", O_SAMPLE, TOKENIZER | MODELS, "STEPS", "a contact sheet in samples/ (never)"},
    {"eval-every", O_EVAL, TOKENIZER | MODELS, "STEPS",
     "evaluate on the test split (at the end only)"},
    {"eval-every", O_EVAL, CLASSIFIER, "STEPS",
     "evaluate on the test split (every epoch, of many epochs twenty times)"},
    {"eval-count", O_EVAL_COUNT, TOKENIZER | MODELS, "N",
     "pictures of the test split (1000; 0: all)"},
    {"eval-count", O_EVAL_COUNT, CLASSIFIER, "N", "pictures of the test split (0: all)"},
    {"seed", 's', ALL, "N", "of everything random (1)"},
    {"threads", 't', ALL, "N", "threads (one a processor)"},
    {"precision", O_PRECISION, ALL, "f32|bf16", "of products; sums and weights stay f32 (f32)"},
    {"resume", O_RESUME, ALL, NULL,
     "go on from the checkpoint in the run's folder; what followed from the data is as it was"},
    {"extend", O_EXTEND, ALL, "cosine|constant",
     "--resume with other --steps or --epochs: the rate goes over to the cosine of the "
     "new length, or stays as it is (cosine)"},
    {"restart", O_RESTART, ALL, NULL, "start anew though there is a checkpoint"},
    {"on-divergence", O_DIVERGENCE, ALL, "stop|skip",
     "at a gradient that is not finite, or a spike: end, or leave the step out (stop)"},
    {"spike", O_SPIKE, ALL, "FACTOR",
     "0, or above 1: a loss above FACTOR times its running mean is a spike, 1.5 say (0: none is)"},
    {"quiet", 'q', ALL, NULL, "no progress"},
    {"help", 'h', ALL, NULL, "this text"},
    {"side", O_SIDE, PICTURES, "PIXELS", "of pictures; made one that the levels can halve (32)"},
    {"channels", O_CHANNELS, PICTURES, "1|3", "grey or colour (1 for IDX, 3 for folders)"},
    {"width", O_WIDTH, TOKENIZER, "N",
     "channels of the first level, a multiple of 32 (32; 64 for many large pictures)"},
    {"width", O_WIDTH, CLASSIFIER, "N", "channels of the first level, a multiple of 32 (32)"},
    {"width", O_WIDTH, MODELS, "N", "channels of a new transformer (from the data, 64 to 384)"},
    {"mult", O_MULT, TOKENIZER, "A,B,..",
     "channel multipliers, one a level; every level but the first halves the side (from --side; "
     "1,2,2 "
     "at 32 pixels)"},
    {"mult", O_MULT, CLASSIFIER, "A,B,..",
     "channel multipliers, one a level; every level halves the side (from --side; 1,2,2 at 32 "
     "pixels)"},
    {"blocks", O_BLOCKS, PICTURES, "N", "residual blocks a level (1)"},
    {"codes", O_CODES, TOKENIZER, "N", "codebook entries (from the data, 64 to 4096)"},
    {"latent", O_LATENT, TOKENIZER, "N", "size of a code (16; above 1024 codes 32)"},
    {"sides", O_SIDES, TOKENIZER, "A,B,..",
     "sides of the token maps (from --side: 1,2,3,4,5,6,8 at 32 and 64 pixels)"},
    {"crop", O_CROP, TOKENIZER, "PIXELS",
     "read pictures this much larger and cut a random window (0)"},
    {"crop", O_CROP, CLASSIFIER, "PIXELS",
     "read pictures this much larger and cut a random window (4, an eighth of sides below 32)"},
    {"features", O_FEATURES, CLASSIFIER, "N", "numbers that describe a picture (64)"},
    {"erase", O_ERASE, CLASSIFIER, "P", "chance that a rectangle of a picture is covered (0)"},
    {"vq-weight", O_VQ, TOKENIZER, "X", "weight of the quantisation loss (1)"},
    {"revive-after", O_REVIVE, TOKENIZER, "STEPS",
     "re-seed a code unused for so long (100; 0: never)"},
    {"tokenizer", O_TOKENIZER, MODELS, "FILE",
     "a trained tokenizer (required, unless --model holds one)"},
    {"part", O_PART, MODELS, "NAME",
     "which of several models in a file, such as ema or model (averaged ones first)"},
    {"token-cache", O_CACHE, MODELS, "FILE",
     "the pictures as tokens (tokens.cache in the run's folder)"},
    {"verify-data", O_VERIFY, MODELS, NULL,
     "read every picture again to see whether its tokens still hold (sets up to 20000 always do;\n"
     "                                   larger ones only files whose times or inode changed)"},
    {"depth", O_DEPTH, MODELS, "N", "layers of a new transformer (from the data, 4 to 16)"},
    {"heads", O_HEADS, MODELS, "N", "attention heads (one for 64 of --width)"},
    {"mlp-ratio", O_RATIO, MODELS, "X", "hidden width of the MLP (4)"},
    {"shared-adaln", O_SHARED, MODELS, NULL,
     "one modulation for all blocks, as the 512 px model (off)"},
    {"no-l2-norm", O_NO_L2, MODELS, NULL,
     "plain attention, without normalised queries and keys (off)"},
    {"label-drop", O_DROP, MODELS, "X", "labels dropped for guidance (0.1)"},
    {"label-smoothing", O_SMOOTHING, MODELS, "X", "of the targets, 0 to 1 (0)"},
    {"label-smoothing", O_SMOOTHING, CLASSIFIER, "X", "of the targets, 0 to 0.999 (0.05)"},
    {"model", O_MODEL, SUPERNET, "FILE",
     "what to start from: a trained full transformer, yours or a published .pth (nothing)"},
    {"model", O_MODEL, CLASSIFIER, "FILE",
     "what to start from: another classifier of the same shape (nothing)"},
    {"sandwich", O_SANDWICH, SUPERNET, NULL,
     "both paths at every step, their gradients averaged (the default)"},
    {"phases", O_PHASES, SUPERNET, NULL,
     "one path a step instead, the subnet's ever more often: joint, transition, "
     "subnet phase"},
    {"joint-ratio", O_JOINT_RATIO, SUPERNET, "P", "--phases: chance of the subnet at first (0.2)"},
    {"joint-end", O_JOINT_END, SUPERNET, "EPOCH",
     "--phases: end of the joint phase (a sixth of the epochs)"},
    {"transition-end", O_TRANSITION_END, SUPERNET, "EPOCH",
     "--phases: end of the transition (two thirds of the epochs)"},
    {"fixed-ratio", O_FIXED, SUPERNET, "P",
     "one path a step, the subnet's with this chance throughout"},
    {"depths", O_DEPTHS, SUPERNET, "A,B,..", "of the subnets (half of the layers and a quarter)"},
    {"bridge", O_BRIDGE, SUPERNET, "N|N-M",
     "scales at full depth before the subnet's; a range is drawn from (6 in 10 of all, to "
     "one more)"},
    {"train-schedules", O_SCHEDULES, SUPERNET, "A,B,..;A,B,..",
     "subnets as layers for each scale, instead of --depths and --bridge (none)"},
    {"draw", O_DRAW, SUPERNET, "RULE",
     "of a subnet: uniform, weighted or deepest-first (others join until --transition-end) "
     "(uniform)"},
    {"draw-weights", O_WEIGHTS, SUPERNET, "A,B,..",
     "one for each of --depths; --draw weighted is implied"},
    {"distill", O_DISTILL, SUPERNET, "X",
     "weight of KL from the full path's predictions where layers are left out (4; 0: none)"},
    {"distill-end", O_DISTILL_END, SUPERNET, "X",
     "its weight at the end, moved to evenly (2; where --distill is given: it stays)"},
    {"log-conflict", O_CONFLICT, SUPERNET, "STEPS",
     "log the cosine between the gradients of both paths (never)"},
    {"layers", O_LAYERS, SUPERNET, "NAME", "equidistant, rounded or prefix (equidistant)"},
};
#define FLAGS (sizeof flags / sizeof *flags)

static bool interval(const char *text, long low, int64_t *out) {
    int value = 0;
    if (!cli_int(text, low, 1000000000, &value)) return false;
    *out = value;
    return true;
}

static bool above_zero(const char *text, double high, double *out) {
    double value = 0.0;
    if (!cli_double(text, 0, high, &value) || value == 0.0)
        return cli_refuse("expected a number above 0, up to %g", high);
    *out = value;
    return true;
}

static bool set_betas(vt_optimizer_options *adamw, const char *text) {
    double betas[2];
    int count = 0;
    if (!cli_doubles(text, 0, 1, 2, betas, &count) || count != 2)
        return cli_refuse(
            "expected two numbers from 0 to 1 with a comma between, such as 0.9,0.95");
    adamw->beta1 = betas[0];
    adamw->beta2 = betas[1];
    return true;
}

/* "3-5": the first, and how many more. */
static bool set_bridge(vt_train_transformer_options *options, const char *text) {
    int first = 0, last = 0;
    if (!cli_range(text, 0, VT_SCHEDULE_SCALES, &first, &last)) return false;
    options->bridge = first;
    options->phases.more_bridge = last - first;
    return true;
}

/* Each setter: false when the value is not valid; *known false when the id is none of its own. */
static bool set_common(training *run, int id, const char *value, bool *known) {
    vt_train_common *common = run->common;
    int word;
    switch (id) {
    case 'o':
        return cli_text(value, "a folder for the run's results", &common->output);
    case O_EPOCHS:
        common->steps = 0;
        return above_zero(value, 1e6, &common->epochs);
    case O_STEPS:
        return interval(value, 1, &common->steps);
    case O_BATCH:
        return cli_int(value, 1, 65536, &common->batch);
    case O_LIMIT:
        return cli_int(value, 1, 1000000000, &common->limit);
    case O_LR:
        return above_zero(value, 1, &common->lr.peak);
    case O_LR_END:
        return cli_double(value, 0, 1, &common->lr.end);
    case O_SCHEDULE:
        word = cli_word(value, "cosine|constant");
        common->lr.cosine = word == 0;
        return word >= 0;
    case O_WARMUP:
        return interval(value, 0, &common->lr.warmup);
    case O_DECAY:
        return cli_double(value, 0, 10, &common->optimizer.weight_decay);
    case O_BETAS:
        return set_betas(&common->optimizer, value);
    case O_CLIP:
        return cli_double(value, 0, 1e9, &common->optimizer.clip);
    case O_FLIP:
        common->flip = true;
        return true;
    case O_LOG:
        return interval(value, 0, &common->log_every);
    case O_SAVE:
        return interval(value, 0, &common->save_every);
    case O_SAMPLE:
        return interval(value, 0, &common->sample_every);
    case O_EVAL:
        return interval(value, 0, &common->eval_every);
    case O_EVAL_COUNT:
        return cli_int(value, 0, 1000000000, &common->eval_count);
    case 's':
        return cli_u64(value, &common->seed);
    case 't':
        return cli_threads(value, &run->threads);
    case O_PRECISION:
        word = cli_word(value, "f32|bf16");
        common->precision = word == 1 ? VT_NUMBER_BF16 : VT_NUMBER_F32;
        return word >= 0;
    case O_RESUME:
        common->resume = true;
        return true;
    case O_EXTEND:
        word = cli_word(value, "cosine|constant");
        common->hold_rate = word == 1;
        run->extend = true;
        return word >= 0;
    case O_RESTART:
        common->restart = true;
        return true;
    case O_DIVERGENCE:
        word = cli_word(value, "stop|skip");
        common->skip_diverged = word == 1;
        return word >= 0;
    case O_SPIKE:
        return (cli_double(value, 0, 1e6, &common->spike) &&
                (common->spike == 0.0 || common->spike > 1.0)) ||
               cli_refuse("expected 0, or a number above 1, up to 1000000");
    case 'q':
        run->quiet = true;
        return true;
    }
    *known = false;
    return false;
}

static bool set_tokenizer(training *run, int id, const char *value, bool *known) {
    vt_train_tokenizer_options *options = &run->tokenizer;
    vt_tokenizer_config *config = &options->config;
    switch (id) {
    case O_SIDE:
        return cli_int(value, 1, 4096, &options->side);
    case O_CHANNELS:
        return cli_channels(value, &config->channels);
    case O_WIDTH:
        return cli_multiple(value, 32, 4096, 32, &config->base_width);
    case O_MULT:
        return cli_ints(value, 1, 1024, VT_MAX_LEVELS, config->mult, &config->levels);
    case O_BLOCKS:
        return cli_int(value, 1, 16, &config->blocks);
    case O_CODES:
        return cli_int(value, 2, 1 << 20, &config->codes);
    case O_LATENT:
        return cli_int(value, 1, 4096, &config->latent_dim);
    case O_SIDES:
        return cli_ints(value, 1, 128, VT_MAX_SCALES, config->sides, &config->scales);
    case O_CROP:
        return cli_int(value, 0, 1024, &options->crop);
    case O_VQ:
        return cli_double(value, 0, 1000, &options->vq_weight);
    case O_REVIVE:
        return cli_int(value, 0, 1000000, &options->revive_after);
    }
    *known = false;
    return false;
}

static bool set_classifier(training *run, int id, const char *value, bool *known) {
    vt_train_classifier_options *options = &run->classifier;
    vt_classifier_config *config = &options->config;
    switch (id) {
    case O_SIDE:
        return cli_int(value, 2, 1024, &config->side);
    case O_CHANNELS:
        return cli_channels(value, &config->channels);
    case O_WIDTH:
        return cli_multiple(value, 32, 4096, 32, &config->width);
    case O_MULT:
        return cli_ints(value, 1, 1024, VT_CLASSIFIER_LEVELS, config->mult, &config->levels);
    case O_BLOCKS:
        return cli_int(value, 1, 16, &config->blocks);
    case O_FEATURES:
        return cli_int(value, 1, 4096, &config->features);
    case O_CROP:
        return cli_int(value, 0, 1024, &options->crop);
    case O_MODEL:
        return cli_text(value, "a model's file or folder", &options->model);
    case O_ERASE:
        return cli_double(value, 0, 1, &options->erase);
    case O_SMOOTHING:
        return cli_double(value, 0, 0.999, &options->label_smoothing);
    }
    *known = false;
    return false;
}

static bool set_rule(vt_phases *phases, const char *value) {
    int word = cli_word(value, "uniform|weighted|deepest-first");
    if (word >= 0) phases->rule = (vt_draw_rule)word;
    return word >= 0;
}

/* --sandwich, --phases and --fixed-ratio exclude each other. */
static void take_paths(training *run, const char *name) {
    if (!run->paths)
        run->paths = name;
    else if (strcmp(run->paths, name) != 0)
        run->other = name;
}

static bool set_transformer(training *run, int id, const char *value, bool *known) {
    vt_train_transformer_options *options = &run->transformer;
    vt_phases *phases = &options->phases;
    int word;
    switch (id) {
    case O_TOKENIZER:
        return cli_text(value, "a tokenizer's file or folder", &options->tokenizer);
    case O_PART:
        return cli_text(value, "the name of a state dict, such as ema or model", &options->part);
    case O_VERIFY:
        options->common.verify_data = true;
        return true;
    case O_CACHE:
        return cli_text(value, "a file for the tokens", &options->cache);
    case O_DEPTH:
        return cli_int(value, 1, VT_SCHEDULE_LAYERS, &options->config.depth);
    case O_WIDTH:
        return cli_int(value, 1, 65536, &options->config.width);
    case O_HEADS:
        return cli_int(value, 1, 1024, &options->config.heads);
    case O_RATIO:
        return cli_double(value, 0.1, 64, &options->mlp_ratio);
    case O_SHARED:
        options->config.shared_adaln = true;
        return true;
    case O_NO_L2:
        options->config.l2_norm = false;
        return true;
    case O_DROP:
        return cli_double(value, 0, 1, &options->label_drop);
    case O_SMOOTHING:
        return cli_double(value, 0, 1, &options->label_smoothing);
    case O_MODEL:
        return cli_text(value, "a model's file or folder", &options->model);
    case O_SANDWICH:
        take_paths(run, "sandwich");
        return true;
    case O_PHASES:
        take_paths(run, "phases");
        phases->sandwich = false;
        return true;
    case O_FIXED:
        take_paths(run, "fixed-ratio");
        phases->sandwich = false;
        return cli_double(value, 0, 1, &phases->fixed_ratio);
    case O_JOINT_RATIO:
        run->joint = "joint-ratio";
        return cli_double(value, 0, 1, &phases->joint_ratio);
    case O_JOINT_END:
        run->joint = "joint-end";
        return cli_double(value, 0, 1e6, &phases->joint_end);
    case O_TRANSITION_END:
        run->ends = "transition-end";
        return cli_double(value, 0, 1e6, &phases->transition_end);
    case O_DEPTHS:
        return cli_ints(value, 1, VT_SCHEDULE_LAYERS, VT_MAX_DEPTHS, phases->depths,
                        &phases->depth_count);
    case O_BRIDGE:
        return set_bridge(options, value);
    case O_SCHEDULES:
        return cli_text(value, "layers of every scale such as 8,8,4,2, several between semicolons",
                        &options->schedules);
    case O_DRAW:
        return set_rule(phases, value);
    case O_WEIGHTS:
        return cli_doubles(value, 0, 1e9, VT_MAX_DEPTHS, phases->weights, &run->weights);
    case O_DISTILL:
        if (!run->distill_ends) options->distill_end = -1.0;
        return cli_double(value, 0, 1e6, &options->distill);
    case O_DISTILL_END:
        run->distill_ends = true;
        return cli_double(value, 0, 1e6, &options->distill_end);
    case O_CONFLICT:
        return interval(value, 0, &options->log_conflict);
    case O_LAYERS:
        word = cli_word(value, "equidistant|rounded|prefix");
        if (word >= 0) options->selector = (vt_selector)word;
        return word >= 0;
    }
    *known = false;
    return false;
}

/* A given model has its shape already: settle_supernet refuses another. */
static void note_shape(training *run, int id) {
    static const int shape[] = {O_DEPTH, O_WIDTH, O_HEADS, O_RATIO, O_SHARED, O_NO_L2};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; ++i)
        for (size_t f = 0; f < FLAGS; ++f)
            if (shape[i] == id && flags[f].id == id && !run->shape) run->shape = flags[f].name;
}

static bool accept(void *user, int id, const char *value) {
    training *run = user;
    bool known = true;
    int data = cli_data_option(&run->data, id, value);
    if (data >= 0) return data == 1;
    bool valid = set_common(run, id, value, &known);
    if (!known) {
        known = true;
        valid = run->kind == TOKENIZER    ? set_tokenizer(run, id, value, &known)
                : run->kind == CLASSIFIER ? set_classifier(run, id, value, &known)
                                          : set_transformer(run, id, value, &known);
    }
    note_shape(run, id);
    return valid;
}

/* ---- help ---- */

const char *training_kind_name(int kind) {
    return kind == TOKENIZER     ? "tokenizer"
           : kind == TRANSFORMER ? "transformer"
           : kind == SUPERNET    ? "supernet"
                                 : "classifier";
}

#define HELP_COLUMN 35
#define HELP_WIDTH 64

/* The option, and what it does in lines of HELP_WIDTH. */
static void print_flag(const flag *row) {
    char left[64];
    const char *argument = row->argument ? row->argument : "", *at = row->help;
    if (row->id < 256)
        snprintf(left, sizeof left, "-%c, --%s %s", row->id, row->name, argument);
    else
        snprintf(left, sizeof left, "    --%s %s", row->name, argument);
    printf("  %-*s", HELP_COLUMN - 3, left);
    for (;;) {
        size_t length = strlen(at);
        if (length > HELP_WIDTH)
            for (length = HELP_WIDTH; length > 0 && at[length] != ' ';) --length;
        printf(" %.*s\n", (int)length, at);
        at += length;
        if (!*at) return;
        ++at;
        printf("%*s", HELP_COLUMN - 1, "");
    }
}

static void print_help(const void *user) {
    const int kind = ((const training *)user)->kind;
    static const char *const about[] = {
        [TOKENIZER] = "Trains a tokenizer: pictures to token maps and back.\n\n"
                      "  variant train tokenizer --data fashion-mnist -o runs/tok --epochs 8 "
                      "--sample-every 500\n"
                      "  variant train tokenizer --data photos -o runs/tok --side 64\n",
        [TRANSFORMER] = "Trains a transformer on a trained tokenizer's token maps.\n\n"
                        "  variant train transformer --data fashion-mnist --tokenizer runs/tok -o "
                        "runs/var --epochs 20\n"
                        "  variant train transformer --data fashion-mnist --tokenizer runs/tok -o "
                        "runs/var --epochs 20 --resume\n",
        [SUPERNET] =
            "Trains a full transformer on so that its late scales can run fewer layers.\n\n"
            "  variant train supernet --data fashion-mnist --model runs/var -o runs/net --epochs "
            "12 \\\n"
            "      --depths 4,2\n"
            "  variant train supernet --data imagenet/train --model var_d16.pth --tokenizer "
            "vae_ch160v4096z32.pth \\\n"
            "      -o runs/d16 --depths 8,4,2 --lr 1e-6 --precision bf16\n",
        [CLASSIFIER] =
            "Trains a classifier on your own pictures: what generated ones are judged by.\n\n"
            "  variant train classifier --data fashion-mnist -o runs/classifier --epochs 8\n"
            "  variant train classifier --data photos -o runs/classifier --side 64 --flip\n",
    };
    printf("usage: variant train %s --data DIR|IDX -o DIR [options]\n\n%s\n",
           training_kind_name(kind), about[kind]);
    for (size_t i = 0; i < FLAGS; ++i)
        if (flags[i].kinds & kind) print_flag(&flags[i]);
    printf("\nDefaults are in brackets; what follows from the data is printed as it would be given "
           "(chosen: ..).\n"
           "Ctrl-C finishes the step, saves, and tells how to go on.\n");
}

void training_print_kinds(void) {
    printf("usage: variant train tokenizer|transformer|supernet|classifier --data DIR|IDX -o DIR "
           "[options]\n\n"
           "  tokenizer     pictures to token maps and back: the first thing to train\n"
           "  transformer   draws token maps for a class, scale by scale\n"
           "  supernet      makes a trained transformer run at several depths\n"
           "  classifier    names the class of a picture: what generated ones are judged by\n\n"
           "variant train tokenizer --help, and so on, lists the options of each.\n");
}

/* ---- reading ---- */

static void training_init(training *run, int kind) {
    *run = (training){.kind = kind, .data = cli_data_defaults("train")};
    vt_train_tokenizer_options_init(&run->tokenizer);
    if (kind == SUPERNET)
        vt_train_supernet_options_init(&run->transformer);
    else
        vt_train_transformer_options_init(&run->transformer);
    vt_train_classifier_options_init(&run->classifier);
    run->common = kind == TOKENIZER    ? &run->tokenizer.common
                  : kind == CLASSIFIER ? &run->classifier.common
                                       : &run->transformer.common;
}

/* -1: go on; else the exit status. */
static int parse(training *run, int argc, char **argv) {
    struct option options[FLAGS + 1] = {{0}};
    char command[32];
    int count = 0;
    snprintf(command, sizeof command, "train %s", training_kind_name(run->kind));
    for (size_t i = 0; i < FLAGS; ++i)
        if (flags[i].kinds & run->kind)
            options[count++] =
                (struct option){flags[i].name, flags[i].argument ? 1 : 0, NULL, flags[i].id};
    cli_parser parser = {.command = command,
                         .letters = ":o:s:t:qh",
                         .options = options,
                         .accept = accept,
                         .user = run,
                         .show_help = print_help};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind < argc) return cli_usage(command, "unexpected argument %s", argv[optind]);
    run->common->data = run->data.data;
    if (!run->common->data.count)
        return cli_usage(command, "--data is missing: a folder of pictures or IDX files");
    if (!run->common->output)
        return cli_usage(command, "-o is missing: the folder for the run's results");
    if (run->kind == TRANSFORMER && !run->transformer.tokenizer)
        return cli_usage(command, "--tokenizer is missing: a trained tokenizer");
    if (run->kind == SUPERNET && !run->transformer.model && !run->transformer.tokenizer)
        return cli_usage(command, "--model is missing: the trained full transformer to start from "
                                  "(or --tokenizer, to start from nothing)");
    return -1;
}

/* Choices of a supernet that exclude or need each other. */
static int settle_supernet(training *run) {
    vt_train_transformer_options *options = &run->transformer;
    vt_phases *phases = &options->phases;
    if (options->model && run->shape)
        return cli_usage("train supernet", "--%s: the shape is that of --model", run->shape);
    if (run->other)
        return cli_usage("train supernet", "--%s and --%s: expected one of them", run->paths,
                         run->other);
    const bool by_phases = !phases->sandwich && phases->fixed_ratio < 0.0;
    if (run->joint && !by_phases)
        return cli_usage("train supernet", "--%s is for --phases", run->joint);
    if (run->ends && !by_phases && phases->rule != VT_DRAW_DEEPEST_FIRST)
        return cli_usage("train supernet", "--%s is for --phases or --draw deepest-first",
                         run->ends);
    if (phases->rule == VT_DRAW_UNIFORM && run->weights > 0) phases->rule = VT_DRAW_WEIGHTED;
    if (phases->rule != VT_DRAW_WEIGHTED && run->weights > 0)
        return cli_usage("train supernet", "--draw-weights is for --draw weighted");
    if (phases->rule != VT_DRAW_WEIGHTED) return -1;
    int subnets = phases->depth_count;
    if (options->schedules) {
        subnets = 1;
        for (const char *at = options->schedules; *at; ++at) subnets += *at == ';';
    }
    options->weight_count = run->weights;
    if (subnets > 0 && run->weights != subnets) /* 0: the depths follow from the model */
        return cli_usage("train supernet", "--draw-weights: %d given, expected %d, one a subnet",
                         run->weights, subnets);
    return -1;
}

/* What depends on several options. */
static int settle(training *run) {
    const vt_train_common *common = run->common;
    char command[32];
    snprintf(command, sizeof command, "train %s", training_kind_name(run->kind));
    if (common->resume && common->restart)
        return cli_usage(command, "--resume and --restart: expected one of them");
    if (run->extend && !common->resume) return cli_usage(command, "--extend is for --resume");
    return run->kind == SUPERNET ? settle_supernet(run) : -1;
}

int training_kind(const char *name) {
    for (int kind = TOKENIZER; kind <= CLASSIFIER; kind *= 2)
        if (strcmp(name, training_kind_name(kind)) == 0) return kind;
    return 0;
}

int training_read(training *run, int kind, int argc, char **argv) {
    training_init(run, kind);
    int code = parse(run, argc, argv);
    return code < 0 ? settle(run) : code;
}
