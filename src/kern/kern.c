/* kern.c - opens a backend by name. The only file that knows which backends exist. */
#include "kern/kern.h"

#include "core/finite.h"
#include "kern/cpu/cpu.h"
#include "kern/number.h"
#include "kern/memory_pool.h"
#include "kern/ref/ref.h"

#include <stdio.h>
#include <string.h>

/* ---- the backends ---- */

static variant_status open_ref(vt_kern **out, int threads, variant_error *err) {
    (void)threads;
    return vt_ref_open(out, err);
}

enum { REFERENCE = 1, MOST_BACKENDS = 8 };

/* The first is the default. */
static struct {
    const char *name;
    vt_kern_opener *open;
} backends[MOST_BACKENDS] = {{"cpu", vt_cpu_open}, [REFERENCE] = {"ref", open_ref}};

const char *vt_kern_backend(int i) {
    return i >= 0 && i < MOST_BACKENDS ? backends[i].name : NULL;
}

const char *vt_kern_reference(void) {
    return backends[REFERENCE].name;
}

variant_status vt_kern_register(const char *name, vt_kern_opener *open, variant_error *err) {
    int i = 0;
    while (i < MOST_BACKENDS && backends[i].name && strcmp(backends[i].name, name) != 0) ++i;
    if (i == MOST_BACKENDS)
        return vt_fail(err, VARIANT_E_MEMORY, "kern: no room for a backend beyond %d",
                       MOST_BACKENDS);
    backends[i].name = name;
    backends[i].open = open;
    return VARIANT_OK;
}

static variant_status fail_unknown(const char *backend, variant_error *err) {
    char names[200] = "";
    size_t at = 0;
    for (int i = 0; vt_kern_backend(i) && at < sizeof names; ++i)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
                               vt_kern_backend(i));
    return vt_fail(err, VARIANT_E_ARGUMENT, "kern: unknown backend \"%s\", expected one of: %s",
                   backend, names);
}

static variant_status open_backend(vt_kern **out, const char *backend, int threads,
                                   variant_error *err) {
    if (threads < 0 || threads > 4096) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "kern: %d threads asked for, expected 0 to 4096",
                       threads);
    }
    for (int i = 0; i < MOST_BACKENDS && backends[i].name; ++i) {
        if (backend && strcmp(backend, backends[i].name) != 0) continue;
        VT_TRY(backends[i].open(out, threads, err));
        (*out)->name = backends[i].name;
        return VARIANT_OK;
    }
    return fail_unknown(backend, err);
}

/* ---- what a backend may lack ---- */

/* Operations of training, those of bf16 products last. */
#define TRAINING(X)                                                                                \
    X(weight_refresh)                                                                              \
    X(weights_refresh)                                                                             \
    X(linear_dw)                                                                                   \
    X(product_grad_workspace)                                                                      \
    X(product_dx)                                                                                  \
    X(product_dw)                                                                                  \
    X(gelu_dx)                                                                                     \
    X(silu_dx)                                                                                     \
    X(scaled_difference)                                                                           \
    X(sum_squares)                                                                                 \
    X(sum_squared_difference)                                                                      \
    X(adamw)                                                                                       \
    X(add_rows_dx)                                                                                 \
    X(scatter_rows)                                                                                \
    X(norm_modulate_dx)                                                                            \
    X(gate_add_dx)                                                                                 \
    X(qkv_split_dx)                                                                                \
    X(attention_grad_workspace)                                                                    \
    X(attention_dx)                                                                                \
    X(cross_entropy)                                                                               \
    X(conv_dx)                                                                                     \
    X(conv_dw)                                                                                     \
    X(group_norm_dx)                                                                               \
    X(upsample2_dx)                                                                                \
    X(resize_bicubic_dx)
#define TRAINING_BF16(X)                                                                           \
    X(gelu_bf16)                                                                                   \
    X(residual)                                                                                    \
    X(residual_dx)                                                                                 \
    X(attend_workspace)                                                                            \
    X(attend_grad_workspace)                                                                       \
    X(attend)                                                                                      \
    X(attend_dx)

variant_status vt_kern_check_training(const vt_kern *kern, vt_number products, variant_error *err) {
    const char *missing = NULL;
#define LOOK(operation)                                                                            \
    if (!kern->operation) missing = #operation;
    if (products != VT_NUMBER_F32) {
        TRAINING_BF16(LOOK)
    }
    TRAINING(LOOK)
#undef LOOK
    if (!missing) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "backend %s does not train with %s products: no %s",
                   kern->name, vt_number_name(products), missing);
}

/* ---- life ---- */

variant_status vt_kern_open(vt_kern **out, const char *backend, int threads, variant_error *err) {
    *out = NULL;
    VT_TRY(open_backend(out, backend, threads, err));
    /* a backend that opens another and changes it has that one's pool already */
    if (!(*out)->memory_pool) (*out)->memory_pool = vt_memory_pool_open();
    return VARIANT_OK;
}

void vt_kern_close(vt_kern **kern) {
    if (!kern || !*kern) return;
    vt_memory_pool_close(*kern);
    (*kern)->close(*kern);
    *kern = NULL;
}

variant_status vt_kern_download(vt_kern *kern, void *to_host, const void *from, size_t bytes,
                                variant_error *err) {
    kern->download(kern, to_host, from, bytes);
    return kern->status(kern, err);
}

void vt_kern_fill(vt_kern *kern, float *x, float value, size_t n) {
    kern->fill(kern, value, &(vt_floats){x, n}, 1);
}

bool vt_kern_finite(vt_kern *kern, const void *numbers, vt_number type, size_t count) {
    enum { PART = 1024 };
    uint16_t halves[PART];
    float part[PART];
    bool half = type == VT_NUMBER_BF16, finite = true;
    for (size_t first = 0; finite && first < count; first += PART) {
        size_t n = count - first < PART ? count - first : PART;
        if (half) {
            kern->download(kern, halves, (const uint16_t *)numbers + first, n * sizeof *halves);
            for (size_t i = 0; i < n; ++i) part[i] = vt_from_bf16(halves[i]);
        } else {
            kern->download(kern, part, (const float *)numbers + first, n * sizeof *part);
        }
        finite = vt_all_finite(part, n);
    }
    return finite;
}
