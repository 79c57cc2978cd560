/* report.c - the page: head, figures, sections, pictures, table. */
#include "eval/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report_parts.h"
#include "eval/sweep.h"
#include "io/file.h"

#define PICTURE_MAX ((size_t)64 << 20)

static const char style[] =
    ":root{--ink:#1b2330;--soft:#5c6675;--grid:#e3e7ee;--card:#fff;--page:#f4f6f9;--heat:#1f6feb;"
    "--c0:#1f6feb;--c1:#d4572a;--c2:#12936b;--c3:#a855b5;--c4:#c98a00;--c5:#2fa5c9;--c6:#7a6ae0;--"
    "c7:#7c828c;--c8:#8a5a34;--c9:#d1477f}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--soft:#9aa5b5;--grid:#2c3442;--card:#"
    "181e28;"
    "--page:#10141b;--heat:#3f83f0;--c0:#5596ff;--c1:#f0794c;--c2:#35bd90;--c3:#c983d4;--c4:#"
    "e2ab38;"
    "--c5:#5cc3e2;--c6:#9d90f5;--c7:#9aa0aa;--c8:#b98a63;--c9:#ee7fab}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif}"
    "main{max-width:1320px;margin:0 auto;padding:32px 24px 64px}"
    "h1{font-size:27px;line-height:1.2;margin:0 0 6px}h2{font-size:19px;margin:0 0 "
    "10px}h3{font-size:15px;margin:14px 0 6px}"
    "p{margin:0 0 12px;color:var(--soft);max-width:110ch}"
    "section{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:20px "
    "22px;margin-top:18px}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:14px 0 "
    "0;font-size:14px}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}code{font:13px ui-monospace,\"DejaVu "
    "Sans Mono\",monospace}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:14px;margin-"
    "top:18px}"
    ".tile{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:14px "
    "18px}"
    ".tile b{display:block;font-size:23px;line-height:1.25}.tile "
    "span{color:var(--soft);font-size:13px;display:block}"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:"
    "22px}"
    ".row{display:flex;flex-wrap:wrap;gap:14px 34px}.row figure{flex:0 1 auto}"
    "figure{margin:0;min-width:0}figcaption{font-weight:600;margin-bottom:4px}svg{display:block;"
    "width:100%;height:auto}"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:2px 0 "
    "8px;font-size:13px;color:var(--soft)}"
    ".legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}\n"
    "svg "
    "text{font-size:12px;fill:var(--ink)}.tick,.axis{fill:var(--soft)!important}.dot{font-size:"
    "11px!important}"
    ".mid{text-anchor:middle}.end{text-anchor:end}.over{fill:#fff!important}"
    ".grid{stroke:var(--grid)}.front{fill:none;stroke:var(--ink);stroke-width:1.4;stroke-dasharray:"
    "5 4;opacity:.55}"
    ".spread{stroke:var(--soft);stroke-width:1.2}.leader{stroke:var(--soft);stroke-width:.7;"
    "opacity:.7}"
    ".reference{stroke:var(--ink);stroke-width:1.4;stroke-dasharray:5 4;opacity:.7}"
    ".s0{background:var(--c0)}.f0{fill:var(--c0)}.s1{background:var(--c1)}.f1{fill:var(--c1)}.s2{"
    "background:var(--c2)}.f2{fill:var(--c2)}.s3{background:var(--c3)}.f3{fill:var(--c3)}"
    ".s4{background:var(--c4)}.f4{fill:var(--c4)}.s5{background:var(--c5)}.f5{fill:var(--c5)}.s6{"
    "background:var(--c6)}.f6{fill:var(--c6)}.s7{background:var(--c7)}.f7{fill:var(--c7)}"
    ".s8{background:var(--c8)}.f8{fill:var(--c8)}.s9{background:var(--c9)}.f9{fill:var(--c9)}"
    ".heat{fill:var(--heat)}circle.best{stroke:var(--ink);stroke-width:1.4}circle.other{stroke:var("
    "--card);stroke-width:1}\n"
    ".strips{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px "
    "16px;align-items:center;font-size:14px}"
    ".strips "
    "img{width:100%;image-rendering:pixelated;display:block;border-radius:4px}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%;font-variant-"
    "numeric:tabular-nums}"
    "th,td{padding:5px 10px;text-align:right;border-bottom:1px solid "
    "var(--grid);white-space:nowrap}"
    "th{color:var(--soft);font-weight:600}th:first-child,td:first-child,.left{text-align:left}"
    ".under{margin:12px 0 0}.note{border-left:3px solid var(--c4);padding-left:12px}";

