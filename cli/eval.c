/* eval.c - `variant eval`: how good pictures are beside real ones; generated now, found in a folder, or
 * passed through the tokenizer. */
#include "eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "score_report.h"
#include "tools.h"
#include "values.h"

#define COMMAND "eval"

/* ---- progress ---- */

static const volatile sig_atomic_t *stop_wanted;

static void show_progress(eval_work *w, double done, double total) {
    char left[64];
    done += w->before;
    total += w->before + w->after;
    cli_left_text(cli_pace_left(&w->pace, vt_seconds(), done, total), left, sizeof left);
    if (done < total)
        cli_live_show(&w->live, "%s%s: %.0f of %.0f%s", w->within, w->doing, done, total, left);
    else
        cli_live_clear(&w->live);
}

void eval_begin(eval_work *w, const char *doing) {
    w->doing = doing;
    w->pace = (cli_pace){0};
}

static bool show_pictures(void *user, int done, int total) {
    show_progress(user, done, total);
    return !stop_wanted || !*stop_wanted;
}

/* After each scale, so that Ctrl-C is heard within one. */
static bool hear_stop(void *user, const variant_progress *at) {
    (void)user;
    (void)at;
    return !stop_wanted || !*stop_wanted;
}

static bool show_draws(void *user, int done, int total) {
    eval_work *w = user;
    cli_live_show(&w->live, "%sspread: %d of %d draws", w->within, done, total);
    if (done == total) cli_live_clear(&w->live);
    return !stop_wanted || !*stop_wanted;
}

/* ---- opening ---- */

