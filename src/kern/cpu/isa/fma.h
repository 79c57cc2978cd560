/* fma.h - a b + c, rounded once where the instruction set does it, for loops that are compiled once for each. */
#ifndef VT_KERN_CPU_ISA_FMA_H
#define VT_KERN_CPU_ISA_FMA_H

#ifdef __FMA__
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

#endif
