/* kern.c - opens a backend by name. The only file that knows which backends exist. */
#include "kern/kern.h"

#include "core/finite.h"
#include "kern/cpu/cpu.h"
#include "kern/number.h"
#include "kern/memory_pool.h"
#include "kern/ref/ref.h"

#include <string.h>

static variant_status open_backend(vt_kern **out, const char *backend, int threads,
                                   variant_error *err) {
    if (threads < 0 || threads > 4096) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "kern: %d threads asked for, expected 0 to 4096",
                       threads);
    }
    if (!backend || strcmp(backend, "cpu") == 0) return vt_cpu_open(out, threads, err);
    if (strcmp(backend, "ref") == 0) return vt_ref_open(out, err);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "kern: unknown backend \"%s\", expected \"cpu\" or \"ref\"", backend);
}

variant_status vt_kern_open(vt_kern **out, const char *backend, int threads, variant_error *err) {
    *out = NULL;
    VT_TRY(open_backend(out, backend, threads, err));
    (*out)->memory_pool = vt_memory_pool_open();
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
