/* io_fail.c - runs a command and lets one of its system calls fail: the test cli_io_faults.py chooses which.
 *
 *   io_fail LOG [KIND:N:HOW] COMMAND ARGUMENT...
 *
 * LOG gets a line "KIND N PATH" for each call that could have failed, and "failed KIND N PATH" for the one that did. KIND is a row of
 * `kinds`, N counts calls of a kind from 1, HOW is EIO, ENOSPC, EMFILE, ENOMEM, EACCES, EINTR, short (half of the bytes that were asked
 * for are moved), or kill (SIGKILL instead of the call). The exit status is the command's, 128 + signal where it was ended by one, 125 where nothing could be run.
 *
 * Calls are seen below the C library, by a filter of seccomp that stops at these alone and ptrace: fread, fprintf and what other libraries write is
 * among them, of every thread and child. Those on shared objects and on the standard error are let through uncounted. x86-64 alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 125 };

#if defined(__x86_64__) && defined(__linux__)

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

/* ---- which calls ---- */

typedef enum { BY_DESCRIPTOR, BY_PATH, BY_PATH_AT, BY_NEW_PATH, BY_NEW_PATH_AT, BY_MAPPING } place;

typedef struct call {
    const char *kind;
    int number;
    place place;
    bool counted; /* the third argument is a number of bytes, which may be cut */
} call;

static const call calls[] = {
    {"open", SYS_open, BY_PATH, false},
    {"open", SYS_openat, BY_PATH_AT, false},
    {"read", SYS_read, BY_DESCRIPTOR, true},
    {"read", SYS_pread64, BY_DESCRIPTOR, true},
    {"read", SYS_readv, BY_DESCRIPTOR, false},
    {"write", SYS_write, BY_DESCRIPTOR, true},
    {"write", SYS_pwrite64, BY_DESCRIPTOR, true},
    {"write", SYS_writev, BY_DESCRIPTOR, false},
    {"fsync", SYS_fsync, BY_DESCRIPTOR, false},
    {"fsync", SYS_fdatasync, BY_DESCRIPTOR, false},
    {"rename", SYS_rename, BY_NEW_PATH, false},
    {"rename", SYS_renameat, BY_NEW_PATH_AT, false},
    {"rename", SYS_renameat2, BY_NEW_PATH_AT, false},
    {"truncate", SYS_ftruncate, BY_DESCRIPTOR, false},
    {"truncate", SYS_fallocate, BY_DESCRIPTOR, false},
    {"close", SYS_close, BY_DESCRIPTOR, false},
    {"mmap", SYS_mmap, BY_MAPPING, false},
    {"mkdir", SYS_mkdir, BY_PATH, false},
    {"mkdir", SYS_mkdirat, BY_PATH_AT, false},
    {"unlink", SYS_unlink, BY_PATH, false},
    {"unlink", SYS_unlinkat, BY_PATH_AT, false},
    {"stat", SYS_stat, BY_PATH, false},
    {"stat", SYS_lstat, BY_PATH, false},
    {"stat", SYS_fstat, BY_DESCRIPTOR, false},
    {"stat", SYS_newfstatat, BY_PATH_AT, false},
    {"stat", SYS_access, BY_PATH, false},
    {"stat", SYS_faccessat, BY_PATH_AT, false},
    {"stat", SYS_faccessat2, BY_PATH_AT, false},
    {"seek", SYS_lseek, BY_DESCRIPTOR, false},
    {"list", SYS_getdents64, BY_DESCRIPTOR, false},
    {"duplicate", SYS_fcntl, BY_DESCRIPTOR, false},
    {"receive", SYS_recvfrom, BY_DESCRIPTOR, true},
    {"send", SYS_sendto, BY_DESCRIPTOR, true},
    {"send", SYS_sendmsg, BY_DESCRIPTOR, false},
    {"accept", SYS_accept4, BY_DESCRIPTOR, false},
};
enum { CALLS = sizeof calls / sizeof *calls };

static long seen[CALLS]; /* calls of a kind so far, at the kind's first row */

