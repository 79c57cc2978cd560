/* picture_folder.c - splits, classes and pictures out of a tree of folders (see picture_folder.h).
 *
 * Everything is sorted bytewise, never in the folder's own order: a label and an index mean the
 * same on every machine. Called by dataset.c and by commands that are given folders. */
#include "io/picture_folder.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "io/picture.h"
#include "io/picture_index.h"
#include "io/picture_tree.h"

#define NAMED 10 /* of a long list in a note */

enum { TRAIN, TEST, VAL, SPLITS };

/* What the tree was taken for. */
typedef struct layout {
    const vt_tree *root;           /* whose folders are classes, unless there are splits */
    const vt_tree *splits[SPLITS]; /* NULL: none */
    const vt_tree *taken[SPLITS];  /* the folders of those names, which are no classes */
} layout;

static void note(const vt_picture_folder_options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(const vt_picture_folder_options *options, const char *format, ...) {
    char line[900];
    if (!options->note) return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    options->note(options->user, line);
}

/* ---- what a folder is ---- */

static int full_folders(const vt_tree *tree) {
    int count = 0;
    for (int i = 0; i < tree->folder_count; i++) count += tree->folders[i]->total > 0;
    return count;
}

static const vt_tree *only_full_folder(const vt_tree *tree) {
    if (full_folders(tree) != 1) return NULL;
    for (int i = 0; i < tree->folder_count; i++)
        if (tree->folders[i]->total > 0) return tree->folders[i];
    return NULL;
}

/* Do its folders matter more than the pictures directly in it? A stray picture beside class folders is left out;
 * one small folder beside many pictures is. */
static bool has_classes(const vt_tree *tree) {
    int64_t below = tree->total - tree->picture_count;
    int folders = full_folders(tree);
    return folders >= 2 || (folders == 1 && below >= tree->picture_count);
}

static const vt_tree *child(const vt_tree *tree, const char *name) {
    for (int i = 0; i < tree->folder_count; i++)
        if (tree->folders[i]->total > 0 && strcmp(tree->folders[i]->name, name) == 0)
            return tree->folders[i];
    return NULL;
}

/* Which split a folder's name says; SPLITS: none. */
static int split_named(const char *name) {
    static const struct {
        const char *name;
        int split;
    } names[] = {{"train", TRAIN},    {"training", TRAIN}, {"test", TEST},
                 {"testing", TEST},   {"val", VAL},        {"valid", VAL},
                 {"validation", VAL}, {"dev", VAL},        {"eval", VAL}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i].name) == 0) return names[i].split;
    return SPLITS;
}

/* seg_train, train-set, Data.Test: a split's name with something before or after it. */
static int split_hinted(const char *name) {
    int split = split_named(name);
    const char *last = name + strlen(name);
    while (last > name && !strchr("_-. ", last[-1])) last--;
    if (split == SPLITS && last > name) split = split_named(last);
    size_t first = strcspn(name, "_-. ");
    char start[16];
    if (split != SPLITS || first >= sizeof start || !name[first]) return split;
    memcpy(start, name, first);
    start[first] = '\0';
    return split_named(start);
}

/* A folder named as a split is one when it holds classes, unless it looks like a class itself: one folder of
 * pictures in it, of a name that no neighbour knows, beside other classes. */
static bool is_split(const vt_tree *root, const vt_tree *folder) {
    bool others = false;
    if (full_folders(folder) == 0 || !has_classes(folder)) return false;
    if (full_folders(folder) >= 2) return true;
    const char *name = only_full_folder(folder)->name;
    for (int i = 0; i < root->folder_count; i++) {
        const vt_tree *other = root->folders[i];
        if (other == folder || other->total == 0) continue;
        bool split = split_named(other->name) != SPLITS;
        others = others || !split;
        if (split ? child(other, name) != NULL : strcmp(other->name, name) == 0) return true;
    }
    return !others;
}

