/* svg.h - the four drawings of a report, as SVG inside HTML: dots with a Pareto front, a heat map, stacked bars,
 * and legends. No script and nothing from outside; colours are the page's (classes c0 .. c9, ink, grid, ...), so
 * that a dark page has dark drawings. Called by report_plots.c. */
#ifndef VT_EVAL_SVG_H
#define VT_EVAL_SVG_H

#include "eval/text.h"

#define VT_SVG_SERIES 10 /* colours; series beyond them begin again */

/* ---- axes ---- */

typedef struct vt_ticks {
    double first, step;
    int count, decimals; /* first, first + step, ...; digits after the point that they need */
} vt_ticks;
/* About `wanted` round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high]. */
vt_ticks vt_ticks_choose(double low, double high, int wanted);
/* "0.25", "1500": tick i as its axis shows it. */
void vt_ticks_label(const vt_ticks *ticks, int i, char *out, size_t size);

/* Round numbers within [low, high], low above 0, for a logarithmic axis: 4 to about 10 of them where the range allows, at most
 * `most`; returns how many. */
int vt_log_ticks_choose(double low, double high, double *out, int most);

/* front[i]: no other point is as good in both and better in one (smaller is better). */
void vt_pareto(const double *x, const double *y, int count, bool *front);
/* near[i]: on that front, or not beaten beyond chance: no point that costs no more in x is better in y by more than
 * vt_plan_margin of both spreads. */
void vt_near_pareto(const double *x, const double *y, const double *spread, int count, bool *near);

/* ---- drawings ---- */

typedef struct vt_dot {
    double x, y;
    double spread; /* of y: a line up and down; 0: none */
    int series;
    char label[104];
    char title[256]; /* shown when pointed at */
} vt_dot;

typedef struct vt_scatter {
    const char *x_title, *y_title, *name; /* name: for readers who do not see it */
    const vt_dot *dots;
    int count;
    bool y_log; /* unless some y is not above 0 */
} vt_scatter;
void vt_svg_scatter(vt_text *out, const vt_scatter *scatter);

typedef struct vt_heat {
    const char *name, *row_title, *column_title;
    const char (*rows)[32], (*columns)[32];
    int row_count, column_count;
    const double *values; /* (rows, columns); NAN: none */
    const bool *wide;     /* (rows): one cell across all columns, its value in the first */
} vt_heat;
void vt_svg_heat(vt_text *out, const vt_heat *heat);

typedef struct vt_bars {
    const char *name, *x_title;
    const char (*rows)[64];
    const char *const *series;
    int row_count, series_count;
    const double *values; /* (rows, series), none negative */
    double reference;     /* a dashed line there; NAN: none */
} vt_bars;
void vt_svg_bars(vt_text *out, const vt_bars *bars);

/* Swatches with names, as HTML: it wraps by itself. */
void vt_svg_legend(vt_text *out, const char *const *names, int count);

#endif
