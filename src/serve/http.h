/* http.h - requests of HTTP as handlers see them, and what carries them (libmicrohttpd): connections, bodies, answers now,
 * later or bit by bit.
 *
 * A handler (routes.h) runs once the whole body is there. It answers, or leaves a job to wait for: then the connection sleeps
 * until the job changes, and `finish` is asked again, until it answers. A stream is asked for its next piece likewise. */
#ifndef VT_SERVE_HTTP_H
#define VT_SERVE_HTTP_H

#include <microhttpd.h>

#include "serve/server.h"

enum { SV_ARGUMENTS = 2, SV_ARGUMENT_SIZE = 64 };

struct sv_route;
struct sv_page_file;

typedef struct sv_call {
    sv_server *server;
    sv_model *model;      /* while its handler runs: what new requests take */
    struct sv_call *next; /* of the server's */
    struct MHD_Connection *connection;
    struct sv_link *link;
    uint64_t client; /* whose key, or from which address */
    char id[72];     /* of this request: the client's, or drawn */
    char method[12], *path;
    const struct sv_route *route;
    char arguments[SV_ARGUMENTS][SV_ARGUMENT_SIZE]; /* parts of the path */
    char *body;
    size_t size, room; /* of the body; room is counted in server->inbox */
    bool handled;
    double began;
    const char *allow_origin;

    /* the answer; body NULL: there is none yet */
    int status;
    char *answer;
    size_t answer_size;
    const char *type;
    const struct sv_page_file *file; /* of the page, that is answered; else NULL */
    int retry_after;
    char allow[24];
    bool do_not_retry;
    bool close; /* the connection, after the answer */

    /* what is done of it on another thread (aside.h), while its own sleeps */
    void (*work)(struct sv_call *call);
    struct sv_call *after; /* of those that wait for that thread */
    bool skipped;          /* it was not done */

    /* a job that it waits for, guarded by the lock where others look: job, waiting, gone, stirred */
    sv_job *job;
    void (*finish)(struct sv_call *call); /* answers, or does not yet; the lock is not held */
    bool later; /* its handler is asked again once times are measured, guarded by the lock ... */
    unsigned times_seen; /* ... after so many */
    bool attached;       /* the job ends with this call */
    bool waiting, gone;
    bool stirred; /* the job has changed since it was looked at */

    /* a stream: `next` gives its next piece (free()), NULL with *end: it is over, without: not yet. The lock is not held */
    char *(*next_piece)(struct sv_call *call, bool *end);
    char *piece;
    size_t piece_size, piece_at;
    double sent_at; /* last piece; for keepalives */
    int seen_scale, seen_done, seen_place, seen_state;
    int *
        seen; /* (count): of each picture the last preview that was sent: its scale; of partial pictures 1 + its slot */
    bool fetched; /* the piece is there, if there is one */
    bool ended;
} sv_call;

/* ---- for handlers ---- */

/* Each takes what it is given. */
void sv_answer_json(sv_call *call, int status, cJSON *json);
void sv_answer_text(sv_call *call, int status, const char *type, char *text);
void sv_answer_bytes(sv_call *call, const char *type, uint8_t *bytes, size_t size);
void sv_answer_fault(sv_call *call, const sv_fault *fault);
/* The call waits for a job, which is held for it; attached: which ends when the client leaves. */
void sv_wait_for(sv_call *call, sv_job *job, bool attached, void (*finish)(sv_call *call));
/* Answers with a stream of server-sent events about a job, which is held for it. next_piece: the next event, or NULL while there is none;
 * *end: it is the last. An end without an event, for want of memory, breaks the connection, so that it is not taken for a whole stream. */
void sv_stream(sv_call *call, sv_job *job, bool attached,
               char *(*next_piece)(sv_call *call, bool *end));
/* Neither, where the job did not come into the queue. */
void sv_stop_waiting(sv_call *call);
/* Counts bytes that are held beside the body; false with a fault: too much is held by all. */
bool sv_take_room(sv_server *server, size_t bytes, sv_fault *fault);
void sv_give_room(sv_server *server, size_t bytes);
const char *sv_query(const sv_call *call, const char *name);
/* true or false of the query, unless given false; false with a fault: another word. */
bool sv_query_flag(const sv_call *call, const char *name, bool *out, sv_fault *fault);
const char *sv_header(const sv_call *call, const char *name);

/* ---- for the server ---- */

typedef struct sv_http {
    struct MHD_Daemon *daemon;
    int port;
    bool rests;
} sv_http;

/* Raises the limit of open files to --connections. E_ARGUMENT: what is to be listened at is no address, or that limit is too
 * low. */
variant_status sv_http_check(const vt_serve_options *options, variant_error *err);
/* E_IO: the address cannot be had. */
variant_status sv_http_open(sv_http *out, sv_server *server, variant_error *err);
/* A socket that was handed over is listened to no more, and left as it is for whoever holds it too: who connects from now on
 * waits for the next server. */
void sv_http_rest(sv_http *http, sv_server *server);
/* Wakes all that wait and ends. */
void sv_http_close(sv_http *http, sv_server *server);
/* Cancels jobs whose client has gone. Takes the lock. */
void sv_watch_clients(sv_server *server);
/* Cuts off who sends or reads too slowly; sends keepalives. Takes the lock. */
void sv_http_tick(sv_server *server);

#endif
