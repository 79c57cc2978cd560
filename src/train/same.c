/* same.c - see same.h. */
#include "train/same.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "train/token_cache.h"

/* What is no setting, as another run may have it otherwise. */
static variant_status describe(vt_train_loop *loop, vt_settings *out, variant_error *err) {
    const vt_train_common *options = loop->options;
    uint64_t weights = 0;
    VT_TRY(vt_params_hash(loop->params, &weights, err));
    vt_settings_add(out, "variant", "%s", variant_version());
    vt_settings_add(out, "steps done", "%" PRId64, loop->step);
    vt_settings_add(out, "steps", "%" PRId64, loop->steps);
    vt_settings_add(out, "stop after", "%" PRId64, options->stop_after);
    vt_settings_add(out, "a line every", "%" PRId64, options->log_every);
    vt_settings_add(out, "a checkpoint every", "%" PRId64, options->save_every);
    vt_settings_add(out, "samples every", "%" PRId64, options->sample_every);
    vt_settings_add(out, "evaluations every", "%" PRId64, options->eval_every);
    vt_settings_add(out, "test pictures", "%s", loop->data.test ? "some" : "none");
    vt_settings_add(out, "on divergence", "%s", options->skip_diverged ? "skip" : "stop");
    vt_settings_add(out, "spike", "%g", options->spike);
    vt_settings_add(out, "wire", "%s", options->wire == VT_WIRE_F32 ? "f32" : "bf16");
    vt_settings_add(out, "optimizer", "%s", options->shard_optimizer ? "sharded" : "whole");
    vt_settings_add(out, "weights", "%016" PRIx64, weights);
    return VARIANT_OK;
}

static variant_status compare(const vt_train_loop *loop, const vt_settings *first,
                              const vt_settings *own, variant_error *err) {
    static const char need[] = "all ranks need the same options, data and build";
    for (int i = 0; i < own->count || i < first->count; ++i) {
        const char *key = own->items[i].key, *value = own->items[i].value;
        const char *then = first->items[i].value;
        if (strcmp(key, first->items[i].key) != 0)
            return vt_fail(err, VARIANT_E_ARGUMENT, "rank %d has \"%s\", the first rank \"%s\": %s",
                           loop->together.rank, key, first->items[i].key, need);
        if (strcmp(value, then) == 0) continue;
        if (strcmp(key, "data") == 0)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "rank %d has other pictures than the first rank: %s",
                           loop->together.rank, need);
        return vt_fail(err, VARIANT_E_ARGUMENT, "rank %d has %s %.100s, the first rank %.100s: %s",
                       loop->together.rank, key, value, then, need);
    }
    return VARIANT_OK;
}

/* Both lists by every rank: of the first one, and its own. */
typedef struct both {
    vt_settings first, own;
} both;

static variant_status compare_lists(vt_train_loop *loop, both *lists, variant_error *err) {
    variant_status status = describe(loop, &lists->own, err);
    VT_TRY(vt_train_loop_agree(loop, status, err));
    lists->first = lists->own;
    vt_ranks_broadcast(loop->together.ranks, 0, &lists->first, sizeof lists->first);
    status = compare(loop, &lists->first, &lists->own, err);
    lists->first = loop->settings;
    vt_ranks_broadcast(loop->together.ranks, 0, &lists->first, sizeof lists->first);
    variant_error local = {0};
    const variant_status settings = compare(loop, &lists->first, &loop->settings, &local);
    if (settings != VARIANT_OK && err) *err = local; /* names what the other follows from */
    return vt_train_loop_agree(loop, settings != VARIANT_OK ? settings : status, err);
}

variant_status vt_train_same(vt_train_loop *loop, variant_error *err) {
    if (loop->together.count <= 1) return VARIANT_OK;
    both *lists = calloc(1, sizeof *lists);
    VT_TRY(vt_train_loop_agree(
        loop, lists ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory to compare ranks"),
        err));
    const variant_status status = compare_lists(loop, lists, err);
    free(lists);
    return status;
}
