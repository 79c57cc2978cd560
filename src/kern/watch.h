/* watch.h - was the machine ours (core/quiet.h), as seen by a backend's own products.
 *
 * What shares a core with us may leave scalar arithmetic alone and still take most of the vector or tile units, so the canary
 * of timed kernels is the scalar loop and the backend's (vt_kern.canary) together. */
#ifndef VT_KERN_WATCH_H
#define VT_KERN_WATCH_H

#include "core/quiet.h"
#include "kern/kern.h"

/* As vt_quiet_open with the system's readings; kern is borrowed and must outlive quiet. */
void vt_kern_watch(vt_quiet *quiet, vt_kern *kern);

#endif
