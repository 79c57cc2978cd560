/* generate.c - `variant generate`: pictures of a class at any depth. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/clock.h"
#include "core/status.h"
#include "io/file.h"
#include "io/tensors.h"
#include "parse.h"
#include "planning.h"
#include "request.h"

static const char help[] =
    "usage: variant generate -m MODEL [--class C] [-n COUNT] [-o out.png] [options]\n"
    "\n" CLI_REQUEST_MODEL_HELP "\n"
    "pictures\n"
    "      --class C          name or number, several as 3,7,Sneaker (one after another), all, "
    "random\n"
    "                         (default) or uncond; given twice, a list as well\n"
    "  -n, --count N          pictures, 1 to 1000000 (default 1)\n"
    "      --first N          begin with picture N of the seed, from 0 (default): the same bytes "
    "as in "
    "one go\n"
    "  -o, --output PATH      default out.png; out_%02d.png for several\n"
    "      --grid             one contact sheet instead of several files\n"
    "      --columns N        of the sheet, 1 to 1000 (default: the number of classes with --class "
    "all "
    "or a\n"
    "                         list, else 8)\n"
    "      --zoom N           enlarge on the sheet, 1 to 64 (default 1)\n"
    "      --save-scales DIR  also the picture after each scale\n"
    "      --tokens-out FILE  also the token maps, as safetensors\n"
    "\n" CLI_REQUEST_SAMPLING_HELP "\n" CLI_REQUEST_DEPTH_HELP
    "      --compare D,D,..   one contact sheet, a row for each of these depths of the late "
    "scales, from\n"
    "                         the same seeds\n"
    "      --retain-kv        keep all keys and values to the end (default: released)\n"
    "\n" CLI_PLANNING_HELP
    "      --batch auto       pictures at a time: as many as fit, at most 64\n"
    "\n" CLI_REQUEST_RUN_HELP "      --json             the report as JSON on stdout\n"
    "  -v, --verbose          also which kernels compute\n"
    "\n"
    "examples\n"
    "  variant generate -m models/fashion --class Sneaker -o sneaker.png\n"
    "  variant generate -m models/fashion --class all -n 30 --grid --depth 6 -o sheet.png\n"
    "  variant generate -m models/fashion --class all -n 30 --grid --batch auto --max-memory 40M\n"
    "  variant generate -m var_d16.pth --tokenizer vae_ch160v4096z32.pth --class \"golden "
    "retriever\"\n";

enum {
    OPT_FIRST = 256,
    OPT_GRID,
    OPT_COLUMNS,
    OPT_ZOOM,
    OPT_SAVE_SCALES,
    OPT_TOKENS,
    OPT_COMPARE,
    OPT_JSON
};

static const struct option long_options[] = {
    CLI_REQUEST_OPTIONS,
    CLI_PLANNING_OPTIONS,
    {"output", required_argument, NULL, 'o'},
    {"first", required_argument, NULL, OPT_FIRST},
    {"grid", no_argument, NULL, OPT_GRID},
    {"columns", required_argument, NULL, OPT_COLUMNS},
    {"zoom", required_argument, NULL, OPT_ZOOM},
    {"save-scales", required_argument, NULL, OPT_SAVE_SCALES},
    {"tokens-out", required_argument, NULL, OPT_TOKENS},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"json", no_argument, NULL, OPT_JSON},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

typedef struct settings {
    cli_request asked;
    cli_planning planning;
    const char *output, *save_scales, *tokens_out;
    bool grid, json, verbose;
    int columns, zoom;
    int compare_count, compare[VARIANT_MAX_DEPTHS]; /* depths, a row each */
} settings;

