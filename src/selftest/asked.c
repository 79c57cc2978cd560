/* asked.c - variant_selftest: what a caller asks for, checked, as selftest.h runs it. */
#include <string.h>

#include "core/sized.h"
#include "selftest/selftest.h"

void variant_selftest_options_init_sized(variant_selftest_options *out, size_t size) {
    const variant_selftest_options defaults = {.backend = vt_kern_backend(0)};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_selftest_counts_init_sized(variant_selftest_counts *out, size_t size) {
    const variant_selftest_counts defaults = {0};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

static void pass_line(void *user, const vt_selftest_line *line) {
    const variant_selftest_options *o = user;
    const variant_selftest_line out = {
        .file = line->file,
        .tensor = line->tensor,
        .verdict = line->verdict == VT_SELFTEST_PASS   ? VARIANT_VERDICT_PASS
                   : line->verdict == VT_SELFTEST_FAIL ? VARIANT_VERDICT_FAIL
                                                       : VARIANT_VERDICT_SKIP,
        .measure = line->type == VT_U8    ? "largest_difference"
                   : line->type == VT_I32 ? "different"
                                          : "error",
        .error = line->error,
        .tolerance = line->tolerance,
        .note = line->note};
    o->line(o->user, &out);
}

static variant_status open_test(vt_selftest **out, variant_selftest_options *o,
                                variant_error *err) {
    const char *weights = o->weights ? o->weights : "f32";
    const char *kv = o->kv ? o->kv : strcmp(weights, "int4") == 0 ? "int8" : weights;
    vt_selftest_options options = {.backend = o->backend,
                                   .threads = o->threads,
                                   .keep = o->dump != NULL,
                                   .line = o->line ? pass_line : NULL,
                                   .user = o};
    VT_TRY(vt_number_parse(&options.weights, "weights", weights, err));
    VT_TRY(vt_number_parse_kv(&options.kv, "kv", kv, err));
    return vt_selftest_open(out, &options, err);
}

static variant_status judge(const char *path, vt_selftest_counts counts, variant_error *err) {
    if (counts.failed > 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s: %d of %d results disagree with their reference", path, counts.failed,
                       counts.failed + counts.passed);
    if (counts.passed == 0)
        return vt_fail(err, VARIANT_E_MISMATCH, "%s: nothing there that could be compared", path);
    return VARIANT_OK;
}

variant_status variant_selftest(const char *path, const variant_selftest_options *options,
                                variant_selftest_counts *counts, variant_error *error) {
    variant_selftest_options taken;
    vt_selftest *test = NULL;
    variant_status status = VARIANT_OK;
    if (error) *error = (variant_error){0};
    if (!path)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a reference file, or a folder of them");
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_selftest_options, error));
    if (counts) VT_TRY(vt_sized_clear(counts, "variant_selftest_counts", error));
    VT_CHECK(open_test(&test, &taken, error));
    VT_CHECK(vt_selftest_run(test, path, error));
    const vt_selftest_counts found = vt_selftest_result(test);
    variant_selftest_counts out = {.passed = found.passed,
                                   .failed = found.failed,
                                   .files = found.files,
                                   .skipped = found.skipped};
    if (counts) vt_sized_give(counts, &out, sizeof out);
    if (taken.counted)
        taken.counted(taken.user, found.passed, found.failed, found.files, found.skipped);
    if (taken.dump) VT_CHECK(vt_selftest_dump(test, taken.dump, error));
    status = judge(path, found, error);
cleanup:
    vt_selftest_close(&test);
    return status;
}
