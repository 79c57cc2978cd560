/* connections.c - see connections.h. */
#include "serve/connections.h"

#include <arpa/inet.h>
#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/rng.h"
#include "serve/aside.h"

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
 * if that is this long; of those that send a body, that has waited this long for as much more of it. Whoever answers at once
 * needs less; a thousand places then take in some thousands of new connections a second, so that none waits long for one.
 * Addresses that hold few of the places have longer. */
#define SECONDS_TO_MAKE_WAY 0.2
#define SECONDS_OF_A_BODY 0.5
#define BYTES_OF_A_BODY (16u << 10)
#define SECONDS_OF_FEW 2.0
enum {
    FEW = 16,
    LOOKED_AT = 64
}; /* of the places; connections, before it is said that none may go */
/* once so many have been there, what they held is given back to the system when most of them are gone */
enum { MANY = 512 };
/* beyond --connections: while one makes way, and for those who ask how the server does */
#define SPARE 64
#define FILES 128 /* that the process has open besides */

/* ---- a connection ---- */

static void leave_line(sv_link *link) {
    sv_line *line = &link->server->links.lines[link->state];
    *(link->before ? &link->before->after : &line->first) = link->after;
    *(link->after ? &link->after->before : &line->last) = link->before;
    link->before = link->after = NULL;
}

/* To the end of those in a state. The lock is held. */
static void join_line(sv_link *link, sv_link_state state) {
    sv_line *line = &link->server->links.lines[state];
    link->state = state;
    link->moved = vt_seconds();
    link->before = line->last;
    *(line->last ? &line->last->after : &line->first) = link;
    line->last = link;
}

static void change_line(sv_link *link, sv_link_state state) {
    leave_line(link);
    join_line(link, state);
}

static void set_state(sv_link *link, sv_link_state state) {
    if (!link) return;
    pthread_mutex_lock(&link->server->lock);
    if (link->state != SV_LINK_ENDS) {
        change_line(link, state);
        link->since = link->moved;
        link->came = 0;
    }
    pthread_mutex_unlock(&link->server->lock);
}

void sv_link_reads(sv_link *link) {
    set_state(link, SV_LINK_BODY);
}

void sv_link_gets(sv_link *link, size_t bytes) {
    if (!link) return;
    pthread_mutex_lock(&link->server->lock);
    link->came += bytes;
    if (link->state == SV_LINK_BODY && link->came >= BYTES_OF_A_BODY) {
        change_line(link, SV_LINK_BODY);
        link->came = 0;
    }
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

/* ---- room for others ---- */

static int *neighbours(const sv_link *link) {
    return &link->server->links.by_address[link->address % SV_ADDRESSES];
}

/* It takes no place any more. */
static void give_place(sv_link *link) {
    --link->server->links.count;
    --*neighbours(link);
}

/* Its thread sees that, and closes. */
static void cut(sv_link *link) {
    if (link->state == SV_LINK_ENDS) return;
    give_place(link);
    change_line(link, SV_LINK_ENDS);
    shutdown(link->socket, SHUT_RDWR);
}

/* Is its address one with no more than its share of the places? */
static bool is_of_few(const sv_link *link) {
    return *neighbours(link) <= 1 + link->server->options->connections / FEW;
}

/* The one of a line that has waited the longest, and for as long as it may; NULL: none. */
static sv_link *find_idle(const sv_line *line, double now, double seconds) {
    int looked = 0;
    for (sv_link *link = line->first; link && looked < LOOKED_AT; link = link->after, ++looked) {
        const double waited = now - link->moved;
        if (waited < seconds) break;
        if (waited >= SECONDS_OF_FEW || !is_of_few(link)) return link;
    }
    return NULL;
}

/* Ends those that idle the longest while there are more than there may be. The lock is held. */
static void make_way(sv_server *server, double now) {
    sv_links *links = &server->links;
    while (links->count > server->options->connections) {
        sv_link *idle = find_idle(&links->lines[SV_LINK_RECEIVES], now, SECONDS_TO_MAKE_WAY);
        if (!idle) idle = find_idle(&links->lines[SV_LINK_BODY], now, SECONDS_OF_A_BODY);
        if (!idle) return;
        cut(idle);
        ++server->metrics.connections_cut;
    }
}

bool sv_link_is_spare(sv_link *link) {
    if (!link) return false;
    sv_server *s = link->server;
    pthread_mutex_lock(&s->lock);
    link->spare = link->spare && s->links.count > s->options->connections;
    const bool spare = link->spare;
    pthread_mutex_unlock(&s->lock);
    return spare;
}

/* ---- its beginning and its end ---- */

/* Of the address without its port; of IPv6 the network, which is what one client has. */
static uint64_t hash_address(const struct sockaddr *at) {
    const struct sockaddr_in *four = (const void *)at;
    const struct sockaddr_in6 *six = (const void *)at;
    const bool is_six = at->sa_family == AF_INET6;
    const uint8_t *bytes = is_six ? six->sin6_addr.s6_addr : (const uint8_t *)&four->sin_addr;
    return vt_fnv1a64(bytes, is_six ? 8 : 4);
}

static uint64_t find_address_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info && info->client_addr ? hash_address(info->client_addr) : UINT64_MAX;
}