/* ---- options ---- */

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    switch (id) {
    case 'o':
        return cli_text(text, "where to write", &s->output);
    case OPT_FIRST:
        return cli_int(text, 0, 1000000000, &s->asked.request.first_image);
    case OPT_GRID:
        s->grid = true;
        return true;
    case OPT_COLUMNS:
        return cli_int(text, 1, 1000, &s->columns);
    case OPT_ZOOM:
        return cli_int(text, 1, 64, &s->zoom);
    case OPT_SAVE_SCALES:
        return cli_text(text, "a folder", &s->save_scales);
    case OPT_TOKENS:
        return cli_text(text, "a file to write", &s->tokens_out);
    case OPT_COMPARE:
        s->grid = true;
        return cli_ints(text, 1, 1000, VARIANT_MAX_DEPTHS, s->compare, &s->compare_count);
    case OPT_JSON:
        s->json = true;
        return true;
    case 'v':
        s->verbose = true;
        return true;
    case CLI_REQUEST_BATCH:
        return cli_planning_batch(&s->planning, &s->asked.request, text);
    default: {
        int taken = cli_planning_option(&s->planning, id, text);
        return taken >= 0 ? taken == 1 : cli_request_option(&s->asked, id, text) == 1;
    }
    }
}

/* -1: go on; else the exit status. */
static int read_options(settings *s, int argc, char **argv) {
    *s = (settings){.output = "out.png"};
    cli_request_init(&s->asked);
    cli_planning_init(&s->planning);
    s->planning.options.memory_only = true; /* time is measured where the choice needs it */
    cli_parser parser = {.command = "generate",
                         .help = help,
                         .letters = ":m:n:o:s:t:vh",
                         .options = long_options,
                         .accept = accept,
                         .user = s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind < argc) return cli_usage("generate", "unexpected argument %s", argv[optind]);
    if (!s->asked.engine.model)
        return cli_usage("generate", "which model? give -m FILE or -m FOLDER");
    done = cli_request_check(&s->asked, "generate");
    if (done >= 0) return done;
    if (!s->grid && (s->zoom || s->columns))
        return cli_usage("generate", "--%s is for a sheet: give --grid or --compare",
                         s->zoom ? "zoom" : "columns");
    if (!s->zoom) s->zoom = 1;
    if (s->compare_count &&
        (s->asked.request.depth || s->asked.request.depths || s->save_scales || s->tokens_out))
        return cli_usage(
            "generate", "--compare goes without --depth, --depths, --save-scales and --tokens-out");
    if (s->compare_count && s->planning.wanted)
        return cli_usage("generate",
                         "--compare names depths: give no budget, --quality or --batch auto");
    return cli_planning_check(&s->planning, &s->asked.request, "generate");
}

/* ---- where pictures go ---- */

/* Is the one conversion of the pattern %d, %2d or %02d? No conversion: 0; one such: 1; anything
 * else: -1. */
static int count_conversions(const char *pattern) {
    int count = 0;
    for (const char *p = pattern; *p; ++p) {
        if (*p != '%') continue;
        if (p[1] == '%') {
            ++p;
            continue;
        }
        size_t digits = strspn(p + 1, "0123456789");
        if (digits > 2 || p[1 + digits] != 'd') return -1;
        ++count;
    }
    return count > 1 ? -1 : count;
}

/* The path of picture i: from the pattern, or with _00 before the ending when there are several. */
static void output_path(const settings *s, int i, char *out, size_t size) {
    if (count_conversions(s->output) == 1) {
        char digits[16], width[4] = "";
        const char *at = strchr(s->output, '%');
        while (at[1] == '%') at = strchr(at + 2, '%');
        size_t length = strspn(at + 1, "0123456789");
        memcpy(width, at + 1, length);
        snprintf(digits, sizeof digits, width[0] == '0' ? "%0*d" : "%*d", atoi(width), i);
        snprintf(out, size, "%.*s%s%s", (int)(at - s->output), s->output, digits, at + length + 2);
    } else if (s->asked.request.count == 1) {
        snprintf(out, size, "%s", s->output);
    } else {
        const char *slash = strrchr(s->output, '/'), *dot = strrchr(s->output, '.');
        if (!dot || (slash && dot < slash)) dot = s->output + strlen(s->output);
        snprintf(out, size, "%.*s_%02d%s", (int)(dot - s->output), s->output, i, dot);
    }
}

