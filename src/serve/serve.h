/* serve.h - pictures over HTTP: an engine whose loop over streams takes every request one scale on at a time, behind the
 * images API that clients of OpenAI's speak and jobs that can be watched.
 *
 *     HTTP threads (http.c)   read, check, answer; nothing is computed there but files of finished pictures
 *     engine thread           one step of the loop after another; requests join and leave between them (scheduler.c)
 *     the caller's thread     signals and what is due by the clock (serve.c)
 *
 * What computes is variant.h alone. Called by `variant serve`. */
#ifndef VT_SERVE_SERVE_H
#define VT_SERVE_SERVE_H

#include "core/status.h"
#include "variant.h"

typedef struct vt_serve_options {
    variant_engine_options engine; /* the model, and what computes; `warn` is not called */
    const char *listen;            /* "localhost", or an address of this machine in numbers */
    int port;                      /* 0: one that is free, told in the first line of the log */
    const char *name;              /* of the model, as clients see it */
    size_t max_memory; /* weights, requests at work, pictures kept: together never more; 0: three
                         * quarters of what the process's limits leave */
    int queue;         /* requests that may wait */
    int per_client;    /* of one key, or address, that wait or are at work; 0: no limit */
    int batch;         /* pictures of one request at a time, at most */
    int connections;   /* open at one time */
    double deadline;   /* seconds after which a request is given up; a request may name fewer */
    double adapt;      /* seconds of work that may wait before requests that name no depth get fewer
                         * layers; 0: they never do */
    double drain;      /* seconds that requests have to finish in after SIGTERM */
    double keep;       /* seconds that finished pictures of jobs are kept ... */
    size_t keep_bytes; /* ... and how much of them */
    size_t max_body;   /* of a request that brings pictures */
    const char *sweep; /* what `variant sweep` measured, for quality and plans; NULL */
    const char *api_key_file; /* a key a line; NULL: none is asked for ... */
    const char *api_key;      /* ... but for this one, which is taken as well; NULL */
    bool insecure;            /* listen beyond loopback without keys */
    const char *origin;       /* of a web page elsewhere that may ask (CORS); "*": any; NULL */
    bool quiet;               /* log no answers */
    bool no_sandbox;          /* decode pictures that come with requests in this process */
} vt_serve_options;

#define VT_SERVE_LEAST_DEADLINE 0.001 /* seconds */

void vt_serve_options_init(vt_serve_options *options);

/* Opens the model and serves until SIGTERM or SIGINT, then lets requests finish; the second signal ends it at once. Log lines,
 * JSON, go to stderr. E_IO: the address cannot be had, or the model. */
variant_status vt_serve(const vt_serve_options *options, variant_error *err);

#endif
