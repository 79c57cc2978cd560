/* animation.c - see animation.h. */
#include "animation.h"

#include <string.h>
#include <strings.h>

#include "cli.h"

#define LONGEST 60.0 /* seconds for which a picture may be seen: APNG holds 65 */

const cli_option cli_animation_options[] = {
    {"animate", "PATH",
     "each picture growing scale by scale, as an animated PNG (with --grid or --compare the "
     "sheet); "
     "several are numbered as -o is, and without -o nothing else is written",
     CLI_TEXT(cli_animation, output.path, "a file to write, x.png")},
    {"delay", "TIME", "for which each scale is seen, as 400ms or 1s",
     CLI_SECONDS(cli_animation, delay)},
    {"hold", "TIME", "for which the finished picture is", CLI_SECONDS(cli_animation, hold)},
    {"loops", "N", "how often it is played, {range}; 0: for ever",
     CLI_INT(cli_animation, loops, 0, 65535)},
    {0},
};

void cli_animation_init(cli_animation *animation) {
    variant_animation all;
    variant_animation_init(&all);
    *animation = (cli_animation){.output.option = "--animate",
                                 .delay = all.frame_seconds,
                                 .hold = all.last_seconds,
                                 .loops = all.plays};
}

int cli_animation_check(const cli_animation *animation, const cli_line *line) {
    const char *idle = cli_first_given(line, "delay|hold|loops");
    if (idle && !animation->output.path)
        return cli_misuse("--%s is for an animation: give --animate", idle);
    if (animation->delay < 1e-3 || animation->delay > LONGEST)
        return cli_misuse("--delay %g: expected 1ms to %gs", animation->delay, LONGEST);
    if (animation->hold < 1e-3 || animation->hold > LONGEST)
        return cli_misuse("--hold %g: expected 1ms to %gs", animation->hold, LONGEST);
    return -1;
}

variant_status cli_animation_check_output(const cli_animation *animation, bool several,
                                          variant_error *err) {
    static const char *const others[] = {".jpg", ".jpeg", ".webp"};
    const char *path = animation->output.path, *dot = path ? strrchr(path, '.') : NULL;
    if (!path) return VARIANT_OK;
    variant_error unsaid;
    bool other = variant_picture_path_check(path, &unsaid) != VARIANT_OK;
    for (size_t i = 0; dot && i < sizeof others / sizeof *others; ++i)
        other = other || strcasecmp(dot, others[i]) == 0;
    if (other)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "--animate %s: an animation is a PNG: expected a name that ends in .png, or "
            "- for the standard output",
            path);
    return cli_output_check(&animation->output, several, err);
}

variant_status cli_animation_write(const cli_animation *animation, const variant_picture *pictures,
                                   int count, int columns, int zoom, int index, bool several,
                                   variant_error *err) {
    char path[4096];
    variant_animation how;
    variant_animation_init(&how);
    how.columns = columns;
    how.zoom = zoom;
    how.frame_seconds = animation->delay;
    how.last_seconds = animation->hold;
    how.plays = animation->loops;
    CLI_TRY(cli_output_path(&animation->output, index, several, path, sizeof path, err));
    return variant_pictures_write_animation(pictures, count, &how, path, err);
}
