/* jail.c - this process's side of jail.h: the warden's beginning and end, and calls. */
#include "core/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/jail_keeper.h"
#include "core/jail_walls.h"

enum { LARGE = 1 << 16 }; /* what a pipe holds unless it is told to hold more */

/* Set before there are threads. */
static struct {
    bool on;
    int orders;
    pid_t owner, warden;
} jail;

/* ---- beginning and end ---- */

bool vt_jail_is_on(void) {
    return jail.on;
}

bool vt_jail_describe(char *line, size_t size) {
    const int landlock = vt_walls_landlock();
    const bool filters = vt_walls_seccomp();
    if (!vt_walls_built())
        snprintf(line, size, "built without libseccomp (VARIANT_SANDBOX=OFF)");
    else if (!filters)
        snprintf(line, size, "this kernel filters no system calls (seccomp)%s",
                 landlock ? ", though it has Landlock" : ", and has no Landlock");
    else if (landlock)
        snprintf(line, size, "seccomp, Landlock version %d", landlock);
    else
        snprintf(line, size, "seccomp; this kernel has no Landlock");
    return filters;
}

static variant_status nothing(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    return VARIANT_OK;
}

/* A first call, which has nothing to read: what does not work is told now. */
static variant_status try_it(variant_error *err) {
    const vt_jail_job job = {.run = nothing, .file = -1, .memory = (size_t)1 << 20, .seconds = 10};
    uint8_t *out;
    size_t size;
    return vt_jail_call(&job, NULL, 0, &out, &size, err);
}

static variant_status fork_warden(variant_error *err) {
    int ends[2];
    uint8_t ready;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return vt_fail(err, VARIANT_E_IO, "%s", strerror(errno));
    const pid_t process = fork();
    if (process == 0) {
        close(ends[0]); /* else it would wait for an end that it holds itself */
        vt_jail_keep(ends[1]);
    }
    const int reason = errno;
    close(ends[1]);
    jail.orders = ends[0];
    jail.owner = getpid();
    jail.warden = process;
    jail.on = process > 0;
    if (process < 0) {
        close(ends[0]);
        return vt_fail(err, VARIANT_E_MEMORY, "no process: %s", strerror(reason));
    }
    if (vt_read_all(jail.orders, &ready, 1)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "its keeper could not begin");
}

variant_status vt_jail_begin(variant_error *err) {
    char line[128];
    if (jail.on) return VARIANT_OK;
    if (!vt_jail_describe(line, sizeof line))
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "no sandbox can be had: %s", line);
    variant_status status = fork_warden(err);
    if (status == VARIANT_OK) status = try_it(err);
    if (status == VARIANT_OK) return VARIANT_OK;
    vt_jail_end();
    return vt_fail_within(err, VARIANT_E_UNSUPPORTED, "no sandbox can be had");
}

void vt_jail_end(void) {
    if (!jail.on) return;
    if (jail.owner == getpid()) { /* not a copy of the process, which shares the keeper */
        shutdown(jail.orders, SHUT_RDWR);
        while (waitpid(jail.warden, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    close(jail.orders);
    jail.on = false;
}

/* ---- a call ---- */

/* This side's ends, and those that go to the keeper. */
typedef struct call {
    int answer, verdict, files[JAIL_FILES];
    bool own_input;
    bool lost; /* with its keeper */
} call;

static void close_files(call *c) {
    for (int i = 0; i < JAIL_FILES; ++i) {
        if (c->files[i] >= 0 && (i != JAIL_INPUT || c->own_input)) close(c->files[i]);
        c->files[i] = -1;
    }
}

static void close_call(call *c) {
    close_files(c);
    if (c->answer >= 0) close(c->answer);
    if (c->verdict >= 0) close(c->verdict);
}

/* A file of memory that holds the input. */
static int file_of(const vt_jail_job *job) {
    const int file = memfd_create("input", MFD_CLOEXEC);
    if (file < 0 || vt_write(file, job->bytes, job->size)) return file;
    const int reason = errno;
    close(file);
    errno = reason;
    return -1;
}

/* A pipe to this side; a large one is written in few turns, where the system lets it be large. */
static bool open_pipe(int *here, int *there, bool large) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    if (large) (void)fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    *here = ends[0];
    *there = ends[1];
    return true;
}

static bool open_call(call *c, const vt_jail_job *job) {
    *c = (call){-1, -1, {-1, -1, -1}, job->file < 0, false};
    c->files[JAIL_INPUT] = job->file < 0 ? file_of(job) : job->file;
    return c->files[JAIL_INPUT] >= 0 &&
           open_pipe(&c->answer, &c->files[JAIL_ANSWER], job->most > LARGE) &&
           open_pipe(&c->verdict, &c->files[JAIL_VERDICT], false);
}

static bool send_order(const call *c, const vt_jail_job *job) {
    jail_order order = {
        .run = job->run, .size = job->size, .memory = job->memory, .seconds = job->seconds};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof c->files)];
    } control = {0};
    struct iovec piece = {&order, sizeof order};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (job->ask_size) memcpy(order.ask, job->ask, job->ask_size);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){CMSG_LEN(sizeof c->files), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), c->files, sizeof c->files);
    ssize_t sent;
    do sent = sendmsg(jail.orders, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof order;
}