static sv_link *open_link(sv_server *s, struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    sv_link *link = calloc(1, sizeof *link);
    if (!link) return NULL; /* its requests are not watched for slowness */
    *link = (sv_link){.server = s,
                      .socket = info ? info->connect_fd : -1,
                      .address = find_address_of(connection)};
    pthread_mutex_lock(&s->lock);
    join_line(link, SV_LINK_RECEIVES);
    link->since = link->moved;
    ++s->links.count;
    ++*neighbours(link);
    if (++s->links.held > s->links.most) s->links.most = s->links.held;
    make_way(s, link->since);
    link->spare = s->links.count > s->options->connections;
    pthread_mutex_unlock(&s->lock);
    return link;
}

static void close_link(sv_link *link) {
    sv_server *s = link->server;
    pthread_mutex_lock(&s->lock);
    leave_line(link);
    if (link->state != SV_LINK_ENDS) give_place(link);
    --s->links.held;
    pthread_mutex_unlock(&s->lock);
    free(link);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = open_link(user, connection);
        return;
    }
    if (*context) close_link(*context);
    *context = NULL;
}

/* ---- who has gone, who is slow ---- */

bool sv_link_has_left(const sv_link *link) {
    if (!link) return false;
    struct pollfd at = {.fd = link->socket, .events = POLLRDHUP};
    return poll(&at, 1, 0) == 1 && (at.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

void sv_watch_clients(sv_server *server) {
    pthread_mutex_lock(&server->lock);
    for (sv_call *call = server->calls; call; call = call->next) {
        if (!call->waiting || !sv_link_has_left(call->link)) continue;
        call->gone = true;
        if (call->attached) sv_job_cancel(call->job);
        sv_wake_call(call);
    }
    pthread_mutex_unlock(&server->lock);
}

static void check_link(sv_link *link, double now) {
    const double took = now - link->since;
    const bool receives = link->state == SV_LINK_RECEIVES || link->state == SV_LINK_BODY;
    const bool left = receives && sv_link_has_left(link);
    link->left = left ? link->left + 1 : 0;
    if (link->left > TICKS_LEFT || (receives && took > SECONDS_TO_SEND) ||
        (link->state == SV_LINK_SENDS && took > SECONDS_TO_READ))
        cut(link);
}

/* What malloc keeps of connections that are gone: it lies between what others hold. */
static void give_memory_back(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
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
    for (int state = 0; state < SV_LINK_ENDS; ++state)
        for (sv_link *link = server->links.lines[state].first, *after; link; link = after) {
            after = link->after;
            check_link(link, now);
        }
    make_way(server, now);
    const bool fewer = server->links.most >= MANY && server->links.held < server->links.most / 4;
    if (fewer) server->links.most = server->links.held;
    pthread_mutex_unlock(&server->lock);
    if (fewer) give_memory_back();
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
    if (http->daemon) sv_http_rest(http, server);
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    for (sv_call *call = server->calls; call; call = call->next) sv_wake_call(call);
    pthread_mutex_unlock(&server->lock);
    sv_aside_end(server);
    if (!http->daemon) return;
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
}