/* Complains about an output that cannot be written before any time is spent on it. */
static variant_status check_writable(const char *path, variant_error *err) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    else
        strcpy(folder, ".");
    if (vt_is_folder(path))
        return vt_fail(err, VARIANT_E_IO, "%s is a folder: expected a file to write", path);
    if (!vt_is_folder(folder))
        return vt_fail(err, VARIANT_E_IO, "%s: there is no folder %s", path, folder);
    if (access(folder, W_OK) != 0)
        return vt_fail(err, VARIANT_E_IO, "%s: folder %s is not writable", path, folder);
    return VARIANT_OK;
}

static variant_status write_tokens(const settings *s, const variant_picture *pictures,
                                   variant_error *err) {
    int count = s->asked.request.count, length = pictures[0].token_count;
    int32_t *tokens = malloc((size_t)count * (size_t)length * sizeof *tokens),
            *labels = malloc((size_t)count * sizeof *labels);
    variant_status status = VARIANT_OK;
    if (!tokens || !labels)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %d pictures", count));
    for (int i = 0; i < count; ++i) {
        memcpy(tokens + (size_t)i * (size_t)length, pictures[i].tokens,
               (size_t)length * sizeof *tokens);
        labels[i] = pictures[i].label;
    }
    vt_tensor_out list[] = {
        {.name = "tokens", .type = VT_I32, .rank = 2, .shape = {count, length}, .data = tokens},
        {.name = "labels", .type = VT_I32, .rank = 1, .shape = {count}, .data = labels},
    };
    const char *key = "variant.settings", *value = pictures[0].settings;
    VT_CHECK(vt_safetensors_write(s->tokens_out, list, 2, &key, &value, 1, err));
cleanup:
    free(tokens);
    free(labels);
    return status;
}

static variant_status write_scales(const settings *s, const variant_picture *pictures,
                                   variant_error *err) {
    char path[4096];
    for (int i = 0; i < s->asked.request.count; ++i)
        for (int k = 0; k < pictures[i].scale_count; ++k) {
            snprintf(path, sizeof path, "%s/%02d_scale_%02d.png", s->save_scales,
                     s->asked.request.first_image + i, k + 1);
            VT_TRY(variant_picture_write_scale_png(&pictures[i], k, path, err));
        }
    return VARIANT_OK;
}

/* A column a class, where they come one after another and are not many. */
static int sheet_columns(const settings *s, const variant_engine *engine,
                         const variant_info *info) {
    const char *name = s->asked.request.class_name;
    int columns = s->columns, count = s->asked.request.count;
    if (!columns && strcmp(name, "all") == 0) columns = info->classes;
    if (!columns && strcmp(name, "random") != 0)
        (void)variant_engine_labels(engine, name, NULL, 0, &columns, NULL);
    if (!s->columns && (columns <= 1 || columns > 20)) columns = 8;
    return columns < count ? columns : count;
}

static variant_status write_pictures(const settings *s, const variant_picture *pictures,
                                     int columns, variant_error *err) {
    char path[4096];
    if (s->grid) {
        VT_TRY(variant_pictures_write_sheet(pictures, s->asked.request.count, columns, s->zoom,
                                            s->output, err));
    }
    for (int i = 0; !s->grid && i < s->asked.request.count; ++i) {
        output_path(s, s->asked.request.first_image + i, path, sizeof path);
        VT_TRY(variant_picture_write_png(&pictures[i], path, err));
    }
    if (s->tokens_out) VT_TRY(write_tokens(s, pictures, err));
    return s->save_scales ? write_scales(s, pictures, err) : VARIANT_OK;
}

/* ---- what a person sees ---- */

static bool show_progress(void *user, const variant_progress *at) {
    (void)user;
    fprintf(stderr, "\r%d of %d pictures, scale %d of %d ", at->pictures_done, at->pictures,
            at->scale, at->scales);
    if (at->pictures_done == at->pictures) fputs("\r\033[K", stderr);
    return true;
}

