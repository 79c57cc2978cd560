/* variant/machine.h - what this process may use of the machine, and what computes on it. */
#ifndef VARIANT_MACHINE_H
#define VARIANT_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>

VARIANT_BEGIN

/* What this process may use of the machine, and which kernels it gets; read anew at each call, from any thread. */
typedef struct variant_machine {
    size_t size;         /* variant_machine_init sets it */
    char processor[96];  /* "AMD EPYC 7B13 64-Core Processor"; "" where the system does not say */
    char kernels[16];    /* the loops' instruction set, as VARIANT_CPU names it: "avx2" */
    char offered[16];    /* the processor's best one; another where VARIANT_CPU asks for less */
    char refused[256];   /* why one that the processor has is not had: one line, or "" */
    int processors;      /* of the machine ... */
    int affinity;        /* ... on which this process may run */
    double quota;        /* processors' worth of time that control groups grant; 0: no limit */
    int threads;         /* what an engine takes by itself */
    size_t memory_limit; /* bytes, of the tightest control group; 0: none ... */
    size_t memory_left;  /* ... and what it leaves */
    size_t memory_free;  /* bytes of memory and swap to be had; 0: the system does not say */
    /* bytes that a limit of address space (ulimit -v) leaves; SIZE_MAX: no limit */
    size_t address_space_left;
    char blas[64];    /* "OpenBLAS 0.3.21 Zen" */
    bool blas_serial; /* it has neither threads nor locks: products in float32 take turns */
    char line[160];   /* the limits: "8 processors, affinity to 4, no quota: 4 threads" */
} variant_machine;

/* All 0. */
VARIANT_SIZED(variant_machine);
/* E_ARGUMENT: a size that no _init has set. Threads: any. */
variant_status variant_machine_read(variant_machine *machine, variant_error *error);

/* What OPENBLAS_CORETYPE should be in the environment before the process starts, for kernels that this processor can run: an
 * OpenBLAS older than the processor takes those of 2004. NULL: it chose well, or the variable is set. Threads: any. */
const char *variant_blas_core_wanted(void);

/* The backends that this version has, between bars, for lists of options; and a note on each. */
#define VARIANT_BACKENDS "cpu|ref"
#define VARIANT_BACKEND_NOTES "|the slow plain-C definition"
/* The backends that engines may ask for, "cpu" first; NULL behind the last. Threads: any. */
const char *variant_backend_name(int i);
/* What it computes with, a line of at most `size` bytes: "OpenBLAS 0.3.21 Zen, loops avx2, bf16 avx2, int8 avx2, 2 threads".
 * Opens and closes it: E_ARGUMENT of a name that none has, E_MEMORY. Threads: any. */
variant_status variant_backend_describe(const char *name, char *line, size_t size,
                                        variant_error *error);

VARIANT_END

#endif
