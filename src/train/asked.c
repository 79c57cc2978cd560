/* asked.c - see asked.h. Ranges are asked here of all that the trainers' own checks stand on: lengths of lists, sides, shapes. */
#include "train/asked.h"

#include <math.h>
#include <string.h>

/* ---- ranges ---- */

#define MOST 1000000000 /* steps and pictures */

/* A number, and what it may be: low to high, or `open`, where that is not within. */
typedef struct range {
    const char *name;
    double value, low, high, open;
} range;

static variant_status check_range(const range *r, variant_error *err) {
    if ((r->value >= r->low && r->value <= r->high) || r->value == r->open) return VARIANT_OK;
    if (r->open >= r->low && r->open <= r->high)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s %.10g: expected %.10g to %.10g", r->name,
                       r->value, r->low, r->high);
    return vt_fail(err, VARIANT_E_ARGUMENT, "%s %.10g: expected %.10g to %.10g, or %g", r->name,
                   r->value, r->low, r->high, r->open);
}

static variant_status check_ranges(const range *ranges, size_t count, variant_error *err) {
    for (size_t i = 0; i < count; ++i) VT_TRY(check_range(&ranges[i], err));
    return VARIANT_OK;
}
#define CHECK_RANGES(ranges, err) check_ranges((ranges), sizeof(ranges) / sizeof *(ranges), (err))

/* Copies a list of at most `most` whole numbers, each from 1 to high. */
static variant_status take_list(int *out, int *out_count, const char *name, const int *list,
                                int count, int most, int high, variant_error *err) {
    if (count < 0 || count > most)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d %s: expected at most %d", count, name, most);
    for (int i = 0; i < count; ++i)
        if (list[i] < 1 || list[i] > high)
            return vt_fail(err, VARIANT_E_ARGUMENT, "%d among %s: expected 1 to %d", list[i], name,
                           high);
    memcpy(out, list, (size_t)count * sizeof *out);
    *out_count = count;
    return VARIANT_OK;
}

/* ---- what all have ---- */

static variant_status check_training(const variant_training *asked, variant_error *err) {
    const range ranges[] = {
        {"threads", asked->threads, 1, 1024, 0},
        {"stop_after", (double)asked->stop_after, 0, MOST, 0},
        {"learning_rate", asked->learning_rate, 0, 1, 0},
        {"learning_rate_end", asked->learning_rate_end, 0, 1, -1},
        {"warmup", (double)asked->warmup, 0, MOST, -1},
    };
    if (asked->resume && asked->restart)
        return vt_fail(err, VARIANT_E_ARGUMENT, "resume and restart: expected one of them");
    if (asked->resume && !asked->output)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no output given: the folder of the run to resume");
    if (asked->keep_rate && !asked->resume)
        return vt_fail(err, VARIANT_E_ARGUMENT, "keep_rate is for resume");
    return CHECK_RANGES(ranges, err);
}

variant_status vt_asked_common(vt_train_common *out, const variant_training *asked,
                               variant_error *err) {
    vt_number precision = VT_NUMBER_F32, wire = VT_NUMBER_F32;
    VT_TRY(check_training(asked, err));
    if (asked->wire) VT_TRY(vt_number_parse(&wire, "wire", asked->wire, err));
    if (wire != VT_NUMBER_F32 && wire != VT_NUMBER_BF16)
        return vt_fail(err, VARIANT_E_ARGUMENT, "wire %s: expected f32 or bf16",
                       vt_number_name(wire));
    if (asked->precision) VT_TRY(vt_number_parse(&precision, "precision", asked->precision, err));
    *out = (vt_train_common){
        .output = asked->output,
        .epochs = asked->epochs,
        .steps = asked->steps,
        .batch = asked->batch,
        .accumulate = asked->accumulate,
        .recompute = asked->recompute,
        .limit = asked->limit,
        .seed = asked->seed,
        .lr = {.peak = asked->learning_rate,
               .end = asked->learning_rate_end,
               .cosine = !asked->constant_rate,
               .warmup = asked->warmup},
        .hold_rate = asked->keep_rate,
        .optimizer = out->optimizer,
        .precision = precision,
        .flip = asked->flip,
        .log_every = asked->log_every,
        .save_every = asked->save_every,
        .sample_every = asked->sample_every,
        .eval_every = asked->eval_every,
        .eval_count = asked->eval_count,
        .resume = asked->resume,
        .restart = asked->restart,
        .dry_run = asked->dry_run,
        .skip_diverged = asked->skip_diverged,
        .spike = asked->spike,
        .trust = !asked->verify,
        .index = asked->index,
        .stop_after = asked->stop_after,
        .ranks = asked->ranks,
        .wire = wire == VT_NUMBER_BF16 ? VT_WIRE_BF16 : VT_WIRE_F32,
        .shard_optimizer = asked->shard_optimizer,
    };
    out->optimizer.weight_decay = asked->weight_decay;
    out->optimizer.beta1 = asked->beta1;
    out->optimizer.beta2 = asked->beta2;
    out->optimizer.clip = asked->clip;
    return vt_data_take(&out->data, asked->data, err);
}

