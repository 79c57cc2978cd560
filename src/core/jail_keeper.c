/* jail_keeper.c - the keeper's side of jail.h: takes orders, forks a process for each, sees to its end. Like its warden, it holds what
 * the program held when the jail began, but for its descriptors and the values of its environment. */
#include "core/jail_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/descriptor.h"
#include "core/jail_walls.h"

enum { MOST_CHILDREN = 64, ORDERS = 3 };
enum { MOST_KEEPERS = 8 }; /* begun within SPAN */
#define SPAN 60.0          /* seconds */

typedef struct child {
    pid_t process;
    int verdict;
    double until;
    bool late;
} child;

typedef struct keeper {
    vt_walls_filter filter;
    size_t had; /* bytes of address space, before a call */
    child children[MOST_CHILDREN];
    int count;
} keeper;

/* An order as it comes, with its descriptors. */
typedef struct arrival {
    jail_order order;
    int files[JAIL_FILES];
} arrival;

/* ---- what the keeper gives up ---- */

static size_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%lu", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Keys are given in the environment, and children have no use for it. */
static void forget_environment(void) {
    for (char **entry = environ; entry && *entry; ++entry) {
        char *value = strchr(*entry, '=');
        if (value) explicit_bzero(value + 1, strlen(value + 1));
    }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LAST_CLOSED STDOUT_FILENO /* a sanitizer has to be heard */
#else
#define LAST_CLOSED STDERR_FILENO
#endif

/* `kept` as descriptor 3, whichever it was; nothing else but /dev/null. */
static bool close_descriptors(int kept) {
    const int aside = fcntl(kept, F_DUPFD, ORDERS + 1), null = open("/dev/null", O_RDWR);
    if (aside < 0 || null < 0) return false;
    for (int i = 0; i <= LAST_CLOSED; ++i)
        if (dup2(null, i) < 0) return false;
    return dup2(aside, ORDERS) == ORDERS && close_range(ORDERS + 1, ~0u, 0) == 0;
}

static void no_effect(int number) {
    (void)number;
}

/* Ctrl-C and the like end the program, and the keeper by it. SIGCHLD wakes from the poll, and from nothing else. */
static void take_signals(void) {
    static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGPIPE,
                                  SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP};
    struct sigaction wake = {.sa_handler = no_effect};
    sigset_t blocked;
    for (int i = 1; i < NSIG; ++i)
        signal(i, SIG_DFL); /* the program's handlers are for the program */
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; ++i) signal(ignored[i], SIG_IGN);
    sigaction(SIGCHLD, &wake, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* In the warden, for all keepers. */
static bool open_keeper(keeper *k, int orders) {
    variant_error err;
    *k = (keeper){.had = address_space()};
    forget_environment();
    take_signals();
    prctl(PR_SET_NAME, "variant-warden");
    return close_descriptors(orders) && vt_walls_filter_make(&k->filter, &err) == VARIANT_OK;
}

/* ---- children ---- */

static void tell(int file, jail_verdict verdict) {
    vt_write(file, &verdict, sizeof verdict);
    close(file);
}

static void bury(keeper *k) {
    int status;
    pid_t process;
    while ((process = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < k->count; ++i) {
            if (k->children[i].process != process) continue;
            tell(k->children[i].verdict,
                 (jail_verdict){.status = status, .late = k->children[i].late});
            k->children[i] = k->children[--k->count];
            break;
        }
}

static void end_late_ones(keeper *k) {
    const double now = vt_seconds();
    for (int i = 0; i < k->count; ++i) {
        if (k->children[i].late || k->children[i].until > now) continue;
        k->children[i].late = true;
        kill(k->children[i].process, SIGKILL);
    }
}

/* Seconds until the next has to be ended; negative: there is none. */
static double next_end(const keeper *k) {
    double next = -1.0;
    for (int i = 0; i < k->count; ++i) {
        const double left = k->children[i].late ? -1.0 : k->children[i].until - vt_seconds();
        if (!k->children[i].late && (next < 0.0 || left < next)) next = left > 0.0 ? left : 0.0;
    }
    return next;
}

/* Where memory ends, so does this process, not the program. Without effect where it may not be said. */
static void die_first(void) {
    const int file = open("/proc/self/oom_score_adj", O_WRONLY);
    if (file >= 0) vt_write(file, "1000", 4);
    if (file >= 0) close(file);
}

/* Of the child: its own descriptors alone, and an end with the keeper's. */
static _Noreturn void be_child(const keeper *k, const jail_order *order, int input, int answer) {
    sigset_t none;
    sigemptyset(&none);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    die_first();
    prctl(PR_SET_DUMPABLE, 0); /* from here on /proc/self is not its own */
    prctl(PR_SET_NAME, "variant-reader");
    if (dup2(answer, ORDERS) < 0 || dup2(input, ORDERS + 1) < 0 ||
        close_range(ORDERS + 2, ~0u, 0) != 0)
        _exit(1);
    vt_jail_serve(order, ORDERS + 1, ORDERS, k->had, &k->filter);
}

static void begin_child(keeper *k, const jail_order *order, const int files[JAIL_FILES]) {
    const pid_t process = fork();
    if (process == 0) be_child(k, order, files[JAIL_INPUT], files[JAIL_ANSWER]);
    const int reason = process < 0 ? errno : 0;
    close(files[JAIL_INPUT]);
    close(files[JAIL_ANSWER]);
    if (process < 0)
        tell(files[JAIL_VERDICT], (jail_verdict){.reason = reason});
    else
        k->children[k->count++] = (child){process, files[JAIL_VERDICT],
                                          vt_seconds() + vt_jail_patience(order->seconds), false};
}

/* ---- orders ---- */

typedef enum arrived { CAME, NONE_NOW, NO_MORE } arrived;

static arrived take_order(arrival *in) {
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(sizeof in->files)];
    } control;
    struct iovec piece = {&in->order, sizeof in->order};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    const ssize_t got = recvmsg(ORDERS, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return NONE_NOW;
    if (got != (ssize_t)sizeof in->order) return NO_MORE;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof in->files))
        return NONE_NOW; /* more descriptors than may be had: whoever sent them sees the answer's end */
    memcpy(in->files, CMSG_DATA(head), sizeof in->files);
    return CAME;
}

