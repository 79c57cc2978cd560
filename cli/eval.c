/* eval.c - `variant eval`: how good pictures are beside real ones; generated now, found in a folder, or
 * passed through the tokenizer. */
#include "eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "score_report.h"
#include "values.h"

#define COMMAND "eval"

/* ---- progress ---- */

static const volatile sig_atomic_t *stop_wanted;

static bool goes_on(void) {
    return !stop_wanted || !*stop_wanted;
}

static void show_pictures(eval_work *w, const char *doing, double done, double total) {
    char left[64];
    if (w->doing != doing) w->pace = (cli_pace){0};
    w->doing = doing;
    done += w->before;
    total += w->before + w->after;
    cli_left_text(cli_pace_left(&w->pace, cli_now(), done, total), left, sizeof left);
    if (done < total)
        cli_live_show(&w->live, "%s%s: %.0f of %.0f%s", w->within, doing, done, total, left);
    else
        cli_live_clear(&w->live);
}

static bool show_progress(void *user, const char *doing, int done, int total) {
    eval_work *w = user;
    if (strcmp(doing, "spread") == 0) {
        cli_live_show(&w->live, "%sspread: %d of %d draws", w->within, done, total);
        if (done == total) cli_live_clear(&w->live);
    } else {
        show_pictures(w, strcmp(doing, "pictures") == 0 ? w->judging : "reference", done, total);
    }
    return goes_on();
}

/* After each scale, so that Ctrl-C is heard within one. */
static bool hear_stop(void *user, const variant_progress *at) {
    (void)user;
    (void)at;
    return goes_on();
}

/* ---- opening ---- */

static variant_status open_network(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
    variant_judge_options options;
    CLI_TRY(cli_scoring_check(&s->by, s->asked.engine.model, err));
    variant_judge_options_init(&options);
    options.features = s->by.features;
    options.model = s->asked.engine.model;
    options.verify = s->asked.engine.verify;
    options.resize = s->by.resize;
    options.backend = s->asked.engine.backend;
    options.threads = s->asked.engine.threads;
    options.save_reference = s->save_reference;
    options.progress = show_progress;
    options.note = cli_note;
    options.user = w;
    return variant_judge_open(&w->judge, &options, err);
}

int eval_draws(const eval_work *w) {
    const int said = w->settings->by.draws;
    return said >= 0 ? said : variant_judge_network(w->judge)->draws;
}

static variant_eval_options asked_of(const eval_work *w) {
    variant_eval_options options;
    variant_eval_options_init(&options);
    options.draws = w->settings->by.draws;
    options.seed = w->settings->asked.request.seed;
    options.save_statistics = w->settings->save_statistics;
    options.reference_count = w->settings->by.reference_count;
    return options;
}

/* ---- the three kinds ---- */

variant_status eval_open_reference(eval_work *w, const variant_engine *engine, variant_error *err) {
    const eval_settings *s = w->settings;
    const variant_info *info = variant_engine_info(engine);
    variant_data reference = cli_scoring_reference(&s->by, &s->taken);
    if (!s->by.reference.count) return VARIANT_OK;
    if (!reference.fit) reference.fit = info->fit;
    if (!reference.alpha) reference.alpha = info->alpha;
    return variant_judge_reference(w->judge, &reference, s->by.reference_count, info->picture_side,
                                   info->channels, err);
}

/* What made the first of the pictures, and how the last of them came. */
typedef struct made {
    variant_report report;
    char *settings;
} made;

static void keep_made(void *user, const variant_picture *pictures, int count,
                      const variant_report *report) {
    made *all = user;
    (void)count;
    all->report = *report;
    if (!all->settings) all->settings = strdup(pictures[0].settings);
}

variant_status eval_request(eval_work *w, const variant_engine *engine, const cli_request *asked,
                            uint64_t seed, cJSON *made_with, variant_report *report,
                            variant_error *err) {
    const eval_settings *s = w->settings;
    made all = {0};
    variant_request request = asked->request;
    variant_eval_options options = asked_of(w);
    options.engine = engine;
    options.request = &request;
    options.seed = request.seed = seed;
    options.generated = keep_made;
    options.user = &all;
    request.count = s->count;
    request.progress = hear_stop;
    variant_scores_init(&w->scores);
    const variant_status status = variant_evaluate(w->judge, &options, &w->scores, err);
    if (status == VARIANT_OK) {
        score_report_request(made_with, asked, all.settings, s->count);
        *report = all.report;
    }
    free(all.settings);
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
    CLI_CHECK(variant_engine_open(&engine, &s->asked.engine, err));
    CLI_CHECK(check_request(engine, &s->asked, err));
    if (beside->runs) {
        status = check_request(engine, &beside->asked, err);
        if (status != VARIANT_OK) {
            variant_fail_within(err, status, "--beside");
            goto cleanup;
        }
    }
    CLI_CHECK(eval_open_reference(w, engine, err));
    w->judging = "generating";
    if (s->seed_count || beside->there) {
        status = eval_seeds(w, engine, beside, err);
        goto cleanup;
    }
    CLI_CHECK(
        eval_request(w, engine, &s->asked, s->asked.request.seed, w->made_with, &report, err));
    if (report.warning[0]) cli_warn(NULL, report.warning);
    cJSON_AddStringToObject(w->report, "depths", report.depths);
cleanup:
    variant_engine_close(&engine);
    return status;
}

