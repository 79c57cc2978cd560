/* train_memory.c - see train_memory.h. */
#include "train_memory.h"

#include <stdio.h>

typedef struct part {
    const char *name;
    size_t bytes;
    const char *about;
} part;

#define PARTS 10

static void parts_of(const variant_train_result *r, part out[PARTS]) {
    const part parts[PARTS] = {
        {"weights", r->weight_bytes, "float32, of the model in training"},
        {"packed", r->packed_bytes, "the weights once more, as bf16 products read them"},
        {"gradients", r->gradient_bytes, "float32"},
        {"moments", r->moment_bytes, "two of AdamW"},
        {"activations", r->activation_bytes,
         "and workspaces: the most that a step or an evaluation takes"},
        {"tokenizer", r->tokenizer_bytes, "the trained one, which stays as it is"},
        {"data", r->data_bytes, "pictures and tokens held, a batch of them"},
        {"encoding", r->encoding_bytes, "while pictures become tokens, before the first step"},
        {"saving", r->saving_bytes, "while a checkpoint is written"},
        {"samples", r->sample_bytes, "while a contact sheet is drawn"},
    };
    for (int i = 0; i < PARTS; ++i) out[i] = parts[i];
}

/* Encoding is over when steps begin, which take the sum of all else. */
static const char *when_most(const part parts[PARTS], const variant_train_result *r) {
    size_t steps = 0;
    for (int i = 0; i < PARTS; ++i) steps += parts[i].bytes;
    steps -= r->encoding_bytes;
    if (r->encoding_bytes == 0) return "";
    return r->total_bytes > steps ? ": while pictures become tokens"
                                  : ": encoding is over when steps begin";
}

void cli_train_memory_print(const variant_train_result *result, bool json) {
    part parts[PARTS];
    parts_of(result, parts);
    if (json) {
        putchar('{');
        for (int i = 0; i < PARTS; ++i)
            printf("\"%s_bytes\": %zu, ", parts[i].name, parts[i].bytes);
        printf("\"total_bytes\": %zu}\n", result->total_bytes);
        return;
    }
    for (int i = 0; i < PARTS; ++i)
        if (parts[i].bytes > 0)
            printf("  %-12s %16zu bytes  %s\n", parts[i].name, parts[i].bytes, parts[i].about);
    printf("  %-12s %16zu bytes  %.1f MB%s\n", "at most", result->total_bytes,
           (double)result->total_bytes / 1e6, when_most(parts, result));
}
