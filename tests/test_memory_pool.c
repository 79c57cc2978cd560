/* test_memory_pool.c - blocks of backend memory that wait for the next request: reused where the size is about right, never more
 * kept than was in use at one time, given back when memory is short, safe from several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "kern/memory_pool.h"

static vt_kern *kern;
static int reserved, released;
static size_t most_bytes; /* of one reservation; more is refused */
static variant_status (*real_reserve)(vt_kern *, size_t, void **, variant_error *);
static void (*real_release)(vt_kern *, void *, size_t);

static variant_status reserve(vt_kern *k, size_t bytes, void **out, variant_error *err) {
    if (bytes > most_bytes) return vt_fail(err, VARIANT_E_MEMORY, "refused");
    __atomic_add_fetch(&reserved, 1, __ATOMIC_RELAXED);
    return real_reserve(k, bytes, out, err);
}

static void release(vt_kern *k, void *memory, size_t bytes) {
    __atomic_add_fetch(&released, 1, __ATOMIC_RELAXED);
    real_release(k, memory, bytes);
}

static int open_kern(void **unused) {
    (void)unused;
    if (vt_kern_open(&kern, "ref", 1, NULL) != VARIANT_OK) return -1;
    real_reserve = kern->memory_reserve;
    real_release = kern->memory_release;
    kern->memory_reserve = reserve;
    kern->memory_release = release;
    most_bytes = SIZE_MAX;
    reserved = released = 0;
    return 0;
}

static int close_kern(void **unused) {
    (void)unused;
    vt_kern_close(&kern);
    return reserved == released ? 0 : -1; /* nothing is left mapped */
}

static void *take(size_t bytes) {
    void *memory = NULL;
    assert_int_equal(vt_memory_take(kern, bytes, &memory, NULL), VARIANT_OK);
    assert_non_null(memory);
    memset(memory, 0xa5, bytes);
    return memory;
}

static void a_block_is_taken_again(void **unused) {
    (void)unused;
    void *first = take(1 << 20);
    vt_memory_give(kern, first, 1 << 20);
    assert_int_equal(vt_memory_kept(kern), 1 << 20);
    assert_ptr_equal(take((1 << 20) - 4096), first); /* a little less */
    assert_int_equal(vt_memory_kept(kern), 0);
    vt_memory_give(kern, first, (1 << 20) - 4096);
    assert_int_equal(vt_memory_kept(kern), 1 << 20);
    assert_int_equal(reserved, 1);
    vt_memory_give(kern, NULL, 0); /* of somebody who took none */
}

static void much_smaller_ones_do_not_take_it(void **unused) {
    (void)unused;
    void *large = take(1 << 20), *small;
    vt_memory_give(kern, large, 1 << 20);
    small = take(1 << 16);
    assert_ptr_not_equal(small, large);
    /* both together would be more than was ever in use: the large one went */
    assert_int_equal(vt_memory_kept(kern), 0);
    vt_memory_give(kern, small, 1 << 16);
    assert_int_equal(vt_memory_kept(kern), 1 << 16);
}

static void no_more_is_kept_than_was_in_use(void **unused) {
    (void)unused;
    size_t most = 0;
    for (size_t i = 1; i < 40; ++i) { /* sizes that never fit one another */
        void *a = take(i * i * 4096), *b = take(i * 4096);
        size_t used = i * i * 4096 + i * 4096;
        most = used > most ? used : most;
        vt_memory_give(kern, a, i * i * 4096);
        vt_memory_give(kern, b, i * 4096);
        assert_true(vt_memory_kept(kern) <= most);
    }
    vt_memory_trim(kern);
    assert_int_equal(vt_memory_kept(kern), 0);
    assert_int_equal(reserved, released);
}

static void what_waits_goes_where_memory_is_short(void **unused) {
    (void)unused;
    void *kept = take(1 << 20), *other = take(1 << 12), *memory = kern;
    vt_memory_give(kern, kept, 1 << 20);
    most_bytes = 1 << 19;
    assert_int_equal(vt_memory_take(kern, 1 << 21, &memory, NULL), VARIANT_E_MEMORY);
    assert_int_equal(vt_memory_kept(kern), 0);
    most_bytes = SIZE_MAX;
    vt_memory_give(kern, other, 1 << 12);
    vt_memory_trim(kern);
    assert_int_equal(reserved, released);
}

static void without_a_pool_memory_comes_from_the_system(void **unused) {
    (void)unused;
    struct vt_memory_pool *pool = kern->memory_pool;
    kern->memory_pool = NULL;
    vt_memory_give(kern, take(4096), 4096);
    assert_int_equal(released, 1);
    assert_int_equal(vt_memory_kept(kern), 0);
    vt_memory_trim(kern);
    kern->memory_pool = pool;
}

static void *take_and_give(void *seed) {
    uint64_t state = (uint64_t)(uintptr_t)seed;
    for (int i = 0; i < 2000; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t bytes = 4096 * (1 + (state >> 60));
        unsigned char *memory = NULL;
        if (vt_memory_take(kern, bytes, (void **)&memory, NULL) != VARIANT_OK) return kern;
        memory[0] = memory[bytes - 1] = (unsigned char)i; /* nobody else has it */
        if (memory[0] != (unsigned char)i || memory[bytes - 1] != (unsigned char)i) return kern;
        vt_memory_give(kern, memory, bytes);
    }
    return NULL;
}

static void threads_share_it(void **unused) {
    (void)unused;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; ++i)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; ++i) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_true(vt_memory_kept(kern) <= (size_t)THREADS * 16 * 4096 * 5 / 4);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_kern, close_kern)
    const struct CMUnitTest tests[] = {
        TEST(a_block_is_taken_again),
        TEST(much_smaller_ones_do_not_take_it),
        TEST(no_more_is_kept_than_was_in_use),
        TEST(what_waits_goes_where_memory_is_short),
        TEST(without_a_pool_memory_comes_from_the_system),
        TEST(threads_share_it),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
