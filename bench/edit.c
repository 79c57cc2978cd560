/* edit.c - how well pictures are edited: test pictures whose masked part is drawn again in their own class, a row of scores.
 *
 *     build/release/bench/edit MODEL DATA REFERENCE MASKS.idx COUNT [name=value ...]     one line of JSON
 *
 * MASKS.idx: (N, side, side) bytes of tools/edit_masks.py, picture i by mask i % N. REFERENCE: what eval's --reference takes.
 * Names: fill, codes, keep, pull, grow, feather (as variant_edit has them), late (as cfg_late), depth, seed, batch, weights,
 * threads; shift=1: drawn as, and judged by, the next class; original=1: the pictures as they are; sheet=FILE.png columns=N:
 * rows of original, mask and edit. docs/EDITING.md has the rows. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/psnr.h"
#include "engine/engine.h"
#include "eval/judge.h"
#include "io/dataset.h"

typedef struct settings {
    const char *model, *data, *reference, *masks, *sheet;
    int count, batch, threads, columns, original, shift;
    variant_edit edit;
    variant_request request;
    variant_engine_options engine;
} settings;

/* Sums over pictures: squares of differences outside the hole and their number; neighbours' differences across the edge and
 * inside the hole, and the pairs. */
typedef struct sums {
    double raw, laid;
    double raw_psnr, laid_psnr;
    double across, inside, across_pairs, inside_pairs, hole;
    int pictures;
} sums;

typedef struct work {
    const settings *s;
    variant_engine *engine;
    variant_info info;
    vt_judge judge;
    vt_eval *eval;
    vt_dataset *dataset;
    uint8_t *masks;
    int mask_count;
    size_t pixels, samples;
    uint8_t *originals, *raw; /* (batch, samples) */
    float *floats;
    int32_t *labels;
    variant_edit *edits;
    vt_arena arena;
    void *memory;
    sums sums;
    double seconds;
    vt_image *sheet;
    int sheet_count;
} work;

#define ARENA ((size_t)1 << 32)

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static variant_status read_masks(work *w, variant_error *err) {
    uint8_t head[16];
    FILE *file = fopen(w->s->masks, "rb");
    const uint32_t side = (uint32_t)w->info.picture_side;
    if (!file) return vt_fail(err, VARIANT_E_IO, "%s: cannot be opened", w->s->masks);
    bool good = fread(head, 1, sizeof head, file) == sizeof head && head[2] == 8 && head[3] == 3;
    uint32_t sizes[3] = {0};
    for (int i = 0; i < 12; ++i) sizes[i / 4] = sizes[i / 4] << 8 | head[4 + i];
    good = good && sizes[1] == side && sizes[2] == side && sizes[0] > 0;
    w->mask_count = (int)sizes[0];
    w->masks = good ? malloc(sizes[0] * w->pixels) : NULL;
    good = w->masks && fread(w->masks, w->pixels, sizes[0], file) == sizes[0];
    fclose(file);
    return good ? VARIANT_OK
                : vt_fail(err, VARIANT_E_FORMAT, "%s: expected an IDX file of masks of %u x %u",
                          w->s->masks, side, side);
}

static const uint8_t *mask_of(const work *w, int index) {
    return w->masks + (size_t)(index % w->mask_count) * w->pixels;
}

/* What the tokens decode to, before anything is laid back. */
static variant_status decode(work *w, const variant_picture *picture, uint8_t *out,
                             variant_error *err) {
    vt_tokenizer *tokenizer = w->engine->model->tokenizer;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(tokenizer);
    vt_kern *kern = w->engine->kern;
    const size_t s = (size_t)config->sides[config->scales - 1],
                 length = (size_t)vt_tokenizer_tokens(config), width = (size_t)config->latent_dim;
    int32_t *tokens = vt_arena_ints(&w->arena, length);
    float *inputs = vt_arena_floats(&w->arena, length * width);
    float *f_hat = vt_arena_floats(&w->arena, s * s * width);
    float *pictures = vt_arena_floats(&w->arena, w->samples);
    kern->upload(kern, tokens, picture->tokens, length * sizeof *tokens);
    VT_TRY(vt_tokenizer_inputs(tokenizer, &w->arena, 1, tokens, inputs, f_hat, err));
    VT_TRY(vt_tokenizer_decode(tokenizer, &w->arena, 1, f_hat, pictures, err));
    VT_TRY(vt_kern_download(kern, w->floats, pictures, w->samples * sizeof(float), err));
    (void)vt_image_bytes(out, w->floats, w->samples);
    vt_arena_rewind(&w->arena, 0);
    return VARIANT_OK;
}

