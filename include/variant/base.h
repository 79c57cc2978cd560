/* variant/base.h - what all of the interface stands on: version, status and error, and structs that know their size.
 * variant.h has the conventions. */
#ifndef VARIANT_BASE_H
#define VARIANT_BASE_H

#include <stddef.h>

/* Around the declarations of every header: they are C's in C++ too, and what libvariant.so shows, whatever else is hidden. */
#ifdef __GNUC__
#define VARIANT_SHOW_ _Pragma("GCC visibility push(default)")
#define VARIANT_SHOWN_ _Pragma("GCC visibility pop")
#else
#define VARIANT_SHOW_
#define VARIANT_SHOWN_
#endif
#ifdef __cplusplus
#define VARIANT_BEGIN VARIANT_SHOW_ extern "C" {
#define VARIANT_END                                                                                \
    }                                                                                              \
    VARIANT_SHOWN_
#else
#define VARIANT_BEGIN VARIANT_SHOW_
#define VARIANT_END VARIANT_SHOWN_
#endif

VARIANT_BEGIN

#define VARIANT_VERSION_MAJOR 0
#define VARIANT_VERSION_MINOR 1
#define VARIANT_VERSION_PATCH 0

/* X(code, number, sentence) */
#define VARIANT_STATUS_TABLE(X)                                                                    \
    X(OK, 0, "success")                                                                            \
    X(E_ARGUMENT, 1, "an argument or option is not valid")                                         \
    X(E_MEMORY, 2, "memory could not be obtained")                                                 \
    X(E_IO, 3, "a file could not be opened, read or written")                                      \
    X(E_FORMAT, 4, "a file is damaged or not of the format expected")                              \
    X(E_MODEL, 5, "a model's tensors or configuration do not fit")                                 \
    X(E_UNSUPPORTED, 6, "not supported by this build or machine")                                  \
    X(E_STOPPED, 7, "stopped by the caller")                                                       \
    X(E_MISMATCH, 8, "a result differs from its reference")                                        \
    X(E_DEVICE, 9, "the device that computes has failed")

typedef enum variant_status {
#define X(code, number, sentence) VARIANT_##code = number,
    VARIANT_STATUS_TABLE(X)
#undef X
} variant_status;

/* The code's name ("E_MODEL") and its sentence; never NULL. Threads: any. */
const char *variant_status_name(variant_status status);
const char *variant_status_sentence(variant_status status);

typedef struct variant_error {
    variant_status status;
    char message[512]; /* one line: what, where, what was expected; "" on success */
} variant_error;

#ifdef __GNUC__
#define VARIANT_PRINTS_(line, first) __attribute__((format(printf, line, first)))
#else
#define VARIANT_PRINTS_(line, first)
#endif

/* For a program's own functions that report as these do: puts code and a line into error (NULL: nowhere) and returns code. What would
 * end the line, in a path or a file's text, becomes "?"; what is too long is cut. Threads: one. */
variant_status variant_fail(variant_error *error, variant_status code, const char *format, ...)
    VARIANT_PRINTS_(3, 4);
/* Puts "prefix: " before the line that is there, and returns code. Threads: one. */
variant_status variant_fail_within(variant_error *error, variant_status code, const char *format,
                                   ...) VARIANT_PRINTS_(3, 4);

/* "0.1.0". Threads: any. */
const char *variant_version(void);

/* Declares NAME_init, which sets a struct's size and its defaults. It is compiled into the caller, whose size it must be; the
 * library's part is NAME_init_sized, which other languages call with the size of the struct they have. */
#define VARIANT_SIZED(name)                                                                        \
    void name##_init_sized(name *out, size_t size);                                                \
    static inline void name##_init(name *out) {                                                    \
        name##_init_sized(out, sizeof *out);                                                       \
    }                                                                                              \
    struct variant_semicolon_ /* so that a semicolon may follow */

#define VARIANT_MAX_SCALES 32
#define VARIANT_MAX_DEPTHS 16
#define VARIANT_MAX_LEVELS 8 /* at which a tokenizer or a classifier halves pictures */

VARIANT_END

#endif
