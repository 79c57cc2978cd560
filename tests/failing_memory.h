/* failing_memory.h - lets every allocation of a call fail once: each time an error comes back, in one line, and nothing is kept. Included by one file of a
 * test program, whose allocations the linker sends through the functions here (variant_failing_memory in tests/CMakeLists.txt); cJSON gets its own by hooks. */
#ifndef VT_TESTS_FAILING_MEMORY_H
#define VT_TESTS_FAILING_MEMORY_H

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#ifdef __GLIBC__
#include <execinfo.h>
#endif
#include <pthread.h>
#include <sys/mman.h>

#include "core/rng.h"
#include "tests/fixtures.h"

/* ---- allocations that fail ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t unit, size_t n);
int __real_posix_memalign(void **out, size_t unit, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int file, off_t from);
int __real_vasprintf(char **out, const char *format, va_list values);
FILE *__real_open_memstream(char **out, size_t *size);
FILE *__real_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions);
DIR *__real_opendir(const char *path);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t unit, size_t n);
int __wrap_posix_memalign(void **out, size_t unit, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int file, off_t from);
int __wrap_vasprintf(char **out, const char *format, va_list values);
int __wrap_asprintf(char **out, const char *format, ...);
int __wrap___vasprintf_chk(char **out, int flag, const char *format, va_list values);
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...);
FILE *__wrap_open_memstream(char **out, size_t *size);
FILE *__wrap_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions);
DIR *__wrap_opendir(const char *path);
void __wrap_free(void *p);

enum { MOST_HELD = 1 << 16, MOST_PLACES = 1 << 12, MOST_FRAMES = 24 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long asked, fails_at = -1;       /* allocations since `arm`; the one that fails; -1: none */
static const void *held[MOST_HELD];     /* what is not freed yet, by a hash of its address */
static const void *places[MOST_PLACES]; /* callers, likewise */
static int held_count, place_count;
static void *failed_frames[MOST_FRAMES]; /* where the one that failed was asked for */
static int failed_frame_count;

static size_t slot_of(const void **table, size_t size, const void *p) {
    size_t at = ((uintptr_t)p >> 4) * 0x9E3779B97F4A7C15u >> 40;
    for (at %= size; table[at] && table[at] != p;) at = (at + 1) % size;
    return at;
}

/* Counts the allocation; true: it is to fail. */
static bool refuse(const void *caller) {
    pthread_mutex_lock(&lock);
    const size_t at = slot_of(places, MOST_PLACES, caller);
    if (!places[at]) place_count += (places[at] = caller) != NULL;
    const bool fails = asked++ == fails_at;
#ifdef __GLIBC__
    if (fails) failed_frame_count = backtrace(failed_frames, MOST_FRAMES);
#endif
    pthread_mutex_unlock(&lock);
    return fails;
}

static void *keep(void *p) {
    pthread_mutex_lock(&lock);
    if (p) {
        held[slot_of(held, MOST_HELD, p)] = p;
        ++held_count;
    }
    pthread_mutex_unlock(&lock);
    return p;
}

/* Of memory that another library made nothing is known. */
static void forget(const void *p) {
    pthread_mutex_lock(&lock);
    size_t at = slot_of(held, MOST_HELD, p);
    if (p && held[at]) {
        held[at] = NULL;
        --held_count;
        for (at = (at + 1) % MOST_HELD; held[at]; at = (at + 1) % MOST_HELD) { /* close the gap */
            const void *moved = held[at];
            held[at] = NULL;
            held[slot_of(held, MOST_HELD, moved)] = moved;
        }
    }
    pthread_mutex_unlock(&lock);
}

#define REFUSED refuse(__builtin_return_address(0))

