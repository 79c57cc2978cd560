/* test_limits.c - what a process may use, read from files as containers and jobs have them: control groups of both versions, quotas
 * and memory limits anywhere on the path, mounts that show a part of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cpu.h"
#include "core/limits.h"

static char root[64];

/* A file below the root, with the folders that it needs. */
static void put(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        mkdir(full, 0700);
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int begin(void **state) {
    (void)state;
    strcpy(root, "/tmp/variant-limits-XXXXXX");
    return mkdtemp(root) ? 0 : 1;
}

static int end(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static vt_limits read_here(void) {
    vt_limits limits;
    vt_limits_read(&limits, root);
    assert_true(limits.processors >= limits.affinity && limits.affinity >= 1);
    assert_true(limits.threads >= 1 && limits.threads <= limits.affinity);
    return limits;
}

#define UNIFIED "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void nothing_there(void **state) {
    (void)state;
    vt_limits limits = read_here();
    assert_true(limits.quota == 0);
    assert_int_equal(limits.memory_limit, 0);
    assert_int_equal(limits.available, 0);
    assert_int_equal(limits.threads, limits.affinity);
}

/* Version 2, as systemd has it: the tightest quota is in the middle of the path, the memory limit at the end. */
static void unified_path(void **state) {
    (void)state;
    put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" UNIFIED);
    put("/proc/self/cgroup", "0::/user.slice/user-1000.slice/job.scope\n");
    put("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/user.slice/user-1000.slice/cpu.max", "50000 100000\n");
    put("/sys/fs/cgroup/user.slice/user-1000.slice/job.scope/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/user.slice/user-1000.slice/job.scope/memory.max", "1000000\n");
    put("/sys/fs/cgroup/user.slice/user-1000.slice/job.scope/memory.current", "700000\n");
    put("/sys/fs/cgroup/user.slice/user-1000.slice/job.scope/memory.stat",
        "anon 500000\nfile 200000\ninactive_file 150000\n");
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    vt_limits limits = read_here();
    assert_true(limits.quota == 0.5);
    assert_int_equal(limits.threads, 1);
    assert_int_equal(limits.memory_limit, 1000000);
    assert_int_equal(limits.memory_left, 450000);
}

/* A container: its group is the root of what it sees, and the limits lie in the mount itself. */
static void unified_container(void **state) {
    (void)state;
    put("/proc/self/mountinfo", UNIFIED);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/memory.max", "536870912\n");
    vt_limits limits = read_here();
    assert_true(limits.quota == 1.5);
    assert_int_equal(limits.threads, limits.affinity < 2 ? 1 : 2);
    assert_int_equal(limits.memory_left, 536870912);
}

/* The group lies outside of what the mount shows. */
static void unified_elsewhere(void **state) {
    (void)state;
    put("/proc/self/mountinfo", UNIFIED);
    put("/proc/self/cgroup", "0::/../../other\n");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    assert_true(read_here().quota == 1.0);
}

#define OLD                                                                                        \
    "40 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n"                          \
    "41 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                  \
    "42 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void old_hierarchies(void **state) {
    (void)state;
    put("/proc/self/mountinfo", OLD);
    put("/proc/self/cgroup", "5:memory:/jobs/7\n4:cpuacct:/wrong\n3:cpu:/jobs/7\n0::/\n");
    put("/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/jobs/7/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us", "25000\n");
    put("/sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us", "50000\n");
    put("/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "2000000\n");
    put("/sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes", "1500000\n");
    put("/sys/fs/cgroup/memory/jobs/7/memory.stat",
        "inactive_file 5\ntotal_inactive_file 100000\n");
    put("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n");
    vt_limits limits = read_here();
    assert_true(limits.quota == 0.5);
    assert_int_equal(limits.memory_limit, 2000000);
    assert_int_equal(limits.memory_left, 600000);
}

/* Docker of old: both controllers in one mount, which shows the container's folder alone. */
static void old_container(void **state) {
    (void)state;
    put("/proc/self/mountinfo",
        "50 49 0:31 /docker/ab12 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
    put("/proc/self/cgroup", "4:cpu,cpuacct:/docker/ab12\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "70000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    vt_limits limits = read_here();
    assert_true(limits.quota == 0.7);
    assert_int_equal(limits.threads, 1);
}

static void damaged_files(void **state) {
    (void)state;
    put("/proc/self/mountinfo", UNIFIED "\n- \nx y z - cgroup2\n");
    put("/proc/self/cgroup", "\n::\n0:\n0::/a\n");
    put("/sys/fs/cgroup/a/cpu.max", "");
    put("/sys/fs/cgroup/a/memory.max", "many\n");
    put("/sys/fs/cgroup/cpu.max", "0 0\n");
    put("/proc/meminfo", "MemTotal:\nMemAvailable: x kB\n");
    vt_limits limits = read_here();
    assert_true(limits.quota == 0);
    assert_int_equal(limits.memory_limit, 0);
    assert_int_equal(limits.available, 0);
}

static void thread_counts(void **state) {
    (void)state;
    static const struct {
        const char *quota;
        int threads; /* with processors enough */
    } cases[] = {{"1000", 1},   {"49000", 1},  {"100000", 1}, {"149000", 1},
                 {"150000", 2}, {"200000", 2}, {"249000", 2}, {"800000", 8}};
    put("/proc/self/mountinfo", UNIFIED);
    put("/proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        char text[64];
        snprintf(text, sizeof text, "%s 100000\n", cases[i].quota);
        put("/sys/fs/cgroup/cpu.max", text);
        vt_limits limits = read_here();
        assert_int_equal(limits.threads,
                         limits.affinity < cases[i].threads ? limits.affinity : cases[i].threads);
    }
}

static void affinity(void **state) {
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    vt_limits limits = read_here();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(limits.affinity, 1);
    assert_int_equal(limits.threads, 1);
    assert_int_equal(read_here().affinity, CPU_COUNT(&all));
}

static void words(void **state) {
    (void)state;
    char line[256];
    variant_error err;
    vt_limits limits = {.processors = 8, .affinity = 4, .quota = 1.5, .threads = 2};
    vt_limits_describe(&limits, line, sizeof line);
    assert_string_equal(line,
                        "8 processors, affinity to 4, a quota of 1.5 processors' time: 2 threads");
    limits = (vt_limits){.processors = 1,
                         .affinity = 1,
                         .threads = 1,
                         .memory_limit = 500000000,
                         .memory_left = 200000000,
                         .available = 1000000000};
    vt_limits_describe(&limits, line, sizeof line);
    assert_string_equal(
        line, "1 processor, affinity to 1, no quota, a memory limit of 500.0 MB: 1 thread");
    assert_int_equal(vt_limits_memory(&limits, 200000000, "this", &err), VARIANT_OK);
    assert_int_equal(vt_limits_memory(&limits, 200000001, "this", &err), VARIANT_E_MEMORY);
    assert_non_null(strstr(err.message, "this needs 200.0 MB"));
    assert_non_null(strstr(err.message, "500.0 MB"));
    limits.memory_limit = 0;
    assert_int_equal(vt_limits_memory(&limits, 1000000000, "this", &err), VARIANT_OK);
    assert_int_equal(vt_limits_memory(&limits, 1000000001, "this", &err), VARIANT_E_MEMORY);
    assert_non_null(strstr(err.message, "system"));
}

/* In a child: a limit once lowered stays. */
static void address_space(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* its shadow alone is beyond any limit */
#endif
    const pid_t child = fork();
    if (child == 0) {
        variant_error err;
        if (vt_limits_address_space((size_t)1 << 40, "x", &err) != VARIANT_OK) _exit(1);
        struct rlimit limit = {(size_t)1 << 36, (size_t)1 << 36};
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        if (vt_limits_address_space((size_t)1 << 37, "x", &err) != VARIANT_E_MEMORY) _exit(3);
        if (!strstr(err.message, "ulimit -v")) _exit(4);
        if (vt_limits_address_space((size_t)1 << 20, "x", &err) != VARIANT_OK) _exit(5);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(nothing_there),     IN_FOLDER(unified_path),         IN_FOLDER(unified_container),
        IN_FOLDER(unified_elsewhere), IN_FOLDER(old_hierarchies),      IN_FOLDER(old_container),
        IN_FOLDER(damaged_files),     IN_FOLDER(thread_counts),        IN_FOLDER(affinity),
        cmocka_unit_test(words),      cmocka_unit_test(address_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