/* ---- head ---- */

static void add_fact(vt_text *html, const char *name, const char *value, bool code) {
    if (!value[0]) return;
    vt_text_add(html, "<dt>%s</dt><dd>%s", name, code ? "<code>" : "");
    vt_text_add_escaped(html, value);
    vt_text_add(html, "%s</dd>\n", code ? "</code>" : "");
}

static void describe_model(const vt_report *r, vt_text *out) {
    const vt_sweep_model *model = &r->file.model;
    char bytes[32];
    variant_text_bytes(bytes, sizeof bytes, model->weight_bytes);
    vt_text_add(out, "%s", model->name);
    if (model->synthetic) vt_text_add(out, ", synthetic weights");
    if (model->hash[0]) vt_text_add(out, ", weights %s", model->hash);
    vt_text_add(out, "; %d layers of width %d, scales ", model->depth, model->width);
    for (int k = 0; k < model->sides.count; ++k)
        vt_text_add(out, "%s%.0f", k ? "," : "", model->sides.at[k]);
    vt_text_add(out, ", %s in memory", bytes);
    if (!model->supernet) vt_text_add(out, "; not trained as a supernet");
}

static void describe_settings(const vt_report *r, vt_text *out) {
    const vt_sweep_settings *s = &r->file.settings;
    vt_text_add(out,
                "weights %s, KV %s, %d picture%s at a time, %d run%s, each after one that is "
                "discarded; class %s, seed %s",
                s->weights, s->kv, s->batch, s->batch == 1 ? "" : "s", s->repeat,
                s->repeat > 1 ? "s in rounds (medians)" : "", s->class, s->seed);
    if (s->greedy)
        vt_text_add(out, ", greedy");
    else
        vt_text_add(out, ", top-k %d, top-p %g", s->top_k, s->top_p);
    if (s->smooth) vt_text_add(out, ", smooth");
    if (strcmp(s->decoder, "preview") == 0) vt_text_add(out, ", preview decoder");
    if (!r->cfg_varies && r->count) vt_text_add(out, ", guidance %g", r->points[0].cfg_scale);
}

/* What was measured, in which network, beside which pictures. */
static void describe_quality(const vt_report *r, vt_text *out) {
    const vt_sweep_judged_by *by = &r->file.settings.quality;
    if (!r->has_quality) {
        if (r->judged)
            vt_text_add(out, "measured at %d of %d points so far", r->judged, r->count);
        else
            vt_text_add(out, "not measured");
        return;
    }
    vt_text_add(out, "%s of %.0f pictures a point, classes one after another", r->score,
                r->points[0].quality.samples);
    if (r->file.settings.seeds[0]) vt_text_add(out, ", means of seeds %s", r->file.settings.seeds);
    if (by->reference[0]) {
        vt_text_add(out, "; beside ");
        if (by->reference_samples > 0) vt_text_add(out, "%.0f of ", by->reference_samples);
        vt_text_add(out, "%s", by->reference);
    }
    if (by->split[0]) vt_text_add(out, ", %s split", by->split);
    if (by->network[0])
        vt_text_add(out, "; in the features of %s %s", by->network, by->network_hash);
    if (by->resize[0]) vt_text_add(out, ", pictures resized as %s does", by->resize);
    if (by->draws > 0) vt_text_add(out, "; spreads by %d draws", by->draws);
}

static void add_described(vt_text *html, const char *name, const vt_report *r,
                          void (*describe)(const vt_report *, vt_text *)) {
    vt_text value = {0};
    describe(r, &value);
    html->failed = html->failed || value.failed;
    if (value.data) add_fact(html, name, value.data, false);
    vt_text_free(&value);
}

