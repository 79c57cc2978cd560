/* report_plots.c - which numbers of a sweep go into which drawing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report_parts.h"
#include "eval/svg.h"

/* Different integers, each once, in a given order. */
typedef struct int_set {
    int values[64], count;
} int_set;

static int find(const int_set *set, int value) {
    for (int i = 0; i < set->count; ++i)
        if (set->values[i] == value) return i;
    return -1;
}

static void include(int_set *set, int value) {
    if (set->count < 64 && find(set, value) < 0) set->values[set->count++] = value;
}

static int rising(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}
static int falling(const void *a, const void *b) {
    return *(const int *)b - *(const int *)a;
}

static int_set depths_of(const vt_report *r) {
    int_set set = {.count = 0};
    for (int i = 0; i < r->count; ++i) include(&set, r->points[i].depth);
    qsort(set.values, (size_t)set.count, sizeof *set.values, falling);
    return set;
}

/* ---- fronts ---- */

/* ", FID 1.23 +- 0.04", behind what `out` holds; nothing where there is no value. */
static void add_score(char *out, size_t size, const char *name, double value, double spread) {
    char score[40];
    const size_t length = strlen(out);
    if (!isfinite(value)) return;
    if (isfinite(spread))
        variant_text_with_spread(score, sizeof score, value, spread, "\xc2\xb1");
    else
        vt_text_number(score, sizeof score, value);
    snprintf(out + length, size - length, ", %.24s %s", name, score);
}

static void describe_dot(const vt_report *r, const vt_sweep_point *p, vt_dot *dot) {
    char name[96], ms[32], memory[32], kv[32], quality[140] = "", selector[24] = "", cfg[24] = "";
    char uncond[24] = "";
    vt_report_name(r, p, name, sizeof name);
    vt_text_number(ms, sizeof ms, p->times.picture_ms);
    variant_text_bytes(memory, sizeof memory, p->memory_bytes);
    variant_text_bytes(kv, sizeof kv, p->kv_peak_bytes);
    if (r->has_quality) {
        const vt_sweep_scores *q = &p->quality;
        add_score(quality, sizeof quality, r->score, q->frechet, q->frechet_spread);
        add_score(quality, sizeof quality, r->kid, q->kid, q->kid_spread);
    }
    snprintf(dot->title, sizeof dot->title, "%.60s: %s ms, %s, KV %s%s", name, ms, memory, kv,
             quality);
    if (r->selectors_vary && !p->full && strcmp(p->selector, vt_report_selector(r)) != 0)
        snprintf(selector, sizeof selector, " %.16s", p->selector);
    if (r->cfg_varies) snprintf(cfg, sizeof cfg, " cfg %g", p->cfg_scale);
    if (r->unconds_vary && p->cfg_scale > 0.0)
        snprintf(uncond, sizeof uncond, " u%d", vt_report_uncond(p));
    if (r->lates_vary && isfinite(p->cfg_late))
        snprintf(uncond + strlen(uncond), sizeof uncond - strlen(uncond), " x%g", p->cfg_late);
    if (p->full)
        snprintf(dot->label, sizeof dot->label, "all %d%s%s", p->depth, uncond, cfg);
    else
        snprintf(dot->label, sizeof dot->label, "%d \xc2\xb7 N%d%s%s%s", p->depth, p->bridge,
                 uncond, selector, cfg);
}

typedef enum axis { AXIS_MS, AXIS_MEMORY, AXIS_KV, AXIS_QUALITY } axis;

static double axis_value(const vt_sweep_point *p, axis which) {
    const double values[] = {p->times.picture_ms, p->memory_bytes / 1e6, p->kv_peak_bytes / 1e6,
                             p->quality.frechet};
    return values[which];
}

