/* eval.c - `variant eval`: how good pictures are beside real ones; generated now, found in a folder, or
 * passed through the tokenizer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "data_options.h"
#include "eval/judge.h"
#include "eval/score.h"
#include "progress.h"
#include "request.h"
#include "score_report.h"
#include "scoring.h"
#include "tools.h"

#define COMMAND "eval"

typedef struct settings {
    cli_request asked;
    cli_scoring by;
    const char *save_reference;
    vt_data pictures, reconstruct; /* their paths */
    cli_data taken;                /* which of them, and how */
    int count, side, channels;
    bool json;
} settings;

typedef struct work {
    const settings *settings;
    vt_judge judge;
    vt_eval_scores scores;
    vt_score_fidelity fidelity; /* of a tokenizer; else NAN */
    char pictures_name[256];    /* of what is judged, unless it is generated */
    cli_pace pace;
    const char *doing;
    cJSON *report, *made_with; /* the second, its settings, is the first's */
} work;

/* ---- progress ---- */

static void show_progress(work *w, int done, int total) {
    if (w->settings->json || !isatty(STDERR_FILENO)) return;
    char left[64];
    cli_left_text(cli_pace_left(&w->pace, vt_seconds(), done, total), left, sizeof left);
    fprintf(stderr, "\r\033[K%s: %d of %d%s", w->doing, done, total, left);
    if (done == total) fprintf(stderr, "\r\033[K");
}

static void begin(work *w, const char *doing) {
    w->doing = doing;
    w->pace = (cli_pace){0};
}

static bool show_pictures(void *user, int done, int total) {
    show_progress(user, done, total);
    return true;
}

static bool show_draws(void *user, int done, int total) {
    work *w = user;
    if (done == 1) begin(w, "spread, draws");
    show_progress(w, done, total);
    return true;
}

/* ---- opening ---- */

static variant_status open_network(work *w, variant_error *err) {
    const settings *s = w->settings;
    vt_judge_options options = {.features = s->by.features,
                                .resize = s->by.resize,
                                .model = s->asked.engine.model,
                                .backend = s->asked.engine.backend,
                                .threads = s->asked.engine.threads,
                                .reference_count = s->by.reference_count,
                                .save_reference = s->save_reference,
                                .progress = show_pictures,
                                .note = cli_note,
                                .user = w};
    return vt_judge_open(&w->judge, &options, err);
}

static int draws_of(const work *w) {
    const int said = w->settings->by.draws;
    return said >= 0 ? said : vt_eval_default_draws(&w->judge.network);
}

static vt_score_by score_by(work *w) {
    return (vt_score_by){.judge = &w->judge,
                         .draws = {.count = draws_of(w),
                                   .seed = w->settings->asked.request.seed,
                                   .progress = show_draws,
                                   .user = w},
                         .progress = show_pictures,
                         .user = w};
}

/* The pictures of these paths, taken as the model's or the network's training took its own. */
static vt_data data_of(const work *w, const vt_data *paths, const char *training) {
    vt_data data = w->settings->taken.data;
    memcpy(data.paths, paths->paths, sizeof data.paths);
    data.count = paths->count;
    if (training)
        vt_data_follow(&data, training);
    else
        vt_judge_follow(&w->judge, &data);
    return data;
}

static variant_status open_reference(work *w, const vt_data *data, int side, int channels,
                                     variant_error *err) {
    begin(w, "reference");
    return vt_judge_reference(&w->judge, data, side, channels, err);
}

/* ---- the three kinds ---- */

static variant_status eval_generated(work *w, variant_error *err) {
    const settings *s = w->settings;
    variant_engine *engine = NULL;
    vt_score_made made = {0};
    variant_info info;
    variant_request request = s->asked.request;
    const vt_score_by by = score_by(w);
    variant_status status = VARIANT_OK;
    request.count = s->count;
    VT_CHECK(variant_engine_open(&engine, &s->asked.engine, err));
    variant_engine_info(engine, &info);
    const vt_data reference = data_of(w, &s->by.reference, engine->model->training);
    if (s->by.reference.count)
        VT_CHECK(open_reference(w, &reference, info.picture_side, info.channels, err));
    begin(w, "generating");
    VT_CHECK(vt_score_generated(&w->scores, &by, engine, &request, &made, err));
    score_report_request(w->made_with, &s->asked, made.settings, s->count);
    if (made.report.warning[0]) cli_warn(NULL, made.report.warning);
    cJSON_AddStringToObject(w->report, "depths", made.report.depths);
cleanup:
    free(made.settings);
    variant_engine_close(&engine);
    return status;
}

