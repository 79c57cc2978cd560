/* model_files.c - finds the tokenizer and the transformer among files and state dicts; see model_files.h.
 *
 * A file is asked for the tensor that each part is known by, whatever words wrappers put before it; every
 * state dict that has it is a candidate. Of several, averaged weights (EMA) are what one wants to draw from;
 * what was taken is said. */
#include "engine/model_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/model_config.h"
#include "engine/model_packed.h"
#include "core/descriptor.h"
#include "io/file.h"

#define MOST_GROUPS 64
#define MOST_FILES 256
#define LIST_TEXT 200

static const char *const part_names[VT_MODEL_PARTS] = {"tokenizer", "transformer"};
static const char *const part_marks[VT_MODEL_PARTS] = {VT_TOKENIZER_MARK, VT_TRANSFORMER_MARK};

void vt_model_warn(const vt_model_options *options, const char *format, ...) {
    char line[1024];
    if (!options->warn) return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    options->warn(options->user, line);
}

static variant_status open_table(vt_tensor_file **out, const char *path, const vt_in_memory *memory,
                                 variant_error *err) {
    VT_TRY(vt_tensor_file_of_table(out, path, memory->tensors, memory->count, err));
    if (!memory->config) return VARIANT_OK;
    variant_status status = vt_tensor_file_add_meta(*out, VT_CONFIG_KEY, memory->config, err);
    if (status != VARIANT_OK) vt_tensor_file_close(out);
    return status;
}

/* memory NULL: of the file `path`. */
static variant_status open_file(vt_tensor_file **out, const char *path, const vt_in_memory *memory,
                                const vt_model_options *how, variant_error *err) {
    if (!memory)
        VT_TRY((how->guard ? vt_tensor_file_open_guarded : vt_tensor_file_open)(out, path, err));
    else if (memory->tensors)
        VT_TRY(open_table(out, path, memory, err));
    else
        VT_TRY(vt_tensor_file_of_memory(out, path, memory->bytes, memory->size, err));
    if (!how->verify) vt_tensor_file_trust(*out);
    variant_status status = vt_packed_open(*out, err);
    if (status == VARIANT_OK) status = vt_tensor_file_unwrap(*out, part_marks, VT_MODEL_PARTS, err);
    if (status != VARIANT_OK) vt_tensor_file_close(out);
    return status;
}

/* ---- state dicts of a file ---- */

/* For a person, and for --part: the group, or that it has none. */
static const char *shown(const char *group) {
    return *group ? group : "bare";
}

/* The groups that hold the part, in the file's order. */
int vt_model_groups(const vt_tensor_file *file, int part, const char **groups, int most) {
    int count = 0;
    for (int i = 0; i < vt_tensor_file_count(file) && count < most; ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strcmp(tensor->name, part_marks[part]) == 0 &&
            !vt_tensor_group_is_training(tensor->group))
            groups[count++] = tensor->group;
    }
    return count;
}

static void join_groups(char *out, size_t size, const char *const *groups, int count) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < count && used < size; ++i)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%.60s", i ? ", " : "", shown(groups[i]));
}

/* Calls test(component, length) for each of a path's components: true when it is for any, or for all. */
static bool components(const char *path, bool (*test)(const char *, size_t), bool all) {
    while (*path) {
        size_t length = strcspn(path, "/.");
        if (length > 0 && test(path, length) != all) return !all;
        path += length + (path[length] != '\0');
    }
    return all;
}

/* "ema", "model_ema", "ema_state_dict", "ema0", "shadow", "swa-model": averaged weights. */
static bool is_average(const char *text, size_t length) {
    static const char *const words[] = {"ema",     "emas", "shadow", "averaged",
                                        "average", "swa",  "polyak"};
    for (size_t at = 0; at < length;) {
        size_t word = 0;
        while (at + word < length && isalpha((unsigned char)text[at + word])) ++word;
        for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
            if (strlen(words[i]) == word && strncasecmp(text + at, words[i], word) == 0)
                return true;
        at += word + 1;
    }
    return false;
}

/* What trainers call the weights that they train. */
static bool is_usual(const char *text, size_t length) {
    static const char *const words[] = {
        "model",   "module",     "state_dict", "model_state_dict", "model_state", "net",
        "network", "trainer",    "params",     "weights",          "_orig_mod",   "generator",
        "var",     "var_wo_ddp", "vae",        "vae_local",        "transformer", "tokenizer"};
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        if (strlen(words[i]) == length && strncmp(text, words[i], length) == 0) return true;
    return false;
}

