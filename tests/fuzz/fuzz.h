/* fuzz.h - what the targets of tests/fuzz/ share. A target is a file with LLVMFuzzerTestOneInput, which feeds bytes to one reader and
 * ends the program where the reader breaks its word: clang's libFuzzer calls it, or replay.c with files, where there is no libFuzzer.
 * fuzz.c has the functions. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, and with it the run, with the place and the condition. */
#define FUZZ_EXPECT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) fuzz_broken(__FILE__, __LINE__, #condition);                             \
    } while (0)
_Noreturn void fuzz_broken(const char *file, int line, const char *what);

/* A call that has to succeed; ends the program with what it says otherwise. */
#define FUZZ_OK(call)                                                                              \
    do {                                                                                           \
        if ((call) != VARIANT_OK) fuzz_broken(__FILE__, __LINE__, err.message);                    \
    } while (0)

/* What a reader said of bad input is one line of printable characters, not empty, and the status is one of bad input: never E_MEMORY, nor that the
 * reader itself is at fault. VARIANT_OK passes. */
void fuzz_told(variant_status status, const variant_error *err);
/* The same of a line alone. */
void fuzz_one_line(const char *text);

/* Memory that the input takes: from fuzz_begin on at most `most` bytes at a time, as malloc counts them; fuzz_end looks, and that all was given back.
 * Where the program is built without the address sanitizer nothing is counted. */
void fuzz_begin(void);
void fuzz_end(size_t most);

/* A file that holds the bytes, in memory; its path, good until the next call. */
const char *fuzz_file(const uint8_t *data, size_t size);
/* A folder of this process's own, in memory where the system has such, that is removed at its end. */
const char *fuzz_folder(void);
/* Writes FOLDER/name; its path into out (256). */
void fuzz_write(char out[256], const char *name, const uint8_t *data, size_t size);
/* The input as text: a copy that ends with a NUL and has no other one; free() it. */
char *fuzz_text(const uint8_t *data, size_t size);

/* A zip archive of stored entries with checksums that are right, so that what lies inside is read: free() *out. */
typedef struct fuzz_entry {
    const char *name;
    const uint8_t *data;
    size_t size;
} fuzz_entry;
size_t fuzz_zip(uint8_t **out, const fuzz_entry *entries, int count);

#endif
