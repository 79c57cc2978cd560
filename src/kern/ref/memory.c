/* memory.c - memory of host backends, where nothing is left to wait for: pages straight from the system, so that a reservation costs
 * nothing until it is touched and can be handed back page by page. */
#include "kern/ref/ref.h"

#include "core/limits.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* From here on in large pages, where the system has them: rows of activations and of a cache lie pages apart, and a walk
 * through the tables for each of them costs more than the row. What is never touched still costs nothing, to 2 MB. */
enum { LARGE = 8 << 20 };

static size_t page_bytes(void) {
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (size_t)size : 4096;
}

static variant_status memory_reserve(vt_kern *kern, size_t bytes, void **out, variant_error *err) {
    (void)kern;
    *out = NULL;
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        VT_TRY(vt_limits_address_space(bytes, "this", err));
        return vt_fail(err, VARIANT_E_MEMORY, "memory: cannot reserve %zu bytes of address space",
                       bytes);
    }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= LARGE) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    *out = memory;
    return VARIANT_OK;
}

static void memory_release(vt_kern *kern, void *memory, size_t bytes) {
    (void)kern;
    if (memory) munmap(memory, bytes ? bytes : 1);
}

static void memory_discard(vt_kern *kern, void *memory, size_t bytes) {
    (void)kern;
    uintptr_t page = page_bytes();
    uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)memory + bytes) / page * page;
    if (memory && end > begin)
        madvise((char *)memory + (begin - (uintptr_t)memory), end - begin, MADV_DONTNEED);
}

/* Operations are done when they return, and cannot fail. */
static void nothing_left(vt_kern *kern) {
    (void)kern;
}

static variant_status no_failure(vt_kern *kern, variant_error *err) {
    (void)kern;
    (void)err;
    return VARIANT_OK;
}

static void upload(vt_kern *kern, void *to, const void *from_host, size_t bytes) {
    (void)kern;
    if (bytes) memcpy(to, from_host, bytes);
}

static void download(vt_kern *kern, void *to_host, const void *from, size_t bytes) {
    (void)kern;
    if (bytes) memcpy(to_host, from, bytes);
}

static void copy(vt_kern *kern, float *to, const float *from, size_t n) {
    (void)kern;
    if (n) memcpy(to, from, n * sizeof *to);
}

static void fill(vt_kern *kern, float value, const vt_floats *runs, int count) {
    (void)kern;
    for (const vt_floats *run = runs; run < runs + count; ++run)
        for (size_t i = 0; i < run->n; ++i) run->x[i] = value;
}

static void copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                      size_t from_stride, int rows, size_t width) {
    for (int r = 0; r < rows; ++r)
        copy(kern, to + (size_t)r * to_stride, from + (size_t)r * from_stride, width);
}

static void add_copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                          size_t from_stride, int rows, size_t width) {
    (void)kern;
    for (int r = 0; r < rows; ++r) {
        for (size_t i = 0; i < width; ++i)
            to[(size_t)r * to_stride + i] += from[(size_t)r * from_stride + i];
    }
}

void vt_ref_fill_memory(vt_kern *kern) {
    kern->memory_reserve = memory_reserve;
    kern->memory_release = memory_release;
    kern->memory_discard = memory_discard;
    kern->sync = nothing_left;
    kern->status = no_failure;
    kern->upload = upload;
    kern->download = download;
    kern->copy = copy;
    kern->fill = fill;
    kern->copy_rows = copy_rows;
    kern->add_copy_rows = add_copy_rows;
}
