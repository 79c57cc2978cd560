/* file.c - whole files: mapped for reading, replaced atomically for writing.
 *
 * Called by every reader and writer of src/io and by whoever stores results. A mapping is private
 * and read-only: weights stay in the page cache, shared by processes that open the same model. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/cut.h"
#include "core/descriptor.h"

static variant_status fail_system(variant_error *err, const char *path, const char *doing) {
    const variant_status status = errno == ENOMEM ? VARIANT_E_MEMORY : VARIANT_E_IO;
    return vt_fail(err, status, "%s: cannot %s: %s", path, doing, strerror(errno));
}

/* ---- reading ---- */

variant_status vt_mapping_open(vt_mapping *out, const char *path, variant_error *err) {
    *out = (vt_mapping){0};
    /* a pipe that nobody writes to is not waited for: it is no file either way */
    int fd = vt_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return fail_system(err, path, "open");
    variant_status status = VARIANT_OK;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = fail_system(err, path, "read its size");
    } else if (!S_ISREG(info.st_mode)) {
        status = vt_fail(err, VARIANT_E_IO, "%s: is %s, expected a file", path,
                         S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = fail_system(err, path, "map");
        else
            *out = (vt_mapping){.data = data,
                                .size = (size_t)info.st_size,
                                .device = info.st_dev,
                                .number = info.st_ino};
    }
    vt_close(fd);
    return status;
}

void vt_mapping_close(vt_mapping *mapping) {
    if (!mapping) return;
    vt_cut_leave(mapping->guarded);
    if (mapping->data && !mapping->borrowed)
        munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (vt_mapping){0};
}

void vt_mapping_guard(vt_mapping *mapping) {
    if (!mapping->borrowed && !mapping->guarded)
        mapping->guarded = vt_cut_enter(mapping->data, mapping->size);
}

bool vt_mapping_is_cut(const vt_mapping *mapping) {
    return vt_cut_happened(mapping->guarded);
}

bool vt_mapping_is_short(const vt_mapping *mapping, const char *path) {
    struct stat info;
    if (vt_mapping_is_cut(mapping)) return true;
    return mapping->data && !mapping->borrowed && stat(path, &info) == 0 &&
           info.st_dev == mapping->device && info.st_ino == mapping->number &&
           (size_t)info.st_size < mapping->size;
}

variant_status vt_mapping_settle(const vt_mapping *mapping, const char *path, variant_status status,
                                 variant_error *err) {
    if (!vt_mapping_is_short(mapping, path)) return status;
    return vt_fail(err, VARIANT_E_IO, "%s was cut short while it was in use", path);
}

void vt_mapping_keep(const vt_mapping *mapping) {
#if defined(MADV_HUGEPAGE)
    if (mapping->data && !mapping->borrowed)
        madvise((void *)(uintptr_t)mapping->data, mapping->size, MADV_HUGEPAGE);
#else
    (void)mapping;
#endif
}

/* Linux fetches no more for one call than the disk takes in one request or reads ahead, 1.25 MB at least on common ones. */
#define ASKED_AT_ONCE ((uintptr_t)1 << 20)

static bool lies_in(const vt_mapping *mapping, const unsigned char *begin, size_t bytes) {
    return mapping->data && !mapping->borrowed && begin >= mapping->data &&
           bytes <= mapping->size && begin <= mapping->data + (mapping->size - bytes);
}

void vt_mapping_ask(const vt_mapping *mapping, const void *data, size_t bytes) {
    if (!lies_in(mapping, data, bytes) || bytes == 0) return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)data / page * page, end = (uintptr_t)data + bytes;
    unsigned char there = 1; /* looking costs less than asking for pages that are */
    if (mincore((void *)first, 1, &there) == 0 && (there & 1)) return;
    for (uintptr_t at = first; at < end; at += ASKED_AT_ONCE)
        madvise((void *)at, end - at < ASKED_AT_ONCE ? end - at : ASKED_AT_ONCE, MADV_WILLNEED);
}

void vt_mapping_release(const vt_mapping *mapping, const void *data, size_t bytes) {
    const unsigned char *begin = data, *end = begin + bytes;
    if (!lies_in(mapping, begin, bytes)) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)begin + page - 1) / page * page,
              last = (uintptr_t)end / page * page;
    if (last > first) madvise((void *)first, last - first, MADV_DONTNEED);
}

/* Grows the text until the file ends or limit is passed. Not by the file's size: pipes have none. */
static variant_status read_all(char **out, size_t *used, int file, const char *path, size_t limit,
                               variant_error *err) {
    size_t capacity = 4096;
    char *text = malloc(capacity);
    *used = 0;
    while (text) {
        const ssize_t got = vt_read(file, text + *used, capacity - 1 - *used);
        if (got < 0) {
            const variant_status status = fail_system(err, path, "read");
            free(text);
            return status;
        }
        *used += (size_t)got;
        if (*used > limit) {
            free(text);
            return vt_fail(err, VARIANT_E_FORMAT, "%s: longer than %zu bytes", path, limit);
        }
        if (got == 0) {
            text[*used] = '\0';
            *out = text;
            return VARIANT_OK;
        }
        if (*used < capacity - 1) continue;
        char *larger = capacity <= SIZE_MAX / 2 ? realloc(text, capacity * 2) : NULL;
        if (!larger) free(text);
        text = larger;
        capacity *= 2;
    }
    return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to read it", path);
}

