/* svg.c - see svg.h. Sizes are in units of the viewBox; text is 12 units high, about 6.6 wide a letter. */
#include "eval/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planning/plan.h"

#define LETTER 6.6

static double text_width(const char *text) {
    double width = 0.0;
    for (const char *p = text; *p; ++p)
        if (((unsigned char)*p & 0xc0) != 0x80) width += LETTER; /* a letter of UTF-8 counts once */
    return width;
}

/* ---- axes ---- */

vt_ticks vt_ticks_choose(double low, double high, int wanted) {
    if (!(high > low)) { /* one value: room around it */
        double room = low == 0.0 ? 1.0 : 0.1 * fabs(low);
        low -= room;
        high += room;
    }
    double raw = (high - low) / (wanted > 1 ? wanted - 1 : 1);
    int power = (int)floor(log10(raw));
    double unit = pow(10.0, power), share = raw / unit;
    double factor = share <= 1.0 ? 1.0 : share <= 2.0 ? 2.0 : share <= 5.0 ? 5.0 : 10.0;
    vt_ticks ticks = {.step = factor * unit};
    double from = floor(low / ticks.step + 1e-9), to = ceil(high / ticks.step - 1e-9);
    ticks.first = from * ticks.step;
    ticks.count = (int)(to - from) + 1;
    ticks.decimals = factor == 10.0 ? -power - 1 : -power;
    if (ticks.decimals < 0) ticks.decimals = 0;
    return ticks;
}

void vt_ticks_label(const vt_ticks *ticks, int i, char *out, size_t size) {
    double value = ticks->first + i * ticks->step;
    if (fabs(value) < 1e-9 * ticks->step) value = 0.0; /* no "-0" */
    snprintf(out, size, "%.*f", ticks->decimals, value);
}

/* Those of `steps` times a power of ten within [low, high]. */
static int collect_ticks(const double *steps, int step_count, double low, double high, double *out,
                         int most) {
    int count = 0;
    for (int power = (int)floor(log10(low)); pow(10.0, power) <= high; ++power)
        for (int i = 0; i < step_count; ++i) {
            const double value = steps[i] * pow(10.0, power);
            if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9) && count < most)
                out[count++] = value;
        }
    return count;
}

int vt_log_ticks_choose(double low, double high, double *out, int most) {
    static const double coarse[] = {1}, usual[] = {1, 2, 5}, fine[] = {1, 1.5, 2, 3, 4, 5, 7};
    int count = collect_ticks(coarse, 1, low, high, out, most);
    if (count < 4) count = collect_ticks(usual, 3, low, high, out, most);
    if (count < 4) count = collect_ticks(fine, 7, low, high, out, most);
    if (count >= 3) return count;
    const vt_ticks even =
        vt_ticks_choose(low, high, 6); /* a short stretch is as good as straight */
    count = 0;
    for (int i = 0; i < even.count && count < most; ++i) {
        const double value = even.first + i * even.step;
        if (value >= low && value <= high) out[count++] = value;
    }
    return count;
}

static double ticks_last(const vt_ticks *ticks) {
    return ticks->first + (ticks->count - 1) * ticks->step;
}

void vt_pareto(const double *x, const double *y, int count, bool *front) {
    for (int i = 0; i < count; ++i) {
        front[i] = true;
        for (int j = 0; j < count && front[i]; ++j)
            front[i] = !(x[j] <= x[i] && y[j] <= y[i] && (x[j] < x[i] || y[j] < y[i]));
    }
}

/* ---- pieces ---- */

static void open_svg(vt_text *out, double width, double height, const char *name) {
    vt_text_add(out,
                "<svg viewBox=\"0 0 %.0f %.0f\" style=\"width:%.0fpx;max-width:100%%\" "
                "role=\"img\" aria-label=\"",
                width, height, width);
    vt_text_add_escaped(out, name);
    vt_text_add(out, "\">\n");
}