/* Nothing but a folder of classes or of splits in it, as archives are often packed. */
static const vt_tree *unwrap(const vt_tree *tree) {
    for (;;) {
        const vt_tree *inner = only_full_folder(tree);
        if (!inner || !has_classes(tree) || split_named(inner->name) != SPLITS) return tree;
        const vt_tree *deeper = only_full_folder(inner);
        bool wraps = has_classes(inner) &&
                     (full_folders(inner) >= 2 || strcmp(inner->name, tree->name) == 0 ||
                      split_named(deeper->name) != SPLITS || unwrap(inner) != inner);
        if (!wraps) return tree;
        tree = inner;
    }
}

/* Folders that are all named as splits, with a training one and another: splits whatever is in them. */
static bool all_splits(const vt_tree *tree, int (*named)(const char *name)) {
    bool seen[SPLITS + 1] = {false};
    for (int i = 0; i < tree->folder_count; i++) {
        if (tree->folders[i]->total == 0) continue;
        int split = named(tree->folders[i]->name);
        if (seen[split]) return false;
        seen[split] = true;
    }
    return seen[TRAIN] && (seen[TEST] || seen[VAL]) && !seen[SPLITS] && has_classes(tree);
}

static void layout_find(layout *out, const vt_tree *tree) {
    *out = (layout){.root = unwrap(tree)};
    const vt_tree *root = out->root;
    bool plain = all_splits(root, split_named), hinted = !plain && all_splits(root, split_hinted);
    for (int split = TRAIN; split < SPLITS; split++) {
        for (int i = 0; i < root->folder_count && !out->splits[split]; i++) {
            const vt_tree *folder = root->folders[i];
            if (folder->total == 0 || (hinted ? split_hinted : split_named)(folder->name) != split)
                continue;
            bool classes = has_classes(folder);
            /* a flat test/ beside training classes has no labels */
            bool flat =
                (plain || hinted) && !classes &&
                (split == TRAIN || (out->splits[TRAIN] && !has_classes(out->splits[TRAIN])));
            if (!flat && !(hinted ? classes : is_split(root, folder))) continue;
            out->taken[split] = folder;
            out->splits[split] = unwrap(folder);
        }
    }
}

/* ---- classes ---- */

typedef struct class_list {
    const vt_tree **folders; /* (count), sorted by name */
    int count;
} class_list;

static int by_name(const void *a, const void *b) {
    return strcmp((*(const vt_tree *const *)a)->name, (*(const vt_tree *const *)b)->name);
}

/* Adds " name" to a note's list, up to NAMED of them. */
static void list_add(char *list, size_t size, int *count, const char *name) {
    size_t used = strlen(list);
    if (*count < NAMED && used < size)
        snprintf(list + used, size - used, "%s %s", *count ? "," : "", name);
    else if (*count == NAMED && used < size)
        snprintf(list + used, size - used, " ...");
    ++*count;
}

/* Of the pictures in it and below the first whose header can be read. */
static bool any_sound(const vt_tree *tree) {
    for (int i = 0; i < tree->picture_count; i++) {
        char *path = NULL;
        vt_image head;
        if (tree->facts && vt_fact_is_known(tree->facts[i])) return true;
        if (asprintf(&path, "%s/%s", tree->path, tree->pictures[i]) < 0) return false;
        bool sound = vt_image_probe(&head, path, NULL, NULL) == VARIANT_OK;
        free(path);
        if (sound) return true;
    }
    for (int i = 0; i < tree->folder_count; i++)
        if (any_sound(tree->folders[i])) return true;
    return false;
}

static bool is_taken(const layout *found, const vt_tree *folder) {
    for (int split = 0; split < SPLITS; split++)
        if (found->taken[split] == folder) return true;
    return false;
}

