/* tensor_groups.c - names as a model has them, out of names as wrappers left them (vt_tensor_file_unwrap).
 *
 * DistributedDataParallel puts "module." before every name, torch.compile "_orig_mod.", trainers the name of
 * an attribute ("model.", "ema.", "var."), and all of them nest. FSDP, checkpointing and torch.compile of
 * single layers put theirs in the middle of a name. What stands before a name that a layout is known by is
 * taken off and kept as the tensor's group. */
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"

/* Components that no model has of its own, taken out wherever they stand but at the beginning. */
static const char *const inner_wrappers[] = {"_orig_mod.", "_fsdp_wrapped_module.",
                                             "_checkpoint_wrapped_module."};

typedef struct wrap {
    const char *group;  /* the file's, of the tensors in question */
    const char *prefix; /* "module.ema.": what is taken off, with its last dot */
    size_t length;
    const char *joined; /* the group that they go to */
} wrap;

typedef struct wrap_list {
    wrap *items;
    int count;
} wrap_list;

enum { MOST_WRAPS = 256 }; /* state dicts in a file */

bool vt_tensor_group_is_training(const char *path) {
    static const char *const words[] = {
        "training", "optimizer", "optimizers", "optimizer_states", "optim",
        "opt",      "exp_avg",   "exp_avg_sq", "optimizer_state",  "optimizer_state_dict"};
    while (*path) {
        size_t length = strcspn(path, "/.");
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strlen(words[i]) == length && memcmp(path, words[i], length) == 0) return true;
        path += length + (path[length] != '\0');
    }
    return false;
}

/* name without inner wrappers behind its first `keep` bytes; itself where it has none. */
static const char *without_wrappers(vt_tensor_file *file, const char *name, size_t keep) {
    bool any = false;
    for (size_t i = 0; i < sizeof inner_wrappers / sizeof *inner_wrappers; i++)
        any = any || strstr(name + keep, inner_wrappers[i]);
    if (!any) return name;
    size_t length = strlen(name), used = keep, at = keep;
    char *out = vt_pool_text(&file->pool, name, length);
    if (!out) return NULL;
    while (at < length) {
        size_t skip = 0;
        for (size_t i = 0; (at == keep || name[at - 1] == '.') && i < 3; i++)
            if (strncmp(name + at, inner_wrappers[i], strlen(inner_wrappers[i])) == 0)
                skip = strlen(inner_wrappers[i]);
        at += skip;
        if (!skip) out[used++] = name[at++];
    }
    out[used] = '\0';
    return out;
}

/* Length of what stands before `mark` at the end of name, inner wrappers within the mark left out of
 * account; SIZE_MAX when it does not end so. */
static size_t prefix_of(vt_tensor_file *file, const char *name, const char *mark) {
    size_t marked = strlen(mark), length = strlen(name);
    if (length >= marked && strcmp(name + length - marked, mark) == 0 &&
        (length == marked || strchr("./", name[length - marked - 1])))
        return length - marked;
    size_t first = strcspn(mark, ".") + 1; /* the mark's first component, with its dot */
    for (size_t at = 0; at + first <= length; at++) {
        if (strncmp(name + at, mark, first) != 0 || (at > 0 && !strchr("./", name[at - 1])))
            continue;
        const char *plain = without_wrappers(file, name, at);
        if (plain && plain != name && strcmp(plain + at, mark) == 0) return at;
    }
    return SIZE_MAX;
}

static variant_status add_wrap(vt_tensor_file *file, wrap_list *list, const vt_tensor *tensor,
                               size_t length, variant_error *err) {
    for (int i = 0; i < list->count; i++)
        if (list->items[i].length == length && strcmp(list->items[i].group, tensor->group) == 0 &&
            strncmp(list->items[i].prefix, tensor->name, length) == 0)
            return VARIANT_OK;
    if (list->count == MOST_WRAPS)
        return vt_fail(err, VARIANT_E_FORMAT, "holds more than %d models", (int)MOST_WRAPS);
    wrap *made = &list->items[list->count];
    size_t group = strlen(tensor->group), shown = length > 0 ? length - 1 : 0;
    char *joined = vt_pool_take(&file->pool, group + shown + 2);
    const char *prefix = vt_pool_text(&file->pool, tensor->name, length);
    if (!joined || !prefix) return vt_pool_fail(&file->pool, err);
    memcpy(joined, tensor->group, group);
    if (group > 0 && shown > 0) joined[group++] = '/';
    memcpy(joined + group, prefix, shown);
    *made = (wrap){tensor->group, prefix, length, joined};
    if (!vt_tensor_group_is_training(joined)) list->count++;
    return VARIANT_OK;
}