static int first_of_kind(int row) {
    while (row > 0 && strcmp(calls[row - 1].kind, calls[row].kind) == 0) --row;
    return row;
}

static int row_of(long long number) {
    for (int i = 0; i < CALLS; ++i)
        if (calls[i].number == number) return i;
    return -1;
}

/* ---- what is to fail ---- */

typedef enum { RIGHT, ERROR, SHORT, KILL } outcome;

static struct wanted {
    const char *kind;
    long n;
    outcome how;
    int error;
} wanted;

static bool read_wanted(char *text) {
    static const struct {
        const char *name;
        int error;
    } errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE},
                  {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EINTR", EINTR}};
    char *n = strchr(text, ':'), *how = n ? strchr(n + 1, ':') : NULL;
    if (!how) return false;
    *n++ = *how++ = '\0';
    wanted = (struct wanted){.kind = text, .n = strtol(n, NULL, 10)};
    if (strcmp(how, "short") == 0) wanted.how = SHORT;
    if (strcmp(how, "kill") == 0) wanted.how = KILL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i)
        if (strcmp(how, errors[i].name) == 0) {
            wanted.how = ERROR;
            wanted.error = errors[i].error;
        }
    return wanted.n > 0 && wanted.how != RIGHT;
}

/* ---- where a call goes to ---- */

/* The text at an address of the traced process; "" where it cannot be read. */
static void read_text(char *out, pid_t thread, unsigned long long at) {
    size_t used = 0;
    while (used < PATH_MAX - 1) { /* by pages: the next one may not be there */
        size_t n = 4096 - (size_t)((at + used) % 4096);
        if (n > PATH_MAX - 1 - used) n = PATH_MAX - 1 - used;
        struct iovec here = {out + used, n}, there = {(void *)(uintptr_t)(at + used), n};
        const ssize_t got = process_vm_readv(thread, &here, 1, &there, 1, 0);
        if (got <= 0) break;
        if (memchr(out + used, '\0', (size_t)got)) return;
        used += (size_t)got;
    }
    out[used] = '\0';
}

