/* ranks_mpi.c - ranks by MPI: the thread that makes all its calls, and who hands it work. See ranks.h. */
#ifdef VARIANT_MPI
#include <mpi.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/sized.h"
#include "dist/ranks_parts.h"
#include "io/tensors.h"

#ifdef VARIANT_MPI

#define QUEUE 64       /* things handed over and not done */
#define BEAT_EVERY 1.0 /* seconds */
#define GRACE 5.0 /* seconds that one waits for what a rank that has left may still have sent */
#define LEAVING 1 /* a sign; others say 0 */
#define IDLE_NANOSECONDS 20000000
#define TAG_SUMS 1
#define TAG_EXACT 2
#define TAG_SPREAD 3
#define TAG_PART 4

typedef enum work_kind { GATHER, BROADCAST, COLLECT, SUMS, SPREAD } work_kind;

typedef struct work {
    work_kind kind;
    const void *mine; /* GATHER, COLLECT */
    void *data;       /* likewise: of all */
    size_t bytes;     /* GATHER, BROADCAST; SPREAD: numbers */
    int root;
    const vt_share *parts;
    vt_ranks_sums *sums;
} work;

/* Signs of life: every rank to the first, and that one to all. */
typedef struct beats {
    MPI_Comm comm;
    MPI_Request in, *out; /* out (count) */
    double *heard;        /* (count): when last */
    bool *left;           /* (count): as that said */
    int *sent, *received; /* (count) */
    double last;          /* when ours were sent */
    char byte, sign;
} beats;

struct variant_ranks {
    variant_ranks_options options;
    int rank, count;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t handed, done;
    work queue[QUEUE];
    int64_t last_handed, last_done; /* tickets */
    bool ready, closing;            /* ready: MPI has been asked to begin */
    variant_status status;          /* of that */
    variant_error error;
    void *room;
    char *hosts; /* (count, MPI_MAX_PROCESSOR_NAME) */
    uint64_t sent;
    /* the thread's own */
    MPI_Comm comm;
    MPI_Request *requests; /* (4 count) */
    int request_count;
    double waits_since; /* for work; 0: it does not */
    beats beats;
};

/* ---- signs of life ---- */

static bool hears(const variant_ranks *r, int other) {
    return other != r->rank && (r->rank == 0 || other == 0);
}

static void listen(variant_ranks *r) {
    beats *b = &r->beats;
    MPI_Irecv(&b->byte, 1, MPI_BYTE, MPI_ANY_SOURCE, 0, b->comm, &b->in);
}

static void hear(variant_ranks *r) {
    beats *b = &r->beats;
    MPI_Status from;
    int there = 1;
    while (MPI_Test(&b->in, &there, &from), there) {
        b->heard[from.MPI_SOURCE] = vt_seconds();
        b->left[from.MPI_SOURCE] = b->byte == LEAVING;
        ++b->received[from.MPI_SOURCE];
        listen(r);
    }
}

static void beat(variant_ranks *r, double now) {
    beats *b = &r->beats;
    b->last = now;
    for (int i = 0; i < r->count; ++i) {
        int free_again = 0;
        if (!hears(r, i)) continue;
        MPI_Test(&b->out[i], &free_again, MPI_STATUS_IGNORE);
        if (!free_again) continue; /* a later one says the same */
        MPI_Isend(&b->sign, 1, MPI_BYTE, i, 0, b->comm, &b->out[i]);
        ++b->sent[i];
    }
}

static const char *host_of(const variant_ranks *r, int rank) {
    return r->hosts + (size_t)rank * MPI_MAX_PROCESSOR_NAME;
}

