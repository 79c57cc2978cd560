/* report_parts.h - what the files of the report share: sweep.json as it was read, and the sections that
 * report.c puts one after another. Private to report*.c. */
#ifndef VT_EVAL_REPORT_PARTS_H
#define VT_EVAL_REPORT_PARTS_H

#include "eval/text.h"
#include "planning/sweep_file.h"

typedef struct vt_report {
    vt_sweep_file file; /* borrowed from the JSON, as the points are */
    const char *folder;
    int depth, batch; /* D; pictures at a time */
    vt_sweep_point *points, *zones;
    int count, zone_count;
    int judged;        /* points with a score */
    bool has_quality;  /* every point has a score of one name ... */
    const char *score; /* ... this one */
    bool selectors_vary, cfg_varies;
    bool lates_vary;
    bool
        unconds_vary; /* of points alike otherwise some run other unconditional layers, or some do not run the
                        * conditional's */
    char kid[96]; /* what the kernel distance is called */
} vt_report;

/* ---- report_points.c ---- */

variant_status vt_report_read(vt_report *out, const cJSON *state, const char *folder,
                              variant_error *err);
void vt_report_free(vt_report *report);
/* The selector that goes without saying: the first point's. "" without points below full depth. */
const char *vt_report_selector(const vt_report *report);
const vt_sweep_point *vt_report_full(const vt_report *report); /* or NULL */
/* The point of the least distance or, where others equal it within the spreads (vt_plan_margin), the one of those
 * that runs most layers; NULL without quality. *equal: how many there are. */
const vt_sweep_point *vt_report_best(const vt_report *report, int *equal);
/* Layers of the unconditional branch at its last scale: those of the conditional where the file does not say. 0: no
 * guidance. */
int vt_report_uncond(const vt_sweep_point *point);
/* Of the points that differ in the unconditional branch alone, is it the first? One of them stands for all in
 * drawings that have no room for the others. */
bool vt_report_is_first(const vt_report *report, const vt_sweep_point *point);
/* "depth 4, bridge 2" and what else varies; the full depth: "all 8 layers". */
void vt_report_name(const vt_report *report, const vt_sweep_point *point, char *out, size_t size);
/* Of that bridge and selector, every guidance and unconditional branch, deepest first; likewise. */
int vt_report_guided(const vt_report *report, const vt_sweep_point **out);
/* One point a depth, deepest first, at one bridge: the one the model was trained with, or the one in the
 * middle. The first selector and guidance. `out` has room for report->count; returns how many. */
int vt_report_ladder(const vt_report *report, const vt_sweep_point **out, int *bridge);

/* ---- report_plots.c: sections; each adds nothing when it has nothing to show ---- */

void vt_report_fronts(vt_text *html, const vt_report *report);
void vt_report_heats(vt_text *html, const vt_report *report);
void vt_report_stages(vt_text *html, const vt_report *report);
void vt_report_guidance(vt_text *html, const vt_report *report);
void vt_report_zones(vt_text *html, const vt_report *report);

#endif
