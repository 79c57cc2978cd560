/* edit.c - see edit.h. */
#include "edit.h"

#include <stdio.h>
#include <stdlib.h>

#include "values.h"

enum { MOST_PIXELS = 32768 }; /* of a side */

/* Of an option that is given again the last counts; whoever gives two pictures means both. */
static bool read_picture(void *owner, const char *text) {
    cli_edit *e = owner;
    if (e->picture)
        return cli_refuse("expected one picture, as a run edits one, and there is %s already",
                          e->picture);
    return cli_text(text, "a picture's file", &e->picture);
}

static bool read_added(void *owner, const char *text) {
    cli_edit *e = owner;
    double sides[4];
    int count = 0;
    if (!cli_doubles(text, 0, MOST_PIXELS, 4, sides, &count)) return false;
    if (count != 4) return cli_refuse("expected four numbers of pixels: left,top,right,bottom");
    for (int i = 0; i < 4; ++i) {
        e->added[i] = (int)sides[i];
        if (e->added[i] != sides[i]) return cli_refuse("expected whole numbers of pixels");
    }
    return true;
}

#define ROW(member) cli_edit, member
const cli_option cli_edit_options[] = {
    {"init-img", "PICTURE",
     "draw a part of this picture again (PNG, JPEG, WebP, any size), as large as it is; the rest "
     "stays as it is; one picture a run",
     CLI_TEXT(ROW(picture), "a picture's file"), .read = read_picture},
    {"mask", "FILE",
     "which part, of the picture's size: what is white, or, where it has see-through pixels, what "
     "is see-through (alpha 0)",
     CLI_TEXT(ROW(mask), "a picture's file"), .unset = "what is see-through in PICTURE"},
    {"invert-mask", NULL, "the other way round: what is black", CLI_FLAG(ROW(invert))},
    {"grow", "N", "pixels by which the part reaches beyond the mask, {range}",
     CLI_INT(ROW(grow), 0, MOST_PIXELS)},
    {"feather", "N", "pixels over which it goes over into the rest, {range}; 0: an edge",
     CLI_INT(ROW(feather), 0, MOST_PIXELS), .unset = "a cell of the finest token map"},
    {"outpaint", "L,T,R,B", "pixels to add at the picture's left, top, right and bottom",
     .read = read_added, .unset = "none"},
    {0},
};

cli_edit cli_edit_defaults(void) {
    return (cli_edit){.feather = -1, .taken = cli_data_defaults()};
}

static bool outpaints(const cli_edit *e) {
    return e->added[0] || e->added[1] || e->added[2] || e->added[3];
}

int cli_edit_check(const cli_edit *e, const cli_line *line) {
    const char *others = "mask|invert-mask|grow|feather|outpaint|fit|alpha|pad";
    const char *alone = cli_first_given(line, others);
    if (!e->picture && alone)
        return cli_misuse("--%s is for a picture that is edited: give --init-img", alone);
    if (!e->picture) return -1;
    if (e->invert && !e->mask) return cli_misuse("--invert-mask of what? give --mask");
    if (cli_given(line, "outpaint") && !outpaints(e))
        return cli_misuse("--outpaint 0,0,0,0 adds nothing: give the pixels of a side");
    const char *other = cli_first_given(line, "refine|vary|tokens-in|keep-scales");
    return other ? cli_misuse("--init-img says what is kept: give no --%s with it", other) : -1;
}

/* 255 where a pixel is drawn again. */
static variant_status read_hole(cli_edit *e, variant_error *err) {
    const char *path = e->mask ? e->mask : e->picture;
    CLI_TRY(variant_mask_read(&e->hole, path, !e->mask, err));
    const size_t pixels = (size_t)e->hole->width * (size_t)e->hole->height;
    if (e->hole->width != e->pixels->width || e->hole->height != e->pixels->height)
        return variant_fail(err, VARIANT_E_ARGUMENT, "%s: a mask of %d x %d pixels, %s has %d x %d",
                            path, e->hole->width, e->hole->height, e->picture, e->pixels->width,
                            e->pixels->height);
    bool any = outpaints(e);
    for (size_t i = 0; i < pixels; ++i) {
        if (e->invert) e->hole->pixels[i] = 255 - e->hole->pixels[i];
        any = any || e->hole->pixels[i];
    }
    if (any) return VARIANT_OK;
    if (!e->mask)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "%s has no see-through pixels: give the part to be drawn again as --mask, or "
            "--outpaint",
            path);
    return variant_fail(err, VARIANT_E_ARGUMENT,
                        "%s: the mask is all %s: nothing is to be drawn again (white is, %s)", path,
                        e->invert ? "white" : "black",
                        e->invert ? "without --invert-mask" : "or black with --invert-mask");
}

