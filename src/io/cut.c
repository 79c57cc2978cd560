/* cut.c - see cut.h. The handler may run in any thread, between any two instructions: it reads a list whose nodes are never freed, by
 * atomics alone, and makes one system call. */
#include "io/cut.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/status.h"

/* A range, or room for the next one. */
struct vt_cut_range {
    atomic_bool taken, cut;
    atomic_uint turn; /* odd while begin and end change */
    atomic_uintptr_t begin, end;
    vt_cut_range *next;
};

static _Atomic(vt_cut_range *) ranges;
static uintptr_t page; /* bytes of one */
static struct sigaction before;

/* ---- the list ---- */

static void set(vt_cut_range *range, uintptr_t begin, uintptr_t end) {
    atomic_fetch_add(&range->turn, 1);
    atomic_store(&range->begin, begin);
    atomic_store(&range->end, end);
    atomic_fetch_add(&range->turn, 1);
}

static vt_cut_range *free_one(void) {
    for (vt_cut_range *range = atomic_load(&ranges); range; range = range->next)
        if (!atomic_exchange(&range->taken, true)) return range;
    vt_cut_range *range = calloc(1, sizeof *range);
    if (!range) return NULL;
    atomic_store(&range->taken, true);
    range->next = atomic_load(&ranges);
    while (!atomic_compare_exchange_weak(&ranges, &range->next, range)) {
    }
    return range;
}

vt_cut_range *vt_cut_enter(const void *data, size_t size) {
    vt_cut_range *range = data && size > 0 ? free_one() : NULL;
    if (!range) return NULL;
    atomic_store(&range->cut, false);
    set(range, (uintptr_t)data, (uintptr_t)data + size);
    return range;
}

void vt_cut_leave(vt_cut_range *range) {
    if (!range) return;
    set(range, 0, 0);
    atomic_store(&range->taken, false);
}

bool vt_cut_happened(const vt_cut_range *range) {
    return range && atomic_load(&range->cut);
}

/* ---- the signal ---- */

/* The end of the range that `at` lies in, marked as cut; 0: it lies in none. One that changes meanwhile is another's. */
static uintptr_t mark(uintptr_t at) {
    for (vt_cut_range *range = atomic_load(&ranges); range; range = range->next) {
        const unsigned turn = atomic_load(&range->turn);
        const uintptr_t begin = atomic_load(&range->begin), end = atomic_load(&range->end);
        if (turn % 2 != 0 || atomic_load(&range->turn) != turn || at < begin || at >= end) continue;
        atomic_store(&range->cut, true);
        return end;
    }
    return 0;
}

/* Zeros from the page of `at` to the end of its range: what is gone is gone to the end of the file. */
static bool cover(uintptr_t at) {
    const uintptr_t begin = at / page * page, end = mark(at);
    return end > 0 && mmap((void *)begin, end - begin, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* To whoever was asked before; where nobody was, the signal ends the process once this returns. */
static void pass_on(int number, siginfo_t *info, void *context) {
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(number, SIG_DFL);
        raise(number);
    }
}

static void on_bus(int number, siginfo_t *info, void *context) {
    const int reason = errno;
    const bool covered = info->si_code == BUS_ADRERR && cover((uintptr_t)info->si_addr);
    if (!covered) pass_on(number, info, context);
    errno = reason;
}

static int failure; /* of installing it: errno */

static void install(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    action.sa_sigaction = on_bus;
    sigemptyset(&action.sa_mask);
    failure = sigaction(SIGBUS, &action, &before) == 0 ? 0 : errno;
}

variant_status variant_guard_files(variant_error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (error) *error = (variant_error){0};
    pthread_once(&once, install);
    if (failure == 0) return VARIANT_OK;
    return vt_fail(error, VARIANT_E_UNSUPPORTED, "SIGBUS cannot be handled: %s", strerror(failure));
}