static void print_report(const settings *s, const variant_info *info, const variant_report *r,
                         const variant_plan *plan, double load_seconds) {
    printf("model       %s, %d layers, %d scales, %d x %d pixels, %d classes%s\n", info->hash,
           info->depth, info->scales, info->picture_side, info->picture_side, info->classes,
           info->supernet ? ", depth supernet" : "");
    if (s->verbose) printf("kernels     %s\n", info->kernels);
    if (plan) {
        printf("plan        ");
        cli_planning_print(stdout, plan);
        printf("\n");
    }
    printf("seed        %" PRIu64 "\n", s->asked.request.seed);
    printf("depths      %s\n", r->depths);
    printf("time        %.3f s: load %.3f, adaln %.3f, transformer %.3f, sampling %.3f, quantizer "
           "%.3f, decoder %.3f\n",
           r->total_seconds + load_seconds, load_seconds, r->condition_seconds,
           r->transformer_seconds, r->sampling_seconds, r->quantizer_seconds, r->decoder_seconds);
    printf("by scale   ");
    for (int k = 0; k < r->scales; ++k)
        printf(" %d:%.1fms", info->sides[k], 1e3 * r->scale_seconds[k]);
    printf("\nkv cache    %zu bytes at most, %zu at the end\n", r->kv_peak_bytes, r->kv_end_bytes);
    printf("memory      %.1f MB resident at most: weights %.1f (%s), keys and values %.1f (%s), "
           "activations %.1f\n",
           (double)r->peak_resident_bytes / 1e6,
           (double)(info->weight_bytes + info->mapped_bytes) / 1e6, info->weights,
           (double)r->kv_peak_bytes / 1e6, info->kv, (double)r->arena_peak_bytes / 1e6);
    if (s->grid || s->asked.request.count == 1)
        printf("wrote       %s\n", s->output);
    else
        printf("wrote       %d pictures\n", s->asked.request.count);
}

static void print_json(const settings *s, const variant_info *info, const variant_report *r,
                       const variant_plan *plan, double load_seconds) {
    printf("{\"model\": \"%s\", ", info->hash);
    if (plan) {
        printf("\"plan\": ");
        cli_planning_json(stdout, &s->planning, plan);
        printf(", ");
    }
    printf(
        "\"pictures\": %d, \"seed\": \"%" PRIu64 "\", \"first\": %d, \"depths\": \"%s\", "
        "\"load_ms\": %.3f, "
        "\"total_ms\": %.3f, \"adaln_ms\": %.3f, "
        "\"transformer_ms\": %.3f, \"sampling_ms\": %.3f, \"quantizer_ms\": %.3f, \"decoder_ms\": "
        "%.3f, \"kv_peak_bytes\": %zu, "
        "\"kv_end_bytes\": %zu, \"arena_peak_bytes\": %zu, \"weight_bytes\": %zu, "
        "\"peak_rss_bytes\": %zu, \"weights\": \"%s\", \"kv\": \"%s\", \"scales\": [",
        s->asked.request.count, s->asked.request.seed, s->asked.request.first_image, r->depths,
        1e3 * load_seconds, 1e3 * r->total_seconds, 1e3 * r->condition_seconds,
        1e3 * r->transformer_seconds, 1e3 * r->sampling_seconds, 1e3 * r->quantizer_seconds,
        1e3 * r->decoder_seconds, r->kv_peak_bytes, r->kv_end_bytes, r->arena_peak_bytes,
        info->weight_bytes + info->mapped_bytes, r->peak_resident_bytes, info->weights, info->kv);
    for (int k = 0; k < r->scales; ++k)
        printf("%s{\"side\": %d, \"layers\": %d, \"ms\": %.3f, \"kv_bytes\": %zu}", k ? ", " : "",
               info->sides[k], r->scale_layers[k], 1e3 * r->scale_seconds[k], r->scale_kv_bytes[k]);
    printf("]}\n");
}

/* ---- the command ---- */