/* The class that the picture was made as, by this model, else none. */
static void choose_class(cli_edit *e, const variant_engine *engine, variant_request *request) {
    variant_settings *settings = NULL;
    variant_request made = {.size = sizeof made};
    const variant_info info = *variant_engine_info(engine);
    char line[512] = "no --class: the part is drawn as of none";
    e->label = info.classes;
    if (variant_settings_read(&settings, e->picture, NULL) == VARIANT_OK &&
        variant_settings_request(settings, engine, &made, NULL) == VARIANT_OK &&
        made.labels[0] < info.classes) {
        const char *name = variant_engine_class_name(engine, made.labels[0]);
        e->label = made.labels[0];
        snprintf(line, sizeof line, "no --class: %d%s%.200s, as %.200s was made", (int)e->label,
                 name ? " " : "", name ? name : "", e->picture);
    }
    variant_settings_free(&settings);
    request->labels = &e->label;
    request->label_count = 1;
    cli_note(NULL, line);
}

variant_status cli_edit_measure(cli_edit *e, const cli_line *line, const variant_settings *from,
                                const variant_engine *engine, variant_request *request,
                                variant_error *err) {
    if (!e->picture && request->edited)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "the picture of --from is an edit of another one: give that and its mask "
            "again, --init-img and --mask (their hashes: %s)",
            request->edited);
    if (!e->picture) return VARIANT_OK;
    const variant_info *info = variant_engine_info(engine);
    e->alpha = e->taken.alpha ? e->taken.alpha : info->alpha;
    int width, height, channels;
    CLI_TRY(variant_picture_probe(e->picture, &width, &height, &channels, err));
    variant_edit_init(&e->edit);
    const bool again = from && variant_settings_edit(from, &e->edit);
    if (!again || cli_given(line, "grow")) e->edit.grow = e->grow;
    if (!again || cli_given(line, "feather")) e->edit.feather = e->feather;
    if (!again || cli_given(line, "outpaint")) {
        e->edit.left = e->added[0];
        e->edit.top = e->added[1];
        e->edit.right = e->added[2];
        e->edit.bottom = e->added[3];
    } else {
        const int added[] = {e->edit.left, e->edit.top, e->edit.right, e->edit.bottom};
        for (int i = 0; i < 4; ++i) e->added[i] = added[i];
    }
    if (!again || cli_given(line, "fit")) e->edit.fit = e->taken.fit ? e->taken.fit : info->fit;
    if (!again || cli_given(line, "pad")) e->edit.pad = e->pad;
    e->edit.width = width;
    e->edit.height = height;
    e->edit.channels = channels;
    request->edits = &e->edit;
    request->edit_count = 1;
    return VARIANT_OK;
}

size_t cli_edit_bytes(const cli_edit *e) {
    const size_t pixels = (size_t)e->edit.width * (size_t)e->edit.height;
    return e->picture ? pixels * ((size_t)e->edit.channels + 1) : 0;
}

variant_status cli_edit_apply(cli_edit *e, const cli_line *line, const variant_engine *engine,
                              variant_request *request, variant_error *err) {
    if (!e->picture) return VARIANT_OK;
    CLI_TRY(variant_picture_read(&e->pixels, e->picture, e->alpha, err));
    CLI_TRY(read_hole(e, err));
    e->edit.width = e->pixels->width;
    e->edit.height = e->pixels->height;
    e->edit.channels = e->pixels->channels;
    e->edit.pixels = e->pixels->pixels;
    e->edit.mask = e->hole->pixels;
    if (!cli_given(line, "class") && !request->labels) choose_class(e, engine, request);
    return VARIANT_OK;
}

void cli_edit_close(cli_edit *e) {
    variant_pictures_free(&e->pixels, 1);
    variant_pictures_free(&e->hole, 1);
}
