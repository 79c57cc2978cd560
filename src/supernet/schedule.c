/* schedule.c - builds schedules, reads them from words, and does the arithmetic of their KV cache;
 * see schedule.h. */
#include "supernet/schedule.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "variant.h"

/* ---- building ---- */

static variant_status schedule_start(vt_schedule *out, int scales, int depth, variant_error *err) {
    memset(out, 0, sizeof *out);
    if (scales < 1 || scales > VT_SCHEDULE_SCALES)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a schedule of %d scales: expected 1 to %d", scales,
                       VT_SCHEDULE_SCALES);
    if (depth < 1 || depth > VT_SCHEDULE_LAYERS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a schedule of %d layers: expected 1 to %d", depth,
                       VT_SCHEDULE_LAYERS);
    out->scales = scales;
    out->depth = depth;
    return VARIANT_OK;
}

variant_status vt_schedule_full(vt_schedule *out, int scales, int depth, variant_error *err) {
    VT_TRY(schedule_start(out, scales, depth, err));
    for (int k = 0; k < scales; ++k) memset(out->runs[k], 1, (size_t)depth);
    return VARIANT_OK;
}

variant_status vt_schedule_zones(vt_schedule *out, int scales, int depth, int bridge,
                                 const uint8_t *keep, variant_error *err) {
    VT_TRY(schedule_start(out, scales, depth, err));
    if (bridge < 0 || bridge > scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "bridge %d: this model has %d scales, expected 0 to %d", bridge, scales,
                       scales);
    int kept = 0;
    for (int l = 0; l < depth; ++l) kept += keep[l] != 0;
    if (kept == 0 && bridge < scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the flexible zone keeps no layer: expected at least one");
    for (int k = 0; k < scales; ++k)
        for (int l = 0; l < depth; ++l) out->runs[k][l] = k < bridge || keep[l] != 0;
    return VARIANT_OK;
}

variant_status vt_schedule_depths(vt_schedule *out, int scales, int depth, const int *depths,
                                  int count, vt_selector selector, variant_error *err) {
    VT_TRY(schedule_start(out, scales, depth, err));
    if (count != scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d depths given: this model has %d scales, expected one depth a "
                       "scale",
                       count, scales);
    for (int k = 0; k < scales; ++k)
        if (vt_layers_select(selector, depth, depths[k], out->runs[k], err) != VARIANT_OK)
            return vt_fail_within(err, VARIANT_E_ARGUMENT, "scale %d", k);
    return VARIANT_OK;
}

/* ---- words ---- */

enum { MOST_NUMBER = 999999 };

static variant_status read_depths(const char *text, int *depths, int *count, variant_error *err) {
    *count = variant_list_ints(text, 0, MOST_NUMBER, VT_SCHEDULE_SCALES, depths);
    if (*count > 0) return VARIANT_OK;
    if (*count < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "depths \"%.64s\": more than %d numbers", text,
                       VT_SCHEDULE_SCALES);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "depths \"%.64s\": expected numbers between commas, one a scale", text);
}

typedef struct layer_list {
    int depth;
    uint8_t *keep;   /* (depth) */
    int first, last; /* of the range at hand */
} layer_list;

static bool take_layers(void *user, int index, const char **at) {
    layer_list *list = user;
    int first = 0, last = 0;
    (void)index;
    list->first = list->last = 0;
    if (!variant_text_int(at, 0, MOST_NUMBER, &first)) return false;
    const char *behind = *at + strspn(*at, " \t");
    last = first;
    if (*behind == '-') {
        *at = behind + 1;
        if (!variant_text_int(at, 0, MOST_NUMBER, &last)) return false;
    }
    list->first = first;
    list->last = last;
    for (int l = first; l <= last && last < list->depth; ++l) list->keep[l] = 1;
    return first <= last && last < list->depth;
}

/* "0,3,5-7" up to ';' or the end; *at is left there. */
static variant_status read_layers(const char **at, int depth, uint8_t *keep, const char *text,
                                  variant_error *err) {
    layer_list list = {.depth = depth, .keep = keep};
    memset(keep, 0, (size_t)depth);
    if (variant_list_read(at, ";", INT_MAX, take_layers, &list) > 0) return VARIANT_OK;
    if (list.last < list.first)
        return vt_fail(err, VARIANT_E_ARGUMENT, "layers \"%.64s\": the range %d-%d runs backwards",
                       text, list.first, list.last);
    if (list.last >= depth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "layers \"%.64s\": there is no layer %d, this model has layers 0 to %d",
                       text, list.last, depth - 1);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "layers \"%.64s\": expected equidistant, rounded, prefix, a list "
                   "such as 0,3,5-7, or one list a scale between semicolons",
                   text);
}

static variant_status resolve_lists(vt_schedule *out, int scales, int depth, const char *text,
                                    variant_error *err) {
    VT_TRY(schedule_start(out, scales, depth, err));
    int lists = 1;
    for (const char *c = text; *c != '\0'; ++c) lists += *c == ';';
    if (lists != scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "layers \"%.64s\": %d lists given, this model has %d scales", text, lists,
                       scales);
    const char *at = text;
    for (int k = 0; k < scales; ++k, ++at) VT_TRY(read_layers(&at, depth, out->runs[k], text, err));
    return VARIANT_OK;
}

static bool read_selector(const char *text, vt_selector *selector) {
    for (vt_selector s = VT_EQUIDISTANT; s < VT_EXPLICIT; ++s)
        if (strcmp(text, vt_selector_name(s)) == 0) {
            *selector = s;
            return true;
        }
    return false;
}

