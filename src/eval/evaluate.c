/* evaluate.c - the public functions around a judge: opening one, its reference, scores of pictures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/sized.h"
#include "engine/codec.h"
#include "eval/library.h"
#include "eval/score.h"
#include "io/json.h"

void variant_judge_options_init_sized(variant_judge_options *out, size_t size) {
    const variant_judge_options defaults = {.backend = vt_kern_backend(0), .verify = true};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_eval_options_init_sized(variant_eval_options *out, size_t size) {
    const variant_eval_options defaults = {.draws = -1};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

static variant_scores no_scores(void) {
    return (variant_scores){.frechet = NAN,
                            .frechet_spread = NAN,
                            .spatial_frechet = NAN,
                            .spatial_frechet_spread = NAN,
                            .inception_score = NAN,
                            .inception_spread = NAN,
                            .precision = NAN,
                            .precision_spread = NAN,
                            .recall = NAN,
                            .recall_spread = NAN,
                            .class_share = NAN,
                            .class_share_spread = NAN,
                            .psnr = NAN,
                            .psnr_spread = NAN,
                            .ssim = NAN,
                            .ssim_spread = NAN,
                            .kid = NAN,
                            .kid_spread = NAN};
}

void variant_scores_init_sized(variant_scores *out, size_t size) {
    const variant_scores defaults = no_scores();
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- opening ---- */

static void describe(variant_judge *j) {
    const vt_features_info *network = &j->judge.network;
    const vt_reference *reference = &j->judge.reference;
    const vt_data *data = j->judge.has_data ? &j->judge.data : NULL;
    j->network = (variant_network){
        .name = network->name,
        .inception = network->inception,
        .side = network->side,
        .channels = network->channels,
        .dims = network->dims,
        .spatial_dims = network->spatial_dims,
        .classes = network->classes,
        .hash = network->hash,
        .resize = network->resizes ? vt_features_resize_name(network->resize) : NULL,
        .reference = j->judge.has_reference ? reference->source : NULL,
        .reference_count = j->judge.has_reference ? reference->count : 0,
        .draws = vt_eval_default_draws(network),
        .split = data ? vt_split_name(data->split) : NULL,
        .fit = data ? vt_fit_name(data->fit) : NULL,
        .alpha = data ? vt_alpha_name(data->alpha) : NULL,
        .holdout = data ? data->holdout : 0};
}

static bool is_cancelled(const variant_judge *j) {
    return j->options.cancel && __atomic_load_n(j->options.cancel, __ATOMIC_RELAXED);
}

bool vt_judge_goes_on(variant_judge *j, const char *doing, int done, int total) {
    const variant_judge_options *o = &j->options;
    return !is_cancelled(j) && (!o->progress || o->progress(o->user, doing, done, total));
}

static bool tell_reference(void *user, int done, int total) {
    return vt_judge_goes_on(user, "reference", done, total);
}

static bool tell_pictures(void *user, int done, int total) {
    return vt_judge_goes_on(user, "pictures", done, total);
}

static bool tell_draws(void *user, int done, int total) {
    return vt_judge_goes_on(user, "spread", done, total);
}

static void pass_note(void *user, const char *line) {
    const variant_judge *j = user;
    if (j->options.note) j->options.note(j->options.user, line);
}

variant_status vt_resize_parse(int *out, const char *name, variant_error *err) {
    *out = -1;
    if (!name) return VARIANT_OK;
    for (vt_features_resize each = VT_RESIZE_PYTORCH; each <= VT_RESIZE_TENSORFLOW; ++each)
        if (strcmp(name, vt_features_resize_name(each)) == 0) {
            *out = (int)each;
            return VARIANT_OK;
        }
    return vt_fail(err, VARIANT_E_ARGUMENT, "resize \"%.60s\": expected pytorch or tensorflow",
                   name);
}

