/* defaults.c - see defaults.h. */
#include "train/defaults.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variant.h"

#define LINE_LENGTH 90

/* ---- what the run before had ---- */

static const char *recalled(const vt_train_loop *loop, const char *key) {
    return loop->past ? vt_past_setting(loop->past, key) : NULL;
}

void vt_defaults_recall_int(const vt_train_loop *loop, const char *key, int *value) {
    const char *text = recalled(loop, key);
    if (text && *value == 0) *value = (int)strtol(text, NULL, 10);
}

void vt_defaults_recall_double(const vt_train_loop *loop, const char *key, double *value) {
    const char *text = recalled(loop, key);
    if (text && *value < 0.0) *value = strtod(text, NULL);
}

void vt_defaults_recall_list(const vt_train_loop *loop, const char *key, int most, int *list,
                             int *count) {
    const char *text = recalled(loop, key);
    int held = text && *count == 0 ? variant_list_ints(text, INT_MIN, INT_MAX, most, list) : 0;
    if (held > 0) *count = held;
}

/* ---- what is said of it ---- */

static void append(vt_train_loop *loop, const char *name, const char *value) {
    size_t used = strlen(loop->chosen);
    if (used < sizeof loop->chosen)
        snprintf(loop->chosen + used, sizeof loop->chosen - used, "%s--%s %s", used ? " " : "",
                 name, value);
}

void vt_defaults_chose(vt_train_loop *loop, int given, const char *name, const char *format, ...) {
    char value[64];
    if (given || loop->past) return;
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    append(loop, name, value);
}

void vt_defaults_chose_list(vt_train_loop *loop, int given, const char *name, const int *list,
                            int count) {
    char value[160] = "";
    size_t used = 0;
    if (given || loop->past) return;
    for (int i = 0; i < count && used < sizeof value; ++i)
        used += (size_t)snprintf(value + used, sizeof value - used, i ? ",%d" : "%d", list[i]);
    append(loop, name, value);
}

void vt_defaults_note(vt_train_loop *loop) {
    const char *at = loop->chosen, *lead = "chosen: ";
    while (*at) {
        size_t length = strlen(at);
        if (length > LINE_LENGTH) { /* cut before an option */
            length = LINE_LENGTH;
            while (length > 0 && strncmp(at + length, " --", 3) != 0) --length;
            if (length == 0) length = strlen(at);
        }
        vt_train_loop_note(loop, "%s%.*s", lead, (int)length, at);
        at += length;
        at += *at == ' ';
        lead = "        ";
    }
}

/* ---- length and rate ---- */

void vt_defaults_batch(vt_train_loop *loop, vt_train_common *common, vt_train_kind kind,
                       int pictures, int side) {
    int given = common->batch;
    vt_defaults_recall_int(loop, "batch", &common->batch);
    if (common->batch == 0) common->batch = vt_choose_batch(kind, pictures, side);
    vt_defaults_chose(loop, given, "batch", "%d", common->batch);
}

double vt_defaults_epochs(const vt_train_loop *loop) {
    return (double)loop->steps / (double)loop->steps_per_epoch;
}

static void settle_steps(vt_train_loop *loop, vt_train_common *common,
                         const vt_run_extent *extent) {
    bool given = common->steps > 0 || common->epochs > 0.0;
    if (!given && loop->past && loop->past->steps > 0)
        common->steps = loop->past->steps;
    else if (!given)
        common->epochs = vt_choose_epochs(extent->kind, extent->pictures, extent->steps_per_epoch);
    loop->steps = common->steps > 0 ? common->steps
                                    : llround(common->epochs * (double)extent->steps_per_epoch);
    if (loop->steps < 1) loop->steps = 1;
    vt_defaults_chose(loop, given, "epochs", "%g", common->epochs);
}

static void settle_rate(vt_train_loop *loop, vt_lr *lr, const vt_run_extent *extent) {
    bool given = lr->peak != 0.0, given_warmup = lr->warmup >= 0;
    const vt_past *past = loop->past;
    double warmup = (double)lr->warmup;
    if (!given && past) lr->peak = past->rate;
    if (!given && lr->peak == 0.0) {
        double text = -1.0; /* a checkpoint from before exact rates */
        vt_defaults_recall_double(loop, "lr", &text);
        lr->peak =
            text > 0.0 ? text : vt_choose_rate(extent->kind, extent->width, extent->trained_on);
    }
    vt_defaults_chose(loop, given, "lr", "%g", lr->peak);
    if (lr->end < 0.0 && past && past->rate_end > 0.0) lr->end = past->rate_end;
    if (lr->end < 0.0) vt_defaults_recall_double(loop, "lr-end", &lr->end);
    if (lr->end < 0.0) lr->end = lr->peak / 50.0;
    vt_defaults_recall_double(loop, "warmup", &warmup);
    lr->warmup = warmup >= 0.0 ? (int64_t)warmup : vt_choose_warmup(extent->kind, loop->steps);
    vt_defaults_chose(loop, given_warmup, "warmup", "%" PRId64, lr->warmup);
}

/* Where the run before had another length than this one is to have. */
static variant_status replan(vt_train_loop *loop, vt_train_common *common, variant_error *err) {
    const vt_past *past = loop->past;
    vt_lr *lr = &common->lr;
    const char *text = recalled(loop, VT_SETTING_REPLANNED);
    char rule[16] = "";
    if (text && sscanf(text, "%" SCNd64 ":%lg:%15s", &lr->replanned, &lr->rate_then, rule) == 3)
        lr->hold = strcmp(rule, "constant") == 0;
    if (loop->steps < past->step)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: at step %" PRId64 " already, %" PRId64 " steps lie behind; expected at "
                       "least as many",
                       loop->folder, past->step, loop->steps);
    if (past->steps == 0 || past->steps == loop->steps) return VARIANT_OK;
    if (!lr->cosine || past->step == 0) {
        vt_train_loop_note(loop, "%" PRId64 " steps instead of %" PRId64, loop->steps, past->steps);
        return VARIANT_OK;
    }
    lr->rate_then = vt_lr_at(lr, past->step - 1, past->steps);
    lr->replanned = past->step;
    lr->hold = common->hold_rate;
    vt_train_loop_note(loop, "%" PRId64 " steps instead of %" PRId64 ": the rate %s (extend)",
                       loop->steps, past->steps,
                       lr->hold ? "stays as it is" : "follows the cosine of the new length");
    return VARIANT_OK;
}

variant_status vt_defaults_length(vt_train_loop *loop, vt_train_common *common,
                                  const vt_run_extent *extent, variant_error *err) {
    loop->steps_per_epoch = extent->steps_per_epoch;
    settle_steps(loop, common, extent);
    settle_rate(loop, &common->lr, extent);
    VT_TRY(vt_lr_check(&common->lr, err));
    if (loop->past) return replan(loop, common, err);
    if (common->lr.warmup >= loop->steps && common->lr.warmup > 1)
        vt_train_loop_note(loop,
                           "the warm-up of %" PRId64
                           " steps is as long as the training: it ends at "
                           "its highest rate",
                           common->lr.warmup);
    return VARIANT_OK;
}
