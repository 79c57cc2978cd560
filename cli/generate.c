/* generate.c - `variant generate`: pictures of a class at any depth. They are made a batch at a time, and each is
 * in its file before the next batch begins: what stops a run takes no finished picture away. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "animation.h"
#include "beginning.h"
#include "cli.h"
#include "edit.h"
#include "generate_report.h"
#include "output.h"
#include "planning.h"
#include "progress.h"
#include "request.h"
#include "show.h"

#define PLAIN_SECONDS 5.0 /* between lines of --progress where stderr is no terminal */

typedef struct settings {
    cli_request asked;
    cli_planning planning;
    cli_beginning beginning;
    cli_edit edit;
    cli_output output;
    cli_animation animation;
    cli_protocol show;
    const char *save_scales, *tokens_out;
    bool grid, json, verbose;
    bool samples; /* -o names an .npz of all pictures */
    cli_progress_kind progress;
    int columns, zoom;
    int compare_count, compare[VARIANT_MAX_DEPTHS]; /* depths, a row each */
} settings;

/* A run of the command. */
typedef struct job {
    settings *settings;
    const cli_line *line;
    variant_engine *engine;
    variant_info info;
    variant_plan plan;
    bool planned;
    double load_seconds;
    int total, at_once;       /* pictures; a batch */
    int before, written;      /* finished by earlier batches; in their files */
    variant_samples *samples; /* of -o x.npz */
    variant_picture *kept;    /* (kept_count): for a sheet or the tokens; NULL: none is kept */
    int kept_count;
    const volatile sig_atomic_t *stop;
    bool terminal, shows;
    cli_show show;
    cli_pace pace;
    double shown;
} job;

/* ---- options ---- */

static void init(void *user) {
    settings *s = user;
    *s = (settings){.output = {.path = "out.png"}, .zoom = 1, .edit = cli_edit_defaults()};
    cli_animation_init(&s->animation);
    cli_request_init(&s->asked);
    cli_planning_init(&s->planning, s->asked.request.batch);
    s->planning.options.memory_only = true; /* time is measured where the choice needs it */
}

static const cli_option options[] = {
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine, CLI_MODEL),
    CLI_HEADING("pictures"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "class count first"),
    CLI_ROWS(cli_decoder_option, const char *, settings, asked.request.decoder, NULL),
    CLI_ROWS(cli_output_options, cli_output, settings, output, NULL),
    {"grid", NULL, "one contact sheet instead of several files", CLI_FLAG(settings, grid)},
    {"columns", "N", "of the sheet, {range}", CLI_INT(settings, columns, 1, 1000),
     .unset = "the number of classes with --class all or a list, else 8"},
    {"zoom", "N", "enlarge on the sheet, {range}", CLI_INT(settings, zoom, 1, 64)},
    {"save-scales", "DIR", "also the picture after each scale",
     CLI_TEXT(settings, save_scales, "a folder")},
    CLI_ROWS(cli_animation_options, cli_animation, settings, animation, NULL),
    CLI_ROWS(cli_show_option, cli_protocol, settings, show, NULL),
    {"tokens-out", "FILE", "also the token maps: a .safetensors, or a .npz for NumPy",
     CLI_TEXT(settings, tokens_out, "a file to write")},
    CLI_HEADING("from what there is"),
    CLI_ROWS(cli_beginning_options, cli_beginning, settings, beginning, NULL),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "scales"),
    CLI_HEADING("a picture edited"),
    CLI_ROWS(cli_edit_options, cli_edit, settings, edit, NULL),
    CLI_ROWS(cli_data_options, cli_data, settings, edit.taken, CLI_TAKE),
    CLI_ROWS(cli_pad_option, bool, settings, edit.pad, NULL),
    CLI_HEADING("sampling"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, CLI_GUIDANCE " " CLI_SAMPLING),
    CLI_HEADING("depth"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, CLI_DEPTH),
    {"compare", "D,D,..",
     "one contact sheet, a row for each of these depths of the late scales, from the same seeds",
     CLI_INTS(settings, compare, compare_count, 1, 1000), .own = true},
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "retain-kv"),
    CLI_ROWS(cli_planning_options, cli_planning, settings, planning, NULL),
    CLI_HEADING("running"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    {"json", NULL,
     "the report as JSON (on stdout; on stderr where -o or --animate is -); of --compare a list",
     CLI_FLAG(settings, json), .own = true},
    CLI_ROWS(cli_progress_option, cli_progress_kind, settings, progress, NULL),
    {"verbose", NULL, "also which kernels compute", .letter = 'v', CLI_FLAG(settings, verbose)},
    {0},
};