/* ---- the kinds ---- */

variant_status vt_asked_tokenizer(vt_train_tokenizer_options *out,
                                  const variant_train_tokenizer_options *asked,
                                  variant_error *err) {
    vt_tokenizer_config *config = &out->config;
    const range ranges[] = {
        {"side", asked->side, 1, 4096, 0},      {"channels", asked->channels, 1, 3, 0},
        {"width", asked->width, 32, 4096, 0},   {"blocks", asked->blocks, 1, 16, 1},
        {"codes", asked->codes, 2, 1 << 20, 0}, {"latent_dim", asked->latent_dim, 1, 4096, 0},
    };
    VT_TRY(CHECK_RANGES(ranges, err));
    VT_TRY(take_list(config->mult, &config->levels, "levels of mult", asked->mult,
                     asked->level_count, VT_MAX_LEVELS, 1024, err));
    VT_TRY(take_list(config->sides, &config->scales, "sides", asked->sides, asked->scales,
                     VT_MAX_SCALES, 128, err));
    config->channels = asked->channels;
    config->base_width = asked->width;
    config->blocks = asked->blocks;
    config->codes = asked->codes;
    config->latent_dim = asked->latent_dim;
    out->side = asked->side;
    out->crop = asked->crop;
    out->vq_weight = asked->vq_weight;
    out->revive_after = asked->revive_after;
    return VARIANT_OK;
}

variant_status vt_asked_transformer(vt_train_transformer_options *out,
                                    const variant_train_transformer_options *asked,
                                    variant_error *err) {
    const range ranges[] = {
        {"depth", asked->depth, 1, VT_SCHEDULE_LAYERS, 0},
        {"width", asked->width, 1, 65536, 0},
        {"heads", asked->heads, 1, 1024, 0},
        {"mlp_ratio", asked->mlp_ratio, 0.1, 64, 4},
    };
    VT_TRY(CHECK_RANGES(ranges, err));
    out->tokenizer = asked->tokenizer;
    out->part = asked->part;
    out->cache = asked->cache;
    out->common.verify_data = asked->verify_data;
    out->label_drop = asked->label_drop;
    out->label_smoothing = asked->label_smoothing;
    out->config.depth = asked->depth;
    out->config.width = asked->width;
    out->config.heads = asked->heads;
    out->config.shared_adaln = asked->shared_adaln;
    out->config.l2_norm = asked->l2_norm;
    out->mlp_ratio = asked->mlp_ratio;
    return VARIANT_OK;
}

static variant_status take_selector(vt_selector *out, const char *name, variant_error *err) {
    for (vt_selector each = VT_EQUIDISTANT; each < VT_EXPLICIT; ++each)
        if (!name || strcmp(name, vt_selector_name(each)) == 0) {
            *out = each;
            return VARIANT_OK;
        }
    return vt_fail(err, VARIANT_E_ARGUMENT, "layers %s: expected equidistant, rounded or prefix",
                   name);
}

static variant_status take_rule(vt_draw_rule *out, const char *name, variant_error *err) {
    for (vt_draw_rule each = VT_DRAW_UNIFORM; name && each <= VT_DRAW_DEEPEST_FIRST; ++each)
        if (strcmp(name, vt_draw_rule_name(each)) == 0) {
            *out = each;
            return VARIANT_OK;
        }
    return vt_fail(err, VARIANT_E_ARGUMENT, "draw %s: expected uniform, weighted or deepest-first",
                   name ? name : "of no name");
}

