/* bench_depths.c - `variant bench --compare`: several depths of one model in one run.
 *
 * The first depth is the yardstick. From its time of a layer at each scale follows what another depth
 * should take: layers times that, and head and AdaLN, which every depth pays in full. */
#include "bench.h"

#include <stdio.h>

/* The transformer at the first line's speed. */
static double expected_ms(const bench_figures *first, const bench_figures *f) {
    double ms = f->condition;
    for (int k = 0; k < f->last.scales; ++k) {
        double layers = first->scale[k] - first->head[k];
        ms += first->head[k] + layers * f->last.scale_layers[k] / first->last.scale_layers[k];
    }
    return ms;
}

static void print_line(const bench_figures *first, const bench_figures *f, int depth, int batch) {
    printf("  %-6d %-30s %9.1f ms %8.1f ms %6.2f %7.2f %7.2f %8.2f %9.1f ms %9.1f ms %11.1f MB "
           "%9.1f MB\n",
           depth, f->last.depths, f->transformer, f->transformer_floor,
           f->transformer / f->transformer_floor, first->transformer / f->transformer,
           first->transformer_floor / f->transformer_floor, f->transformer / expected_ms(first, f),
           f->decoder, f->picture / batch, (double)f->last.kv_peak_bytes / 1e6,
           (double)f->last.peak_resident_bytes / 1e6);
}

static void print_object(const bench_figures *first, const bench_figures *f, int depth, int batch) {
    printf("{\"depth\": %d, \"depths\": \"%s\", \"transformer_ms\": %.3f, "
           "\"transformer_floor_ms\": %.3f, \"speedup\": %.4f, \"floor_speedup\": %.4f, "
           "\"expected_ms\": %.3f, \"decoder_ms\": %.3f, \"decoder_floor_ms\": %.3f, "
           "\"picture_ms\": %.3f, \"kv_bytes\": %zu, \"peak_rss_bytes\": %zu}",
           depth, f->last.depths, f->transformer, f->transformer_floor,
           first->transformer / f->transformer, first->transformer_floor / f->transformer_floor,
           expected_ms(first, f), f->decoder, f->decoder_floor, f->picture / batch,
           f->last.kv_peak_bytes, f->last.peak_resident_bytes);
}

variant_status bench_depths(bench_subject *subject, const bench_settings *s, variant_error *err) {
    bench_figures first, figures;
    bench_settings at = *s;
    int batch = s->request.batch;
    if (!s->model.json)
        printf("%s%s, weights %s, kv %s, batch %d, guidance on, %d run%s each\n%s\n\n  %-6s %-30s "
               "%12s "
               "%11s %6s %7s %7s %8s %12s %12s %14s %12s\n",
               s->arch ? s->arch : s->model.model, subject->synthetic ? " (synthetic weights)" : "",
               vt_number_name(subject->weights), vt_number_name(subject->kv), batch, s->repeat,
               s->repeat == 1 ? "" : "s", subject->kern->details, "depth", "layers by scale",
               "transformer", "floor", "ratio", "faster", "(ideal)", "/layers", "decoder",
               "picture", "kv at most", "resident");
    for (int i = 0; i < s->compare_count; ++i) {
        at.request.depth = s->compare[i];
        VT_TRY(bench_measure(&figures, subject, &at, err));
        if (i == 0) first = figures;
        if (s->model.json) {
            printf("%s", i ? ", " : "[");
            print_object(&first, &figures, s->compare[i], batch);
        } else {
            print_line(&first, &figures, s->compare[i], batch);
        }
        fflush(stdout);
    }
    if (s->model.json)
        printf("]\n");
    else
        printf(
            "\nfaster: than the first line; ideal: by the floors; /layers: transformer against its "
            "layers at the first line's\ntime of a layer, with head and AdaLN in full\n");
    return VARIANT_OK;
}
