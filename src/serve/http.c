/* http.c - see http.h: from libmicrohttpd's callbacks to handlers and back. Who may connect and how long is connections.c's. */
#include "serve/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "io/json.h"
#include "serve/aside.h"
#include "serve/connections.h"
#include "serve/log.h"
#include "serve/page.h"
#include "serve/routes.h"
#include "serve/scheduler.h"
#include "serve/text.h"

enum { SMALL_BODY = 64 << 10, BODIES = 4, PIECE = 16 << 10 };
enum { MANY_PIXELS = 1 << 18 }; /* whose files take longer to make than a thread takes to change */

/* ---- for handlers ---- */

void sv_answer_bytes(sv_call *call, const char *type, uint8_t *bytes, size_t size) {
    call->status = 200;
    call->type = type;
    call->answer = (char *)bytes;
    call->answer_size = size;
}

void sv_answer_text(sv_call *call, int status, const char *type, char *text) {
    static const char none[] = "out of memory\n";
    if (!text) text = strdup(none);
    sv_answer_bytes(call, type, (uint8_t *)text, text ? strlen(text) : 0);
    call->status = status;
}

void sv_answer_json(sv_call *call, int status, cJSON *json) {
    char *text = vt_json_text(json);
    sv_answer_text(call, text ? status : 503, "application/json", text);
    cJSON_Delete(json);
}

void sv_answer_fault(sv_call *call, const sv_fault *fault) {
    call->retry_after = fault->retry_after;
    call->do_not_retry = fault->status >= 500 && !fault->retry_after;
    if (fault->status == 409) call->do_not_retry = true;
    snprintf(call->allow, sizeof call->allow, "%s", fault->allow);
    sv_answer_json(call, fault->status, sv_fault_json(fault));
}

static void take_job(sv_call *call, sv_job *job, bool attached) {
    pthread_mutex_lock(&call->server->lock);
    sv_job_hold(job);
    call->job = job;
    call->attached = attached;
    pthread_mutex_unlock(&call->server->lock);
}

void sv_wait_for(sv_call *call, sv_job *job, bool attached, void (*finish)(sv_call *call)) {
    call->finish = finish;
    take_job(call, job, attached);
}

void sv_stream(sv_call *call, sv_job *job, bool attached,
               char *(*next_piece)(sv_call *call, bool *end)) {
    call->next_piece = next_piece;
    call->seen_scale = call->seen_done = call->seen_place = call->seen_state = -1;
    call->sent_at = vt_seconds();
    call->seen = calloc((size_t)job->wish.request.count, sizeof *call->seen);
    take_job(call, job, attached);
    pthread_mutex_lock(&call->server->lock);
    ++job->watchers;
    pthread_mutex_unlock(&call->server->lock);
}

void sv_stop_waiting(sv_call *call) {
    if (!call->job) return;
    pthread_mutex_lock(&call->server->lock);
    if (call->next_piece) --call->job->watchers;
    sv_job_release(call->job);
    call->job = NULL;
    call->attached = false;
    pthread_mutex_unlock(&call->server->lock);
    call->next_piece = NULL;
    call->finish = NULL;
}

