/* aside.c - see aside.h. */
#include "serve/aside.h"

#include "serve/connections.h"

/* The oldest that waits; NULL: the server ends, and there is none. The lock is held. */
static sv_call *take(sv_asides *a, pthread_mutex_t *lock) {
    while (!a->first && !a->ends) pthread_cond_wait(&a->more, lock);
    sv_call *call = a->first;
    if (call) a->first = call->after;
    return call;
}

static void *run(void *user) {
    sv_server *s = user;
    pthread_mutex_lock(&s->lock);
    for (sv_call *call = take(&s->asides, &s->lock); call; call = take(&s->asides, &s->lock)) {
        const bool ends = s->asides.ends;
        pthread_mutex_unlock(&s->lock);
        call->skipped = ends || sv_link_has_left(call->link);
        if (!call->skipped) call->work(call);
        pthread_mutex_lock(&s->lock);
        MHD_resume_connection(call->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

variant_status sv_aside_start(sv_server *server, variant_error *err) {
    sv_asides *a = &server->asides;
    pthread_cond_init(&a->more, NULL);
    a->started = pthread_create(&a->thread, NULL, run, server) == 0;
    if (a->started) return VARIANT_OK;
    pthread_cond_destroy(&a->more);
    return vt_fail(err, VARIANT_E_MEMORY, "no thread for pictures could be had");
}

void sv_aside_end(sv_server *server) {
    sv_asides *a = &server->asides;
    if (!a->started) return;
    pthread_mutex_lock(&server->lock);
    a->ends = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&server->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->more);
    a->started = false;
}

bool sv_aside(sv_call *call, void (*work)(sv_call *call)) {
    sv_server *s = call->server;
    pthread_mutex_lock(&s->lock);
    const bool goes = !s->closing;
    if (goes) {
        sv_call **last = &s->asides.first;
        while (*last) last = &(*last)->after;
        *last = call;
        call->after = NULL;
        call->work = work;
        MHD_suspend_connection(call->connection);
        pthread_cond_signal(&s->asides.more);
    }
    pthread_mutex_unlock(&s->lock);
    return goes;
}
