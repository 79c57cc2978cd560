/* limits.c - see limits.h.
 *
 * /proc/self/cgroup names the process's group in each hierarchy ("ID:controllers:path", ID 0 for version 2) and
 * /proc/self/mountinfo where hierarchies are mounted and which of their folders the mount shows. In a container the two need
 * not fit; then the mount itself is the nearest known group. */
#include "core/limits.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"

enum { PATH = 4096 };

/* ---- files ---- */

/* Paths and lines are on the heap: a process may have a stack of 64 kB. */
static FILE *open_in(const char *root, const char *folder, const char *name) {
    char *path = NULL;
    if (asprintf(&path, "%s%s/%s", root, folder, name) < 0) return NULL;
    FILE *file = fopen(path, "r");
    free(path);
    return file;
}

/* The first line of a file; false where there is none. */
static bool read_line(char *out, int size, const char *root, const char *folder, const char *name) {
    FILE *file = open_in(root, folder, name);
    if (!file) return false;
    const bool read = fgets(out, size, file) != NULL;
    fclose(file);
    if (read) out[strcspn(out, "\n")] = '\0';
    return read;
}

/* The number after "`key` " (or "`key`:") in a file of such lines; -1 where it is not. */
static double read_key(const char *root, const char *folder, const char *name, const char *key) {
    char line[256];
    const size_t length = strlen(key);
    double value = -1;
    FILE *file = open_in(root, folder, name);
    while (file && value < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && (line[length] == ' ' || line[length] == ':'))
            value = strtod(line + length + 1, NULL);
    if (file) fclose(file);
    return value;
}

/* One number alone in folder/name; -1 where there is none, or "max". */
static double read_number(const char *root, const char *folder, const char *name) {
    char line[128], *end;
    if (!read_line(line, sizeof line, root, folder, name)) return -1;
    const double value = strtod(line, &end);
    return end == line ? -1 : value;
}

/* ---- control groups ---- */

/* A hierarchy: where it is mounted, what of it the mount shows, and the process's own group. */
typedef struct hierarchy {
    bool unified; /* version 2 */
    char mount[PATH], shown[PATH], group[PATH];
} hierarchy;

/* Is `word` one of the words of `list`, which commas separate? */
static bool lists(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && strchr(", \n", at[length])) return true;
    }
    return false;
}

/* The process's group in the hierarchy that has `controller`, or in version 2 (NULL). */
static bool find_group(const char *root, const char *controller, char *out) {
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = open_in(root, "/proc/self", "cgroup");
    while (file && !found && getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        found = controller ? lists(names + 1, controller) : strcmp(line, "0:") == 0;
        if (found) snprintf(out, PATH, "%.*s", PATH - 1, path);
    }
    if (file) fclose(file);
    free(line);
    return found;
}

/* mountinfo: "ID PARENT DEVICE SHOWN MOUNT OPTIONS [FIELDS] - TYPE SOURCE SUPER" */
static bool find_mount(const char *root, const char *controller, hierarchy *out) {
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = open_in(root, "/proc/self", "mountinfo");
    while (file && !found && getline(&line, &room, file) > 0) {
        char type[64];
        int super = 0; /* where it begins */
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(rest + 3, "%63s %*s %n", type, &super) != 1) continue;
        if (super == 0 || !rest[3 + super]) continue;
        if (strcmp(type, controller ? "cgroup" : "cgroup2") != 0) continue;
        if (controller && !lists(rest + 3 + super, controller)) continue;
        found = sscanf(line, "%*s %*s %*s %4095s %4095s", out->shown, out->mount) == 2;
    }
    if (file) fclose(file);
    free(line);
    return found;
}

static bool find_hierarchy(const char *root, const char *controller, hierarchy *out) {
    *out = (hierarchy){.unified = controller == NULL};
    return find_group(root, controller, out->group) && find_mount(root, controller, out);
}

/* The group's folder below the mount; "" where the mount does not show it. */
static const char *below_mount(const hierarchy *h) {
    const size_t shown = strcmp(h->shown, "/") == 0 ? 0 : strlen(h->shown);
    if (strstr(h->group, "/..") || strncmp(h->group, h->shown, shown) != 0) return "";
    const char *rest = h->group + shown;
    return *rest == '/' && rest[1] ? rest : "";
}

typedef void visit(vt_limits *limits, const char *root, const char *folder, bool unified);

/* The group and those above it, as far as the mount shows them. */
static void walk(vt_limits *limits, const char *root, const hierarchy *h, visit *look) {
    char *folder = NULL;
    const size_t top = strlen(h->mount);
    if (asprintf(&folder, "%s%s", h->mount, below_mount(h)) < 0) return;
    for (;;) {
        look(limits, root, folder, h->unified);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= top || !slash) break;
        *slash = '\0';
    }
    free(folder);
}

static void look_at_time(vt_limits *limits, const char *root, const char *folder, bool unified) {
    double quota = -1, period = -1;
    char line[128], first[64];
    if (unified) {
        if (read_line(line, sizeof line, root, folder, "cpu.max") &&
            sscanf(line, "%63s %lf", first, &period) == 2 && strcmp(first, "max") != 0)
            quota = strtod(first, NULL);
    } else {
        quota = read_number(root, folder, "cpu.cfs_quota_us");
        period = read_number(root, folder, "cpu.cfs_period_us");
    }
    if (!(quota > 0 && period > 0)) return;
    if (limits->quota == 0 || quota / period < limits->quota) limits->quota = quota / period;
}