/* -1: go on; else the exit status. */
static int check_options(settings *s, const cli_line *line) {
    int done = cli_model_check(&s->asked.engine);
    if (done < 0) done = cli_request_check(&s->asked, line);
    if (done < 0) done = cli_beginning_check(&s->beginning, line);
    if (done < 0) done = cli_edit_check(&s->edit, line);
    if (done < 0) done = cli_animation_check(&s->animation, line);
    if (done >= 0) return done;
    if ((s->animation.output.path || s->show) && !cli_given(line, "output")) s->output.path = NULL;
    s->grid = s->grid || s->compare_count;
    s->samples = s->output.path && cli_ends_with(s->output.path, ".npz");
    if (s->samples && s->animation.output.path)
        return cli_misuse("-o with .npz goes without --animate");
    if (s->samples && (s->grid || s->show))
        return cli_misuse(
            "%s", s->grid ? "a sheet is a picture: -o with .npz goes without --grid and --compare"
                          : "-o with .npz goes without --show");
    const char *sheet = cli_first_given(line, "zoom|columns");
    if (!s->grid && sheet)
        return cli_misuse("--%s is for a sheet: give --grid or --compare", sheet);
    if (s->compare_count &&
        (s->asked.request.depth || cli_first_given(line, "depths|save-scales|tokens-out")))
        return cli_misuse(
            "--compare goes without --depth, --depths, --save-scales and --tokens-out");
    if (s->compare_count && s->planning.wanted)
        return cli_misuse("--compare names depths: give no budget, --quality or --batch auto");
    return cli_planning_check(&s->planning, &s->asked.request, line);
}

/* ---- what is written ---- */

/* The token maps and labels of all kept pictures. */
static variant_status write_tokens(const job *j, variant_error *err) {
    variant_tokens *tokens = NULL;
    CLI_TRY(variant_pictures_tokens(j->kept, j->kept_count, &tokens, err));
    const variant_status status = variant_tokens_write(tokens, j->settings->tokens_out, err);
    variant_tokens_free(&tokens);
    return status;
}

static variant_status write_scales(const settings *s, const variant_picture *picture, int index,
                                   variant_error *err) {
    char path[4096];
    for (int k = 0; k < picture->scale_count; ++k) {
        snprintf(path, sizeof path, "%s/%02d_scale_%02d.png", s->save_scales, index, k + 1);
        CLI_TRY(variant_picture_write_scale_png(picture, k, path, err));
    }
    return VARIANT_OK;
}

static variant_status write_picture(const settings *s, const variant_picture *picture, int index,
                                    bool several, variant_error *err) {
    char path[4096];
    CLI_TRY(cli_output_path(&s->output, index, several, path, sizeof path, err));
    return variant_picture_write(picture, path, s->output.quality, err);
}

/* Finished pictures, of which the first is picture `index` of the seed, to their files. */
static variant_status write_pictures(job *j, const variant_picture *pictures, int count, int index,
                                     variant_error *err) {
    const settings *s = j->settings;
    const bool several = j->total > 1;
    if (s->samples && !j->samples)
        CLI_TRY(variant_samples_open(&j->samples, s->output.path, j->total, err));
    if (s->samples) CLI_TRY(variant_samples_add(j->samples, pictures, count, err));
    for (int i = 0; i < count; ++i) {
        if (!s->grid && !s->samples && s->output.path)
            CLI_TRY(write_picture(s, &pictures[i], index + i, several, err));
        if (!s->grid && s->animation.output.path)
            CLI_TRY(
                cli_animation_write(&s->animation, &pictures[i], 1, 0, 1, index + i, several, err));
        if (s->save_scales) CLI_TRY(write_scales(s, &pictures[i], index + i, err));
        ++j->written;
    }
    return VARIANT_OK;
}

/* All pictures, on one sheet. */
static variant_status write_sheets(const job *j, int columns, variant_error *err) {
    const settings *s = j->settings;
    if (s->output.path)
        CLI_TRY(variant_pictures_write_sheet(j->kept, j->kept_count, columns, s->zoom,
                                             s->output.path, s->output.quality, err));
    if (!s->animation.output.path) return VARIANT_OK;
    return cli_animation_write(&s->animation, j->kept, j->kept_count, columns, s->zoom, 0, false,
                               err);
}