static void add_head(vt_text *html, const vt_report *r) {
    char machine[512];
    const char *name = r->file.model.name;
    const vt_sweep_machine *on = &r->file.machine;
    vt_text_add(
        html, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    vt_text_add_escaped(html, name);
    vt_text_add(html, ": depth sweep</title>\n<style>%s</style></head>\n<body><main>\n<h1>", style);
    vt_text_add_escaped(html, name);
    vt_text_add(
        html,
        ": what depth costs</h1>\n<p>%d points%s; every one is this model with other layers in "
        "some scales, nothing retrained.</p>\n<dl>\n",
        r->count + r->zone_count, r->zone_count ? ", zones of scales among them" : "");
    add_described(html, "model", r, describe_model);
    snprintf(machine, sizeof machine, "%.200s%s%d threads; %.200s", on->processor,
             on->processor[0] ? ", " : "", on->threads, on->kernels);
    add_fact(html, "machine", machine, false);
    add_described(html, "settings", r, describe_settings);
    add_described(html, "quality", r, describe_quality);
    add_fact(html, "date", r->file.date, false);
    add_fact(html, "variant", r->file.variant, false);
    add_fact(html, "again with", r->file.command, true);
    vt_text_add(html, "</dl>\n");
}

/* ---- times that are in doubt ---- */

static int count_doubts(const vt_sweep_point *points, int count) {
    char doubt[200];
    int doubts = 0;
    for (int i = 0; i < count; ++i) {
        vt_sweep_doubt(points[i].json, doubt, sizeof doubt);
        doubts += doubt[0] != '\0';
    }
    return doubts;
}

/* Said before any figure. */
static void add_doubts(vt_text *html, const vt_report *r) {
    int doubts = count_doubts(r->points, r->count) + count_doubts(r->zones, r->zone_count);
    if (doubts == 0) return;
    vt_text_add(
        html,
        "<p class=\"note\">Disturbed: the times of %d of %d points. Other work got in the way of "
        "too "
        "many of their runs, or they took longer than a point with more layers; the table at the "
        "end says which. Memory and quality are not touched by this.</p>\n",
        doubts, r->count + r->zone_count);
}

/* ---- figures ---- */

static void add_tile(vt_text *html, const char *figure, const char *what, const char *which) {
    vt_text_add(html, "<div class=\"tile\"><span>");
    vt_text_add_escaped(html, what);
    vt_text_add(html, "</span><b>");
    vt_text_add_escaped(html, figure);
    vt_text_add(html, "</b><span>");
    vt_text_add_escaped(html, which);
    vt_text_add(html, "</span></div>\n");
}

static void score_text(char *out, size_t size, double value, double spread) {
    if (!isfinite(value))
        snprintf(out, size, "-");
    else if (isfinite(spread))
        variant_text_with_spread(out, size, value, spread, "\xc2\xb1");
    else
        snprintf(out, size, "%.3f", value);
}

static void add_tiles(vt_text *html, const vt_report *r) {
    int equal;
    const vt_sweep_point *full = vt_report_full(r), *fast = NULL, *small = NULL;
    const vt_sweep_point *best = vt_report_best(r, &equal);
    char figure[64], which[160], a[64], b[96];
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (!fast || p->times.picture_ms < fast->times.picture_ms) fast = p;
        if (!small || p->kv_peak_bytes < small->kv_peak_bytes) small = p;
    }
    if (!fast) return;
    vt_text_add(html, "<div class=\"tiles\">\n");
    if (full) {
        vt_text_number(a, sizeof a, full->times.picture_ms);
        snprintf(figure, sizeof figure, "%.32s ms a picture", a);
        variant_text_bytes(a, sizeof a, full->kv_peak_bytes);
        snprintf(which, sizeof which, "KV at most %.32s, %d at a time", a, r->batch);
        snprintf(b, sizeof b, "all %d layers", r->depth);
        add_tile(html, figure, b, which);
    }
    vt_text_number(a, sizeof a, fast->times.picture_ms);
    snprintf(figure, sizeof figure, "%.32s ms a picture", a);
    vt_report_name(r, fast, b, sizeof b);
    if (full && fast != full)
        snprintf(which, sizeof which, "%.90s: %.2f times faster", b,
                 full->times.picture_ms / fast->times.picture_ms);
    else
        snprintf(which, sizeof which, "%.90s", b);
    add_tile(html, figure, "fastest", which);
    variant_text_bytes(figure, sizeof figure, small->kv_peak_bytes);
    vt_report_name(r, small, b, sizeof b);
    if (full && small != full && full->kv_peak_bytes > 0)
        snprintf(which, sizeof which, "%.90s: %.0f %% less", b,
                 100.0 * (1.0 - small->kv_peak_bytes / full->kv_peak_bytes));
    else
        snprintf(which, sizeof which, "%.90s", b);
    add_tile(html, figure, "least KV at most", which);
    if (best) {
        score_text(figure, sizeof figure, best->quality.frechet, best->quality.frechet_spread);
        vt_report_name(r, best, b, sizeof b);
        snprintf(a, sizeof a, "best %.50s", r->score);
        snprintf(which, sizeof which, "%.90s", b);
        if (equal > 1)
            snprintf(which, sizeof which, "%.90s; %d points equal it within the spread", b,
                     equal - 1);
        add_tile(html, figure, a, which);
    }
    vt_text_add(html, "</div>\n");
}