static void look_at_memory(vt_limits *limits, const char *root, const char *folder, bool unified) {
    const double most = read_number(root, folder, unified ? "memory.max" : "memory.limit_in_bytes");
    const double used =
        read_number(root, folder, unified ? "memory.current" : "memory.usage_in_bytes");
    const double cached =
        read_key(root, folder, "memory.stat", unified ? "inactive_file" : "total_inactive_file");
    const double none = 4e18; /* version 1 says "no limit" by the largest multiple of a page */
    if (most < 0 || most > none) return;
    double left = most - (used > 0 ? used : 0) + (cached > 0 ? cached : 0);
    if (left < 0) left = 0;
    if (left > most) left = most;
    if (limits->memory_limit > 0 && left >= (double)limits->memory_left) return;
    limits->memory_limit = most >= 1 ? (size_t)most : 1;
    limits->memory_left = (size_t)left;
}

/* ---- the whole ---- */

static int affinity_count(void) {
    for (int most = 1024; most <= 1 << 20; most *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        const size_t size = CPU_ALLOC_SIZE((size_t)most);
        if (!set) break;
        const int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    return 1;
}

static int threads_of(const vt_limits *limits) {
    if (limits->quota == 0 || limits->quota + 0.5 >= limits->affinity) return limits->affinity;
    const int whole = (int)(limits->quota + 0.5);
    return whole > 1 ? whole : 1;
}

static size_t bytes_of(double kilobytes) {
    return kilobytes > 0 ? (size_t)(kilobytes * 1024) : 0;
}

void vt_limits_read(vt_limits *out, const char *root) {
    hierarchy *h = malloc(sizeof *h);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (vt_limits){.processors = processors > 0 ? (int)processors : 1,
                       .affinity = affinity_count()};
    if (h && find_hierarchy(root, NULL, h)) {
        walk(out, root, h, look_at_time);
        walk(out, root, h, look_at_memory);
    }
    if (h && find_hierarchy(root, "cpu", h)) walk(out, root, h, look_at_time);
    if (h && find_hierarchy(root, "memory", h)) walk(out, root, h, look_at_memory);
    free(h);
    out->threads = threads_of(out);
    out->available = bytes_of(read_key(root, "/proc", "meminfo", "MemAvailable"));
    if (out->available) out->available += bytes_of(read_key(root, "/proc", "meminfo", "SwapFree"));
}

void vt_limits_describe(const vt_limits *limits, char *out, size_t size) {
    char quota[64] = "no quota", memory[64] = "";
    if (limits->quota > 0)
        snprintf(quota, sizeof quota, "a quota of %.3g processor%s' time", limits->quota,
                 limits->quota == 1 ? "" : "s");
    if (limits->memory_limit > 0)
        snprintf(memory, sizeof memory, ", a memory limit of %.1f MB",
                 (double)limits->memory_limit / 1e6);
    snprintf(out, size, "%d processor%s, affinity to %d, %s%s: %d thread%s", limits->processors,
             limits->processors == 1 ? "" : "s", limits->affinity, quota, memory, limits->threads,
             limits->threads == 1 ? "" : "s");
}

/* ---- memory ---- */

static double megabytes(size_t bytes) {
    return (double)bytes / 1e6;
}

size_t vt_limits_address_space_left(void) {
    struct rlimit limit;
    char line[128];
    unsigned long long pages;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    if (!read_line(line, sizeof line, "", "/proc/self", "statm") ||
        sscanf(line, "%llu", &pages) != 1)
        return SIZE_MAX;
    const unsigned long long used = pages * (unsigned long long)sysconf(_SC_PAGESIZE);
    return used < limit.rlim_cur ? (size_t)(limit.rlim_cur - used) : 0;
}

variant_status vt_limits_address_space(size_t bytes, const char *purpose, variant_error *err) {
    const size_t left = vt_limits_address_space_left();
    if (left >= bytes) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY,
                   "%s needs %.1f MB, the limit of address space (ulimit -v) leaves %.1f MB",
                   purpose, megabytes(bytes), megabytes(left));
}

variant_status vt_limits_memory(const vt_limits *limits, size_t bytes, const char *purpose,
                                variant_error *err) {
    if (limits->memory_limit > 0 && bytes > limits->memory_left)
        return vt_fail(err, VARIANT_E_MEMORY,
                       "%s needs %.1f MB, the memory limit of its control group (%.1f MB) leaves "
                       "%.1f MB",
                       purpose, megabytes(bytes), megabytes(limits->memory_limit),
                       megabytes(limits->memory_left));
    if (limits->available > 0 && bytes > limits->available)
        return vt_fail(err, VARIANT_E_MEMORY, "%s needs %.1f MB, the system has %.1f MB left",
                       purpose, megabytes(bytes), megabytes(limits->available));
    return vt_limits_address_space(bytes, purpose, err);
}
