/* kern.c - opens a backend by name. The only file that knows which backends exist. */
#include "kern/kern.h"

#include "kern/cpu/cpu.h"
#include "kern/ref/ref.h"

#include <string.h>

variant_status vt_kern_open(vt_kern **out, const char *backend, int threads, variant_error *err) {
    *out = NULL;
    if (threads < 0 || threads > 4096) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "kern: %d threads asked for, expected 0 to 4096",
                       threads);
    }
    if (!backend || strcmp(backend, "cpu") == 0) return vt_cpu_open(out, threads, err);
    if (strcmp(backend, "ref") == 0) return vt_ref_open(out, err);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "kern: unknown backend \"%s\", expected \"cpu\" or \"ref\"", backend);
}

void vt_kern_close(vt_kern **kern) {
    if (!kern || !*kern) return;
    (*kern)->close(*kern);
    *kern = NULL;
}
