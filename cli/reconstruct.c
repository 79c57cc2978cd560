/* reconstruct.c - `variant reconstruct`: pictures through the tokenizer and back, and how much is
 * lost (PSNR: variant_reconstruct). */
#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "data_options.h"
#include "output.h"
#include "request.h"

#define COMMAND "reconstruct"

#define SHEET_PICTURES 64 /* of a dataset, unless --count is smaller */

typedef struct settings {
    variant_engine_options engine;
    cli_output output; /* the sheet */
    cli_data data;
    int count, zoom;
    bool train, pad, json;
    const char *decoder;
} settings;

typedef struct work {
    const settings *settings;
    bool files;             /* pictures were named one by one */
    variant_picture *sheet; /* original, reconstruction, ...: enlarged */
    int sheet_count, sheet_limit;
    bool no_memory;
    cJSON *list; /* per picture, with --json and operands */
    FILE *report;
} work;

/* ---- the sheet ---- */

/* The picture with each pixel `zoom` times `zoom`. */
static bool enlarge(variant_picture *out, const uint8_t *pixels, int side, int channels, int zoom) {
    const size_t wide = (size_t)side * (size_t)zoom, deep = (size_t)channels;
    *out = (variant_picture){.width = (int)wide, .height = (int)wide, .channels = channels};
    out->pixels = malloc(wide * wide * deep);
    if (!out->pixels) return false;
    for (size_t y = 0; y < wide; ++y)
        for (size_t x = 0; x < wide; ++x)
            for (size_t c = 0; c < deep; ++c)
                out->pixels[(y * wide + x) * deep + c] =
                    pixels[(y / (size_t)zoom * (size_t)side + x / (size_t)zoom) * deep + c];
    return true;
}

static bool keep(work *w, const variant_reconstruction *at) {
    const int zoom = w->settings->zoom;
    if (!w->sheet) {
        w->sheet_limit =
            2 * (!w->files && at->pictures > SHEET_PICTURES ? SHEET_PICTURES : at->pictures);
        w->sheet = calloc((size_t)w->sheet_limit, sizeof *w->sheet);
    }
    if (!w->sheet) return false;
    if (w->sheet_count + 2 > w->sheet_limit) return true;
    return enlarge(&w->sheet[w->sheet_count++], at->original, at->side, at->channels, zoom) &&
           enlarge(&w->sheet[w->sheet_count++], at->pixels, at->side, at->channels, zoom);
}

static variant_status write_sheet(const work *w, variant_error *err) {
    const int pairs = w->sheet_count / 2, columns = pairs < 8 ? 2 : 8;
    return variant_pictures_write_sheet(w->sheet, w->sheet_count, columns, 1,
                                        w->settings->output.path, w->settings->output.quality, err);
}

/* ---- what is told ---- */

static bool take_picture(void *user, const variant_reconstruction *at) {
    work *w = user;
    if (w->files && w->list) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "picture", at->name);
        cJSON_AddNumberToObject(item, "psnr", at->psnr);
        cJSON_AddItemToArray(w->list, item);
    } else if (w->files) {
        fprintf(w->report, "%s: %.3f dB\n", at->name, at->psnr);
    }
    if (w->settings->output.path) w->no_memory = !keep(w, at);
    return !w->no_memory;
}

static void print_text(const work *w, const variant_fidelity *f) {
    fprintf(w->report, "%d pictures of %d x %d: PSNR %.3f dB (of the mean mse: %.3f dB)\n",
            f->pictures, f->side, f->side, f->psnr, f->psnr_of_mean_mse);
    if (f->native_side > 0)
        fprintf(w->report,
                "over the native %d x %d window: PSNR %.3f dB (of the mean mse: %.3f dB)\n",
                f->native_side, f->native_side, f->native_psnr, f->native_psnr_of_mean_mse);
}

static void print_json(const work *w, const variant_fidelity *f) {
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "pictures", f->pictures);
    cJSON_AddNumberToObject(report, "side", f->side);
    cJSON_AddNumberToObject(report, "psnr", f->psnr);
    cJSON_AddNumberToObject(report, "psnr_of_mean_mse", f->psnr_of_mean_mse);
    if (f->native_side > 0) {
        cJSON_AddNumberToObject(report, "native_side", f->native_side);
        cJSON_AddNumberToObject(report, "native_psnr", f->native_psnr);
        cJSON_AddNumberToObject(report, "native_psnr_of_mean_mse", f->native_psnr_of_mean_mse);
    }
    if (cJSON_GetArraySize(w->list) > 0) cJSON_AddItemReferenceToObject(report, "results", w->list);
    char *text = cJSON_Print(report);
    if (text) fprintf(w->report, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(report);
}

