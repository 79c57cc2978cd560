/* edit.h - the picture that `variant generate` draws a part of again: its options and files. */
#ifndef VT_CLI_EDIT_H
#define VT_CLI_EDIT_H

#include "data_options.h"
#include "request.h"

typedef struct cli_edit {
    const char *picture, *mask; /* files; NULL */
    bool invert;                /* the mask is black where it is drawn again */
    int grow, feather;          /* as variant_edit has them */
    int added[4];               /* left, top, right, bottom */
    cli_data taken;             /* fit and alpha */
    bool pad;
    const char *alpha;              /* of `taken`, or of the model's training */
    variant_picture *pixels, *hole; /* once read; owned */
    int32_t label;                  /* of the picture, where the line names none */
    variant_edit edit;              /* what the request's edits point to */
} cli_edit;

extern const cli_option cli_edit_options[];

cli_edit cli_edit_defaults(void);
/* -1, or the exit status after a complaint. */
int cli_edit_check(const cli_edit *edit, const cli_line *line);
/* Once the engine, opened with its encoder, is there: puts the edit into the request with the picture's size, by the head of
 * its file alone, so that it can be measured. from: the settings that the request is of, or NULL; what the line does not say
 * is as they have it. */
variant_status cli_edit_measure(cli_edit *edit, const cli_line *line, const variant_settings *from,
                                const variant_engine *engine, variant_request *request,
                                variant_error *err);
/* What the files read will hold. */
size_t cli_edit_bytes(const cli_edit *edit);
/* Then: reads the files, and chooses the class where the line names none: the one in the picture's settings, else none. */
variant_status cli_edit_apply(cli_edit *edit, const cli_line *line, const variant_engine *engine,
                              variant_request *request, variant_error *err);
void cli_edit_close(cli_edit *edit);

#endif