/* Mean squared difference outside the hole, of samples in [0, 1]. */
static double outside(const work *w, const uint8_t *a, const uint8_t *b, const uint8_t *hole) {
    const size_t channels = w->samples / w->pixels;
    double sum = 0, count = 0;
    for (size_t i = 0; i < w->samples; ++i) {
        if (hole[i / channels]) continue;
        const double d = ((double)a[i] - (double)b[i]) / 255.0;
        sum += d * d;
        ++count;
    }
    return count > 0 ? sum / count : 0;
}

static void add_pair(const work *w, sums *t, const uint8_t *p, const uint8_t *hole, size_t a,
                     size_t b) {
    const size_t channels = w->samples / w->pixels;
    double d = 0;
    for (size_t c = 0; c < channels; ++c)
        d += fabs((double)p[a * channels + c] - (double)p[b * channels + c]);
    d /= (double)channels;
    if (!hole[a] != !hole[b]) {
        t->across += d;
        ++t->across_pairs;
    } else if (hole[a]) {
        t->inside += d;
        ++t->inside_pairs;
    }
}

static void tally(work *w, const uint8_t *original, const uint8_t *raw, const uint8_t *laid,
                  const uint8_t *hole) {
    const size_t side = (size_t)w->info.picture_side;
    sums *t = &w->sums;
    const double a = outside(w, original, raw, hole), b = outside(w, original, laid, hole);
    t->raw += a;
    t->laid += b;
    t->raw_psnr += vt_psnr_of_mse(a);
    t->laid_psnr += vt_psnr_of_mse(b);
    ++t->pictures;
    for (size_t i = 0; i < w->pixels; ++i) {
        t->hole += hole[i] != 0;
        if (i % side + 1 < side) add_pair(w, t, laid, hole, i, i + 1);
        if (i / side + 1 < side) add_pair(w, t, laid, hole, i, i + side);
    }
}

static variant_status show(work *w, const uint8_t *original, const uint8_t *laid,
                           const uint8_t *hole, variant_error *err) {
    const int side = w->info.picture_side, channels = w->info.channels, columns = w->s->columns;
    if (!w->s->sheet || w->sheet_count >= columns) return VARIANT_OK;
    for (int row = 0; row < 3; ++row) {
        vt_image *image = &w->sheet[row * columns + w->sheet_count];
        VT_TRY(vt_image_new(image, side, side, channels, err));
        for (size_t i = 0; i < w->samples; ++i)
            image->data[i] = row == 2 ? laid[i]
                             : row == 1 && hole[i / (size_t)channels]
                                 ? (uint8_t)(i % (size_t)channels == 0 ? 255 : 96)
                                 : original[i];
    }
    ++w->sheet_count;
    return VARIANT_OK;
}

/* Pictures [first, first + n). */
static variant_status run_batch(work *w, int first, int n, variant_error *err) {
    const settings *s = w->s;
    const vt_crop centre = {0.5, 0.5, false};
    const int all = vt_dataset_count(w->dataset);
    variant_request request = s->request;
    variant_picture *pictures = NULL;
    variant_status status = VARIANT_OK;
    for (int i = 0; i < n; ++i) {
        const int index = (int)((int64_t)(first + i) * all / s->count);
        uint8_t *original = w->originals + (size_t)i * w->samples;
        VT_TRY(vt_dataset_read(w->dataset, index, centre, w->floats, err));
        (void)vt_image_bytes(original, w->floats, w->samples);
        w->labels[i] = (vt_dataset_label(w->dataset, index) + s->shift) % w->info.classes;
        w->edits[i] = s->edit;
        w->edits[i].width = w->edits[i].height = w->info.picture_side;
        w->edits[i].channels = w->info.channels;
        w->edits[i].pixels = original;
        w->edits[i].mask = mask_of(w, first + i);
    }
    /* a picture's number is the noise's; labels and edits are found by it, so all of a batch's begin at a multiple */
    request.labels = w->labels;
    request.label_count = request.edit_count = request.count = request.batch = n;
    request.edits = w->edits;
    request.first_image = first / s->batch * n;
    if (!s->original) {
        const double start = cpu_seconds();
        VT_TRY(variant_generate(w->engine, &request, &pictures, NULL, err));
        w->seconds += cpu_seconds() - start;
    }
    for (int i = 0; i < n; ++i) {
        const uint8_t *original = w->originals + (size_t)i * w->samples;
        const uint8_t *laid = s->original ? original : pictures[i].pixels;
        if (s->original)
            memcpy(w->raw, original, w->samples);
        else
            VT_CHECK(decode(w, &pictures[i], w->raw, err));
        tally(w, original, w->raw, laid, mask_of(w, first + i));
        VT_CHECK(show(w, original, laid, mask_of(w, first + i), err));
        for (size_t j = 0; j < w->samples; ++j) w->floats[j] = (float)laid[j] / 255.0f;
        VT_CHECK(vt_eval_add(w->eval, w->floats, &w->labels[i], 1, w->info.picture_side,
                             w->info.picture_side, w->info.channels, err));
    }
cleanup:
    variant_pictures_free(&pictures, n);
    return status;
}

