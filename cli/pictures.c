/* pictures.c - see pictures.h. */
#include "pictures.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/file.h"

static bool add(cli_pictures *to, const char *folder, const char *name) {
    if (to->count == to->capacity) {
        int capacity = to->capacity ? 2 * to->capacity : 64;
        char **grown = realloc(to->paths, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        to->paths = grown;
        to->capacity = capacity;
    }
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0) return false;
    to->paths[to->count++] = path;
    return true;
}

static int is_picture(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 ||
                   strcasecmp(dot, ".jpeg") == 0);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

variant_status cli_pictures_add(cli_pictures *pictures, const char *path, variant_error *err) {
    bool whole = true;
    if (!vt_is_folder(path)) {
        whole = add(pictures, "", path);
    } else {
        struct dirent **entries = NULL;
        int count = scandir(path, &entries, is_picture, by_name);
        if (count == 0) free(entries);
        if (count <= 0)
            return vt_fail(err, VARIANT_E_IO, "%s: no .png, .jpg or .jpeg file in this folder",
                           path);
        for (int i = 0; i < count; ++i) {
            whole = whole && add(pictures, path, entries[i]->d_name);
            free(entries[i]);
        }
        free(entries);
    }
    return whole ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of pictures");
}

void cli_pictures_close(cli_pictures *pictures) {
    for (int i = 0; i < pictures->count; ++i) free(pictures->paths[i]);
    free(pictures->paths);
    *pictures = (cli_pictures){0};
}

bool cli_pictures_in(const char *folder) {
    DIR *open = opendir(folder);
    bool found = false;
    for (struct dirent *entry; open && !found && (entry = readdir(open));)
        found = is_picture(entry) != 0;
    if (open) closedir(open);
    return found;
}
