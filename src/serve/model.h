/* model.h - an open model and what the server knows of it: its engine, its loop, plans of the qualities.
 *
 * A server has one, and for a while another: after SIGHUP (reload.h) new requests take the new one, while those that were taken
 * before finish on the old. So a model has users, who need its engine (handlers at work, jobs that wait or are at work), and
 * holders, who look at what is known of it (jobs that are kept). The engine's thread closes the engine after the last user. */
#ifndef VT_SERVE_MODEL_H
#define VT_SERVE_MODEL_H

#include "serve/adapt.h"
#include "serve/latency.h"
#include "serve/serve.h"
#include "serve/wish.h"

struct sv_server;

typedef struct sv_model {
    struct sv_server *server;
    variant_engine *engine;  /* NULL: closed */
    variant_loop *loop;      /* the engine's thread uses it */
    sv_wish_context context; /* info's strings live as long as the engine */
    sv_times times;
    sv_level levels[SV_MOST_LEVELS];
    int level_count;
    char hash[24];
    size_t bytes;                /* weights, held or mapped */
    size_t least;                /* of a request of one picture */
    int holders, users, running; /* under the server's lock */
} sv_model;

/* With one holder and one user. Its warnings go to the log. */
variant_status sv_model_open(sv_model **out, struct sv_server *server, variant_error *err);
/* One user and holder more of the model that new requests take. Takes the lock. */
sv_model *sv_model_use(struct sv_server *server);
/* The lock is held. */
void sv_model_add_user(sv_model *model);
/* New requests take it no more; it has a holder less to come. The lock is held. */
void sv_model_retire(sv_model *model);
/* A user goes, and a holder. The lock is held. */
void sv_model_leave(sv_model *model);
/* Of a model without users, by the engine's thread; the lock is not held. */
void sv_model_close_engine(sv_model *model);
/* A holder goes; the last one frees it. The lock is held. */
void sv_model_hold(sv_model *model);
void sv_model_release(sv_model *model);

#endif
