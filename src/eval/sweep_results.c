/* sweep_results.c - variant_sweep_read and variant_sweep_report: what a sweep's folder holds, and its report once more. */
#include <stdlib.h>

#include "eval/report.h"
#include "eval/sweep.h"

/* What is handed out is the first member. */
typedef struct results {
    variant_sweep_results told;
    cJSON *state;
    vt_sweep_point *points, *zones; /* views of it */
    variant_sweep_point *room;      /* of both, and pointers to them */
    const variant_sweep_point **at;
} results;

void variant_sweep_results_free(variant_sweep_results **given) {
    if (!given || !*given) return;
    results *r = (results *)(void *)*given;
    free(r->points);
    free(r->zones);
    free(r->room);
    free((void *)r->at);
    cJSON_Delete(r->state);
    free(r);
    *given = NULL;
}

static void tell(variant_sweep_point *out, const vt_sweep_point *p) {
    *out = (variant_sweep_point){.id = p->id,
                                 .depths = p->depths,
                                 .picture_ms = p->times.picture_ms,
                                 .transformer_ms = p->times.transformer_ms,
                                 .decoder_ms = p->times.decoder_ms,
                                 .kv_peak_bytes = p->kv_peak_bytes,
                                 .memory_bytes = p->memory_bytes,
                                 .score = p->quality.name,
                                 .distance = p->quality.frechet,
                                 .distance_spread = p->quality.frechet_spread};
    vt_sweep_doubt(p->json, out->doubt, sizeof out->doubt);
}

static variant_status read_folder(results *r, const char *folder, variant_error *err) {
    vt_sweep_file file;
    variant_sweep_results *told = &r->told;
    VT_TRY(vt_sweep_state_read(&r->state, folder, err));
    vt_sweep_file_view(&file, r->state);
    const int depth = file.model.depth;
    VT_TRY(vt_sweep_points_view(&r->points, &told->point_count, file.points, depth, err));
    VT_TRY(vt_sweep_points_view(&r->zones, &told->zone_count, file.zones, depth, err));
    const size_t count = (size_t)told->point_count + (size_t)told->zone_count;
    r->room = calloc(count ? count : 1, sizeof *r->room);
    r->at = calloc(count ? count : 1, sizeof *r->at);
    if (!r->room || !r->at)
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for its points", folder);
    for (size_t i = 0; i < count; ++i) {
        const size_t first = (size_t)told->point_count;
        tell(&r->room[i], i < first ? &r->points[i] : &r->zones[i - first]);
        r->at[i] = &r->room[i];
    }
    told->points = r->at;
    told->zones = r->at + told->point_count;
    return VARIANT_OK;
}

variant_status variant_sweep_read(variant_sweep_results **out, const char *folder,
                                  variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out || !folder)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a sweep's folder, and where to put it");
    results *r = calloc(1, sizeof *r);
    if (!r) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a sweep");
    *out = &r->told;
    const variant_status status = read_folder(r, folder, error);
    if (status != VARIANT_OK) variant_sweep_results_free(out);
    return status;
}

variant_status variant_sweep_report(const char *folder, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!folder) return vt_fail(error, VARIANT_E_ARGUMENT, "expected a sweep's folder");
    return vt_report_write(folder, error);
}