/* The class folders of `root`; told: those without a picture, and pictures beside them. */
static variant_status classes_list(class_list *out, const layout *found, const vt_tree *root,
                                   const vt_picture_folder_options *options, variant_error *err) {
    char empty[400] = "";
    int empties = 0;
    *out = (class_list){.folders = calloc((size_t)root->folder_count + 1, sizeof *out->folders)};
    if (!out->folders) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of classes");
    for (int i = 0; i < root->folder_count; i++) {
        const vt_tree *folder = root->folders[i];
        if (is_taken(found, folder)) continue;
        if (folder->total > 0 && any_sound(folder))
            out->folders[out->count++] = folder;
        else if (!folder->idx)
            list_add(empty, sizeof empty, &empties, folder->name);
    }
    if (empties)
        note(options, "%s: %d folder%s left out, without a picture that can be read:%s", root->path,
             empties, empties == 1 ? "" : "s", empty);
    if (out->count && root->picture_count)
        note(options, "%s: %d picture%s left out, beside the class folders: %s%s", root->path,
             root->picture_count, root->picture_count == 1 ? "" : "s", root->pictures[0],
             root->picture_count == 1 ? "" : " ...");
    return VARIANT_OK;
}

static int class_find(const vt_picture_folder *folder, const char *name) {
    for (int low = 0, high = folder->class_count - 1; low <= high;) {
        int middle = (low + high) / 2, order = strcmp(name, folder->classes[middle]);
        if (order == 0) return middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

static variant_status class_names(vt_picture_folder *out, const class_list *classes,
                                  variant_error *err) {
    out->classes = calloc((size_t)classes->count + 1, sizeof *out->classes);
    for (int i = 0; out->classes && i < classes->count; i++) {
        if (!(out->classes[i] = strdup(classes->folders[i]->name))) break;
        out->class_count++;
    }
    return out->classes && out->class_count == classes->count
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of classes");
}

/* ---- pictures ---- */

static int by_path(const void *a, const void *b) {
    return strcmp(((const vt_picture_file *)a)->path, ((const vt_picture_file *)b)->path);
}

/* All pictures in `tree` and below; names begin behind the first `prefix` bytes of their paths. */
static variant_status files_add(vt_picture_folder *out, const vt_tree *tree, size_t prefix,
                                int label, variant_error *err) {
    for (int i = 0; i < tree->picture_count; i++) {
        vt_picture_file *file = &out->files[out->file_count];
        if (asprintf(&file->path, "%s/%s", tree->path, tree->pictures[i]) < 0)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for the list of pictures");
        file->name = file->path + prefix;
        file->label = label;
        file->fact = tree->facts ? &tree->facts[i] : NULL;
        out->file_count++;
    }
    for (int i = 0; i < tree->folder_count; i++)
        VT_TRY(files_add(out, tree->folders[i], prefix, label, err));
    return VARIANT_OK;
}

static variant_status files_room(vt_picture_folder *out, const vt_tree *tree, variant_error *err) {
    if (tree->total > INT_MAX - out->file_count)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: more than %d pictures", tree->path, INT_MAX);
    size_t room = (size_t)out->file_count + (size_t)tree->total + 1;
    vt_picture_file *larger = realloc(out->files, room * sizeof *larger);
    if (!larger) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the list of pictures");
    out->files = larger;
    return VARIANT_OK;
}

/* One class, its pictures sorted as their paths are. */
static variant_status class_add(vt_picture_folder *out, const vt_tree *folder, size_t prefix,
                                int label, variant_error *err) {
    int first = out->file_count;
    VT_TRY(files_room(out, folder, err));
    VT_TRY(files_add(out, folder, prefix, label, err));
    if (folder->folder_count && out->file_count > first)
        qsort(out->files + first, (size_t)(out->file_count - first), sizeof *out->files, by_path);
    return VARIANT_OK;
}

static void tell_deeper(const vt_picture_folder *out, const vt_tree *root, int first,
                        const vt_picture_folder_options *options) {
    int deeper = 0;
    const char *example = NULL;
    for (int i = first; i < out->file_count; i++) {
        const char *slash = strchr(out->files[i].name, '/');
        if (!slash || !strchr(slash + 1, '/')) continue;
        if (!deeper++) example = out->files[i].name;
    }
    if (deeper)
        note(options,
             "%s: %d picture%s deeper than the class folders (%s%s), each in the class of the "
             "first level",
             root->path, deeper, deeper == 1 ? "" : "s", example, deeper == 1 ? "" : ", ...");
}

static bool has_folder(const vt_tree *tree, const char *name) {
    for (int i = 0; i < tree->folder_count; i++)
        if (strcmp(tree->folders[i]->name, name) == 0) return true;
    return false;
}

/* The pictures of one split, or of the data set without splits. Its classes are known by now. */
static variant_status split_add(vt_picture_folder *out, const layout *found, const vt_tree *root,
                                const vt_picture_folder_options *options, variant_error *err) {
    const vt_tree *train = found->splits[TRAIN] ? found->splits[TRAIN] : found->root;
    class_list present = {0};
    variant_status status = VARIANT_OK;
    int first = out->file_count;
    VT_CHECK(classes_list(&present, found, root, options, err));
    for (int i = 0; i < present.count; i++) {
        const vt_tree *folder = present.folders[i];
        int label = class_find(out, folder->name);
        if (label < 0 && has_folder(train, folder->name)) {
            note(options, "%s: left out: %s/%s has no picture that can be read", folder->path,
                 train->path, folder->name);
            continue;
        }
        if (label < 0)
            VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: a class that %s does not have",
                             folder->path, train->path));
        VT_CHECK(class_add(out, folder, strlen(root->path) + 1, label, err));
    }
    tell_deeper(out, root, first, options);
cleanup:
    free(present.folders);
    return status;
}