static variant_status open_judge(work *w, variant_error *err) {
    const settings *s = w->s;
    const bool statistics = vt_judge_is_statistics(s->reference);
    const vt_judge_options options = {
        .model = s->model, .resize = -1, .threads = s->threads, .backend = s->engine.backend};
    VT_TRY(vt_judge_open(&w->judge, &options, err));
    vt_data data = vt_data_of(s->reference);
    data.split = VT_SPLIT_TEST;
    if (!statistics) VT_TRY(vt_data_follow(&data, w->engine->model->training, err));
    VT_TRY(vt_judge_reference(&w->judge, &data, w->info.picture_side, w->info.channels, err));
    const vt_eval_options eval = {.features = w->judge.features,
                                  .reference = &w->judge.reference,
                                  .expected = s->count,
                                  .labels_match = true};
    return vt_eval_open(&w->eval, &eval, err);
}

static variant_status open_work(work *w, const settings *s, variant_error *err) {
    *w = (work){.s = s};
    VT_TRY(variant_engine_open(&w->engine, &s->engine, err));
    w->info = *variant_engine_info(w->engine);
    w->pixels = (size_t)w->info.picture_side * (size_t)w->info.picture_side;
    w->samples = w->pixels * (size_t)w->info.channels;
    vt_dataset_options data = {
        .data = vt_data_of(s->data), .side = w->info.picture_side, .channels = w->info.channels};
    data.data.split = VT_SPLIT_TEST;
    VT_TRY(vt_data_follow(&data.data, w->engine->model->training, err));
    VT_TRY(vt_dataset_open(&w->dataset, &data, err));
    const size_t n = (size_t)s->batch;
    w->originals = malloc(n * w->samples);
    w->raw = malloc(w->samples);
    w->floats = malloc(w->samples * sizeof *w->floats);
    w->labels = malloc(n * sizeof *w->labels);
    w->edits = malloc(n * sizeof *w->edits);
    w->sheet = calloc(3 * (size_t)s->columns, sizeof *w->sheet);
    if (!w->originals || !w->raw || !w->floats || !w->labels || !w->edits || !w->sheet)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch");
    VT_TRY(w->engine->kern->memory_reserve(w->engine->kern, ARENA, &w->memory, err));
    vt_arena_init(&w->arena, w->memory, ARENA);
    VT_TRY(read_masks(w, err));
    return open_judge(w, err);
}

static void close_work(work *w) {
    if (w->memory) w->engine->kern->memory_release(w->engine->kern, w->memory, ARENA);
    for (int i = 0; w->sheet && i < 3 * w->s->columns; ++i) vt_image_free(&w->sheet[i]);
    vt_eval_close(&w->eval);
    vt_judge_close(&w->judge);
    vt_dataset_close(&w->dataset);
    variant_engine_close(&w->engine);
    free(w->sheet);
    free(w->masks);
    free(w->originals);
    free(w->raw);
    free(w->floats);
    free(w->labels);
    free(w->edits);
}

