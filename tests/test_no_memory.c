/* test_no_memory.c - every allocation of opening a model and drawing from it fails once: each time an error comes back, in one line, and nothing is kept.
 * The linker sends the allocations of the library through the functions here (-Wl,--wrap, tests/CMakeLists.txt), cJSON its own by its hooks. */
#include "tests/model_folder.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cjson/cJSON.h>

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
void __wrap_free(void *p);

enum { MOST_HELD = 1 << 16, MOST_PLACES = 1 << 12 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long asked, fails_at = -1;       /* allocations since `arm`; the one that fails; -1: none */
static const void *held[MOST_HELD];     /* what is not freed yet, by a hash of its address */
static const void *places[MOST_PLACES]; /* callers, likewise */
static int held_count, place_count;

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

void __wrap_free(void *p) {
    forget(p);
    __real_free(p);
}

/* cJSON says that it has no value, and not why: a lack of memory is told as a text that cannot be read. */
static bool json_refused;

static void *json_malloc(size_t n) {
    void *p = __wrap_malloc(n);
    if (!p) json_refused = true;
    return p;
}

/* ---- what is tried ---- */

static variant_status open_and_draw(variant_error *err) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_request request;
    variant_picture *pictures = NULL;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = 1;
    variant_status status = variant_engine_open(&engine, &options, err);
    if (status != VARIANT_OK) {
        assert_null(engine);
        return status;
    }
    variant_request_init(&request);
    request.class_name = "3,1";
    request.count = 2;
    request.depth = 3;
    request.bridge = 2;
    request.keep_scales = true;
    status = variant_generate(engine, &request, &pictures, NULL, err);
    if (status == VARIANT_OK) variant_pictures_free(&pictures, request.count);
    assert_null(pictures);
    variant_engine_close(&engine);
    return status;
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    variant_error err = {0};
    int passed_over = 0, wrong = 0;
    cJSON_Hooks hooks = {.malloc_fn = json_malloc, .free_fn = __wrap_free};
    cJSON_InitHooks(&hooks);
    assert_int_equal(open_and_draw(&err), VARIANT_OK); /* what is made once for a process */
    int before = held_count;
    asked = place_count = 0;
    memset(places, 0, sizeof places);
    assert_int_equal(open_and_draw(&err), VARIANT_OK);
    const long all = asked;
    assert_int_equal(held_count, before);
    assert_true(all > 100);
    for (long n = 0; n < all; ++n) {
        err = (variant_error){0};
        json_refused = false;
        asked = 0;
        fails_at = n;
        const variant_status status = open_and_draw(&err);
        fails_at = -1;
        if (status == VARIANT_OK) ++passed_over; /* what can be done without */
        const bool right =
            status == VARIANT_E_MEMORY || (json_refused && status == VARIANT_E_FORMAT);
        const bool told =
            status == VARIANT_OK || (right && err.message[0] && !strchr(err.message, '\n'));
        if (told && held_count == before) continue;
        ++wrong;
        print_message("allocation %ld of %ld: %d are kept, of %d before; status %s, \"%s\"\n", n,
                      all, held_count, before, variant_status_name(status), err.message);
        assert_true(wrong < 20);
        before = held_count;
    }
    assert_int_equal(wrong, 0);
    cJSON_InitHooks(NULL);
    print_message("%ld allocations at %d places failed once each, %d of them passed over\n", all,
                  place_count, passed_over);
    assert_true(passed_over < all / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