/* ---- pictures ---- */

/* A name that could not leave the folder. */
static bool plain_name(const char *name) {
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* One strip; a file that is not there is said to be missing, not an error. */
static void add_strip(vt_text *html, const vt_report *r, const vt_sweep_point *p) {
    char path[4096], name[96];
    vt_mapping file;
    vt_report_name(r, p, name, sizeof name);
    vt_text_add(html, "<div>");
    vt_text_add_escaped(html, name);
    vt_text_add(html, "</div><div>");
    snprintf(path, sizeof path, "%s/%s", r->folder, p->pictures);
    if (plain_name(p->pictures) && vt_mapping_open(&file, path, NULL) == VARIANT_OK) {
        if (file.size && file.size <= PICTURE_MAX) {
            const int wanted = r->file.settings.pictures; /* side by side in the strip */
            vt_text_add(html,
                        "<img alt=\"\" style=\"max-width:%.0fpx%s\" src=\"data:image/png;base64,",
                        112.0 * (wanted >= 1 && wanted <= 256 ? wanted : 8),
                        r->file.model.picture_side > 64 ? ";image-rendering:auto" : "");
            vt_text_add_base64(html, file.data, file.size);
            vt_text_add(html, "\">");
        }
        vt_mapping_close(&file);
    } else {
        vt_text_add(html, "(the pictures are not in the folder any more)");
    }
    vt_text_add(html, "</div>\n");
}

static void add_pictures(vt_text *html, const vt_report *r) {
    const vt_sweep_point **list = calloc((size_t)(r->count + r->zone_count) + 1, sizeof *list);
    int bridge, count, shown = 0;
    if (!list) {
        html->failed = true;
        return;
    }
    count = vt_report_ladder(r, list, &bridge);
    for (int i = 0; i < r->zone_count; ++i)
        if (r->zones[i].cfg_scale == r->zones[0].cfg_scale) list[count++] = &r->zones[i];
    for (int i = 0; i < count; ++i) {
        if (!list[i]->pictures[0]) continue;
        if (shown++ == 0)
            vt_text_add(
                html,
                "<section><h2>The same seeds at each depth</h2>\n<p>A column is one seed and one "
                "class; nothing was picked.</p>\n<div class=\"strips\">\n");
        add_strip(html, r, list[i]);
    }
    if (shown) vt_text_add(html, "</div></section>\n");
    free(list);
}

/* ---- table ---- */

static void add_cell(vt_text *html, double value) {
    char text[32];
    vt_text_number(text, sizeof text, value);
    vt_text_add(html, "<td>%s</td>", text);
}

static void add_bytes_cell(vt_text *html, double value) {
    char text[32];
    variant_text_bytes(text, sizeof text, value);
    vt_text_add(html, "<td>%s</td>", text);
}

/* Scores besides the distance that get a column where a point has them: the first ones of a sweep may be older than the score. */
static const struct {
    size_t value, spread; /* in vt_sweep_scores */
    const char *name;
    double factor;
    int decimals;
} columns[] = {
#define SCORE(member) offsetof(vt_sweep_scores, member), offsetof(vt_sweep_scores, member##_spread)
    {SCORE(spatial_frechet), "sFID", 1.0, 3}, {SCORE(kid), "KID", 1.0, 4},
    {SCORE(inception_score), "IS", 1.0, 3},   {SCORE(precision), "precision", 1.0, 3},
    {SCORE(recall), "recall", 1.0, 3},        {SCORE(class_share), "in their class, %", 100.0, 1},
#undef SCORE
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static double score_at(const vt_sweep_point *p, size_t offset) {
    return *(const double *)((const char *)&p->quality + offset);
}

static bool has_column(const vt_report *r, int column) {
    for (int i = 0; r->has_quality && i < r->count; ++i)
        if (isfinite(score_at(&r->points[i], columns[column].value))) return true;
    return false;
}

/* A sweep says itself what its inception score is called. */
static const char *column_name(const vt_report *r, int column) {
    const char *said = r->points[0].quality.inception_score_name;
    const size_t value = columns[column].value;
    if (value == offsetof(vt_sweep_scores, kid)) return r->kid;
    return value == offsetof(vt_sweep_scores, inception_score) && said[0] ? said
                                                                          : columns[column].name;
}

static void add_place(vt_text *html, const vt_report *r, const vt_sweep_point *p) {
    char name[96];
    vt_report_name(r, p, name, sizeof name);
    vt_text_add(html, "<tr><td>");
    vt_text_add_escaped(html, name);
    vt_text_add(html, "</td><td class=\"left\">");
    vt_text_add_escaped(html, p->depths);
    vt_text_add(html, "</td>");
}

static void add_score_names(vt_text *html, const vt_report *r) {
    vt_text_add(html, "<th>");
    vt_text_add_escaped(html, r->score);
    vt_text_add(html, "</th>");
    for (int i = 0; i < COLUMNS; ++i) {
        if (!has_column(r, i)) continue;
        vt_text_add(html, "<th>");
        vt_text_add_escaped(html, column_name(r, i));
        vt_text_add(html, "</th>");
    }
    vt_text_add(html, "<th>pictures</th><th>ms a picture</th><th>memory</th>");
}

static void add_scores_row(vt_text *html, const vt_report *r, const vt_sweep_point *p) {
    char text[64];
    add_place(html, r, p);
    score_text(text, sizeof text, p->quality.frechet, p->quality.frechet_spread);
    vt_text_add(html, "<td>%s</td>", text);
    for (int i = 0; i < COLUMNS; ++i) {
        if (!has_column(r, i)) continue;
        double value = score_at(p, columns[i].value) * columns[i].factor;
        double spread = score_at(p, columns[i].spread) * columns[i].factor;
        if (isfinite(value) && isfinite(spread))
            score_text(text, sizeof text, value, spread);
        else if (isfinite(value))
            snprintf(text, sizeof text, "%.*f", columns[i].decimals, value);
        else
            snprintf(text, sizeof text, "-");
        vt_text_add(html, "<td>%s</td>", text);
    }
    vt_text_add(html, "<td>%.0f</td>", isfinite(p->quality.samples) ? p->quality.samples : 0.0);
    add_cell(html, p->times.picture_ms);
    add_bytes_cell(html, p->memory_bytes);
    vt_text_add(html, "</tr>\n");
}

static void add_scores(vt_text *html, const vt_report *r) {
    if (!r->has_quality) return;
    vt_text_add(html, "<section><h2>Scores</h2>\n<div class=\"scroll\"><table><thead><tr>"
                      "<th>point</th><th class=\"left\">layers by scale</th>");
    add_score_names(html, r);
    vt_text_add(html, "</tr></thead><tbody>\n");
    for (int i = 0; i < r->count; ++i) add_scores_row(html, r, &r->points[i]);
    for (int i = 0; i < r->zone_count; ++i) add_scores_row(html, r, &r->zones[i]);
    vt_text_add(html, "</tbody></table></div>\n<p class=\"under\">");
    vt_text_add_escaped(html, r->score);
    vt_text_add(html,
                " is a distance: lower is better, and it falls with the number of pictures. So it "
                "is with sFID; KID, of which lower is better as well, does not depend on the "
                "number. In the other columns higher is better. What follows &plusmn; is a "
                "standard deviation: of other pictures of the same model, of IS over the ten parts "
                "it is measured on, of KID of its mean over blocks of pictures. "
                "Precision is the share of generated pictures near "
                "real ones, recall the share of real ones near generated ones.</p></section>\n");
}

static void add_row(vt_text *html, const vt_report *r, const vt_sweep_point *p) {
    char doubt[200];
    add_place(html, r, p);
    add_cell(html, p->times.picture_ms);
    vt_text_add(html, "<td>%.1f to %.1f</td>", p->picture_ms_min, p->picture_ms_max);
    add_cell(html, p->times.transformer_ms);
    add_cell(html, p->times.sampling_ms);
    add_cell(html, p->times.quantizer_ms);
    add_cell(html, p->times.decoder_ms);
    add_bytes_cell(html, p->kv_peak_bytes);
    add_bytes_cell(html, p->kv_end_bytes);
    add_bytes_cell(html, p->memory_bytes);
    vt_sweep_doubt(p->json, doubt, sizeof doubt);
    vt_text_add(html, "<td class=\"left\">");
    vt_text_add_escaped(html, doubt);
    vt_text_add(html, "</td></tr>\n");
}

static void add_table(vt_text *html, const vt_report *r) {
    vt_text_add(html, "<section><h2>Time and memory of every point</h2>\n<div "
                      "class=\"scroll\"><table><thead><tr><th>point</th>"
                      "<th class=\"left\">layers by scale</th>");
    vt_text_add(html,
                "<th>ms</th><th>of</th><th>transformer</th><th>sampling</th><th>quantizer</th>"
                "<th>decoder</th><th>KV at most</th><th>KV at the end</th><th>memory</th>"
                "<th></th></tr></thead><tbody>\n");
    for (int i = 0; i < r->count; ++i) add_row(html, r, &r->points[i]);
    for (int i = 0; i < r->zone_count; ++i) add_row(html, r, &r->zones[i]);
    vt_text_add(
        html,
        "</tbody></table></div>\n<p class=\"under\">Milliseconds are a picture's share "
        "of a "
        "batch, medians; &ldquo;of&rdquo; is the fastest and the slowest run. The transformer's "
        "time "
        "includes the AdaLN vectors. Memory is the exact sum of weights, activations and keys and "
        "values for %d picture%s at a time, with a mapped file counted in full; it is not the "
        "resident "
        "size of a process.</p></section>\n",
        r->batch, r->batch == 1 ? "" : "s");
}

/* ---- the page ---- */

variant_status vt_report_write(const char *folder, variant_error *err) {
    variant_status status = VARIANT_OK;
    char path[4096];
    cJSON *state = NULL;
    vt_report report = {0};
    vt_text html = {0};
    VT_CHECK(vt_sweep_state_read(&state, folder, err));
    VT_CHECK(vt_report_read(&report, state, folder, err));
    add_head(&html, &report);
    add_doubts(&html, &report);
    add_tiles(&html, &report);
    vt_report_fronts(&html, &report);
    vt_report_heats(&html, &report);
    vt_report_guidance(&html, &report);
    vt_report_stages(&html, &report);
    vt_report_zones(&html, &report);
    add_pictures(&html, &report);
    add_scores(&html, &report);
    add_table(&html, &report);
    vt_text_add(&html, "</main></body></html>\n");
    snprintf(path, sizeof path, "%s/report.html", folder);
    if (html.failed) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for the report", path));
    VT_CHECK(vt_file_write(path, html.data, html.size, err));
cleanup:
    vt_text_free(&html);
    vt_report_free(&report);
    cJSON_Delete(state);
    return status;
}