/* The longest prefix under which the tensor lies; NULL. */
static const wrap *wrap_of(const wrap_list *list, const vt_tensor *tensor) {
    const wrap *best = NULL;
    for (int i = 0; i < list->count; i++) {
        const wrap *w = &list->items[i];
        if (strcmp(w->group, tensor->group) == 0 &&
            strncmp(tensor->name, w->prefix, w->length) == 0 && (!best || w->length > best->length))
            best = w;
    }
    return best;
}

/* A module that was pickled whole, or as TorchScript, keeps its tensors by attributes: the names it would have
 * in a state dict are the paths to them. */
static const char *flat_name(vt_tensor_file *file, const vt_tensor *tensor) {
    static const char *const kept_in[] = {"_modules/", "_parameters/", "_buffers/"};
    size_t group = strlen(tensor->group), name = strlen(tensor->name), used = 0;
    char *out = vt_pool_take(&file->pool, group + name + 2);
    if (!out) return NULL;
    memcpy(out, tensor->group, group);
    if (group) out[group++] = '/';
    memcpy(out + group, tensor->name, name);
    for (const char *at = out; *at;) {
        size_t skip = 0;
        for (size_t i = 0; (at == out || at[-1] == '/') && i < 3; i++)
            if (strncmp(at, kept_in[i], strlen(kept_in[i])) == 0) skip = strlen(kept_in[i]);
        at += skip;
        if (!skip) out[used++] = *at++;
    }
    out[used] = '\0';
    for (char *c = out; *c; c++)
        if (*c == '/') *c = '.';
    return out;
}

static bool has_mark(vt_tensor_file *file, const char *name, const char *const *marks, int count) {
    bool has = false;
    for (int m = 0; m < count; m++) has = has || prefix_of(file, name, marks[m]) != SIZE_MAX;
    return has;
}

/* Names all tensors by their paths where no name is known and a path is. */
static variant_status flatten(vt_tensor_file *file, const char *const *marks, int count,
                              variant_error *err) {
    bool known = false;
    for (int i = 0; i < file->count; i++) {
        const vt_tensor *tensor = &file->tensors[i];
        if (has_mark(file, tensor->name, marks, count)) return VARIANT_OK;
        if (known || !tensor->group[0]) continue;
        const char *flat = flat_name(file, tensor);
        if (!flat) return vt_pool_fail(&file->pool, err);
        known = has_mark(file, flat, marks, count);
    }
    for (int i = 0; known && i < file->count; i++) {
        vt_tensor *tensor = &file->tensors[i];
        if (vt_tensor_group_is_training(tensor->group)) continue;
        tensor->name = flat_name(file, tensor);
        if (!tensor->name) return vt_pool_fail(&file->pool, err);
        tensor->group = "";
    }
    return known ? vt_tensor_file_index(file, err) : VARIANT_OK;
}

variant_status vt_tensor_file_unwrap(vt_tensor_file *file, const char *const *marks, int count,
                                     variant_error *err) {
    variant_status status = VARIANT_OK;
    wrap_list list = {.items = calloc(MOST_WRAPS + 1, sizeof *list.items)};
    bool changed = false;
    if (!list.items) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to read it", file->path);
    VT_CHECK(flatten(file, marks, count, err));
    for (int i = 0; i < file->count; i++) {
        for (int m = 0; m < count; m++) {
            size_t length = prefix_of(file, file->tensors[i].name, marks[m]);
            if (length != SIZE_MAX) VT_CHECK(add_wrap(file, &list, &file->tensors[i], length, err));
        }
    }
    for (int i = 0; i < file->count; i++) {
        vt_tensor *tensor = &file->tensors[i];
        const wrap *w = wrap_of(&list, tensor);
        if (!w) continue;
        const char *name = without_wrappers(file, tensor->name, w->length);
        if (!name) VT_CHECK(vt_pool_fail(&file->pool, err));
        changed = changed || name != tensor->name || w->length > 0;
        tensor->name = name + w->length;
        tensor->group = w->joined;
    }
    if (changed) status = vt_tensor_file_index(file, err);

cleanup:
    free(list.items);
    if (status != VARIANT_OK) status = vt_fail_within(err, status, "%s", file->path);
    return status;
}
