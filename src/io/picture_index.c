/* picture_index.c - see picture_index.h. */
#include "io/picture_index.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/data.h"
#include "io/picture.h"
#include "io/tensors.h"

#define META_KEY "variant.pictures"
#define COLUMNS 7 /* of "folders" */
#define SETTLED 2 /* seconds */
#define PARTS 5   /* tensors of a path */

enum { NAMES, FOLDERS, FACTS, ENDINGS, ENDING_COUNTS };
static const char *const part_names[PARTS] = {"names", "folders", "facts", "endings",
                                              "ending_counts"};

typedef struct entry {
    vt_tree_scan scan;
    bool lasting; /* may be written */
} entry;

struct vt_picture_index {
    vt_tensor_file *file; /* NULL: none that fits */
    entry entries[VT_DATA_PATHS];
    int count;
    bool changed;
};

static variant_status no_memory(variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for an index of pictures");
}

typedef struct kind {
    char text[64];
} kind;

/* What a list of pictures depends on besides the folders. */
static kind kind_of(void) {
    kind out;
    snprintf(out.text, sizeof out.text, "%s%s", variant_version(), VT_READS_TIFF ? " tiff" : "");
    return out;
}

/* ---- out of the file ---- */

/* One path's tensors, and how far they have been read. */
typedef struct reading {
    const char *name, *names_end;
    const int64_t *folders;
    int64_t folder, folder_count;
    const uint64_t *facts;
    int64_t fact, fact_count;
} reading;

static const vt_tensor *part_of(const vt_tensor_file *file, int path, int part, vt_dtype type) {
    char name[48];
    snprintf(name, sizeof name, "%d.%s", path, part_names[part]);
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, name);
    return tensor && tensor->type == type ? tensor : NULL;
}

/* The next name; NULL: there is none. */
static const char *next_name(reading *r) {
    const char *name = r->name;
    const char *end = name < r->names_end ? memchr(name, 0, (size_t)(r->names_end - name)) : NULL;
    if (!end || end == name) return NULL;
    r->name = end + 1;
    return name;
}

static bool is_same(const vt_tree_state *a, const vt_tree_state *b) {
    return a->device == b->device && a->inode == b->inode && a->modified == b->modified &&
           a->changed == b->changed;
}

/* A folder's own row: its path, its state, room for its pictures. false: it is not as it was, or there is no memory. */
static bool take_row(vt_tree *tree, reading *r, const vt_tree *above, const int64_t *row) {
    const char *name = next_name(r);
    vt_tree_state now;
    const int64_t left = r->fact_count - r->fact;
    if (!name || row[1] < 0 || row[1] > INT_MAX || row[1] > left) return false;
    if (asprintf(&tree->path, "%s%s%s", above ? above->path : "", above ? "/" : "", name) < 0) {
        tree->path = NULL;
        return false;
    }
    const char *slash = strrchr(tree->path, '/');
    tree->name = slash ? slash + 1 : tree->path;
    tree->idx = row[2] != 0;
    tree->state = (vt_tree_state){row[3], row[4], row[5], row[6]};
    if (!vt_tree_state_of(tree->path, &now) || !is_same(&now, &tree->state)) return false;
    tree->pictures = calloc((size_t)row[1] + 1, sizeof *tree->pictures);
    tree->facts = calloc((size_t)row[1] + 1, sizeof *tree->facts);
    return tree->pictures && tree->facts;
}

static bool take_pictures(vt_tree *tree, reading *r, int count) {
    for (; tree->picture_count < count; tree->picture_count++) {
        const char *name = next_name(r);
        if (!name || strchr(name, '/') || !(tree->pictures[tree->picture_count] = strdup(name)))
            return false;
        memcpy(&tree->facts[tree->picture_count], r->facts + r->fact++, sizeof *tree->facts);
    }
    tree->total = count;
    return true;
}

static int folders_below(const reading *r, int64_t depth) {
    int count = 0;
    for (int64_t i = r->folder; i < r->folder_count && r->folders[i * COLUMNS] > depth; i++)
        count += r->folders[i * COLUMNS] == depth + 1;
    return count;
}