const char *sv_query(const sv_call *call, const char *name) {
    return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool sv_query_flag(const sv_call *call, const char *name, bool *out, sv_fault *fault) {
    const char *text = sv_query(call, name);
    *out = text && strcmp(text, "true") == 0;
    if (!text || *out || strcmp(text, "false") == 0) return true;
    return sv_refuse(fault, 400, "invalid_value", name, "%s: expected true or false", name);
}

const char *sv_header(const sv_call *call, const char *name) {
    return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

/* ---- waiting ---- */

/* The connection sleeps. The lock is held. False: the server ends, or the job has changed since it was asked last. */
static bool sleep_on(sv_call *call) {
    if (call->server->closing || call->gone || call->stirred) return false;
    call->waiting = true;
    MHD_suspend_connection(call->connection);
    return true;
}

void sv_wake_call(sv_call *call) {
    call->stirred = true;
    if (!call->waiting) return;
    call->waiting = false;
    MHD_resume_connection(call->connection);
}

void sv_wake(sv_job *job) {
    for (sv_call *call = job->server->calls; call; call = call->next)
        if (call->job == job) sv_wake_call(call);
}

/* What happens to the job from now on is not to be slept over: a handler is about to look at it. */
static void look(sv_call *call) {
    pthread_mutex_lock(&call->server->lock);
    call->stirred = false;
    pthread_mutex_unlock(&call->server->lock);
}

/* Is it about pictures that take long to read, or to write? */
static bool is_heavy(const sv_call *call) {
    sv_server *s = call->server;
    const int flags = call->route->flags;
    if (!call->job && flags & SV_LARGE) return true;
    pthread_mutex_lock(&s->lock);
    const sv_job *job = call->job          ? call->job
                        : flags & SV_SHOWS ? sv_job_find(s, call->arguments[0])
                                           : NULL;
    const bool shown = job && (job != call->job || call->next_piece || sv_job_is_over(job)),
               heavy = shown && sv_job_pixels(job) > MANY_PIXELS;
    pthread_mutex_unlock(&s->lock);
    return heavy;
}

/* True: the connection sleeps until it is done. */
static bool does_aside(sv_call *call, void (*work)(sv_call *call)) {
    if (is_heavy(call) && sv_aside(call, work)) return true;
    work(call);
    return false;
}

/* ---- answers ---- */

/* A file of the page may be kept, but is asked for again: by its tag, which costs no bytes. */
static void add_page_headers(const sv_page_file *file, struct MHD_Response *response) {
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "ETag", file->tag);
    MHD_add_response_header(response, "Content-Security-Policy", sv_page_policy);
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
}

static void add_headers(const sv_call *call, struct MHD_Response *response) {
    char number[16];
    MHD_add_response_header(response, "X-Request-Id", call->id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (call->file)
        add_page_headers(call->file, response);
    else
        MHD_add_response_header(response, "Cache-Control", "no-store");
    if (call->type) MHD_add_response_header(response, "Content-Type", call->type);
    if (call->allow[0]) MHD_add_response_header(response, "Allow", call->allow);
    if (call->do_not_retry) MHD_add_response_header(response, "X-Should-Retry", "false");
    if (call->status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (call->close || __atomic_load_n(&call->server->draining, __ATOMIC_RELAXED))
        MHD_add_response_header(response, "Connection", "close");
    if (call->retry_after) {
        snprintf(number, sizeof number, "%d", call->retry_after);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (!call->allow_origin) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", call->allow_origin);
    MHD_add_response_header(response, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    MHD_add_response_header(response, "Vary", "Origin");
}

static enum MHD_Result queue_answer(sv_call *call) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(call->answer_size, call->answer, MHD_RESPMEM_MUST_FREE);
    if (!response) return MHD_NO; /* and the answer is freed with the call */
    call->answer = NULL;
    add_headers(call, response);
    const enum MHD_Result result =
        MHD_queue_response(call->connection, (unsigned)call->status, response);
    MHD_destroy_response(response);
    sv_link_sends(call->link, true);
    return result;
}

static void fetch(sv_call *call) {
    look(call);
    call->piece = call->next_piece(call, &call->ended);
    call->fetched = true;
    if (call->ended) sv_link_sends(call->link, true);
    if (!call->piece) return;
    call->piece_size = strlen(call->piece);
    call->sent_at = vt_seconds();
}

/* libmicrohttpd asks for more of a stream. */
static ssize_t read_stream(void *user, uint64_t position, char *to, size_t most) {
    (void)position;
    sv_call *call = user;
    while (call->piece_at == call->piece_size) {
        if (call->skipped) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!call->fetched) {
            free(call->piece);
            call->piece = NULL;
            call->piece_at = call->piece_size = 0;
            if (call->ended) return MHD_CONTENT_READER_END_OF_STREAM;
            if (does_aside(call, fetch)) return 0;
        }
        call->fetched = false;
        if (!call->piece && call->ended) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (call->piece) continue;
        pthread_mutex_lock(&call->server->lock);
        const bool asleep = sleep_on(call), over = call->server->closing || call->gone;
        pthread_mutex_unlock(&call->server->lock);
        if (asleep) return 0;
        if (over) return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    const size_t left = call->piece_size - call->piece_at, size = left < most ? left : most;
    memcpy(to, call->piece + call->piece_at, size);
    call->piece_at += size;
    return (ssize_t)size;
}

static enum MHD_Result queue_stream(sv_call *call) {
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, read_stream, call, NULL);
    if (!response) return MHD_NO;
    call->status = 200;
    call->type = "text/event-stream";
    add_headers(call, response);
    MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* proxies pass it on at once */
    const enum MHD_Result result = MHD_queue_response(call->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- a request ---- */

static void free_call(sv_call *call) {
    free(call->path);
    free(call->body);
    free(call->answer);
    free(call->piece);
    free(call->seen);
    free(call);
}

/* The client's own id where it is one, else a drawn one. */
static void name_call(sv_call *call) {
    const char *own = sv_header(call, "X-Request-Id");
    const size_t length = own ? strlen(own) : 0;
    if (length >= 1 && length < sizeof call->id &&
        strspn(own, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length)
        snprintf(call->id, sizeof call->id, "%s", own);
    else
        sv_random_id(call->id);
}

static sv_call *new_call(sv_server *server, struct MHD_Connection *connection, const char *method,
                         const char *path) {
    sv_call *call = calloc(1, sizeof *call);
    if (!call) return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    call->server = server;
    call->connection = connection;
    call->link = info ? info->socket_context : NULL;
    call->began = vt_seconds();
    call->path = strdup(path);
    snprintf(call->method, sizeof call->method, "%.11s", method);
    name_call(call);
    pthread_mutex_lock(&server->lock);
    call->next = server->calls;
    server->calls = call;
    pthread_mutex_unlock(&server->lock);
    return call;
}

/* What a browser asks before it lets a page of another origin ask. */
static bool is_preflight(const sv_call *call, const char *method) {
    return strcmp(method, "OPTIONS") == 0 && call->allow_origin;
}

static enum MHD_Result queue_preflight(sv_call *call) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    call->status = 204;
    add_headers(call, response);
    MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, DELETE");
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type");
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
    const enum MHD_Result result = MHD_queue_response(call->connection, 204, response);
    MHD_destroy_response(response);
    sv_link_sends(call->link, true);
    return result;
}

static uint64_t find_client(const sv_call *call, const sv_caller *caller) {
    const int key = sv_guard_key(&call->server->guard, caller);
    if (key >= 0) return (uint64_t)key;
    return call->link ? call->link->address : UINT64_MAX;
}

static size_t body_limit(const sv_call *call) {
    return call->route->flags & SV_LARGE ? call->server->options->max_body : SMALL_BODY;
}

static bool refuse_body(const sv_call *call, sv_fault *fault) {
    return sv_refuse(fault, 413, "body_too_large", "", "the body is larger than %zu bytes",
                     body_limit(call));
}

/* Headers that say where a request ends and whom it is for, which a proxy in front may read in another way than we. */
typedef struct framing {
    int hosts, lengths, encodings;
    bool chunked;
} framing;

static enum MHD_Result count_header(void *user, enum MHD_ValueKind kind, const char *name,
                                    const char *value) {
    (void)kind;
    framing *f = user;
    f->hosts += strcasecmp(name, "Host") == 0;
    f->lengths += strcasecmp(name, "Content-Length") == 0;
    if (strcasecmp(name, "Transfer-Encoding") != 0) return MHD_YES;
    ++f->encodings;
    f->chunked = value && strcasecmp(value, "chunked") == 0;
    return MHD_YES;
}

static bool check_framing(const sv_call *call, sv_fault *fault) {
    framing f = {0};
    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, count_header, &f);
    const char *wrong = f.hosts > 1     ? "more than one Host"
                        : f.lengths > 1 ? "more than one Content-Length"
                        : f.encodings > 1 || (f.encodings && !f.chunked)
                            ? "a Transfer-Encoding other than chunked"
                        : f.encodings && f.lengths ? "both a Content-Length and a Transfer-Encoding"
                                                   : NULL;
    return !wrong || sv_refuse(fault, 400, "invalid_request", "", "the request has %s", wrong);
}

/* Is there a place for this connection? */
static bool check_place(sv_call *call, sv_fault *fault) {
    sv_server *s = call->server;
    if (!sv_link_is_spare(call->link)) return true;
    call->close = true;
    if (call->route && (call->route->flags & SV_VITAL)) return true;
    pthread_mutex_lock(&s->lock);
    ++s->metrics.rejected_connections;
    pthread_mutex_unlock(&s->lock);
    sv_refuse(fault, 503, "too_many_connections", "", "%d connections are busy, which is the limit",
              s->options->connections);
    fault->retry_after = 1;
    return false;
}

/* What can be said of a request by its head. */
static bool check_head(sv_call *call, const char *method, sv_fault *fault) {
    sv_server *s = call->server;
    const sv_caller caller = {.host = sv_header(call, "Host"),
                              .origin = sv_header(call, "Origin"),
                              .authorization = sv_header(call, "Authorization")};
    const char *length = sv_header(call, "Content-Length");
    if (!check_framing(call, fault)) {
        call->close = true; /* where the next request begins is not known */
        return false;
    }
    call->allow_origin = sv_guard_origin(&s->guard, &caller);
    if (is_preflight(call, method)) return sv_guard_admits(&s->guard, &caller, true, fault);
    sv_fault unknown = {0};
    call->route = sv_route_find(call, method, call->path, &unknown);
    if (!sv_guard_admits(&s->guard, &caller, call->route && (call->route->flags & SV_OPEN),
                         fault)) {
        pthread_mutex_lock(&s->lock);
        ++s->metrics.rejected_key;
        pthread_mutex_unlock(&s->lock);
        return false;
    }
    call->client = find_client(call, &caller);
    if (!check_place(call, fault)) return false;
    if (!call->route) {
        *fault = unknown;
        return false;
    }
    return !length || strtoull(length, NULL, 10) <= body_limit(call) || refuse_body(call, fault);
}

bool sv_take_room(sv_server *s, size_t bytes, sv_fault *fault) {
    const size_t most = s->options->max_body,
                 all = BODIES * (most > SMALL_BODY ? most : SMALL_BODY);
    if (bytes > all) /* later there is no more of it */
        return sv_refuse(fault, 413, "image_too_large", "image",
                         "image: takes %.1f MB once it is decoded, this server has %.1f MB for all",
                         (double)bytes * 1e-6, (double)all * 1e-6);
    pthread_mutex_lock(&s->lock);
    const bool full = s->inbox + bytes > all;
    if (!full) s->inbox += bytes;
    pthread_mutex_unlock(&s->lock);
    if (!full) return true;
    sv_refuse(fault, 503, "busy", "", "too many large requests come in at one time");
    fault->retry_after = 2;
    return false;
}

void sv_give_room(sv_server *s, size_t bytes) {
    pthread_mutex_lock(&s->lock);
    s->inbox -= bytes;
    pthread_mutex_unlock(&s->lock);
}

/* More of the body. All bodies together are bounded as well. */
static bool add_body(sv_call *call, const char *data, size_t size, sv_fault *fault) {
    sv_server *s = call->server;
    if (size > body_limit(call) - call->size) return refuse_body(call, fault);
    if (call->size + size > call->room) {
        size_t room = call->room ? 2 * call->room : 4096;
        if (room < call->size + size) room = call->size + size;
        if (!sv_take_room(s, room - call->room, fault)) return false;
        call->room = room;
        char *larger = realloc(call->body, room);
        if (!larger) return sv_refuse(fault, 503, "out_of_memory", "", "no memory for a body");
        call->body = larger;
    }
    memcpy(call->body + call->size, data, size);
    call->size += size;
    sv_link_gets(call->link, size);
    return true;
}

/* The model is there as long as the handler runs. */
static void handle(sv_call *call) {
    call->model = sv_model_use(call->server);
    call->route->handle(call);
    pthread_mutex_lock(&call->server->lock);
    sv_model_leave(call->model);
    pthread_mutex_unlock(&call->server->lock);
    call->model = NULL;
}

static bool is_over(const sv_call *call) {
    return call->job && sv_job_is_over(call->job);
}

/* Answers, or sleeps until there is more to say. */
static enum MHD_Result go_on(sv_call *call) {
    if (!call->handled) {
        call->handled = true;
        sv_link_works(call->link);
        if (!call->answer && does_aside(call, handle)) return MHD_YES;
    }
    while (!call->answer) {
        if (call->skipped) return MHD_NO;
        if (call->next_piece) return queue_stream(call);
        if (!call->later && does_aside(call, call->finish)) return MHD_YES;
        if (call->answer) break;
        pthread_mutex_lock(&call->server->lock);
        call->stirred = false; /* as what it waits for is looked at under the lock */
        const bool over = call->later ? sv_times_ended(call) : is_over(call);
        const bool asleep = !over && sleep_on(call), gone = call->gone || call->server->closing;
        const bool again = over && call->later;
        if (again) call->later = false;
        pthread_mutex_unlock(&call->server->lock);
        if (asleep) return MHD_YES;
        if (!over && gone) return MHD_NO;
        if (again && does_aside(call, handle)) return MHD_YES;
    }
    return queue_answer(call);
}

static enum MHD_Result begin_call(sv_call *call, const char *method) {
    sv_fault fault = {0};
    sv_link_reads(call->link);
    if (!check_head(call, method, &fault)) {
        sv_answer_fault(call, &fault);
        call->handled = true;
        return queue_answer(call); /* before the body, which is not read */
    }
    if (is_preflight(call, method)) return queue_preflight(call);
    return MHD_YES;
}

enum MHD_Result sv_on_request(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
    (void)version;
    sv_call *call = *state;
    sv_fault fault = {0};
    if (!call) {
        call = new_call(user, connection, method, url);
        *state = call;
        return call && call->path ? begin_call(call, method) : MHD_NO;
    }
    if (*size > 0) {
        if (!call->answer && !add_body(call, data, *size, &fault)) sv_answer_fault(call, &fault);
        *size = 0;
        return MHD_YES;
    }
    return go_on(call);
}

/* ---- its end ---- */

static void log_call(const sv_call *call) {
    if (call->server->options->quiet) return;
    cJSON *fields = cJSON_CreateObject();
    vt_json_string(fields, "id", call->id);
    vt_json_string(fields, "method", call->method);
    vt_json_string(fields, "path", call->path ? call->path : "");
    vt_json_number(fields, "status", call->status);
    if (call->job) vt_json_string(fields, "job", call->job->id);
    sv_log_seconds(fields, "seconds", vt_seconds() - call->began);
    sv_log("answer", fields);
}

void sv_on_completed(void *user, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode why) {
    (void)user;
    (void)connection;
    (void)why;
    sv_call *call = *state;
    if (!call) return;
    sv_server *s = call->server;
    log_call(call);
    pthread_mutex_lock(&s->lock);
    sv_call **at = &s->calls;
    while (*at != call) at = &(*at)->next;
    *at = call->next;
    s->inbox -= call->room;
    if (call->status >= 100 && call->status < 100 * SV_STATUSES)
        ++s->metrics.answers[call->status / 100];
    if (call->job) {
        if (call->next_piece) --call->job->watchers;
        if (call->attached) sv_job_cancel(call->job); /* but for those that are over */
        sv_job_release(call->job);
    }
    pthread_mutex_unlock(&s->lock);
    sv_link_rests(call->link);
    free_call(call);
    *state = NULL;
}
