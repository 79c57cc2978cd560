/* tokens.h - token maps with what is known of them, for the files of engine/ that make, write and read them; the rest is in variant.h. */
#ifndef VT_ENGINE_TOKENS_H
#define VT_ENGINE_TOKENS_H

#include "tokenizer/tokenizer.h"

#define VT_TOKENS_KEY "variant.tokens"     /* metadata of a file of them, as encode writes it ... */
#define VT_SETTINGS_KEY "variant.settings" /* ... and generate: the settings of the first picture */

/* Without numbers yet: (count, length), and labels where they are wanted. */
variant_status vt_tokens_new(variant_tokens **out, int count, int length, bool labelled,
                             variant_error *err);
/* Whose they are: sides, codes and the model's hash. */
void vt_tokens_describe(variant_tokens *tokens, const vt_tokenizer_config *config,
                        const char *hash);

#endif