static variant_status print_row(work *w, variant_error *err) {
    const sums *t = &w->sums;
    const double n = t->pictures;
    vt_eval_scores scores;
    VT_TRY(vt_eval_scores_get(w->eval, &scores, err));
    cJSON *row = cJSON_CreateObject();
    cJSON_AddNumberToObject(row, "pictures", n);
    cJSON_AddNumberToObject(row, "masked", t->hole / (n * (double)w->pixels));
    cJSON_AddNumberToObject(row, "psnr_before", vt_psnr_of_mse(t->raw / n));
    cJSON_AddNumberToObject(row, "psnr_after", vt_psnr_of_mse(t->laid / n));
    cJSON_AddNumberToObject(row, "frechet", scores.frechet);
    cJSON_AddNumberToObject(row, "class_share", scores.class_share);
    cJSON_AddNumberToObject(row, "across", t->across / t->across_pairs);
    cJSON_AddNumberToObject(row, "inside", t->inside / t->inside_pairs);
    cJSON_AddNumberToObject(row, "cpu_ms", 1e3 * w->seconds / n);
    char *text = cJSON_PrintUnformatted(row);
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(row);
    return VARIANT_OK;
}

static variant_status write_sheet(const work *w, variant_error *err) {
    vt_image sheet = {0};
    if (!w->s->sheet) return VARIANT_OK;
    VT_TRY(vt_image_sheet(&sheet, w->sheet, 3 * w->s->columns, w->s->columns, 2, 2, err));
    const variant_status status = vt_image_write(&sheet, w->s->sheet, 0, NULL, err);
    vt_image_free(&sheet);
    return status;
}

static bool read_word(settings *s, const char *word) {
    const char *value = strchr(word, '=');
    const struct {
        const char *name;
        const char **text;
        int *number;
        float *real;
    } names[] = {
        {"fill=", &s->edit.fill, NULL, NULL},
        {"codes=", &s->edit.codes, NULL, NULL},
        {"weights=", &s->engine.weights, NULL, NULL},
        {"sheet=", &s->sheet, NULL, NULL},
        {"keep=", NULL, NULL, &s->edit.keep},
        {"pull=", NULL, NULL, &s->edit.pull},
        {"late=", NULL, NULL, &s->request.cfg_late},
        {"grow=", NULL, &s->edit.grow, NULL},
        {"feather=", NULL, &s->edit.feather, NULL},
        {"depth=", NULL, &s->request.depth, NULL},
        {"batch=", NULL, &s->batch, NULL},
        {"threads=", NULL, &s->threads, NULL},
        {"columns=", NULL, &s->columns, NULL},
        {"original=", NULL, &s->original, NULL},
        {"shift=", NULL, &s->shift, NULL},
    };
    if (value && strncmp(word, "seed=", 5) == 0) {
        s->request.seed = strtoull(value + 1, NULL, 10);
        return true;
    }
    for (size_t i = 0; value && i < sizeof names / sizeof *names; ++i) {
        if (strncmp(word, names[i].name, strlen(names[i].name)) != 0) continue;
        if (names[i].text) *names[i].text = value + 1;
        if (names[i].number) *names[i].number = atoi(value + 1);
        if (names[i].real) *names[i].real = strtof(value + 1, NULL);
        return true;
    }
    fprintf(stderr, "edit: unknown setting %s\n", word);
    return false;
}

int main(int count, char **words) {
    settings s = {.batch = 50, .threads = 1, .columns = 12};
    variant_error err = {0};
    work w = {0};
    variant_status status = VARIANT_OK;
    variant_edit_init(&s.edit);
    variant_request_init(&s.request);
    variant_engine_options_init(&s.engine);
    if (count < 6) {
        fprintf(stderr, "usage: edit MODEL DATA REFERENCE MASKS.idx COUNT [name=value ...]\n");
        return 2;
    }
    s.model = s.engine.model = words[1];
    s.data = words[2];
    s.reference = words[3];
    s.masks = words[4];
    s.count = atoi(words[5]);
    for (int i = 6; i < count; ++i)
        if (!read_word(&s, words[i])) return 2;
    s.engine.encoder = true;
    s.engine.threads = s.threads;
    VT_CHECK(open_work(&w, &s, &err));
    for (int first = 0; first < s.count; first += s.batch)
        VT_CHECK(run_batch(&w, first, s.count - first < s.batch ? s.count - first : s.batch, &err));
    VT_CHECK(print_row(&w, &err));
    VT_CHECK(write_sheet(&w, &err));
cleanup:
    if (status != VARIANT_OK) fprintf(stderr, "edit: %s\n", err.message);
    close_work(&w);
    return status != VARIANT_OK;
}
