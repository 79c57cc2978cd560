/* sandbox.c - the public functions over core/jail.h. */
#include "core/jail.h"

variant_status variant_sandbox_begin(variant_error *error) {
    if (error) *error = (variant_error){0};
    return vt_jail_begin(error);
}

void variant_sandbox_end(void) {
    vt_jail_end();
}

bool variant_sandbox_describe(char *line, size_t size) {
    return vt_jail_describe(line, line ? size : 0);
}
