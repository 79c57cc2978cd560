/* run.c - see run.h.
 *
 * Everything up to the model's shape is known from headers, options and the list of pictures. Then the
 * model is opened over a backend that holds nothing and every kind of step is run once over an arena
 * that only counts: what the run will take is known to the byte, and limits are asked, before any of it
 * is taken. */
#include "train/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "io/file.h"
#include "io/picture_index.h"
#include "kern/dry.h"
#include "train/defaults.h"
#include "train/same.h"

/* ---- data ---- */

static void note_pictures(const vt_train_loop *loop, const vt_dataset *dataset) {
    int skipped = vt_dataset_skipped(dataset);
    char broken[64] = "";
    if (skipped > 0)
        snprintf(broken, sizeof broken, "; %d broken one%s skipped", skipped,
                 skipped == 1 ? "" : "s");
    const int all = vt_dataset_count(dataset), limit = loop->options->limit,
              classes = vt_dataset_classes(dataset);
    char some[64] = "";
    if (limit > 0 && limit < all) snprintf(some, sizeof some, "%d of ", limit);
    vt_train_loop_note(loop, "%s%d pictures in %d class%s%s", some, all, classes,
                       classes == 1 ? "" : "es", broken);
}

/* The training pictures, `crop` pixels larger than side, and the test pictures, with the same classes;
 * without them there is a note and no evaluation. */
static variant_status open_datasets(vt_train_loop *loop, const vt_train_wanted *wanted,
                                    vt_picture_index *index, variant_error *err) {
    vt_train_data *data = &loop->data;
    vt_dataset_options options = {.data = wanted->source,
                                  .side = wanted->side + wanted->crop,
                                  .channels = wanted->channels,
                                  .index = index,
                                  .warn = loop->options->note,
                                  .user = loop->options->user};
    variant_error local;
    options.data.split = VT_SPLIT_TRAIN;
    options.data.flat_whole = false;
    data->source = wanted->source;
    VT_TRY(vt_dataset_open(&data->train, &options, err));
    note_pictures(loop, data->train);
    options.side = wanted->side;
    options.channels = vt_dataset_channels(data->train);
    options.data.split = VT_SPLIT_TEST;
    options.like = data->train;
    options.warn = NULL;
    if (vt_dataset_open(&data->test, &options, &local) != VARIANT_OK)
        vt_train_loop_note(loop, "no evaluation: %s", local.message);
    return VARIANT_OK;
}

/* What is known of large folders serves both splits, and the runs after this one. */
static variant_status open_indexed(vt_train_loop *loop, const vt_train_wanted *wanted,
                                   variant_error *err) {
    const vt_train_common *common = loop->options;
    char own[sizeof loop->folder + 32];
    vt_train_loop_path(loop, "pictures.index", own, sizeof own);
    const char *path = common->index ? common->index : loop->folder[0] ? own : NULL;
    vt_picture_index *index = NULL;
    variant_error local;
    variant_status status = vt_picture_index_open(&index, common->verify_data ? NULL : path,
                                                  common->index != NULL, err);
    if (status == VARIANT_OK) status = open_datasets(loop, wanted, index, err);
    if (status == VARIANT_OK && path && !common->dry_run && vt_train_loop_first(loop) &&
        vt_picture_index_save(index, path, &local) != VARIANT_OK)
        vt_train_loop_note(loop, "pictures will be looked at again by the next run: %s",
                           local.message);
    vt_picture_index_close(&index);
    return status;
}

static variant_status copy_class_names(vt_train_data *data, variant_error *err) {
    int count = vt_dataset_classes(data->train);
    data->class_names = calloc((size_t)count, sizeof *data->class_names);
    for (int i = 0; data->class_names && i < count; ++i, ++data->class_count)
        if (!(data->class_names[i] = strdup(vt_dataset_class_name(data->train, i)))) break;
    if (data->class_count == count) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d class names", count);
}

