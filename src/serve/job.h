/* job.h - one request on its way: waiting, at work, done; what of it can be seen; who holds it. All of a job is guarded by
 * its server's lock, but for what says otherwise. */
#ifndef VT_SERVE_JOB_H
#define VT_SERVE_JOB_H

#include <time.h>

#include "serve/model.h"

struct sv_server;

typedef enum sv_state { SV_QUEUED, SV_RUNNING, SV_COMPLETED, SV_FAILED, SV_CANCELLED } sv_state;
const char *sv_state_name(sv_state state);

/* A picture on the way. */
typedef struct sv_preview {
    int scale;       /* after so many; 0: none yet */
    uint8_t *pixels; /* as variant_preview has them */
} sv_preview;

typedef struct sv_job {
    struct sv_server *server;
    sv_model *model;     /* that makes it */
    bool uses;           /* the model's engine */
    struct sv_job *next; /* of the server's, the oldest first */
    int holders;         /* the server's list, and each call that waits for it */
    char id[33];
    uint64_t number; /* of arrival */
    uint64_t client; /* who asked for it */
    sv_wish wish;    /* not written to any more */
    bool kept;       /* after it is done, and whoever watches */
    bool
        every_scale; /* ... and with it the picture after each scale, which is decoded whether somebody looks or not */
    sv_state state;
    sv_fault fault; /* once it failed */
    time_t created_at;
    double due; /* by which it is ordered: its latency, else its deadline */
    double created, deadline, started, finished; /* on the monotonic clock; 0: not yet */
    double first_preview;
    size_t bytes;                    /* that it takes while it is at work ... */
    size_t kv;                       /* ... keys and values among them */
    double unit[VARIANT_MAX_SCALES]; /* seconds of a picture at each scale, alone; 0: not known */
    int passed;
    int cancel; /* set atomically, read by the library */
    variant_job *running;
    variant_picture *pictures; /* (wish.request.count), once completed: not written to any more */
    variant_report report;
    size_t held;  /* bytes of pictures and previews */
    size_t inbox; /* of the picture to edit, counted in server->inbox until it is at work */
    int scale, pictures_done;
    int watchers;         /* calls that want to see every preview */
    double watched_until; /* likewise whoever asks now and then */
    int slots; /* previews kept of a picture: one a partial picture, one a scale, or the latest alone */
    sv_preview *previews;  /* (wish.request.count, slots) */
    variant_picture shape; /* of previews: width, height, channels */
} sv_job;

/* Of a model that the caller uses; with one holder, not yet in the server's list; NULL: no memory. The wish is read into
 * job->wish. Takes the lock. */
sv_job *sv_job_new(sv_model *model);
void sv_job_hold(sv_job *job);
/* The last one frees it. The lock is held. */
void sv_job_release(sv_job *job);
bool sv_job_is_over(const sv_job *job);
/* Of all its pictures that can be seen, finished or on the way. The lock is held. */
size_t sv_job_pixels(const sv_job *job);
/* Puts callbacks, cancel flag and batch into the request and measures what it takes, once its wish is read. */
bool sv_job_measure(sv_job *job, sv_fault *fault);
/* Gives up the pixels of a picture to edit, which the library has read. The lock is held. */
void sv_job_drop_edit(sv_job *job);
/* Gives up the pictures of every scale, which somebody has seen. Takes the lock. */
void sv_job_forget_scales(sv_job *job);
/* It ends, with what it made or a fault. The lock is held. */
void sv_job_end(sv_job *job, sv_state state, const sv_fault *fault);
/* Asks a job to end; one that waits ends at once. The lock is held. */
void sv_job_cancel(sv_job *job);

#endif
