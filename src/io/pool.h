/* pool.h - small pieces of memory that are freed together.
 *
 * What a file's parser builds (names, values, copies of misaligned data) lives exactly as long as
 * the parse or the file, so pieces are bumped off blocks and never freed one by one. A limit,
 * chosen from the size of the file, bounds what a hostile file can make the parser ask for. Used by
 * tensors.c, pickle.c and torch.c. */
#ifndef VT_IO_POOL_H
#define VT_IO_POOL_H

#include "core/status.h"

typedef struct vt_pool_block vt_pool_block;

typedef struct vt_pool {
    vt_pool_block *blocks; /* newest first; pieces come from the newest ordinary one */
    size_t used, room;     /* of the newest ordinary block */
    size_t taken, limit;   /* bytes over all blocks */
} vt_pool;

void vt_pool_init(vt_pool *pool, size_t limit);
void vt_pool_free(vt_pool *pool);

/* bytes of zeroed memory on a 16-byte boundary (large pieces: 64). NULL past the limit or out of
 * memory; vt_pool_fail then says which. */
void *vt_pool_take(vt_pool *pool, size_t bytes);
char *vt_pool_text(vt_pool *pool, const char *text, size_t length); /* a NUL-terminated copy */
variant_status vt_pool_fail(const vt_pool *pool, variant_error *err);

#endif