/* "a, b" */
static void name_paths(const cli_paths *paths, char *out, size_t size) {
    size_t used = 0;
    for (int i = 0; i < paths->count && used < size; ++i)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", paths->at[i]);
}

static variant_status eval_folder(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
    const bool train = s->taken.split_chosen && strcmp(s->taken.split, "train") == 0;
    const variant_data reference = cli_scoring_reference(&s->by, &s->taken);
    variant_data pictures = cli_data_asked_of(&s->pictures, &s->taken);
    variant_eval_options options = asked_of(w);
    char name[256];
    /* finished pictures: no share of them is held out */
    pictures.split = train ? "train" : "all";
    pictures.holdout = 0;
    options.pictures = &pictures;
    if (s->by.reference.count) options.reference = &reference;
    options.count = s->count;
    options.side = s->side;
    options.channels = s->channels;
    w->judging = "pictures";
    CLI_TRY(variant_evaluate(w->judge, &options, &w->scores, err));
    name_paths(&s->pictures, name, sizeof name);
    cJSON_AddStringToObject(w->report, "pictures", name);
    cJSON_AddNumberToObject(w->made_with, "count", (double)w->scores.count);
    cJSON_AddNumberToObject(w->made_with, "side", w->scores.side);
    cJSON_AddNumberToObject(w->made_with, "channels", w->scores.channels);
    return VARIANT_OK;
}

static void add_fidelity(cJSON *report, const char *mean_key, double mean, const char *spread_key,
                         double spread) {
    if (!isfinite(mean)) return;
    cJSON_AddNumberToObject(report, mean_key, mean);
    if (isfinite(spread)) cJSON_AddNumberToObject(report, spread_key, spread);
}

static void describe_tokenizer(const eval_work *w, const char *weights) {
    const variant_engine_options *engine = &w->settings->asked.engine;
    const variant_scores *scores = &w->scores;
    char name[256];
    name_paths(&w->settings->reconstruct, name, sizeof name);
    cJSON_AddStringToObject(w->report, "reconstructed", name);
    add_fidelity(w->report, "psnr", scores->psnr, "psnr_spread", scores->psnr_spread);
    add_fidelity(w->report, "ssim", scores->ssim, "ssim_spread", scores->ssim_spread);
    cJSON_AddStringToObject(w->made_with, "model_path", engine->model);
    if (engine->part) cJSON_AddStringToObject(w->made_with, "part", engine->part);
    if (engine->tokenizer) cJSON_AddStringToObject(w->made_with, "tokenizer", engine->tokenizer);
    if (engine->sides) cJSON_AddStringToObject(w->made_with, "sides", engine->sides);
    cJSON_AddStringToObject(w->made_with, "weights", weights);
    if (w->settings->asked.request.decoder)
        cJSON_AddStringToObject(w->made_with, "decoder", w->settings->asked.request.decoder);
    cJSON_AddNumberToObject(w->made_with, "count", (double)scores->count);
    score_report_data(w->made_with, scores->split, scores->holdout, scores->fit, scores->alpha);
}

static variant_status eval_tokenizer(eval_work *w, variant_error *err) {
    const eval_settings *s = w->settings;
    const variant_data reference = cli_scoring_reference(&s->by, &s->taken);
    const variant_data pictures = cli_data_asked_of(&s->reconstruct, &s->taken);
    variant_eval_options options = asked_of(w);
    variant_tokenizer *tokenizer = NULL;
    CLI_TRY(variant_tokenizer_open(&tokenizer, &s->asked.engine, err));
    options.pictures = &pictures;
    options.through = tokenizer;
    options.decoder = s->asked.request.decoder;
    options.count = s->count;
    if (s->by.reference.count) options.reference = &reference;
    w->judging = "reconstructing";
    const variant_status status = variant_evaluate(w->judge, &options, &w->scores, err);
    if (status == VARIANT_OK) describe_tokenizer(w, variant_tokenizer_shape(tokenizer)->weights);
    variant_tokenizer_close(&tokenizer);
    return status;
}

