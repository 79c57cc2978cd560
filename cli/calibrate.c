/* calibrate.c - see calibrate.h. */
#include "calibrate.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "io/dataset.h"
#include "progress.h"

enum { PICTURES = 32 };
#define TOLERANCE 1.2

static bool add_data(void *owner, const char *text) {
    return cli_data_add(&((cli_calibration *)owner)->data.data, text);
}

#define SELF(member) cli_calibration, member
const cli_option cli_calibration_options[] = {
    {"calibrate", "DATA",
     "with --type int8 or int4: pictures as train reads them, on whose token maps each product's "
     "error is "
     "measured, and its way of rounding chosen",
     .read = add_data, .own = true, .unset = "nothing is measured, scales are of blocks of 128"},
    {"calibrate-pictures", "N", "so many of them, spread over the data set, {range}",
     CLI_INT(SELF(pictures), 1, 100000)},
    {"row-error", "X",
     "a product takes one scale for each row of its input, which AMX wants, where its error is at "
     "most X times that of a scale for each 128 numbers, {range}",
     CLI_REAL(SELF(tolerance), 0, 100)},
    CLI_ROWS(cli_data_options, cli_data, cli_calibration, data, CLI_PART_OF_DATA),
    {0},
};

cli_calibration cli_calibration_defaults(void) {
    cli_calibration out = {
        .data = cli_data_defaults(), .pictures = PICTURES, .tolerance = TOLERANCE};
    out.data.data.split = VT_SPLIT_TRAIN;
    return out;
}

/* ---- progress ---- */

typedef struct watch {
    cli_live live;
    cli_pace pace;
    const volatile sig_atomic_t *stop;
} watch;

static bool report(void *user, const char *doing, int done, int total) {
    watch *w = user;
    char left[48];
    if (done <= 1) w->pace = (cli_pace){0};
    cli_left_text(cli_pace_left(&w->pace, vt_seconds(), done, total), left, sizeof left);
    if (done < total)
        cli_live_show(&w->live, "%s: %d of %d%s", doing, done, total, left);
    else
        cli_live_clear(&w->live);
    return *w->stop == 0;
}

/* ---- pictures ---- */

/* Labels of the data set's classes in the model: by name; where no name is known and there are as many, by number; else
 * none. */
static variant_status match_classes(const vt_model *model, const vt_dataset *dataset,
                                    int32_t **labels, variant_error *err) {
    const int classes = vt_transformer_configuration(model->transformer)->classes;
    const int count = vt_dataset_classes(dataset);
    int known = 0;
    *labels = malloc((size_t)(count + 1) * sizeof **labels);
    if (!*labels) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d classes", count);
    for (int i = 0; i < count; ++i) {
        int label = classes;
        const char *name = vt_dataset_class_name(dataset, i);
        if (!vt_dataset_flat(dataset) && vt_model_class(model, name, &label, NULL) == VARIANT_OK)
            ++known;
        (*labels)[i] = label;
    }
    const bool numbered = known == 0 && count == classes && !vt_dataset_flat(dataset);
    for (int i = 0; numbered && i < count; ++i) (*labels)[i] = i;
    if (known < count && !numbered)
        cli_note(NULL, "classes of the data that the model does not know run without a class");
    return VARIANT_OK;
}

/* Tokens and labels of pictures spread over the data set. */
typedef struct lesson {
    int32_t *tokens, *labels;
    int count;
} lesson;

static variant_status read_lesson(lesson *out, cli_session *session, const vt_dataset *dataset,
                                  const int32_t *classes, watch *w, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    const size_t side = (size_t)vt_tokenizer_side(config);
    const size_t length = (size_t)vt_tokenizer_tokens(config), n = (size_t)out->count;
    float *picture = malloc(side * side * (size_t)config->channels * sizeof *picture);
    variant_status status = VARIANT_OK;
    out->tokens = malloc(n * length * sizeof *out->tokens);
    out->labels = malloc(n * sizeof *out->labels);
    if (!picture || !out->tokens || !out->labels)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %zu pictures", n));
    for (int i = 0; i < out->count; ++i) {
        const int index = (int)((int64_t)vt_dataset_count(dataset) * i / out->count);
        VT_CHECK(vt_dataset_read(dataset, index, (vt_crop){0.5, 0.5, false}, picture, err));
        VT_CHECK(cli_encode_pictures(session, 1, picture, out->tokens + (size_t)i * length, err));
        out->labels[i] = classes[vt_dataset_label(dataset, index)];
        if (!report(w, "encoding pictures", i + 1, out->count))
            VT_CHECK(vt_fail(err, VARIANT_E_STOPPED, "stopped while encoding pictures"));
    }
cleanup:
    free(picture);
    return status;
}

