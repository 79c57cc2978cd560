/* bench_kernels.c - `variant bench kernels`: each fast kernel beside its plain-C twin and the least time that this machine could take; with
 * --products those of a layer of VAR-d16 and of VAR-d30 alone. Which kernels at which sizes: src/measure/kernels.c. */
#include "bench.h"

#include <stdio.h>

typedef struct settings {
    variant_engine_options engine;
    int repeat;
    bool json, products;
    int done; /* kernels that were printed */
} settings;

static void print_peaks(void *user, const variant_bench_peaks *most) {
    const settings *s = user;
    if (s->json)
        printf("{\"kernels\": \"%s\", \"peak_f32\": %.4g, \"peak_bf16\": %.4g, \"stream_bytes\": "
               "%.4g, \"cases\": [",
               most->kernels, most->flops_f32, most->flops_bf16, most->stream);
    else
        printf(
            "%s\nregister peak %.0f GFLOP/s float32, %.0f bf16; memory %.1f GB/s\n\n  %-18s %-5s "
            "%-40s %10s %10s %7s %9s\n",
            most->kernels, most->flops_f32 * 1e-9, most->flops_bf16 * 1e-9, most->stream * 1e-9,
            "kernel", "type", "size", "median", "floor", "ratio", "plain C");
}

static void print_row(const variant_bench_kernel *k) {
    char times[24] = "-";
    if (k->plain_ms >= 0.0) snprintf(times, sizeof times, "%.0fx", k->plain_ms / k->ms);
    printf("  %-18s %-5s %-40s %7.3f ms %7.3f ms %7.2f %9s%s%s\n", k->name, k->type, k->size, k->ms,
           k->floor_ms, k->ms / k->floor_ms, times, k->disturbed ? "  disturbed: " : "",
           k->disturbed ? k->why : "");
}

static void print_object(const variant_bench_kernel *k, bool first) {
    char plain[32] = "null";
    if (k->plain_ms >= 0.0) snprintf(plain, sizeof plain, "%.3f", k->plain_ms);
    printf("%s{\"name\": \"%s\", \"type\": \"%s\", \"size\": \"%s\", \"ms\": %.5f, "
           "\"floor_ms\": %.5f, \"plain_ms\": %s, \"disturbed\": %s}",
           first ? "" : ", ", k->name, k->type, k->size, k->ms, k->floor_ms, plain,
           k->disturbed ? "true" : "false");
}

static void print_kernel(void *user, const variant_bench_kernel *k) {
    settings *s = user;
    if (s->json)
        print_object(k, s->done == 0);
    else
        print_row(k);
    fflush(stdout);
    ++s->done;
}

static int run(void *user, const cli_line *line) {
    (void)line;
    settings *s = user;
    variant_error err = {0};
    variant_bench_kernels_options options;
    variant_bench_kernels_options_init(&options);
    options.threads = s->engine.threads;
    options.repeat = s->repeat;
    options.products = s->products;
    options.peaks = print_peaks;
    options.kernel = print_kernel;
    options.user = s;
    const variant_status status = variant_bench_kernels(&options, &err);
    if (status == VARIANT_OK && s->json) printf("]}\n");
    return cli_end(status, &err);
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.repeat = 5};
    cli_engine_init(&s->engine);
}

static const cli_option options[] = {
    {"repeat", "N", "calls counted, {range}; as many again while too few are quiet",
     CLI_INT(settings, repeat, 1, VARIANT_BENCH_MOST_REPEAT), .own = true},
    {"products", NULL,
     "products of a layer of VAR-d16 and of VAR-d30 alone, in bf16 and int8, 2 to 512 rows; "
     "without plain C",
     CLI_FLAG(settings, products)},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, "threads"),
    {0},
};

const cli_command bench_kernels = {
    .name = "bench kernels",
    .purpose = "time of each kernel beside its plain-C twin and its floor",
    .usage = "[--products] [--repeat N] [--threads N] [--json]",
    .about = "Times each kernel by itself at sizes of VAR-d16, beside its plain-C twin and the "
             "least time that this machine could take.",
    .examples = "variant bench kernels --repeat 20\nvariant bench kernels --products --repeat 20",
    CLI_OF_THIS_FILE,
};
