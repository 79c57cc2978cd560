/* picture_tree.c - see picture_tree.h. */
#include "io/picture_tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/descriptor.h"
#include "io/picture.h"

#define DEPTH_MAX 32
#define START_BYTES 64 /* of a file without an ending that are looked at */

/* ---- names ---- */

static bool is_listed(const char *text, const char *const *list) {
    for (; *list; list++)
        if (strcasecmp(text, *list) == 0) return true;
    return false;
}

static bool is_passed_over(const char *name) {
    static const char *const names[] = {"__MACOSX",  "@eaDir",       "@tmp",
                                        "#recycle",  "#snapshot",    "lost+found",
                                        "Thumbs.db", "ehthumbs.db",  "desktop.ini",
                                        "Icon\r",    "$RECYCLE.BIN", "System Volume Information",
                                        NULL};
    return name[0] == '.' || is_listed(name, names);
}

/* What follows the last dot, in lower case; what follows a question mark (of addresses) does not count. */
static void ending_of(const char *name, char out[16]) {
    const char *dot = strrchr(name, '.');
    size_t length = dot && dot != name ? strcspn(dot + 1, "?") : 0;
    if (length > 15) length = 0;
    for (size_t i = 0; i < length; i++) out[i] = (char)tolower((unsigned char)dot[1 + i]);
    out[length] = '\0';
}

static bool is_tiff_ending(const char *ending) {
    return strcmp(ending, "tif") == 0 || strcmp(ending, "tiff") == 0;
}

static bool is_picture_ending(const char *ending) {
    static const char *const read_here[] = {"png",  "apng", "jpg", "jpeg", "jpe", "jfif",
                                            "webp", "gif",  "bmp", "dib",  NULL};
    return is_listed(ending, read_here) || (VT_READS_TIFF && is_tiff_ending(ending));
}

static bool is_other_picture(const char *ending) {
    static const char *const others[] = {"heic", "heif", "hif", "avif", "svg", "svgz", "jxl", "jp2",
                                         "j2k",  "psd",  "xcf", "tga",  "ppm", "pgm",  "pnm", "pcx",
                                         "ico",  "exr",  "hdr", "pdf",  "eps", "raw",  "cr2", "cr3",
                                         "nef",  "arw",  "dng", "orf",  "rw2", "raf",  NULL};
    return is_listed(ending, others) || (!VT_READS_TIFF && is_tiff_ending(ending));
}

static variant_status fail_system(const char *path, variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
}

/* Files named by a hash or a number alone are common; their first bytes tell. So they do of what has the ending
 * of a format that this build does not read. */
static variant_status starts_as_picture(const char *path, bool *starts, variant_error *err) {
    uint8_t start[START_BYTES];
    size_t used = 0;
    const int file = vt_open(path, O_RDONLY | O_NONBLOCK);
    ssize_t got = file < 0 ? -1 : 1;
    while (got > 0 && used < sizeof start) {
        got = vt_read(file, start + used, sizeof start - used);
        if (got > 0) used += (size_t)got;
    }
    variant_status status = VARIANT_OK;
    if (got < 0 && !vt_is_reason_of_path(errno)) status = fail_system(path, err);
    if (file >= 0) vt_close(file);
    *starts = vt_picture_starts(start, used);
    return status;
}

/* ---- lists ---- */

/* One more place in an array of `count`, whose room doubles at the powers of two. */
static void *one_more(void *array, int count, size_t size) {
    if ((count & (count - 1)) != 0) return array;
    return realloc(array, (count ? 2 * (size_t)count : 1) * size);
}

static variant_status no_memory(variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of files");
}

static variant_status picture_add(vt_tree *tree, const char *name, variant_error *err) {
    if (tree->picture_count == INT_MAX)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: more than %d files", tree->path, INT_MAX);
    char **larger = one_more(tree->pictures, tree->picture_count, sizeof *larger);
    if (!larger) return no_memory(err);
    tree->pictures = larger;
    larger[tree->picture_count] = strdup(name);
    return larger[tree->picture_count++] ? VARIANT_OK : no_memory(err);
}

static variant_status leave_out(vt_tree_scan *scan, const char *ending, variant_error *err) {
    scan->left_out++;
    for (int i = 0; i < scan->ending_count; i++) {
        if (strcmp(scan->endings[i].text, ending) != 0) continue;
        scan->endings[i].count++;
        return VARIANT_OK;
    }
    vt_ending *larger = one_more(scan->endings, scan->ending_count, sizeof *larger);
    if (!larger) return no_memory(err);
    scan->endings = larger;
    vt_ending *added = &larger[scan->ending_count++];
    *added = (vt_ending){.count = 1};
    memcpy(added->text, ending, strlen(ending));
    return VARIANT_OK;
}

