/* checksums.c - what comparing the checksums of a model's tensors costs, beside the pass that looks for NaN: by one thread, of files
 * that are in the page cache, the three in turn. Processor time, the least of nine rounds: other programs take of that what they take
 * of the caches, and no more.
 *
 *     build/release/bench/checksums FILE...
 */
#include <stdio.h>
#include <time.h>

#include "io/tensors.h"

enum { ROUNDS = 9 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Looks through all tensors; *best: the least time of a round so far, 0 before the first. */
static void look(const vt_tensor_file *file, bool numbers, double *best) {
    const double start = seconds();
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (vt_tensor_look(tensor, numbers, NULL).changed) printf("%s is damaged\n", tensor->name);
    }
    const double took = seconds() - start;
    if (*best == 0 || took < *best) *best = took;
}

static int measure(const char *path) {
    vt_tensor_file *file, *trusted;
    variant_error err;
    double numbers = 0, both = 0, sums = 0;
    if (vt_tensor_file_open(&file, path, &err) != VARIANT_OK ||
        vt_tensor_file_open(&trusted, path, &err) != VARIANT_OK)
        return fprintf(stderr, "checksums: %s\n", err.message), 1;
    vt_tensor_file_trust(trusted);
    for (int round = 0; round < ROUNDS; ++round) {
        look(trusted, true, &numbers);
        look(file, true, &both);
        look(file, false, &sums);
    }
    const double bytes = (double)vt_tensor_file_bytes(file);
    printf("%s: %.3f GB; for NaN %.0f ms, and checksums %.0f ms; checksums alone %.0f ms (%.1f GB/s)\n",
           path, 1e-9 * bytes, 1e3 * numbers, 1e3 * both, 1e3 * sums, 1e-9 * bytes / sums);
    vt_tensor_file_close(&file);
    vt_tensor_file_close(&trusted);
    return 0;
}

int main(int argc, char **argv) {
    int status = argc > 1 ? 0 : 2;
    for (int i = 1; i < argc && status == 0; ++i) status = measure(argv[i]);
    return status;
}