/* Does --part name this group: all of it, or some of its components in a row? */
static bool names_group(const char *name, const char *group) {
    size_t length = strlen(name);
    if (strcmp(name, shown(group)) == 0) return true;
    for (const char *at = group; length > 0 && (at = strstr(at, name)); ++at)
        if ((at == group || strchr("/.", at[-1])) && strchr("/.", at[length])) return true;
    return false;
}

static int matching(const char *const *groups, int count, const char *part, int *last) {
    int found = 0;
    for (int i = 0; i < count; ++i) {
        if (strcmp(part, shown(groups[i])) == 0) {
            *last = i;
            return 1;
        }
        if (!names_group(part, groups[i])) continue;
        *last = i;
        ++found;
    }
    return found;
}

/* The only one of the groups that is averaged, or that has a usual name; -1. */
static int only(const char *const *groups, int count, bool average) {
    int found = -1;
    for (int i = 0; i < count; ++i) {
        bool is = average ? components(groups[i], is_average, false)
                          : components(groups[i], is_usual, true);
        if (!is) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

typedef struct search {
    vt_model *model;
    const vt_model_options *options;
    bool part_found;          /* --part named a group somewhere */
    char said[LIST_TEXT * 2]; /* the last choice that was told: of two parts alike, once */
    char has[LIST_TEXT];      /* the groups there were, where --part named none of them */
} search;

/* Averaged weights without names, as a list beside a model (torch_ema, diffusers): nobody can say whose each
 * is. */
static bool has_nameless_average(const vt_tensor_file *file) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const char *group = vt_tensor_file_at(file, i)->group, *last = strrchr(group, '/');
        if (strcmp(last ? last + 1 : group, "shadow_params") == 0) return true;
    }
    return false;
}

static void tell_choice(search *s, const vt_tensor_file *file, const char *const *groups, int count,
                        int taken, bool average) {
    char list[LIST_TEXT], line[LIST_TEXT * 2];
    join_groups(list, sizeof list, groups, count);
    snprintf(line, sizeof line, "holds %d models (%s): takes %s%s; part NAME takes another", count,
             list, shown(groups[taken]), average ? ", the averaged weights" : "");
    if (strcmp(line, s->said) == 0) return;
    snprintf(s->said, sizeof s->said, "%s", line);
    vt_model_warn(s->options, "%s: %s", vt_tensor_file_path(file), line);
}

/* Which of the groups; *taken -1 when nothing tells. */
static variant_status choose(search *s, const vt_tensor_file *file, int part,
                             const char *const *groups, int count, int *taken, variant_error *err) {
    const char *wanted = s->options->part;
    char list[LIST_TEXT];
    join_groups(list, sizeof list, groups, count);
    *taken = 0;
    if (wanted) {
        int found = matching(groups, count, wanted, taken);
        if (found == 1) s->part_found = true;
        if (found == 1) return VARIANT_OK;
        if (found > 1)
            return vt_fail(err, VARIANT_E_ARGUMENT, "%s: part %s names %d of its models: %s",
                           vt_tensor_file_path(file), wanted, found, list);
        snprintf(s->has, sizeof s->has, "%s", list);
    }
    if (count == 1) {
        if (has_nameless_average(file) && !components(groups[0], is_average, false))
            vt_model_warn(s->options,
                          "%s: its averaged weights (shadow_params) have no names and cannot be "
                          "used: takes %s",
                          vt_tensor_file_path(file), shown(groups[0]));
        return VARIANT_OK;
    }
    int average = only(groups, count, true);
    *taken = average >= 0 ? average : only(groups, count, false);
    if (*taken < 0)
        return vt_fail(err, VARIANT_E_MODEL, "%s: holds %d %ss: %s; choose one as part",
                       vt_tensor_file_path(file), count, part_names[part], list);
    if (!wanted) tell_choice(s, file, groups, count, *taken, average >= 0);
    return VARIANT_OK;
}

/* Keeps the file for the parts it alone holds; two candidates for a part are an error that names
 * both. A tokenizer that was named by its own option is not looked for. */
