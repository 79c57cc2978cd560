/* eval.c - `variant eval`: how good pictures are beside real ones; generated now, found in a folder, or
 * passed through the tokenizer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/psnr.h"
#include "data_options.h"
#include "eval/judge.h"
#include "eval/picture_scores.h"
#include "eval/source.h"
#include "progress.h"
#include "request.h"
#include "score_report.h"
#include "scoring.h"
#include "tools.h"

#define COMMAND "eval"

enum { BATCH = 64 };

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
    vt_eval *eval;
    float *pictures, *others; /* (BATCH, side, side, channels), in [0, 1] */
    int32_t labels[BATCH];
    int side, channels, draws;
    char pictures_name[256]; /* of what is judged, unless it is generated */
    cli_pace pace;
    const char *doing;
    cJSON *made_with; /* the report's settings; the report owns it */
    double psnr_spread, ssim_spread;
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

static bool show_reference(void *user, int done, int total) {
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
                                .progress = show_reference,
                                .note = cli_note,
                                .user = w};
    VT_TRY(vt_judge_open(&w->judge, &options, err));
    w->draws = s->by.draws >= 0 ? s->by.draws : vt_eval_default_draws(&w->judge.network);
    return VARIANT_OK;
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

static variant_status open_reference(work *w, const vt_data *data, variant_error *err) {
    begin(w, "reference");
    return vt_judge_reference(&w->judge, data, w->side, w->channels, err);
}

static variant_status set_size(work *w, int side, int channels, variant_error *err) {
    w->side = side;
    w->channels = channels;
    size_t floats = BATCH * (size_t)side * (size_t)side * (size_t)channels;
    w->pictures = malloc(floats * sizeof *w->pictures);
    w->others = malloc(floats * sizeof *w->others);
    return w->pictures && w->others
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", BATCH);
}

/* classes_set: as many pictures of each class as was asked for. */
static variant_status open_eval(work *w, int expected, bool labels_match, bool classes_set,
                                variant_error *err) {
    vt_eval_options options = {.features = w->judge.features,
                               .reference = w->judge.has_reference ? &w->judge.reference : NULL,
                               .expected = expected,
                               .labels_match = labels_match,
                               .classes_set = classes_set,
                               .draws = {.count = w->draws,
                                         .seed = w->settings->asked.request.seed,
                                         .progress = show_draws,
                                         .user = w}};
    return vt_eval_open(&w->eval, &options, err);
}

/* ---- the three kinds ---- */

static variant_status eval_generated(work *w, cJSON *report, variant_error *err) {
    const settings *s = w->settings;
    variant_engine *engine = NULL;
    variant_picture *pictures = NULL;
    variant_report made = {0};
    variant_info info;
    variant_request request = s->asked.request;
    variant_status status = VARIANT_OK;
    int total = s->count, held = 0;
    bool classes_set = !request.class_name || strcmp(request.class_name, "random") != 0;
    VT_CHECK(variant_engine_open(&engine, &s->asked.engine, err));
    variant_engine_info(engine, &info);
    VT_CHECK(set_size(w, info.picture_side, info.channels, err));
    const vt_data reference = data_of(w, &s->by.reference, engine->model->training);
    if (s->by.reference.count) VT_CHECK(open_reference(w, &reference, err));
    VT_CHECK(open_eval(w, total, vt_judge_classes_match(&w->judge, engine), classes_set, err));
    begin(w, "generating");
    for (int first = 0; first < total; first += held) {
        request.first_image = s->asked.request.first_image + first;
        request.count = total - first < BATCH ? total - first : BATCH;
        VT_CHECK(variant_generate(engine, &request, &pictures, &made, err));
        held = request.count;
        vt_judge_floats(pictures, held, w->pictures, w->labels);
        if (first == 0) score_report_request(w->made_with, &s->asked, &pictures[0], total);
        variant_pictures_free(&pictures, held);
        VT_CHECK(
            vt_eval_add(w->eval, w->pictures, w->labels, held, w->side, w->side, w->channels, err));
        show_progress(w, first + held, total);
    }
    if (made.warning[0]) cli_warn(NULL, made.warning);
    cJSON_AddStringToObject(report, "depths", made.depths);
cleanup:
    variant_pictures_free(&pictures, held);
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

static variant_status eval_folder(work *w, cJSON *report, variant_error *err) {
    const settings *s = w->settings;
    vt_source source = {0};
    variant_status status = VARIANT_OK;
    vt_data data = data_of(w, &s->pictures, NULL);
    /* finished pictures: no share of them is held out */
    bool train = s->taken.split_chosen && data.split == VT_SPLIT_TRAIN;
    data.split = train ? VT_SPLIT_TRAIN : VT_SPLIT_ALL;
    data.holdout = 0;
    data.flat_whole = true;
    vt_data_name(&data, w->pictures_name, sizeof w->pictures_name);
    VT_CHECK(vt_source_open(&source, &data, s->side, s->channels, s->count, cli_note, w, err));
    VT_CHECK(set_size(w, source.side, source.channels, err));
    const vt_data reference = data_of(w, &s->by.reference, NULL);
    if (s->by.reference.count) VT_CHECK(open_reference(w, &reference, err));
    bool match = labels_match(w, &source);
    VT_CHECK(open_eval(w, source.count, match, false, err));
    cJSON_AddStringToObject(report, "pictures", w->pictures_name);
    cJSON_AddNumberToObject(w->made_with, "count", source.count);
    cJSON_AddNumberToObject(w->made_with, "side", source.side);
    cJSON_AddNumberToObject(w->made_with, "channels", source.channels);
    begin(w, "pictures");
    for (int first = 0; first < source.count; first += BATCH) {
        int n = source.count - first < BATCH ? source.count - first : BATCH;
        VT_CHECK(vt_source_read(&source, first, n, w->pictures, w->labels, err));
        VT_CHECK(vt_eval_add(w->eval, w->pictures, match ? w->labels : NULL, n, w->side, w->side,
                             w->channels, err));
        show_progress(w, first + n, source.count);
    }
cleanup:
    vt_source_close(&source);
    return status;
}

/* Pictures in [0, 1] to what the tokenizer makes of them, in bytes' steps as every picture that leaves. */
static variant_status reconstruct(work *w, cli_session *session, int first, int n, int32_t *tokens,
                                  variant_error *err) {
    size_t floats = (size_t)n * (size_t)w->side * (size_t)w->side * (size_t)w->channels;
    for (size_t i = 0; i < floats; ++i) w->others[i] = 2.0f * w->pictures[i] - 1.0f;
    VT_TRY(cli_encode_pictures(session, n, w->others, tokens, err));
    VT_TRY(cli_decode_tokens(session, n, tokens, w->others, err));
    size_t bad = vt_first_not_finite(w->others, floats);
    if (bad < floats)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: picture %zu: what the decoder makes of it is not finite: a weight of "
                       "the tokenizer is not a number, or overflows",
                       w->pictures_name, (size_t)first + bad / (floats / (size_t)n) + 1);
    for (size_t i = 0; i < floats; ++i) {
        float x = 0.5f * (w->others[i] + 1.0f);
        w->others[i] = roundf((x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x) * 255.0f) / 255.0f;
    }
    return VARIANT_OK;
}