static void add_scatter(vt_text *html, const vt_report *r, axis x, axis y, const char *heading) {
    char score[128];
    snprintf(score, sizeof score, "%.90s, lower is better", r->score);
    const char *const titles[] = {"ms a picture", "memory, MB (weights + activations + KV)",
                                  "keys and values at most, MB", score};
    int_set depths = depths_of(r);
    vt_dot *dots = calloc((size_t)r->count, sizeof *dots);
    if (!dots) {
        html->failed = true;
        return;
    }
    for (int i = 0; i < r->count; ++i) {
        dots[i].x = axis_value(&r->points[i], x);
        dots[i].y = axis_value(&r->points[i], y);
        dots[i].spread = y == AXIS_QUALITY ? r->points[i].quality.frechet_spread : 0.0;
        dots[i].series = find(&depths, r->points[i].depth);
        describe_dot(r, &r->points[i], &dots[i]);
    }
    vt_text_add(html, "<figure><figcaption>");
    vt_text_add_escaped(html, heading);
    vt_text_add(html, "</figcaption>\n");
    vt_scatter scatter = {.x_title = titles[x],
                          .y_title = titles[y],
                          .name = heading,
                          .dots = dots,
                          .count = r->count,
                          .y_log = y == AXIS_QUALITY};
    vt_svg_scatter(html, &scatter);
    vt_text_add(html, "</figure>\n");
    free(dots);
}

static void add_note(vt_text *html, const char *line) {
    if (!line || !line[0]) return;
    vt_text_add(html, "<p class=\"note\">");
    vt_text_add_escaped(html, line);
    vt_text_add(html, "</p>\n");
}

/* What a reader must know of the scores before they are looked at. */
static void add_quality_note(vt_text *html, const vt_report *r) {
    if (!r->has_quality) {
        if (r->judged)
            vt_text_add(html,
                        "<p class=\"note\">Quality is measured at %d of %d points so far: "
                        "drawings and columns of it come with the last.</p>\n",
                        r->judged, r->count);
        else
            vt_text_add(html, "<p class=\"note\">Quality was not measured in this sweep: drawings "
                              "and columns of it are left out, not guessed.</p>\n");
        return;
    }
    const vt_sweep_scores *scores = &r->points[0].quality;
    const cJSON *line;
    add_note(html, scores->warning);
    cJSON_ArrayForEach(line, scores->warnings) add_note(html, cJSON_GetStringValue(line));
}

static bool spread_known(const vt_report *r) {
    for (int i = 0; r->has_quality && i < r->count; ++i)
        if (r->points[i].quality.frechet_spread > 0.0) return true;
    return false;
}

void vt_report_fronts(vt_text *html, const vt_report *r) {
    if (r->count == 0) return;
    int_set depths = depths_of(r);
    char names[64][24];
    const char *list[64];
    for (int i = 0; i < depths.count; ++i) {
        snprintf(names[i], sizeof names[i],
                 depths.values[i] == r->depth ? "all %d layers" : "depth %d", depths.values[i]);
        list[i] = names[i];
    }
    vt_text_add(html, "<section><h2>%s</h2>\n",
                r->has_quality ? "Quality, time and memory" : "Time and memory");
    add_quality_note(html, r);
    vt_text_add(
        html,
        "<p>A dot is a point of the sweep; its label is the depth of the late scales and, after N, "
        "the scales before them that run all layers.%s The line is the Pareto front: no point is "
        "better in both directions than one on it.%s</p>\n",
        r->unconds_vary ? " Behind u stand the layers of guidance's unconditional branch." : "",
        spread_known(r) ? " The lines up and down are the spread of the score, one standard "
                          "deviation each way; every point that no cheaper one beats by more than "
                          "twice the spread of their difference is drawn as large as the front's: "
                          "which of them is better is not known."
                        : "");
    vt_svg_legend(html, list, depths.count);
    vt_text_add(html, "<div class=\"pair\">\n");
    if (r->has_quality) {
        add_scatter(html, r, AXIS_MS, AXIS_QUALITY, "Quality against time");
        add_scatter(html, r, AXIS_MEMORY, AXIS_QUALITY, "Quality against memory");
    } else {
        add_scatter(html, r, AXIS_MS, AXIS_MEMORY, "Memory against time");
        add_scatter(html, r, AXIS_MS, AXIS_KV, "Keys and values against time");
    }
    vt_text_add(html, "</div></section>\n");
}

/* ---- heat maps ---- */

typedef enum heat_value { HEAT_QUALITY, HEAT_MS, HEAT_KV } heat_value;