static void add_text(vt_text *out, double x, double y, const char *classes, const char *text) {
    vt_text_add(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    vt_text_add_escaped(out, text);
    vt_text_add(out, "</text>\n");
}

static void add_line(vt_text *out, double x1, double y1, double x2, double y2,
                     const char *classes) {
    vt_text_add(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1,
                y1, x2, y2, classes);
}

void vt_svg_legend(vt_text *out, const char *const *names, int count) {
    vt_text_add(out, "<div class=\"legend\">");
    for (int i = 0; i < count; ++i) {
        vt_text_add(out, "<span><i class=\"s%d\"></i>", i % VT_SVG_SERIES);
        vt_text_add_escaped(out, names[i]);
        vt_text_add(out, "</span>");
    }
    vt_text_add(out, "</div>\n");
}

void vt_near_pareto(const double *x, const double *y, const double *spread, int count, bool *near) {
    vt_pareto(x, y, count, near);
    for (int i = 0; i < count; ++i) {
        if (near[i] || !(spread[i] > 0.0)) continue;
        near[i] = true;
        for (int j = 0; j < count && near[i]; ++j)
            near[i] = !(x[j] <= x[i] && y[i] - y[j] > vt_plan_margin(spread[i], spread[j]));
    }
}

/* ---- dots ---- */

typedef struct box {
    double left, top, right, bottom;
} box;

static bool overlap(box a, box b) {
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

enum { MOST_TICKS = 24, LEADER_BOXES = 12 };

/* From the bottom to the top of a plot. */
typedef struct axis {
    double low, high, ticks[MOST_TICKS];
    int count;
    bool log;
} axis;

/* A drawing of dots at work: the plot's box, its scales, and what is already occupied. */
typedef struct dots_work {
    vt_text *out;
    const vt_scatter *s;
    box plot;
    vt_ticks x;
    axis y;
    bool *front, *near; /* near: what is not beaten beyond chance is marked as well */
    box *taken; /* the front's lines and the spreads', then dots, then labels with their lines */
    int line_count, taken_count;
} dots_work;

static double place_x(const dots_work *w, double value) {
    return w->plot.left +
           (value - w->x.first) / (ticks_last(&w->x) - w->x.first) * (w->plot.right - w->plot.left);
}

static double place_y(const dots_work *w, double value) {
    const axis *y = &w->y;
    const double inside = fmin(fmax(value, y->low), y->high); /* a spread may reach below 0 */
    const double share = y->log ? log(inside / y->low) / log(y->high / y->low)
                                : (inside - y->low) / (y->high - y->low);
    return w->plot.bottom - share * (w->plot.bottom - w->plot.top);
}

static axis choose_y(const vt_scatter *s) {
    axis y = {.low = INFINITY, .high = -INFINITY, .log = s->y_log};
    for (int i = 0; i < s->count; ++i) y.log = y.log && s->dots[i].y > 0.0;
    for (int i = 0; i < s->count; ++i) {
        const vt_dot *dot = &s->dots[i];
        const double spread = dot->spread > 0.0 ? dot->spread : 0.0;
        y.low = fmin(y.low, y.log ? fmax(dot->y - spread, 0.6 * dot->y) : dot->y - spread);
        y.high = fmax(y.high, dot->y + spread);
    }
    if (y.log) {
        const double room = fmax(pow(y.high / y.low, 0.06), 1.02);
        y.low /= room;
        y.high *= room;
        y.count = vt_log_ticks_choose(y.low, y.high, y.ticks, MOST_TICKS);
        return y;
    }
    const double room = 0.06 * (y.high - y.low);
    const vt_ticks ticks =
        vt_ticks_choose(fmax(y.low - room, y.low < 0 ? y.low - room : 0), y.high + room, 6);
    for (int i = 0; i < ticks.count && y.count < MOST_TICKS; ++i)
        y.ticks[y.count++] = ticks.first + i * ticks.step;
    y.low = ticks.first;
    y.high = ticks_last(&ticks);
    return y;
}

/* As few digits as tell the ticks from each other. */
static void tick_label(const axis *y, int i, char *out, size_t size) {
    const double value = fabs(y->ticks[i]) < 1e-9 * (y->high - y->low) ? 0.0 : y->ticks[i];
    snprintf(out, size, "%.6g", value);
}

static void draw_axes(dots_work *w) {
    char label[32];
    for (int i = 0; i < w->x.count; ++i) {
        double x = place_x(w, w->x.first + i * w->x.step);
        add_line(w->out, x, w->plot.top, x, w->plot.bottom, "grid");
        vt_ticks_label(&w->x, i, label, sizeof label);
        add_text(w->out, x, w->plot.bottom + 17, "tick mid", label);
    }
    for (int i = 0; i < w->y.count; ++i) {
        double y = place_y(w, w->y.ticks[i]);
        add_line(w->out, w->plot.left, y, w->plot.right, y, "grid");
        tick_label(&w->y, i, label, sizeof label);
        add_text(w->out, w->plot.left - 7, y + 4, "tick end", label);
    }
    add_text(w->out, 0.5 * (w->plot.left + w->plot.right), w->plot.bottom + 37, "axis mid",
             w->s->x_title);
    add_text(w->out, 8, w->plot.top - 12, "axis", w->s->y_title);
}

static int by_x(const void *a, const void *b) {
    const vt_dot *p = *(const vt_dot *const *)a, *q = *(const vt_dot *const *)b;
    return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y < q->y) - (p->y > q->y);
}

/* The front as a staircase: what no point beats lies left of it and below. */
static void draw_front(dots_work *w) {
    const vt_dot **list = calloc((size_t)w->s->count + 1, sizeof *list);
    int count = 0;
    if (!list) {
        w->out->failed = true;
        return;
    }
    for (int i = 0; i < w->s->count; ++i)
        if (w->front[i]) list[count++] = &w->s->dots[i];
    qsort(list, (size_t)count, sizeof *list, by_x);
    vt_text_add(w->out, "<path class=\"front\" d=\"");
    for (int i = 0; i < count; ++i) {
        double x = place_x(w, list[i]->x), y = place_y(w, list[i]->y);
        double right = i + 1 < count ? place_x(w, list[i + 1]->x) : w->plot.right;
        double top = i > 0 ? place_y(w, list[i - 1]->y) : w->plot.top;
        if (i == 0)
            vt_text_add(w->out, "M%.1f %.1fV%.1f", x, w->plot.top, y);
        else
            vt_text_add(w->out, "H%.1fV%.1f", x, y);
        w->taken[w->taken_count++] = (box){x - 1, top, x + 1, y};
        w->taken[w->taken_count++] = (box){x, y - 1, right, y + 1};
    }
    vt_text_add(w->out, "H%.1f\"/>\n", w->plot.right);
    free(list);
}

/* A place for a label beside its dot. */
typedef struct label_place {
    double dx, dy;
    int anchor; /* 0 begins at, 1 centred on, 2 ends at */
} label_place;

/* How far a point is from a box; 0: inside. */
static double distance_to(box b, double x, double y) {
    const double dx = fmax(fmax(b.left - x, x - b.right), 0.0);
    const double dy = fmax(fmax(b.top - y, y - b.bottom), 0.0);
    return sqrt(dx * dx + dy * dy);
}

/* Would a reader take the label for this dot's, and no other's? */
static bool is_nearest(const dots_work *w, int i, box b) {
    const vt_dot *dot = &w->s->dots[i];
    const double own = distance_to(b, place_x(w, dot->x), place_y(w, dot->y));
    for (int j = 0; j < w->s->count; ++j) {
        const vt_dot *other = &w->s->dots[j];
        if (j != i && distance_to(b, place_x(w, other->x), place_y(w, other->y)) <= own)
            return false;
    }
    return true;
}

/* Is the box inside the plot, and on nothing from `from` on but the dot itself? */
static bool is_free(const dots_work *w, int i, box b, int from) {
    bool is = b.left >= w->plot.left + 1 && b.right <= w->plot.right + 60 &&
              b.top >= w->plot.top - 6 && b.bottom <= w->plot.bottom;
    for (int j = from; j < w->taken_count && is; ++j)
        is = j == w->line_count + i || !overlap(b, w->taken[j]);
    return is;
}

/* The line from a dot to the nearest point of its label's box b: boxes along it, from the dot's rim on. */
static void leader_of(const dots_work *w, int i, box b, box out[LEADER_BOXES]) {
    const double x = place_x(w, w->s->dots[i].x), y = place_y(w, w->s->dots[i].y);
    const double to_x = fmin(fmax(x, b.left), b.right), to_y = fmin(fmax(y, b.top), b.bottom);
    for (int t = 0; t < LEADER_BOXES; ++t) {
        const double share = (t + 0.5) / LEADER_BOXES;
        const double px = x + share * (to_x - x), py = y + share * (to_y - y);
        out[t] = (box){px - 1.5, py - 1.5, px + 1.5, py + 1.5};
    }
}

/* Lines and dots may be crossed, labels and other such lines not. */
static bool leader_is_free(const dots_work *w, const box leader[LEADER_BOXES]) {
    for (int j = w->line_count + w->s->count; j < w->taken_count; ++j)
        for (int t = 0; t < LEADER_BOXES; ++t)
            if (overlap(leader[t], w->taken[j])) return false;
    return true;
}

static void draw_leader(dots_work *w, int i, box b, const box leader[LEADER_BOXES]) {
    const double x = place_x(w, w->s->dots[i].x), y = place_y(w, w->s->dots[i].y);
    add_line(w->out, x, y, fmin(fmax(x, b.left), b.right), fmin(fmax(y, b.top), b.bottom),
             "leader");
    for (int t = 0; t < LEADER_BOXES; ++t) w->taken[w->taken_count++] = leader[t];
}

/* Tries places around the dot for one that covers nothing from box `from` on; far ones are tied to it by a line. */
static bool try_label(dots_work *w, int i, const label_place *places, int count, int from,
                      bool far) {
    static const char *const anchors[] = {"dot", "dot mid", "dot end"};
    const vt_dot *dot = &w->s->dots[i];
    const double width = text_width(dot->label) * 11.0 / 12.0;
    for (int t = 0; t < count; ++t) {
        const double x = place_x(w, dot->x) + places[t].dx, y = place_y(w, dot->y) + places[t].dy;
        const double left = x - 0.5 * width * places[t].anchor;
        const box b = {left - 1, y - 10, left + width + 1, y + 3};
        if (!is_free(w, i, b, from) || (!far && !is_nearest(w, i, b))) continue;
        box leader[LEADER_BOXES];
        leader_of(w, i, b, leader);
        if (far && !leader_is_free(w, leader)) continue;
        w->taken[w->taken_count++] = b;
        if (far) draw_leader(w, i, b, leader);
        add_text(w->out, x, y, anchors[places[t].anchor], dot->label);
        return true;
    }
    return false;
}

/* Beside the dot, else further off at the end of a line, else across a line, else not at all: never upon another. */
static void draw_label(dots_work *w, int i) {
    static const label_place near[] = {{9, 4, 0},  {-9, 4, 2}, {0, -10, 1}, {0, 19, 1},
                                       {8, -7, 0}, {8, 15, 0}, {-8, -7, 2}, {-8, 15, 2}};
    static const label_place far[] = {
        {16, -16, 0},  {16, 25, 0}, {-16, -16, 2}, {-16, 25, 2}, {6, -28, 0},   {6, 37, 0},
        {-6, -28, 2},  {-6, 37, 2}, {30, -32, 0},  {30, 40, 0},  {-30, -32, 2}, {-30, 40, 2},
        {12, -48, 0},  {12, 56, 0}, {-12, -48, 2}, {-12, 56, 2}, {48, -64, 0},  {-48, 70, 2},
        {-48, -64, 2}, {48, 70, 0}, {14, -86, 0},  {14, -104, 0}};
    if (try_label(w, i, near, sizeof near / sizeof *near, 0, false)) return;
    if (try_label(w, i, far, sizeof far / sizeof *far, 0, true)) return;
    try_label(w, i, near, sizeof near / sizeof *near, w->line_count, false);
}

static void draw_spreads(dots_work *w) {
    for (int i = 0; i < w->s->count; ++i) {
        const vt_dot *dot = &w->s->dots[i];
        if (!(dot->spread > 0.0)) continue;
        const double x = place_x(w, dot->x), top = place_y(w, dot->y + dot->spread),
                     bottom = place_y(w, dot->y - dot->spread);
        add_line(w->out, x, bottom, x, top, "spread");
        w->taken[w->taken_count++] = (box){x - 1, top, x + 1, bottom};
    }
    w->line_count = w->taken_count;
}

static void draw_dots(dots_work *w) {
    draw_spreads(w);
    for (int i = 0; i < w->s->count; ++i) {
        const vt_dot *dot = &w->s->dots[i];
        double x = place_x(w, dot->x), y = place_y(w, dot->y);
        w->taken[w->taken_count++] = (box){x - 5, y - 5, x + 5, y + 5};
        vt_text_add(w->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" class=\"f%d%s\"><title>", x,
                    y, w->near[i] ? "5.5" : "4.5", dot->series % VT_SVG_SERIES,
                    w->near[i] ? " best" : " other");
        vt_text_add_escaped(w->out, dot->title);
        vt_text_add(w->out, "</title></circle>\n");
    }
    for (int pass = 0; pass < 2; ++pass) /* the front's labels come first */
        for (int i = 0; i < w->s->count; ++i)
            if (w->front[i] == (pass == 0)) draw_label(w, i);
}

void vt_svg_scatter(vt_text *out, const vt_scatter *s) {
    if (s->count == 0) return;
    size_t n = (size_t)s->count;
    double *x = malloc(3 * n * sizeof *x), *y = x ? x + n : NULL, *spread = x ? y + n : NULL;
    bool *front = malloc(2 * n * sizeof *front), *near = front ? front + n : NULL;
    box *taken = malloc((5 + LEADER_BOXES) * n *
                        sizeof *taken); /* two lines, a spread, a dot, a label and its line each */
    if (!x || !front || !taken) {
        out->failed = true;
        goto cleanup;
    }
    double low_x = s->dots[0].x, high_x = low_x;
    for (int i = 0; i < s->count; ++i) {
        x[i] = s->dots[i].x;
        y[i] = s->dots[i].y;
        low_x = fmin(low_x, x[i]);
        high_x = fmax(high_x, x[i]);
        spread[i] = s->dots[i].spread > 0.0 ? s->dots[i].spread : 0.0;
    }
    vt_pareto(x, y, s->count, front);
    vt_near_pareto(x, y, spread, s->count, near);
    double room_x = 0.04 * (high_x - low_x);
    dots_work w = {.out = out,
                   .s = s,
                   .plot = {62, 36, 560, 330},
                   .x = vt_ticks_choose(fmax(low_x - room_x, low_x < 0 ? low_x - room_x : 0),
                                        high_x + room_x, 7),
                   .y = choose_y(s),
                   .front = front,
                   .near = near,
                   .taken = taken};
    open_svg(out, 632, 376, s->name);
    draw_axes(&w);
    draw_front(&w);
    draw_dots(&w);
    vt_text_add(out, "</svg>\n");
cleanup:
    free(x);
    free(front);
    free(taken);
}

/* ---- heat map ---- */

static void draw_cell(vt_text *out, box b, double value, double share) {
    char number[32];
    vt_text_number(number, sizeof number, value);
    vt_text_add(
        out,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"3\" class=\"heat\" "
        "fill-opacity=\"%.3f\"/>\n",
        b.left, b.top, b.right - b.left, b.bottom - b.top, 0.08 + 0.82 * share);
    add_text(out, 0.5 * (b.left + b.right), 0.5 * (b.top + b.bottom) + 4.5,
             share > 0.5 ? "cell mid over" : "cell mid", number);
}

void vt_svg_heat(vt_text *out, const vt_heat *h) {
    double low = INFINITY, high = -INFINITY, left = 20;
    for (int i = 0; i < h->row_count * h->column_count; ++i) {
        if (!isfinite(h->values[i])) continue;
        low = fmin(low, h->values[i]);
        high = fmax(high, h->values[i]);
    }
    for (int i = 0; i < h->row_count; ++i) left = fmax(left, text_width(h->rows[i]) + 16);
    double wide = 72, tall = 36, top = 44;
    double title = fmax(text_width(h->column_title), text_width(h->row_title) + left);
    double width = fmax(left + wide * h->column_count + 6, title + 16);
    open_svg(out, width, top + tall * h->row_count + 8, h->name);
    add_text(out, left - 9, top - 9, "axis end", h->row_title);
    add_text(out, fmax(left + 0.5 * wide * h->column_count, 0.5 * text_width(h->column_title) + 2),
             14, "axis mid", h->column_title);
    for (int c = 0; c < h->column_count; ++c)
        add_text(out, left + wide * (c + 0.5), top - 9, "tick mid", h->columns[c]);
    for (int r = 0; r < h->row_count; ++r) {
        double y = top + tall * r;
        add_text(out, left - 9, y + 0.5 * tall + 4, "tick end", h->rows[r]);
        for (int c = 0; c < (h->wide[r] ? 1 : h->column_count); ++c) {
            double value = h->values[r * h->column_count + c];
            double right = left + wide * (h->wide[r] ? h->column_count : c + 1);
            if (!isfinite(value)) continue;
            draw_cell(out, (box){left + wide * c + 1.5, y + 1.5, right - 1.5, y + tall - 1.5},
                      value, high > low ? (value - low) / (high - low) : 0.0);
        }
    }
    vt_text_add(out, "</svg>\n");
}

/* ---- bars ---- */

static double row_sum(const vt_bars *b, int row) {
    double sum = 0.0;
    for (int s = 0; s < b->series_count; ++s) sum += b->values[row * b->series_count + s];
    return sum;
}

static void draw_bar(vt_text *out, const vt_bars *b, int row, double left, double y, double scale) {
    char number[32];
    double x = left;
    for (int s = 0; s < b->series_count; ++s) {
        double value = b->values[row * b->series_count + s];
        vt_text_number(number, sizeof number, value);
        vt_text_add(
            out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"20\" class=\"f%d\"><title>",
            x, y, value * scale, s % VT_SVG_SERIES);
        vt_text_add_escaped(out, b->series[s]);
        vt_text_add(out, ": %s</title></rect>\n", number);
        x += value * scale;
    }
    vt_text_number(number, sizeof number, row_sum(b, row));
    add_text(out, x + 7, y + 14.5, "cell", number);
}

void vt_svg_bars(vt_text *out, const vt_bars *b) {
    double most = isfinite(b->reference) ? b->reference : 0.0, left = 40;
    for (int r = 0; r < b->row_count; ++r) {
        most = fmax(most, row_sum(b, r));
        left = fmax(left, text_width(b->rows[r]) + 16);
    }
    vt_ticks ticks = vt_ticks_choose(0.0, most > 0.0 ? most : 1.0, 6);
    double top = 8, tall = 30, plot = 410, bottom = top + tall * b->row_count + 4;
    double scale = plot / ticks_last(&ticks);
    char label[32];
    open_svg(out, left + plot + 64, bottom + 44, b->name);
    for (int i = 0; i < ticks.count; ++i) {
        double x = left + (ticks.first + i * ticks.step) * scale;
        add_line(out, x, top, x, bottom, "grid");
        vt_ticks_label(&ticks, i, label, sizeof label);
        add_text(out, x, bottom + 16, "tick mid", label);
    }
    for (int r = 0; r < b->row_count; ++r) {
        double y = top + tall * r + 5;
        add_text(out, left - 9, y + 14.5, "tick end", b->rows[r]);
        draw_bar(out, b, r, left, y, scale);
    }
    if (isfinite(b->reference))
        add_line(out, left + b->reference * scale, top, left + b->reference * scale, bottom,
                 "reference");
    add_text(out, left + 0.5 * plot, bottom + 36, "axis mid", b->x_title);
    vt_text_add(out, "</svg>\n");
}
