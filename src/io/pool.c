/* pool.c - see pool.h. Blocks are a list; a piece too large for a block gets one of its own. */
#include "io/pool.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024, LARGE = BLOCK / 4, HEAD = 64 };

struct vt_pool_block {
    vt_pool_block *next;
};

_Static_assert(sizeof(vt_pool_block) <= HEAD, "a block's head must fit before its first piece");

void vt_pool_init(vt_pool *pool, size_t limit) {
    *pool = (vt_pool){.limit = limit};
}

void vt_pool_free(vt_pool *pool) {
    while (pool->blocks) {
        vt_pool_block *next = pool->blocks->next;
        free(pool->blocks);
        pool->blocks = next;
    }
    *pool = (vt_pool){.limit = pool->limit};
}

static vt_pool_block *block_new(vt_pool *pool, size_t bytes) {
    if (bytes > pool->limit || pool->taken > pool->limit - bytes) {
        pool->taken = SIZE_MAX; /* for vt_pool_fail; nothing fits from here on */
        return NULL;
    }
    vt_pool_block *block = NULL;
    if (bytes <= SIZE_MAX - 2 * HEAD)
        block = aligned_alloc(HEAD, HEAD + (bytes + HEAD - 1) / HEAD * HEAD);
    if (block) pool->taken += bytes;
    return block;
}

void *vt_pool_take(vt_pool *pool, size_t bytes) {
    if (bytes >= LARGE) {
        vt_pool_block *own = block_new(pool, bytes);
        if (!own) return NULL;
        /* Behind the newest block, so that the room left there stays in use. */
        vt_pool_block **place = pool->blocks ? &pool->blocks->next : &pool->blocks;
        if (!pool->blocks) pool->used = pool->room = 0;
        own->next = *place;
        *place = own;
        memset((char *)own + HEAD, 0, bytes);
        return (char *)own + HEAD;
    }
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (!pool->blocks || pool->room - pool->used < rounded) {
        vt_pool_block *block = block_new(pool, BLOCK);
        if (!block) return NULL;
        block->next = pool->blocks;
        pool->blocks = block;
        pool->used = 0;
        pool->room = BLOCK;
    }
    char *piece = (char *)pool->blocks + HEAD + pool->used;
    pool->used += rounded;
    memset(piece, 0, rounded);
    return piece;
}

char *vt_pool_text(vt_pool *pool, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *copy = vt_pool_take(pool, length + 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

variant_status vt_pool_fail(const vt_pool *pool, variant_error *err) {
    if (pool->taken == SIZE_MAX)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "asks for more memory than a file of its size should need");
    return vt_fail(err, VARIANT_E_MEMORY, "no memory to read the file");
}