static void lose(variant_ranks *r, int lost, const char *how) {
    char line[400];
    snprintf(line, sizeof line,
             "rank %d of %d, on %.200s, has %s: all ranks end; files that were saved are whole",
             lost, r->count, host_of(r, lost), how);
    if (r->options.lost) r->options.lost(r->options.user, line);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The first rank watches all others and the second that one; the rest are patient with it, lest all tell the same. */
static void watch(variant_ranks *r, double now) {
    const double more = r->rank > 1 ? 1.5 : 1.0;
    char how[64];
    for (int i = 0; i < r->count; ++i) {
        if (!hears(r, i)) continue;
        const double silent = now - r->beats.heard[i];
        snprintf(how, sizeof how, "said nothing for %.0f seconds", silent);
        if (silent > r->options.silence * more) lose(r, i, how);
        if (r->beats.left[i] && r->waits_since > 0.0 && now - r->waits_since > GRACE * more)
            lose(r, i, "ended before the others");
    }
}

static void live(variant_ranks *r) {
    const double now = vt_seconds();
    if (now - r->beats.last < BEAT_EVERY) return;
    hear(r); /* a process that was stopped finds what came meanwhile */
    /* and one that slept itself, with its machine, has nobody to blame */
    if (now - r->beats.last > r->options.silence / 2)
        for (int i = 0; i < r->count; ++i) r->beats.heard[i] = now;
    beat(r, now);
    watch(r, now);
}

static variant_status open_beats(variant_ranks *r, variant_error *err) {
    beats *b = &r->beats;
    const size_t count = (size_t)r->count;
    b->out = malloc(count * sizeof *b->out);
    b->heard = malloc(count * sizeof *b->heard);
    b->left = calloc(count, sizeof *b->left);
    b->sent = calloc(count, sizeof *b->sent);
    b->received = calloc(count, sizeof *b->received);
    if (!b->out || !b->heard || !b->left || !b->sent || !b->received)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d ranks", r->count);
    for (int i = 0; i < r->count; ++i) {
        b->out[i] = MPI_REQUEST_NULL;
        b->heard[i] = vt_seconds();
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &b->comm);
    listen(r);
    return VARIANT_OK;
}

/* ---- messages under way ---- */

static MPI_Request *next_request(variant_ranks *r) {
    return &r->requests[r->request_count++];
}

/* Until all have arrived and gone. */
static void finish_requests(variant_ranks *r) {
    long pause = 1000;
    for (int all = 0;;) {
        MPI_Testall(r->request_count, r->requests, &all, MPI_STATUSES_IGNORE);
        if (all) break;
        live(r);
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        if (pause < 100000) pause += pause / 4;
    }
    r->request_count = 0;
}

/* ---- small things ---- */

static void run_gather(variant_ranks *r, const work *w) {
    MPI_Iallgather(w->mine, (int)w->bytes, MPI_BYTE, w->data, (int)w->bytes, MPI_BYTE, r->comm,
                   next_request(r));
    finish_requests(r);
}

static void run_broadcast(variant_ranks *r, const work *w) {
    MPI_Ibcast(w->data, (int)w->bytes, MPI_BYTE, w->root, r->comm, next_request(r));
    finish_requests(r);
}

static void run_collect(variant_ranks *r, const work *w) {
    float *whole = w->data;
    for (int i = 0; i < r->count; ++i) {
        const int n = (int)(w->parts[i].end - w->parts[i].begin);
        if (n == 0 || (r->rank > 0 && i != r->rank)) continue;
        if (r->rank > 0)
            MPI_Isend(w->mine, n, MPI_FLOAT, 0, TAG_PART, r->comm, next_request(r));
        else if (i > 0)
            MPI_Irecv(whole + w->parts[i].begin, n, MPI_FLOAT, i, TAG_PART, r->comm,
                      next_request(r));
        else
            memcpy(whole + w->parts[i].begin, w->mine, (size_t)n * sizeof *whole);
    }
    finish_requests(r);
}

/* ---- sums ---- */

/* Numbers of the largest share. */
static size_t most_of_share(size_t n, int count) {
    size_t most = 0;
    for (int i = 0; i < count; ++i) {
        const vt_share share = vt_ranks_share(n, i, count);
        if (share.end - share.begin > most) most = share.end - share.begin;
    }
    return most;
}

/* scratch: what comes in as float32 (count, most), for bf16 behind it what goes out (n) and what comes in (count, most). */
typedef struct sums_room {
    float *exact;
    uint16_t *out, *in;
    size_t most;
} sums_room;

static sums_room room_of(const variant_ranks *r, const vt_ranks_sums *s) {
    sums_room room = {.exact = s->scratch, .most = most_of_share(s->n, r->count)};
    room.out = (uint16_t *)(room.exact + (size_t)r->count * room.most);
    room.in = room.out + s->n;
    return room;
}

size_t vt_ranks_scratch(const variant_ranks *ranks, size_t n, vt_wire wire) {
    const size_t in = (size_t)ranks->count * most_of_share(n, ranks->count);
    return in * sizeof(float) + (wire == VT_WIRE_BF16 ? (n + in) * sizeof(uint16_t) : 0);
}

static bool sends_exactly(const vt_ranks_sums *s) {
    return s->wire == VT_WIRE_F32 || s->measure;
}

static void trade(variant_ranks *r, const vt_ranks_sums *s, const sums_room *room, int other) {
    const vt_share own = vt_ranks_share(s->n, r->rank, r->count),
                   theirs = vt_ranks_share(s->n, other, r->count);
    const int in = (int)(own.end - own.begin), out = (int)(theirs.end - theirs.begin);
    const size_t at = (size_t)other * room->most;
    if (sends_exactly(s)) {
        MPI_Irecv(room->exact + at, in, MPI_FLOAT, other, TAG_EXACT, r->comm, next_request(r));
        MPI_Isend(s->x + theirs.begin, out, MPI_FLOAT, other, TAG_EXACT, r->comm, next_request(r));
        r->sent += (uint64_t)out * sizeof(float);
    }
    if (s->wire == VT_WIRE_BF16) {
        for (size_t i = theirs.begin; i < theirs.end; ++i) room->out[i] = vt_bf16_from_f32(s->x[i]);
        MPI_Irecv(room->in + at, in, MPI_UINT16_T, other, TAG_SUMS, r->comm, next_request(r));
        MPI_Isend(room->out + theirs.begin, out, MPI_UINT16_T, other, TAG_SUMS, r->comm,
                  next_request(r));
        r->sent += (uint64_t)out * sizeof(uint16_t);
    }
}

#define PIECE 1024 /* numbers that are added at a time */

static void add_floats(float *sum, const float *x, size_t n) {
    for (size_t i = 0; i < n; ++i) sum[i] += x[i];
}

static void add_halves(float *sum, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; ++i) sum[i] += vt_f32_from_bf16(x[i]);
}

