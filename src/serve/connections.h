/* connections.h - connections and how long they may take. libmicrohttpd ends those that are silent; who sends a byte now and
 * then, or reads so, is ended here. */
#ifndef VT_SERVE_CONNECTIONS_H
#define VT_SERVE_CONNECTIONS_H

#include "serve/http.h"

/* What a connection is about: it rests or its next request's head comes; that request's body comes; it waits for the engine;
 * the answer goes out; it was ended here, which its thread has not seen yet. */
typedef enum sv_link_state {
    SV_LINK_RECEIVES,
    SV_LINK_BODY,
    SV_LINK_WORKS,
    SV_LINK_SENDS,
    SV_LINK_ENDS
} sv_link_state;

typedef struct sv_link {
    sv_server *server;
    struct sv_link *before, *after; /* of those in its state */
    int socket;
    uint64_t address; /* a hash of the client's */
    sv_link_state state;
    double since; /* it is in its state */
    double moved; /* when it came there, or much more of its body did */
    size_t came;  /* bytes of the body since then */
    int left; /* times in a row that the client was found to have closed its side, with no request whole */
    bool spare; /* beyond --connections: there was nobody to make way for it */
} sv_link;

/* Has it one of the few places beyond --connections, where nothing but the server's health is told? */
bool sv_link_is_spare(sv_link *link);
/* A head is there; so much more of the body; a request is whole; its answer goes out (whole, or the rest of a stream); it is
 * over and the next may come. */
void sv_link_reads(sv_link *link);
void sv_link_gets(sv_link *link, size_t bytes);
void sv_link_works(sv_link *link);
void sv_link_sends(sv_link *link, bool all);
void sv_link_rests(sv_link *link);

/* Has the client closed its side, or half of it? Nobody does who waits for an answer. */
bool sv_link_has_left(const sv_link *link);
/* Resumes it if it sleeps. The lock is held. */
void sv_wake_call(sv_call *call);

/* libmicrohttpd's callbacks. */
enum MHD_Result sv_on_request(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state);
void sv_on_completed(void *user, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode why);

#endif