/* ---- the report ---- */

static void print_score(const eval_work *w, const char *score, double value, double spread) {
    char name[96], label[128];
    const bool again = w->settings->reconstruct.count && strcmp(score, "FID") == 0;
    score_report_name(name, sizeof name, score, variant_judge_network(w->judge));
    snprintf(label, sizeof label, "%s%s", again ? "r" : "", name);
    score_report_line(label, value, spread, "");
}

static void print_scores(const eval_work *w, const variant_scores *scores) {
    char line[64];
    print_score(w, "FID", scores->frechet, scores->frechet_spread);
    print_score(w, "sFID", scores->spatial_frechet, scores->spatial_frechet_spread);
    print_score(w, "IS", scores->inception_score, scores->inception_spread);
    print_score(w, "KID", scores->kid, scores->kid_spread);
    snprintf(line, sizeof line, "   (k = %d, %d samples a side)", VARIANT_NEIGHBOURS,
             scores->neighbours_of);
    score_report_line("precision", scores->precision, scores->precision_spread, line);
    score_report_line("recall", scores->recall, scores->recall_spread, "");
    score_report_line("in their class", 100 * scores->class_share, 100 * scores->class_share_spread,
                      " %");
}

static void print_text(const eval_work *w) {
    const variant_scores *scores = &w->scores;
    const variant_network *network = variant_judge_network(w->judge);
    print_scores(w, scores);
    score_report_line("PSNR", scores->psnr, scores->psnr_spread, " dB");
    score_report_line("SSIM", scores->ssim, scores->ssim_spread, "");
    printf("%-18s %lld pictures", "of", (long long)scores->count);
    if (network->reference_count)
        printf(" against %lld of", (long long)network->reference_count);
    else if (network->reference)
        printf(" against");
    printf("%s%s", network->reference ? " " : "", network->reference ? network->reference : "");
    printf("\n%-18s %s %s\n", "network", network->name, network->hash);
    score_report_print("settings", w->made_with);
}

static variant_status print_json(const eval_work *w, variant_error *err) {
    cJSON *scores = score_report_parse(variant_scores_json(w->judge, &w->scores));
    if (scores) cJSON_AddItemToObject(w->report, "scores", scores);
    char *text = cJSON_Print(w->report);
    const bool whole = scores && text;
    if (text) puts(text);
    cJSON_free(text);
    return whole ? VARIANT_OK : variant_fail(err, VARIANT_E_MEMORY, "no memory for a report");
}

void eval_warn_of_scores(const variant_scores *scores) {
    for (int i = 0; i < scores->warning_count; ++i) cli_warn(NULL, scores->warnings[i]);
}

static variant_status evaluate(eval_work *w, eval_beside *beside, variant_error *err) {
    const eval_settings *s = w->settings;
    variant_status status = VARIANT_OK;
    w->report = cJSON_CreateObject();
    w->made_with = cJSON_AddObjectToObject(w->report, "settings");
    if (!w->made_with) CLI_CHECK(variant_fail(err, VARIANT_E_MEMORY, "no memory for a report"));
    CLI_CHECK(open_network(w, err));
    CLI_CHECK(s->reconstruct.count ? eval_tokenizer(w, err)
              : s->pictures.count  ? eval_folder(w, err)
                                   : eval_generated(w, beside, err));
    if (s->seed_count || beside->there) goto cleanup;
    score_report_judge(w->made_with, variant_judge_network(w->judge), s->by.reference_count,
                       eval_draws(w));
    eval_warn_of_scores(&w->scores);
    if (s->json)
        CLI_CHECK(print_json(w, err));
    else
        print_text(w);
cleanup:
    cli_live_clear(&w->live);
    cJSON_Delete(w->report);
    variant_judge_close(&w->judge);
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
    return cli_seeds(text, EVAL_MOST_SEEDS, s->seeds, &s->seed_count);
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
    const char *real = s->by.reference.count ? s->by.reference.at[0] : s->reconstruct.at[0];
    if (s->save_reference && (!real || variant_is_statistics(real)))
        return cli_misuse("--save-reference needs --reference with pictures");
    if (real && !s->reconstruct.count && variant_is_statistics(real) &&
        (s->taken.split_chosen || s->by.reference_count > 0))
        cli_note(NULL, "--reference is statistics, of the pictures that they were made of: "
                       "--split and --reference-count change nothing");
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
    eval_work w = {.settings = s};
    variant_scores_init(&w.scores);
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
    .opens = true,
    .run = run,
};