/* A column a class, where they come one after another and are not many. */
static int sheet_columns(const job *j) {
    const settings *s = j->settings;
    const char *name = s->asked.request.class_name;
    int columns = s->columns, count = s->asked.request.count;
    if (!columns && strcmp(name, "all") == 0) columns = j->info.classes;
    if (!columns && strcmp(name, "random") != 0)
        (void)variant_engine_labels(j->engine, name, NULL, 0, &columns, NULL);
    if (!s->columns && (columns <= 1 || columns > 20)) columns = 8;
    return columns < count ? columns : count;
}

/* stdout, but stderr when pictures go there. */
static FILE *report_stream(const settings *s) {
    FILE *to = cli_report_stream(&s->output);
    return to == stdout ? cli_report_stream(&s->animation.output) : to;
}

/* ---- progress ---- */

/* How much of a batch's pictures is done after `scale` scales, by their tokens. */
static double share_done(const job *j, int scale) {
    int done = 0, all = 0;
    for (int k = 0; k < j->info.scales; ++k) {
        all += j->info.sides[k] * j->info.sides[k];
        if (k < scale) done = all;
    }
    return (double)done / all;
}

static bool show_progress(void *user, const variant_progress *at) {
    job *j = user;
    if (*j->stop) return false;
    double now = cli_now(), finished = j->before + at->pictures_done;
    double part = at->scale ? share_done(j, at->scale) *
                                  (j->at_once < at->pictures ? j->at_once : at->pictures)
                            : 0.0;
    double left = cli_pace_left(&j->pace, now, finished + part, j->total);
    if (!j->shows || now - j->shown < (j->terminal ? 0.1 : PLAIN_SECONDS)) return true;
    char time[64], line[160];
    cli_left_text(left, time, sizeof time);
    snprintf(line, sizeof line, "%d of %d pictures, scale %d of %d%s", (int)finished, j->total,
             at->scale, at->scales, time);
    /* below a picture that grows it stays one line, or the picture could not be drawn over */
    const int wide = j->settings->show ? j->show.terminal.columns - 1 : (int)sizeof line;
    fprintf(stderr, "%s%.*s%s", j->terminal ? "\r\033[K" : "", wide > 0 ? wide : 0, line,
            j->terminal ? "" : "\n");
    fflush(stderr);
    j->shown = now;
    return true;
}

static void show_growing(void *user, const variant_preview *at) {
    job *j = user;
    if (!*j->stop) cli_show_grow(&j->show, at);
}

static void clear_progress(const job *j) {
    if (j->terminal && j->shown > 0.0) fputs("\r\033[K", stderr);
}

/* ---- pictures, a batch at a time ---- */

static void add_report(variant_report *sum, const variant_report *part) {
    sum->condition_seconds += part->condition_seconds;
    sum->transformer_seconds += part->transformer_seconds;
    sum->sampling_seconds += part->sampling_seconds;
    sum->quantizer_seconds += part->quantizer_seconds;
    sum->decoder_seconds += part->decoder_seconds;
    sum->total_seconds += part->total_seconds;
    for (int k = 0; k < part->scales; ++k) {
        sum->scale_seconds[k] += part->scale_seconds[k];
        sum->scale_head_seconds[k] += part->scale_head_seconds[k];
        if (part->scale_kv_bytes[k] > sum->scale_kv_bytes[k])
            sum->scale_kv_bytes[k] = part->scale_kv_bytes[k];
    }
    if (part->kv_peak_bytes > sum->kv_peak_bytes) sum->kv_peak_bytes = part->kv_peak_bytes;
    if (part->kv_end_bytes > sum->kv_end_bytes) sum->kv_end_bytes = part->kv_end_bytes;
    if (part->arena_peak_bytes > sum->arena_peak_bytes)
        sum->arena_peak_bytes = part->arena_peak_bytes;
    if (part->peak_resident_bytes > sum->peak_resident_bytes)
        sum->peak_resident_bytes = part->peak_resident_bytes;
}

