/* bench_depths.c - `variant bench --compare`: several depths of one model in one run, the first of which is the yardstick
 * (variant/measure.h says how). */
#include "bench.h"

#include <stdio.h>

static void print_line(const variant_bench_figures *first, const variant_bench_figures *f,
                       int depth, int batch) {
    printf("  %-6d %-30s %9.1f ms %8.1f ms %6.2f %7.2f %7.2f %8.2f %9.1f ms %9.1f ms %11.1f MB "
           "%9.1f MB",
           depth, f->depths, f->transformer_ms, f->transformer_floor_ms,
           f->transformer_ms / f->transformer_floor_ms, first->transformer_ms / f->transformer_ms,
           first->transformer_floor_ms / f->transformer_floor_ms,
           f->transformer_ms / f->expected_ms, f->decoder_ms, f->picture_ms / batch,
           (double)f->kv_peak_bytes / 1e6, (double)f->peak_resident_bytes / 1e6);
}

static void print_object(const variant_bench_figures *first, const variant_bench_figures *f,
                         int depth, int batch) {
    printf("{\"depth\": %d, \"depths\": \"%s\", \"transformer_ms\": %.3f, "
           "\"transformer_floor_ms\": %.3f, \"speedup\": %.4f, \"floor_speedup\": %.4f, "
           "\"expected_ms\": %.3f, \"decoder_ms\": %.3f, \"decoder_floor_ms\": %.3f, "
           "\"picture_ms\": %.3f, \"kv_bytes\": %zu, \"kv_end_bytes\": %zu, "
           "\"peak_rss_bytes\": %zu, ",
           depth, f->depths, f->transformer_ms, f->transformer_floor_ms,
           first->transformer_ms / f->transformer_ms,
           first->transformer_floor_ms / f->transformer_floor_ms, f->expected_ms, f->decoder_ms,
           f->decoder_floor_ms, f->picture_ms / batch, f->kv_peak_bytes, f->kv_end_bytes,
           f->peak_resident_bytes);
}

static void print_table(const bench_settings *s, const variant_bench_results *all) {
    for (int i = 0; i < all->count; ++i) {
        const variant_bench_figures *f = all->figures[i];
        print_line(all->figures[0], f, s->compare[i], s->asked.request.batch);
        if (f->disturbed || f->contradicts >= 0) printf("  disturbed:");
        if (f->disturbed) printf(" %d of %d runs quiet, %s", f->quiet_runs, f->runs, f->why);
        if (f->contradicts >= 0)
            printf("%s slower than depth %d, which runs more layers", f->disturbed ? ";" : "",
                   s->compare[f->contradicts]);
        printf("\n");
    }
    printf("\nfaster: than the first line; ideal: by the floors; /layers: transformer against its "
           "layers at the first line's\ntime of a layer, with head and AdaLN in full\n");
}

static void print_array(const bench_settings *s, const variant_bench_results *all) {
    for (int i = 0; i < all->count; ++i) {
        const variant_bench_figures *f = all->figures[i];
        printf("%s", i ? ", " : "[");
        print_object(all->figures[0], f, s->compare[i], s->asked.request.batch);
        bench_print_disturbance(f, f->contradicts >= 0);
        if (f->contradicts >= 0)
            printf(", \"contradicts\": %d}", s->compare[f->contradicts]);
        else
            printf(", \"contradicts\": null}");
    }
    printf("]\n");
}

variant_status bench_depths(bench_subject *subject, bench_progress *progress,
                            const bench_settings *s, variant_error *err) {
    const variant_info *info = subject->info;
    variant_bench_results *all;
    if (!s->json) {
        printf("%s%s, weights %s, kv %s, batch %d, guidance on, %d run%s each\n%s\n\n  %-6s %-30s "
               "%12s "
               "%11s %6s %7s %7s %8s %12s %12s %14s %12s\n",
               s->arch ? s->arch : s->asked.engine.model, s->arch ? " (synthetic weights)" : "",
               info->weights, info->kv, s->asked.request.batch, s->repeat,
               s->repeat == 1 ? "" : "s", info->kernels, "depth", "layers by scale", "transformer",
               "floor", "ratio", "faster", "(ideal)", "/layers", "decoder", "picture", "kv at most",
               "resident");
        fflush(stdout);
    }
    CLI_TRY(bench_measure(&all, subject, progress, s->compare, s->compare_count, s, err));
    if (s->json)
        print_array(s, all);
    else
        print_table(s, all);
    variant_bench_results_free(&all);
    return VARIANT_OK;
}