/* Those of the pictures that the run shows, and those that it is evaluated on. */
static variant_status open_pictures(vt_train_loop *loop, const vt_train_wanted *wanted,
                                    variant_error *err) {
    const vt_train_common *common = loop->options;
    vt_train_data *data = &loop->data;
    vt_pictures_options options = {.dataset = data->train,
                                   .limit = common->limit,
                                   .side = wanted->side,
                                   .channels = vt_dataset_channels(data->train),
                                   .crop = wanted->crop,
                                   .team = loop->kern->team,
                                   .note = common->note,
                                   .user = common->user};
    VT_TRY(vt_pictures_open(&data->pictures, &options, err));
    if (!data->test) return VARIANT_OK;
    options.dataset = data->test;
    options.limit = common->eval_count;
    options.crop = 0;
    return vt_pictures_open(&data->test_pictures, &options, err);
}

static variant_status open_data(vt_train_loop *loop, const vt_train_wanted *wanted,
                                variant_error *err) {
    VT_TRY(open_indexed(loop, wanted, err));
    VT_TRY(copy_class_names(&loop->data, err));
    return open_pictures(loop, wanted, err);
}

static void close_data(vt_train_data *data) {
    vt_ahead_close(&data->ahead);
    vt_batches_close(&data->batches);
    vt_pictures_close(&data->pictures);
    vt_pictures_close(&data->test_pictures);
    vt_dataset_close(&data->train);
    vt_dataset_close(&data->test);
    for (int i = 0; i < data->class_count; ++i) free(data->class_names[i]);
    free(data->class_names);
    *data = (vt_train_data){0};
}

/* ---- what follows from the data ---- */

/* A batch is one slice, or as many as were asked for. */
static variant_status settle_slices(vt_train_loop *loop, vt_train_common *common,
                                    variant_error *err) {
    vt_defaults_recall_int(loop, "accumulate", &common->accumulate);
    const vt_slice batch = {.count = common->batch, .of = common->batch};
    if (loop->together.count > common->batch)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d ranks for a batch of %d: expected at most a rank a picture",
                       loop->together.count, common->batch);
    loop->part = vt_slice_part(&batch, loop->together.count, loop->together.rank);
    loop->slices = common->accumulate > 1 ? common->accumulate : 1;
    const int least = common->batch / loop->together.count; /* pictures of a rank */
    char ranks[32] = "";
    if (loop->together.count > 1)
        snprintf(ranks, sizeof ranks, " over %d ranks", loop->together.count);
    if (loop->slices > least)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a batch of %d%s in %d slices: expected 1 to %d, a picture each",
                       common->batch, ranks, loop->slices, least);
    loop->slice = vt_slice_part(&loop->part, loop->slices, loop->slices - 1);
    return VARIANT_OK;
}

/* Batch, shape, length and rates; then all that was chosen is told. */
static variant_status settle(vt_train_loop *loop, const vt_trainer *trainer,
                             const vt_train_wanted *wanted, variant_error *err) {
    vt_train_common *common = trainer->common;
    vt_train_data *data = &loop->data;
    const bool maps = trainer->kind != VT_TRAIN_TRANSFORMER && trainer->kind != VT_TRAIN_SUPERNET;
    vt_run_extent extent = {
        .kind = trainer->kind, .pictures = data->pictures.count, .trained_on = wanted->trained_on};
    vt_defaults_batch(loop, common, extent.kind, extent.pictures, maps ? wanted->side : 0);
    VT_TRY(vt_batches_open(&data->batches, extent.pictures, common->batch, common->flip,
                           wanted->crop, common->seed, err));
    VT_TRY(settle_slices(loop, common, err));
    if (maps && vt_dataset_reads_files(data->train))
        VT_TRY(vt_ahead_open(&data->ahead, &data->pictures, common->batch,
                             vt_slice_most(&loop->part, loop->slices),
                             vt_team_size(loop->kern->team), err));
    VT_TRY(trainer->size(trainer->self, loop, &extent.width, err));
    extent.steps_per_epoch = vt_batches_per_epoch(&data->batches);
    VT_TRY(vt_defaults_length(loop, common, &extent, err));
    if (trainer->settle) VT_TRY(trainer->settle(trainer->self, loop, err));
    vt_defaults_note(loop);
    return VARIANT_OK;
}