/* The rule that draws a subnet, and its weights. */
static variant_status take_draw(vt_train_transformer_options *out,
                                const variant_train_supernet_options *asked, variant_error *err) {
    vt_phases *phases = &out->phases;
    const int count = asked->weight_count;
    if (count < 0 || count > VT_MAX_DEPTHS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d weights: expected at most %d", count,
                       VT_MAX_DEPTHS);
    VT_TRY(take_rule(&phases->rule, asked->draw, err));
    if (phases->rule == VT_DRAW_UNIFORM && count > 0) phases->rule = VT_DRAW_WEIGHTED;
    if ((phases->rule == VT_DRAW_WEIGHTED) != (count > 0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d weights and draw %s: weights are for weighted",
                       count, asked->draw);
    memcpy(phases->weights, asked->weights, sizeof phases->weights);
    out->weight_count = count;
    return VARIANT_OK;
}

static variant_status take_phases(vt_phases *out, const variant_train_supernet_options *asked,
                                  variant_error *err) {
    const bool fixed = !(asked->fixed_ratio < 0.0);
    const range ranges[] = {
        {"fixed_ratio", fixed ? asked->fixed_ratio : 0.0, 0, 1, 0},
        {"joint_ratio", asked->joint_ratio, 0, 1, 0},
        {"joint_end", asked->joint_end, 0, 1e6, -1},
        {"transition_end", asked->transition_end, 0, 1e6, -1},
        {"more_bridge", asked->more_bridge, 0, VT_SCHEDULE_SCALES, 0},
    };
    VT_TRY(CHECK_RANGES(ranges, err));
    out->sandwich = asked->sandwich && !fixed;
    out->fixed_ratio = asked->fixed_ratio;
    out->joint_ratio = asked->joint_ratio;
    out->joint_end = asked->joint_end;
    out->transition_end = asked->transition_end;
    out->more_bridge = asked->more_bridge;
    return take_list(out->depths, &out->depth_count, "depths", asked->depths, asked->depth_count,
                     VT_MAX_DEPTHS, VT_SCHEDULE_LAYERS, err);
}

variant_status vt_asked_supernet(vt_train_transformer_options *out,
                                 const variant_train_supernet_options *asked, variant_error *err) {
    const range ranges[] = {
        {"bridge", asked->bridge, 0, VT_SCHEDULE_SCALES, -1},
        {"uncond_depth", asked->uncond_depth, 0, VT_SCHEDULE_LAYERS, 0},
    };
    VT_TRY(CHECK_RANGES(ranges, err));
    VT_TRY(take_phases(&out->phases, asked, err));
    VT_TRY(take_draw(out, asked, err));
    out->model = asked->model;
    out->bridge = asked->bridge;
    out->schedules = asked->schedules;
    out->distill = asked->distill;
    out->distill_end = asked->distill_end;
    out->uncond_depth = asked->uncond_depth;
    out->log_conflict = asked->log_conflict;
    return take_selector(&out->selector, asked->layers, err);
}

variant_status vt_asked_classifier(vt_train_classifier_options *out,
                                   const variant_train_classifier_options *asked,
                                   variant_error *err) {
    vt_classifier_config *config = &out->config;
    const range ranges[] = {
        {"side", asked->side, 2, 1024, 0},          {"channels", asked->channels, 1, 3, 0},
        {"width", asked->width, 32, 4096, 32},      {"blocks", asked->blocks, 1, 16, 1},
        {"features", asked->features, 1, 4096, 64},
    };
    VT_TRY(CHECK_RANGES(ranges, err));
    VT_TRY(take_list(config->mult, &config->levels, "levels of mult", asked->mult,
                     asked->level_count, VT_CLASSIFIER_LEVELS, 1024, err));
    config->side = asked->side;
    config->channels = asked->channels;
    config->width = asked->width;
    config->blocks = asked->blocks;
    config->features = asked->features;
    out->model = asked->model;
    out->crop = asked->crop;
    out->erase = asked->erase;
    out->label_smoothing = asked->label_smoothing;
    return VARIANT_OK;
}

variant_status vt_asked_decoder(vt_train_decoder_options *out,
                                const variant_train_decoder_options *asked, variant_error *err) {
    (void)err;
    out->tokenizer = asked->tokenizer;
    out->part = asked->part;
    out->size = asked->decoder;
    out->pixels = asked->pixels;
    out->teacher = asked->teacher;
    out->partial = asked->partial;
    return VARIANT_OK;
}