static double heat_number(const vt_sweep_point *p, heat_value which) {
    return which == HEAT_QUALITY ? p->quality.frechet
           : which == HEAT_MS    ? p->times.picture_ms
                                 : p->kv_peak_bytes / 1e6;
}

/* Of the first guidance and one selector; the full depth is one wide cell. */
static void add_heat(vt_text *html, const vt_report *r, const int_set *depths,
                     const int_set *bridges, const char *selector, heat_value which,
                     const char *heading) {
    char rows[64][32], columns[64][32];
    bool wide[64];
    int cells = depths->count * bridges->count;
    double *values = malloc((size_t)cells * sizeof *values);
    if (!values) {
        html->failed = true;
        return;
    }
    for (int i = 0; i < cells; ++i) values[i] = NAN;
    for (int i = 0; i < depths->count; ++i) {
        wide[i] = depths->values[i] == r->depth;
        snprintf(rows[i], sizeof rows[i], wide[i] ? "all %d" : "%d", depths->values[i]);
    }
    for (int i = 0; i < bridges->count; ++i)
        snprintf(columns[i], sizeof columns[i], "%d", bridges->values[i]);
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (p->cfg_scale != r->points[0].cfg_scale || !vt_report_is_first(r, p)) continue;
        if (!p->full && strcmp(p->selector, selector) != 0) continue;
        int row = find(depths, p->depth), column = p->full ? 0 : find(bridges, p->bridge);
        if (row >= 0 && column >= 0) values[row * bridges->count + column] = heat_number(p, which);
    }
    vt_heat heat = {.name = heading,
                    .row_title = "depth",
                    .column_title = "bridge: scales that run all layers",
                    .rows = rows,
                    .columns = columns,
                    .row_count = depths->count,
                    .column_count = bridges->count,
                    .values = values,
                    .wide = wide};
    vt_text_add(html, "<figure><figcaption>");
    vt_text_add_escaped(html, heading);
    vt_text_add(html, "</figcaption>\n");
    vt_svg_heat(html, &heat);
    vt_text_add(html, "</figure>\n");
    free(values);
}

void vt_report_heats(vt_text *html, const vt_report *r) {
    int_set depths = depths_of(r), bridges = {.count = 0};
    const char *selectors[16];
    int selector_count = 0;
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (p->full || p->bridge < 0) continue;
        include(&bridges, p->bridge);
        bool known = selector_count == 16;
        for (int s = 0; s < selector_count; ++s)
            known = known || strcmp(selectors[s], p->selector) == 0;
        if (!known) selectors[selector_count++] = p->selector;
    }
    if (bridges.count == 0) return;
    qsort(bridges.values, (size_t)bridges.count, sizeof *bridges.values, rising);
    vt_text_add(html, "<section><h2>Depth and bridge</h2>\n<p>Darker is more");
    if (r->cfg_varies) vt_text_add(html, "; guidance %g", r->points[0].cfg_scale);
    if (r->unconds_vary) vt_text_add(html, "; of each place the unconditional branch swept first");
    vt_text_add(html, ". Lower is better in all of them.</p>\n");
    for (int s = 0; s < selector_count; ++s) {
        char heading[160];
        if (selector_count > 1) {
            vt_text_add(html, "<h3>Layers: ");
            vt_text_add_escaped(html, selectors[s]);
            vt_text_add(html, "</h3>\n");
        }
        vt_text_add(html, "<div class=\"row\">\n");
        if (r->has_quality) {
            snprintf(heading, sizeof heading, "%.120s", r->score);
            add_heat(html, r, &depths, &bridges, selectors[s], HEAT_QUALITY, heading);
        }
        add_heat(html, r, &depths, &bridges, selectors[s], HEAT_MS, "Time, ms a picture");
        snprintf(heading, sizeof heading, "KV at most, MB, %d picture%s at a time", r->batch,
                 r->batch == 1 ? "" : "s");
        add_heat(html, r, &depths, &bridges, selectors[s], HEAT_KV, heading);
        vt_text_add(html, "</div>\n");
    }
    vt_text_add(html, "</section>\n");
}

