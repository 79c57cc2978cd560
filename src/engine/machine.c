/* machine.c - what this process may use of the machine, for programs: variant_machine and the backends' lines. */
#include <stdio.h>

#include "core/cpu.h"
#include "core/limits.h"
#include "core/sized.h"
#include "kern/kern.h"

void variant_machine_init_sized(variant_machine *machine, size_t size) {
    const variant_machine defaults = {0};
    vt_sized_init(machine, size, &defaults, sizeof defaults);
}

static void read_limits(variant_machine *out) {
    vt_limits limits;
    vt_limits_read(&limits, "");
    out->processors = limits.processors;
    out->affinity = limits.affinity;
    out->quota = limits.quota;
    out->threads = limits.threads;
    out->memory_limit = limits.memory_limit;
    out->memory_left = limits.memory_left;
    out->memory_free = limits.available;
    out->address_space_left = vt_limits_address_space_left();
    vt_limits_describe(&limits, out->line, sizeof out->line);
}

variant_status variant_machine_read(variant_machine *machine, variant_error *error) {
    VT_TRY(vt_sized_clear(machine, "variant_machine", error));
    if (error) *error = (variant_error){0};
    variant_machine out = {0};
    read_limits(&out);
    vt_processor_name(out.processor, sizeof out.processor);
    snprintf(out.kernels, sizeof out.kernels, "%s", vt_isa_name(vt_isa_best()));
    snprintf(out.offered, sizeof out.offered, "%s", vt_isa_name(vt_isa_offered()));
    vt_isa_refused(out.refused, sizeof out.refused);
    out.blas_serial = vt_kern_blas(out.blas, sizeof out.blas);
    vt_sized_give(machine, &out, sizeof out);
    return VARIANT_OK;
}

const char *variant_blas_core_wanted(void) {
    return vt_kern_blas_core();
}

const char *variant_backend_name(int i) {
    return i < 0 ? NULL : vt_kern_backend(i);
}

variant_status variant_backend_describe(const char *name, char *line, size_t size,
                                        variant_error *error) {
    VT_TRY(vt_need(line, "nowhere to put a backend's line", error));
    if (size > 0) line[0] = '\0';
    vt_kern *kern = NULL;
    VT_TRY(vt_kern_open(&kern, name, 0, error));
    snprintf(line, size, "%s", kern->details ? kern->details : "");
    vt_kern_close(&kern);
    return VARIANT_OK;
}