/* Of one number a picture. */
typedef struct tally {
    double sum, squares;
    int64_t count;
} tally;

static void tally_add(tally *t, double x) {
    t->sum += x;
    t->squares += x * x;
    ++t->count;
}

static void tally_report(const tally *t, cJSON *report, const char *mean, const char *spread,
                         double *out) {
    *out = vt_mean_spread(t->sum, t->squares, t->count);
    if (!isfinite(t->sum)) return; /* smaller than the windows of SSIM */
    cJSON_AddNumberToObject(report, mean, t->sum / (double)t->count);
    if (isfinite(*out)) cJSON_AddNumberToObject(report, spread, *out);
}

static void describe_tokenizer(const work *w, const vt_data *data, int count) {
    const variant_engine_options *engine = &w->settings->asked.engine;
    cJSON_AddStringToObject(w->made_with, "model_path", engine->model);
    if (engine->part) cJSON_AddStringToObject(w->made_with, "part", engine->part);
    if (engine->tokenizer) cJSON_AddStringToObject(w->made_with, "tokenizer", engine->tokenizer);
    if (engine->sides) cJSON_AddStringToObject(w->made_with, "sides", engine->sides);
    cJSON_AddStringToObject(w->made_with, "weights", engine->weights);
    cJSON_AddNumberToObject(w->made_with, "count", count);
    score_report_data(w->made_with, data);
}

/* Every picture of the source, what the tokenizer makes of it, and how far they are apart. tokens: (BATCH, L). */
static variant_status reconstruct_all(work *w, cli_session *session, vt_source *source,
                                      int32_t *tokens, tally *psnr, tally *ssim,
                                      variant_error *err) {
    size_t floats = (size_t)w->side * (size_t)w->side * (size_t)w->channels;
    begin(w, "reconstructing");
    for (int first = 0; first < source->count; first += BATCH) {
        int n = source->count - first < BATCH ? source->count - first : BATCH;
        VT_TRY(vt_source_read(source, first, n, w->pictures, w->labels, err));
        VT_TRY(reconstruct(w, session, first, n, tokens, err));
        for (int i = 0; i < n; ++i) {
            const float *a = w->pictures + (size_t)i * floats, *b = w->others + (size_t)i * floats;
            tally_add(psnr, vt_psnr(a, b, floats));
            tally_add(ssim, vt_ssim(a, b, w->side, w->side, w->channels));
        }
        VT_TRY(vt_eval_add(w->eval, w->others, source->labelled ? w->labels : NULL, n, w->side,
                           w->side, w->channels, err));
        show_progress(w, first + n, source->count);
    }
    return VARIANT_OK;
}

