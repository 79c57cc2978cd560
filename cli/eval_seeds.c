/* eval_seeds.c - `variant eval --seeds 1-3 --beside WHAT`: the scores of each seed, their mean and range, and the
 * differences to another setting at the same seeds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
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
    if (is_given(line, "cfg-scale")) request->cfg_scales = NULL, request->cfg_scale_count = 0;
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

static bool has_seed(const variant_seed_list *list, uint64_t seed) {
    for (int i = 0; i < variant_seed_list_count(list); ++i)
        if (variant_seed_list_seed(list, i) == seed) return true;
    return false;
}

static int read_file(eval_beside *b, const eval_settings *s) {
    variant_error err = {0};
    int count, common = 0;
    const uint64_t *seeds = seeds_of(s, &count);
    if (variant_seed_list_read(&b->found, s->beside, &err) != VARIANT_OK) return cli_fail(&err);
    for (int i = 0; i < count; ++i) common += has_seed(b->found, seeds[i]);
    if (common) return -1;
    const int done = cli_misuse("--beside %s: no seed in common: %" PRIu64 "%s there", s->beside,
                                variant_seed_list_seed(b->found, 0),
                                variant_seed_list_count(b->found) > 1 ? " and others" : "");
    eval_beside_close(b);
    return done;
}

int eval_beside_open(eval_beside *b, const eval_settings *s) {
    *b = (eval_beside){.there = s->beside != NULL};
    if (!s->beside) return -1;
    return s->beside[0] == '-' ? read_options(b, s) : read_file(b, s);
}

void eval_beside_close(eval_beside *b) {
    variant_seed_list_close(&b->found);
}

/* ---- running ---- */

/* A setting: while its seeds run, or from a file. */
typedef struct side {
    const cli_request *asked;
    const char *name; /* behind "seed 2", for the live line: "" or " beside" */
    variant_seed_list *list;
    cJSON *settings; /* what the pictures were made with; NULL: no file says */
    cJSON *told;     /* of the list, once it is complete */
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
    score_report_name(name, sizeof name, distance ? "FID" : "IS", variant_judge_network(w->judge));
    variant_text_with_spread(
        text, sizeof text, distance ? w->scores.frechet : w->scores.inception_score,
        distance ? w->scores.frechet_spread : w->scores.inception_spread, "+-");
    fprintf(stderr, "variant eval: seed %" PRIu64 "%s: %s %s\n", seed, s->name, name, text);
}

static variant_status run_one(seeds_work *work, side *s, uint64_t seed, variant_error *err) {
    eval_work *w = work->w;
    cJSON *made_with = cJSON_CreateObject();
    if (!made_with) return cli_no_memory(err, "a report");
    snprintf(w->within, sizeof w->within, "seed %" PRIu64 "%s, ", seed, s->name);
    variant_status status =
        eval_request(w, work->engine, s->asked, seed, made_with, &s->report, err);
    cli_live_clear(&w->live);
    if (status == VARIANT_OK && !s->settings) {
        s->settings = made_with;
        made_with = NULL;
        if (s->report.warning[0]) cli_warn(NULL, s->report.warning);
        if (s == &work->sides[0]) eval_warn_of_scores(&w->scores);
    }
    cJSON_Delete(made_with);
    if (status != VARIANT_OK) return status;
    CLI_TRY(variant_seed_list_add(s->list, w->judge, seed, &w->scores, err));
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
        CLI_TRY(run_one(work, &work->sides[i % work->side_count], work->seeds[i / work->side_count],
                        err));
    }
    return VARIANT_OK;
}

/* What no run will change is looked at before the first. */
static variant_status check_comparable(const seeds_work *work, variant_error *err) {
    const eval_work *w = work->w;
    if (!work->beside->found) return VARIANT_OK;
    return variant_seed_list_check(work->beside->found, w->judge, w->settings->count,
                                   w->settings->beside, err);
}

/* ---- as text ---- */