/* The folder whose row is next, and all below it. */
static vt_tree *take_tree(reading *r, const vt_tree *above, int64_t depth) {
    const int64_t *row = r->folders + r->folder * COLUMNS;
    if (r->folder >= r->folder_count || row[0] != depth || depth > 32) return NULL;
    r->folder++;
    vt_tree *tree = calloc(1, sizeof *tree);
    bool whole = tree && take_row(tree, r, above, row) && take_pictures(tree, r, (int)row[1]);
    const int below = whole ? folders_below(r, depth) : 0;
    if (whole) whole = (tree->folders = calloc((size_t)below + 1, sizeof *tree->folders)) != NULL;
    for (int i = 0; whole && i < below; i++) {
        vt_tree *folder = take_tree(r, tree, depth + 1);
        whole = folder != NULL;
        if (!whole) break;
        tree->folders[tree->folder_count++] = folder;
        tree->total += folder->total;
    }
    if (whole) return tree;
    vt_tree_scan lost = {.root = tree};
    vt_tree_free(&lost);
    return NULL;
}

static bool take_endings(vt_tree_scan *scan, const vt_tensor_file *file, int path) {
    const vt_tensor *texts = part_of(file, path, ENDINGS, VT_U8);
    const vt_tensor *counts = part_of(file, path, ENDING_COUNTS, VT_I64);
    if (!texts && !counts) return true;
    if (!texts || !counts || texts->count != counts->count * sizeof scan->endings->text ||
        counts->count > INT_MAX)
        return false;
    scan->endings = calloc(counts->count + 1, sizeof *scan->endings);
    if (!scan->endings) return false;
    for (size_t i = 0; i < counts->count; i++) {
        vt_ending *ending = &scan->endings[scan->ending_count++];
        memcpy(ending->text, (const char *)texts->data + i * sizeof ending->text,
               sizeof ending->text - 1);
        ending->count = ((const int64_t *)counts->data)[i];
        scan->left_out += ending->count;
    }
    return true;
}

/* Path number `path` of the file into scan, if it is `root` and all its folders are as they were. */
static bool take_path(vt_tree_scan *scan, const vt_tensor_file *file, int path, const char *root) {
    const vt_tensor *names = part_of(file, path, NAMES, VT_U8);
    const vt_tensor *folders = part_of(file, path, FOLDERS, VT_I64);
    const vt_tensor *facts = part_of(file, path, FACTS, VT_I64);
    if (!names || !folders || !facts || folders->count % COLUMNS || names->count <= strlen(root) ||
        memcmp(names->data, root, strlen(root) + 1) != 0)
        return false;
    const vt_tensor *const all[] = {names, folders, facts};
    for (int i = 0; i < 3; i++)
        if (vt_tensor_verify(file, all[i], NULL, NULL) != VARIANT_OK) return false;
    reading r = {.name = names->data,
                 .names_end = (const char *)names->data + names->count,
                 .folders = folders->data,
                 .folder_count = (int64_t)(folders->count / COLUMNS),
                 .facts = facts->data,
                 .fact_count = (int64_t)facts->count};
    scan->root = take_tree(&r, NULL, 0);
    const bool whole = scan->root && r.folder == r.folder_count && r.fact == r.fact_count &&
                       r.name == r.names_end && take_endings(scan, file, path);
    if (!whole) vt_tree_free(scan);
    return whole;
}

variant_status vt_picture_index_open(vt_picture_index **out, const char *path, bool named,
                                     variant_error *err) {
    vt_picture_index *index = *out = calloc(1, sizeof *index);
    if (!index) return no_memory(err);
    if (!path || access(path, F_OK) != 0) return VARIANT_OK;
    const bool opens = vt_tensor_file_open(&index->file, path, NULL) == VARIANT_OK;
    const char *made = opens ? vt_tensor_file_meta(index->file, META_KEY) : NULL;
    const kind today = kind_of();
    if (named && !made)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: is no index of pictures, expected one, or a name that is free", path);
    if (!made || strcmp(made, today.text) != 0) vt_tensor_file_close(&index->file);
    return VARIANT_OK;
}

