/* test_dry.c - the backend that computes nothing: it has every operation, counts what is reserved and closed again,
 * and its weights say the bytes and workspaces of real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kern/dry.h"

static vt_kern *kerns[2];
static variant_error err;

/* Operations are what follows `close` in the table; those that a backend may leave out are not asked for. */
static void test_whole(void **state) {
    (void)state;
    for (int i = 0; i < 2; ++i) {
        vt_dry_kern dry;
        vt_dry_kern_init(&dry, kerns[i]);
        assert_true(dry.kern.dry);
        const unsigned char *table = (const unsigned char *)&dry.kern;
        for (size_t at = offsetof(vt_kern, close); at < sizeof(vt_kern);
             at += sizeof(void (*)(void))) {
            void (*operation)(void);
            memcpy(&operation, table + at, sizeof operation);
            bool optional = at == offsetof(vt_kern, peak_flops) ||
                            at == offsetof(vt_kern, stream_bytes) ||
                            at == offsetof(vt_kern, canary) ||
                            at == offsetof(vt_kern, weight_packed); /* no files are written */
            if (!operation && !optional) fail_msg("%s: no operation at %zu", kerns[i]->name, at);
        }
    }
}

static void test_counts(void **state) {
    (void)state;
    vt_dry_kern dry;
    vt_kern *kern = &dry.kern;
    void *one, *other;
    vt_dry_kern_init(&dry, kerns[1]);
    assert_int_equal(kern->memory_reserve(kern, 1000, &one, &err), VARIANT_OK);
    assert_int_equal(kern->memory_reserve(kern, (size_t)1 << 45, &other, &err), VARIANT_OK);
    assert_non_null(one);
    assert_ptr_not_equal(one, other);
    assert_int_equal(dry.reserved, 1000 + ((size_t)1 << 45));
    kern->memory_release(kern, other, (size_t)1 << 45);
    assert_int_equal(dry.reserved, 1000);
    assert_int_equal(kern->memory_reserve(kern, SIZE_MAX / 2, &other, &err), VARIANT_E_MEMORY);
    int32_t host[3] = {1, 2, 3};
    kern->download(kern, host, one, sizeof host);
    assert_int_equal(host[0] | host[1] | host[2], 0);
}

/* Of both kinds of gradient, taps and strides, and of a number of rows that no panel is filled by. */
static const vt_weight_spec specs[] = {
    {.type = VT_NUMBER_F32, .n = 37, .k = 70},
    {.type = VT_NUMBER_BF16, .n = 37, .k = 70},
    {.type = VT_NUMBER_BF16, .n = 64, .k = 96, .gradients = true},
    {.type = VT_NUMBER_BF16, .n = 48, .k = 9 * 32, .taps = 9, .gradients = true},
    {.type = VT_NUMBER_BF16, .n = 48, .k = 9 * 32, .taps = 9, .gradients = true, .stride = 2},
    {.type = VT_NUMBER_INT8, .n = 37, .k = 300},
    {.type = VT_NUMBER_INT4, .n = 37, .k = 300},
};

static void test_weights(void **state) {
    (void)state;
    float *values = calloc(48 * 9 * 300, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < 2; ++i)
        for (size_t j = 0; j < sizeof specs / sizeof *specs; ++j) {
            vt_dry_kern dry;
            vt_weight *real, *sizes;
            vt_weight_spec spec = specs[j];
            vt_dry_kern_init(&dry, kerns[i]);
            spec.values = values;
            assert_int_equal(kerns[i]->weight_open(kerns[i], &real, &spec, &err), VARIANT_OK);
            spec.values = NULL;
            assert_int_equal(dry.kern.weight_open(&dry.kern, &sizes, &spec, &err), VARIANT_OK);
            assert_int_equal(kerns[i]->weight_bytes(real), dry.kern.weight_bytes(sizes));
            assert_int_equal(dry.packed, kerns[i]->weight_bytes(real));
            assert_int_equal(kerns[i]->weight_type(real), dry.kern.weight_type(sizes));
            for (int rows = 1; rows < 300; rows += 97) {
                vt_product args = {.w = real, .groups = 2, .rows = rows}, same = args;
                vt_product_grad grad = {.w = real, .groups = 2, .rows = rows}, grad_same = grad;
                same.w = grad_same.w = sizes;
                assert_int_equal(kerns[i]->product_workspace(kerns[i], &args),
                                 dry.kern.product_workspace(&dry.kern, &same));
                assert_int_equal(kerns[i]->product_grad_workspace(kerns[i], &grad),
                                 dry.kern.product_grad_workspace(&dry.kern, &grad_same));
            }
            dry.kern.weight_close(&dry.kern, &sizes);
            assert_int_equal(dry.packed, 0);
            kerns[i]->weight_close(kerns[i], &real);
        }
    free(values);
}

static int setup(void **state) {
    (void)state;
    return vt_kern_open(&kerns[0], "ref", 1, NULL) != VARIANT_OK ||
           vt_kern_open(&kerns[1], "cpu", 2, NULL) != VARIANT_OK;
}

static int teardown(void **state) {
    (void)state;
    vt_kern_close(&kerns[0]);
    vt_kern_close(&kerns[1]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_weights),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
