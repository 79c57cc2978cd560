/* beginning.h - what the pictures of `variant generate` begin with: the settings inside a picture, its early scales, or token
 * maps of a file. */
#ifndef VT_CLI_BEGINNING_H
#define VT_CLI_BEGINNING_H

#include "request.h"

typedef struct cli_beginning {
    const char *from, *refine, *vary, *tokens_in;
    int keep_scales;            /* given ones; 0: as the option needs */
    variant_settings *settings; /* of the picture that from, refine or vary names */
    int32_t *tokens;            /* (L), drawn: what the request's given_tokens point to, or ... */
    variant_tokens *given;      /* ... these, of a file */
} cli_beginning;

extern const cli_option cli_beginning_options[];

/* -1, or the exit status after a complaint. */
int cli_beginning_check(const cli_beginning *b, const cli_line *line);
/* Before the engine is opened: reads the picture, whose types hold where the line does not say others. */
variant_status cli_beginning_read(cli_beginning *b, const cli_line *line, cli_request *asked,
                                  variant_error *err);
/* Then: puts into the request what the line does not say, and the given tokens. planned: a budget will choose the depth. */
variant_status cli_beginning_apply(cli_beginning *b, const cli_line *line, bool planned,
                                   const variant_engine *engine, cli_request *asked,
                                   variant_error *err);
void cli_beginning_close(cli_beginning *b);

#endif