static variant_status open_data(vt_dataset **out, const cli_session *session,
                                const cli_calibration *asked, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    vt_dataset_options options = {.data = asked->data.data,
                                  .side = vt_tokenizer_side(config),
                                  .channels = config->channels,
                                  .warn = cli_note};
    vt_data_follow(&options.data, session->model->training);
    return vt_dataset_open(out, &options, err);
}

static variant_status measure(vt_int8_plan *out, cli_session *session, const cli_calibration *asked,
                              variant_error *err) {
    watch w = {.stop = cli_catch_stop()};
    vt_dataset *dataset = NULL;
    int32_t *classes = NULL;
    lesson l = {0};
    variant_status status = VARIANT_OK;
    cli_live_open(&w.live);
    VT_CHECK(open_data(&dataset, session, asked, err));
    VT_CHECK(match_classes(session->model, dataset, &classes, err));
    l.count =
        vt_dataset_count(dataset) < asked->pictures ? vt_dataset_count(dataset) : asked->pictures;
    VT_CHECK(read_lesson(&l, session, dataset, classes, &w, err));
    VT_CHECK(vt_calibrate(out, session->model,
                          &(vt_calibration){.tokens = l.tokens,
                                            .labels = l.labels,
                                            .pictures = l.count,
                                            .tolerance = asked->tolerance,
                                            .progress = report,
                                            .user = &w},
                          err));
cleanup:
    cli_live_clear(&w.live);
    free(l.tokens);
    free(l.labels);
    free(classes);
    vt_dataset_close(&dataset);
    return status;
}

variant_status cli_calibrate(vt_int8_plan *out, cli_session *session, const cli_calibration *asked,
                             variant_error *err) {
    if (asked->data.data.count == 0) return vt_int8_plan_plain(out, session->model, err);
    return measure(out, session, asked, err);
}

/* ---- what was chosen ---- */

static int print_int4(const vt_int8_plan *plan) {
    int count = 0, best[3] = {0};
    for (int i = 0; i < plan->count; ++i) {
        const vt_int8_choice *c = &plan->choices[i];
        count += c->int4;
        if (!c->int4 || c->rows == 0) continue;
        if (best[0] + best[1] + best[2] == 0)
            printf("%-36s %10s %10s %10s\n", "error of the product in int4", "nearest", "weighed",
                   "GPTQ");
        const bool up = c->made_up < c->nearest && c->made_up < c->weighed;
        const int way = up ? 2 : c->weighed < c->nearest ? 1 : 0;
        static const char *const names[] = {"nearest", "weighed", "GPTQ"};
        ++best[way];
        printf("%-36s %8.3f %% %8.3f %% %8.3f %%  %s\n", c->weight->name, 100 * c->nearest,
               100 * c->weighed, 100 * c->made_up, names[way]);
    }
    if (count > 0)
        printf("%d products in int4: %d to the nearest, %d weighed, %d by GPTQ\n", count,
               count - best[1] - best[2], best[1], best[2]);
    return count;
}

void cli_calibration_print(const vt_int8_plan *plan, bool json) {
    if (json) {
        char *text = vt_int8_plan_text(plan);
        if (text) printf("%s\n", text);
        cJSON_free(text);
        return;
    }
    if (plan->pictures == 0) return;
    int rows = 0, folded = 0;
    const int others = plan->count - print_int4(plan);
    printf("%-36s %22s %22s\n%-36s %10s %11s %10s %11s\n", "error of the product",
           "a scale a block", "a scale a row", "", "as it is", "folded", "as it is", "folded");
    for (int i = 0; i < plan->count; ++i) {
        const vt_int8_choice *c = &plan->choices[i];
        if (c->int4) continue;
        rows += c->is_whole;
        folded += c->factors != NULL;
        if (c->rows == 0) continue;
        printf("%-36s %8.3f %% %9.3f %% %8.3f %% %9.3f %%  %s%s\n", c->weight->name,
               100 * c->blocks, 100 * c->best_blocks, 100 * c->whole, 100 * c->best_whole,
               c->is_whole ? "rows" : "blocks", c->factors ? ", folded" : "");
    }
    printf("%d of %d products with one scale a row, factors folded before %d; measured on %d "
           "picture%s\n",
           rows, others, folded, plan->pictures, plan->pictures == 1 ? "" : "s");
}
