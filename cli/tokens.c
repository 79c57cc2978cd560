/* tokens.c - see tokens.h. */
#include "tokens.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"

void cli_tokens_note_model(const variant_tokens *tokens, const char *path, const char *hash) {
    char line[512];
    if (!tokens->model[0] || strcmp(tokens->model, hash) == 0) return;
    snprintf(line, sizeof line, "%s was made with another model file (%s, this is %s)", path,
             tokens->model, hash);
    cli_note(NULL, line);
}