/* Of numbers [at, at + n) of our share, in the order of ranks; rounded: as they travelled. */
static void add_piece(const variant_ranks *r, const vt_ranks_sums *s, const sums_room *room,
                      size_t at, size_t n, bool rounded, float *sum) {
    const vt_share own = vt_ranks_share(s->n, r->rank, r->count);
    memset(sum, 0, n * sizeof *sum);
    for (int i = 0; i < r->count; ++i) {
        const size_t from = (size_t)i * room->most + at;
        if (i == r->rank)
            add_floats(sum, s->x + own.begin + at, n);
        else if (rounded)
            add_halves(sum, room->in + from, n);
        else
            add_floats(sum, room->exact + from, n);
    }
}

static void measure_piece(vt_ranks_sums *s, const float *sum, const float *exact, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const double error = (double)sum[i] - (double)exact[i];
        s->error += error * error;
        s->length += (double)exact[i] * (double)exact[i];
    }
}

static void add_share(const variant_ranks *r, vt_ranks_sums *s, const sums_room *room) {
    const vt_share own = vt_ranks_share(s->n, r->rank, r->count);
    const size_t all = own.end - own.begin;
    float sum[PIECE], exact[PIECE];
    s->error = s->length = 0.0;
    for (size_t at = 0, n; at < all; at += n) {
        n = all - at < PIECE ? all - at : PIECE;
        add_piece(r, s, room, at, n, s->wire == VT_WIRE_BF16, sum);
        if (s->measure) {
            add_piece(r, s, room, at, n, false, exact);
            measure_piece(s, sum, exact, n);
        }
        memcpy(s->x + own.begin + at, sum, n * sizeof *sum);
    }
}

static void run_sums(variant_ranks *r, const work *w) {
    const double started = vt_seconds();
    const sums_room room = room_of(r, w->sums);
    for (int i = 1; i < r->count; ++i) /* not all to the same one first */
        trade(r, w->sums, &room, (r->rank + i) % r->count);
    finish_requests(r);
    add_share(r, w->sums, &room);
    w->sums->seconds = vt_seconds() - started;
}

static void run_spread(variant_ranks *r, const work *w) {
    float *x = w->data;
    const vt_share own = vt_ranks_share(w->bytes, r->rank, r->count);
    for (int i = 1; i < r->count; ++i) {
        const int to = (r->rank + i) % r->count, from = (r->rank + r->count - i) % r->count;
        const vt_share theirs = vt_ranks_share(w->bytes, from, r->count);
        MPI_Irecv(x + theirs.begin, (int)(theirs.end - theirs.begin), MPI_FLOAT, from, TAG_SPREAD,
                  r->comm, next_request(r));
        MPI_Isend(x + own.begin, (int)(own.end - own.begin), MPI_FLOAT, to, TAG_SPREAD, r->comm,
                  next_request(r));
        r->sent += (uint64_t)(own.end - own.begin) * sizeof(float);
    }
    finish_requests(r);
}

/* ---- the thread ---- */

