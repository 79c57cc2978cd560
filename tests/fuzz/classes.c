/* classes.c - which classes a text means, by variant_engine_labels and variant_engine_suggest: lines of names up to an empty one, then the text. */
#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_NAMES = 64 };

static void ask(const variant_engine *engine, int classes, const char *text) {
    variant_error err = {0};
    int32_t labels[8];
    int count = 0;
    fuzz_begin();
    const variant_status status = variant_engine_labels(engine, text, labels, 8, &count, &err);
    fuzz_told(status, &err);
    for (int i = 0; status == VARIANT_OK && i < count; ++i)
        FUZZ_EXPECT(labels[i] >= 0 && labels[i] <= classes); /* the last: uncond */
    const int near = variant_engine_suggest(engine, text, labels, 8);
    FUZZ_EXPECT(near >= 0 && near <= 8);
    for (int i = 0; i < near; ++i) FUZZ_EXPECT(labels[i] >= 0 && labels[i] < classes);
    fuzz_end(((size_t)1 << 20) + 8 * strlen(text));
}

/* A name alone, where no second one is alike, means its class. */
static void ask_by_name(const variant_engine *engine, char **names, int count) {
    for (int i = 0; i < count; ++i) {
        variant_error err = {0};
        int32_t label = -1;
        int found = 0, alike = 0;
        for (int j = 0; j < count; ++j) alike += strcmp(names[i], names[j]) == 0;
        const variant_status status =
            variant_engine_labels(engine, names[i], &label, 1, &found, &err);
        const size_t length = strlen(names[i]);
        const bool plain = length > 0 && length < 500 && names[i][0] != ' ' &&
                           names[i][length - 1] != ' ' && strcmp(names[i], "uncond") != 0;
        if (alike == 1 && plain) FUZZ_EXPECT(status == VARIANT_OK && found == 1 && label == i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size), *at = text, *names[MOST_NAMES];
    vt_model model = {.class_names = names};
    const variant_engine engine = {.model = &model};
    while (*at && *at != '\n' && model.class_count < MOST_NAMES) {
        char *end = at + strcspn(at, "\n");
        const bool last = !*end;
        *end = '\0';
        names[model.class_count++] = at;
        at = last ? end : end + 1;
    }
    at += *at == '\n';
    ask(&engine, model.class_count, at);
    ask_by_name(&engine, names, model.class_count);
    free(text);
    return 0;
}
