/* asked.c - see asked.h. */
#include "convert/asked.h"

#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "io/file.h"
#include "io/tensors.h"

enum { PICTURES = 32, MOST_PICTURES = 100000, MOST_NAME_BYTES = 1 << 24 };
#define ROW_ERROR 1.2
#define MOST_ROW_ERROR 100.0

void variant_convert_options_init_sized(variant_convert_options *out, size_t size) {
    const variant_convert_options defaults = {.calibrate_count = PICTURES, .row_error = ROW_ERROR};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- options ---- */

static bool goes_on(void *user, const char *doing, int done, int total) {
    const variant_convert_options *o = &((vt_convert_asked *)user)->options;
    if (o->cancel && __atomic_load_n(o->cancel, __ATOMIC_RELAXED)) return false;
    return !o->progress || o->progress(o->user, doing, done, total);
}

static variant_status take_type(vt_convert_asked *out, variant_error *err) {
    static const struct {
        const char *name;
        vt_dtype type;
        bool int8, int4;
    } types[] = {{"f32", VT_F32, false, false},
                 {"f16", VT_F16, false, false},
                 {"bf16", VT_BF16, false, false},
                 {"int8", VT_F32, true, false},
                 {"int4", VT_F32, true, true}};
    const char *name = out->options.type ? out->options.type : "f32";
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i)
        if (strcmp(name, types[i].name) == 0) {
            out->type = types[i].type;
            out->int8 = types[i].int8;
            out->int4 = types[i].int4;
            return VARIANT_OK;
        }
    return vt_fail(err, VARIANT_E_ARGUMENT, "type \"%.60s\": expected f32, f16, bf16, int8 or int4",
                   name);
}

static variant_status take_pack(vt_convert_asked *out, variant_error *err) {
    const variant_convert_options *o = &out->options;
    out->pack = o->pack != NULL;
    if (!out->pack) return VARIANT_OK;
    if (o->type || o->force)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "pack %.60s beside a type or force: packed weights are as they are computed "
                       "with",
                       o->pack);
    VT_TRY(vt_number_parse(&out->packed, "pack", o->pack, err));
    if (out->packed != VT_NUMBER_F32) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "pack f32: expected bf16, int8 or int4");
}

/* Which files, and of what kind. */
static variant_status take_layout(const vt_convert_asked *out, variant_error *err) {
    const variant_convert_options *o = &out->options;
    if (o->to && strcmp(o->to, "torch-names") != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "to \"%.60s\": expected torch-names, or nothing",
                       o->to);
    if (o->to && (out->pack || out->int8))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "to=%s with %s: it is a model for PyTorch, of f32, f16 or bf16", o->to,
                       out->pack ? "pack" : "type=int8 or int4");
    if (o->tokenizer_output && !o->to)
        return vt_fail(err, VARIANT_E_ARGUMENT, "tokenizer_output %.100s belongs to to=torch-names",
                       o->tokenizer_output);
    if (!o->to && vt_torch_is_name(o->output))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: what is written is safetensors; a file for PyTorch: to=torch-names",
                       o->output);
    if (out->pack && o->max_shard_bytes > 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "max_shard_bytes %zu: a packed file is one, which is used where it lies",
                       o->max_shard_bytes);
    return VARIANT_OK;
}

static variant_status take_calibration(vt_convert_asked *out, variant_error *err) {
    const variant_convert_options *o = &out->options;
    out->calibrates = o->calibrate != NULL;
    if (!out->calibrates) return VARIANT_OK;
    if (!out->int8)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "pictures to calibrate with belong to type=int8 or int4");
    if (o->calibrate_count < 1 || o->calibrate_count > MOST_PICTURES)
        return vt_fail(err, VARIANT_E_ARGUMENT, "calibrate_count %d: expected 1 to %d",
                       o->calibrate_count, MOST_PICTURES);
    if (!(o->row_error >= 0 && o->row_error <= MOST_ROW_ERROR))
        return vt_fail(err, VARIANT_E_ARGUMENT, "row_error %g: expected 0 to %g", o->row_error,
                       MOST_ROW_ERROR);
    const variant_status status = vt_data_take(&out->data, o->calibrate, err);
    return status == VARIANT_OK ? status : vt_fail_within(err, status, "calibrate");
}

variant_status vt_convert_take(vt_convert_asked *out, const variant_engine_options *model,
                               const variant_convert_options *options, variant_error *err) {
    *out = (vt_convert_asked){.watch = {goes_on, out}};
    VT_TRY(VT_SIZED_TAKE(&out->engine, model, variant_engine_options, err));
    VT_TRY(VT_SIZED_TAKE(&out->options, options, variant_convert_options, err));
    const variant_convert_options *o = &out->options;
    if (!o->output || !*o->output)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no output: expected the file to write");
    if (o->classes && o->class_names)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "classes both of %s and as class_names: expected one of them", o->classes);
    VT_TRY(vt_need_list(o->class_names, "class_names", o->class_count, "class_count", err));
    if (o->class_names && o->class_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "class_names, but no class_count of them");
    if (o->uncond_depth < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "uncond_depth %d: expected a trained depth, or 0",
                       o->uncond_depth);
    VT_TRY(take_type(out, err));
    VT_TRY(take_pack(out, err));
    VT_TRY(take_layout(out, err));
    return take_calibration(out, err);
}

/* ---- names of classes ---- */

static variant_status check_count(const char *where, int count, int expected, variant_error *err) {
    if (count == expected) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL, "%s: holds %d names, the model has %d classes", where,
                   count, expected);
}

/* Cuts text into its lines in place; blank lines at the end do not count. */
static variant_status cut_names(vt_class_names *out, const char *path, int expected,
                                variant_error *err) {
    char *line = out->text;
    size_t length = strlen(line), count = 0;
    while (length > 0 && strchr(" \t\r\n", line[length - 1])) line[--length] = '\0';
    for (size_t i = 0; i < length; ++i) count += line[i] == '\n';
    count += length > 0;
    VT_TRY(check_count(path, (int)count, expected, err));
    out->owned = calloc(count + 1, sizeof *out->owned);
    if (!out->owned) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the class names");
    for (size_t i = 0; i < count; ++i) {
        char *end = strchr(line, '\n');
        if (end) *end = '\0';
        const size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r') line[n - 1] = '\0';
        if (line[0] == '\0')
            return vt_fail(err, VARIANT_E_FORMAT, "%s:%zu: an empty class name", path, i + 1);
        out->owned[i] = line;
        if (end) line = end + 1;
    }
    out->names = out->owned;
    out->count = (int)count;
    return VARIANT_OK;
}

variant_status vt_convert_names(vt_class_names *out, const vt_convert_asked *asked, int classes,
                                variant_error *err) {
    const variant_convert_options *o = &asked->options;
    *out = (vt_class_names){0};
    if (o->classes) {
        VT_TRY(vt_file_read_text(&out->text, o->classes, MOST_NAME_BYTES, err));
        return cut_names(out, o->classes, classes, err);
    }
    if (!o->class_names) return VARIANT_OK;
    VT_TRY(check_count("class_names", o->class_count, classes, err));
    for (int i = 0; i < o->class_count; ++i)
        if (!o->class_names[i] || !*o->class_names[i])
            return vt_fail(err, VARIANT_E_ARGUMENT, "class_names: class %d has no name", i);
    out->names = (char *const *)(uintptr_t)o->class_names;
    out->count = o->class_count;
    return VARIANT_OK;
}

void vt_convert_names_close(vt_class_names *names) {
    free(names->owned);
    free(names->text);
    *names = (vt_class_names){0};
}
