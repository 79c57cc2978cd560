/* batches.c - see batches.h. */
#include "train/batches.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

/* ---- pictures ---- */

variant_status vt_pictures_open(vt_pictures *out, const vt_pictures_options *options,
                                variant_error *err) {
    int all = vt_dataset_count(options->dataset);
    *out = (vt_pictures){
        .dataset = options->dataset,
        .count = options->limit > 0 && options->limit < all ? options->limit : all,
        .side = options->side,
        .channels = options->channels,
        .crop = options->crop,
        .team = options->team,
        .note = options->note,
        .user = options->user,
    };
    out->broken = calloc((size_t)all, 1);
    if (!out->broken) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", all);
    return VARIANT_OK;
}

void vt_pictures_close(vt_pictures *pictures) {
    free(pictures->broken);
    *pictures = (vt_pictures){0};
}

int vt_pictures_index(const vt_pictures *pictures, int position) {
    return (int)((int64_t)position * vt_dataset_count(pictures->dataset) / pictures->count);
}

int vt_pictures_label(const vt_pictures *pictures, int position) {
    return vt_dataset_label(pictures->dataset, vt_pictures_index(pictures, position));
}

/* Held while a thread notes something of a picture. */
static pthread_mutex_t noting = PTHREAD_MUTEX_INITIALIZER;

static void note_broken(const vt_pictures *pictures, int index, const char *line) {
    pthread_mutex_lock(&noting);
    if (!pictures->broken[index] && pictures->note) pictures->note(pictures->user, line);
    pictures->broken[index] = 1;
    pthread_mutex_unlock(&noting);
}

/* The picture at index, or, where that is broken, the next of its class that is not. */
static variant_status read_sound(const vt_pictures *pictures, int index, vt_crop crop, float *out,
                                 variant_error *err) {
    const vt_dataset *dataset = pictures->dataset;
    int all = vt_dataset_count(dataset), label = vt_dataset_label(dataset, index);
    variant_status status = VARIANT_OK;
    for (int offset = 0; offset < all; ++offset) {
        int candidate = (index + offset) % all;
        if (vt_dataset_label(dataset, candidate) != label) continue;
        variant_error local;
        status = vt_dataset_read(dataset, candidate, crop, out, &local);
        if (status == VARIANT_OK) return VARIANT_OK;
        if (err) *err = local;
        if (status != VARIANT_E_FORMAT && status != VARIANT_E_IO) return status;
        note_broken(pictures, candidate, local.message);
    }
    return status;
}

static variant_status read_pick(const vt_pictures *pictures, const vt_pick *pick, float *out,
                                variant_error *err) {
    int index = vt_pictures_index(pictures, pick->position);
    vt_crop centre = {0.5, 0.5, pick->flip};
    if (pictures->crop == 0) return read_sound(pictures, index, centre, out, err);
    size_t large = (size_t)(pictures->side + pictures->crop), channels = (size_t)pictures->channels;
    float *whole = malloc(large * large * channels * sizeof *whole);
    if (!whole) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture");
    variant_status status = read_sound(pictures, index, centre, whole, err);
    size_t row = (size_t)pictures->side * channels;
    for (int y = 0; status == VARIANT_OK && y < pictures->side; ++y)
        memcpy(out + (size_t)y * row,
               whole + ((size_t)(y + pick->y) * large + (size_t)pick->x) * channels,
               row * sizeof *out);
    free(whole);
    return status;
}

typedef struct read_loop {
    const vt_pictures *pictures;
    const vt_pick *picks;
    float *out;
    int *failed; /* the first pick that could not be read; count: none */
    variant_status *status;
    variant_error *err;
} read_loop;

static void read_part(const void *args, vt_span span) {
    const read_loop *l = args;
    const vt_pictures *p = l->pictures;
    size_t size = (size_t)p->side * (size_t)p->side * (size_t)p->channels;
    for (int i = (int)span.begin; i < span.end; ++i) {
        variant_error local;
        variant_status one = read_pick(p, &l->picks[i], l->out + (size_t)i * size, &local);
        if (one == VARIANT_OK) continue;
        pthread_mutex_lock(&noting);
        if (i < *l->failed) {
            *l->failed = i;
            *l->status = one;
            if (l->err) *l->err = local;
        }
        pthread_mutex_unlock(&noting);
    }
}

variant_status vt_pictures_read(const vt_pictures *pictures, const vt_pick *picks, int count,
                                float *out, variant_error *err) {
    variant_status status = VARIANT_OK;
    int failed = count;
    vt_team_deal(pictures->team, count, read_part,
                 &(read_loop){pictures, picks, out, &failed, &status, err});
    return status;
}

/* ---- batches ---- */

vt_slice vt_slice_part(const vt_slice *slice, int parts, int i) {
    const int begin = (int)((int64_t)slice->count * i / parts),
              end = (int)((int64_t)slice->count * (i + 1) / parts);
    return (vt_slice){.first = slice->first + begin, .count = end - begin, .of = slice->of};
}

int vt_slice_most(const vt_slice *slice, int parts) {
    return (slice->count - 1) / parts + 1;
}

variant_status vt_batches_open(vt_batches *out, int count, int batch, bool flip, int crop,
                               uint64_t seed, variant_error *err) {
    *out = (vt_batches){.count = count,
                        .batch = batch,
                        .crop = crop,
                        .flip = flip,
                        .seed = seed,
                        .order_epoch = -1};
    if (batch < 1 || batch > count)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "batch of %d: expected 1 to %d, the number of pictures", batch, count);
    out->order = malloc((size_t)count * sizeof *out->order);
    out->picks = calloc((size_t)batch, sizeof *out->picks);
    if (out->order && out->picks) return VARIANT_OK;
    vt_batches_close(out);
    return vt_fail(err, VARIANT_E_MEMORY, "no memory to order %d pictures", count);
}

void vt_batches_close(vt_batches *batches) {
    free(batches->order);
    free(batches->picks);
    *batches = (vt_batches){0};
}

int64_t vt_batches_per_epoch(const vt_batches *batches) {
    return batches->count / batches->batch;
}

bool vt_batches_pick(const vt_batches *batches, int64_t step, vt_pick *picks) {
    const int64_t per_epoch = vt_batches_per_epoch(batches);
    const int64_t first = step % per_epoch * batches->batch;
    if (step / per_epoch != batches->order_epoch) return false;
    uint32_t low = (uint32_t)step, high = (uint32_t)((uint64_t)step >> 32);
    double places = (double)batches->crop + 1.0;
    for (int i = 0; i < batches->batch; ++i) {
        uint32_t draw = 3 * (uint32_t)i;
        picks[i] = (vt_pick){
            .position = (int)batches->order[first + i],
            .flip =
                batches->flip && vt_uniform(batches->seed, VT_RNG_AUGMENT, low, high, draw) < 0.5,
            .x = (int)(vt_uniform(batches->seed, VT_RNG_AUGMENT, low, high, draw + 1) * places),
            .y = (int)(vt_uniform(batches->seed, VT_RNG_AUGMENT, low, high, draw + 2) * places),
        };
    }
    return true;
}

void vt_batches_select(vt_batches *batches, int64_t step) {
    const int64_t epoch = step / vt_batches_per_epoch(batches);
    if (epoch != batches->order_epoch) {
        vt_permutation(batches->order, (uint32_t)batches->count, batches->seed, (uint32_t)epoch);
        batches->order_epoch = epoch;
    }
    vt_batches_pick(batches, step, batches->picks);
}
