/* tokens.c - a file of token maps, by variant_tokens_read: the first byte says whether its name ends in .npz or .safetensors. What is taken is the same
 * once written and read again. */
#include "tests/fuzz/fuzz.h"
#include "variant.h"

static void write_again(const variant_tokens *tokens, const char *name) {
    variant_tokens *again = NULL;
    variant_error err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/again-%s", fuzz_folder(), name);
    FUZZ_OK(variant_tokens_write(tokens, path, &err));
    FUZZ_OK(variant_tokens_read(&again, path, tokens->length, 0, &err));
    FUZZ_EXPECT(again->count == tokens->count && again->length == tokens->length);
    FUZZ_EXPECT(memcmp(again->tokens, tokens->tokens,
                       (size_t)tokens->count * (size_t)tokens->length * sizeof *tokens->tokens) ==
                0);
    FUZZ_EXPECT(!again->labels == !tokens->labels && again->scales == tokens->scales);
    variant_tokens_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    variant_tokens *tokens = NULL;
    variant_error err = {0};
    char path[256];
    if (size < 1) return 0;
    const char *name = data[0] & 1 ? "tokens.npz" : "tokens.safetensors";
    fuzz_write(path, name, data + 1, size - 1);
    fuzz_begin();
    const variant_status status = variant_tokens_read(&tokens, path, 0, 0, &err);
    fuzz_told(status, &err);
    FUZZ_EXPECT((status == VARIANT_OK) == (tokens != NULL));
    if (status == VARIANT_OK) write_again(tokens, name);
    variant_tokens_free(&tokens);
    fuzz_end(((size_t)64 << 20) + 16 * 1100 * size); /* all numbers, unfolded, as doubles */
    return 0;
}