static variant_status take_parts(search *s, vt_tensor_file *file, int first, int last, bool *taken,
                                 variant_error *err) {
    vt_model *model = s->model;
    *taken = false;
    for (int part = first; part <= last; ++part) {
        const char *groups[MOST_GROUPS];
        int count = vt_model_groups(file, part, groups, MOST_GROUPS), chosen = 0;
        if (count == 0) continue;
        if (model->files[part])
            return vt_fail(err, VARIANT_E_MODEL, "two files hold a %s: %s and %s; name one",
                           part_names[part], vt_tensor_file_path(model->files[part]),
                           vt_tensor_file_path(file));
        VT_TRY(choose(s, file, part, groups, count, &chosen, err));
        model->files[part] = file;
        model->groups[part] = groups[chosen];
        model->chosen[part] = count > 1;
        *taken = true;
    }
    return VARIANT_OK;
}

/* Forgets a file that is closed because a later part of it was refused. */
static void forget(vt_model *model, const vt_tensor_file *file) {
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        if (model->files[part] == file) model->files[part] = NULL;
}

static variant_status take_file(search *s, vt_tensor_file *file, int first, int last, bool *taken,
                                variant_error *err) {
    variant_status status = take_parts(s, file, first, last, taken, err);
    if (status == VARIANT_OK && *taken) return VARIANT_OK;
    forget(s->model, file);
    vt_tensor_file_close(&file);
    *taken = false;
    return status;
}

/* ---- folders ---- */

static bool has_ending(const char *name, const char *ending) {
    size_t length = strlen(name), n = strlen(ending);
    return length > n && strcasecmp(name + length - n, ending) == 0;
}

static bool is_model_name(const char *name) {
    static const char *const endings[] = {".safetensors", ".pth", ".pt", ".bin", ".ckpt"};
    if (name[0] == '.' || strcmp(name, "checkpoint.safetensors") == 0) return false;
    if (has_ending(name, ".index.json")) return true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i)
        if (has_ending(name, endings[i])) return true;
    return false;
}

/* "-00001-of-00003.": one of several files that an index belongs to. */
static bool is_shard(const char *name) {
    for (const char *at = strstr(name, "-of-"); at; at = strstr(at + 1, "-of-")) {
        const char *end = at + 4;
        while (isdigit((unsigned char)*end)) ++end;
        if (at > name && isdigit((unsigned char)at[-1]) && end > at + 4 && *end == '.') return true;
    }
    return false;
}

typedef struct folder {
    char *paths[MOST_FILES]; /* of files that may be models, sorted */
    int count;
    bool parts; /* .distcp files are there */
    bool shards, index;
} folder;

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static variant_status list_folder(folder *out, const char *path, variant_error *err) {
    DIR *dir = vt_open_folder(path);
    if (!dir) return vt_fail(err, VARIANT_E_IO, "%s: cannot be listed", path);
    variant_status status = VARIANT_OK;
    struct dirent *entry;
    while (status == VARIANT_OK && (errno = 0, entry = readdir(dir))) {
        out->parts = out->parts || has_ending(entry->d_name, ".distcp");
        if (!is_model_name(entry->d_name)) continue;
        bool shard = is_shard(entry->d_name);
        out->shards = out->shards || shard;
        out->index = out->index || has_ending(entry->d_name, ".index.json");
        if (shard) continue; /* its index names it */
        if (out->count == MOST_FILES)
            status =
                vt_fail(err, VARIANT_E_MODEL, "%s: more than %d files that may be models; name one",
                        path, MOST_FILES);
        else if (asprintf(&out->paths[out->count], "%s/%s", path, entry->d_name) < 0)
            status = vt_fail(err, VARIANT_E_MEMORY, "no memory to list %s", path);
        else
            ++out->count;
    }
    if (status == VARIANT_OK && errno)
        status = vt_fail(err, VARIANT_E_IO, "%s: cannot be listed: %s", path, strerror(errno));
    closedir(dir);
    qsort(out->paths, (size_t)out->count, sizeof *out->paths, by_name);
    return status;
}

static variant_status fail_empty(const folder *f, const char *path, variant_error *err) {
    if (f->parts)
        return vt_fail(
            err, VARIANT_E_MODEL,
            "%s: a folder of torch.distributed.checkpoint (.distcp): make one file of it "
            "with dcp_to_torch_save of torch.distributed.checkpoint.format_utils",
            path);
    if (f->shards)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: holds shards (NAME-00001-of-0000N) without their index "
                       "(NAME.safetensors.index.json)",
                       path);
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: no .safetensors, .pth, .pt, .bin or .ckpt file in this folder", path);
}

/* Files that are no models, or damaged, are told and passed over: folders hold notes and remains. Where nothing else is there, the
 * error tells the first of them. */
