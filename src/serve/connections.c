/* connections.c - see connections.h. */
#include "serve/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

/* a head, from the connection's beginning or the answer before; a body */
#define SECONDS_TO_SEND 30.0
#define SECONDS_TO_READ 120.0 /* an answer once all of it is there */
#define SECONDS_SILENT 30u    /* between two bytes, either way */
#define SECONDS_KEEPALIVE 15.0
#define TICKS_LEFT 5 /* seen as closed before it is ended: a whole request may be just read */
/* above 32 KiB libmicrohttpd maps them, so that they go back when a connection ends */
#define HEAD_BYTES (36u << 10)
#define HTTP_THREADS 4u
/* Where all of --connections are taken, a new one takes the place of the one that has rested, or sent a head, the longest,
 * if that is this long; of those that send a body, that much longer. */
#define SECONDS_TO_MAKE_WAY 1.0
#define SECONDS_MORE_OF_A_BODY 5.0
/* beyond --connections: while one makes way, and for those who ask how the server does */
#define SPARE 64
#define FILES 128 /* that the process has open besides */

/* ---- a connection ---- */

static void set_state(sv_link *link, sv_link_state state) {
    if (!link) return;
    pthread_mutex_lock(&link->server->lock);
    link->state = state;
    link->since = vt_seconds();
    pthread_mutex_unlock(&link->server->lock);
}

void sv_link_reads(sv_link *link) {
    set_state(link, SV_LINK_BODY);
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

/* Its thread sees that, and closes. */
static void cut(sv_link *link) {
    if (!link->cut) --link->server->link_count;
    link->cut = true;
    shutdown(link->socket, SHUT_RDWR);
}

/* How long it has been waited for without a whole request, beyond what everybody is granted; at most 0: it may stay. */
static double idles(const sv_link *link, double now) {
    if (link->cut || (link->state != SV_LINK_RECEIVES && link->state != SV_LINK_BODY)) return 0.0;
    return now - link->since - SECONDS_TO_MAKE_WAY -
           (link->state == SV_LINK_BODY ? SECONDS_MORE_OF_A_BODY : 0.0);
}

/* Ends those that idle the longest while there are more than there may be. The lock is held. */
static void make_way(sv_server *server, double now) {
    while (server->link_count > server->options->connections) {
        sv_link *longest = NULL;
        for (sv_link *link = server->links; link; link = link->next)
            if (idles(link, now) > (longest ? idles(longest, now) : 0.0)) longest = link;
        if (!longest) return;
        cut(longest);
        ++server->metrics.connections_cut;
    }
}

bool sv_link_is_spare(sv_link *link) {
    if (!link) return false;
    sv_server *s = link->server;
    pthread_mutex_lock(&s->lock);
    link->spare = link->spare && s->link_count > s->options->connections;
    const bool spare = link->spare;
    pthread_mutex_unlock(&s->lock);
    return spare;
}

static sv_link *open_link(sv_server *s, int socket) {
    sv_link *link = calloc(1, sizeof *link);
    if (!link) return NULL; /* its requests are not watched for slowness */
    *link = (sv_link){.server = s, .socket = socket, .since = vt_seconds()};
    pthread_mutex_lock(&s->lock);
    link->next = s->links;
    s->links = link;
    ++s->link_count;
    make_way(s, link->since);
    link->spare = s->link_count > s->options->connections;
    pthread_mutex_unlock(&s->lock);
    return link;
}

static void close_link(sv_link *link) {
    sv_server *s = link->server;
    sv_link **at = &s->links;
    pthread_mutex_lock(&s->lock);
    while (*at != link) at = &(*at)->next;
    *at = link->next;
    if (!link->cut) --s->link_count;
    pthread_mutex_unlock(&s->lock);
    free(link);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = open_link(user, info ? info->connect_fd : -1);
        return;
    }
    if (*context) close_link(*context);
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
        if (call->waiting && call->next_piece && now - call->sent_at >= SECONDS_KEEPALIVE)
            sv_wake_call(call);
        if (call->job && call->link && sv_job_is_over(call->job) &&
            now - call->job->finished > SECONDS_TO_READ)
            cut(call->link);
    }
    for (sv_link *link = server->links; link; link = link->next) {
        const double took = now - link->since;
        const bool receives = link->state == SV_LINK_RECEIVES || link->state == SV_LINK_BODY;
        const bool left = receives && has_left(link->socket);
        link->left = left ? link->left + 1 : 0;
        if (link->left > TICKS_LEFT || (receives && took > SECONDS_TO_SEND) ||
            (link->state == SV_LINK_SENDS && took > SECONDS_TO_READ))
            cut(link);
    }
    make_way(server, now);
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

/* As many files open as there may be connections, where the system's limit is one that may be raised. */
static variant_status raise_files(const vt_serve_options *options, variant_error *err) {
    const rlim_t wanted = (rlim_t)options->connections + SPARE + FILES;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return VARIANT_OK;
    limit.rlim_cur = wanted;
    if (limit.rlim_max >= wanted && setrlimit(RLIMIT_NOFILE, &limit) == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "--connections %d: with these %llu files may be open, the system's limit is "
                   "%llu (ulimit -Hn)",
                   options->connections, (unsigned long long)wanted,
                   (unsigned long long)limit.rlim_max);
}

variant_status sv_http_check(const vt_serve_options *options, variant_error *err) {
    struct addrinfo *address = NULL;
    VT_TRY(find_address(options, &address, err));
    freeaddrinfo(address);
    return raise_files(options, err);
}

variant_status sv_http_open(sv_http *out, sv_server *server, variant_error *err) {
    const vt_serve_options *o = server->options;
    struct addrinfo *address = NULL;
    *out = (sv_http){0};
    VT_TRY(find_address(o, &address, err)); /* as sv_http_check did */
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                           (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0u);
    const struct MHD_OptionItem at = {MHD_OPTION_SOCK_ADDR, 0, address->ai_addr},
                                given = {MHD_OPTION_LISTEN_SOCKET, server->socket, NULL},
                                where[] = {server->socket >= 0 ? given : at,
                                           {MHD_OPTION_END, 0, NULL}};
    errno = 0;
    out->daemon = MHD_start_daemon(
        flags, (uint16_t)o->port, NULL, NULL, sv_on_request, server, MHD_OPTION_ARRAY, where,
        MHD_OPTION_THREAD_POOL_SIZE, HTTP_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)o->connections + SPARE, MHD_OPTION_CONNECTION_TIMEOUT, SECONDS_SILENT,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
        sv_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
    const int reason = errno;
    freeaddrinfo(address);
    if (!out->daemon)
        return vt_fail(err, VARIANT_E_IO, "%.80s port %d cannot be had: %s", o->listen, o->port,
                       reason ? strerror(reason) : "it may be in use");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(out->daemon, MHD_DAEMON_INFO_BIND_PORT);
    out->port = info && server->socket < 0 ? info->port : o->port;
    return VARIANT_OK;
}

/* libmicrohttpd would shut the socket down at its end, for its other holders as well. */
void sv_http_rest(sv_http *http, sv_server *server) {
    if (server->socket < 0 || http->rests) return;
    const MHD_socket given = MHD_quiesce_daemon(http->daemon);
    http->rests = true;
    if (given != MHD_INVALID_SOCKET) close(given);
}

void sv_http_close(sv_http *http, sv_server *server) {
    if (!http->daemon) return;
    sv_http_rest(http, server);
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    for (sv_call *call = server->calls; call; call = call->next) sv_wake_call(call);
    pthread_mutex_unlock(&server->lock);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
}