static variant_status open_network(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
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

int eval_draws(const eval_work *w) {
    const int said = w->settings->by.draws;
    return said >= 0 ? said : vt_eval_default_draws(&w->judge.network);
}

static vt_score_by score_by(eval_work *w) {
    return (vt_score_by){.judge = &w->judge,
                         .draws = {.count = eval_draws(w),
                                   .seed = w->settings->asked.request.seed,
                                   .progress = show_draws,
                                   .user = w},
                         .progress = show_pictures,
                         .user = w,
                         .save_statistics = w->settings->save_statistics};
}

/* The pictures of these paths, taken as the model's or the network's training took its own. */
static vt_data data_of(const eval_work *w, const vt_data *paths, const char *training) {
    vt_data data = w->settings->taken.data;
    memcpy(data.paths, paths->paths, sizeof data.paths);
    data.count = paths->count;
    if (training)
        vt_data_follow(&data, training);
    else
        vt_judge_follow(&w->judge, &data);
    return data;
}

static variant_status open_reference(eval_work *w, const vt_data *data, int side, int channels,
                                     variant_error *err) {
    eval_begin(w, "reference");
    return vt_judge_reference(&w->judge, data, side, channels, err);
}

/* ---- the three kinds ---- */

variant_status eval_open_reference(eval_work *w, const variant_engine *engine, variant_error *err) {
    const eval_settings *s = w->settings;
    const variant_info info = *variant_engine_info(engine);
    const vt_data reference = data_of(w, &s->by.reference, engine->model->training);
    if (!s->by.reference.count) return VARIANT_OK;
    return open_reference(w, &reference, info.picture_side, info.channels, err);
}

variant_status eval_request(eval_work *w, const variant_engine *engine, const cli_request *asked,
                            uint64_t seed, cJSON *made_with, variant_report *report,
                            variant_error *err) {
    const eval_settings *s = w->settings;
    vt_score_made made = {0};
    variant_request request = asked->request;
    vt_score_by by = score_by(w);
    by.draws.seed = request.seed = seed;
    request.count = s->count;
    request.progress = hear_stop;
    variant_status status = vt_score_generated(&w->scores, &by, engine, &request, &made, err);
    if (status == VARIANT_OK) {
        score_report_request(made_with, asked, made.settings, s->count);
        *report = made.report;
    }
    free(made.settings);
    return status;
}

/* Before anything is scored: what the model refuses, it refuses now. */
static variant_status check_request(const variant_engine *engine, const cli_request *asked,
                                    variant_error *err) {
    variant_request request = asked->request;
    variant_memory memory = {.size = sizeof memory};
    request.count = 1;
    return variant_request_memory(engine, &request, &memory, err);
}

static variant_status eval_generated(eval_work *w, eval_beside *beside, variant_error *err) {
    const eval_settings *s = w->settings;
    variant_engine *engine = NULL;
    variant_report report = {.size = sizeof report};
    variant_status status = VARIANT_OK;
    VT_CHECK(variant_engine_open(&engine, &s->asked.engine, err));
    VT_CHECK(check_request(engine, &s->asked, err));
    if (beside->runs) {
        status = check_request(engine, &beside->asked, err);
        if (status != VARIANT_OK) {
            vt_fail_within(err, status, "--beside");
            goto cleanup;
        }
    }
    VT_CHECK(eval_open_reference(w, engine, err));
    eval_begin(w, "generating");
    if (s->seed_count || beside->there) {
        status = eval_seeds(w, engine, beside, err);
        goto cleanup;
    }
    VT_CHECK(eval_request(w, engine, &s->asked, s->asked.request.seed, w->made_with, &report, err));
    if (report.warning[0]) cli_warn(NULL, report.warning);
    cJSON_AddStringToObject(w->report, "depths", report.depths);
cleanup:
    variant_engine_close(&engine);
    return status;
}

/* Is there a share of pictures in their class? A note says why not, where one would expect it. */
static bool labels_match(const eval_work *w, const vt_source *source) {
    if (!source->labelled || w->judge.network.inception) return false;
    if (vt_judge_dataset_matches(&w->judge, source->dataset)) return true;
    fprintf(stderr,
            "variant eval: note: %s: its classes are not the network's: no share in their class\n",
            w->pictures_name);
    return false;
}

static variant_status eval_folder(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
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
    eval_begin(w, "pictures");
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

static variant_status codec_open(codec *c, const eval_settings *s, variant_error *err) {
    VT_TRY(cli_session_open(&c->session, &s->asked.engine, true, err));
    VT_TRY(cli_session_decoder(&c->session, s->asked.request.decoder, err));
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

static void describe_tokenizer(const eval_work *w, const vt_data *data, vt_number weights,
                               int count) {
    const variant_engine_options *engine = &w->settings->asked.engine;
    const vt_score_fidelity *f = &w->fidelity;
    cJSON_AddStringToObject(w->report, "reconstructed", w->pictures_name);
    add_fidelity(w->report, "psnr", f->psnr, "psnr_spread", f->psnr_spread);
    add_fidelity(w->report, "ssim", f->ssim, "ssim_spread", f->ssim_spread);
    cJSON_AddStringToObject(w->made_with, "model_path", engine->model);
    if (engine->part) cJSON_AddStringToObject(w->made_with, "part", engine->part);
    if (engine->tokenizer) cJSON_AddStringToObject(w->made_with, "tokenizer", engine->tokenizer);
    if (engine->sides) cJSON_AddStringToObject(w->made_with, "sides", engine->sides);
    cJSON_AddStringToObject(w->made_with, "weights", vt_number_name(weights));
    if (w->settings->asked.request.decoder)
        cJSON_AddStringToObject(w->made_with, "decoder", w->settings->asked.request.decoder);
    cJSON_AddNumberToObject(w->made_with, "count", count);
    score_report_data(w->made_with, data);
}

static variant_status eval_tokenizer(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
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
    eval_begin(w, "reconstructing");
    VT_CHECK(vt_score_reconstructed(&w->scores, &w->fidelity, &by, &source,
                                    labels_match(w, &source), w->pictures_name, there_and_back,
                                    &through, err));
    describe_tokenizer(w, &data, model->weights, source.count);
cleanup:
    vt_source_close(&source);
    codec_close(&through);
    return status;
}

/* ---- the report ---- */

static void print_scores(const eval_work *w, const vt_eval_scores *scores) {
    char name[96], label[128], line[64];
    vt_eval_name(name, sizeof name, "FID", &w->judge.network);
    snprintf(label, sizeof label, "%s%s", w->settings->reconstruct.count ? "r" : "", name);
    score_report_line(label, scores->frechet, scores->frechet_spread, "");
    vt_eval_name(name, sizeof name, "sFID", &w->judge.network);
    score_report_line(name, scores->spatial_frechet, scores->spatial_frechet_spread, "");
    vt_eval_name(name, sizeof name, "IS", &w->judge.network);
    score_report_line(name, scores->inception_score, scores->inception_spread, "");
    vt_eval_name(name, sizeof name, "KID", &w->judge.network);
    score_report_line(name, scores->kid, scores->kid_spread, "");
    snprintf(line, sizeof line, "   (k = %d, %d samples a side)", VT_EVAL_NEIGHBOURS,
             scores->neighbours_of);
    score_report_line("precision", scores->precision, scores->precision_spread, line);
    score_report_line("recall", scores->recall, scores->recall_spread, "");
    score_report_line("in their class", 100 * scores->class_share, 100 * scores->class_share_spread,
                      " %");
}

static void print_text(const eval_work *w) {
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
    score_report_print("settings", w->made_with);
}

static variant_status print_json(const eval_work *w, variant_error *err) {
    cJSON *scores = vt_eval_scores_json(&w->scores, &w->judge.network,
                                        w->judge.has_reference ? &w->judge.reference : NULL);
    if (scores) cJSON_AddItemToObject(w->report, "scores", scores);
    char *text = cJSON_Print(w->report);
    const bool whole = scores && text;
    if (text) puts(text);
    cJSON_free(text);
    return whole ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
}

void eval_warn_of_scores(const vt_eval_scores *scores) {
    for (int i = 0; i < scores->warning_count; ++i) cli_warn(NULL, scores->warnings[i]);
}

static variant_status evaluate(eval_work *w, eval_beside *beside, variant_error *err) {
    const eval_settings *s = w->settings;
    variant_status status = VARIANT_OK;
    w->report = cJSON_CreateObject();
    w->made_with = cJSON_AddObjectToObject(w->report, "settings");
    if (!w->made_with) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a report"));
    VT_CHECK(open_network(w, err));
    VT_CHECK(s->reconstruct.count ? eval_tokenizer(w, err)
             : s->pictures.count  ? eval_folder(w, err)
                                  : eval_generated(w, beside, err));
    if (s->seed_count || beside->there) goto cleanup;
    score_report_judge(w->made_with, &w->judge, eval_draws(w));
    eval_warn_of_scores(&w->scores);
    if (s->json)
        VT_CHECK(print_json(w, err));
    else
        print_text(w);
cleanup:
    cli_live_clear(&w->live);
    cJSON_Delete(w->report);
    vt_judge_close(&w->judge);
    return status;
}

/* ---- options ---- */

static bool add_pictures(void *user, const char *text) {
    return cli_data_add(&((eval_settings *)user)->pictures, text);
}

static bool add_reconstruct(void *user, const char *text) {
    return cli_data_add(&((eval_settings *)user)->reconstruct, text);
}

static bool read_seeds(void *user, const char *text) {
    eval_settings *s = user;
    return cli_seeds(text, VT_SEEDS_MOST, s->seeds, &s->seed_count);
}

static void init(void *user) {
    eval_settings *s = user;
    *s =
        (eval_settings){.taken = cli_data_defaults(), .by = cli_scoring_defaults(), .count = 10000};
    cli_request_init(&s->asked);
    s->asked.request.class_name = "all"; /* every class alike, as the reference has them */
}

static const cli_option options[] = {
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, eval_settings, asked.engine, CLI_MODEL),
    CLI_HEADING("what is judged"),
    {"count", "N", "pictures, {range}; of --pictures and --reconstruct, unless given, all",
     .letter = 'n', CLI_INT(eval_settings, count, 2, 10000000), .own = true},
    CLI_ROWS(cli_request_options, cli_request, eval_settings, asked, "class"),
    {"seeds", "S,S-S,..",
     "instead of --seed several, such as 1-3 or 1,2,5: scores of each, mean and range; Ctrl-C "
     "gives those "
     "that are finished",
     .read = read_seeds, .own = true, .unset = "the one of --seed"},
    {"beside", "WHAT",
     "another setting at the same seeds, and the differences: options that are not the same, as "
     "\"--depth 6 --uncond-depth 2\", or a file of an earlier eval --json",
     CLI_TEXT(eval_settings, beside, "options of the other setting, or a file of eval --json")},
    {"pictures", "DIR",
     "pictures in this folder instead of generated ones; with a sub-folder a class, their share in "
     "their class is measured too",
     .read = add_pictures, .own = true},
    {"reconstruct", "DATA", "real pictures through the tokenizer and back",
     .read = add_reconstruct},
    CLI_ROWS(cli_decoder_option, const char *, eval_settings, asked.request.decoder, NULL),
    CLI_HEADING("by what"),
    CLI_ROWS(cli_scoring_options, cli_scoring, eval_settings, by, NULL),
    {"save-reference", "FILE", "keep what was computed of the reference",
     CLI_TEXT(eval_settings, save_reference, "a file to write")},
    {"save-stats", "FILE",
     "an .npz with mu and sigma of the judged pictures' features, as pytorch-fid and "
     "guided-diffusion "
     "keep them",
     CLI_TEXT(eval_settings, save_statistics, "a file to write")},
    {"side", "N", "of pictures, where neither a model nor a picture tells",
     CLI_INT(eval_settings, side, 1, 32768), .unset = "", .own = true},
    CLI_ROWS(cli_channels_option, int, eval_settings, channels, NULL),
    CLI_HEADING("which of DATA, and how (a folder without classes as --reference: all, unless "
                "--split says)"),
    CLI_ROWS(cli_data_options, cli_data, eval_settings, taken, CLI_PART_OF_DATA),
    CLI_HEADING("sampling"),
    CLI_ROWS(cli_request_options, cli_request, eval_settings, asked, CLI_GUIDANCE " " CLI_SAMPLING),
    CLI_HEADING("depth"),
    CLI_ROWS(cli_request_options, cli_request, eval_settings, asked, CLI_DEPTH " retain-kv"),
    CLI_HEADING("running"),
    CLI_ROWS(cli_request_options, cli_request, eval_settings, asked, "batch"),
    CLI_ROWS(cli_engine_options, variant_engine_options, eval_settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    CLI_ROWS(cli_json_option, bool, eval_settings, json, NULL),
    {0},
};

/* -1: go on; else the exit status. */
static int check_options(eval_settings *s, const cli_line *line) {
    int done = cli_request_check(&s->asked, line);
    if (done >= 0) return done;
    if (s->pictures.count && s->reconstruct.count)
        return cli_misuse("either --pictures or --reconstruct, not both");
    if (!s->pictures.count && !s->asked.engine.model)
        return cli_misuse("what is judged? give -m MODEL or --pictures FOLDER");
    if ((s->seed_count || s->beside) && (s->pictures.count || s->reconstruct.count))
        return cli_misuse("--seeds and --beside are of generated pictures: give no --pictures or "
                          "--reconstruct");
    if ((s->seed_count || s->beside) && s->save_statistics)
        return cli_misuse(
            "--save-stats is of one seed of one setting: give no --seeds or --beside");
    if (s->seed_count && cli_given(line, "seed"))
        return cli_misuse("--seeds says every seed: give no --seed with it");
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
    eval_settings *s = user;
    variant_error err = {0};
    int done = check_options(s, line);
    if (done >= 0) return done;
    if (s->asked.drawn_seed)
        fprintf(stderr, "variant %s: note: seed %" PRIu64 "\n", cli_command_name(),
                s->asked.request.seed);
    eval_beside beside;
    done = eval_beside_open(&beside, s);
    if (done >= 0) return done;
    eval_work w = {.settings = s, .fidelity = {NAN, NAN, NAN, NAN}};
    cli_live_open(&w.live);
    if (!s->pictures.count && !s->reconstruct.count) stop_wanted = cli_catch_stop();
    const variant_status status = evaluate(&w, &beside, &err);
    eval_beside_close(&beside);
    return cli_end(status, &err);
}

const cli_command cli_eval = {
    .name = COMMAND,
    .purpose = "scores of generated pictures beside real ones, or of a tokenizer",
    .usage = "-m MODEL --reference DATA [-n COUNT] [options]\n"
             "-m MODEL --reference DATA --seeds 1-3 [--beside \"OPTIONS\"|FILE] [options]\n"
             "--pictures FOLDER --reference DATA --features FILE [options]\n"
             "-m MODEL --reconstruct DATA [options]",
    .about = "Scores generated pictures beside real ones: Frechet distance, inception score, "
             "precision and recall, share of pictures in their class; or a tokenizer's "
             "reconstructions: rFID, PSNR, SSIM.",
    .examples =
        "variant eval -m models/fashion --reference /usr/share/datasets/fashion-mnist --depth 6\n"
        "variant eval -m models/fashion --reference /usr/share/datasets/fashion-mnist --seeds 1-3 "
        "\\\n"
        "    --depth 6 --beside \"--depth 12\"\n"
        "variant eval -m d16.safetensors --features pt_inception.pth -n 50000 \\\n"
        "    --reference VIRTUAL_imagenet256_labeled.npz\n"
        "variant eval -m models/fashion --reconstruct /usr/share/datasets/fashion-mnist",
    .options = options,
    .size = sizeof(eval_settings),
    .init = init,
    .run = run,
};