/* Keeps the array's pictures for a sheet or the tokens, which frees the array alone; else frees all. */
static void keep_pictures(job *j, variant_picture **pictures, int count) {
    if (!j->kept) {
        variant_pictures_free(pictures, count);
        return;
    }
    memcpy(j->kept + j->kept_count, *pictures, (size_t)count * sizeof **pictures);
    j->kept_count += count;
    free(*pictures);
    *pictures = NULL;
}

/* `count` pictures of the seed from `first` on, each batch written as it is finished. */
static variant_status make_pictures(job *j, const variant_request *asked, variant_report *report,
                                    variant_error *err) {
    const settings *s = j->settings;
    variant_request request = *asked;
    for (int done = 0; done < asked->count; done += request.count) {
        variant_report part = {.size = sizeof part};
        variant_picture *pictures = NULL;
        request.first_image = asked->first_image + done;
        request.count = asked->count - done < j->at_once ? asked->count - done : j->at_once;
        CLI_TRY(variant_generate(j->engine, &request, &pictures, &part, err));
        if (done == 0)
            *report = part;
        else
            add_report(report, &part);
        if (s->show && *j->stop) cli_show_settle(&j->show);
        variant_status status =
            s->show ? cli_show_finish(&j->show, pictures, request.count, err) : VARIANT_OK;
        if (status == VARIANT_OK)
            status = write_pictures(j, pictures, request.count, request.first_image, err);
        keep_pictures(j, &pictures, request.count);
        if (status != VARIANT_OK) return status;
        j->before += request.count;
        if (*j->stop && j->before < j->total)
            return variant_fail(err, VARIANT_E_STOPPED, "stopped by a signal");
    }
    return VARIANT_OK;
}

/* ---- the command ---- */

/* Tokens would take the place of the picture, or of the model they come from. */
static variant_status check_tokens_out(const settings *s, variant_error *err) {
    const char *others[] = {s->output.path, s->asked.engine.model, s->asked.engine.tokenizer,
                            s->animation.output.path};
    CLI_TRY(cli_writable_check(s->tokens_out, err));
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i)
        if (others[i] && !variant_is_standard_output(others[i]) &&
            cli_same_file(s->tokens_out, others[i]))
            return variant_fail(err, VARIANT_E_ARGUMENT,
                                "--tokens-out %s: that is the %s: expected a file of its own",
                                s->tokens_out,
                                i == 0   ? "picture's file"
                                : i == 1 ? "model"
                                : i == 2 ? "tokenizer"
                                         : "animation");
    return variant_tokens_path_check(s->tokens_out, err);
}

static variant_status check_outputs(const settings *s, variant_error *err) {
    const bool several = !s->grid && s->asked.request.count > 1;
    if (s->samples)
        CLI_TRY(cli_writable_check(s->output.path, err));
    else if (s->output.path)
        CLI_TRY(cli_output_check(&s->output, several, err));
    CLI_TRY(cli_animation_check_output(&s->animation, several, err));
    if (s->output.path && s->animation.output.path &&
        cli_same_file(s->output.path, s->animation.output.path))
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "--animate %s: that is the picture's file: expected one of its own, or no -o",
            s->animation.output.path);
    if (s->tokens_out) CLI_TRY(check_tokens_out(s, err));
    return s->save_scales ? variant_folder_make(s->save_scales, err) : VARIANT_OK;
}

/* One of each class of a list, where -n does not say how many. */
static void count_classes(job *j) {
    variant_request *request = &j->settings->asked.request;
    int count = 0;
    if (!cli_given(j->line, "class") || cli_given(j->line, "count")) return;
    if (strcmp(request->class_name, "random") == 0 || strcmp(request->class_name, "all") == 0)
        return;
    if (variant_engine_labels(j->engine, request->class_name, NULL, 0, &count, NULL) ==
            VARIANT_OK &&
        count > request->count)
        request->count = count;
}

/* Of an edit: the picture and mask as they are read, and for a sheet all finished pictures but those of a batch, which the plan
 * counts, and the sheet itself. */
static size_t held_bytes(const job *j) {
    const settings *s = j->settings;
    const variant_edit *e = &s->edit.edit;
    const size_t width = (size_t)(e->width + e->left + e->right),
                 height = (size_t)(e->height + e->top + e->bottom), zoom = (size_t)s->zoom,
                 channels =
                     (size_t)(e->channels > j->info.channels ? e->channels : j->info.channels);
    const size_t count = (size_t)s->asked.request.count,
                 batch = s->planning.options.auto_batch ? 1 : (size_t)s->planning.batch,
                 scales = s->animation.output.path ? (size_t)j->info.scales : 0,
                 kept = s->grid
                            ? count * (1 + scales + zoom * zoom) - (batch < count ? batch : count)
                            : 0;
    return cli_edit_bytes(&s->edit) + kept * width * height * channels;
}

