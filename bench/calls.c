/* calls.c - a call that draws pictures, for bench/python_calls.py to hold Python's beside it: by the public header alone.
 *
 *     build/release/bench/calls MODEL DEPTH PICTURES     draws for every line on stdin, and answers with milliseconds, of the
 *                                                        call and of what its report tells
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <variant.h>

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int fail(const variant_error *error) {
    fprintf(stderr, "calls: %s\n", error->message);
    return 1;
}

int main(int argc, char **argv) {
    variant_error error;
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_request request;
    if (argc != 4) return fprintf(stderr, "usage: calls MODEL DEPTH PICTURES\n"), 2;
    variant_engine_options_init(&options);
    options.model = argv[1];
    options.threads = 1;
    if (variant_engine_open(&engine, &options, &error) != VARIANT_OK) return fail(&error);
    variant_request_init(&request);
    request.class_name = "0";
    request.depth = atoi(argv[2]);
    request.count = atoi(argv[3]);
    while (getchar() != EOF) {
        variant_picture *pictures = NULL;
        variant_report report;
        ++request.seed;
        variant_report_init(&report);
        const double begin = milliseconds();
        if (variant_generate(engine, &request, &pictures, &report, &error) != VARIANT_OK)
            return fail(&error);
        variant_pictures_free(&pictures, request.count);
        printf("%.4f %.4f\n", milliseconds() - begin, 1e3 * report.total_seconds);
        fflush(stdout);
    }
    variant_engine_close(&engine);
    return 0;
}
