/* eval_seeds.c - `variant eval --seeds 1-3 --beside WHAT`: the scores of each seed, their mean and range, and the
 * differences to another setting at the same seeds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "eval/text.h"
#include "score_report.h"

enum { MOST_WORDS = 64, COLUMN = 20 };

/* ---- what stands beside ---- */

/* Of cli_request: what makes another setting of one model. */
static const cli_option beside_options[] = {
    CLI_HEADING("what may differ"),
    {.rows = cli_request_options, .words = CLI_GUIDANCE " top-k top-p greedy smooth " CLI_DEPTH},
    CLI_ROWS(cli_decoder_option, const char *, cli_request, request.decoder, NULL),
    {0},
};

static bool is_given(const cli_line *line, const char *names) {
    return cli_first_given(line, names) != NULL;
}

/* What is given anew takes the place of the other way to say it. */
static void replace(variant_request *request, const cli_line *line) {
    if (is_given(line, "depth|bridge")) request->depths = NULL;
    if (is_given(line, "depths")) request->depth = 0, request->bridge = -1;
    if (is_given(line, "cfg-scale")) request->cfg_scales = NULL;
    if (is_given(line, "uncond-depth")) request->uncond_depths = NULL;
    if (is_given(line, "uncond-depths")) request->uncond_depth = 0;
}

/* A word such as --weights, which eval knows but no other setting of the same model in memory can have. */
static bool is_elsewhere(const char *word) {
    const char *others[] = {"class", "count", "seed", "seeds", "reference", "features"};
    if (strncmp(word, "--", 2) != 0) return false;
    const size_t length = strcspn(word + 2, "=");
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i)
        if (strlen(others[i]) == length && !strncmp(others[i], word + 2, length)) return true;
    for (const cli_option *o = cli_engine_options; o->name || o->help; ++o)
        if (o->name && strlen(o->name) == length && !strncmp(o->name, word + 2, length))
            return true;
    return false;
}