static struct timespec span_of(double seconds) {
    const time_t whole = (time_t)seconds;
    return (struct timespec){whole, (long)((seconds - (double)whole) * 1e9)};
}

/* The life of a keeper, until nobody asks any more. */
static _Noreturn void keep(keeper *k) {
    sigset_t open;
    sigemptyset(&open);
    prctl(PR_SET_NAME, "variant-keeper");
    for (;;) {
        arrival in;
        const double next = next_end(k);
        const struct timespec span = span_of(next < 0.0 ? 0.0 : next);
        struct pollfd wanted = {ORDERS, k->count < MOST_CHILDREN ? POLLIN : 0, 0};
        const int ready = ppoll(&wanted, 1, next < 0.0 ? NULL : &span, &open);
        bury(k);
        end_late_ones(k);
        if (ready <= 0) continue;
        const arrived what = wanted.revents & POLLIN ? take_order(&in) : NO_MORE;
        if (what == NO_MORE) break;
        if (what == CAME) begin_child(k, &in.order, in.files);
    }
    _exit(0); /* and with it its children */
}

/* ---- the warden ---- */

/* Begins a keeper and waits for its end. False: it ended as keepers do, since nobody asks any more. */
static bool lost_a_keeper(keeper *k) {
    int status;
    const pid_t process = fork();
    if (process == 0) keep(k);
    while (process > 0 && waitpid(process, &status, 0) < 0)
        if (errno != EINTR) return true;
    return process < 0 || status != 0;
}

/* Orders are told that nobody takes them, for so long. False: there will be none any more. */
static bool turn_away(double seconds) {
    const double until = vt_seconds() + seconds;
    for (double left; (left = until - vt_seconds()) > 0.0;) {
        arrival in;
        struct pollfd wanted = {ORDERS, POLLIN, 0};
        const struct timespec span = span_of(left);
        if (ppoll(&wanted, 1, &span, NULL) <= 0) continue;
        const arrived what = wanted.revents & POLLIN ? take_order(&in) : NO_MORE;
        if (what == NO_MORE) return false;
        if (what == NONE_NOW) continue;
        close(in.files[JAIL_INPUT]);
        close(in.files[JAIL_ANSWER]);
        tell(in.files[JAIL_VERDICT], (jail_verdict){.rest = left});
    }
    return true;
}

_Noreturn void vt_jail_keep(int orders) {
    keeper k;
    double begun[MOST_KEEPERS] = {0}; /* when each of the last was, by turns */
    if (!open_keeper(&k, orders) || !vt_write(ORDERS, "", 1)) _exit(1);
    for (int i = 0;; i = (i + 1) % MOST_KEEPERS) {
        const double rest = begun[i] > 0.0 ? begun[i] + SPAN - vt_seconds() : 0.0;
        if (rest > 0.0 && !turn_away(rest)) break;
        begun[i] = vt_seconds();
        if (!lost_a_keeper(&k)) break;
    }
    _exit(0);
}
