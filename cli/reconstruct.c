/* reconstruct.c - `variant reconstruct`: pictures through the tokenizer and back, and how much is
 * lost.
 *
 * PSNR of a picture is 10 log10(1 / mse) over its samples in [0, 1], clamped; of many, the mean of
 * theirs (core/psnr.h: an exact copy counts as 100 dB). The PSNR of the mean mse is given beside it, since papers use either. */
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/psnr.h"
#include "core/status.h"
#include "data_options.h"
#include "io/dataset.h"
#include "output.h"
#include "pictures.h"
#include "tools.h"

#define COMMAND "reconstruct"

#define SHEET_PICTURES 64 /* of a dataset, unless --count is smaller */

typedef struct settings {
    variant_engine_options engine;
    cli_output output; /* the sheet */
    cli_data data;
    int count, zoom;
    bool train, pad, json;
    const char *decoder;
    cli_pictures pictures; /* operands */
} settings;

/* Sums over pictures. native: over the window that a padded picture really fills. */
typedef struct totals {
    int pictures;
    double psnr, mse, native_psnr, native_mse;
} totals;

typedef struct work {
    const settings *settings;
    cli_session session;
    const vt_tokenizer_config *config;
    vt_dataset *dataset; /* or NULL */
    vt_data taken;       /* how pictures are taken: as chosen, or as the model's were */
    int side, native;    /* native side, 0: none */
    size_t floats;       /* of a picture */
    totals totals;
    vt_image *sheet; /* original, reconstruction, ... */
    int sheet_count, sheet_limit;
    cJSON *list; /* per picture, with --json and operands */
    FILE *report;
} work;

static double unit(float x) {
    double y = ((double)x + 1.0) / 2.0;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

/* Mean squared error over the window of `size` at (margin, margin). */
static double window_mse(const work *w, const float *a, const float *b, int margin, int size) {
    size_t channels = (size_t)w->config->channels, row = (size_t)size * channels;
    double sum = 0;
    for (int y = margin; y < margin + size; ++y) {
        size_t start = ((size_t)y * (size_t)w->side + (size_t)margin) * channels;
        for (size_t i = start; i < start + row; ++i) {
            double d = unit(a[i]) - unit(b[i]);
            sum += d * d;
        }
    }
    return sum / ((double)size * (double)row);
}

/* A picture that is none has no score. `name` NULL: it is the data set's `index`-th. */
static variant_status check_finite(const work *w, const char *name, int index,
                                   const float *reconstruction, variant_error *err) {
    char of_set[4200], data[256] = "";
    size_t bad = vt_first_not_finite(reconstruction, w->floats);
    if (bad == w->floats) return VARIANT_OK;
    if (w->dataset) vt_data_name(&w->taken, data, sizeof data);
    snprintf(of_set, sizeof of_set, "%s: picture %d", data, index + 1);
    return vt_fail(err, VARIANT_E_MODEL,
                   "%.300s: what the decoder makes of it is not finite (%g): a weight of the "
                   "tokenizer is not a number, or overflows",
                   name ? name : of_set, (double)reconstruction[bad]);
}

static variant_status take_picture(work *w, const char *name, const float *original,
                                   const float *reconstruction, variant_error *err) {
    VT_TRY(check_finite(w, name, w->totals.pictures, reconstruction, err));
    double mse = window_mse(w, original, reconstruction, 0, w->side);
    ++w->totals.pictures;
    w->totals.mse += mse;
    w->totals.psnr += vt_psnr_of_mse(mse);
    if (w->native > 0) {
        double native =
            window_mse(w, original, reconstruction, (w->side - w->native) / 2, w->native);
        w->totals.native_mse += native;
        w->totals.native_psnr += vt_psnr_of_mse(native);
    }
    if (name && w->list) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "picture", name);
        cJSON_AddNumberToObject(item, "psnr", vt_psnr_of_mse(mse));
        cJSON_AddItemToArray(w->list, item);
    } else if (name) {
        fprintf(w->report, "%s: %.3f dB\n", name, vt_psnr_of_mse(mse));
    }
    if (w->sheet_count + 2 > w->sheet_limit) return VARIANT_OK;
    VT_TRY(cli_picture_image(&w->sheet[w->sheet_count], original, w->config, err));
    ++w->sheet_count;
    VT_TRY(cli_picture_image(&w->sheet[w->sheet_count], reconstruction, w->config, err));
    ++w->sheet_count;
    return VARIANT_OK;
}

static variant_status read_picture(const work *w, int index, float *out, variant_error *err) {
    const vt_crop none = {0.5, 0.5, false};
    if (w->dataset) return vt_dataset_read(w->dataset, index, none, out, err);
    return cli_picture_square(out, w->settings->pictures.paths[index], w->side, w->config->channels,
                              &w->taken, w->settings->pad, err);
}

static variant_status run_pictures(work *w, int count, variant_error *err) {
    size_t length = (size_t)vt_tokenizer_tokens(w->config);
    int batch = cli_picture_batch(w->config);
    variant_status status = VARIANT_OK;
    float *originals = malloc((size_t)batch * w->floats * sizeof *originals);
    float *decoded = malloc((size_t)batch * w->floats * sizeof *decoded);
    int32_t *tokens = malloc((size_t)batch * length * sizeof *tokens);
    if (!originals || !decoded || !tokens) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", batch);
        goto cleanup;
    }
    for (int first = 0; first < count; first += batch) {
        int n = count - first < batch ? count - first : batch;
        for (int i = 0; i < n; ++i)
            VT_CHECK(read_picture(w, first + i, originals + (size_t)i * w->floats, err));
        VT_CHECK(cli_encode_pictures(&w->session, n, originals, tokens, err));
        VT_CHECK(cli_decode_tokens(&w->session, n, tokens, decoded, err));
        for (int i = 0; i < n; ++i)
            VT_CHECK(take_picture(w, w->dataset ? NULL : w->settings->pictures.paths[first + i],
                                  originals + (size_t)i * w->floats,
                                  decoded + (size_t)i * w->floats, err));
    }
