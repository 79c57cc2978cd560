/* test_edit_memory.c - what an edit takes beside what variant_request_memory tells of it. The linker sends every allocation of
 * the library through the counters here (-Wl,--wrap, tests/CMakeLists.txt). */
#include "tests/model_folder.h"

#include <malloc.h>
#include <stdatomic.h>

#include "engine/edit.h"

/* ---- allocations, counted ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **out, size_t unit, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **out, size_t unit, size_t n);
void __wrap_free(void *p);

static atomic_llong held, peak;

static void count(long long bytes) {
    const long long now = atomic_fetch_add(&held, bytes) + bytes;
    for (long long most = atomic_load(&peak); now > most;)
        if (atomic_compare_exchange_weak(&peak, &most, now)) break;
}

static void *counted(void *p) {
    if (p) count((long long)malloc_usable_size(p));
    return p;
}

void *__wrap_malloc(size_t n) {
    return counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size) {
    return counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n) {
    const long long before = p ? (long long)malloc_usable_size(p) : 0;
    void *out = __real_realloc(p, n);
    if (out) count((long long)malloc_usable_size(out) - before);
    return out;
}

int __wrap_posix_memalign(void **out, size_t unit, size_t n) {
    const int failed = __real_posix_memalign(out, unit, n);
    if (!failed) counted(*out);
    return failed;
}

void __wrap_free(void *p) {
    if (p) count(-(long long)malloc_usable_size(p));
    __real_free(p);
}

/* ---- edits ---- */

#define SPARE 400000 /* of a request beside its pictures: texts, lists, tokens, a heap's rounding */

static variant_engine *engine_of(void) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = 1;
    options.encoder = true;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

/* What the request takes at its most, of the allocations counted. */
static size_t taken_by(const variant_engine *engine, const variant_request *request) {
    variant_picture *pictures;
    const long long before = atomic_load(&held);
    atomic_store(&peak, before);
    assert_ok(variant_generate(engine, request, &pictures, NULL, err));
    const long long most = atomic_load(&peak);
    variant_pictures_free(&pictures, request->count);
    return (size_t)(most - before);
}

typedef struct shape {
    int width, height, channels, left, bottom, count;
    const char *fit;
    bool keeps;
} shape;

static void takes_what_it_tells(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1200, 900, 3, 0, 0, 1, "crop", false},    {1200, 900, 3, 300, 100, 2, "crop", false},
        {900, 1300, 1, 0, 0, 1, "pad", false},     {1000, 1000, 3, 0, 0, 1, "stretch", true},
        {3000, 300, 3, 0, 0, 3, "stretch", false}, {2000, 1000, 3, 0, 0, 1, "pad", false}};
    variant_engine *engine = engine_of();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        const shape *s = &shapes[i];
        const size_t pixels = (size_t)s->width * (size_t)s->height;
        uint8_t *picture = __real_calloc(pixels, (size_t)s->channels),
                *mask = __real_calloc(pixels, 1);
        variant_edit edit;
        variant_request request;
        variant_memory told = {.size = sizeof told}, plain = told;
        variant_edit_init(&edit);
        variant_request_init(&request);
        edit.width = s->width, edit.height = s->height, edit.channels = s->channels;
        edit.left = s->left, edit.bottom = s->bottom, edit.fit = s->fit;
        request.count = s->count;
        request.keep_scales = s->keeps;
        assert_ok(variant_request_memory(engine, &request, &plain, err));
        assert_int_equal(plain.edits, 0);
        const size_t beside = taken_by(engine, &request) - plain.pictures;
        assert_true(beside < SPARE);
        request.edits = &edit; /* its sizes are enough to measure it */
        request.edit_count = 1;
        const long long before = atomic_load(&held);
        atomic_store(&peak, before);
        assert_ok(variant_request_memory(engine, &request, &told, err));
        assert_true(atomic_load(&peak) - before < SPARE);
        memset(mask, 255, pixels / 3);
        edit.pixels = picture;
        edit.mask = mask;
        const size_t taken = taken_by(engine, &request), said = told.edits + told.pictures;
        if (taken > said + SPARE || said > taken + SPARE)
            fail_msg("shape %zu: %zu bytes told, %zu taken", i, said, taken);
        __real_free(picture);
        __real_free(mask);
    }
    variant_engine_close(&engine);
}

/* A part of canvas, mask and distances each; no copy of the window in any type. */
static void copies_nothing_twice(void **state) {
    (void)state;
    variant_engine *engine = engine_of();
    variant_edit edit;
    variant_request request;
    variant_memory told = {.size = sizeof told};
    variant_edit_init(&edit);
    variant_request_init(&request);
    request.edits = &edit;
    request.edit_count = 1;
    edit.width = 6000, edit.height = 5000, edit.channels = 3;
    assert_ok(variant_request_memory(engine, &request, &told, err));
    assert_in_range(told.pictures, 90000000, 90001000);
    assert_in_range(told.edits, 120000000, 121500000);
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_it_tells),
        cmocka_unit_test(copies_nothing_twice),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
