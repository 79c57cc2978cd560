/* pictures.c - see pictures.h. */
#include "pictures.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "io/picture_folder.h"
#include "io/file.h"

static variant_status add(cli_pictures *to, const char *path, variant_error *err) {
    if (to->count == to->capacity) {
        int capacity = to->capacity ? 2 * to->capacity : 64;
        char **grown = realloc(to->paths, (size_t)capacity * sizeof *grown);
        if (!grown) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of pictures");
        to->paths = grown;
        to->capacity = capacity;
    }
    to->paths[to->count] = strdup(path);
    return to->paths[to->count++] ? VARIANT_OK
                                  : vt_fail(err, VARIANT_E_MEMORY, "no memory for a path");
}

variant_status cli_pictures_add(cli_pictures *pictures, const char *path, variant_error *err) {
    if (!vt_is_folder(path)) return add(pictures, path, err);
    vt_picture_folder folder;
    const vt_picture_folder_options options = {.path = path, .note = cli_note};
    VT_TRY(vt_picture_folder_list(&folder, &options, err));
    variant_status status = folder.file_count
                                ? VARIANT_OK
                                : vt_fail(err, VARIANT_E_IO, "%s: no picture in this folder", path);
    for (int i = 0; status == VARIANT_OK && i < folder.file_count; ++i)
        status = add(pictures, folder.files[i].path, err);
    vt_picture_folder_free(&folder);
    return status;
}

void cli_pictures_close(cli_pictures *pictures) {
    for (int i = 0; i < pictures->count; ++i) free(pictures->paths[i]);
    free(pictures->paths);
    *pictures = (cli_pictures){0};
}