static variant_status check_outputs(const settings *s, variant_error *err) {
    char path[4096];
    if (!s->grid && count_conversions(s->output) < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "-o %s: expected at most one number such as %%02d",
                       s->output);
    if (s->grid)
        snprintf(path, sizeof path, "%s", s->output);
    else
        output_path(s, s->asked.request.first_image, path, sizeof path);
    VT_TRY(check_writable(path, err));
    if (s->tokens_out) VT_TRY(check_writable(s->tokens_out, err));
    return s->save_scales ? vt_folder_make(s->save_scales, err) : VARIANT_OK;
}

/* The same seeds at each depth, a row a depth. The rows' pictures move into one array; each
 * row's report is printed. */
static variant_status compare_depths(const settings *s, const variant_engine *engine,
                                     const variant_info *info, double load_seconds,
                                     variant_error *err) {
    int count = s->asked.request.count, total = 0,
        batch = s->asked.request.batch ? s->asked.request.batch : 8;
    variant_picture *all = calloc((size_t)(count * s->compare_count), sizeof *all), *row = NULL;
    variant_status status = VARIANT_OK;
    if (!all)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures",
                       count * s->compare_count);
    if (batch > count) batch = count;
    for (int i = 0; i < s->compare_count; ++i) {
        variant_request request = s->asked.request;
        variant_report report;
        request.depth = s->compare[i];
        VT_CHECK(variant_generate(engine, &request, &row, &report, err));
        memcpy(all + total, row,
               (size_t)count * sizeof *row); /* the row's memory now belongs to all */
        total += count;
        free(row);
        row = NULL;
        if (s->json)
            print_json(s, info, &report, NULL, load_seconds);
        else
            printf("depths %-24s %8.1f ms a picture, kv %8zu bytes a picture\n", report.depths,
                   1e3 * report.total_seconds / count, report.kv_peak_bytes / (size_t)batch);
    }
    VT_CHECK(variant_pictures_write_sheet(all, total, count, s->zoom, s->output, err));
    if (!s->json)
        printf("wrote %s: a row a depth, a column a picture of seed %" PRIu64 "\n", s->output,
               s->asked.request.seed);
cleanup:
    variant_pictures_free(&all, total);
    return status;
}

int cli_generate(int argc, char **argv) {
    settings s;
    variant_error err = {0};
    variant_engine *engine = NULL;
    variant_picture *pictures = NULL;
    variant_report report;
    variant_info info;
    variant_plan planned, *plan = NULL;
    variant_status status = VARIANT_OK;
    int exit_status = read_options(&s, argc, argv);
    if (exit_status >= 0) return exit_status;

    s.asked.request.keep_scales = s.save_scales != NULL;
    if (isatty(STDERR_FILENO) && !s.json) s.asked.request.progress = show_progress;
    VT_CHECK(check_outputs(&s, &err));
    double start = vt_seconds();
    VT_CHECK(variant_engine_open(&engine, &s.asked.engine, &err));
    double load_seconds = vt_seconds() - start;
    variant_engine_info(engine, &info);
    if (s.compare_count) {
        VT_CHECK(compare_depths(&s, engine, &info, load_seconds, &err));
        goto cleanup;
    }
    if (s.planning.wanted) {
        plan = &planned;
        VT_CHECK(cli_planning_apply(&s.planning, "generate", engine, &s.asked.request, plan, &err));
    }
    VT_CHECK(variant_generate(engine, &s.asked.request, &pictures, &report, &err));
    if (report.warning[0]) fprintf(stderr, "variant generate: warning: %s\n", report.warning);
    VT_CHECK(write_pictures(&s, pictures, sheet_columns(&s, engine, &info), &err));
    if (s.json)
        print_json(&s, &info, &report, plan, load_seconds);
    else
        print_report(&s, &info, &report, plan, load_seconds);
cleanup:
    variant_pictures_free(&pictures, s.asked.request.count);
    variant_engine_close(&engine);
    return status == VARIANT_OK ? 0 : cli_fail("generate", &err);
}
