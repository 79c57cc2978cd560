/* sandbox.c - what the sandbox costs: a picture's head and its pixels, read here and in a process of their own, by the public header
 * alone. docs/RELIABILITY.md has what it told.
 *
 *     build/release/bench/sandbox PICTURE...     milliseconds of each, the least and the median of a hundred
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <variant.h>

enum { TIMES = 100 };

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static _Noreturn void fail(const variant_error *error) {
    fprintf(stderr, "sandbox: %s\n", error->message);
    exit(1);
}

static variant_status read_head(const char *path, variant_error *error) {
    int width, height, channels;
    return variant_picture_probe(path, &width, &height, &channels, error);
}

static variant_status read_pixels(const char *path, variant_error *error) {
    variant_picture *picture = NULL;
    const variant_status status = variant_picture_read(&picture, path, NULL, error);
    if (status == VARIANT_OK) variant_pictures_free(&picture, 1);
    return status;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct span {
    double least, median;
} span;

/* Ends the program where it cannot be read. */
static span time_of(variant_status (*reads)(const char *, variant_error *), const char *path) {
    double spans[TIMES];
    variant_error error;
    for (int i = 0; i < TIMES; ++i) {
        const double begin = milliseconds();
        if (reads(path, &error) != VARIANT_OK) fail(&error);
        spans[i] = milliseconds() - begin;
    }
    qsort(spans, TIMES, sizeof *spans, compare);
    return (span){spans[0], spans[TIMES / 2]};
}

static void tell(const char *what, span here, span inside) {
    printf("  %-6s %8.3f %8.3f    in the sandbox %8.3f %8.3f\n", what, here.least, here.median,
           inside.least, inside.median);
}

int main(int argc, char **argv) {
    variant_error error;
    if (argc < 2) return fprintf(stderr, "usage: sandbox PICTURE...\n"), 2;
    for (int i = 1; i < argc; ++i) {
        const span head = time_of(read_head, argv[i]), pixels = time_of(read_pixels, argv[i]);
        if (variant_sandbox_begin(&error) != VARIANT_OK) fail(&error);
        printf("%s\n", argv[i]);
        tell("head", head, time_of(read_head, argv[i]));
        tell("pixels", pixels, time_of(read_pixels, argv[i]));
        variant_sandbox_end();
    }
    return 0;
}
