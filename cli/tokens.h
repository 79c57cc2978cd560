/* tokens.h - what the commands that read files of token maps say about them. */
#ifndef VT_CLI_TOKENS_H
#define VT_CLI_TOKENS_H

#include "variant.h"

/* A file of another model gives noise: a note on stderr, no failure (a converted model has another hash). */
void cli_tokens_note_model(const variant_tokens *tokens, const char *path, const char *hash);

#endif