variant_status vt_schedule_resolve(vt_schedule *out, int scales, int depth,
                                   const vt_schedule_request *request, variant_error *err) {
    const char *layers = request->layers, *depths = request->depths;
    vt_selector selector = request->default_selector;
    bool listed = layers != NULL && !read_selector(layers, &selector);

    VT_TRY(schedule_start(out, scales, depth, err)); /* bounds, before anything is read by them */
    if (depths != NULL) {
        int values[VT_SCHEDULE_SCALES], count = 0;
        if (request->depth != 0 || request->bridge >= 0)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "depths already says every scale's depth: give it without depth "
                           "and bridge");
        if (listed)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "depths and a list of layers contradict each other: give one, or "
                           "depths with equidistant, rounded or prefix");
        VT_TRY(read_depths(depths, values, &count, err));
        return vt_schedule_depths(out, scales, depth, values, count, selector, err);
    }
    if (request->depth < 0 || request->depth > depth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "depth %d: this model has %d layers, expected 1 to %d (0: all)",
                       request->depth, depth, depth);
    if (listed && (strchr(layers, ';') != NULL || scales == 1)) {
        if (request->depth != 0 || request->bridge >= 0)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "layers already lists every scale's layers: give it without "
                           "depth and bridge");
        return resolve_lists(out, scales, depth, layers, err);
    }

    uint8_t keep[VT_SCHEDULE_LAYERS];
    if (listed) {
        const char *at = layers;
        VT_TRY(read_layers(&at, depth, keep, layers, err));
        int kept = 0;
        for (int l = 0; l < depth; ++l) kept += keep[l];
        if (request->depth != 0 && request->depth != kept)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "depth %d contradicts the %d layers listed: give one of them",
                           request->depth, kept);
    } else {
        VT_TRY(vt_layers_select(selector, depth, request->depth == 0 ? depth : request->depth, keep,
                                err));
    }
    int bridge = request->bridge;
    if (bridge < 0) bridge = request->default_bridge < scales ? request->default_bridge : scales;
    return vt_schedule_zones(out, scales, depth, bridge < 0 ? 0 : bridge, keep, err);
}

/* Appends to a text of fixed size, cutting what does not fit. */
static size_t append(char *out, size_t size, size_t at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static size_t append(char *out, size_t size, size_t at, const char *format, ...) {
    if (at + 1 >= size) return at;
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(out + at, size - at, format, args);
    va_end(args);
    if (wrote < 0) return at;
    return (size_t)wrote < size - at ? at + (size_t)wrote : size - 1;
}

void vt_schedule_describe(const vt_schedule *schedule, char *out, size_t size) {
    size_t at = 0;
    if (size > 0) out[0] = '\0';
    for (int k = 0; k < schedule->scales; ++k)
        at = append(out, size, at, k == 0 ? "%d" : ",%d", vt_schedule_depth_at(schedule, k));
}

void vt_schedule_describe_layers(const vt_schedule *schedule, char *out, size_t size) {
    size_t at = 0;
    if (size > 0) out[0] = '\0';
    for (int k = 0; k < schedule->scales; ++k) {
        const char *mark = k == 0 ? "" : ";";
        for (int l = 0; l < schedule->depth; ++l) {
            if (!schedule->runs[k][l]) continue;
            int last = l;
            while (last + 1 < schedule->depth && schedule->runs[k][last + 1]) ++last;
            if (last == l)
                at = append(out, size, at, "%s%d", mark, l);
            else
                at = append(out, size, at, "%s%d%c%d", mark, l, last == l + 1 ? ',' : '-', last);
            l = last;
            mark = ",";
        }
    }
}

/* ---- arithmetic ---- */

int vt_schedule_depth_at(const vt_schedule *schedule, int scale) {
    int n = 0;
    for (int l = 0; l < schedule->depth; ++l) n += schedule->runs[scale][l] != 0;
    return n;
}

int vt_schedule_last_scale(const vt_schedule *schedule, int layer) {
    int last = schedule->scales - 1;
    while (last >= 0 && !schedule->runs[last][layer]) --last;
    return last;
}

bool vt_schedule_is_full(const vt_schedule *schedule) {
    for (int k = 0; k < schedule->scales; ++k)
        if (vt_schedule_depth_at(schedule, k) != schedule->depth) return false;
    return true;
}

int vt_schedule_layer_tokens(const vt_schedule *schedule, const int *sides, int layer, int scale) {
    int tokens = 0;
    for (int k = 0; k <= scale; ++k)
        if (schedule->runs[k][layer]) tokens += sides[k] * sides[k];
    return tokens;
}

int64_t vt_schedule_kv_tokens(const vt_schedule *schedule, const int *sides, int scale,
                              bool released) {
    int64_t tokens = 0;
    for (int l = 0; l < schedule->depth; ++l) {
        if (released && vt_schedule_last_scale(schedule, l) < scale) continue;
        tokens += vt_schedule_layer_tokens(schedule, sides, l, scale);
    }
    return tokens;
}

int64_t vt_schedule_branches_kv_tokens(const vt_schedule *cond, const vt_schedule *uncond,
                                       int uncond_scales, const int *sides, int scale,
                                       bool released) {
    int64_t tokens = vt_schedule_kv_tokens(cond, sides, scale, released);
    if (uncond_scales < 1 || (released && scale >= uncond_scales)) return tokens;
    const int last = scale < uncond_scales ? scale : uncond_scales - 1;
    return tokens + vt_schedule_kv_tokens(uncond, sides, last, released);
}

int64_t vt_schedule_kv_peak_tokens(const vt_schedule *schedule, const int *sides, bool released) {
    int64_t peak = 0;
    for (int k = 0; k < schedule->scales; ++k) {
        int64_t tokens = vt_schedule_kv_tokens(schedule, sides, k, released);
        if (tokens > peak) peak = tokens;
    }
    return peak;
}
