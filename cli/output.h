/* output.h - where a command's pictures go: names with numbers in them, the standard output, folders that are not
 * there. One place for generate, decode and reconstruct. */
#ifndef VT_CLI_OUTPUT_H
#define VT_CLI_OUTPUT_H

#include <stdio.h>

#include "cli.h"

/* -o of a command that writes pictures. */
typedef struct cli_output {
    const char *path;   /* x.png, x_%02d.jpg, or "-"; NULL: nothing is written */
    const char *option; /* whose value that is, for complaints; NULL: -o */
    int quality;        /* --file-quality; 0: JPEG 95, WebP lossless */
} cli_output;

/* Of cli_output: --output and --file-quality. */
extern const cli_option cli_output_options[];

/* --progress, of commands that run long. */
typedef enum cli_progress_kind {
    CLI_PROGRESS_AUTO,
    CLI_PROGRESS_LINES,
    CLI_PROGRESS_NONE
} cli_progress_kind;
/* Of one cli_progress_kind. */
extern const cli_option cli_progress_option[];

/* Complains about pictures that cannot be written before any time is spent on them: E_ARGUMENT for a name that no
 * format has or several pictures for one standard output, E_IO for folders. `several`: each gets a file of its own. */
variant_status cli_output_check(const cli_output *output, bool several, variant_error *err);
/* E_IO for a file that is a folder, or in one that is missing or not to be written to. */
variant_status cli_writable_check(const char *path, variant_error *err);
/* Does the name end so? */
bool cli_ends_with(const char *path, const char *ending);
bool cli_is_folder(const char *path);
/* The same name, or names of one file that is there. */
bool cli_same_file(const char *a, const char *b);
/* The path of picture i: by the number in the name (%d, %2d, %02d), or, of several, with _00 before the ending. */
variant_status cli_output_path(const cli_output *output, int i, bool several, char *out,
                               size_t size, variant_error *err);
/* Where reports go: stdout, but stderr when pictures go there. */
FILE *cli_report_stream(const cli_output *output);

#endif
