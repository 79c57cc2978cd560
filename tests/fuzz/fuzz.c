/* fuzz.c - see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

void fuzz_broken(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

void fuzz_one_line(const char *text) {
    if (!text[0]) fuzz_broken(__FILE__, __LINE__, "a refusal says something");
    for (const char *at = text; *at; ++at)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            fuzz_broken(__FILE__, __LINE__, "a refusal is one line without control characters");
}

void fuzz_told(variant_status status, const variant_error *err) {
    if (status == VARIANT_OK) return;
    fuzz_one_line(err->message);
    FUZZ_EXPECT(err->status == status);
    if (status == VARIANT_E_MEMORY) fprintf(stderr, "%s\n", err->message);
    FUZZ_EXPECT(status != VARIANT_E_MEMORY);
}

/* ---- memory ---- */

int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                              void (*)(const volatile void *))
    __attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *) __attribute__((weak));

static size_t live, peak, at_begin;

static void on_malloc(const volatile void *pointer, size_t size) {
    (void)pointer;
    live += size;
    if (live > peak) peak = live;
}

static void on_free(const volatile void *pointer) {
    if (pointer) live -= __sanitizer_get_allocated_size(pointer);
}

static void count_memory(void) {
    static int tried;
    if (!tried++ && __sanitizer_install_malloc_and_free_hooks)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

void fuzz_begin(void) {
    count_memory();
    at_begin = peak = live;
}

void fuzz_end(size_t most) {
    const size_t taken = peak - at_begin;
    if (taken > most)
        fprintf(stderr, "the input took %zu bytes, at most %zu are promised\n", taken, most);
    FUZZ_EXPECT(taken <= most);
}

/* ---- files ---- */

const char *fuzz_file(const uint8_t *data, size_t size) {
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("input", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_EXPECT(file >= 0 && ftruncate(file, 0) == 0);
    FUZZ_EXPECT(size == 0 || pwrite(file, data, size, 0) == (ssize_t)size);
    return path;
}

static char folder[64];

static void remove_folder(void) {
    DIR *listed = opendir(folder);
    for (struct dirent *entry = listed ? readdir(listed) : NULL; entry; entry = readdir(listed))
        unlinkat(dirfd(listed), entry->d_name, 0);
    if (listed) closedir(listed);
    rmdir(folder);
}

const char *fuzz_folder(void) {
    if (folder[0]) return folder;
    snprintf(folder, sizeof folder, "/dev/shm/variant-fuzz-XXXXXX");
    if (!mkdtemp(folder)) {
        snprintf(folder, sizeof folder, "/tmp/variant-fuzz-XXXXXX");
        FUZZ_EXPECT(mkdtemp(folder));
    }
    atexit(remove_folder);
    return folder;
}

void fuzz_write(char out[256], const char *name, const uint8_t *data, size_t size) {
    snprintf(out, 256, "%s/%s", fuzz_folder(), name);
    const int file = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_EXPECT(file >= 0 && (size == 0 || write(file, data, size) == (ssize_t)size));
    close(file);
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    FUZZ_EXPECT(text);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < size; ++i)
        if (!text[i]) text[i] = ' ';
    return text;
}

/* ---- archives ---- */

static uint8_t *put(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size) {
    if (size) memcpy(at, bytes, size);
    return at + size;
}

/* What a local header and one of the directory have alike: version to flags, ..., sizes, lengths. */
static uint8_t *put_common(uint8_t *at, const fuzz_entry *entry) {
    at = put(put(at, 20, 2), 0, 2 + 2 + 2 + 2); /* flags, stored, time, date */
    at = put(at, crc32(0, entry->data, (uInt)entry->size), 4);
    at = put(put(at, entry->size, 4), entry->size, 4);
    return put(put(at, strlen(entry->name), 2), 0, 2);
}

size_t fuzz_zip(uint8_t **out, const fuzz_entry *entries, int count) {
    size_t room = 22, places[8];
    FUZZ_EXPECT(count <= 8);
    for (int i = 0; i < count; ++i) room += 2 * strlen(entries[i].name) + 30 + 46 + entries[i].size;
    uint8_t *at = *out = malloc(room);
    FUZZ_EXPECT(at);
    for (int i = 0; i < count; ++i) {
        places[i] = (size_t)(at - *out);
        at = put_common(put_bytes(at, "PK\3\4", 4), &entries[i]);
        at = put_bytes(at, entries[i].name, strlen(entries[i].name));
        at = put_bytes(at, entries[i].data, entries[i].size);
    }
    const size_t directory = (size_t)(at - *out);
    for (int i = 0; i < count; ++i) {
        at = put_common(put(put_bytes(at, "PK\1\2", 4), 20, 2), &entries[i]);
        at = put(put(at, 0, 2 + 2 + 2), 0, 4); /* comment, disk, kinds */
        at = put(at, places[i], 4);
        at = put_bytes(at, entries[i].name, strlen(entries[i].name));
    }
    const size_t length = (size_t)(at - *out) - directory;
    at = put(put_bytes(at, "PK\5\6", 4), 0, 4);
    at = put(put(at, (uint64_t)count, 2), (uint64_t)count, 2);
    at = put(put(put(at, length, 4), directory, 4), 0, 2);
    return (size_t)(at - *out);
}
