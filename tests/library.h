/* library.h - what tests share that see the library as a program does, by include/variant.h alone: an error, what must go well or be
 * refused, and a folder of their own. Include it after cmocka's headers. */
#ifndef VT_TESTS_LIBRARY_H
#define VT_TESTS_LIBRARY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <variant.h>

static variant_error err;
static char folder[64];

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != VARIANT_OK) fail_msg("%s: %s", #call, err.message);                          \
    } while (0)

/* The call fails with `code` and one line that contains `words`. */
#define assert_fails(call, code, words)                                                            \
    do {                                                                                           \
        const variant_status got_ = (call);                                                        \
        if (got_ != (code) || !strstr(err.message, (words)) || strchr(err.message, '\n'))          \
            fail_msg("%s: %s, \"%s\"; expected %s with \"%s\"", #call, variant_status_name(got_),  \
                     err.message, variant_status_name(code), (words));                             \
    } while (0)

/* 0, or -1: as cmocka's setup and teardown return. */
static inline int folder_make(void) {
    strcpy(folder, "/tmp/variant-library-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int folder_remove(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A path in it; sixteen are good at a time. */
static inline const char *in_folder(const char *name) {
    static char paths[16][160];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

#endif