cleanup:
    free(originals);
    free(decoded);
    free(tokens);
    return status;
}

static void print_totals(const work *w) {
    double n = w->totals.pictures;
    double mean = w->totals.psnr / n, pooled = vt_psnr_of_mse(w->totals.mse / n);
    double native_mean = w->totals.native_psnr / n,
           native_pooled = vt_psnr_of_mse(w->totals.native_mse / n);
    if (!w->settings->json) {
        fprintf(w->report, "%d pictures of %d x %d: PSNR %.3f dB (of the mean mse: %.3f dB)\n",
                w->totals.pictures, w->side, w->side, mean, pooled);
        if (w->native > 0)
            fprintf(w->report,
                    "over the native %d x %d window: PSNR %.3f dB (of the mean mse: %.3f dB)\n",
                    w->native, w->native, native_mean, native_pooled);
        return;
    }
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "pictures", n);
    cJSON_AddNumberToObject(report, "side", w->side);
    cJSON_AddNumberToObject(report, "psnr", mean);
    cJSON_AddNumberToObject(report, "psnr_of_mean_mse", pooled);
    if (w->native > 0) {
        cJSON_AddNumberToObject(report, "native_side", w->native);
        cJSON_AddNumberToObject(report, "native_psnr", native_mean);
        cJSON_AddNumberToObject(report, "native_psnr_of_mean_mse", native_pooled);
    }
    if (cJSON_GetArraySize(w->list) > 0) cJSON_AddItemReferenceToObject(report, "results", w->list);
    char *text = cJSON_Print(report);
    if (text) fprintf(w->report, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(report);
}

static variant_status write_sheet(const work *w, variant_error *err) {
    vt_image sheet = {0};
    int pairs = w->sheet_count / 2, columns = pairs < 8 ? 2 : 8;
    variant_status status =
        vt_image_sheet(&sheet, w->sheet, w->sheet_count, columns, 2, w->settings->zoom, err);
    if (status == VARIANT_OK)
        status = vt_image_write(&sheet, w->settings->output.path, w->settings->output.quality, NULL,
                                err);
    vt_image_free(&sheet);
    return status;
}

static variant_status reconstruct(const settings *s, variant_error *err) {
    work w = {.settings = s};
    variant_status status = VARIANT_OK;
    const cli_output output = s->output;
    if (s->output.path) VT_TRY(cli_output_check(&output, false, err));
    w.report = cli_report_stream(&output);
    VT_CHECK(cli_session_open(&w.session, &s->engine, true, err));
    VT_CHECK(cli_session_decoder(&w.session, s->decoder, err));
    w.config = vt_tokenizer_configuration(w.session.model->tokenizer);
    w.side = vt_tokenizer_side(w.config);
    w.floats = (size_t)w.side * (size_t)w.side * (size_t)w.config->channels;
    int count = s->pictures.count;
    w.taken = s->data.data;
    vt_data_follow(&w.taken, w.session.model->training);
    if (w.taken.count) {
        vt_dataset_options options = {
            .data = w.taken, .side = w.side, .channels = w.config->channels, .warn = cli_note};
        VT_CHECK(vt_dataset_open(&w.dataset, &options, err));
        count = vt_dataset_count(w.dataset);
        if (s->count > 0 && s->count < count) count = s->count;
        int native = vt_dataset_native_side(w.dataset);
        w.native = native < w.side ? native : 0;
    }
    if (s->json) w.list = cJSON_CreateArray();
    if (s->output.path) {
        w.sheet_limit = 2 * (w.taken.count && count > SHEET_PICTURES ? SHEET_PICTURES : count);
        w.sheet = calloc((size_t)w.sheet_limit, sizeof *w.sheet);
        if (!w.sheet) {
            status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the sheet");
            goto cleanup;
        }
    }
    VT_CHECK(run_pictures(&w, count, err));
    if (s->output.path) VT_CHECK(write_sheet(&w, err));
    print_totals(&w);
cleanup:
    for (int i = 0; w.sheet && i < w.sheet_limit; ++i) vt_image_free(&w.sheet[i]);
    free(w.sheet);
    cJSON_Delete(w.list);
    vt_dataset_close(&w.dataset);
    cli_session_close(&w.session);
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
    if (s->data.data.count && line->operand_count)
        return cli_misuse("either pictures or --data, not both");
    if (!s->data.data.count && !line->operand_count)
        return cli_misuse("which pictures? give files, folders or --data");
    if (s->train) s->data.data.split = VT_SPLIT_TRAIN;
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    for (int i = 0; i < line->operand_count; ++i)
        VT_CHECK(cli_pictures_add(&s->pictures, line->operands[i], &err));
    VT_CHECK(reconstruct(s, &err));
cleanup:
    cli_pictures_close(&s->pictures);
    return cli_end(status, &err);
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
    CLI_OF_THIS_FILE,
};