/* ---- memory ---- */

/* Bytes of the scratch that a tensor goes through on its way to a file: the largest one's, twice where its
 * order in files is another. */
static size_t saving_bytes(const vt_params *params) {
    size_t most = 0;
    if (!params) return 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        const size_t copies =
            (param->flags & VT_PARAM_CONV ? 2u : 1u) + (params->shares_moments ? 1u : 0u);
        const size_t bytes = param->count * sizeof(float) * copies;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Over the opened model: what was reserved for it, and what rehearsing it takes. */
static variant_status measure_model(vt_train_loop *loop, const vt_trainer *trainer,
                                    const vt_dry_kern *dry, vt_train_memory *out,
                                    variant_error *err) {
    const vt_params *params = loop->params, *const frozen[] = {loop->frozen, loop->beside};
    VT_TRY(trainer->prepare(trainer->self, loop, err));
    VT_TRY(trainer->rehearse(trainer->self, loop, out, err));
    const vt_together *together = &loop->together;
    const size_t trained = params->train_bytes + together->memory_bytes;
    out->moments =
        params->shares_moments ? together->moment_bytes : 2 * vt_params_gradient_bytes(params);
    out->gradients = trained - out->moments; /* and the sums of their squares */
    out->packed = vt_params_packed_bytes(params);
    out->weights = dry->reserved - trained;
    out->saving = saving_bytes(params);
    for (int i = 0; i < 2; ++i) {
        if (!frozen[i]) continue;
        const size_t saving = saving_bytes(frozen[i]);
        out->weights -= frozen[i]->values_bytes;
        out->tokenizer +=
            frozen[i]->values_bytes - frozen[i]->mapped_bytes + vt_params_packed_bytes(frozen[i]);
        if (saving > out->saving) out->saving = saving;
    }
    out->activations = loop->arena.peak;
    out->data += loop->host_bytes + vt_dataset_bytes(loop->data.train);
    if (loop->data.ahead)
        out->data += vt_ahead_bytes(&loop->data.pictures, loop->data.batches.batch,
                                    vt_slice_most(&loop->part, loop->slices));
    if (loop->data.test) out->data += vt_dataset_bytes(loop->data.test);
    const size_t kept =
        out->weights + out->packed + out->gradients + out->moments + out->tokenizer + out->data;
    const size_t steps = out->activations + out->samples + out->saving;
    out->total = kept + (out->encoding > steps ? out->encoding : steps);
    return VARIANT_OK;
}

/* The data are there already; all else is asked for. */
static variant_status ask_limits(const vt_train_memory *memory, variant_error *err) {
    vt_limits limits;
    vt_limits_read(&limits, "");
    return vt_limits_memory(&limits, memory->total - memory->data, "this training", err);
}

static void note_misfit(const vt_train_loop *loop, const vt_train_memory *memory) {
    variant_error local;
    if (ask_limits(memory, &local) != VARIANT_OK)
        vt_train_loop_note(loop, "does not fit here: %s", local.message);
}

static variant_status measure(vt_train_loop *loop, const vt_trainer *trainer,
                              const vt_dry_kern *dry, vt_train_memory *out, variant_error *err) {
    vt_arena_init_counting(&loop->arena, loop->kern);
    variant_status status = trainer->open(trainer->self, loop, err);
    if (status == VARIANT_OK) status = measure_model(loop, trainer, dry, out, err);
    vt_together_close(&loop->together);
    trainer->close(trainer->self);
    loop->params = loop->frozen = loop->beside = NULL;
    loop->host_bytes = 0;
    return status;
}

/* ---- the run ---- */

static variant_status open_model(vt_train_loop *loop, const vt_trainer *trainer,
                                 const vt_train_memory *memory, variant_error *err) {
    VT_TRY(vt_train_loop_open(loop, memory->activations, err));
    VT_TRY(trainer->open(trainer->self, loop, err));
    VT_TRY(trainer->describe_settings(trainer->self, loop, err));
    VT_TRY(vt_train_loop_restore(loop, err));
    return trainer->prepare(trainer->self, loop, err);
}

/* The first rank before all others, which find the files that it has made. */
static variant_status begin(vt_train_loop *loop, const vt_trainer *trainer, variant_error *err) {
    if (!trainer->begin) return VARIANT_OK;
    variant_status status = VARIANT_OK;
    if (vt_train_loop_first(loop)) status = trainer->begin(trainer->self, loop, err);
    VT_TRY(vt_train_loop_agree(loop, status, err));
    if (!vt_train_loop_first(loop)) status = trainer->begin(trainer->self, loop, err);
    return vt_train_loop_agree(loop, status, err);
}

static variant_status open_run(vt_train_loop *loop, const vt_trainer *trainer,
                               const vt_train_memory *memory, variant_error *err) {
    VT_TRY(vt_train_loop_agree(loop, open_model(loop, trainer, memory, err), err));
    VT_TRY(vt_train_same(loop, err));
    return begin(loop, trainer, err);
}

/* All that a run is made of: more than a thread with a small stack has room for. */
typedef struct whole_run {
    vt_train_loop loop;
    vt_train_wanted wanted;
    vt_train_memory memory;
    vt_dry_kern dry;
} whole_run;

/* All that is known before there is memory. */
static variant_status look(whole_run *run, const vt_trainer *trainer, vt_train_result *result,
                           variant_error *err) {
    vt_train_loop *loop = &run->loop;
    const bool dry_run = trainer->common->dry_run;
    run->wanted.source = trainer->common->data;
    VT_TRY(vt_train_loop_begin(loop, &run->dry.kern, trainer->common, err));
    VT_TRY(trainer->shape(trainer->self, loop, &run->wanted, err));
    if (!dry_run && vt_train_loop_first(loop)) VT_TRY(variant_folder_make(loop->folder, err));
    VT_TRY(open_data(loop, &run->wanted, err));
    VT_TRY(settle(loop, trainer, &run->wanted, err));
    VT_TRY(measure(loop, trainer, &run->dry, &run->memory, err));
    result->memory = run->memory;
    result->steps = loop->steps;
    return dry_run ? VARIANT_OK : ask_limits(&run->memory, err);
}

static variant_status run_whole(whole_run *run, vt_kern *kern, const vt_trainer *trainer,
                                variant_status checked, vt_train_result *result,
                                variant_error *err) {
    vt_train_loop *loop = &run->loop;
    vt_dry_kern_init(&run->dry, kern);
    const variant_status looked = checked == VARIANT_OK ? look(run, trainer, result, err) : checked;
    VT_TRY(vt_ranks_agree(trainer->common->ranks, looked, err));
    if (trainer->common->dry_run) {
        note_misfit(loop, &run->memory);
        return VARIANT_OK;
    }
    loop->kern = kern;
    VT_TRY(open_run(loop, trainer, &run->memory, err));
    VT_TRY(vt_train_loop_run(loop, trainer, result, err));
    result->memory = run->memory;
    result->activations_peak = loop->arena.peak;
    return VARIANT_OK;
}

/* Of several ranks one speaks. */
static void fall_silent(vt_train_common *common) {
    common->progress = NULL;
    common->note = NULL;
    common->logged = NULL;
}

variant_status vt_train_run(vt_kern *kern, const vt_trainer *trainer, variant_status checked,
                            vt_train_result *result, variant_error *err) {
    whole_run *run = calloc(1, sizeof *run);
    if (variant_ranks_rank(trainer->common->ranks) > 0) fall_silent(trainer->common);
    *result = (vt_train_result){0};
    const variant_status status =
        run ? run_whole(run, kern, trainer, checked, result, err)
            : vt_fail(err, VARIANT_E_MEMORY, "no memory for a training's run");
    if (run) vt_together_close(&run->loop.together);
    trainer->close(trainer->self);
    if (run) {
        close_data(&run->loop.data);
        vt_train_loop_close(&run->loop);
    }
    free(run);
    return status;
}