static void run_work(variant_ranks *r, const work *w) {
    r->waits_since = vt_seconds();
    switch (w->kind) {
    case GATHER:
        run_gather(r, w);
        break;
    case BROADCAST:
        run_broadcast(r, w);
        break;
    case COLLECT:
        run_collect(r, w);
        break;
    case SUMS:
        run_sums(r, w);
        break;
    case SPREAD:
        run_spread(r, w);
        break;
    }
    r->waits_since = 0.0;
}

/* What is next; false: nothing will be. */
static bool take_work(variant_ranks *r, work *out) {
    struct timespec until;
    pthread_mutex_lock(&r->lock);
    while (r->last_done == r->last_handed && !r->closing) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += IDLE_NANOSECONDS;
        if (until.tv_nsec >= 1000000000) {
            ++until.tv_sec;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&r->handed, &r->lock, &until);
        pthread_mutex_unlock(&r->lock);
        live(r);
        pthread_mutex_lock(&r->lock);
    }
    const bool any = r->last_done < r->last_handed;
    if (any) *out = r->queue[r->last_done % QUEUE];
    pthread_mutex_unlock(&r->lock);
    return any;
}

static void tell_done(variant_ranks *r) {
    pthread_mutex_lock(&r->lock);
    ++r->last_done;
    pthread_cond_broadcast(&r->done);
    pthread_mutex_unlock(&r->lock);
}

static variant_status join(variant_ranks *r, variant_error *err) {
    int begun = 0, offered = 0, length = 0;
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    MPI_Initialized(&begun);
    if (begun)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "MPI has been used in this process already: expected ranks once, first");
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &offered);
    MPI_Comm_rank(MPI_COMM_WORLD, &r->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &r->count);
    MPI_Comm_dup(MPI_COMM_WORLD, &r->comm);
    const size_t count = (size_t)r->count;
    r->requests = malloc(4 * count * sizeof(MPI_Request));
    r->room = malloc(count * VT_RANKS_ROOM);
    r->hosts = malloc(count * sizeof host);
    if (!r->requests || !r->room || !r->hosts)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d ranks", r->count);
    MPI_Get_processor_name(host, &length);
    MPI_Allgather(host, sizeof host, MPI_BYTE, r->hosts, sizeof host, MPI_BYTE, r->comm);
    return open_beats(r, err);
}

/* Whoever still waits for work of this rank hears of it. No message is left behind: all are told how many signs of life they have to take still. */
static void leave(variant_ranks *r) {
    beats *b = &r->beats;
    int *told = r->room;
    b->sign = LEAVING;
    beat(r, vt_seconds());
    MPI_Ibarrier(b->comm, next_request(r));
    finish_requests(r);
    MPI_Alltoall(b->sent, 1, MPI_INT, told, 1, MPI_INT, b->comm);
    for (int i = 0; i < r->count; ++i)
        while (b->received[i] < told[i]) hear(r);
    MPI_Waitall(r->count, b->out, MPI_STATUSES_IGNORE);
    MPI_Cancel(&b->in);
    MPI_Wait(&b->in, MPI_STATUS_IGNORE);
    MPI_Comm_free(&b->comm);
    MPI_Comm_free(&r->comm);
    MPI_Finalize();
}

static void *run_thread(void *argument) {
    variant_ranks *r = argument;
    work w;
    const variant_status status = join(r, &r->error);
    pthread_mutex_lock(&r->lock);
    r->status = status;
    r->ready = true;
    pthread_cond_broadcast(&r->done);
    pthread_mutex_unlock(&r->lock);
    if (status != VARIANT_OK) return NULL;
    while (take_work(r, &w)) {
        run_work(r, &w);
        tell_done(r);
    }
    leave(r);
    return NULL;
}

/* ---- who hands it work ---- */

static int64_t hand(variant_ranks *r, const work *w) {
    pthread_mutex_lock(&r->lock);
    while (r->last_handed - r->last_done == QUEUE) pthread_cond_wait(&r->done, &r->lock);
    r->queue[r->last_handed % QUEUE] = *w;
    const int64_t ticket = ++r->last_handed;
    pthread_cond_signal(&r->handed);
    pthread_mutex_unlock(&r->lock);
    return ticket;
}

void vt_ranks_wait(variant_ranks *ranks, int64_t ticket) {
    pthread_mutex_lock(&ranks->lock);
    while (ranks->last_done < ticket) pthread_cond_wait(&ranks->done, &ranks->lock);
    pthread_mutex_unlock(&ranks->lock);
}