/* What is told of every seed: the scores that are single numbers. */
typedef struct score_row {
    const char *key, *spread_key; /* in the JSON */
    const char *label;
    bool named;    /* "FID" becomes "FID(classifier)" */
    double factor; /* a share as per cent */
} score_row;
static const score_row scores[] = {
    {"frechet", "frechet_spread", "FID", true, 1},
    {"spatial_frechet", "spatial_frechet_spread", "sFID", true, 1},
    {"inception_score", "inception_score_spread", "IS", true, 1},
    {"kid", "kid_spread", "KID", true, 1},
    {"precision", "precision_spread", "precision", false, 1},
    {"recall", "recall_spread", "recall", false, 1},
    {"class_share", "class_share_spread", "in their class, %", false, 100},
};
enum { SCORES = sizeof scores / sizeof *scores };

static const cJSON *item_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static double number_at(const cJSON *object, const char *key) {
    const cJSON *item = item_of(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool is_measured(const side *s, const score_row *score) {
    return item_of(item_of(s->told, "range"), score->key) != NULL;
}

static void print_head(const eval_work *w, const side *s, const char *title) {
    char label[96];
    printf("%-14s", title);
    for (int i = 0; i < SCORES; ++i) {
        if (!is_measured(s, &scores[i])) continue;
        snprintf(label, sizeof label, "%s", scores[i].label);
        if (scores[i].named)
            score_report_name(label, sizeof label, scores[i].label,
                              variant_judge_network(w->judge));
        printf(" %-*s", COLUMN, label);
    }
    printf("\n");
}

/* Scores of a seed, or their mean: each with its spread. */
static void print_scores(const side *s, const char *title, const cJSON *of) {
    char text[64];
    printf("%-14s", title);
    for (int i = 0; i < SCORES; ++i) {
        const score_row *score = &scores[i];
        if (!is_measured(s, score)) continue;
        variant_text_with_spread(text, sizeof text, score->factor * number_at(of, score->key),
                                 score->factor * number_at(of, score->spread_key), "+-");
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_range(const side *s) {
    char text[64];
    printf("%-14s", "range");
    for (int i = 0; i < SCORES; ++i) {
        const cJSON *ends = item_of(item_of(s->told, "range"), scores[i].key);
        if (!ends) continue;
        snprintf(text, sizeof text, "%.4g to %.4g",
                 scores[i].factor * cJSON_GetArrayItem(ends, 0)->valuedouble,
                 scores[i].factor * cJSON_GetArrayItem(ends, 1)->valuedouble);
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_list(const eval_work *w, const side *s, const char *title) {
    const cJSON *seeds = item_of(s->told, "seeds"), *one;
    const int count = variant_seed_list_count(s->list);
    char name[32];
    print_head(w, s, title);
    cJSON_ArrayForEach(one, seeds)
        print_scores(s, cJSON_GetStringValue(item_of(one, "seed")), item_of(one, "scores"));
    if (count < 2) return;
    snprintf(name, sizeof name, "mean of %d", count);
    print_scores(s, name, item_of(s->told, "scores"));
    print_range(s);
}

typedef enum line { MEAN, RELATIVE, BETTER } line;

/* difference: of each score, as the library tells it. */
static void print_summary(const side *a, const cJSON *difference, const char *title, line which) {
    printf("%-14s", title);
    for (int i = 0; i < SCORES; ++i) {
        const score_row *score = &scores[i];
        const cJSON *of = item_of(difference, score->key);
        const double mean = number_at(of, "mean"), error = number_at(of, "error"),
                     relative = number_at(of, "relative");
        char text[64] = "-";
        if (!is_measured(a, score)) continue;
        if (which == MEAN && isfinite(error))
            variant_text_with_spread(text, sizeof text, score->factor * mean, score->factor * error,
                                     "+-");
        else if (which == MEAN && of)
            snprintf(text, sizeof text, "%+.3g", score->factor * mean);
        if (which == RELATIVE && isfinite(relative))
            snprintf(text, sizeof text, "%+.1f %%", 100.0 * relative);
        if (which == BETTER && of)
            snprintf(text, sizeof text, "%.0f of %.0f", number_at(of, "better"),
                     number_at(of, "pairs"));
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_pair(const side *a, const cJSON *pair) {
    char text[64];
    printf("%-14s", cJSON_GetStringValue(item_of(pair, "seed")));
    for (int i = 0; i < SCORES; ++i) {
        const double d = number_at(pair, scores[i].key);
        if (!is_measured(a, &scores[i])) continue;
        snprintf(text, sizeof text, isfinite(d) ? "%+.3g" : "-", scores[i].factor * d);
        printf(" %-*s", COLUMN, text);
    }
    printf("\n");
}

static void print_pairs(const eval_work *w, const side *a, const cJSON *differences) {
    const cJSON *pairs = item_of(differences, "pairs"), *one,
                *difference = item_of(differences, "difference");
    char name[32];
    if (!cJSON_GetArraySize(pairs)) return;
    printf("\n");
    print_head(w, a, "difference");
    cJSON_ArrayForEach(one, pairs) print_pair(a, one);
    snprintf(name, sizeof name, "mean of %d", cJSON_GetArraySize(pairs));
    print_summary(a, difference, name, MEAN);
    print_summary(a, difference, "relative", RELATIVE);
    print_summary(a, difference, "better in", BETTER);
}

static void print_text(const eval_work *w, const side *here, const side *other,
                       const cJSON *differences) {
    const variant_network *network = variant_judge_network(w->judge);
    print_list(w, here, "seed");
    if (other) {
        printf("\n");
        print_list(w, other, "beside, seed");
        print_pairs(w, here, differences);
    }
    printf("\n%-18s %d pictures a seed", "of", w->settings->count);
    if (network->reference) printf(" against %s", network->reference);
    printf("\n%-18s %s %s\n", "network", network->name, network->hash);
    score_report_print("settings", here->settings);
    if (other && other->settings)
        score_report_print_other("beside", other->settings, here->settings);
}

/* ---- the report ---- */

/* "seeds" instead of one seed, and what judged. */
static bool complete_settings(const eval_work *w, side *s) {
    char *seeds = NULL;
    size_t size;
    FILE *to = open_memstream(&seeds, &size);
    for (int i = 0; to && i < variant_seed_list_count(s->list); ++i)
        fprintf(to, "%s%" PRIu64, i ? "," : "", variant_seed_list_seed(s->list, i));
    cJSON_DeleteItemFromObjectCaseSensitive(s->settings, "seed");
    const bool whole =
        to && fclose(to) == 0 && cJSON_AddStringToObject(s->settings, "seeds", seeds);
    free(seeds);
    score_report_judge(s->settings, variant_judge_network(w->judge),
                       w->settings->by.reference_count, eval_draws(w));
    return whole;
}

/* The items of `from`, in order, at the end of `to`. */
static bool put_all(cJSON *to, const cJSON *from) {
    const cJSON *item;
    bool whole = from != NULL;
    cJSON_ArrayForEach(item, from) whole =
        whole && cJSON_AddItemToObject(to, item->string, cJSON_Duplicate(item, true));
    return whole;
}

static bool put_side(cJSON *object, const side *s, bool runs) {
    return cJSON_AddItemToObject(object, "settings", cJSON_Duplicate(s->settings, true)) &&
           (!runs || cJSON_AddStringToObject(object, "depths", s->report.depths)) &&
           put_all(object, s->told);
}

static variant_status print_json(const seeds_work *work, const side *other,
                                 const cJSON *differences, variant_error *err) {
    cJSON *report = cJSON_CreateObject();
    bool whole = report && put_side(report, &work->sides[0], true);
    if (whole && other) {
        cJSON *beside = cJSON_AddObjectToObject(report, "beside");
        whole =
            beside && put_side(beside, other, work->beside->runs) && put_all(report, differences);
    }
    if (whole && work->status != VARIANT_OK) whole = cJSON_AddTrueToObject(report, "unfinished");
    char *text = whole ? cJSON_Print(report) : NULL;
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(report);
    return text ? VARIANT_OK : cli_no_memory(err, "a report");
}

/* What the library tells of a side whose seeds are run. */
static bool complete(const eval_work *w, side *s, bool runs) {
    if (runs && !complete_settings(w, s)) return false;
    s->told = score_report_parse(variant_seed_list_json(s->list));
    return s->told != NULL;
}

static variant_status print_report(seeds_work *work, variant_error *err) {
    const eval_work *w = work->w;
    side *here = &work->sides[0], *other = work->beside->there ? &work->sides[1] : NULL;
    cJSON *differences = NULL;
    if (other && variant_seed_list_count(other->list) == 0) other = NULL;
    if (variant_seed_list_count(here->list) == 0) return VARIANT_OK;
    if (!complete(w, here, true) || (other && !complete(w, other, work->beside->runs)))
        return cli_no_memory(err, "a report");
    if (other) {
        differences =
            score_report_parse(variant_seed_list_differences_json(here->list, other->list));
        if (!differences) return cli_no_memory(err, "a report");
    }
    variant_status status = VARIANT_OK;
    if (w->settings->json)
        status = print_json(work, other, differences, err);
    else
        print_text(w, here, other, differences);
    cJSON_Delete(differences);
    return status;
}

/* "2,5": the seeds that are not finished. */
static void list_missing(const seeds_work *work, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < work->count && at < size; ++i) {
        bool done = true;
        for (int s = 0; s < work->side_count; ++s)
            done = done && has_seed(work->sides[s].list, work->seeds[i]);
        if (done) continue;
        at += (size_t)snprintf(out + at, size - at, "%s%" PRIu64, at ? "," : "", work->seeds[i]);
    }
}

/* The sides' lists: to be filled, or that of the file, whose settings are what it says. */
static variant_status open_sides(seeds_work *work, variant_error *err) {
    eval_beside *beside = work->beside;
    work->sides[0] = (side){.asked = &work->w->settings->asked, .name = ""};
    work->sides[1] = (side){.asked = &beside->asked, .name = " beside"};
    for (int i = 0; i < work->side_count; ++i)
        CLI_TRY(variant_seed_list_open(&work->sides[i].list, err));
    if (!beside->found) return VARIANT_OK;
    const char *settings = variant_seed_list_settings(beside->found);
    work->sides[1].list = beside->found;
    beside->found = NULL;
    if (settings && !(work->sides[1].settings = cJSON_Parse(settings)))
        return cli_no_memory(err, "a report");
    return VARIANT_OK;
}

static void close_sides(seeds_work *work) {
    for (int i = 0; i < 2; ++i) {
        variant_seed_list_close(&work->sides[i].list);
        cJSON_Delete(work->sides[i].settings);
        cJSON_Delete(work->sides[i].told);
    }
}

variant_status eval_seeds(eval_work *w, const variant_engine *engine, eval_beside *beside,
                          variant_error *err) {
    seeds_work work = {.w = w, .engine = engine, .beside = beside, .side_count = 1 + beside->runs};
    work.seeds = seeds_of(w->settings, &work.count);
    variant_status status = check_comparable(&work, err);
    if (status == VARIANT_OK) status = open_sides(&work, err);
    if (status == VARIANT_OK) status = work.status = run_all(&work, err);
    const variant_status printed = print_report(&work, status == VARIANT_OK ? err : NULL);
    if (status == VARIANT_OK) status = printed;
    if (status == VARIANT_E_STOPPED) {
        char missing[200];
        list_missing(&work, missing, sizeof missing);
        variant_fail(err, status, "stopped after %d of %d seeds; --seeds %s does the others",
                     variant_seed_list_count(work.sides[0].list), work.count, missing);
    }
    close_sides(&work);
    return status;
}
