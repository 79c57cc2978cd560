/* clock.h - time and memory of this process, as reported to users. */
#ifndef VT_CORE_CLOCK_H
#define VT_CORE_CLOCK_H

#include <stddef.h>

/* Seconds of a monotonic clock. */
double vt_seconds(void);

/* Peak resident bytes of this process so far; 0 where the system does not say. */
size_t vt_peak_resident_bytes(void);

/* Makes that peak start again from what is resident now, where the system can (Linux). */
void vt_peak_resident_reset(void);

/* Bytes of physical memory; 0 where the system does not say. */
size_t vt_physical_bytes(void);

#endif
