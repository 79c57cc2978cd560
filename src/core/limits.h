/* limits.h - what this process may use of the machine: processors, their time, memory.
 *
 * A container or a job sees the whole machine's counts; what it gets is set by its affinity, by the quotas of its
 * control groups (version 2: cpu.max, memory.max; version 1: cpu.cfs_quota_us, memory.limit_in_bytes) on the whole path from
 * its own group to the root, and by `ulimit -v`. Read anew at every call. */
#ifndef VT_CORE_LIMITS_H
#define VT_CORE_LIMITS_H

#include "core/status.h"

typedef struct vt_limits {
    int processors; /* of the machine */
    int affinity;   /* of them this process may run on */
    double quota;   /* processors' worth of time that its control groups grant; 0: no limit */
    /* Threads to compute with, unless told otherwise: one a processor of the affinity, at most the quota, rounded. A thread
     * that would get less than half of its time mostly makes the others wait for it. */
    int threads;
    size_t memory_limit; /* bytes, the tightest of its control groups; 0: no limit */
    size_t memory_left;  /* of that one: limit - use, without cached files; 0 without a limit */
    size_t
        available; /* bytes of memory and swap that the system says are to be had; 0: it does not say */
} vt_limits;

/* `root` stands before every path that is read: "" for this machine, a folder for a test. */
void vt_limits_read(vt_limits *out, const char *root);

/* "2 processors, 1 of them usable, quota of 1.5 processors: 1 thread" */
void vt_limits_describe(const vt_limits *limits, char *out, size_t size);

/* Will `bytes` more of memory be had? E_MEMORY with a line that says what needs them, and which limit leaves how much: the
 * control group's, the system's, or the address space's (ulimit -v). */
variant_status vt_limits_memory(const vt_limits *limits, size_t bytes, const char *purpose,
                                variant_error *err);

/* What `ulimit -v` leaves; SIZE_MAX without that limit. */
size_t vt_limits_address_space_left(void);

/* Likewise of address space alone: for the message after a reservation failed. */
variant_status vt_limits_address_space(size_t bytes, const char *purpose, variant_error *err);

#endif