static variant_status open_job(job *j, variant_error *err) {
    settings *s = j->settings;
    double start = cli_now();
    CLI_TRY(cli_beginning_read(&s->beginning, j->line, &s->asked, err));
    s->asked.engine.encoder = s->edit.picture != NULL;
    CLI_TRY(variant_engine_open(&j->engine, &s->asked.engine, err));
    j->load_seconds = cli_now() - start;
    j->info = *variant_engine_info(j->engine);
    count_classes(j);
    CLI_TRY(
        cli_beginning_apply(&s->beginning, j->line, s->planning.wanted, j->engine, &s->asked, err));
    CLI_TRY(cli_edit_measure(&s->edit, j->line, s->beginning.settings, j->engine, &s->asked.request,
                             err));
    if (s->edit.picture) {
        s->planning.options.other_bytes = held_bytes(j);
        CLI_TRY(cli_planning_check_memory(&s->planning, j->engine, &s->asked.request, err));
    }
    CLI_TRY(cli_edit_apply(&s->edit, j->line, j->engine, &s->asked.request, err));
    CLI_TRY(check_outputs(s, err)); /* once more: a list of classes is several pictures */
    if (s->planning.wanted) {
        CLI_TRY(cli_planning_apply(&s->planning, j->engine, &s->asked.request, &j->plan, err));
        j->planned = true;
    }
    const variant_request *request = &s->asked.request;
    j->total = request->count * (s->compare_count ? s->compare_count : 1);
    j->at_once = request->batch;
    if (j->at_once > request->count) j->at_once = request->count;
    if (s->grid || s->tokens_out) {
        j->kept = calloc((size_t)j->total, sizeof *j->kept);
        if (!j->kept)
            return variant_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", j->total);
    }
    j->terminal = isatty(STDERR_FILENO);
    j->shows = s->progress == CLI_PROGRESS_LINES ||
               (s->progress == CLI_PROGRESS_AUTO && j->terminal && !s->json);
    j->terminal = j->terminal && s->progress == CLI_PROGRESS_AUTO;
    j->stop = cli_catch_stop();
    s->asked.request.progress = show_progress;
    s->asked.request.user = j;
    if (s->show && j->show.terminal.live) s->asked.request.preview = show_growing;
    return VARIANT_OK;
}

static generated result_of(const job *j, const variant_report *report) {
    const settings *s = j->settings;
    return (generated){.request = &s->asked.request,
                       .info = &j->info,
                       .report = report,
                       .planning = j->planned ? &s->planning : NULL,
                       .plan = &j->plan,
                       .output = &s->output,
                       .animation = &s->animation.output,
                       .load_seconds = j->load_seconds,
                       .sheet = s->grid || s->samples,
                       .verbose = s->verbose};
}

/* The same seeds at each depth, a row a depth; each row's report is printed. */
static variant_status compare_depths(job *j, variant_error *err) {
    const settings *s = j->settings;
    FILE *to = report_stream(s);
    int count = s->asked.request.count;
    for (int i = 0; i < s->compare_count; ++i) {
        variant_request request = s->asked.request;
        variant_report report = {0};
        request.depth = s->compare[i];
        CLI_TRY(make_pictures(j, &request, &report, err));
        clear_progress(j);
        const generated made = result_of(j, &report);
        if (s->json) {
            fputs(i == 0 ? "[" : ", ", to);
            generated_json(to, &made);
        } else
            fprintf(to, "depths %-24s %8.1f ms a picture, kv %8zu bytes a picture\n", report.depths,
                    1e3 * report.total_seconds / count, report.kv_peak_bytes / (size_t)j->at_once);
    }
    CLI_TRY(write_sheets(j, count, err));
    if (s->json)
        fputs("]\n", to);
    else
        fprintf(to, "wrote %s%s%s: a row a depth, a column a picture of seed %" PRIu64 "\n",
                s->output.path ? s->output.path : "",
                s->output.path && s->animation.output.path ? " and " : "",
                s->animation.output.path ? s->animation.output.path : "", s->asked.request.seed);
    return VARIANT_OK;
}

