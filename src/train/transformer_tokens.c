/* transformer_tokens.c - the pictures of a transformer's training as tokens, made before the first step or
 * found in the run's folder; see transformer_job.h. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "train/transformer_job.h"

typedef struct encoding {
    const vt_train_loop *loop;
    double started;
} encoding;

static bool report_encoding(void *user, int done, int total) {
    const encoding *state = user;
    const vt_train_common *common = state->loop->options;
    double seconds = vt_seconds() - state->started;
    if (common->progress) {
        vt_train_progress progress = {.step = done,
                                      .steps = total,
                                      .pictures_per_second = seconds > 0.0 ? done / seconds : 0.0,
                                      .doing = "encoding"};
        common->progress(common->user, &progress);
    }
    return !vt_train_loop_stopping(state->loop);
}

/* Of the training pictures, or of the test pictures, which are no file. */
static vt_token_cache_options cache_options(const vt_transformer_job *job,
                                            const vt_train_loop *loop, bool test) {
    const vt_train_common *common = loop->options;
    return (vt_token_cache_options){
        .tokenizer = job->tokenizer,
        .files = job->frozen,
        .pictures = test ? &loop->data.test_pictures : &loop->data.pictures,
        .flip = common->flip && !test,
        .verify = common->verify_data,
        .note = common->note,
        .user_note = common->user,
        .progress = report_encoding,
    };
}

variant_status vt_transformer_job_measure_tokens(vt_transformer_job *job, const vt_train_loop *loop,
                                                 vt_train_memory *memory, variant_error *err) {
    vt_token_cache_bytes train, test = {0};
    vt_token_cache_options options = cache_options(job, loop, false);
    options.path = ""; /* some file */
    VT_TRY(vt_token_cache_measure(&train, &options, err));
    if (loop->data.test) {
        options = cache_options(job, loop, true);
        VT_TRY(vt_token_cache_measure(&test, &options, err));
    }
    job->encoding = train.arena > test.arena ? train.arena : test.arena;
    memory->data += test.tokens;
    memory->encoding =
        job->encoding + train.tokens + (train.host > train.file ? train.host : train.file);
    return VARIANT_OK;
}

static variant_status open_caches(vt_transformer_job *job, vt_train_loop *loop, vt_arena *arena,
                                  variant_error *err) {
    char path[4096];
    encoding state = {.loop = loop, .started = vt_seconds()};
    vt_train_loop_path(loop, "tokens.cache", path, sizeof path);
    vt_token_cache_options options = cache_options(job, loop, false);
    options.arena = arena;
    options.path = job->options->cache ? job->options->cache : path;
    options.named = job->options->cache != NULL;
    options.user = &state;
    VT_TRY(vt_token_cache_open(&job->cache, &options, err));
    if (!loop->data.test) return VARIANT_OK;
    options = cache_options(job, loop, true);
    options.arena = arena;
    options.user = &state;
    state.started = vt_seconds();
    return vt_token_cache_open(&job->test_cache, &options, err);
}

variant_status vt_transformer_job_open_tokens(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job *job = self;
    vt_arena arena;
    void *memory = NULL;
    VT_TRY(loop->kern->memory_reserve(loop->kern, job->encoding, &memory, err));
    vt_arena_init(&arena, memory, job->encoding);
    variant_status status = open_caches(job, loop, &arena, err);
    loop->kern->memory_release(loop->kern, memory, job->encoding);
    return status;
}
