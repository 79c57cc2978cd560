/* train.c - a model from nothing, by the library alone: pictures made in memory, a tokenizer, on it a transformer, and a picture
 * that it draws. Of discs and bars there are a few hundred, and both trainings take seconds.
 *
 *     cc -pthread examples/train.c $(pkg-config --cflags --libs --static variant) -o train      # where the library is installed
 *     ./train runs
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <variant.h>

enum { SIDE = 16, COUNT = 288 };

static uint8_t pixels[COUNT][SIDE][SIDE];
static int32_t labels[COUNT];
static const char *const names[] = {"disc", "bar"};

/* A disc or an upright bar, somewhere. */
static void draw(int i) {
    const int x = 4 + 4 * (i / 2 % 3), y = 4 + 4 * (i / 6 % 3);
    labels[i] = i % 2;
    for (int row = 0; row < SIDE; ++row)
        for (int column = 0; column < SIDE; ++column) {
            const int dx = column - x, dy = row - y;
            const int inside = labels[i] == 0 ? dx * dx + dy * dy <= 9 : dx * dx <= 1;
            pixels[i][row][column] = inside ? 230 : 20;
        }
}

/* Every so often where it is; false would end the training, all saved. */
static bool look(void *user, const variant_train_progress *at) {
    (void)user;
    if (strcmp(at->doing, "training") == 0 && at->step % 25 == 0)
        printf("step %" PRId64 " of %" PRId64 ", loss %.3f\n", at->step, at->steps, at->loss);
    return true;
}

/* What an evaluation found. */
static void note(void *user, const variant_metrics *line) {
    for (int i = 0; i < line->count; ++i) {
        const variant_metric *metric = line->metrics[i];
        if (line->evaluation && metric->count == 1 && strncmp(metric->name, "test_", 5) == 0)
            printf("%s: %s %.4g\n", (const char *)user, metric->name, metric->values[0]);
    }
}

static variant_training training_of(variant_training_kind kind, const variant_data *data,
                                    const char *output, int64_t steps) {
    variant_training training;
    variant_training_init(&training, kind);
    training.data = data;
    training.output = output;
    training.restart = true; /* whatever an earlier try left there */
    training.steps = steps;
    training.batch = 8;
    training.progress = look;
    training.metrics = note;
    training.user = (void *)output;
    return training;
}

static variant_status train(const char *tokenizer_folder, const char *transformer_folder,
                            variant_error *error) {
    variant_array array;
    variant_data data;
    variant_array_init(&array);
    array.pixels = &pixels[0][0][0];
    array.count = COUNT;
    array.height = array.width = SIDE;
    array.channels = 1;
    array.labels = labels;
    variant_data_init(&data); /* one picture in twenty is kept to test on */
    data.array = &array;
    data.class_names = names;
    data.class_count = 2;

    variant_training training =
        training_of(VARIANT_TRAINING_TOKENIZER, &data, tokenizer_folder, 80);
    variant_train_tokenizer_options tokenizer;
    variant_train_tokenizer_options_init(&tokenizer);
    tokenizer.side = SIDE;
    variant_status status = variant_train_tokenizer(&training, &tokenizer, NULL, error);
    if (status != VARIANT_OK) return status;

    training = training_of(VARIANT_TRAINING_TRANSFORMER, &data, transformer_folder, 200);
    training.learning_rate = 3e-3;
    variant_train_transformer_options transformer;
    variant_train_result result;
    variant_train_transformer_options_init(&transformer);
    variant_train_result_init(&result);
    transformer.tokenizer = tokenizer_folder;
    status = variant_train_transformer(&training, &transformer, &result, error);
    if (status == VARIANT_OK)
        printf("%s: %.1f MB at most\n", result.model, (double)result.total_bytes / 1e6);
    return status;
}

static variant_status generate(const char *tokenizer, const char *model, variant_error *error) {
    variant_engine_options options;
    variant_engine *engine = NULL;
    variant_engine_options_init(&options);
    options.model = model;
    options.tokenizer = tokenizer;
    variant_status status = variant_engine_open(&engine, &options, error);
    if (status != VARIANT_OK) return status;
    variant_request request;
    variant_picture *pictures = NULL;
    variant_request_init(&request);
    request.class_name = "bar";
    request.count = 8;
    status = variant_generate(engine, &request, &pictures, NULL, error);
    if (status == VARIANT_OK)
        status = variant_pictures_write_sheet(pictures, request.count, 4, 4, "bars.png", 0, error);
    variant_pictures_free(&pictures, request.count);
    variant_engine_close(&engine);
    return status;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "runs";
    char tokenizer[512], transformer[512];
    variant_error error = {0};
    snprintf(tokenizer, sizeof tokenizer, "%s-tokenizer", folder);
    snprintf(transformer, sizeof transformer, "%s-transformer", folder);
    for (int i = 0; i < COUNT; ++i) draw(i);
    variant_status status = train(tokenizer, transformer, &error);
    if (status == VARIANT_OK) status = generate(tokenizer, transformer, &error);
    if (status != VARIANT_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("bars.png\n");
    return 0;
}