static variant_status run_job(job *j, variant_error *err) {
    const settings *s = j->settings;
    variant_report report = {0};
    CLI_TRY(check_outputs(s, err));
    if (s->show)
        CLI_TRY(cli_show_open(&j->show, s->show, !s->json && report_stream(s) == stdout, err));
    CLI_TRY(open_job(j, err));
    if (s->compare_count) return compare_depths(j, err);
    CLI_TRY(make_pictures(j, &s->asked.request, &report, err));
    clear_progress(j);
    if (report.warning[0]) cli_warn(NULL, report.warning);
    if (s->grid) CLI_TRY(write_sheets(j, sheet_columns(j), err));
    if (s->samples) CLI_TRY(variant_samples_finish(&j->samples, err));
    if (s->tokens_out) CLI_TRY(write_tokens(j, err));
    const generated made = result_of(j, &report);
    FILE *to = report_stream(s);
    s->json ? generated_json(to, &made) : generated_print(to, &made);
    return VARIANT_OK;
}

/* What a signal left; its exit status. */
static int tell_stop(const job *j) {
    const settings *s = j->settings;
    if (s->grid || s->samples)
        fprintf(stderr, "variant generate: stopped at %d of %d pictures: no %s was written\n",
                j->before, j->total, s->samples ? "file of samples" : "sheet");
    else
        fprintf(
            stderr,
            "variant generate: stopped, %d of %d pictures are %s; the others: --first %d -n %d%s\n",
            j->written, j->total, s->output.path || s->animation.output.path ? "written" : "shown",
            s->asked.request.first_image + j->written, j->total - j->written,
            s->asked.drawn_seed ? " -s with the seed of these" : "");
    return 128 + (j->stop ? (int)*j->stop : 0);
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    variant_error err = {0};
    int done = check_options(s, line);
    if (done >= 0) return done;
    job j = {.settings = s, .line = line};
    s->asked.request.keep_scales = s->save_scales || s->animation.output.path;
    variant_status status = run_job(&j, &err);
    if (status == VARIANT_E_STOPPED && s->show)
        cli_show_settle(&j.show);
    else if (status != VARIANT_OK)
        clear_progress(&j);
    int code = status == VARIANT_OK          ? 0
               : status == VARIANT_E_STOPPED ? tell_stop(&j)
                                             : cli_fail(&err);
    variant_samples_close(&j.samples);
    variant_pictures_free(&j.kept, j.kept_count);
    cli_show_close(&j.show);
    variant_engine_close(&j.engine);
    cli_beginning_close(&s->beginning);
    cli_edit_close(&s->edit);
    return code;
}

const cli_command cli_generate = {
    .name = "generate",
    .purpose = "pictures of a class, at any depth",
    .usage = "-m MODEL [--class C] [-n COUNT] [-o out.png|samples.npz] [options]",
    .about = "Draws pictures. -o with .npz writes all of them as samples for other programs' "
             "evaluators: "
             "arr_0, bytes (N, H, W, 3), grey repeated, and arr_1, their labels.",
    .examples =
        "variant generate -m models/fashion --class Sneaker -o sneaker.png\n"
        "variant generate -m models/fashion --class all -n 30 --grid --depth 6 -o sheet.png\n"
        "variant generate -m models/fashion --class all -n 1000 -o samples.npz\n"
        "variant generate -m models/fashion --class all -n 10 --show\n"
        "variant generate -m models/fashion --class Bag --animate bag.png --delay 300ms\n"
        "variant generate -m models/fashion --class all -n 30 --grid --batch auto --max-memory "
        "40M\n"
        "variant generate -m var_d16.pth --tokenizer vae_ch160v4096z32.pth --class \"golden "
        "retriever\"\n"
        "variant generate -m models/fashion --from sneaker.png --keep-scales 4 --class Sandal -o "
        "sandal.png\n"
        "variant generate -m models/fashion --vary sneaker.png -n 8 --grid -o sneakers.png\n"
        "variant generate -m models/fashion --init-img sneaker.png --mask mask.png --class Sandal "
        "-o "
        "edited.png\n"
        "variant generate -m models/cartoon --init-img cat.png --outpaint 32,0,32,0 -n 4 --grid -o "
        "wider.png",
    .opens = true,
    CLI_OF_THIS_FILE,
};
