/* memory_pool.h - memory of a backend that one request leaves to the next, so that nothing is mapped and no page faulted in
 * twice.
 *
 * A block that is given back keeps its pages and waits for somebody who asks for about as much. Kept and used blocks
 * together are never more than what was in use at one time. Safe to call from several threads at a time. */
#ifndef VT_KERN_MEMORY_POOL_H
#define VT_KERN_MEMORY_POOL_H

#include "kern/kern.h"

/* Memory for `bytes` (more than 0) bytes, page-aligned, of any contents; its pages may or may not have been touched.
 * Give it back with the same number of bytes. E_MEMORY as memory_reserve. */
variant_status vt_memory_take(vt_kern *kern, size_t bytes, void **out, variant_error *err);
void vt_memory_give(vt_kern *kern, void *memory, size_t bytes);

/* Bytes that wait, and giving them all back to the system. */
size_t vt_memory_kept(vt_kern *kern);
void vt_memory_trim(vt_kern *kern);

/* For vt_kern_open and vt_kern_close alone. A backend without a pool (NULL) takes and gives straight from the system. */
struct vt_memory_pool *vt_memory_pool_open(void);
void vt_memory_pool_close(vt_kern *kern);

#endif