/* A file of one kind under a name that promises another is one that nobody reads again. */
static variant_status check_name(const char *path, const char *other, const char *own,
                                 const char *what, variant_error *err) {
    const char *dot = path ? strrchr(path, '.') : NULL;
    if (!dot || strcasecmp(dot, other) != 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: %s are written as %s: expected a name that says so", path, what, own);
}

static variant_status open_judge(variant_judge *j, variant_error *err) {
    vt_judge_options options = {.features = j->options.features,
                                .model = j->options.model,
                                .trust = !j->options.verify,
                                .save_reference = j->options.save_reference,
                                .backend = j->options.backend,
                                .threads = j->options.threads,
                                .progress = tell_reference,
                                .note = pass_note,
                                .user = j};
    if ((!options.features || !options.features[0]) && !options.model)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "which network judges? expected features: an Inception file, or what a "
                       "classifier's training made");
    VT_TRY(vt_resize_parse(&options.resize, j->options.resize, err));
    VT_TRY(vt_judge_open(&j->judge, &options, err));
    describe(j);
    return VARIANT_OK;
}

variant_status variant_judge_open(variant_judge **out, const variant_judge_options *options,
                                  variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put a judge");
    variant_judge *j = *out = calloc(1, sizeof *j);
    if (!j) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a judge");
    variant_status status = VT_SIZED_TAKE(&j->options, options, variant_judge_options, error);
    if (status == VARIANT_OK) status = open_judge(j, error);
    if (status != VARIANT_OK) variant_judge_close(out);
    return status;
}

void variant_judge_close(variant_judge **judge) {
    if (!judge || !*judge) return;
    vt_judge_close(&(*judge)->judge);
    free(*judge);
    *judge = NULL;
}

const variant_network *variant_judge_network(const variant_judge *judge) {
    return judge ? &judge->network : NULL;
}

const char *variant_judge_class_name(const variant_judge *judge, int label) {
    return judge && label >= 0 && label < judge->network.classes
               ? vt_features_class_name(judge->judge.features, label)
               : NULL;
}

/* ---- real pictures ---- */

variant_status vt_data_take_set(vt_data *out, const variant_data *given, const char *what,
                                vt_split split, variant_error *err) {
    VT_TRY(vt_data_take_as(out, given, what, split, err));
    if (!out->files) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: a list of picture files is no data set: expected paths or an array", what);
}

static variant_status check_sides(int count, int side, int channels, variant_error *err) {
    if (count >= 0 && side >= 0 && side <= 32768 &&
        (channels == 0 || channels == 1 || channels == 3))
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "count %d, side %d, channels %d: expected 0 or more, and 0, 1 or 3 channels",
                   count, side, channels);
}

static variant_status check_judge(const variant_judge *judge, variant_error *err) {
    if (err) *err = (variant_error){0};
    return judge ? VARIANT_OK : vt_fail(err, VARIANT_E_ARGUMENT, "no judge: expected an open one");
}

/* Takes the place of the reference there is, also where it fails: then there is none. */
static variant_status read_reference(variant_judge *j, const vt_data *data, int count, int side,
                                     int channels, variant_error *err) {
    vt_reference_close(&j->judge.reference);
    j->judge.has_reference = j->judge.has_data = false;
    j->judge.options.reference_count = count;
    const variant_status status = vt_judge_reference(&j->judge, data, side, channels, err);
    describe(j);
    j->judge.has_data = false; /* what it points to is the caller's */
    return status;
}

variant_status variant_judge_reference(variant_judge *judge, const variant_data *data, int count,
                                       int side, int channels, variant_error *error) {
    vt_data taken;
    VT_TRY(check_judge(judge, error));
    VT_TRY(check_sides(count, side, channels, error));
    VT_TRY(vt_data_take_set(&taken, data, "reference", VT_SPLIT_TEST, error));
    taken.flat_whole = !taken.split_chosen;
    VT_TRY(vt_judge_follow(&judge->judge, &taken, error));
    return read_reference(judge, &taken, count, side, channels, error);
}

