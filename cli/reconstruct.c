/* reconstruct.c - `variant reconstruct`: pictures through the tokenizer and back, and how much is
 * lost.
 *
 * PSNR of a picture is 10 log10(1 / mse) over its samples in [0, 1], clamped; of many, the mean of
 * theirs (core/psnr.h: an exact copy counts as 100 dB). The PSNR of the mean mse is given beside it, since papers use either. */
#include <cjson/cJSON.h>
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

static const char help[] =
    "usage: variant reconstruct -m MODEL PICTURE|FOLDER... [-o sheet.png] [options]\n"
    "       variant reconstruct -m MODEL --data IDX|DIR [--count N] [-o sheet.png] [options]\n"
    "\n"
    "Encodes pictures to tokens, decodes them, and prints the PSNR. The sheet shows each original "
    "with its\n"
    "reconstruction to its right.\n"
    "\n"
    "options\n" CLI_MODEL_HELP
    "      --data PATH        the test pictures of a data set: IDX files, "
    "a folder, an .npz; several are joined\n"
    "      --count N          its first N pictures (default: all)\n" CLI_DATA_HELP
    "      --train            as --split train\n"
    "  -o, --output FILE      the sheet (of a dataset: its first 64 pictures)\n" CLI_OUTPUT_HELP
    "      --zoom N           enlarge on the sheet, 1 to 64 (default 1)\n"
    "      --pad              centre small pictures on black instead of enlarging them\n"
    "      --json             the figures as JSON on stdout\n" CLI_WEIGHTS_HELP CLI_RUN_HELP "\n"
    "examples\n"
    "  variant reconstruct -m models/fashion shoe.png --pad -o sheet.png\n"
    "  variant reconstruct -m models/fashion --data data/fashion --count 1000 --json\n";

enum { OPT_COUNT = CLI_OWN, OPT_TRAIN, OPT_ZOOM };

static const struct option long_options[] = {
    {"data", required_argument, NULL, CLI_DATA},
    CLI_DATA_OPTIONS,
    {"count", required_argument, NULL, OPT_COUNT},
    {"train", no_argument, NULL, OPT_TRAIN},
    {"output", required_argument, NULL, 'o'},
    {"zoom", required_argument, NULL, OPT_ZOOM},
    CLI_FILE_QUALITY_OPTION,
    {"pad", no_argument, NULL, CLI_PAD},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_MODEL_OPTIONS,
    CLI_WEIGHTS_OPTION,
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    cli_data data;
    int count, zoom;
    cli_pictures pictures; /* operands */
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    int taken;
    switch (id) {
    case OPT_COUNT:
        return cli_int(text, 1, 1 << 30, &s->count);
    case OPT_ZOOM:
        return cli_int(text, 1, 64, &s->zoom);
    case OPT_TRAIN:
        s->data.data.split = VT_SPLIT_TRAIN;
        return true;
    default:
        taken = cli_data_option(&s->data, id, text);
        return (taken >= 0 ? taken : cli_model_option(&s->model, id, text)) == 1;
    }
}

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
                              &w->taken, w->settings->model.pad, err);
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
    if (!w->settings->model.json) {
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
    variant_status status = vt_image_sheet(&sheet, w->sheet, w->sheet_count, columns, 2,
                                           w->settings->zoom ? w->settings->zoom : 1, err);
    if (status == VARIANT_OK)
        status = vt_image_write(&sheet, w->settings->model.output, w->settings->model.file_quality,
                                NULL, err);
    vt_image_free(&sheet);
    return status;
}

static variant_status reconstruct(const settings *s, variant_error *err) {
    work w = {.settings = s};
    variant_status status = VARIANT_OK;
    const cli_output output = {s->model.output, s->model.file_quality};
    if (s->model.output) VT_TRY(cli_output_check(&output, false, err));
    w.report = cli_report_stream(&output);
    VT_CHECK(cli_session_open(&w.session, &s->model, true, false, err));
    w.config = vt_tokenizer_configuration(w.session.model->tokenizer);
    w.side = vt_tokenizer_side(w.config);
    w.floats = (size_t)w.side * (size_t)w.side * (size_t)w.config->channels;
    int count = s->pictures.count;
    w.taken = s->data.data;
    vt_data_follow(&w.taken, w.session.model->training);
    if (w.taken.count) {
        vt_dataset_options options = {.data = w.taken,
                                      .side = w.side,
                                      .channels = w.config->channels,
                                      .warn = cli_data_note,
                                      .user = (void *)(uintptr_t)COMMAND};
        VT_CHECK(vt_dataset_open(&w.dataset, &options, err));
        count = vt_dataset_count(w.dataset);
        if (s->count > 0 && s->count < count) count = s->count;
        int native = vt_dataset_native_side(w.dataset);
        w.native = native < w.side ? native : 0;
    }
    if (s->model.json) w.list = cJSON_CreateArray();
    if (s->model.output) {
        w.sheet_limit = 2 * (w.taken.count && count > SHEET_PICTURES ? SHEET_PICTURES : count);
        w.sheet = calloc((size_t)w.sheet_limit, sizeof *w.sheet);
        if (!w.sheet) {
            status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the sheet");
            goto cleanup;
        }
    }
    VT_CHECK(run_pictures(&w, count, err));
    if (s->model.output) VT_CHECK(write_sheet(&w, err));
    print_totals(&w);
cleanup:
    for (int i = 0; w.sheet && i < w.sheet_limit; ++i) vt_image_free(&w.sheet[i]);
    free(w.sheet);
    cJSON_Delete(w.list);
    vt_dataset_close(&w.dataset);
    cli_session_close(&w.session);
    return status;
}

int cli_reconstruct(int argc, char **argv) {
    settings s = {.data = cli_data_defaults(COMMAND)};
    cli_parser parser = {.command = COMMAND,
                         .help = help,
                         .letters = ":m:o:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (!s.model.model) return cli_usage(COMMAND, "which model? give -m FILE or -m FOLDER");
    if (s.data.data.count && optind < argc)
        return cli_usage(COMMAND, "either pictures or --data, not both");
    if (!s.data.data.count && optind == argc)
        return cli_usage(COMMAND, "which pictures? give files, folders or --data");
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    for (int i = optind; i < argc; ++i)
        VT_CHECK(cli_pictures_add(&s.pictures, argv[i], COMMAND, &err));
    VT_CHECK(reconstruct(&s, &err));
cleanup:
    cli_pictures_close(&s.pictures);
    return status == VARIANT_OK ? 0 : cli_fail(COMMAND, &err);
}