/* ---- holding out ---- */

double vt_holdout_place(const char *name) {
    return (double)(vt_splitmix64(vt_fnv1a64(name, strlen(name))) >> 11) * 0x1p-53;
}

/* Marks of the files that are held out: those of a place below the share; never all of a class; at least one,
 * where a class has two. Their number. */
static int holdout_mark(const vt_picture_folder *folder, double holdout, uint8_t *held) {
    int count = 0, nearest = -1;
    double least = 2.0;
    for (int first = 0, end; first < folder->file_count; first = end) {
        int in_class = 0, last = first, next = first; /* of the furthest and the nearest place */
        double high = -1.0, low = 2.0;
        for (end = first;
             end < folder->file_count && folder->files[end].label == folder->files[first].label;
             end++) {
            double place = vt_holdout_place(folder->files[end].name);
            held[end] = place < holdout;
            in_class += held[end];
            if (place > high) {
                high = place;
                last = end;
            }
            if (place < low) {
                low = place;
                next = end;
            }
        }
        if (in_class == end - first) {
            held[last] = 0;
            in_class--;
        }
        if (end - first > 1 && low < least) {
            least = low;
            nearest = next;
        }
        count += in_class;
    }
    if (count > 0 || nearest < 0) return count;
    held[nearest] = 1;
    return 1;
}

static variant_status no_test(const vt_picture_folder_options *options, const char *why,
                              variant_error *err) {
    return vt_fail(
        err, VARIANT_E_FORMAT,
        "%s: no test split: no folder test/ or val/ with classes, and %s; split train or "
        "all takes the others",
        options->path, why);
}