bool variant_is_statistics(const char *path) {
    return path && vt_judge_is_statistics(path);
}

variant_status variant_judge_save(const variant_judge *judge, const char *path,
                                  variant_error *error) {
    VT_TRY(check_judge(judge, error));
    if (!path || !path[0])
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a file to write statistics to");
    if (!judge->judge.has_reference || !judge->judge.reference.kept)
        return vt_fail(error, VARIANT_E_ARGUMENT,
                       "no reference of pictures whose statistics could be kept");
    return vt_reference_save(&judge->judge.reference, path, error);
}

/* ---- scores ---- */

static void copy_scores(variant_scores *out, const vt_eval_scores *from,
                        const vt_features_info *network) {
    vt_eval_name(out->name, sizeof out->name, "FID", network);
    out->count = from->count;
    out->reference_count = from->reference_count;
    out->draws = from->draws;
    out->frechet = from->frechet;
    out->frechet_spread = from->frechet_spread;
    out->spatial_frechet = from->spatial_frechet;
    out->spatial_frechet_spread = from->spatial_frechet_spread;
    out->inception_score = from->inception_score;
    out->inception_spread = from->inception_spread;
    out->precision = from->precision;
    out->precision_spread = from->precision_spread;
    out->recall = from->recall;
    out->recall_spread = from->recall_spread;
    out->neighbours_of = from->neighbours_of;
    out->class_share = from->class_share;
    out->class_share_spread = from->class_share_spread;
    out->kid = from->kid;
    out->kid_spread = from->kid_spread;
    out->warning_count = from->warning_count;
    for (int i = 0; i < from->warning_count; ++i)
        snprintf(out->warnings[i], sizeof out->warnings[i], "%s", from->warnings[i]);
}

static vt_eval_scores inner_scores(const variant_scores *from) {
    vt_eval_scores out = {.count = from->count,
                          .reference_count = from->reference_count,
                          .draws = from->draws,
                          .frechet = from->frechet,
                          .frechet_spread = from->frechet_spread,
                          .spatial_frechet = from->spatial_frechet,
                          .spatial_frechet_spread = from->spatial_frechet_spread,
                          .inception_score = from->inception_score,
                          .inception_spread = from->inception_spread,
                          .precision = from->precision,
                          .precision_spread = from->precision_spread,
                          .recall = from->recall,
                          .recall_spread = from->recall_spread,
                          .neighbours_of = from->neighbours_of,
                          .class_share = from->class_share,
                          .class_share_spread = from->class_share_spread,
                          .kid = from->kid,
                          .kid_spread = from->kid_spread};
    for (int i = 0; i < from->warning_count && i < VT_EVAL_WARNINGS; ++i, ++out.warning_count)
        snprintf(out.warnings[i], sizeof out.warnings[i], "%s", from->warnings[i]);
    return out;
}

/* An evaluation at work. */
typedef struct evaluation {
    variant_judge *judge;
    variant_eval_options options;
    vt_score_by by;
    vt_eval_scores scores;
    vt_score_fidelity fidelity;
    vt_codec *codec; /* of `through`, and room for a batch of its tokens */
    int32_t *tokens;
    int side, channels; /* of what is judged, and how it was taken */
    const vt_data *data;
    vt_data room;
} evaluation;

/* As the model's training took pictures, where it left a record, else as the network's did. */
static variant_status follow(const evaluation *e, const char *training, vt_data *data,
                             variant_error *err) {
    return training ? vt_data_follow(data, training, err)
                    : vt_judge_follow(&e->judge->judge, data, err);
}

/* The reference that the options name, for pictures like these. */
static variant_status take_reference(evaluation *e, const char *training, variant_error *err) {
    const variant_eval_options *o = &e->options;
    vt_data data;
    if (!o->reference) return VARIANT_OK;
    VT_TRY(vt_data_take_set(&data, o->reference, "reference", VT_SPLIT_TEST, err));
    data.flat_whole = !data.split_chosen;
    VT_TRY(follow(e, training, &data, err));
    return read_reference(e->judge, &data, o->reference_count, e->side, e->channels, err);
}

