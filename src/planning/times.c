/* times.c - see times.h. */
#include "planning/times.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct table {
    struct table *next;
    vt_costs_key key;
    vt_costs costs;
} table;

struct variant_times {
    pthread_mutex_t lock;
    table *tables;
};

variant_status variant_times_open(variant_times **out, variant_error *error) {
    VT_TRY(vt_need(out, "nowhere to put times", error));
    variant_times *times = calloc(1, sizeof *times);
    *out = times;
    if (!times) return vt_fail(error, VARIANT_E_MEMORY, "no memory for times");
    pthread_mutex_init(&times->lock, NULL);
    return VARIANT_OK;
}

void variant_times_close(variant_times **times) {
    variant_times *t = times ? *times : NULL;
    if (!t) return;
    while (t->tables) {
        table *first = t->tables;
        t->tables = first->next;
        free(first);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
    *times = NULL;
}

/* The lock is held. */
static table *find(const variant_times *times, const vt_costs_key *key) {
    table *at = times->tables;
    while (at &&
           (strcmp(at->key.name, key->name) != 0 || strcmp(at->key.machine, key->machine) != 0))
        at = at->next;
    return at;
}

bool vt_times_find(variant_times *times, const vt_costs_key *key, vt_costs *out) {
    if (!times || !key->name[0])
        return false; /* of weights without a hash nobody knows whose they are */
    pthread_mutex_lock(&times->lock);
    const table *at = find(times, key);
    if (at) *out = at->costs;
    pthread_mutex_unlock(&times->lock);
    return at != NULL;
}

void vt_times_put(variant_times *times, const vt_costs_key *key, const vt_costs *costs) {
    if (!times || !key->name[0]) return;
    pthread_mutex_lock(&times->lock);
    table *at = find(times, key);
    if (!at && (at = calloc(1, sizeof *at))) {
        at->key = *key;
        at->next = times->tables;
        times->tables = at;
    }
    if (at) at->costs = *costs;
    pthread_mutex_unlock(&times->lock);
}
