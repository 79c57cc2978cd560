/* bench_depths.c - `variant bench --compare`: several depths of one model in one run.
 *
 * The first depth is the yardstick. From its time of a layer at each scale follows what another depth
 * should take: layers times that, and head and AdaLN, which every depth pays in full.
 * A depth that took longer than one with more layers was disturbed, whatever the watch says, and is marked so. */
#include "bench.h"

#include <stdio.h>

#include "planning/order.h"

/* The transformer at the first line's speed. */
static double expected_ms(const bench_figures *first, const bench_figures *f) {
    double ms = f->condition;
    for (int k = 0; k < f->last.scales; ++k) {
        double layers = first->scale[k] - first->head[k];
        ms += first->head[k] + layers * f->last.scale_layers[k] / first->last.scale_layers[k];
    }
    return ms;
}

/* Index of a depth that runs more layers and was faster all the same; -1. By the transformer's time, or the picture's. */
static int contradicted_by(const bench_subject *subject, const bench_figures *all, int count,
                           int i) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->model->transformer);
    vt_timed times[VARIANT_MAX_DEPTHS];
    for (int j = 0; j < count; ++j)
        times[j] = (vt_timed){all[j].last.scale_layers, all[j].transformer};
    int found = vt_order_contradiction(config->scales, config->sides, times, count, i);
    for (int j = 0; j < count; ++j) times[j].seconds = all[j].picture;
    return found >= 0 ? found
                      : vt_order_contradiction(config->scales, config->sides, times, count, i);
}

static void print_line(const bench_figures *first, const bench_figures *f, int depth, int batch) {
    printf("  %-6d %-30s %9.1f ms %8.1f ms %6.2f %7.2f %7.2f %8.2f %9.1f ms %9.1f ms %11.1f MB "
           "%9.1f MB",
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
           "\"picture_ms\": %.3f, \"kv_bytes\": %zu, \"kv_end_bytes\": %zu, "
           "\"peak_rss_bytes\": %zu, ",
           depth, f->last.depths, f->transformer, f->transformer_floor,
           first->transformer / f->transformer, first->transformer_floor / f->transformer_floor,
           expected_ms(first, f), f->decoder, f->decoder_floor, f->picture / batch,
           f->last.kv_peak_bytes, f->last.kv_end_bytes, f->last.peak_resident_bytes);
}

static void print_table(const bench_subject *subject, const bench_settings *s,
                        const bench_figures *all) {
    int count = s->compare_count;
    for (int i = 0; i < count; ++i) {
        const bench_figures *f = &all[i];
        int other = contradicted_by(subject, all, count, i);
        print_line(&all[0], f, s->compare[i], s->asked.request.batch);
        if (f->disturbed || other >= 0) printf("  disturbed:");
        if (f->disturbed) printf(" %d of %d runs quiet, %s", f->quiet_runs, f->runs, f->why);
        if (other >= 0)
            printf("%s slower than depth %d, which runs more layers", f->disturbed ? ";" : "",
                   s->compare[other]);
        printf("\n");
    }
    printf("\nfaster: than the first line; ideal: by the floors; /layers: transformer against its "
           "layers at the first line's\ntime of a layer, with head and AdaLN in full\n");
}

static void print_array(const bench_subject *subject, const bench_settings *s,
                        const bench_figures *all) {
    for (int i = 0; i < s->compare_count; ++i) {
        int other = contradicted_by(subject, all, s->compare_count, i);
        printf("%s", i ? ", " : "[");
        print_object(&all[0], &all[i], s->compare[i], s->asked.request.batch);
        bench_print_disturbance(&all[i], other >= 0);
        if (other >= 0)
            printf(", \"contradicts\": %d}", s->compare[other]);
        else
            printf(", \"contradicts\": null}");
    }
    printf("]\n");
}

variant_status bench_depths(bench_subject *subject, const bench_settings *s, variant_error *err) {
    bench_figures all[VARIANT_MAX_DEPTHS];
    if (!s->json) {
        printf("%s%s, weights %s, kv %s, batch %d, guidance on, %d run%s each\n%s\n\n  %-6s %-30s "
               "%12s "
               "%11s %6s %7s %7s %8s %12s %12s %14s %12s\n",
               s->arch ? s->arch : s->asked.engine.model,
               subject->synthetic ? " (synthetic weights)" : "", vt_number_name(subject->weights),
               vt_number_name(subject->kv), s->asked.request.batch, s->repeat,
               s->repeat == 1 ? "" : "s", subject->kern->details, "depth", "layers by scale",
               "transformer", "floor", "ratio", "faster", "(ideal)", "/layers", "decoder",
               "picture", "kv at most", "resident");
        fflush(stdout);
    }
    CLI_TRY(bench_measure(all, s->compare, s->compare_count, subject, s, err));
    if (s->json)
        print_array(subject, s, all);
    else
        print_table(subject, s, all);
    return VARIANT_OK;
}