static int pictures_order(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int folders_order(const void *a, const void *b) {
    return strcmp((*(vt_tree *const *)a)->name, (*(vt_tree *const *)b)->name);
}

/* ---- walking ---- */

/* The folders on the way down, and those that were reached by links. */
typedef struct walk {
    vt_tree_scan *scan;
    struct stat way[DEPTH_MAX];
    int depth;
    struct stat *linked;
    int linked_count;
} walk;

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static void walk_note(const walk *w, const char *path, const char *words) {
    char line[600];
    w->scan->noted++;
    if (!w->scan->note) return;
    snprintf(line, sizeof line, "%.400s: left out: %s", path, words);
    w->scan->note(w->scan->user, line);
}

/* Why a folder is not gone into, or NULL. */
static const char *walk_refusal(walk *w, const struct stat *info, bool by_link,
                                variant_status *status, variant_error *err) {
    for (int i = 0; i < w->depth; i++)
        if (is_same(&w->way[i], info)) return "a link back to a folder that it lies in";
    if (w->depth == DEPTH_MAX) return "folders in folders, more than 32 deep";
    if (!by_link) return NULL;
    for (int i = 0; i < w->linked_count; i++)
        if (is_same(&w->linked[i], info)) return "a link to a folder that another link leads to";
    struct stat *larger = one_more(w->linked, w->linked_count, sizeof *larger);
    if (!larger) {
        *status = no_memory(err);
        return "no memory";
    }
    w->linked = larger;
    w->linked[w->linked_count++] = *info;
    return NULL;
}

static variant_status tree_walk(walk *w, const char *path, bool by_link, vt_tree **out,
                                variant_error *err);

static variant_status folder_add(walk *w, vt_tree *tree, const char *path, bool by_link,
                                 variant_error *err) {
    vt_tree *found = NULL;
    VT_TRY(tree_walk(w, path, by_link, &found, err));
    if (!found) return VARIANT_OK;
    vt_tree **larger = one_more(tree->folders, tree->folder_count, sizeof *larger);
    if (larger) {
        tree->folders = larger;
        larger[tree->folder_count++] = found;
        return VARIANT_OK;
    }
    vt_tree_scan lost = {.root = found};
    vt_tree_free(&lost);
    return no_memory(err);
}

static variant_status file_add(walk *w, vt_tree *tree, const char *path, const char *name,
                               variant_error *err) {
    char ending[16];
    ending_of(name, ending);
    bool picture = is_picture_ending(ending);
    if (!picture && (!ending[0] || is_tiff_ending(ending)))
        VT_TRY(starts_as_picture(path, &picture, err));
    if (picture) return picture_add(tree, name, err);
    if (strstr(name, "idx3-ubyte")) tree->idx = true;
    return leave_out(w->scan, ending, err);
}

static variant_status entry_add(walk *w, vt_tree *tree, const struct dirent *entry,
                                variant_error *err) {
    bool folder = entry->d_type == DT_DIR, file = entry->d_type == DT_REG;
    char *path = NULL;
    if (is_passed_over(entry->d_name)) return VARIANT_OK;
    if (asprintf(&path, "%s/%s", tree->path, entry->d_name) < 0) return no_memory(err);
    variant_status status = VARIANT_OK;
    if (!folder && !file) {
        struct stat info;
        const bool there = stat(path, &info) == 0;
        const int reason = there ? 0 : errno;
        folder = there && S_ISDIR(info.st_mode);
        file = there && S_ISREG(info.st_mode);
        if (reason == ENOENT) walk_note(w, path, "a link that leads nowhere");
        if (reason && !vt_is_reason_of_path(reason))
            status = vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(reason));
    }
    if (folder)
        status = folder_add(w, tree, path, entry->d_type == DT_LNK, err);
    else if (file)
        status = file_add(w, tree, path, entry->d_name, err);
    free(path);
    return status;
}

static variant_status entries_read(walk *w, DIR *open, vt_tree *tree, variant_error *err) {
    struct dirent *entry;
    while (errno = 0, (entry = readdir(open))) VT_TRY(entry_add(w, tree, entry, err));
    if (errno) return fail_system(tree->path, err);
    if (tree->picture_count)
        qsort(tree->pictures, (size_t)tree->picture_count, sizeof *tree->pictures, pictures_order);
    if (tree->folder_count)
        qsort(tree->folders, (size_t)tree->folder_count, sizeof *tree->folders, folders_order);
    tree->total = tree->picture_count;
    for (int i = 0; i < tree->folder_count; i++) tree->total += tree->folders[i]->total;
    return VARIANT_OK;
}