static void pass_generated(void *user, const variant_picture *pictures, int count,
                           const variant_report *report) {
    const evaluation *e = user;
    if (e->options.generated) e->options.generated(e->options.user, pictures, count, report);
}

static variant_status of_engine(evaluation *e, variant_error *err) {
    variant_request request;
    vt_score_made made = {0};
    VT_TRY(VT_SIZED_TAKE(&request, e->options.request, variant_request, err));
    if (request.count < 2)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d pictures: scores need at least 2",
                       request.count);
    const variant_info *info = variant_engine_info(e->options.engine);
    e->side = info->picture_side;
    e->channels = info->channels;
    VT_TRY(take_reference(e, e->options.engine->model->training, err));
    e->by.generated = pass_generated;
    e->by.generated_user = e;
    const variant_status status =
        vt_score_generated(&e->scores, &e->by, e->options.engine, &request, &made, err);
    free(made.settings);
    return status;
}

/* The network's classes, where the pictures have them; a note says so where one would expect them. */
static bool classes_match(const evaluation *e, const vt_source *source) {
    const vt_judge *judge = &e->judge->judge;
    char line[512], name[256];
    if (!source->labelled || judge->network.inception) return false;
    if (vt_judge_dataset_matches(judge, source->dataset)) return true;
    vt_data_name(e->data, name, sizeof name);
    snprintf(line, sizeof line, "%s: its classes are not the network's: no share in their class",
             name);
    pass_note(e->judge, line);
    return false;
}

static variant_status of_pictures(evaluation *e, variant_error *err) {
    const variant_eval_options *o = &e->options;
    vt_source source = {0};
    vt_data *data = &e->room;
    VT_TRY(vt_data_take_set(data, o->pictures, "pictures", VT_SPLIT_ALL, err));
    if (!data->split_chosen) data->holdout = 0; /* finished pictures: no share is held out */
    data->flat_whole = true;
    VT_TRY(vt_judge_follow(&e->judge->judge, data, err));
    e->data = data;
    variant_status status =
        vt_source_open(&source, data, o->side, o->channels, o->count, pass_note, e->judge, err);
    e->side = source.side;
    e->channels = source.channels;
    if (status == VARIANT_OK) status = take_reference(e, NULL, err);
    if (status == VARIANT_OK)
        status = vt_score_finished(&e->scores, &e->by, &source, classes_match(e, &source), err);
    vt_source_close(&source);
    return status;
}

static variant_status there_and_back(void *user, int n, float *pictures, variant_error *err) {
    evaluation *e = user;
    VT_TRY(vt_codec_encode(e->codec, n, pictures, e->tokens, err));
    return vt_codec_decode(e->codec, n, e->tokens, pictures, err);
}

static variant_status open_codec(evaluation *e, variant_error *err) {
    const variant_token_shape *shape = variant_tokenizer_shape(e->options.through);
    e->codec = vt_codec_of(e->options.through);
    VT_TRY(vt_codec_choose(e->codec, e->options.decoder, err));
    e->tokens = malloc(VT_SCORE_BATCH * (size_t)shape->tokens * sizeof *e->tokens);
    return e->tokens ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for tokens");
}