void *__wrap_malloc(size_t n) {
    return REFUSED ? NULL : keep(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size) {
    return REFUSED ? NULL : keep(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n) {
    if (REFUSED) return NULL;
    forget(p);
    return keep(__real_realloc(p, n));
}

void *__wrap_reallocarray(void *p, size_t n, size_t size) {
    if (REFUSED) return NULL;
    forget(p);
    return keep(__real_reallocarray(p, n, size));
}

void *__wrap_aligned_alloc(size_t unit, size_t n) {
    return REFUSED ? NULL : keep(__real_aligned_alloc(unit, n));
}

int __wrap_posix_memalign(void **out, size_t unit, size_t n) {
    if (REFUSED) return ENOMEM;
    const int failed = __real_posix_memalign(out, unit, n);
    if (!failed) keep(*out);
    return failed;
}

char *__wrap_strdup(const char *text) {
    return REFUSED ? NULL : keep(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t n) {
    return REFUSED ? NULL : keep(__real_strndup(text, n));
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int file, off_t from) {
    if (REFUSED) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(at, n, protection, flags, file, from);
}

/* Of texts and streams the C library allocates itself: they fail as wholes. */
static int refuse_text(char **out) {
    *out = NULL; /* as some C libraries leave it */
    errno = ENOMEM;
    return -1;
}

static int made_text(char **out, int length) {
    if (length >= 0) keep(*out);
    return length;
}

int __wrap_vasprintf(char **out, const char *format, va_list values) {
    return REFUSED ? refuse_text(out) : made_text(out, __real_vasprintf(out, format, values));
}

int __wrap___vasprintf_chk(char **out, int flag, const char *format, va_list values) {
    (void)flag;
    return REFUSED ? refuse_text(out) : made_text(out, __real_vasprintf(out, format, values));
}

int __wrap_asprintf(char **out, const char *format, ...) {
    if (REFUSED) return refuse_text(out);
    va_list values;
    va_start(values, format);
    const int length = made_text(out, __real_vasprintf(out, format, values));
    va_end(values);
    return length;
}

int __wrap___asprintf_chk(char **out, int flag, const char *format, ...) {
    (void)flag;
    if (REFUSED) return refuse_text(out);
    va_list values;
    va_start(values, format);
    const int length = made_text(out, __real_vasprintf(out, format, values));
    va_end(values);
    return length;
}

static void *refuse_stream(void) {
    errno = ENOMEM;
    return NULL;
}

FILE *__wrap_open_memstream(char **out, size_t *size) {
    return REFUSED ? refuse_stream() : __real_open_memstream(out, size);
}

FILE *__wrap_fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions) {
    return REFUSED ? refuse_stream() : __real_fopencookie(cookie, mode, functions);
}

DIR *__wrap_opendir(const char *path) {
    return REFUSED ? refuse_stream() : __real_opendir(path);
}

void __wrap_free(void *p) {
    forget(p);
    __real_free(p);
}

/* ---- what is tried ---- */

/* *digest: of what was made. */
typedef variant_status tried(uint64_t *digest, variant_error *err);

typedef struct failing {
    const char *what;
    tried *run;
    uint64_t digest; /* of the run in which nothing failed */
    int before;      /* what was held before it */
    long all;
} failing;

/* The n-th allocation fails. Is all as it should be? *passed_over: it was done without. */
static inline bool fail_at(failing *f, long n, bool *passed_over) {
    variant_error err = {0};
    uint64_t digest = 0;
    asked = 0;
    fails_at = n;
    const variant_status status = f->run(&digest, &err);
    fails_at = -1;
    *passed_over = status == VARIANT_OK;
    const bool told = status == VARIANT_E_MEMORY && err.message[0] && !strchr(err.message, '\n');
    const bool same = status == VARIANT_OK && digest == f->digest;
    if ((told || same) && held_count == f->before) return true;
    print_message("%s: allocation %ld of %ld: %d are kept, of %d before; status %s, \"%s\"%s\n",
                  f->what, n, f->all, held_count, f->before, variant_status_name(status),
                  err.message, status == VARIANT_OK && !same ? ", and another result" : "");
#ifdef __GLIBC__
    backtrace_symbols_fd(failed_frames, failed_frame_count, STDERR_FILENO);
#endif
    f->before = held_count;
    return false;
}

/* Each `step`-th of them. */
static inline void each_allocation_fails_once(const char *what, tried *run, long step) {
    failing f = {.what = what, .run = run};
    variant_error err = {0};
    int passed = 0, wrong = 0, count = 0;
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = __wrap_free};
    cJSON_InitHooks(&hooks);
    if (run(&f.digest, &err) != VARIANT_OK) fail_msg("%s: %s", what, err.message);
    f.before = held_count; /* what is made once for a process is */
    asked = place_count = 0;
    memset(places, 0, sizeof places);
    assert_int_equal(run(&f.digest, &err), VARIANT_OK);
    f.all = asked;
    assert_int_equal(held_count, f.before);
    assert_true(f.all > 100);
    for (long n = 0; n < f.all && wrong < 40; n += step, ++count) {
        bool passed_over;
        wrong += !fail_at(&f, n, &passed_over);
        passed += passed_over;
    }
    cJSON_InitHooks(NULL);
    print_message("%s: %d of %ld allocations, at %d places, failed once each, %d of them passed "
                  "over, %d wrongly answered\n",
                  what, count, f.all, place_count, passed, wrong);
    assert_int_equal(wrong, 0);
    assert_true(passed < count / 10 + 1);
}

#endif