void vt_ranks_gather(variant_ranks *ranks, const void *mine, size_t bytes, void *all) {
    const work w = {.kind = GATHER, .mine = mine, .data = all, .bytes = bytes};
    vt_ranks_wait(ranks, hand(ranks, &w));
}

void vt_ranks_broadcast(variant_ranks *ranks, int root, void *data, size_t bytes) {
    const work w = {.kind = BROADCAST, .root = root, .data = data, .bytes = bytes};
    vt_ranks_wait(ranks, hand(ranks, &w));
}

void vt_ranks_collect(variant_ranks *ranks, const float *mine, const vt_share *parts,
                      float *whole) {
    const work w = {.kind = COLLECT, .mine = mine, .data = whole, .parts = parts};
    vt_ranks_wait(ranks, hand(ranks, &w));
}

int64_t vt_ranks_start_sums(variant_ranks *ranks, vt_ranks_sums *sums) {
    return hand(ranks, &(work){.kind = SUMS, .sums = sums});
}

int64_t vt_ranks_start_spread(variant_ranks *ranks, float *x, size_t n) {
    return hand(ranks, &(work){.kind = SPREAD, .data = x, .bytes = n});
}

uint64_t vt_ranks_sent(const variant_ranks *ranks) {
    return ranks->sent;
}

void *vt_ranks_room(const variant_ranks *ranks) {
    return ranks->room;
}

/* ---- opened and closed ---- */

static char library[MPI_MAX_LIBRARY_VERSION_STRING];

/* "Open MPI v4.1.4, package: ..." and "MPICH Version:      4.0.2\nMPICH Release date: ..." up to there. */
static void name_library(void) {
    int length = 0;
    MPI_Get_library_version(library, &length);
    library[strcspn(library, ",\n")] = '\0';
    char *to = library;
    for (const char *at = library; *at; ++at) {
        const char c = *at == '\t' ? ' ' : *at;
        if (c != ':' && (c != ' ' || (to > library && to[-1] != ' '))) *to++ = c;
    }
    *to = '\0';
}

const char *variant_ranks_library(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, name_library);
    return library;
}

int variant_ranks_rank(const variant_ranks *ranks) {
    return ranks ? ranks->rank : 0;
}

int variant_ranks_count(const variant_ranks *ranks) {
    return ranks ? ranks->count : 1;
}

static void release(variant_ranks *r) {
    pthread_cond_destroy(&r->handed);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->lock);
    free(r->room);
    free(r->hosts);
    free(r->requests);
    free(r->beats.out);
    free(r->beats.heard);
    free(r->beats.left);
    free(r->beats.sent);
    free(r->beats.received);
    free(r);
}

/* Signals are for the threads of the program. */
static int start_thread(variant_ranks *r) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failure = pthread_create(&r->thread, NULL, run_thread, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

static variant_status start(variant_ranks *r, variant_error *error) {
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->handed, &clock);
    pthread_cond_init(&r->done, &clock);
    pthread_condattr_destroy(&clock);
    if (!variant_ranks_started()) return VARIANT_OK;
    const int failure = start_thread(r);
    if (failure != 0)
        return vt_fail(error, VARIANT_E_MEMORY, "no thread for MPI: %s", strerror(failure));
    pthread_mutex_lock(&r->lock);
    while (!r->ready) pthread_cond_wait(&r->done, &r->lock);
    pthread_mutex_unlock(&r->lock);
    if (r->status == VARIANT_OK) return VARIANT_OK;
    pthread_join(r->thread, NULL);
    if (error) *error = r->error;
    return r->status;
}

variant_status variant_ranks_open(variant_ranks **ranks, const variant_ranks_options *options,
                                  variant_error *error) {
    variant_ranks_options asked;
    VT_TRY(vt_ranks_asked(&asked, ranks, options, error));
    variant_ranks *made = calloc(1, sizeof *made);
    if (!made) return vt_fail(error, VARIANT_E_MEMORY, "no memory for ranks");
    made->options = asked;
    made->count = 1;
    const variant_status status = start(made, error);
    if (status == VARIANT_OK)
        *ranks = made;
    else
        release(made);
    return status;
}

void variant_ranks_close(variant_ranks **ranks) {
    if (!ranks || !*ranks) return;
    variant_ranks *r = *ranks;
    *ranks = NULL;
    if (r->ready) {
        pthread_mutex_lock(&r->lock);
        r->closing = true;
        pthread_cond_signal(&r->handed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    release(r);
}

#endif