/* Does the folder's own name say test pictures (data/test)? */
static bool is_named_test(const char *path) {
    char *real = realpath(path, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;
    int split = slash ? split_named(slash + 1) : SPLITS;
    free(real);
    return split == TEST || split == VAL;
}

/* Keeps the half that is asked for. */
static variant_status hold_out(vt_picture_folder *out, const vt_picture_folder_options *options,
                               variant_error *err) {
    bool test = options->split == VT_SPLIT_TEST;
    int kept = 0;
    if (options->split == VT_SPLIT_ALL || out->file_count == 0 ||
        (out->flat && options->flat_whole))
        return VARIANT_OK;
    if (test && is_named_test(options->path)) {
        note(options, "%s: named as test pictures: all %d are taken", options->path,
             out->file_count);
        return VARIANT_OK;
    }
    if (options->holdout <= 0)
        return test ? no_test(options, "nothing is held out (holdout 0)", err) : VARIANT_OK;
    uint8_t *held = calloc((size_t)out->file_count, 1);
    if (!held) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the list of pictures");
    int count = holdout_mark(out, options->holdout, held), all = out->file_count;
    for (int i = 0; i < all; i++) {
        vt_picture_file file = out->files[i];
        if ((held[i] != 0) == test)
            out->files[kept++] = file;
        else
            free(file.path);
    }
    out->file_count = kept;
    free(held);
    if (test && count == 0) return no_test(options, "too few pictures to hold one out", err);
    if (count)
        note(options, "%s: no test/ folder: %d of %d pictures held out by name (holdout %g)",
             options->path, count, all, options->holdout);
    return VARIANT_OK;
}

/* ---- together ---- */

static char *folder_name(const char *path) {
    char *real = realpath(path, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;
    char *name = strdup(slash && slash[1] ? slash + 1 : "pictures");
    free(real);
    return name;
}

/* Pictures without class folders. */
static variant_status flat_add(vt_picture_folder *out, const vt_tree *root, const vt_tree *named,
                               const vt_picture_folder_options *options, variant_error *err) {
    vt_tree only = *root;
    if (root->picture_count == 0) return VARIANT_OK;
    if (!out->classes) {
        out->classes = calloc(1, sizeof *out->classes);
        if (out->classes) out->classes[0] = folder_name(named->path);
        if (!out->classes || !out->classes[0])
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of classes");
        out->class_count = 1;
        if (!options->flat_whole)
            note(options, "%s: no class folders: one class, %s", options->path, out->classes[0]);
    }
    out->flat = true;
    if (root->total > root->picture_count)
        note(options, "%s: %lld picture%s left out, in folders beside %d pictures without any",
             root->path, (long long)(root->total - root->picture_count),
             root->total - root->picture_count == 1 ? "" : "s", root->picture_count);
    only.folder_count = 0;
    only.total = only.picture_count;
    return class_add(out, &only, strlen(root->path) + 1, 0, err);
}

static variant_status set_root(vt_picture_folder *out, const vt_tree *root, variant_error *err) {
    free(out->root);
    out->root = strdup(root->path);
    return out->root ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a path");
}

/* Pictures of every folder that the split is made of. */
static variant_status pictures_add(vt_picture_folder *out, const layout *found,
                                   const class_list *classes,
                                   const vt_picture_folder_options *options, variant_error *err) {
    const vt_tree *train = found->splits[TRAIN] ? found->splits[TRAIN] : found->root;
    const vt_tree *test = found->splits[TEST] ? found->splits[TEST] : found->splits[VAL];
    bool flat = classes->count == 0;
    const vt_tree *parts[2] = {0};
    int count = 0;
    if (options->split != VT_SPLIT_TEST || !test) parts[count++] = train;
    if (options->split != VT_SPLIT_TRAIN && test) parts[count++] = test;
    for (int i = 0; i < count; i++) {
        VT_TRY(set_root(out, parts[i], err));
        VT_TRY(flat ? flat_add(out, parts[i], found->root, options, err)
                    : split_add(out, found, parts[i], options, err));
    }
    return test ? VARIANT_OK : hold_out(out, options, err);
}

static int by_label(const void *a, const void *b) {
    const vt_picture_file *x = a, *y = b;
    return x->label != y->label ? (x->label < y->label ? -1 : 1) : strcmp(x->path, y->path);
}

static void tell_layout(const layout *found, const vt_tree *tree,
                        const vt_picture_folder_options *options) {
    if (found->root != tree)
        note(options, "%s: the pictures are taken from %s", options->path, found->root->path);
    if (!found->splits[TRAIN]) return;
    char others[400] = "";
    int count = 0;
    for (int i = 0; i < found->root->folder_count; i++)
        if (found->root->folders[i]->total > 0 && !is_taken(found, found->root->folders[i]))
            list_add(others, sizeof others, &count, found->root->folders[i]->name);
    if (count)
        note(options, "%s: beside %s/ left out:%s", found->root->path, found->taken[TRAIN]->name,
             others);
}

static variant_status take(vt_picture_folder *out, const vt_tree *tree,
                           const vt_picture_folder_options *options, variant_error *err) {
    layout found;
    class_list classes = {0};
    variant_status status = VARIANT_OK;
    layout_find(&found, tree);
    const vt_tree *numbered = found.splits[TRAIN] ? found.splits[TRAIN] : found.root;
    const vt_picture_folder_options silent = {.path = options->path};
    tell_layout(&found, tree, options);
    if (has_classes(numbered) || numbered->picture_count == 0)
        VT_CHECK(classes_list(&classes, &found, numbered, &silent, err));
    if (classes.count == 0 && !found.splits[TRAIN]) { /* a test split alone numbers its own */
        const vt_tree *test = found.splits[TEST] ? found.splits[TEST] : found.splits[VAL];
        free(classes.folders);
        classes = (class_list){0};
        if (test) VT_CHECK(classes_list(&classes, &found, test, &silent, err));
    }
    if (classes.count)
        qsort(classes.folders, (size_t)classes.count, sizeof *classes.folders, by_name);
    if (classes.count) VT_CHECK(class_names(out, &classes, err));
    VT_CHECK(pictures_add(out, &found, &classes, options, err));
    if (options->split == VT_SPLIT_ALL && out->file_count)
        qsort(out->files, (size_t)out->file_count, sizeof *out->files, by_label);
cleanup:
    free(classes.folders);
    return status;
}

static variant_status idx_point(vt_picture_folder *out, const vt_tree *tree, variant_error *err) {
    const vt_tree *idx = tree->total == 0 ? vt_tree_idx(tree) : NULL;
    if (idx && !(out->idx = strdup(idx->path)))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a path");
    return VARIANT_OK;
}

variant_status vt_picture_folder_open(vt_picture_folder *out,
                                      const vt_picture_folder_options *options,
                                      variant_error *err) {
    vt_tree_scan walked = {.note = options->note, .user = options->user};
    const vt_tree_scan *scan = &walked;
    char left_out[400];
    *out = (vt_picture_folder){0};
    VT_TRY(options->index
               ? vt_picture_index_scan(options->index, &scan, &walked, options->path, err)
               : vt_tree_read(&walked, options->path, err));
    variant_status status = idx_point(out, scan->root, err);
    if (status == VARIANT_OK && !out->idx) {
        vt_tree_left_out(scan, left_out, sizeof left_out);
        if (left_out[0]) note(options, "%s: %s", options->path, left_out);
        status = take(out, scan->root, options, err);
    }
    if (!options->index) vt_tree_free(&walked);
    if (status != VARIANT_OK) vt_picture_folder_free(out);
    return status;
}

variant_status vt_picture_folder_list(vt_picture_folder *out,
                                      const vt_picture_folder_options *options,
                                      variant_error *err) {
    vt_tree_scan scan = {.note = options->note, .user = options->user};
    char left_out[400];
    *out = (vt_picture_folder){.flat = true};
    VT_TRY(vt_tree_read(&scan, options->path, err));
    vt_tree_left_out(&scan, left_out, sizeof left_out);
    if (left_out[0]) note(options, "%s: %s", options->path, left_out);
    variant_status status = class_add(out, scan.root, strlen(scan.root->path) + 1, 0, err);
    vt_tree_free(&scan);
    if (status != VARIANT_OK) vt_picture_folder_free(out);
    return status;
}

void vt_picture_folder_free(vt_picture_folder *folder) {
    for (int i = 0; i < folder->file_count; i++) free(folder->files[i].path);
    free(folder->files);
    for (int i = 0; i < folder->class_count; i++) free(folder->classes[i]);
    free(folder->classes);
    free(folder->root);
    free(folder->idx);
    *folder = (vt_picture_folder){0};
}
