/* hidden_backend.h - a backend whose buffers the host cannot read, as those of a device are: their pages are open only
 * while one of its operations runs. It computes by another backend.
 *
 * Whoever looks into a buffer gets SIGSEGV. Whoever hands an operation host memory for a buffer, or a buffer for a list
 * that is meant to be in host memory, gets a line that names operation and argument, and abort(). It is not `unified`, has
 * no team, no probes, and can be made to fail. One thread at a time. */
#ifndef TESTS_HIDDEN_BACKEND_H
#define TESTS_HIDDEN_BACKEND_H

#include "kern/kern.h"

/* vt_kern_opener; over the plain backend, and over the default one. */
variant_status hidden_over_reference(vt_kern **out, int threads, variant_error *err);
variant_status hidden_over_default(vt_kern **out, int threads, variant_error *err);

/* Operations that ran, of all hidden backends since the process began. */
long hidden_operations(void);
/* From now on, after so many operations more, status says E_DEVICE and goes on to; negative: never. Of all hidden
 * backends. */
void hidden_fail_after(long operations);

#endif