/* Is there a share of pictures in their class? A note says why not, where one would expect it. */
static bool labels_match(const work *w, const vt_source *source) {
    if (!source->labelled || w->judge.network.inception) return false;
    if (vt_judge_dataset_matches(&w->judge, source->dataset)) return true;
    fprintf(stderr,
            "variant eval: note: %s: its classes are not the network's: no share in their class\n",
            w->pictures_name);
    return false;
}

static variant_status eval_folder(work *w, variant_error *err) {
    const settings *s = w->settings;
    vt_source source = {0};
    const vt_score_by by = score_by(w);
    variant_status status = VARIANT_OK;
    vt_data data = data_of(w, &s->pictures, NULL);
    /* finished pictures: no share of them is held out */
    bool train = s->taken.split_chosen && data.split == VT_SPLIT_TRAIN;
    data.split = train ? VT_SPLIT_TRAIN : VT_SPLIT_ALL;
    data.holdout = 0;
    data.flat_whole = true;
    vt_data_name(&data, w->pictures_name, sizeof w->pictures_name);
    VT_CHECK(vt_source_open(&source, &data, s->side, s->channels, s->count, cli_note, w, err));
    const vt_data reference = data_of(w, &s->by.reference, NULL);
    if (s->by.reference.count)
        VT_CHECK(open_reference(w, &reference, source.side, source.channels, err));
    cJSON_AddStringToObject(w->report, "pictures", w->pictures_name);
    cJSON_AddNumberToObject(w->made_with, "count", source.count);
    cJSON_AddNumberToObject(w->made_with, "side", source.side);
    cJSON_AddNumberToObject(w->made_with, "channels", source.channels);
    begin(w, "pictures");
    VT_CHECK(vt_score_finished(&w->scores, &by, &source, labels_match(w, &source), err));
cleanup:
    vt_source_close(&source);
    return status;
}

/* A tokenizer at work, and room for a batch of its tokens. */
typedef struct codec {
    cli_session session;
    int32_t *tokens;
} codec;

static variant_status there_and_back(void *user, int n, float *pictures, variant_error *err) {
    codec *c = user;
    VT_TRY(cli_encode_pictures(&c->session, n, pictures, c->tokens, err));
    return cli_decode_tokens(&c->session, n, c->tokens, pictures, err);
}

static variant_status codec_open(codec *c, const settings *s, variant_error *err) {
    VT_TRY(cli_session_open(&c->session, &s->asked.engine, true, false, err));
    const vt_tokenizer_config *config = vt_tokenizer_configuration(c->session.model->tokenizer);
    c->tokens = malloc(VT_SCORE_BATCH * (size_t)vt_tokenizer_tokens(config) * sizeof *c->tokens);
    return c->tokens ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for tokens");
}

static void codec_close(codec *c) {
    free(c->tokens);
    cli_session_close(&c->session);
}

static void add_fidelity(cJSON *report, const char *mean_key, double mean, const char *spread_key,
                         double spread) {
    if (!isfinite(mean)) return;
    cJSON_AddNumberToObject(report, mean_key, mean);
    if (isfinite(spread)) cJSON_AddNumberToObject(report, spread_key, spread);
}

static void describe_tokenizer(const work *w, const vt_data *data, int count) {
    const variant_engine_options *engine = &w->settings->asked.engine;
    const vt_score_fidelity *f = &w->fidelity;
    cJSON_AddStringToObject(w->report, "reconstructed", w->pictures_name);
    add_fidelity(w->report, "psnr", f->psnr, "psnr_spread", f->psnr_spread);
    add_fidelity(w->report, "ssim", f->ssim, "ssim_spread", f->ssim_spread);
    cJSON_AddStringToObject(w->made_with, "model_path", engine->model);
    if (engine->part) cJSON_AddStringToObject(w->made_with, "part", engine->part);
    if (engine->tokenizer) cJSON_AddStringToObject(w->made_with, "tokenizer", engine->tokenizer);
    if (engine->sides) cJSON_AddStringToObject(w->made_with, "sides", engine->sides);
    cJSON_AddStringToObject(w->made_with, "weights", engine->weights);
    cJSON_AddNumberToObject(w->made_with, "count", count);
    score_report_data(w->made_with, data);
}