/* ---- where time goes ---- */

static void put_figure(vt_text *html, const char *caption, const vt_bars *bars) {
    vt_text_add(html, "<figure><figcaption>");
    vt_text_add_escaped(html, caption);
    vt_text_add(html, "</figcaption>\n");
    if (bars->series_count > 1) vt_svg_legend(html, bars->series, bars->series_count);
    vt_svg_bars(html, bars);
    vt_text_add(html, "</figure>\n");
}

/* What a bar shows of a point: series s of them. */
typedef double bar_value(const vt_sweep_point *p, int s);

/* A figure with a row of bars a point. */
static void add_bars(vt_text *html, const vt_report *r, const vt_sweep_point *const *points,
                     const char *caption, const vt_bars *like, bar_value *value) {
    const int count = like->row_count, series = like->series_count;
    char(*rows)[64] = calloc((size_t)count, sizeof *rows);
    double *values = calloc((size_t)(count * series), sizeof *values);
    vt_bars bars = *like;
    if (!rows || !values) {
        html->failed = true;
        goto cleanup;
    }
    for (int i = 0; i < count; ++i) {
        vt_report_name(r, points[i], rows[i], sizeof rows[i]);
        for (int s = 0; s < series; ++s) {
            const double x = value(points[i], s);
            values[i * series + s] = isfinite(x) ? fmax(0.0, x) : 0.0;
        }
    }
    bars.rows = (const char(*)[64])rows;
    bars.values = values;
    bars.reference = NAN;
    put_figure(html, caption, &bars);
cleanup:
    free(rows);
    free(values);
}

static double stage_ms(const vt_sweep_point *p, int s) {
    const double list[] = {p->times.condition_ms, p->times.transformer_ms - p->times.condition_ms,
                           p->times.sampling_ms, p->times.quantizer_ms, p->times.decoder_ms};
    return list[s];
}

static void add_stage_bars(vt_text *html, const vt_report *r, const vt_sweep_point *const *ladder,
                           int count) {
    static const char *const stages[] = {"AdaLN vectors", "transformer", "sampling", "quantizer",
                                         "decoder"};
    const vt_bars bars = {.name = "Time by stage",
                          .x_title = "ms a picture",
                          .series = stages,
                          .row_count = count,
                          .series_count = 5};
    add_bars(html, r, ladder, "By stage", &bars, stage_ms);
}

static double scale_ms(const vt_sweep_point *p, int k) {
    const vt_sweep_list *ms = &p->times.scale_ms;
    return k < ms->count ? ms->at[k] : NAN;
}

static void add_scale_bars(vt_text *html, const vt_report *r, const vt_sweep_point *const *ladder,
                           int count) {
    const vt_sweep_list *sides = &r->file.model.sides;
    const int scales = sides->count > 0 ? sides->count : 1;
    char names[VARIANT_MAX_SCALES][24];
    const char *list[VARIANT_MAX_SCALES];
    for (int k = 0; k < scales; ++k) {
        int n = k < sides->count && isfinite(sides->at[k]) ? (int)sides->at[k] : 0;
        snprintf(names[k], sizeof names[k], "%d\xc3\x97%d", n, n);
        list[k] = names[k];
    }
    const vt_bars bars = {.name = "Time of the transformer by scale",
                          .x_title = "ms a picture",
                          .series = list,
                          .row_count = count,
                          .series_count = scales};
    add_bars(html, r, ladder, "The transformer by scale", &bars, scale_ms);
}

void vt_report_stages(vt_text *html, const vt_report *r) {
    const vt_sweep_point **ladder = calloc((size_t)r->count + 1, sizeof *ladder);
    int bridge, count;
    if (!ladder) {
        html->failed = true;
        return;
    }
    count = vt_report_ladder(r, ladder, &bridge);
    if (count > 0) {
        vt_text_add(html, "<section><h2>Where time goes</h2>\n");
        vt_text_add(html, "<div class=\"pair\">\n");
        add_stage_bars(html, r, ladder, count);
        add_scale_bars(html, r, ladder, count);
        vt_text_add(html, "</div></section>\n");
    }
    free(ladder);
}

