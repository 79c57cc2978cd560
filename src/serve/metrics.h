/* metrics.h - what is counted, as Prometheus reads it. */
#ifndef VT_SERVE_METRICS_H
#define VT_SERVE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "variant.h"

struct sv_server;

enum { SV_STATUSES = 6 };

/* All under the server's lock. */
typedef struct sv_metrics {
    uint64_t answers[SV_STATUSES]; /* by hundreds of the status */
    uint64_t jobs_completed, jobs_failed, jobs_cancelled, jobs_expired;
    uint64_t rejected_full, rejected_draining, rejected_key, rejected_latency, rejected_connections,
        rejected_client;
    uint64_t measurements, latency_plans, reloads, reloads_failed, adapted;
    uint64_t connections_cut; /* idle ones, for others to come in */
    uint64_t pictures, steps, previews, previews_left_out;
    double step_seconds; /* of all steps, decoding of pictures included */
    /* of jobs: whatever shared their steps included */
    double transformer_seconds, sampling_seconds, quantizer_seconds, decoder_seconds;
    double waited_seconds, finished_seconds, first_preview_seconds; /* sums over jobs */
    uint64_t waited, finished, first_previews;
} sv_metrics;

/* free(); NULL: no memory. Takes the lock. */
char *sv_metrics_text(struct sv_server *server);

#endif
