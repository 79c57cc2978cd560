/* pictures.h - lists of picture files that commands are given: files, and all pictures in a folder. */
#ifndef VT_CLI_PICTURES_H
#define VT_CLI_PICTURES_H

#include "core/status.h"

typedef struct cli_pictures {
    char **paths; /* (count), owned */
    int count, capacity;
} cli_pictures;

/* Adds a file, or the pictures in a folder and below it as io/picture_folder.h finds them, sorted bytewise; E_IO
 * when there are none. Notes of what was left out go to stderr, in the command's name. */
variant_status cli_pictures_add(cli_pictures *pictures, const char *path, variant_error *err);
void cli_pictures_close(cli_pictures *pictures);

#endif
