/* sized.c - see sized.h. */
#include "core/sized.h"

#include <stdint.h>
#include <string.h>

/* No struct is nearly as long; what lies beyond was never set. */
#define MOST_BYTES 65536

static size_t size_of(const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

void vt_sized_init(void *out, size_t size, const void *defaults, size_t today) {
    if (!out || size < sizeof size) return;
    memset(out, 0, size);
    memcpy(out, defaults, lesser(size, today));
    memcpy(out, &size, sizeof size);
}

/* Structs hold pointers or numbers of eight bytes, so that their size is a multiple of that. */
static variant_status check(const void *given, const char *name, variant_error *err) {
    if (!given)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no %s: expected one that %s_init has set", name,
                       name);
    const size_t size = size_of(given);
    if (size <= sizeof size || size > MOST_BYTES || size % sizeof size != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a %s of size %zu: call %s_init first", name, size,
                       name);
    return VARIANT_OK;
}

variant_status vt_sized_take(void *out, size_t today, const void *given, const char *name,
                             variant_error *err) {
    VT_TRY(check(given, name, err));
    const size_t size = size_of(given);
    for (size_t i = today; i < size; ++i)
        if (((const uint8_t *)given)[i])
            return vt_fail(
                err, VARIANT_E_UNSUPPORTED,
                "a %s of %zu bytes, and what is set in byte %zu is not known to libvariant "
                "%s, which knows %zu",
                name, size, i, variant_version(), today);
    memcpy(out, given, lesser(size, today));
    memcpy(out, &today, sizeof today);
    return VARIANT_OK;
}

variant_status vt_sized_clear(void *given, const char *name, variant_error *err) {
    VT_TRY(check(given, name, err));
    const size_t size = size_of(given);
    memset((uint8_t *)given + sizeof size, 0, size - sizeof size);
    return VARIANT_OK;
}

void vt_sized_give(void *given, const void *result, size_t today) {
    const size_t size = size_of(given);
    if (check(given, "struct", NULL) != VARIANT_OK) return;
    memcpy((uint8_t *)given + sizeof size, (const uint8_t *)result + sizeof size,
           lesser(size, today) - sizeof size);
}