/* ---- the command ---- */

static variant_status run_tokenizer(work *w, const variant_data *pictures, variant_fidelity *found,
                                    variant_error *err) {
    const settings *s = w->settings;
    variant_tokenizer *tokenizer = NULL;
    variant_tokenize_options options;
    variant_tokenize_options_init(&options);
    options.count = w->files ? 0 : s->count;
    options.decoder = s->decoder;
    options.note = cli_note;
    options.user = w;
    variant_status status = variant_tokenizer_open(&tokenizer, &s->engine, err);
    if (status == VARIANT_OK)
        status = variant_reconstruct(tokenizer, pictures, &options, take_picture, found, err);
    variant_tokenizer_close(&tokenizer);
    return w->no_memory ? cli_no_memory(err, "the sheet") : status;
}

static variant_status reconstruct(const settings *s, const variant_data *pictures,
                                  variant_error *err) {
    work w = {.settings = s, .files = pictures->file_count > 0};
    variant_fidelity found;
    variant_fidelity_init(&found);
    variant_status status = VARIANT_OK;
    if (s->output.path) status = cli_output_check(&s->output, false, err);
    w.report = cli_report_stream(&s->output);
    if (s->json) w.list = cJSON_CreateArray();
    if (status == VARIANT_OK) status = run_tokenizer(&w, pictures, &found, err);
    if (status == VARIANT_OK && s->output.path) status = write_sheet(&w, err);
    if (status == VARIANT_OK) (s->json ? print_json : print_text)(&w, &found);
    for (int i = 0; i < w.sheet_count; ++i) free(w.sheet[i].pixels);
    free(w.sheet);
    cJSON_Delete(w.list);
    return status;
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.data = cli_data_defaults(), .zoom = 1};
    cli_engine_init(&s->engine);
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_model_check(&s->engine);
    if (done >= 0) return done;
    if (s->data.paths.count && line->operand_count)
        return cli_misuse("either pictures or --data, not both");
    if (!s->data.paths.count && !line->operand_count)
        return cli_misuse("which pictures? give files, folders or --data");
    variant_data pictures = cli_data_asked(&s->data);
    if (s->train) pictures.split = "train";
    if (line->operand_count) pictures.files = (const char *const *)line->operands;
    pictures.file_count = line->operand_count;
    pictures.pad = s->pad;
    variant_error err = {0};
    return cli_end(reconstruct(s, &pictures, &err), &err);
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    CLI_ROWS(cli_data_options, cli_data, settings, data, NULL),
    {"count", "N", "its first N pictures", CLI_INT(settings, count, 1, 1 << 30), .unset = "all",
     .own = true},
    {"train", NULL, "as --split train", CLI_FLAG(settings, train)},
    {"output", "FILE",
     "the sheet, a .png, .jpg (.jpeg) or .webp (of a data set: its first 64 pictures); - is the "
     "standard output, a PNG",
     .letter = 'o', CLI_TEXT(settings, output.path, "where to write"), .own = true},
    CLI_ROWS(cli_output_options, cli_output, settings, output, "file-quality"),
    {"zoom", "N", "enlarge on the sheet, {range}", CLI_INT(settings, zoom, 1, 64)},
    CLI_ROWS(cli_pad_option, bool, settings, pad, NULL),
    CLI_ROWS(cli_decoder_option, const char *, settings, decoder, NULL),
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, "weights " CLI_RUN),
    {0},
};

const cli_command cli_reconstruct = {
    .name = COMMAND,
    .purpose = "pictures through the tokenizer and back, with PSNR",
    .usage = "-m MODEL PICTURE|FOLDER... [-o sheet.png] [options]\n"
             "-m MODEL --data IDX|DIR [--count N] [-o sheet.png] [options]",
    .about = "Encodes pictures to tokens, decodes them, and prints the PSNR. The sheet shows each "
             "original with its reconstruction to its right.",
    .examples = "variant reconstruct -m models/fashion shoe.png --pad -o sheet.png\n"
                "variant reconstruct -m models/fashion --data data/fashion --count 1000 --json",
    .operands = INT_MAX,
    .opens = true,
    CLI_OF_THIS_FILE,
};