variant_status vt_file_read_text(char **out, const char *path, size_t limit, variant_error *err) {
    *out = NULL;
    const int file = vt_open(path, O_RDONLY);
    if (file < 0) return fail_system(err, path, "open");
    size_t used = 0;
    variant_status status = read_all(out, &used, file, path, limit, err);
    vt_close(file);
    if (status == VARIANT_OK && memchr(*out, '\0', used)) {
        free(*out);
        *out = NULL;
        status = vt_fail(err, VARIANT_E_FORMAT, "%s: holds zero bytes, expected text", path);
    }
    return status;
}

/* ---- writing ---- */

/* Opens a new file beside path, with the permissions of the file it will replace (or those that the
 * umask leaves); sets *temporary. Returns the descriptor or -1 with errno. */
static int open_beside(const char *path, const struct stat *old, char **temporary) {
    static atomic_uint serial;
    for (int attempt = 0; attempt < 100; attempt++) {
        if (asprintf(temporary, "%s.%ld-%u.tmp", path, (long)getpid(),
                     atomic_fetch_add(&serial, 1)) < 0) {
            *temporary = NULL;
            errno = ENOMEM;
            return -1;
        }
        int fd = vt_open(*temporary, O_WRONLY | O_CREAT | O_EXCL);
        if (fd >= 0) {
            if (old)
                (void)!fchmod(fd, old->st_mode & 0777); /* a refusal costs nothing but the mode */
            return fd;
        }
        int reason = errno;
        free(*temporary);
        *temporary = NULL;
        errno = reason;
        if (reason != EEXIST) return -1;
    }
    return -1;
}

/* The standard output itself, however it was redirected: a file that grows there must not be replaced. */
static variant_status open_standard_output(vt_replace *out, variant_error *err) {
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    FILE *stream = fd >= 0 ? vt_write_stream(fd) : NULL;
    char *name = strdup("standard output");
    if (stream && name) {
        *out = (vt_replace){.stream = stream, .file = fd, .path = name};
        return VARIANT_OK;
    }
    variant_status status = fail_system(err, "standard output", "write");
    if (stream)
        fclose(stream);
    else if (fd >= 0)
        vt_close(fd);
    free(name);
    return status;
}

bool variant_is_standard_output(const char *path) {
    if (!path) return false;
    return strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0 ||
           strcmp(path, "/dev/fd/1") == 0 || strcmp(path, "/proc/self/fd/1") == 0;
}

/* The file behind a link, which stays one; free() it. Of what the system keeps for its processes the link
 * itself, which is opened and not replaced; what lies in /dev/shm is a file as others are. */
static char *followed(const char *path, bool *direct) {
    struct stat info;
    const bool there = lstat(path, &info) == 0;
    *direct = (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0) &&
              !(there && S_ISREG(info.st_mode));
    char *target = NULL;
    if (!*direct && there && S_ISLNK(info.st_mode)) target = realpath(path, NULL);
    return target ? target : strdup(path);
}

variant_status vt_replace_open(vt_replace *out, const char *path, variant_error *err) {
    *out = (vt_replace){0};
    struct stat info;
    if (variant_is_standard_output(path)) return open_standard_output(out, err);
    const bool exists = stat(path, &info) == 0;
    if (!exists && !vt_is_reason_of_path(errno)) return fail_system(err, path, "write");
    if (exists && S_ISDIR(info.st_mode))
        return vt_fail(err, VARIANT_E_IO, "%s: is a folder, expected a file to write", path);
    bool direct;
    char *copy = followed(path, &direct);
    if (!copy) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path);

    /* A device or a pipe is written to, never replaced: a rename onto /dev/null would be a fine
     * mess. */
    int fd;
    char *temporary = NULL;
    if (exists && (direct || !S_ISREG(info.st_mode)))
        fd = vt_open(path, O_WRONLY | O_NOCTTY);
    else
        fd = open_beside(copy, exists ? &info : NULL, &temporary);
    FILE *stream = fd >= 0 ? vt_write_stream(fd) : NULL;
    if (!stream) {
        variant_status status = fail_system(err, path, "write");
        if (fd >= 0) vt_close(fd);
        if (temporary) unlink(temporary);
        free(temporary);
        free(copy);
        return status;
    }
    *out = (vt_replace){.stream = stream, .file = fd, .path = copy, .temporary = temporary};
    return VARIANT_OK;
}

