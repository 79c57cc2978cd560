/* jail_walls.c - see jail_walls.h. Landlock by its system calls, which no libc wraps; the filter by libseccomp. */
#include "core/jail_walls.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#ifdef VARIANT_SANDBOX
#include <seccomp.h>
#endif

/* ---- Landlock ---- */

/* As of version 6 (linux/landlock.h of an older kernel lacks the later members); older versions are told a shorter one. */
typedef struct ruleset {
    uint64_t files, net, scoped;
} ruleset;

/* Calls have these numbers on every architecture. */
enum { CREATE_RULESET = 444, RESTRICT_SELF = 446, ASK_VERSION = 1 };

int vt_walls_landlock(void) {
    const long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    return version > 0 ? (int)version : 0;
}

/* All that each version can deny: 13 rights to files, then reparenting, truncation, ioctl of devices; TCP; then abstract sockets and
 * signals. */
static size_t ruleset_of(ruleset *out, int version) {
    const int rights = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    *out = (ruleset){.files = ((uint64_t)1 << rights) - 1,
                     .net = version >= 4 ? 3 : 0,
                     .scoped = version >= 6 ? 3 : 0};
    return (version >= 6 ? 3 : version >= 4 ? 2 : 1) * sizeof(uint64_t);
}

variant_status vt_walls_close_files(variant_error *err) {
    const int version = vt_walls_landlock();
    ruleset denied;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "no_new_privs: %s", strerror(errno));
    if (version == 0) return VARIANT_OK;
    const size_t size = ruleset_of(&denied, version);
    const int rules = (int)syscall(CREATE_RULESET, &denied, size, 0);
    const bool closed = rules >= 0 && syscall(RESTRICT_SELF, rules, 0) == 0;
    const int reason = errno;
    if (rules >= 0) close(rules);
    if (closed) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "Landlock version %d: %s", version,
                   strerror(reason));
}

/* ---- system calls ---- */

#ifdef VARIANT_SANDBOX

bool vt_walls_built(void) {
    return true;
}

bool vt_walls_seccomp(void) {
    const uint32_t action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* sysinfo: glibc's qsort asks how much memory there is. */
static const int allowed[] = {
    SCMP_SYS(read),        SCMP_SYS(write),         SCMP_SYS(munmap),
    SCMP_SYS(mremap),      SCMP_SYS(brk),           SCMP_SYS(madvise),
    SCMP_SYS(futex),       SCMP_SYS(sched_yield),   SCMP_SYS(exit),
    SCMP_SYS(exit_group),  SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),   SCMP_SYS(sysinfo),
#ifdef __SANITIZE_ADDRESS__ /* looks where the stack is before it is left by a long jump */
    SCMP_SYS(sigaltstack), SCMP_SYS(prlimit64),     SCMP_SYS(sched_getaffinity),
#endif
};
/* Libraries look for files that only tell them how to be faster, and do without. */
static const int refused[] = {SCMP_SYS(open), SCMP_SYS(openat)};
static const int without_code[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static int add_rules(scmp_filter_ctx filter) {
    int failed = 0;
    for (size_t i = 0; i < LENGTH(allowed) && !failed; ++i)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < LENGTH(refused) && !failed; ++i)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
    for (size_t i = 0; i < LENGTH(without_code) && !failed; ++i)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, without_code[i], 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return failed;
}

/* All that a file in memory holds; the caller frees. */
static void *take_file(int file, size_t *size) {
    const off_t end = lseek(file, 0, SEEK_END);
    void *bytes = end > 0 ? malloc((size_t)end) : NULL;
    if (bytes && pread(file, bytes, (size_t)end, 0) == end) {
        *size = (size_t)end;
        return bytes;
    }
    free(bytes);
    return NULL;
}

variant_status vt_walls_filter_make(vt_walls_filter *out, variant_error *err) {
    *out = (vt_walls_filter){0};
    size_t size = 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    const int file = memfd_create("filter", MFD_CLOEXEC);
    if (filter && file >= 0 && add_rules(filter) == 0 && seccomp_export_bpf(filter, file) == 0)
        out->steps = take_file(file, &size);
    if (file >= 0) close(file);
    if (filter) seccomp_release(filter);
    if (!out->steps)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "no filter of system calls can be made here");
    out->program = (struct sock_fprog){(unsigned short)(size / sizeof *out->steps), out->steps};
    return VARIANT_OK;
}

#else

bool vt_walls_built(void) {
    return false;
}

bool vt_walls_seccomp(void) {
    return false;
}

variant_status vt_walls_filter_make(vt_walls_filter *out, variant_error *err) {
    *out = (vt_walls_filter){0};
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "built without libseccomp (VARIANT_SANDBOX=OFF)");
}

#endif

void vt_walls_filter_free(vt_walls_filter *filter) {
    free(filter->steps);
    *filter = (vt_walls_filter){0};
}

variant_status vt_walls_filter_raise(const vt_walls_filter *filter, variant_error *err) {
    if (filter->steps && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter->program) == 0)
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "seccomp: %s", strerror(errno));
}

/* ---- limits ---- */

/* At `most` the process is told, by a signal that ends it; `slack` beyond that nothing is asked. Less, where there is less already. */
static bool set_limit(__rlimit_resource_t which, size_t most, size_t slack) {
    struct rlimit is, limit = {most, most + slack};
    if (getrlimit(which, &is) != 0) return false;
    if (is.rlim_max < limit.rlim_max) limit.rlim_max = is.rlim_max;
    if (is.rlim_cur < limit.rlim_cur) limit.rlim_cur = is.rlim_cur;
    return setrlimit(which, &limit) == 0;
}

variant_status vt_walls_limit(size_t had, size_t memory, double seconds, variant_error *err) {
    bool set = set_limit(RLIMIT_CPU, (size_t)ceil(seconds), 1) && set_limit(RLIMIT_CORE, 0, 0) &&
               set_limit(RLIMIT_FSIZE, 0, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which map terabytes */
    size_t most;
    if (!__builtin_add_overflow(had, memory, &most)) set = set && set_limit(RLIMIT_AS, most, 0);
#else
    (void)had, (void)memory;
#endif
    return set ? VARIANT_OK
               : vt_fail(err, VARIANT_E_UNSUPPORTED, "limits of a process: %s", strerror(errno));
}
