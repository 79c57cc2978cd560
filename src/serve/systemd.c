/* systemd.c - see systemd.h. */
#include "serve/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST = 3 }; /* SD_LISTEN_FDS_START */

/* ---- a socket ---- */

/* How many are there for this process; -1: LISTEN_FDS is no number. */
static int count_sockets(void) {
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    char *end;
    if (!pid || !count || strtol(pid, &end, 10) != (long)getpid() || *end) return 0;
    const long value = strtol(count, &end, 10);
    return end == count || *end || value < 0 || value > 1000 ? -1 : (int)value;
}

static bool has_option(int fd, int option, int value) {
    int found = 0;
    socklen_t size = sizeof found;
    return getsockopt(fd, SOL_SOCKET, option, &found, &size) == 0 && found == value;
}

static bool find_address(int fd, char address[SV_ADDRESS_SIZE], int *port) {
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof at;
    char number[16];
    if (getsockname(fd, (struct sockaddr *)&at, &size) != 0 ||
        (at.ss_family != AF_INET && at.ss_family != AF_INET6) ||
        getnameinfo((struct sockaddr *)&at, size, address, SV_ADDRESS_SIZE, number, sizeof number,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    *port = atoi(number);
    return true;
}

variant_status sv_take_socket(int *out, char address[SV_ADDRESS_SIZE], int *port,
                              variant_error *err) {
    const int count = count_sockets();
    *out = -1;
    unsetenv("LISTEN_PID"); /* not for children */
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (count == 0) return VARIANT_OK;
    if (count != 1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "LISTEN_FDS hands over %d sockets: expected one (a single ListenStream=)",
                       count < 0 ? 0 : count);
    if (!has_option(FIRST, SO_TYPE, SOCK_STREAM) || !has_option(FIRST, SO_ACCEPTCONN, 1) ||
        !find_address(FIRST, address, port))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "LISTEN_FDS hands over what is no listening TCP socket (ListenStream= with "
                       "an address and a port, Accept=no)");
    fcntl(FIRST, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST, F_SETFL, fcntl(FIRST, F_GETFL) | O_NONBLOCK);
    *out = FIRST;
    return VARIANT_OK;
}

/* ---- news ---- */

void sv_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const size_t length = path ? strlen(path) : 0;
    if (length < 2 || length >= sizeof to.sun_path || (*path != '/' && *path != '@')) return;
    memcpy(to.sun_path, path, length);
    if (*path == '@') to.sun_path[0] = '\0'; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    /* whoever does not listen is not told */
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    close(fd);
}

void sv_notify_reloading(void) {
    char text[80];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    sv_notify(text);
}
