/* train_memory.c - see train_memory.h. */
#include "train_memory.h"

#include <stdio.h>

typedef struct part {
    const char *name;
    size_t bytes;
    const char *about;
} part;

#define PARTS 10

static void parts_of(const vt_train_memory *m, part out[PARTS]) {
    const part parts[PARTS] = {
        {"weights", m->weights, "float32, of the model in training"},
        {"packed", m->packed, "the weights once more, as bf16 products read them"},
        {"gradients", m->gradients, "float32"},
        {"moments", m->moments, "two of AdamW"},
        {"activations", m->activations,
         "and workspaces: the most that a step or an evaluation takes"},
        {"tokenizer", m->tokenizer, "the trained one, which stays as it is"},
        {"data", m->data, "pictures and tokens held, a batch of them"},
        {"encoding", m->encoding, "while pictures become tokens, before the first step"},
        {"saving", m->saving, "while a checkpoint is written"},
        {"samples", m->samples, "while a contact sheet is drawn"},
    };
    for (int i = 0; i < PARTS; ++i) out[i] = parts[i];
}

void cli_train_memory_print(const vt_train_memory *memory, bool json) {
    part parts[PARTS];
    parts_of(memory, parts);
    if (json) {
        putchar('{');
        for (int i = 0; i < PARTS; ++i)
            printf("\"%s_bytes\": %zu, ", parts[i].name, parts[i].bytes);
        printf("\"total_bytes\": %zu}\n", memory->total);
        return;
    }
    for (int i = 0; i < PARTS; ++i)
        if (parts[i].bytes > 0)
            printf("  %-12s %16zu bytes  %s\n", parts[i].name, parts[i].bytes, parts[i].about);
    printf("  %-12s %16zu bytes  %.1f MB%s\n", "at most", memory->total,
           (double)memory->total / 1e6,
           memory->encoding > 0 ? ": encoding is over when steps begin" : "");
}
