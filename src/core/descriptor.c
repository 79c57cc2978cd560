/* descriptor.c - see descriptor.h. */
#include "core/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

int vt_open(const char *path, int flags) {
    int file;
    do file = open(path, flags | O_CLOEXEC, 0666);
    while (file < 0 && errno == EINTR);
    return file;
}

DIR *vt_open_folder(const char *path) {
    DIR *folder;
    do folder = opendir(path);
    while (!folder && errno == EINTR);
    return folder;
}

ssize_t vt_read(int file, void *bytes, size_t size) {
    ssize_t got;
    do got = read(file, bytes, size);
    while (got < 0 && errno == EINTR);
    return got;
}

int vt_sync(int file) {
    int failed;
    do failed = fsync(file);
    while (failed && errno == EINTR);
    return failed;
}

int vt_close(int file) {
    const int failed = close(file);
    return failed && errno == EINTR ? 0 : failed;
}

bool vt_write(int file, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        const ssize_t n = write(file, at, size);
        if (n == 0) errno = EIO;
        if (n == 0 || (n < 0 && errno != EINTR)) return false;
        if (n < 0) continue;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool vt_read_all(int file, void *bytes, size_t size) {
    char *at = bytes;
    while (size > 0) {
        const ssize_t n = vt_read(file, at, size);
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- a stream ---- */

static int file_of(void *cookie) {
    return (int)(intptr_t)cookie;
}

static ssize_t stream_write(void *cookie, const char *bytes, size_t size) {
    return vt_write(file_of(cookie), bytes, size) ? (ssize_t)size : 0;
}

static int stream_seek(void *cookie, off64_t *offset, int from) {
    const off_t at = lseek(file_of(cookie), *offset, from);
    if (at >= 0) *offset = at;
    return at >= 0 ? 0 : -1;
}

static int stream_close(void *cookie) {
    return vt_close(file_of(cookie));
}

/* The C library's own streams take an interrupted write for a failed one, and lose what it was to write. */
FILE *vt_write_stream(int file) {
    const cookie_io_functions_t functions = {
        .write = stream_write, .seek = stream_seek, .close = stream_close};
    return fopencookie((void *)(intptr_t)file, "wb", functions);
}

/* ---- what is there ---- */

bool vt_is_reason_of_path(int reason) {
    static const int of_path[] = {ENOENT, ENOTDIR, EISDIR, EACCES,       EPERM,
                                  ELOOP,  ENXIO,   ENODEV, ENAMETOOLONG, EINVAL};
    for (size_t i = 0; i < sizeof of_path / sizeof *of_path; ++i)
        if (of_path[i] == reason) return true;
    return false;
}

variant_status vt_look_for(const char *path, bool *there, variant_error *err) {
    const bool found = access(path, F_OK) == 0;
    *there = found || !vt_is_reason_of_path(errno);
    if (found || !*there) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_IO, "%s: cannot be looked for: %s", path, strerror(errno));
}
