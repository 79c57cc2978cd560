/* replay.c - a target without libFuzzer: runs it once over each file that the command line names, and over each file of each folder. What
 * `ctest -R fuzz_` calls in every build; a folder that holds nothing fails. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) __attribute__((weak));

static int ran;

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (!file || fstat(fileno(file), &info) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    const size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size ? size : 1); /* exactly so many: what reads past them is found */
    const int whole = bytes && fread(bytes, 1, size, file) == size;
    fclose(file);
    if (whole) {
        LLVMFuzzerTestOneInput(bytes, size);
        ++ran;
    }
    free(bytes);
    return !whole;
}

static int run_folder(const char *path) {
    struct dirent **names;
    const int count = scandir(path, &names, NULL, alphasort);
    int failed = count < 0;
    for (int i = 0; i < count; ++i) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') failed |= run_file(file);
        free(names[i]);
    }
    if (count >= 0) free(names);
    return failed;
}

int main(int count, char **arguments) {
    struct stat info;
    int failed = 0;
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&count, &arguments);
    for (int i = 1; i < count; ++i) {
        const int before = ran;
        if (arguments[i][0] == '-') continue; /* libFuzzer's */
        const int folder = stat(arguments[i], &info) == 0 && S_ISDIR(info.st_mode);
        failed |= folder ? run_folder(arguments[i]) : run_file(arguments[i]);
        if (ran == before) {
            fprintf(stderr, "%s: nothing to replay\n", arguments[i]);
            failed = 1;
        }
    }
    printf("%d inputs replayed\n", ran);
    return failed || !ran;
}
