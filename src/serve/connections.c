/* connections.c - see connections.h. */
#include "serve/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"

#define SECONDS_TO_SEND 30.0  /* a request, from its first byte or the answer before */
#define SECONDS_TO_READ 120.0 /* an answer once all of it is there */
#define SECONDS_SILENT 30u    /* between two bytes, either way */
#define SECONDS_KEEPALIVE 15.0
#define TICKS_LEFT 5 /* seen as closed before it is ended: a whole request may be just read */
#define HEAD_BYTES (32u << 10)
#define HTTP_THREADS 4u

/* ---- a connection ---- */

static void set_state(sv_link *link, sv_link_state state) {
    if (!link) return;
    pthread_mutex_lock(&link->server->lock);
    link->state = state;
    link->since = vt_seconds();
    pthread_mutex_unlock(&link->server->lock);
}

void sv_link_works(sv_link *link) {
    set_state(link, SV_LINK_WORKS);
}

void sv_link_sends(sv_link *link, bool all) {
    if (all) set_state(link, SV_LINK_SENDS);
}

void sv_link_rests(sv_link *link) {
    set_state(link, SV_LINK_RECEIVES);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    sv_server *s = user;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        sv_link *link = calloc(1, sizeof *link);
        *context = link;
        if (!link) return; /* its requests are not watched for slowness */
        link->server = s;
        link->socket = info ? info->connect_fd : -1;
        link->since = vt_seconds();
        pthread_mutex_lock(&s->lock);
        link->next = s->links;
        s->links = link;
        pthread_mutex_unlock(&s->lock);
        return;
    }
    sv_link *link = *context, **at = &s->links;
    if (!link) return;
    pthread_mutex_lock(&s->lock);
    while (*at != link) at = &(*at)->next;
    *at = link->next;
    pthread_mutex_unlock(&s->lock);
    free(link);
    *context = NULL;
}

/* ---- who has gone, who is slow ---- */

/* The other side has closed, or half closed, which nobody does who waits for an answer. */
static bool has_left(int socket) {
    struct pollfd at = {.fd = socket, .events = POLLRDHUP};
    return poll(&at, 1, 0) == 1 && (at.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

void sv_watch_clients(sv_server *server) {
    pthread_mutex_lock(&server->lock);
    for (sv_call *call = server->calls; call; call = call->next) {
        if (!call->waiting || !call->link || !has_left(call->link->socket)) continue;
        call->gone = true;
        if (call->attached) sv_job_cancel(call->job);
        sv_wake_call(call);
    }
    pthread_mutex_unlock(&server->lock);
}

void sv_http_tick(sv_server *server) {
    sv_watch_clients(server);
    pthread_mutex_lock(&server->lock);
    const double now = vt_seconds();
    for (sv_call *call = server->calls; call; call = call->next) {
        if (call->waiting && now - call->sent_at >= SECONDS_KEEPALIVE) sv_wake_call(call);
        if (call->job && call->link && sv_job_is_over(call->job) &&
            now - call->job->finished > SECONDS_TO_READ)
            shutdown(call->link->socket, SHUT_RDWR);
    }
    for (sv_link *link = server->links; link; link = link->next) {
        const double took = now - link->since;
        const bool left = link->state == SV_LINK_RECEIVES && has_left(link->socket);
        link->left = left ? link->left + 1 : 0;
        if (link->left > TICKS_LEFT ||
            (link->state == SV_LINK_RECEIVES && took > SECONDS_TO_SEND) ||
            (link->state == SV_LINK_SENDS && took > SECONDS_TO_READ))
            shutdown(link->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
}

/* ---- the daemon ---- */

static variant_status find_address(const vt_serve_options *options, struct addrinfo **out,
                                   variant_error *err) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
    const bool local = strcmp(options->listen, "localhost") == 0;
    char port[16];
    snprintf(port, sizeof port, "%d", options->port);
    const int failure = getaddrinfo(local ? "127.0.0.1" : options->listen, port, &hints, out);
    if (failure == 0) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_ARGUMENT,
        "--listen %.80s: expected localhost or an address in numbers, such as 127.0.0.1, "
        "0.0.0.0 or ::1",
        options->listen);
}

variant_status sv_http_check(const vt_serve_options *options, variant_error *err) {
    struct addrinfo *address = NULL;
    VT_TRY(find_address(options, &address, err));
    freeaddrinfo(address);
    return VARIANT_OK;
}

variant_status sv_http_open(sv_http *out, sv_server *server, variant_error *err) {
    const vt_serve_options *o = server->options;
    struct addrinfo *address = NULL;
    *out = (sv_http){0};
    VT_TRY(find_address(o, &address, err)); /* as sv_http_check did */
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                           (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    errno = 0;
    out->daemon = MHD_start_daemon(
        flags, (uint16_t)o->port, NULL, NULL, sv_on_request, server, MHD_OPTION_SOCK_ADDR,
        address->ai_addr, MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)o->connections, MHD_OPTION_CONNECTION_TIMEOUT, SECONDS_SILENT,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        sv_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
    const int reason = errno;
    freeaddrinfo(address);
    if (!out->daemon)
        return vt_fail(err, VARIANT_E_IO, "%.80s port %d cannot be had: %s", o->listen, o->port,
                       reason ? strerror(reason) : "it may be in use");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(out->daemon, MHD_DAEMON_INFO_BIND_PORT);
    out->port = info ? info->port : o->port;
    return VARIANT_OK;
}

void sv_http_close(sv_http *http, sv_server *server) {
    if (!http->daemon) return;
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    for (sv_call *call = server->calls; call; call = call->next) sv_wake_call(call);
    pthread_mutex_unlock(&server->lock);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
}
