/* output.c - see output.h. */
#include "output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const cli_option cli_output_options[] = {
    {"output", "PATH",
     "a .png, .jpg (.jpeg) or .webp; several pictures are numbered, out.png becoming out_00.png or "
     "x_%02d.png x_00.png; - is the standard output, a PNG",
     .letter = 'o', CLI_TEXT(cli_output, path, "where to write")},
    {"file-quality", "Q", "of a .jpg or .webp, {range}", CLI_INT(cli_output, quality, 1, 100),
     .unset = "95, and a .webp without loss"},
    {0},
};

const cli_option cli_progress_option[] = {
    {"progress", "[=WHICH]", "on stderr: {words}", .kind = CLI_KIND_WORD,
     .words = "auto|lines|none", .alone = "lines",
     .notes = "a line where it is a terminal|as --progress alone|"},
    {0},
};

/* Is the one conversion of the pattern %d, %2d or %02d? No conversion: 0; one such: 1; anything
 * else: -1. */
static int count_conversions(const char *pattern) {
    int count = 0;
    for (const char *p = pattern; *p; ++p) {
        if (*p != '%') continue;
        if (p[1] == '%') {
            ++p;
            continue;
        }
        size_t digits = strspn(p + 1, "0123456789");
        if (digits > 2 || p[1 + digits] != 'd') return -1;
        ++count;
    }
    return count > 1 ? -1 : count;
}

variant_status cli_output_path(const cli_output *output, int i, bool several, char *out,
                               size_t size, variant_error *err) {
    const char *path = output->path;
    int length;
    if (count_conversions(path) == 1) {
        char digits[128], width[4] = "";
        const char *at = strchr(path, '%');
        while (at[1] == '%') at = strchr(at + 2, '%');
        size_t wide = strspn(at + 1, "0123456789");
        memcpy(width, at + 1, wide);
        snprintf(digits, sizeof digits, width[0] == '0' ? "%0*d" : "%*d", atoi(width), i);
        length = snprintf(out, size, "%.*s%s%s", (int)(at - path), path, digits, at + wide + 2);
    } else if (!several || variant_is_standard_output(path)) {
        length = snprintf(out, size, "%s", path);
    } else {
        const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
        if (!dot || (slash && dot < slash)) dot = path + strlen(path);
        length = snprintf(out, size, "%.*s_%02d%s", (int)(dot - path), path, i, dot);
    }
    if (length > 0 && (size_t)length < size) return VARIANT_OK;
    return variant_fail(err, VARIANT_E_ARGUMENT, "%s %.80s...: the path is too long",
                        output->option ? output->option : "-o", path);
}

bool cli_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

variant_status cli_writable_check(const char *path, variant_error *err) {
    char folder[4096];
    if (variant_is_standard_output(path)) return VARIANT_OK;
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = '\0';
    else if (slash)
        *slash = '\0';
    else
        strcpy(folder, ".");
    if (cli_is_folder(path))
        return variant_fail(err, VARIANT_E_IO, "%s is a folder: expected a file to write", path);
    if (!cli_is_folder(folder))
        return variant_fail(err, VARIANT_E_IO, "%s: there is no folder %s", path, folder);
    if (access(folder, W_OK) != 0)
        return variant_fail(err, VARIANT_E_IO, "%s: folder %s is not writable", path, folder);
    return VARIANT_OK;
}

bool cli_ends_with(const char *path, const char *ending) {
    const size_t length = strlen(path), tail = strlen(ending);
    return length >= tail && strcmp(path + length - tail, ending) == 0;
}

bool cli_same_file(const char *a, const char *b) {
    struct stat first, second;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

variant_status cli_output_check(const cli_output *output, bool several, variant_error *err) {
    char path[4096];
    const char *option = output->option ? output->option : "-o";
    if (count_conversions(output->path) < 0)
        return variant_fail(err, VARIANT_E_ARGUMENT,
                            "%s %s: expected at most one number such as %%02d", option,
                            output->path);
    if (variant_is_standard_output(output->path) && several)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "%s %s: the standard output takes one picture: ask for one, or for a sheet", option,
            output->path);
    if (variant_is_standard_output(output->path) && isatty(STDOUT_FILENO))
        return variant_fail(err, VARIANT_E_ARGUMENT,
                            "%s %s: a PNG is nothing to print on a terminal: redirect it", option,
                            output->path);
    CLI_TRY(cli_output_path(output, 0, several, path, sizeof path, err));
    CLI_TRY(cli_writable_check(path, err));
    return variant_picture_path_check(path, err);
}

FILE *cli_report_stream(const cli_output *output) {
    return output->path && variant_is_standard_output(output->path) ? stderr : stdout;
}