static variant_status eval_tokenizer(work *w, variant_error *err) {
    const settings *s = w->settings;
    codec through = {0};
    vt_source source = {0};
    const vt_score_by by = score_by(w);
    const bool other = s->by.reference.count > 0;
    variant_status status = VARIANT_OK;
    VT_CHECK(codec_open(&through, s, err));
    const vt_model *model = through.session.model;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    const int side = vt_tokenizer_side(config);
    vt_data data = data_of(w, &s->reconstruct, model->training);
    const vt_data reference = data_of(w, &s->by.reference, model->training);
    data.flat_whole = false; /* a tokenizer is judged by what it was not trained on */
    VT_CHECK(open_reference(w, other ? &reference : &data, side, config->channels, err));
    vt_data_name(&data, w->pictures_name, sizeof w->pictures_name);
    VT_CHECK(vt_source_open(&source, &data, side, config->channels, s->count,
                            other ? cli_note : NULL, w, err));
    begin(w, "reconstructing");
    VT_CHECK(vt_score_reconstructed(&w->scores, &w->fidelity, &by, &source,
                                    labels_match(w, &source), w->pictures_name, there_and_back,
                                    &through, err));
    describe_tokenizer(w, &data, source.count);
cleanup:
    vt_source_close(&source);
    codec_close(&through);
    return status;
}

/* ---- the report ---- */

static void print_scores(const work *w, const vt_eval_scores *scores) {
    char name[96], label[128], line[64];
    vt_eval_name(name, sizeof name, "FID", &w->judge.network);
    snprintf(label, sizeof label, "%s%s", w->settings->reconstruct.count ? "r" : "", name);
    score_report_line(label, scores->frechet, scores->frechet_spread, "");
    vt_eval_name(name, sizeof name, "sFID", &w->judge.network);
    score_report_line(name, scores->spatial_frechet, scores->spatial_frechet_spread, "");
    vt_eval_name(name, sizeof name, "IS", &w->judge.network);
    score_report_line(name, scores->inception_score, scores->inception_spread, "");
    snprintf(line, sizeof line, "   (k = %d, %d samples a side)", VT_EVAL_NEIGHBOURS,
             scores->neighbours_of);
    score_report_line("precision", scores->precision, scores->precision_spread, line);
    score_report_line("recall", scores->recall, scores->recall_spread, "");
    score_report_line("in their class", 100 * scores->class_share, 100 * scores->class_share_spread,
                      " %");
}

static void print_text(const work *w) {
    const vt_eval_scores *scores = &w->scores;
    const vt_score_fidelity *f = &w->fidelity;
    print_scores(w, scores);
    score_report_line("PSNR", f->psnr, f->psnr_spread, " dB");
    score_report_line("SSIM", f->ssim, f->ssim_spread, "");
    printf("%-18s %lld pictures", "of", (long long)scores->count);
    if (w->judge.has_reference && w->judge.reference.count)
        printf(" against %lld of %s", (long long)w->judge.reference.count,
               w->judge.reference.source);
    else if (w->judge.has_reference)
        printf(" against %s", w->judge.reference.source);
    printf("\n%-18s %s %s\n", "network", w->judge.network.name, w->judge.network.hash);
    score_report_print(w->made_with);
}

static variant_status print_json(const work *w, variant_error *err) {
    cJSON *scores = vt_eval_scores_json(&w->scores, &w->judge.network,
                                        w->judge.has_reference ? &w->judge.reference : NULL);
    if (scores) cJSON_AddItemToObject(w->report, "scores", scores);
    char *text = cJSON_Print(w->report);
    const bool whole = scores && text;
    if (text) puts(text);
    cJSON_free(text);
    return whole ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
}

static variant_status evaluate(work *w, variant_error *err) {
    const settings *s = w->settings;
    variant_status status = VARIANT_OK;
    w->report = cJSON_CreateObject();
    w->made_with = cJSON_AddObjectToObject(w->report, "settings");
    if (!w->made_with) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a report"));
    VT_CHECK(open_network(w, err));
    VT_CHECK(s->reconstruct.count ? eval_tokenizer(w, err)
             : s->pictures.count  ? eval_folder(w, err)
                                  : eval_generated(w, err));
    score_report_judge(w->made_with, &w->judge, draws_of(w));
    for (int i = 0; i < w->scores.warning_count; ++i) cli_warn(NULL, w->scores.warnings[i]);
    if (s->json)
        VT_CHECK(print_json(w, err));
    else
        print_text(w);
cleanup:
    cJSON_Delete(w->report);
    vt_judge_close(&w->judge);
    return status;
}

/* ---- options ---- */

static bool add_pictures(void *user, const char *text) {
    return cli_data_add(&((settings *)user)->pictures, text);
}