static int read_options(eval_beside *b, const eval_settings *s) {
    const cli_command command = {.name = "eval --beside", .options = beside_options};
    cli_row rows[CLI_MOST_ROWS];
    char *words[MOST_WORDS + 2] = {"eval"}, *rest = NULL;
    int count = 1;
    snprintf(b->words, sizeof b->words, "%s", s->beside);
    if (strlen(s->beside) >= sizeof b->words)
        return cli_misuse("--beside: expected at most %zu letters", sizeof b->words - 1);
    for (char *w = strtok_r(b->words, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
        if (count > MOST_WORDS)
            return cli_misuse("--beside: expected at most %d words", MOST_WORDS);
        if (is_elsewhere(w))
            return cli_misuse("--beside: %s cannot differ there, only guidance, sampling, "
                              "depth and decoder: give the file of an `eval --json` with it",
                              w);
        words[count++] = w;
    }
    b->asked = s->asked;
    variant_request *request = &b->asked.request;
    if (request->class_name == s->asked.classes) request->class_name = b->asked.classes;
    if (request->cfg_scales) request->cfg_scales = b->asked.cfg_scales;
    cli_line line = {.count = count - 1, .words = words + 1};
    int done = cli_read(&command, &b->asked, count, words, rows, &line);
    if (done >= 0) return done;
    replace(request, &line);
    b->runs = true;
    return cli_request_check(&b->asked, &line);
}

static const uint64_t *seeds_of(const eval_settings *s, int *count) {
    *count = s->seed_count ? s->seed_count : 1;
    return s->seed_count ? s->seeds : &s->asked.request.seed;
}

static int read_file(eval_beside *b, const eval_settings *s) {
    variant_error err = {0};
    int count, common = 0;
    const uint64_t *seeds = seeds_of(s, &count);
    if (vt_seed_list_read(&b->found, s->beside, &err) != VARIANT_OK) return cli_fail(&err);
    for (int i = 0; i < count; ++i) common += vt_seed_list_find(&b->found, seeds[i]) != NULL;
    if (common) return -1;
    const int done = cli_misuse("--beside %s: no seed in common: %" PRIu64 "%s there", s->beside,
                                b->found.at[0].seed, b->found.count > 1 ? " and others" : "");
    vt_seed_list_free(&b->found);
    return done;
}

int eval_beside_open(eval_beside *b, const eval_settings *s) {
    *b = (eval_beside){.there = s->beside != NULL};
    if (!s->beside) return -1;
    return s->beside[0] == '-' ? read_options(b, s) : read_file(b, s);
}

void eval_beside_close(eval_beside *b) {
    vt_seed_list_free(&b->found);
}

/* ---- running ---- */

/* A setting while its seeds run. */
typedef struct side {
    const cli_request *asked;
    const char *name; /* behind "seed 2", for the live line: "" or " beside" */
    vt_seed_list list;
    variant_report report;
} side;

typedef struct seeds_work {
    eval_work *w;
    const variant_engine *engine;
    eval_beside *beside;
    side sides[2];
    int side_count, count;
    const uint64_t *seeds;
    variant_status status; /* of the run that did not finish */
} seeds_work;

/* A line as each is finished: what a log keeps whatever happens. */
static void tell_finished(const eval_work *w, const side *s, uint64_t seed) {
    char name[96], text[64];
    const bool distance = isfinite(w->scores.frechet);
    vt_eval_name(name, sizeof name, distance ? "FID" : "IS", &w->judge.network);
    vt_text_with_spread(text, sizeof text, distance ? w->scores.frechet : w->scores.inception_score,
                        distance ? w->scores.frechet_spread : w->scores.inception_spread, "+-");
    fprintf(stderr, "variant eval: seed %" PRIu64 "%s: %s %s\n", seed, s->name, name, text);
}

static variant_status run_one(seeds_work *work, side *s, uint64_t seed, variant_error *err) {
    eval_work *w = work->w;
    cJSON *made_with = cJSON_CreateObject();
    if (!made_with) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
    snprintf(w->within, sizeof w->within, "seed %" PRIu64 "%s, ", seed, s->name);
    variant_status status =
        eval_request(w, work->engine, s->asked, seed, made_with, &s->report, err);
    cli_live_clear(&w->live);
    if (status == VARIANT_OK && !s->list.settings) {
        s->list.settings = made_with;
        made_with = NULL;
        if (s->report.warning[0]) cli_warn(NULL, s->report.warning);
        if (s == &work->sides[0]) eval_warn_of_scores(&w->scores);
    }
    cJSON_Delete(made_with);
    if (status != VARIANT_OK) return status;
    cJSON *scores = vt_eval_scores_json(&w->scores, &w->judge.network,
                                        w->judge.has_reference ? &w->judge.reference : NULL);
    VT_TRY(vt_seed_list_add(&s->list, seed, scores, err));
    tell_finished(w, s, seed);
    return VARIANT_OK;
}

/* Seed after seed, both settings at each: stopped at any time, most are pairs. */
static variant_status run_all(seeds_work *work, variant_error *err) {
    eval_work *w = work->w;
    const int runs = work->count * work->side_count, each = w->settings->count;
    for (int i = 0; i < runs; ++i) {
        w->before = i * each;
        w->after = (runs - 1 - i) * each;
        VT_TRY(run_one(work, &work->sides[i % work->side_count], work->seeds[i / work->side_count],
                       err));
    }
    return VARIANT_OK;
}

/* What no run will change is looked at before the first. */
static variant_status check_comparable(const seeds_work *work, variant_error *err) {
    const eval_work *w = work->w;
    const vt_eval_scores none = {.count = w->settings->count,
                                 .frechet = NAN,
                                 .spatial_frechet = NAN,
                                 .inception_score = NAN,
                                 .precision = NAN,
                                 .recall = NAN,
                                 .class_share = NAN,
                                 .kid = NAN};
    if (!work->beside->there || work->beside->runs) return VARIANT_OK;
    cJSON *here = vt_eval_scores_json(&none, &w->judge.network,
                                      w->judge.has_reference ? &w->judge.reference : NULL);
    if (!here) return vt_fail(err, VARIANT_E_MEMORY, "no memory for scores");
    const vt_seed_list *found = &work->beside->found;
    variant_status status = VARIANT_OK;
    for (int i = 0; i < found->count && status == VARIANT_OK; ++i)
        status = vt_seeds_comparable(here, found->at[i].scores, w->settings->beside, err);
    cJSON_Delete(here);
    return status;
}

/* ---- as text ---- */

static const char *label_of(const eval_work *w, const vt_seed_score *score, char out[96]) {
    snprintf(out, 96, "%s", score->label);
    if (score->named) vt_eval_name(out, 96, score->label, &w->judge.network);
    return out;
}

static bool is_measured(const vt_seed_list *list, const vt_seed_score *score) {
    return vt_seeds_summary(list, score).count > 0;
}

static void print_head(const eval_work *w, const vt_seed_list *list, const char *title) {
    char label[96];
    printf("%-14s", title);
    for (int i = 0; i < vt_seed_score_count; ++i)
        if (is_measured(list, &vt_seed_score_list[i]))
            printf(" %-*s", COLUMN, label_of(w, &vt_seed_score_list[i], label));
    printf("\n");
}

static double number_at(const cJSON *scores, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(scores, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* Scores of a seed, or their mean: each with its spread. */
static void print_scores(const vt_seed_list *list, const char *title, const cJSON *scores) {
    char text[64];
    printf("%-14s", title);
    for (int i = 0; i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        if (!is_measured(list, score)) continue;
        vt_text_with_spread(text, sizeof text, score->factor * number_at(scores, score->key),
                            score->factor * number_at(scores, score->spread_key), "+-");
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_range(const vt_seed_list *list) {
    char text[64];
    printf("%-14s", "range");
    for (int i = 0; i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        const vt_seed_summary s = vt_seeds_summary(list, score);
        if (!s.count) continue;
        snprintf(text, sizeof text, "%.4g to %.4g", score->factor * s.least,
                 score->factor * s.most);
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_list(const eval_work *w, const vt_seed_list *list, const char *title) {
    char name[32];
    print_head(w, list, title);
    for (int i = 0; i < list->count; ++i) {
        snprintf(name, sizeof name, "%" PRIu64, list->at[i].seed);
        print_scores(list, name, list->at[i].scores);
    }
    if (list->count < 2) return;
    cJSON *mean = vt_seeds_mean_json(list);
    snprintf(name, sizeof name, "mean of %d", list->count);
    if (mean) print_scores(list, name, mean);
    cJSON_Delete(mean);
    print_range(list);
}

typedef enum line { MEAN, RELATIVE, BETTER } line;

static void print_summary(const vt_seed_list *a, const vt_seed_list *b, const char *title,
                          line which) {
    printf("%-14s", title);
    for (int i = 0; i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        const vt_seed_summary s = vt_seeds_pairs(a, b, score);
        char text[64] = "-";
        if (!is_measured(a, score)) continue;
        if (which == MEAN && isfinite(s.error))
            vt_text_with_spread(text, sizeof text, score->factor * s.mean, score->factor * s.error,
                                "+-");
        else if (which == MEAN && s.count)
            snprintf(text, sizeof text, "%+.3g", score->factor * s.mean);
        if (which == RELATIVE && isfinite(s.relative))
            snprintf(text, sizeof text, "%+.1f %%", 100.0 * s.relative);
        if (which == BETTER && s.count) snprintf(text, sizeof text, "%d of %d", s.better, s.count);
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_pair(const vt_seed_list *a, const vt_seed_list *b, uint64_t seed) {
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64, seed);
    printf("%-14s", text);
    for (int i = 0; i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        const double d = vt_seeds_difference(a, b, seed, score);
        if (!is_measured(a, score)) continue;
        snprintf(text, sizeof text, isfinite(d) ? "%+.3g" : "-", score->factor * d);
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_pairs(const eval_work *w, const vt_seed_list *a, const vt_seed_list *b) {
    char name[32];
    int pairs = 0;
    for (int i = 0; i < a->count; ++i) pairs += vt_seed_list_find(b, a->at[i].seed) != NULL;
    if (!pairs) return;
    printf("\n");
    print_head(w, a, "difference");
    for (int i = 0; i < a->count; ++i)
        if (vt_seed_list_find(b, a->at[i].seed)) print_pair(a, b, a->at[i].seed);
    snprintf(name, sizeof name, "mean of %d", pairs);
    print_summary(a, b, name, MEAN);
    print_summary(a, b, "relative", RELATIVE);
    print_summary(a, b, "better in", BETTER);
}

static void print_settings(const vt_seed_list *here, const vt_seed_list *beside) {
    score_report_print("settings", here->settings);
    if (beside && beside->settings)
        score_report_print_other("beside", beside->settings, here->settings);
}

/* ---- the report ---- */

/* "seeds" instead of one seed, and what judged. */
static bool complete_settings(const eval_work *w, vt_seed_list *list) {
    vt_text seeds = {0};
    for (int i = 0; i < list->count; ++i)
        vt_text_add(&seeds, "%s%" PRIu64, i ? "," : "", list->at[i].seed);
    cJSON_DeleteItemFromObjectCaseSensitive(list->settings, "seed");
    const bool whole =
        !seeds.failed && cJSON_AddStringToObject(list->settings, "seeds", seeds.data);
    vt_text_free(&seeds);
    score_report_judge(list->settings, &w->judge, eval_draws(w));
    return whole;
}

static bool put_side(cJSON *object, const vt_seed_list *list, const char *depths) {
    return cJSON_AddItemToObject(object, "settings", cJSON_Duplicate(list->settings, true)) &&
           (!depths || cJSON_AddStringToObject(object, "depths", depths)) &&
           vt_seeds_put(object, list);
}

static variant_status print_json(const seeds_work *work, const vt_seed_list *other,
                                 variant_error *err) {
    const vt_seed_list *here = &work->sides[0].list;
    cJSON *report = cJSON_CreateObject();
    bool whole = report && put_side(report, here, work->sides[0].report.depths);
    if (whole && other) {
        cJSON *beside = cJSON_AddObjectToObject(report, "beside");
        const char *depths = work->beside->runs ? work->sides[1].report.depths : NULL;
        whole =
            beside && put_side(beside, other, depths) && vt_seeds_put_pairs(report, here, other);
    }
    if (whole && work->status != VARIANT_OK) whole = cJSON_AddTrueToObject(report, "unfinished");
    char *text = whole ? cJSON_Print(report) : NULL;
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(report);
    return text ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
}

static variant_status print_report(seeds_work *work, variant_error *err) {
    const eval_work *w = work->w;
    vt_seed_list *here = &work->sides[0].list, *other = NULL;
    if (work->beside->there)
        other = work->beside->runs ? &work->sides[1].list : &work->beside->found;
    if (other && other->count == 0) other = NULL;
    if (here->count == 0) return VARIANT_OK;
    if (!complete_settings(w, here) ||
        (other && work->beside->runs && !complete_settings(w, other)))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a report");
    if (w->settings->json) return print_json(work, other, err);
    print_list(w, here, "seed");
    if (other) {
        printf("\n");
        print_list(w, other, "beside, seed");
        print_pairs(w, here, other);
    }
    printf("\n%-18s %d pictures a seed", "of", w->settings->count);
    if (w->judge.has_reference) printf(" against %s", w->judge.reference.source);
    printf("\n%-18s %s %s\n", "network", w->judge.network.name, w->judge.network.hash);
    print_settings(here, other);
    return VARIANT_OK;
}

/* "2,5": the seeds that are not finished. */
static void list_missing(const seeds_work *work, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < work->count && at < size; ++i) {
        bool done = true;
        for (int s = 0; s < work->side_count; ++s)
            done = done && vt_seed_list_find(&work->sides[s].list, work->seeds[i]);
        if (done) continue;
        at += (size_t)snprintf(out + at, size - at, "%s%" PRIu64, at ? "," : "", work->seeds[i]);
    }
}

variant_status eval_seeds(eval_work *w, const variant_engine *engine, eval_beside *beside,
                          variant_error *err) {
    seeds_work work = {.w = w, .engine = engine, .beside = beside, .side_count = 1 + beside->runs};
    work.seeds = seeds_of(w->settings, &work.count);
    work.sides[0] = (side){.asked = &w->settings->asked, .name = ""};
    work.sides[1] = (side){.asked = &beside->asked, .name = " beside"};
    variant_status status = check_comparable(&work, err);
    if (status == VARIANT_OK) status = work.status = run_all(&work, err);
    const variant_status printed = print_report(&work, status == VARIANT_OK ? err : NULL);
    if (status == VARIANT_OK) status = printed;
    if (status == VARIANT_E_STOPPED) {
        char missing[200];
        list_missing(&work, missing, sizeof missing);
        vt_fail(err, status, "stopped after %d of %d seeds; --seeds %s does the others",
                work.sides[0].list.count, work.count, missing);
    }
    for (int i = 0; i < 2; ++i) vt_seed_list_free(&work.sides[i].list);
    return status;
}