static variant_status no_keeper(variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "the sandbox's keeper has ended: nothing is read");
}

/* Why there was no answer, or half of one. */
static variant_status verdict_of(call *c, const vt_jail_job *job, variant_error *err) {
    jail_verdict verdict;
    c->lost = !vt_read_all(c->verdict, &verdict, sizeof verdict);
    if (c->lost) return no_keeper(err);
    if (verdict.rest > 0.0)
        return vt_fail(err, VARIANT_E_IO,
                       "the sandbox's keeper was ended again and again: nothing is read for %.0f s",
                       ceil(verdict.rest));
    if (verdict.reason)
        return vt_fail(err, VARIANT_E_MEMORY, "no process to read it in: %s",
                       strerror(verdict.reason));
    if (verdict.late)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "its reader did not end within %g s, and was ended in its sandbox",
                       vt_jail_patience(job->seconds));
    if (!WIFSIGNALED(verdict.status))
        return vt_fail(err, VARIANT_E_FORMAT, "its reader ended in its sandbox without an answer");
    const int number = WTERMSIG(verdict.status);
    if (number == SIGSYS)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "its reader asked for what its sandbox forbids, and was ended");
    if (number == SIGXCPU)
        return vt_fail(
            err, VARIANT_E_FORMAT,
            "its reader took more than %g s of a processor, and was ended in its sandbox",
            ceil(job->seconds));
    const char *what = sigdescr_np(number);
    return vt_fail(err, VARIANT_E_FORMAT, "its reader crashed in its sandbox (%s)",
                   what ? what : "an unknown signal");
}

/* In words of a process that may be a stranger's by now. */
static variant_status refusal_of(jail_answer *said, const vt_jail_job *job, variant_error *err) {
    const bool known = said->status > VARIANT_OK && said->status <= VARIANT_E_DEVICE;
    said->message[sizeof said->message - 1] = '\0';
    for (char *c = said->message; *c; ++c)
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
    if (said->status == VARIANT_E_MEMORY)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "its reader needs more than the %zu MB that its sandbox leaves it (%s)",
                       job->memory >> 20, said->message);
    return vt_fail(err, known ? said->status : VARIANT_E_FORMAT, "%s", said->message);
}

static variant_status take_answer(call *c, const vt_jail_job *job, jail_answer *said, uint8_t **out,
                                  variant_error *err) {
    if (!vt_read_all(c->answer, said, sizeof *said)) return verdict_of(c, job, err);
    if (said->status != VARIANT_OK) return refusal_of(said, job, err);
    if (said->size > job->most)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "its reader answers with %llu bytes, expected at most %zu",
                       (unsigned long long)said->size, job->most);
    if (said->size == 0) return VARIANT_OK;
    *out = malloc((size_t)said->size);
    if (!*out)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %llu bytes",
                       (unsigned long long)said->size);
    if (vt_read_all(c->answer, *out, (size_t)said->size)) return VARIANT_OK;
    free(*out);
    *out = NULL;
    return verdict_of(c, job, err);
}

/* *lost: its keeper ended under it, and another may be there. */
static variant_status call_once(const vt_jail_job *job, jail_answer *said, uint8_t **out,
                                bool *lost, variant_error *err) {
    call c;
    variant_status status;
    if (!open_call(&c, job)) {
        status = vt_fail(err, VARIANT_E_IO, "no way into the sandbox: %s", strerror(errno));
    } else if (!send_order(&c, job)) {
        status = no_keeper(err);
    } else {
        close_files(&c); /* so that the answer ends when the process does */
        status = take_answer(&c, job, said, out, err);
    }
    close_call(&c);
    *lost = c.lost;
    return status;
}

variant_status vt_jail_call(const vt_jail_job *job, void *head, size_t head_size, uint8_t **out,
                            size_t *out_size, variant_error *err) {
    jail_answer said = {0};
    bool lost;
    *out = NULL;
    *out_size = 0;
    if (job->ask_size > VT_JAIL_ASK || head_size > VT_JAIL_HEAD)
        return vt_fail(err, VARIANT_E_ARGUMENT, "more is asked than a jail's order holds");
    variant_status status = call_once(job, &said, out, &lost, err);
    if (lost) status = call_once(job, &said, out, &lost, err);
    if (status != VARIANT_OK) return status;
    if (head_size) memcpy(head, said.head, head_size);
    *out_size = (size_t)said.size;
    return VARIANT_OK;
}