static vt_tree_state state_of(const struct stat *info) {
    const int64_t second = 1000000000;
    return (vt_tree_state){.device = (int64_t)info->st_dev,
                           .inode = (int64_t)info->st_ino,
                           .modified = info->st_mtim.tv_sec * second + info->st_mtim.tv_nsec,
                           .changed = info->st_ctim.tv_sec * second + info->st_ctim.tv_nsec};
}

bool vt_tree_state_of(const char *path, vt_tree_state *out) {
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) return false;
    *out = state_of(&info);
    return true;
}

/* *out stays NULL, with VARIANT_OK, for a folder that is left out. */
static variant_status tree_walk(walk *w, const char *path, bool by_link, vt_tree **out,
                                variant_error *err) {
    DIR *open = vt_open_folder(path);
    struct stat info = {0};
    variant_status status = VARIANT_OK;
    const char *refusal = !open || fstat(dirfd(open), &info) != 0 ? strerror(errno) : NULL;
    if (refusal && (w->depth == 0 || !vt_is_reason_of_path(errno))) status = fail_system(path, err);
    if (!refusal) refusal = walk_refusal(w, &info, by_link, &status, err);
    if (refusal) {
        if (status == VARIANT_OK) walk_note(w, path, refusal);
        if (open) closedir(open);
        return status;
    }
    vt_tree *tree = calloc(1, sizeof *tree);
    if (tree) tree->path = strdup(path);
    if (!tree || !tree->path) {
        free(tree);
        closedir(open);
        return no_memory(err);
    }
    tree->name = strrchr(tree->path, '/') ? strrchr(tree->path, '/') + 1 : tree->path;
    tree->state = state_of(&info);
    w->way[w->depth++] = info;
    status = entries_read(w, open, tree, err);
    w->depth--;
    closedir(open);
    *out = tree;
    if (status == VARIANT_OK) return VARIANT_OK;
    vt_tree_scan lost = {.root = tree};
    vt_tree_free(&lost);
    *out = NULL;
    return status;
}

variant_status vt_tree_read(vt_tree_scan *scan, const char *path, variant_error *err) {
    walk w = {.scan = scan};
    char *trimmed = strdup(path);
    if (!trimmed) return no_memory(err);
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--) trimmed[n - 1] = '\0';
    variant_status status = tree_walk(&w, trimmed, false, &scan->root, err);
    free(w.linked);
    free(trimmed);
    if (status != VARIANT_OK) vt_tree_free(scan);
    return status;
}

static void node_free(vt_tree *tree) {
    if (!tree) return;
    for (int i = 0; i < tree->folder_count; i++) node_free(tree->folders[i]);
    for (int i = 0; i < tree->picture_count; i++) free(tree->pictures[i]);
    free(tree->folders);
    free(tree->pictures);
    free(tree->facts);
    free(tree->path);
    free(tree);
}

void vt_tree_free(vt_tree_scan *scan) {
    node_free(scan->root);
    free(scan->endings);
    scan->root = NULL;
    scan->endings = NULL;
    scan->ending_count = 0;
    scan->left_out = 0;
    scan->noted = 0;
}

const vt_tree *vt_tree_idx(const vt_tree *tree) {
    if (tree->idx) return tree;
    for (int i = 0; i < tree->folder_count; i++) {
        const vt_tree *found = vt_tree_idx(tree->folders[i]);
        if (found) return found;
    }
    return NULL;
}

/* ---- telling ---- */

static int by_count(const void *a, const void *b) {
    const vt_ending *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->text, y->text);
}

void vt_tree_left_out(const vt_tree_scan *scan, char *out, size_t size) {
    int count = scan->ending_count;
    size_t used = 0;
    out[0] = '\0';
    vt_ending *sorted = count ? malloc((size_t)count * sizeof *sorted) : NULL;
    if (!sorted) return;
    memcpy(sorted, scan->endings, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_count);
    used = (size_t)snprintf(out, size, "%lld file%s left out:", (long long)scan->left_out,
                            scan->left_out == 1 ? "" : "s");
    for (int i = 0; i < count && i < 8 && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s %lld %s%s%s", i ? "," : "",
                                 (long long)sorted[i].count, sorted[i].text[0] ? "." : "",
                                 sorted[i].text[0] ? sorted[i].text : "without an ending",
                                 is_other_picture(sorted[i].text) ? " (convert them first)" : "");
    if (count > 8 && used < size) snprintf(out + used, size - used, " and others");
    free(sorted);
}