/* ---- guidance ---- */

static double distance_of(const vt_sweep_point *p, int s) {
    (void)s;
    return p->quality.frechet;
}

static double picture_ms(const vt_sweep_point *p, int s) {
    (void)s;
    return p->times.picture_ms;
}

static void add_guided_bars(vt_text *html, const vt_report *r, const vt_sweep_point *const *points,
                            int count, bar_value *value, const char *heading, const char *x_title) {
    const vt_bars bars = {.name = heading,
                          .x_title = x_title,
                          .series = &x_title,
                          .row_count = count,
                          .series_count = 1};
    add_bars(html, r, points, heading, &bars, value);
}

void vt_report_guidance(vt_text *html, const vt_report *r) {
    const vt_sweep_point **points = calloc((size_t)r->count + 1, sizeof *points);
    char axis_title[128];
    if (!points) {
        html->failed = true;
        return;
    }
    const int count = vt_report_guided(r, points);
    if (count > 1 && (r->unconds_vary || r->cfg_varies)) {
        vt_text_add(
            html, "<section><h2>Guidance</h2>\n<p>Each depth at one bridge, by how strongly it is "
                  "guided and by how many layers the unconditional branch runs in the late "
                  "scales.</p>\n<div class=\"pair\">\n");
        snprintf(axis_title, sizeof axis_title, "%.90s, lower is better", r->score);
        if (r->has_quality)
            add_guided_bars(html, r, points, count, distance_of, "Quality", axis_title);
        add_guided_bars(html, r, points, count, picture_ms, "Time", "ms a picture");
        vt_text_add(html, "</div></section>\n");
    }
    free(points);
}

/* ---- zones ---- */

typedef enum zone_value { ZONE_QUALITY, ZONE_MS } zone_value;

static void add_zone_bars(vt_text *html, const vt_report *r, zone_value which, double full,
                          const char *heading, const char *x_title) {
    char(*rows)[64] = calloc((size_t)r->zone_count, sizeof *rows);
    double *values = calloc((size_t)r->zone_count, sizeof *values);
    const char *const series[] = {x_title};
    int count = 0;
    if (!rows || !values) {
        html->failed = true;
        goto cleanup;
    }
    for (int i = 0; i < r->zone_count; ++i) {
        const vt_sweep_point *z = &r->zones[i];
        double value =
            which == ZONE_QUALITY ? z->quality.frechet : fmax(0.0, full - z->times.picture_ms);
        if (z->cfg_scale != r->zones[0].cfg_scale || !isfinite(value)) continue;
        vt_report_name(r, z, rows[count], sizeof rows[count]);
        values[count++] = value;
    }
    const vt_bars bars = {.name = heading,
                          .x_title = x_title,
                          .rows = (const char(*)[64])rows,
                          .series = series,
                          .row_count = count,
                          .series_count = 1,
                          .values = values,
                          .reference = which == ZONE_QUALITY ? full : NAN};
    put_figure(html, heading, &bars);
cleanup:
    free(rows);
    free(values);
}

void vt_report_zones(vt_text *html, const vt_report *r) {
    const vt_sweep_point *full = NULL;
    if (r->zone_count == 0) return;
    for (int i = 0; i < r->count && !full; ++i)
        if (r->points[i].full && r->points[i].cfg_scale == r->zones[0].cfg_scale)
            full = &r->points[i];
    if (!full) return;
    vt_text_add(html,
                "<section><h2>Which scales need depth</h2>\n<p>Fewer layers in one zone of scales "
                "alone, all layers in the others.%s</p>\n<div class=\"pair\">\n",
                r->has_quality ? " The dashed line is the full depth." : "");
    if (r->has_quality) {
        char axis_title[128];
        snprintf(axis_title, sizeof axis_title, "%.90s, lower is better", r->score);
        add_zone_bars(html, r, ZONE_QUALITY, full->quality.frechet, "Quality", axis_title);
    }
    add_zone_bars(html, r, ZONE_MS, full->times.picture_ms, "Time saved against the full depth",
                  "ms a picture saved");
    vt_text_add(html, "</div></section>\n");
}
