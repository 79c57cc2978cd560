/* tokens.h - files of token maps, as encode and generate --tokens-out write them, for the commands that read them. */
#ifndef VT_CLI_TOKENS_H
#define VT_CLI_TOKENS_H

#include "io/tensors.h"

#define CLI_TOKENS_KEY "variant.tokens" /* what encode keeps beside them ... */
#define CLI_SETTINGS_KEY                                                                           \
    "variant.settings" /* ... and generate: the settings of the first picture */

/* Opens such a file; what it is instead is said, and what was expected. */
variant_status cli_tokens_open(vt_tensor_file **out, const char *path, variant_error *err);
/* The tensor "tokens" (*count, length), int32, each below `codes`; *out: free() it. E_FORMAT, E_MODEL with the file's name
 * where it is not there or of another tokenizer. */
variant_status cli_tokens_read(const vt_tensor_file *file, int length, int codes, int32_t **out,
                               int *count, variant_error *err);
/* A file of another model gives noise: a note on stderr, no failure (a converted model has another hash). */
void cli_tokens_note_model(const vt_tensor_file *file, const char *hash);

#endif