static void read_link(char *out, size_t size, const char *format, pid_t thread, int descriptor) {
    char name[64];
    snprintf(name, sizeof name, format, (int)thread, descriptor);
    const ssize_t n = readlink(name, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
}

static void full_path(char *out, size_t size, pid_t thread, int folder, unsigned long long at) {
    char path[PATH_MAX], base[PATH_MAX] = "";
    read_text(path, thread, at);
    if (path[0] != '/')
        read_link(base, sizeof base, folder == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", thread,
                  folder);
    const bool joined = base[0] && path[0];
    snprintf(out, size, "%s%s%s", base, joined ? "/" : "", path);
}

static void place_of(char *out, size_t size, const call *c, pid_t thread,
                     const struct user_regs_struct *r) {
    switch (c->place) {
    case BY_DESCRIPTOR:
        read_link(out, size, "/proc/%d/fd/%d", thread, (int)r->rdi);
        break;
    case BY_MAPPING:
        read_link(out, size, "/proc/%d/fd/%d", thread, (int)r->r8);
        break;
    case BY_PATH:
        full_path(out, size, thread, AT_FDCWD, r->rdi);
        break;
    case BY_PATH_AT:
        full_path(out, size, thread, (int)r->rdi, r->rsi);
        break;
    case BY_NEW_PATH:
        full_path(out, size, thread, AT_FDCWD, r->rsi);
        break;
    case BY_NEW_PATH_AT:
        full_path(out, size, thread, (int)r->rdx, r->r10);
        break;
    }
}

static bool passes(const call *c, const struct user_regs_struct *r, const char *path) {
    const bool by_descriptor = c->place == BY_DESCRIPTOR;
    if (by_descriptor && (int)r->rdi == STDERR_FILENO) return true;
    if (c->number == SYS_fcntl && r->rsi != F_DUPFD_CLOEXEC && r->rsi != F_DUPFD) return true;
    if (!path[0] || strncmp(path, "anon_inode:", 11) == 0) return true; /* no such descriptor */
    const char *name = strrchr(path, '/');
    return strstr(name ? name : path, ".so") || strstr(path, "/glibc-hwcaps") ||
           strstr(path, "/locale");
}

/* ---- a call ---- */

static FILE *log_file;

static void fail_call(const call *c, pid_t thread, struct user_regs_struct *r) {
    if (wanted.how == KILL) {
        kill(thread, SIGKILL);
        return;
    }
    if (wanted.how == SHORT) {
        if (!c->counted || r->rdx < 2) return;
        r->rdx /= 2;
    } else {
        r->orig_rax = (unsigned long long)-1; /* left out; the result is what stands here */
        r->rax = (unsigned long long)-wanted.error;
    }
    if (ptrace(PTRACE_SETREGS, thread, NULL, r) != 0) perror("io_fail: registers");
}

static void look_at(pid_t thread) {
    struct user_regs_struct r;
    char path[2 * PATH_MAX];
    if (ptrace(PTRACE_GETREGS, thread, NULL, &r) != 0) return;
    const int row = row_of((long long)r.orig_rax);
    if (row < 0) return;
    const call *c = &calls[row];
    place_of(path, sizeof path, c, thread, &r);
    if (passes(c, &r, path)) return;
    const long n = ++seen[first_of_kind(row)];
    const bool fails = wanted.kind && strcmp(wanted.kind, c->kind) == 0 && wanted.n == n;
    if (fails || !wanted.kind)
        fprintf(log_file, "%s%s %ld %s\n", fails ? "failed " : "", c->kind, n, path);
    fflush(log_file);
    if (fails) fail_call(c, thread, &r);
}

/* ---- the command ---- */

static void begin(char **command) {
    struct sock_filter filter[CALLS + 6];
    size_t n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; ++i, ++n)
        filter[n] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, (unsigned char)(CALLS - i), 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(CANNOT);
    raise(SIGSTOP);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(CANNOT);
    execvp(command[0], command);
    _exit(CANNOT);
}

enum { MOST_THREADS = 4096 };

/* A new thread's first stop is not a signal that somebody sent. */
static bool is_new(pid_t thread) {
    static pid_t known[MOST_THREADS];
    static int count;
    for (int i = 0; i < count; ++i)
        if (known[i] == thread) return false;
    if (count < MOST_THREADS) known[count++] = thread;
    return true;
}

/* Goes on with a stopped thread. */
static void go_on(pid_t thread, int status) {
    const int event = status >> 16, number = WSTOPSIG(status);
    const bool fresh = is_new(thread);
    if (event == PTRACE_EVENT_SECCOMP) look_at(thread);
    const bool own = event != 0 || (fresh && number == SIGSTOP);
    ptrace(PTRACE_CONT, thread, NULL, (void *)(intptr_t)(own ? 0 : number));
}

static int follow(pid_t child) {
    int status, result = CANNOT;
    const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                         PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return CANNOT;
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(intptr_t)options) != 0) return CANNOT;
    is_new(child);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    for (;;) {
        const pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) continue;
        if (thread < 0) return result;
        if (WIFSTOPPED(status))
            go_on(thread, status);
        else if (thread == child)
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

static pid_t traced;

static void pass_on(int number) {
    if (traced > 0) kill(traced, number);
}

int main(int count, char **words) {
    int at = 2;
    if (count > 3 && strchr(words[2], ':') && read_wanted(words[2])) ++at;
    log_file = count > at ? fopen(words[1], "we") : NULL;
    if (!log_file) {
        fprintf(stderr, "usage: io_fail LOG [KIND:N:HOW] COMMAND ARGUMENT...\n");
        return CANNOT;
    }
    traced = fork();
    if (traced == 0) begin(words + at);
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    return traced < 0 ? CANNOT : follow(traced);
}

#else

int main(void) {
    fprintf(stderr, "io_fail: no such thing on this processor or system\n");
    return CANNOT;
}

#endif