void vt_picture_index_close(vt_picture_index **index) {
    vt_picture_index *i = *index;
    if (!i) return;
    for (int e = 0; e < i->count; e++) vt_tree_free(&i->entries[e].scan);
    vt_tensor_file_close(&i->file);
    free(i);
    *index = NULL;
}

/* ---- asked for a folder ---- */

static bool add_facts(vt_tree *tree) {
    tree->facts = calloc((size_t)tree->picture_count + 1, sizeof *tree->facts);
    bool added = tree->facts != NULL;
    for (int i = 0; added && i < tree->folder_count; i++) added = add_facts(tree->folders[i]);
    return added;
}

static int64_t newest_change(const vt_tree *tree) {
    int64_t newest =
        tree->state.modified > tree->state.changed ? tree->state.modified : tree->state.changed;
    for (int i = 0; i < tree->folder_count; i++) {
        const int64_t below = newest_change(tree->folders[i]);
        if (below > newest) newest = below;
    }
    return newest;
}

static variant_status walk_anew(entry *into, const vt_tree_scan *walk, const char *path,
                                variant_error *err) {
    const int64_t before = (int64_t)time(NULL);
    into->scan = (vt_tree_scan){.note = walk->note, .user = walk->user};
    VT_TRY(vt_tree_read(&into->scan, path, err));
    into->lasting =
        into->scan.noted == 0 && newest_change(into->scan.root) / 1000000000 < before - SETTLED;
    if (add_facts(into->scan.root)) return VARIANT_OK;
    vt_tree_free(&into->scan);
    return no_memory(err);
}

static size_t trimmed_length(const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    return length;
}

variant_status vt_picture_index_scan(vt_picture_index *index, const vt_tree_scan **out,
                                     const vt_tree_scan *walk, const char *path,
                                     variant_error *err) {
    char *root = strndup(path, trimmed_length(path));
    variant_status status = root ? VARIANT_OK : no_memory(err);
    for (int i = 0; root && i < index->count; i++) {
        if (strcmp(index->entries[i].scan.root->path, root) != 0) continue;
        *out = &index->entries[i].scan;
        free(root);
        return VARIANT_OK;
    }
    if (status == VARIANT_OK && index->count == VT_DATA_PATHS)
        status =
            vt_fail(err, VARIANT_E_ARGUMENT, "an index of more than %d data sets", VT_DATA_PATHS);
    entry *into = &index->entries[status == VARIANT_OK ? index->count : 0];
    bool found = false;
    for (int i = 0; status == VARIANT_OK && index->file && !found && i < VT_DATA_PATHS; i++)
        found = into->lasting = take_path(&into->scan, index->file, i, root);
    if (status == VARIANT_OK && !found) status = walk_anew(into, walk, root, err);
    if (status == VARIANT_OK) {
        index->count++;
        *out = &into->scan;
    }
    free(root);
    return status;
}

void vt_picture_index_changed(vt_picture_index *index) {
    if (index) index->changed = true;
}

/* ---- into a file ---- */

/* A path's tensors as they are written. */
typedef struct writing {
    char *names;
    size_t names_size;
    int64_t *folders, *facts, *counts;
    char *endings;
    int64_t folder, fact;
} writing;

static void count_tree(const vt_tree *tree, bool root, writing *w) {
    w->names_size += strlen(root ? tree->path : tree->name) + 1;
    w->folder++;
    w->fact += tree->picture_count;
    for (int i = 0; i < tree->picture_count; i++) w->names_size += strlen(tree->pictures[i]) + 1;
    for (int i = 0; i < tree->folder_count; i++) count_tree(tree->folders[i], false, w);
}

static char *put_name(char *at, const char *name) {
    const size_t size = strlen(name) + 1;
    memcpy(at, name, size);
    return at + size;
}