static variant_status find_in_folder(search *s, const char *path, int first, int last,
                                     variant_error *err) {
    folder *f = calloc(1, sizeof *f);
    if (!f) return vt_fail(err, VARIANT_E_MEMORY, "no memory to list %s", path);
    variant_error why = {0};
    int unread = 0;
    char looks[320] = ""; /* of the first file that is no model */
    variant_status status = list_folder(f, path, err);
    for (int i = 0; status == VARIANT_OK && i < f->count; ++i) {
        vt_tensor_file *file = NULL;
        bool taken = false;
        variant_error inner = {0};
        if (open_file(&file, f->paths[i], NULL, s->options, &inner) != VARIANT_OK) {
            if (unread++ == 0)
                why = inner;
            else
                vt_model_warn(s->options, "passed over %s", inner.message);
            continue;
        }
        if (!looks[0]) vt_model_layout_text(looks, sizeof looks, file);
        status = take_file(s, file, first, last, &taken, err);
    }
    bool found = false;
    for (int part = first; part <= last; ++part) found = found || s->model->files[part];
    if (unread && (status != VARIANT_OK || f->count > unread))
        vt_model_warn(s->options, "passed over %s", why.message);
    if (status == VARIANT_OK && !found && f->count == unread)
        status = unread ? vt_fail(err, VARIANT_E_MODEL, "%s: no model in this folder: %.300s", path,
                                  why.message)
                        : fail_empty(f, path, err);
    else if (status == VARIANT_OK && !found && first < last)
        status = vt_fail(err, VARIANT_E_MODEL,
                         "%s: no file in this folder holds a tokenizer or a transformer: %s", path,
                         looks);
    for (int i = 0; i < f->count; ++i) free(f->paths[i]);
    free(f);
    return status;
}

/* ---- all of it ---- */

static variant_status find_in_file(search *s, const char *path, const vt_in_memory *memory,
                                   int first, int last, variant_error *err) {
    vt_tensor_file *file = NULL;
    bool taken = false;
    char looks[320] = "";
    VT_TRY(open_file(&file, path, memory, s->options, err));
    vt_model_layout_text(looks, sizeof looks, file);
    VT_TRY(take_file(s, file, first, last, &taken, err));
    if (taken) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MODEL, "%s: no %s%s%s in it (%s): %s", path,
                   first == VT_TOKENIZER_PART ? "tokenizer" : "", first < last ? " or " : "",
                   last == VT_TRANSFORMER_PART ? "transformer" : "",
                   last == VT_TRANSFORMER_PART ? VT_TRANSFORMER_MARK : VT_TOKENIZER_MARK, looks);
}

static variant_status find_in(search *s, const char *path, const vt_in_memory *memory, int first,
                              int last, variant_error *err) {
    return !memory && vt_is_folder(path) ? find_in_folder(s, path, first, last, err)
                                         : find_in_file(s, path, memory, first, last, err);
}

static variant_status check_found(const search *s, variant_error *err) {
    const vt_model_options *options = s->options;
    if (options->tokenizer && !s->model->files[VT_TOKENIZER_PART])
        return vt_fail(err, VARIANT_E_MODEL, "%s: no tokenizer in it (no tensor %s)",
                       options->tokenizer, VT_TOKENIZER_MARK);
    if (options->need_tokenizer && !s->model->files[VT_TOKENIZER_PART])
        return vt_fail(err, VARIANT_E_MODEL, "%s: no tokenizer in it; give its file as tokenizer",
                       options->model);
    if (options->need_transformer && !s->model->files[VT_TRANSFORMER_PART])
        return vt_fail(err, VARIANT_E_MODEL, "%s: no transformer in it", options->model);
    if (options->part && !s->part_found && s->has[0])
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: part %s: expected one of %s", options->model,
                       options->part, s->has);
    return VARIANT_OK;
}

variant_status vt_model_find(vt_model *model, const vt_model_options *options, variant_error *err) {
    search s = {.model = model, .options = options};
    int first = options->tokenizer ? VT_TRANSFORMER_PART : VT_TOKENIZER_PART;
    if (!options->model)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no model given: expected a file or a folder");
    if (options->tokenizer)
        VT_TRY(find_in(&s, options->tokenizer, options->tokenizer_memory, VT_TOKENIZER_PART,
                       VT_TOKENIZER_PART, err));
    VT_TRY(find_in(&s, options->model, options->model_memory, first, VT_TRANSFORMER_PART, err));
    return check_found(&s, err);
}
