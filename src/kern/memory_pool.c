/* memory_pool.c - see memory_pool.h. A handful of blocks, each found by walking a list. */
#include "kern/memory_pool.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct block {
    struct block *next; /* older ones */
    void *memory;
    size_t bytes;
    bool used;
} block;

typedef struct vt_memory_pool {
    pthread_mutex_t lock;
    block *blocks; /* used and kept ones, newest first */
    size_t used, kept, most_used;
} vt_memory_pool;

struct vt_memory_pool *vt_memory_pool_open(void) {
    vt_memory_pool *pool = calloc(1, sizeof *pool);
    if (pool) pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

/* Releases the oldest kept blocks until at most `room` bytes are kept. */
static void shrink(vt_kern *kern, vt_memory_pool *pool, size_t room) {
    while (pool->kept > room) {
        block **oldest = NULL;
        for (block **at = &pool->blocks; *at; at = &(*at)->next)
            if (!(*at)->used) oldest = at;
        if (!oldest) return;
        block *gone = *oldest;
        *oldest = gone->next;
        pool->kept -= gone->bytes;
        kern->memory_release(kern, gone->memory, gone->bytes);
        free(gone);
    }
}

static size_t room_of(const vt_memory_pool *pool) {
    return pool->most_used > pool->used ? pool->most_used - pool->used : 0;
}

/* The smallest kept block that holds `bytes` and is not more than a quarter too large. */
static block *find(vt_memory_pool *pool, size_t bytes) {
    block *best = NULL;
    for (block *b = pool->blocks; b; b = b->next)
        if (!b->used && b->bytes >= bytes && b->bytes - bytes <= bytes / 4 &&
            (!best || b->bytes < best->bytes))
            best = b;
    return best;
}

static void account(vt_memory_pool *pool, block *b) {
    b->used = true;
    pool->used += b->bytes;
    if (pool->used > pool->most_used) pool->most_used = pool->used;
}

static variant_status add(vt_kern *kern, vt_memory_pool *pool, size_t bytes, void **out,
                          variant_error *err) {
    block *b = calloc(1, sizeof *b);
    if (!b) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the table of blocks");
    variant_status status = kern->memory_reserve(kern, bytes, &b->memory, err);
    if (status != VARIANT_OK && pool->kept > 0) { /* what waits may be what is missing */
        shrink(kern, pool, 0);
        status = kern->memory_reserve(kern, bytes, &b->memory, err);
    }
    if (status != VARIANT_OK) {
        free(b);
        return status;
    }
    b->bytes = bytes;
    b->next = pool->blocks;
    pool->blocks = b;
    account(pool, b);
    shrink(kern, pool, room_of(pool));
    *out = b->memory;
    return VARIANT_OK;
}

variant_status vt_memory_take(vt_kern *kern, size_t bytes, void **out, variant_error *err) {
    vt_memory_pool *pool = kern->memory_pool;
    variant_status status = VARIANT_OK;
    if (!pool) return kern->memory_reserve(kern, bytes, out, err);
    pthread_mutex_lock(&pool->lock);
    block *b = find(pool, bytes);
    if (b) {
        pool->kept -= b->bytes;
        account(pool, b);
        *out = b->memory;
    } else {
        status = add(kern, pool, bytes, out, err);
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

void vt_memory_give(vt_kern *kern, void *memory, size_t bytes) {
    vt_memory_pool *pool = kern->memory_pool;
    if (!memory) return;
    if (!pool) {
        kern->memory_release(kern, memory, bytes);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    for (block *b = pool->blocks; b; b = b->next) {
        if (b->memory != memory) continue;
        b->used = false;
        pool->used -= b->bytes;
        pool->kept += b->bytes;
        break;
    }
    shrink(kern, pool, room_of(pool));
    pthread_mutex_unlock(&pool->lock);
}

size_t vt_memory_kept(vt_kern *kern) {
    vt_memory_pool *pool = kern->memory_pool;
    if (!pool) return 0;
    pthread_mutex_lock(&pool->lock);
    size_t kept = pool->kept;
    pthread_mutex_unlock(&pool->lock);
    return kept;
}

void vt_memory_trim(vt_kern *kern) {
    vt_memory_pool *pool = kern->memory_pool;
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    shrink(kern, pool, 0);
    pool->most_used = pool->used;
    pthread_mutex_unlock(&pool->lock);
}

void vt_memory_pool_close(vt_kern *kern) {
    vt_memory_pool *pool = kern->memory_pool;
    if (!pool) return;
    shrink(kern, pool, 0);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    kern->memory_pool = NULL;
}
