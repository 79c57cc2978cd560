/* train.c - the trainings of variant.h: structs of their callers in and out, a backend, and one of the trainers. Called by
 * programs, the commands `variant train` among them. */
#include <math.h>
#include <string.h>

#include "core/sized.h"
#include "train/asked.h"

/* ---- defaults: those of the trainers ---- */

static vt_train_common common_defaults(variant_training_kind kind) {
    vt_train_tokenizer_options tokenizer;
    vt_train_transformer_options transformer;
    vt_train_classifier_options classifier;
    vt_train_decoder_options decoder;
    switch (kind) {
    case VARIANT_TRAINING_TOKENIZER:
        vt_train_tokenizer_options_init(&tokenizer);
        return tokenizer.common;
    case VARIANT_TRAINING_CLASSIFIER:
        vt_train_classifier_options_init(&classifier);
        return classifier.common;
    case VARIANT_TRAINING_DECODER:
        vt_train_decoder_options_init(&decoder);
        return decoder.common;
    case VARIANT_TRAINING_TRANSFORMER:
    case VARIANT_TRAINING_SUPERNET:
        break;
    }
    vt_train_transformer_options_init(&transformer);
    return transformer.common;
}

void variant_training_init_sized(variant_training *out, size_t size, variant_training_kind kind) {
    const vt_train_common common = common_defaults(kind);
    const variant_training defaults = {
        .backend = vt_kern_backend(0),
        .seed = common.seed,
        .learning_rate_end = common.lr.end,
        .warmup = common.lr.warmup,
        .weight_decay = common.optimizer.weight_decay,
        .beta1 = common.optimizer.beta1,
        .beta2 = common.optimizer.beta2,
        .clip = common.optimizer.clip,
        .precision = vt_number_name(common.precision),
        .log_every = common.log_every,
        .save_every = common.save_every,
        .sample_every = common.sample_every,
        .eval_every = common.eval_every,
        .eval_count = common.eval_count,
        .spike = common.spike,
        .verify = !common.trust,
        .wire = vt_number_name(VT_NUMBER_F32),
        .shard_optimizer = common.shard_optimizer,
    };
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_result_init_sized(variant_train_result *out, size_t size) {
    const variant_train_result defaults = {.test_loss = NAN};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_tokenizer_options_init_sized(variant_train_tokenizer_options *out, size_t size) {
    vt_train_tokenizer_options from;
    vt_train_tokenizer_options_init(&from);
    const variant_train_tokenizer_options defaults = {.blocks = from.config.blocks,
                                                      .vq_weight = from.vq_weight,
                                                      .revive_after = from.revive_after};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_transformer_options_init_sized(variant_train_transformer_options *out,
                                                  size_t size) {
    vt_train_transformer_options from;
    vt_train_transformer_options_init(&from);
    const variant_train_transformer_options defaults = {.label_drop = from.label_drop,
                                                        .label_smoothing = from.label_smoothing,
                                                        .mlp_ratio = from.mlp_ratio,
                                                        .l2_norm = from.config.l2_norm};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_supernet_options_init_sized(variant_train_supernet_options *out, size_t size) {
    vt_train_transformer_options from;
    vt_train_supernet_options_init(&from);
    const vt_phases *phases = &from.phases;
    const variant_train_supernet_options defaults = {.bridge = from.bridge,
                                                     .layers = vt_selector_name(from.selector),
                                                     .sandwich = phases->sandwich,
                                                     .fixed_ratio = phases->fixed_ratio,
                                                     .joint_ratio = phases->joint_ratio,
                                                     .joint_end = phases->joint_end,
                                                     .transition_end = phases->transition_end,
                                                     .draw = vt_draw_rule_name(phases->rule),
                                                     .distill = from.distill,
                                                     .distill_end = from.distill_end};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_classifier_options_init_sized(variant_train_classifier_options *out,
                                                 size_t size) {
    vt_train_classifier_options from;
    vt_train_classifier_options_init(&from);
    const variant_train_classifier_options defaults = {.width = from.config.width,
                                                       .blocks = from.config.blocks,
                                                       .features = from.config.features,
                                                       .crop = from.crop,
                                                       .erase = from.erase,
                                                       .label_smoothing = from.label_smoothing};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_train_decoder_options_init_sized(variant_train_decoder_options *out, size_t size) {
    vt_train_decoder_options from;
    vt_train_decoder_options_init(&from);
    const variant_train_decoder_options defaults = {
        .pixels = from.pixels, .teacher = from.teacher, .partial = from.partial};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- a run ---- */

typedef struct session {
    variant_training asked;
    vt_listener listener;
    vt_kern *kern;
    bool begun; /* what happens from here on is told to all ranks */
    vt_train_result result;
} session;

/* common: with the trainer's defaults; becomes what is asked for. */
static variant_status session_open(session *s, vt_train_common *common,
                                   const variant_training *training, variant_training_kind kind,
                                   variant_train_result *result, variant_error *err) {
    *s = (session){0};
    if (err) *err = (variant_error){0};
    if (result) VT_TRY(vt_sized_clear(result, "variant_train_result", err));
    s->listener.test_loss = NAN;
    variant_training_init(&s->asked, kind);
    VT_TRY(vt_sized_take(&s->asked, sizeof s->asked, training, "variant_training", err));
    VT_TRY(vt_asked_common(common, &s->asked, err));
    vt_listener_open(&s->listener, &s->asked, common);
    return vt_kern_open(&s->kern, s->asked.backend, s->asked.threads, err);
}

static variant_train_result result_of(const session *s) {
    const vt_train_result *from = &s->result;
    const vt_train_memory *m = &from->memory;
    variant_train_result out = {.stopped = from->stopped,
                                .step = from->step,
                                .steps = from->steps,
                                .loss = from->loss,
                                .test_loss = s->listener.test_loss,
                                .weight_bytes = m->weights,
                                .packed_bytes = m->packed,
                                .gradient_bytes = m->gradients,
                                .moment_bytes = m->moments,
                                .activation_bytes = m->activations,
                                .tokenizer_bytes = m->tokenizer,
                                .data_bytes = m->data,
                                .encoding_bytes = m->encoding,
                                .saving_bytes = m->saving,
                                .sample_bytes = m->samples,
                                .total_bytes = m->total,
                                .activation_peak = from->activations_peak};
    memcpy(out.model, from->model, sizeof out.model);
    return out;
}

static variant_status session_close(session *s, variant_status status, variant_train_result *result,
                                    variant_error *err) {
    if (!s->begun) status = vt_ranks_agree(s->asked.ranks, status, err);
    const variant_train_result told = result_of(s);
    vt_kern_close(&s->kern);
    if (result) vt_sized_give(result, &told, sizeof told);
    return status;
}

/* ---- the kinds ---- */

variant_status variant_train_tokenizer(const variant_training *training,
                                       const variant_train_tokenizer_options *options,
                                       variant_train_result *result, variant_error *error) {
    session s;
    variant_train_tokenizer_options asked;
    vt_train_tokenizer_options run;
    variant_status status = VARIANT_OK;
    vt_train_tokenizer_options_init(&run);
    variant_train_tokenizer_options_init(&asked);
    VT_CHECK(session_open(&s, &run.common, training, VARIANT_TRAINING_TOKENIZER, result, error));
    if (options) VT_CHECK(VT_SIZED_TAKE(&asked, options, variant_train_tokenizer_options, error));
    VT_CHECK(vt_asked_tokenizer(&run, &asked, error));
    s.begun = true;
    VT_CHECK(vt_train_tokenizer(s.kern, &run, &s.result, error));
cleanup:
    return session_close(&s, status, result, error);
}

variant_status variant_train_transformer(const variant_training *training,
                                         const variant_train_transformer_options *options,
                                         variant_train_result *result, variant_error *error) {
    session s;
    variant_train_transformer_options asked;
    vt_train_transformer_options run;
    variant_status status = VARIANT_OK;
    vt_train_transformer_options_init(&run);
    variant_train_transformer_options_init(&asked);
    VT_CHECK(session_open(&s, &run.common, training, VARIANT_TRAINING_TRANSFORMER, result, error));
    if (options) VT_CHECK(VT_SIZED_TAKE(&asked, options, variant_train_transformer_options, error));
    VT_CHECK(vt_asked_transformer(&run, &asked, error));
    s.begun = true;
    VT_CHECK(vt_train_transformer(s.kern, &run, &s.result, error));
cleanup:
    return session_close(&s, status, result, error);
}

variant_status variant_train_supernet(const variant_training *training,
                                      const variant_train_transformer_options *transformer,
                                      const variant_train_supernet_options *options,
                                      variant_train_result *result, variant_error *error) {
    session s;
    variant_train_transformer_options model;
    variant_train_supernet_options asked;
    vt_train_transformer_options run;
    variant_status status = VARIANT_OK;
    vt_train_supernet_options_init(&run);
    variant_train_transformer_options_init(&model);
    variant_train_supernet_options_init(&asked);
    VT_CHECK(session_open(&s, &run.common, training, VARIANT_TRAINING_SUPERNET, result, error));
    if (transformer)
        VT_CHECK(VT_SIZED_TAKE(&model, transformer, variant_train_transformer_options, error));
    if (options) VT_CHECK(VT_SIZED_TAKE(&asked, options, variant_train_supernet_options, error));
    VT_CHECK(vt_asked_transformer(&run, &model, error));
    VT_CHECK(vt_asked_supernet(&run, &asked, error));
    s.begun = true;
    VT_CHECK(vt_train_transformer(s.kern, &run, &s.result, error));
cleanup:
    return session_close(&s, status, result, error);
}

variant_status variant_train_classifier(const variant_training *training,
                                        const variant_train_classifier_options *options,
                                        variant_train_result *result, variant_error *error) {
    session s;
    variant_train_classifier_options asked;
    vt_train_classifier_options run;
    variant_status status = VARIANT_OK;
    vt_train_classifier_options_init(&run);
    variant_train_classifier_options_init(&asked);
    VT_CHECK(session_open(&s, &run.common, training, VARIANT_TRAINING_CLASSIFIER, result, error));
    if (options) VT_CHECK(VT_SIZED_TAKE(&asked, options, variant_train_classifier_options, error));
    VT_CHECK(vt_asked_classifier(&run, &asked, error));
    s.begun = true;
    VT_CHECK(vt_train_classifier(s.kern, &run, &s.result, error));
cleanup:
    return session_close(&s, status, result, error);
}

variant_status variant_train_decoder(const variant_training *training,
                                     const variant_train_decoder_options *options,
                                     variant_train_result *result, variant_error *error) {
    session s;
    variant_train_decoder_options asked;
    vt_train_decoder_options run;
    variant_status status = VARIANT_OK;
    vt_train_decoder_options_init(&run);
    variant_train_decoder_options_init(&asked);
    VT_CHECK(session_open(&s, &run.common, training, VARIANT_TRAINING_DECODER, result, error));
    if (options) VT_CHECK(VT_SIZED_TAKE(&asked, options, variant_train_decoder_options, error));
    VT_CHECK(vt_asked_decoder(&run, &asked, error));
    s.begun = true;
    VT_CHECK(vt_train_decoder(s.kern, &run, &s.result, error));
cleanup:
    return session_close(&s, status, result, error);
}