static char *put_tree(const vt_tree *tree, int64_t depth, writing *w, char *at) {
    const int64_t row[COLUMNS] = {depth,
                                  tree->picture_count,
                                  tree->idx,
                                  tree->state.device,
                                  tree->state.inode,
                                  tree->state.modified,
                                  tree->state.changed};
    memcpy(w->folders + w->folder++ * COLUMNS, row, sizeof row);
    at = put_name(at, depth == 0 ? tree->path : tree->name);
    for (int i = 0; i < tree->picture_count; i++) {
        w->facts[w->fact++] = (int64_t)tree->facts[i];
        at = put_name(at, tree->pictures[i]);
    }
    for (int i = 0; i < tree->folder_count; i++) at = put_tree(tree->folders[i], depth + 1, w, at);
    return at;
}

static variant_status fill(writing *w, const vt_tree_scan *scan, variant_error *err) {
    const size_t endings = (size_t)scan->ending_count, text = sizeof scan->endings->text;
    count_tree(scan->root, true, w);
    w->names = malloc(w->names_size);
    w->folders = calloc((size_t)w->folder, COLUMNS * sizeof *w->folders);
    w->facts = calloc((size_t)w->fact + 1, sizeof *w->facts);
    w->endings = calloc(endings + 1, text);
    w->counts = calloc(endings + 1, sizeof *w->counts);
    if (!w->names || !w->folders || !w->facts || !w->endings || !w->counts) return no_memory(err);
    w->folder = w->fact = 0;
    put_tree(scan->root, 0, w, w->names);
    for (size_t i = 0; i < endings; i++) {
        memcpy(w->endings + i * text, scan->endings[i].text, text);
        w->counts[i] = scan->endings[i].count;
    }
    return VARIANT_OK;
}

static void writing_free(writing *w) {
    free(w->names);
    free(w->folders);
    free(w->facts);
    free(w->endings);
    free(w->counts);
}

/* The tensors of path number `path`; of files that were left out only where there are some. */
static int describe(vt_tensor_out *out, char (*names)[48], const writing *w, int path,
                    int endings) {
    const vt_tensor_out all[PARTS] = {
        {.type = VT_U8, .rank = 1, .shape = {(int64_t)w->names_size}, .data = w->names},
        {.type = VT_I64, .rank = 2, .shape = {w->folder, COLUMNS}, .data = w->folders},
        {.type = VT_I64, .rank = 1, .shape = {w->fact}, .data = w->facts},
        {.type = VT_U8,
         .rank = 2,
         .shape = {endings, sizeof((vt_ending *)0)->text},
         .data = w->endings},
        {.type = VT_I64, .rank = 1, .shape = {endings}, .data = w->counts},
    };
    const int count = endings ? PARTS : ENDINGS;
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%d.%s", path, part_names[i]);
        out[i] = all[i];
        out[i].name = names[i];
    }
    return count;
}

variant_status vt_picture_index_save(vt_picture_index *index, const char *path,
                                     variant_error *err) {
    vt_tensor_out tensors[PARTS * VT_DATA_PATHS];
    char names[PARTS * VT_DATA_PATHS][48];
    writing parts[VT_DATA_PATHS] = {0};
    const kind today = kind_of();
    const char *const key = META_KEY, *const value = today.text;
    variant_status status = VARIANT_OK;
    int count = 0;
    if (!index->changed) return VARIANT_OK;
    for (int i = 0; i < index->count && status == VARIANT_OK; i++) {
        const entry *one = &index->entries[i];
        if (!one->lasting || one->scan.root->total == 0) continue;
        status = fill(&parts[i], &one->scan, err);
        count += describe(tensors + count, names + count, &parts[i], i, one->scan.ending_count);
    }
    if (status == VARIANT_OK && count > 0)
        status = vt_safetensors_write(path, tensors, count, &key, &value, 1, err);
    for (int i = 0; i < index->count; i++) writing_free(&parts[i]);
    if (status == VARIANT_OK) index->changed = false;
    return status;
}
