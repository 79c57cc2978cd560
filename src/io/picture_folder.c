/* picture_folder.c - finds classes and pictures by name (see picture_folder.h).
 *
 * Everything is sorted bytewise, never in the folder's own order: a label and an index mean the
 * same on every machine. Called by dataset.c. */
#include "io/picture_folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"

typedef struct name_list {
    char **names;
    int count;
} name_list;

static void names_free(name_list *list) {
    for (int i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (name_list){0};
}

static int names_order(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Room grows by doubling at the powers of two. */
static variant_status names_add(name_list *list, const char *name, variant_error *err) {
    if (list->count == INT_MAX)
        return vt_fail(err, VARIANT_E_FORMAT, "more than %d files", INT_MAX);
    if ((list->count & (list->count - 1)) == 0) {
        size_t room = list->count ? 2 * (size_t)list->count : 1;
        char **larger = realloc(list->names, room * sizeof *larger);
        if (!larger) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of files");
        list->names = larger;
    }
    char *copy = strdup(name);
    if (!copy) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of files");
    list->names[list->count++] = copy;
    return VARIANT_OK;
}

static bool is_picture_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static char *path_join(const char *folder, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* The visible sub-folders of path, or its regular files named as pictures; sorted. */
static variant_status folder_list(name_list *out, const char *path, bool folders,
                                  variant_error *err) {
    *out = (name_list){0};
    DIR *dir = opendir(path);
    if (!dir) return vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    variant_status status = VARIANT_OK;
    struct dirent *entry;
    while (status == VARIANT_OK && (errno = 0, entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || (!folders && !is_picture_name(entry->d_name))) continue;
        char *full = path_join(path, entry->d_name);
        struct stat info;
        if (!full) {
            status = vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", path);
        } else if (stat(full, &info) == 0 &&
                   (folders ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode))) {
            status = names_add(out, entry->d_name, err);
        }
        free(full);
    }
    if (status == VARIANT_OK && errno)
        status = vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    closedir(dir);
    if (status != VARIANT_OK) {
        names_free(out);
    } else if (out->count) {
        qsort(out->names, (size_t)out->count, sizeof *out->names, names_order);
    }
    return status;
}

/* Whether root/name holds classes, rather than being one: it has sub-folders and no pictures of its
 * own. */
static bool is_split(const char *root, const char *name) {
    char *path = path_join(root, name);
    name_list folders = {0}, pictures = {0};
    bool split = path && vt_is_folder(path) &&
                 folder_list(&folders, path, true, NULL) == VARIANT_OK &&
                 folder_list(&pictures, path, false, NULL) == VARIANT_OK && folders.count > 0 &&
                 pictures.count == 0;
    names_free(&folders);
    names_free(&pictures);
    free(path);
    return split;
}

/* The classes of a folder; its splits, if it has any beside the classes, are none. */
static variant_status classes_list(name_list *out, const char *root, variant_error *err) {
    VT_TRY(folder_list(out, root, true, err));
    int kept = 0;
    for (int i = 0; i < out->count; i++) {
        char *name = out->names[i];
        bool reserved =
            strcmp(name, "train") == 0 || strcmp(name, "test") == 0 || strcmp(name, "val") == 0;
        if (reserved && is_split(root, name)) {
            free(name);
        } else {
            out->names[kept++] = name;
        }
    }
    out->count = kept;
    return VARIANT_OK;
}

static int class_find(const vt_picture_folder *folder, const char *name) {
    if (!folder->class_count) return -1;
    char **at = bsearch(&name, folder->classes, (size_t)folder->class_count,
                        sizeof *folder->classes, names_order);
    return at ? (int)(at - folder->classes) : -1;
}

/* Adds the pictures of one class. */
static variant_status files_add(vt_picture_folder *folder, const char *class_name, int label,
                                variant_error *err) {
    variant_status status = VARIANT_OK;
    name_list names = {0};
    char *path = path_join(folder->root, class_name);
    if (!path) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", folder->root);
    VT_CHECK(folder_list(&names, path, false, err));
    if (names.count == 0) goto cleanup;
    if (names.count > INT_MAX - folder->file_count) {
        status = vt_fail(err, VARIANT_E_FORMAT, "%s: more than %d pictures", folder->root, INT_MAX);
        goto cleanup;
    }
    size_t count = (size_t)folder->file_count + (size_t)names.count;
    vt_picture_file *larger = realloc(folder->files, count * sizeof *larger);
    if (!larger) {
        status =
            vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for the list of pictures", folder->root);
        goto cleanup;
    }
    folder->files = larger;
    for (int i = 0; i < names.count; i++) {
        struct stat info;
        vt_picture_file file = {.path = path_join(path, names.names[i]), .label = label};
        if (!file.path) {
            status = vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", path);
            goto cleanup;
        }
        file.name = file.path + strlen(folder->root) + 1;
        file.size = stat(file.path, &info) == 0 ? (int64_t)info.st_size : -1;
        folder->files[folder->file_count++] = file;
    }

cleanup:
    names_free(&names);
    free(path);
    return status;
}

/* The folder of the split asked for, and the folder whose sub-folders number the classes. */
static variant_status roots_find(char **root, char **class_root, const char *path, bool test_split,
                                 variant_error *err) {
    const char *split = !test_split              ? (is_split(path, "train") ? "train" : NULL)
                        : is_split(path, "test") ? "test"
                                                 : "val";
    if (test_split && !is_split(path, split)) {
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: no test split: expected class folders in %s/test or %s/val", path, path,
                       path);
    }
    *root = split ? path_join(path, split) : strdup(path);
    *class_root = is_split(path, "train") ? path_join(path, "train") : strdup(path);
    if (!*root || !*class_root)
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a path", path);
    return VARIANT_OK;
}

variant_status vt_picture_folder_open(vt_picture_folder *out, const char *path, bool test_split,
                                      variant_error *err) {
    *out = (vt_picture_folder){0};
    variant_status status = VARIANT_OK;
    name_list classes = {0}, present = {0};
    char *class_root = NULL;

    VT_CHECK(roots_find(&out->root, &class_root, path, test_split, err));
    VT_CHECK(classes_list(&classes, class_root, err));
    VT_CHECK(classes_list(&present, out->root, err));
    if (classes.count == 0) { /* a test split alone numbers its own */
        names_free(&classes);
        VT_CHECK(classes_list(&classes, out->root, err));
    }
    out->classes = classes.names;
    out->class_count = classes.count;
    classes = (name_list){0};
    for (int i = 0; i < present.count; i++) {
        int label = class_find(out, present.names[i]);
        if (label < 0) {
            status = vt_fail(err, VARIANT_E_FORMAT, "%s/%s: a class that %s does not have",
                             out->root, present.names[i], class_root);
            goto cleanup;
        }
        VT_CHECK(files_add(out, present.names[i], label, err));
    }

cleanup:
    names_free(&classes);
    names_free(&present);
    free(class_root);
    if (status != VARIANT_OK) vt_picture_folder_free(out);
    return status;
}

void vt_picture_folder_free(vt_picture_folder *folder) {
    for (int i = 0; i < folder->file_count; i++) free(folder->files[i].path);
    free(folder->files);
    for (int i = 0; i < folder->class_count; i++) free(folder->classes[i]);
    free(folder->classes);
    free(folder->root);
    *folder = (vt_picture_folder){0};
}
