/* ahead.c - see ahead.h. */
#include "train/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct vt_ahead {
    vt_pictures pictures; /* the caller's, but with a team and ears of our own */
    vt_team *team;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t turned; /* one of the two below */
    bool asked, ending;    /* a batch is to be read, or being read; no more will be */
    /* What was read last, or is being read. */
    vt_ahead_place at;
    int batch, most;
    vt_pick *picks; /* (batch) */
    float *out;     /* (most) pictures */
    variant_status status;
    variant_error err;
    char **notes; /* (note_count), owned */
    int note_count;
};

static size_t picture_numbers(const vt_pictures *pictures) {
    return (size_t)pictures->side * (size_t)pictures->side * (size_t)pictures->channels;
}

size_t vt_ahead_bytes(const vt_pictures *pictures, int batch, int most) {
    return (size_t)batch * sizeof(vt_pick) +
           (size_t)most * picture_numbers(pictures) * sizeof(float);
}

/* ---- the reading thread ---- */

/* One at a time: batches.c sees to it. What there is no memory for is not told. */
static void keep_note(void *user, const char *line) {
    vt_ahead *ahead = user;
    char *copy = strdup(line);
    char **larger =
        copy ? realloc(ahead->notes, ((size_t)ahead->note_count + 1) * sizeof *larger) : NULL;
    if (!larger) {
        free(copy);
        return;
    }
    ahead->notes = larger;
    larger[ahead->note_count++] = copy;
}

static void *read_batches(void *user) {
    vt_ahead *ahead = user;
    pthread_mutex_lock(&ahead->lock);
    for (;;) {
        while (!ahead->asked && !ahead->ending) pthread_cond_wait(&ahead->turned, &ahead->lock);
        if (!ahead->asked) break;
        pthread_mutex_unlock(&ahead->lock);
        const vt_slice *slice = &ahead->at.slice;
        ahead->status = vt_pictures_read(&ahead->pictures, ahead->picks + slice->first,
                                         slice->count, ahead->out, &ahead->err);
        pthread_mutex_lock(&ahead->lock);
        ahead->asked = false;
        pthread_cond_broadcast(&ahead->turned);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* Signals are for the caller's threads, but for SIGBUS, which is of the thread that reads a file. */
static bool start(vt_ahead *ahead) {
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ahead->running = pthread_create(&ahead->thread, NULL, read_batches, ahead) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ahead->running;
}

variant_status vt_ahead_open(vt_ahead **out, const vt_pictures *pictures, int batch, int most,
                             int threads, variant_error *err) {
    vt_ahead *ahead = *out = calloc(1, sizeof *ahead);
    if (!ahead) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read pictures ahead");
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->turned, NULL);
    ahead->pictures = *pictures;
    ahead->pictures.note = keep_note;
    ahead->pictures.user = ahead;
    ahead->batch = batch;
    ahead->most = most;
    ahead->at.step = -1;
    VT_TRY(vt_team_open(&ahead->team, threads, err));
    ahead->pictures.team = ahead->team;
    return VARIANT_OK;
}

static void wait_read(vt_ahead *ahead) {
    pthread_mutex_lock(&ahead->lock);
    while (ahead->asked) pthread_cond_wait(&ahead->turned, &ahead->lock);
    pthread_mutex_unlock(&ahead->lock);
}

static void forget_notes(vt_ahead *ahead) {
    for (int i = 0; i < ahead->note_count; ++i) free(ahead->notes[i]);
    ahead->note_count = 0;
}

void vt_ahead_close(vt_ahead **out) {
    vt_ahead *ahead = *out;
    if (!ahead) return;
    if (ahead->running) {
        pthread_mutex_lock(&ahead->lock);
        ahead->ending = true;
        pthread_cond_broadcast(&ahead->turned);
        pthread_mutex_unlock(&ahead->lock);
        pthread_join(ahead->thread, NULL);
    }
    forget_notes(ahead);
    vt_team_close(&ahead->team);
    pthread_cond_destroy(&ahead->turned);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead->notes);
    free(ahead->picks);
    free(ahead->out);
    free(ahead);
    *out = NULL;
}

/* ---- the caller ---- */

static void tell_notes(vt_ahead *ahead, const vt_pictures *pictures) {
    for (int i = 0; pictures->note && i < ahead->note_count; ++i)
        pictures->note(pictures->user, ahead->notes[i]);
    forget_notes(ahead);
}

/* Where there is neither memory nor a thread for it, nothing is read ahead. */
static void begin(vt_ahead *ahead, const vt_batches *batches, const vt_ahead_place *next) {
    if (!ahead->picks) ahead->picks = calloc((size_t)ahead->batch, sizeof *ahead->picks);
    if (!ahead->out)
        ahead->out =
            malloc((size_t)ahead->most * picture_numbers(&ahead->pictures) * sizeof *ahead->out);
    ahead->at.step = -1;
    if (!ahead->out || !ahead->picks || (!ahead->running && !start(ahead))) return;
    if (!vt_batches_pick(batches, next->step, ahead->picks)) return;
    ahead->at = *next;
    pthread_mutex_lock(&ahead->lock);
    ahead->asked = true;
    pthread_cond_broadcast(&ahead->turned);
    pthread_mutex_unlock(&ahead->lock);
}

static bool is_there(const vt_ahead *ahead, const vt_ahead_place *at) {
    return ahead->at.step == at->step && ahead->at.slice.first == at->slice.first &&
           ahead->at.slice.count == at->slice.count;
}

variant_status vt_ahead_read(vt_ahead *ahead, const vt_pictures *pictures,
                             const vt_batches *batches, const vt_ahead_place *at,
                             const vt_ahead_place *next, float *out, variant_error *err) {
    const vt_pick *picks = batches->picks + at->slice.first;
    const int count = at->slice.count;
    variant_status status = VARIANT_OK;
    if (!ahead) return vt_pictures_read(pictures, picks, count, out, err);
    wait_read(ahead);
    tell_notes(ahead, pictures); /* be they of another slice: they are told once */
    if (is_there(ahead, at)) {
        status = ahead->status;
        if (status == VARIANT_OK)
            memcpy(out, ahead->out, (size_t)count * picture_numbers(pictures) * sizeof *out);
        else if (err)
            *err = ahead->err;
    } else {
        status = vt_pictures_read(pictures, picks, count, out, err);
    }
    if (status == VARIANT_OK && next->step >= 0) begin(ahead, batches, next);
    return status;
}