static bool add_reconstruct(void *user, const char *text) {
    return cli_data_add(&((settings *)user)->reconstruct, text);
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.taken = cli_data_defaults(), .by = cli_scoring_defaults(), .count = 10000};
    cli_request_init(&s->asked);
    s->asked.request.class_name = "all"; /* every class alike, as the reference has them */
}

static const cli_option options[] = {
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine, CLI_MODEL),
    CLI_HEADING("what is judged"),
    {"count", "N", "pictures, {range}; of --pictures and --reconstruct, unless given, all",
     .letter = 'n', CLI_INT(settings, count, 2, 10000000), .own = true},
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "class"),
    {"pictures", "DIR",
     "pictures in this folder instead of generated ones; with a sub-folder a class, their share in "
     "their class is measured too",
     .read = add_pictures, .own = true},
    {"reconstruct", "DATA", "real pictures through the tokenizer and back",
     .read = add_reconstruct},
    CLI_HEADING("by what"),
    CLI_ROWS(cli_scoring_options, cli_scoring, settings, by, NULL),
    {"save-reference", "FILE", "keep what was computed of the reference",
     CLI_TEXT(settings, save_reference, "a file to write")},
    {"side", "N", "of pictures, where neither a model nor a picture tells",
     CLI_INT(settings, side, 1, 32768), .unset = "", .own = true},
    CLI_ROWS(cli_channels_option, int, settings, channels, NULL),
    CLI_HEADING("which of DATA, and how (a folder without classes as --reference: all, unless "
                "--split says)"),
    CLI_ROWS(cli_data_options, cli_data, settings, taken, CLI_PART_OF_DATA),
    CLI_HEADING("sampling"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, CLI_GUIDANCE " " CLI_SAMPLING),
    CLI_HEADING("depth"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, CLI_DEPTH " retain-kv"),
    CLI_HEADING("running"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "batch"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    {0},
};

/* -1: go on; else the exit status. */
static int check_options(settings *s, const cli_line *line) {
    int done = cli_request_check(&s->asked, line);
    if (done >= 0) return done;
    if (s->pictures.count && s->reconstruct.count)
        return cli_misuse("either --pictures or --reconstruct, not both");
    if (!s->pictures.count && !s->asked.engine.model)
        return cli_misuse("what is judged? give -m MODEL or --pictures FOLDER");
    const char *real = s->by.reference.count ? s->by.reference.paths[0] : s->reconstruct.paths[0];
    if (s->save_reference && (!real || vt_judge_is_statistics(real)))
        return cli_misuse("--save-reference needs --reference with pictures");
    if (real && !s->reconstruct.count && vt_judge_is_statistics(real) &&
        (s->taken.split_chosen || s->by.reference_count > 0))
        cli_note(NULL, "--reference is statistics, of the pictures that they were made of: "
                       "--split and --reference-count change nothing");
    s->taken.data.flat_whole = !s->taken.split_chosen; /* as a reference */
    if (!cli_given(line, "count") && (s->pictures.count || s->reconstruct.count)) s->count = 0;
    return -1;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    variant_error err = {0};
    int done = check_options(s, line);
    if (done >= 0) return done;
    if (s->asked.drawn_seed)
        fprintf(stderr, "variant %s: note: seed %" PRIu64 "\n", cli_command_name(),
                s->asked.request.seed);
    work w = {.settings = s, .fidelity = {NAN, NAN, NAN, NAN}};
    return cli_end(evaluate(&w, &err), &err);
}

const cli_command cli_eval = {
    .name = COMMAND,
    .purpose = "scores of generated pictures beside real ones, or of a tokenizer",
    .usage = "-m MODEL --reference DATA [-n COUNT] [options]\n"
             "--pictures FOLDER --reference DATA --features FILE [options]\n"
             "-m MODEL --reconstruct DATA [options]",
    .about = "Scores generated pictures beside real ones: Frechet distance, inception score, "
             "precision and recall, share of pictures in their class; or a tokenizer's "
             "reconstructions: rFID, PSNR, SSIM.",
    .examples =
        "variant eval -m models/fashion --reference /usr/share/datasets/fashion-mnist --depth 6\n"
        "variant eval -m d16.safetensors --features pt_inception.pth -n 50000 \\\n"
        "    --reference VIRTUAL_imagenet256_labeled.npz\n"
        "variant eval -m models/fashion --reconstruct /usr/share/datasets/fashion-mnist",
    CLI_OF_THIS_FILE,
};