static variant_status eval_tokenizer(work *w, cJSON *report, variant_error *err) {
    const settings *s = w->settings;
    cli_session session = {0};
    vt_source source = {0};
    int32_t *tokens = NULL;
    tally psnr = {0}, ssim = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(cli_session_open(&session, &s->asked.engine, true, false, err));
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session.model->tokenizer);
    VT_CHECK(set_size(w, vt_tokenizer_side(config), config->channels, err));
    vt_data data = data_of(w, &s->reconstruct, session.model->training);
    const vt_data reference = data_of(w, &s->by.reference, session.model->training);
    bool other = s->by.reference.count > 0;
    data.flat_whole = false; /* a tokenizer is judged by what it was not trained on */
    VT_CHECK(open_reference(w, other ? &reference : &data, err));
    vt_data_name(&data, w->pictures_name, sizeof w->pictures_name);
    VT_CHECK(vt_source_open(&source, &data, w->side, w->channels, s->count, other ? cli_note : NULL,
                            w, err));
    VT_CHECK(open_eval(w, source.count, labels_match(w, &source), false, err));
    tokens = malloc(BATCH * (size_t)vt_tokenizer_tokens(config) * sizeof *tokens);
    if (!tokens) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for tokens"));
    VT_CHECK(reconstruct_all(w, &session, &source, tokens, &psnr, &ssim, err));
    cJSON_AddStringToObject(report, "reconstructed", w->pictures_name);
    tally_report(&psnr, report, "psnr", "psnr_spread", &w->psnr_spread);
    tally_report(&ssim, report, "ssim", "ssim_spread", &w->ssim_spread);
    describe_tokenizer(w, &data, source.count);
cleanup:
    free(tokens);
    vt_source_close(&source);
    cli_session_close(&session);
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

static void print_text(const work *w, const vt_eval_scores *scores, const cJSON *report) {
    const cJSON *psnr = cJSON_GetObjectItem(report, "psnr");
    const cJSON *ssim = cJSON_GetObjectItem(report, "ssim");
    print_scores(w, scores);
    if (psnr) score_report_line("PSNR", psnr->valuedouble, w->psnr_spread, " dB");
    if (ssim) score_report_line("SSIM", ssim->valuedouble, w->ssim_spread, "");
    printf("%-18s %lld pictures", "of", (long long)scores->count);
    if (w->judge.has_reference && w->judge.reference.count)
        printf(" against %lld of %s", (long long)w->judge.reference.count,
               w->judge.reference.source);
    else if (w->judge.has_reference)
        printf(" against %s", w->judge.reference.source);
    printf("\n%-18s %s %s\n", "network", w->judge.network.name, w->judge.network.hash);
    score_report_print(w->made_with);
}

static variant_status evaluate(work *w, variant_error *err) {
    const settings *s = w->settings;
    vt_eval_scores scores;
    variant_status status = VARIANT_OK;
    cJSON *report = cJSON_CreateObject();
    w->made_with = cJSON_AddObjectToObject(report, "settings");
    if (!w->made_with) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a report"));
    VT_CHECK(open_network(w, err));
    VT_CHECK(s->reconstruct.count ? eval_tokenizer(w, report, err)
             : s->pictures.count  ? eval_folder(w, report, err)
                                  : eval_generated(w, report, err));
    score_report_judge(w->made_with, &w->judge, w->draws);
    VT_CHECK(vt_eval_scores_get(w->eval, &scores, err));
    for (int i = 0; i < scores.warning_count; ++i) cli_warn(NULL, scores.warnings[i]);
    if (s->json) {
        cJSON *json = vt_eval_scores_json(&scores, &w->judge.network,
                                          w->judge.has_reference ? &w->judge.reference : NULL);
        if (json) cJSON_AddItemToObject(report, "scores", json);
        char *text = cJSON_Print(report);
        if (text) puts(text);
        if (!json || !text) status = vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
        cJSON_free(text);
    } else {
        print_text(w, &scores, report);
    }
cleanup:
    cJSON_Delete(report);
    vt_eval_close(&w->eval);
    vt_judge_close(&w->judge);
    free(w->pictures);
    free(w->others);
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
    {"count", 'n', "N", "pictures, {range}; of --pictures and --reconstruct, unless given, all",
     CLI_INT(settings, count, 2, 10000000), .own = true},
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "class"),
    {"pictures", 0, "DIR",
     "pictures in this folder instead of generated ones; with a sub-folder a class, their share in "
     "their class is measured too",
     .read = add_pictures, .own = true},
    {"reconstruct", 0, "DATA", "real pictures through the tokenizer and back",
     .read = add_reconstruct},
    CLI_HEADING("by what"),
    CLI_ROWS(cli_scoring_options, cli_scoring, settings, by, NULL),
    {"save-reference", 0, "FILE", "keep what was computed of the reference",
     CLI_TEXT(settings, save_reference, "a file to write")},
    {"side", 0, "N", "of pictures, where neither a model nor a picture tells",
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
    work w = {.settings = s};
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
