/* bf16_pays.c - is the processor's bf16 product worth using?
 *
 * vdpbf16ps multiplies twice as many numbers as a float32 multiply-add. On AMD's Zen 4 it issues every
 * cycle and doubles the speed; on Intel's Golden Cove (Sapphire and Emerald Rapids, where AMX is what bf16
 * is meant for) it issues every other cycle while float32 has two a cycle, and widening bf16 to float32 is
 * faster. Telling processors by name would be wrong for the next one, so registers are asked: a third of a
 * millisecond, once a process. The two rates are a factor of two or more apart either way, which is why
 * the answer is the same every time. Asked by cpu.c. */
#include "core/clock.h"
#include "kern/cpu/cpu.h"

#include <pthread.h>

#if defined(__x86_64__)
enum { ROUNDS = 4000, REPEATS = 7 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool pays;

/* The best of a few, in turn, so that a disturbance does not meet one of them alone. */
static void ask(void) {
    double (*const peaks[2])(int64_t) = {vt_tiles_avx512bf16.peak, vt_loops_avx512.peak};
    double best[2] = {0};
    for (int i = 0; i < 2 * REPEATS; ++i) {
        double start = vt_seconds(), flops = peaks[i % 2](ROUNDS);
        double rate = flops / (vt_seconds() - start);
        if (rate > best[i % 2]) best[i % 2] = rate;
    }
    pays = best[0] > best[1];
}

bool vt_cpu_bf16_pays(void) {
    pthread_once(&once, ask);
    return pays;
}
#else
bool vt_cpu_bf16_pays(void) {
    return false;
}
#endif