void vt_replace_abandon(vt_replace *replace) {
    if (!replace) return;
    if (replace->stream) fclose(replace->stream);
    /* nothing is left of one that was abandoned before, which clang's analyser does not see in a set of them
     * NOLINTBEGIN(clang-analyzer-unix.Malloc) */
    if (replace->temporary) unlink(replace->temporary);
    free(replace->temporary);
    free(replace->path);
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
    *replace = (vt_replace){0};
}

/* Makes the rename itself durable. Some file systems refuse to sync a folder: the data is safe
 * either way. */
static void sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = !slash          ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    if (!folder) return;
    int fd = vt_open(folder, O_RDONLY | O_DIRECTORY);
    free(folder);
    if (fd < 0) return;
    (void)!vt_sync(fd);
    vt_close(fd);
}

variant_status vt_replace_finish(vt_replace *replace, variant_error *err) {
    if (!replace->stream) return vt_fail(err, VARIANT_E_ARGUMENT, "nothing is being written");
    variant_status status = VARIANT_OK;
    errno = 0;
    bool failed_before = ferror(replace->stream) != 0;
    if (fflush(replace->stream) != 0 || (replace->temporary && vt_sync(replace->file) != 0)) {
        status = fail_system(err, replace->path, "write");
    } else if (failed_before) {
        status = vt_fail(err, VARIANT_E_IO,
                         "%s: cannot write: an earlier write failed (disk full?)", replace->path);
    }
    int closed = fclose(replace->stream);
    replace->stream = NULL;
    if (status == VARIANT_OK && closed != 0) status = fail_system(err, replace->path, "write");
    if (status != VARIANT_OK) vt_replace_abandon(replace);
    return status;
}

variant_status vt_replace_commit(vt_replace *replace, variant_error *err) {
    variant_status status = VARIANT_OK;
    if (replace->stream || !replace->path) VT_TRY(vt_replace_finish(replace, err));
    if (replace->temporary) {
        if (rename(replace->temporary, replace->path) != 0) {
            status = fail_system(err, replace->path, "replace");
        } else {
            free(replace->temporary);
            replace->temporary = NULL;
            sync_folder_of(replace->path);
        }
    }
    vt_replace_abandon(replace);
    return status;
}

variant_status vt_replace_set_add(vt_replace_set *set, vt_replace *replace, variant_error *err) {
    VT_TRY(vt_replace_finish(replace, err));
    vt_replace *files = realloc(set->files, (size_t)(set->count + 1) * sizeof *files);
    if (!files) {
        const variant_status status =
            vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", replace->path);
        vt_replace_abandon(replace);
        return status;
    }
    set->files = files;
    set->files[set->count++] = *replace;
    *replace = (vt_replace){0};
    return VARIANT_OK;
}

variant_status vt_replace_set_commit(vt_replace_set *set, variant_error *err) {
    variant_status status = VARIANT_OK;
    for (int i = 0; i < set->count && status == VARIANT_OK; i++)
        status = vt_replace_commit(&set->files[i], err);
    vt_replace_set_abandon(set);
    return status;
}

void vt_replace_set_abandon(vt_replace_set *set) {
    for (int i = 0; i < set->count; i++) vt_replace_abandon(&set->files[i]);
    free(set->files);
    *set = (vt_replace_set){0};
}

variant_status vt_file_write(const char *path, const void *bytes, size_t size, variant_error *err) {
    vt_replace replace;
    VT_TRY(vt_replace_open(&replace, path, err));
    if (size && fwrite(bytes, 1, size, replace.stream) != size) {
        variant_status status = fail_system(err, path, "write");
        vt_replace_abandon(&replace);
        return status;
    }
    return vt_replace_commit(&replace, err);
}

/* ---- folders ---- */

bool vt_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

variant_status variant_folder_make(const char *path, variant_error *err) {
    if (err) *err = (variant_error){0};
    if (!path || !path[0])
        return vt_fail(err, path ? VARIANT_E_IO : VARIANT_E_ARGUMENT,
                       "expected the name of a folder to make");
    if (vt_is_folder(path)) return VARIANT_OK;
    char *partial = strdup(path);
    if (!partial) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to make the folder", path);
    variant_status status = VARIANT_OK;
    for (char *end = partial; status == VARIANT_OK && *end; end++) {
        if (end[1] != '/' && end[1] != '\0') continue;
        char kept = end[1];
        end[1] = '\0';
        /* Made by someone else meanwhile is as good; anything else that is in the way is not. */
        if (mkdir(partial, 0777) != 0 && !vt_is_folder(partial))
            status = errno == EEXIST || errno == ENOTDIR
                         ? vt_fail(err, VARIANT_E_IO,
                                   "%s: cannot make the folder: %s is a file, expected a folder",
                                   path, partial)
                         : fail_system(err, path, "make the folder");
        end[1] = kept;
    }
    if (status == VARIANT_OK && !vt_is_folder(path))
        status = vt_fail(err, VARIANT_E_IO, "%s: cannot make the folder", path);
    free(partial);
    return status;
}