static variant_status of_tokenizer(evaluation *e, variant_error *err) {
    const variant_token_shape *shape = variant_tokenizer_shape(e->options.through);
    const int side = e->side = shape->picture_side, channels = e->channels = shape->channels;
    vt_source source = {0};
    vt_data *data = &e->room;
    char name[256];
    VT_TRY(open_codec(e, err));
    const char *training = e->codec->model->training;
    VT_TRY(vt_data_take_set(data, e->options.pictures, "pictures", VT_SPLIT_TEST, err));
    VT_TRY(follow(e, training, data, err));
    e->data = data;
    vt_data_name(data, name, sizeof name);
    VT_TRY(take_reference(e, training, err));
    const bool other = e->judge->judge.has_reference;
    if (!other)
        VT_TRY(read_reference(e->judge, data, e->options.reference_count, side, channels, err));
    variant_status status = vt_source_open(&source, data, side, channels, e->options.count,
                                           other ? pass_note : NULL, e->judge, err);
    if (status == VARIANT_OK)
        status = vt_score_reconstructed(&e->scores, &e->fidelity, &e->by, &source,
                                        classes_match(e, &source), name, there_and_back, e, err);
    vt_source_close(&source);
    return status;
}

static variant_status check_eval(const variant_eval_options *o, variant_error *err) {
    VT_TRY(check_sides(o->count, o->side, o->channels, err));
    if (!o->engine == !o->pictures || !o->engine != !o->request)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "what is judged? expected an engine with a request, or pictures");
    if (o->through && o->engine)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a tokenizer takes pictures, not those of a request");
    if (o->reference_count < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "reference_count %d: expected 0 or more",
                       o->reference_count);
    if (o->draws < -1 || o->draws == 1 || o->draws > 10000)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d draws: expected 0 (none), 2 to 10000, or -1 for the usual number",
                       o->draws);
    return check_name(o->save_statistics, ".safetensors", ".npz", "statistics of what is judged",
                      err);
}

variant_status variant_evaluate(variant_judge *judge, const variant_eval_options *options,
                                variant_scores *scores, variant_error *error) {
    evaluation e = {.judge = judge, .fidelity = {NAN, NAN, NAN, NAN}};
    VT_TRY(check_judge(judge, error));
    VT_TRY(VT_SIZED_TAKE(&e.options, options, variant_eval_options, error));
    VT_TRY(vt_sized_clear(scores, "variant_scores", error));
    VT_TRY(check_eval(&e.options, error));
    const int draws = e.options.draws;
    e.by = (vt_score_by){
        .judge = &judge->judge,
        .draws = {.count = draws >= 0 ? draws : vt_eval_default_draws(&judge->judge.network),
                  .seed = e.options.seed,
                  .progress = tell_draws,
                  .user = judge},
        .progress = tell_pictures,
        .user = judge,
        .save_statistics = e.options.save_statistics};
    const variant_status status = e.options.engine    ? of_engine(&e, error)
                                  : e.options.through ? of_tokenizer(&e, error)
                                                      : of_pictures(&e, error);
    free(e.tokens);
    if (status != VARIANT_OK) return status;
    variant_scores found = no_scores();
    copy_scores(&found, &e.scores, &judge->judge.network);
    found.psnr = e.fidelity.psnr;
    found.psnr_spread = e.fidelity.psnr_spread;
    found.ssim = e.fidelity.ssim;
    found.ssim_spread = e.fidelity.ssim_spread;
    found.side = e.side;
    found.channels = e.channels;
    if (e.data) {
        found.split = vt_split_name(e.data->split);
        found.fit = vt_fit_name(e.data->fit);
        found.alpha = vt_alpha_name(e.data->alpha);
        found.holdout = e.data->holdout;
    }
    vt_sized_give(scores, &found, sizeof found);
    return VARIANT_OK;
}

cJSON *vt_scores_json(const variant_judge *judge, const variant_scores *scores) {
    variant_scores taken;
    if (!judge || VT_SIZED_TAKE(&taken, scores, variant_scores, NULL) != VARIANT_OK) return NULL;
    const vt_eval_scores inner = inner_scores(&taken);
    return vt_eval_scores_json(&inner, &judge->judge.network,
                               judge->judge.has_reference ? &judge->judge.reference : NULL);
}

char *variant_scores_json(const variant_judge *judge, const variant_scores *scores) {
    cJSON *json = vt_scores_json(judge, scores);
    char *text = json ? vt_json_text(json) : NULL;
    cJSON_Delete(json);
    return text;
}
