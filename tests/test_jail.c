/* test_jail.c - readers in a process of their own: what they read is the same, what a stranger who took one over could try is
 * denied (each try asks for something harmless), and whatever becomes of that process is one line here.
 *   test_jail --without-seccomp PROGRAM [ARGUMENT...]     runs it where the kernel filters no system calls */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/fixtures.h"

#include "core/descriptor.h"
#include "core/jail_keeper.h"
#include "core/jail_walls.h"
#include "io/jailed.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static bool can_jail(void) {
    char line[128];
    if (vt_jail_describe(line, sizeof line)) return true;
    printf("SKIP test_jail: %s\n", line);
    return false;
}

/* ---- what is read is the same ---- */

static vt_bytes bytes_of(const char *path) {
    variant_error err;
    vt_mapping map;
    if (vt_mapping_open(&map, path, &err) != VARIANT_OK) fail_msg("%s", err.message);
    return (vt_bytes){map.data, map.size};
}

/* Calls for each file of a folder; how many there were. */
static int each_file(const char *folder, void (*call)(const char *path)) {
    char path[1024];
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        call(path);
        ++count;
    }
    closedir(dir);
    return count;
}

static void same_picture(const char *path) {
    const vt_bytes file = bytes_of(path);
    vt_raw_picture plain, jailed;
    variant_error plain_err = {0}, err = {0};
    for (int header_only = 1; header_only >= 0; --header_only) {
        const variant_status want = vt_raw_decode(&plain, file, header_only, &plain_err),
                             got = vt_jailed_picture(&jailed, (vt_input){file, -1}, header_only,
                                                     &err);
        if (want != got || strcmp(plain_err.message, err.message) != 0)
            fail_msg("%s: \"%s\" in the jail, \"%s\" without", path, err.message,
                     plain_err.message);
        if (want != VARIANT_OK) free(plain.data); /* begun */
        if (want != VARIANT_OK) continue;
        assert_int_equal(jailed.width, plain.width);
        assert_int_equal(jailed.height, plain.height);
        assert_int_equal(jailed.channels, plain.channels);
        assert_int_equal(jailed.orientation, plain.orientation);
        assert_int_equal(!jailed.data, header_only);
        if (!header_only)
            assert_memory_equal(jailed.data, plain.data,
                                (size_t)plain.width * (size_t)plain.height *
                                    (size_t)plain.channels);
        free(plain.data);
        free(jailed.data);
    }
}

static void pictures_are_the_same(void **state) {
    (void)state;
    int count = 0;
    assert_ok(vt_jail_begin(err));
    count += each_file(VARIANT_TEST_DIR "/golden/pictures", same_picture);
    count += each_file(VARIANT_TEST_DIR "/fuzz/corpus/picture", same_picture);
    count += each_file(VARIANT_TEST_DIR "/fuzz/corpus/png", same_picture);
    count += each_file(VARIANT_TEST_DIR "/fuzz/corpus/jpeg", same_picture);
    assert_true(count >= 60);
    vt_jail_end();
}

/* A picture with settings, as each format keeps them; by their public names. */
static void settings_are_the_same(void **state) {
    static const char *const endings[] = {"png", "jpg", "webp"};
    char folder[64], path[128];
    uint8_t pixels[8 * 8 * 3] = {9};
    const vt_image image = {8, 8, 3, pixels};
    (void)state;
    make_folder(folder);
    assert_ok(vt_jail_begin(err));
    for (int i = 0; i < 3; ++i) {
        char *text;
        vt_image back;
        snprintf(path, sizeof path, "%s/a.%s", folder, endings[i]);
        assert_ok(vt_image_write(&image, path, 90, "{\"seed\": 7}", err));
        assert_ok(vt_image_read_settings(&text, path, err));
        assert_string_equal(text, "{\"seed\": 7}");
        free(text);
        assert_ok(vt_image_probe(&back, path, NULL, err));
        assert_int_equal(back.width, 8);
        assert_ok(vt_image_write(&image, path, 90, NULL, err));
        assert_fails(vt_image_read_settings(&text, path, err), VARIANT_E_FORMAT,
                     "does not say what made it");
    }
    vt_jail_end();
    remove_folder(folder);
}

static void same_tensor(const vt_tensor *want, const vt_tensor *got) {
    assert_string_equal(got->name, want->name);
    assert_string_equal(got->group, want->group);
    assert_string_equal(vt_tensor_type_name(got), vt_tensor_type_name(want));
    assert_int_equal(got->rank, want->rank);
    assert_memory_equal(got->shape, want->shape, sizeof want->shape);
    assert_int_equal(got->bytes, want->bytes);
    if (want->bytes) assert_memory_equal(got->data, want->data, want->bytes);
}

static void same_meta(const vt_tensor_file *want, const vt_tensor_file *got) {
    assert_int_equal(vt_tensor_file_meta_count(got), vt_tensor_file_meta_count(want));
    for (int i = 0; i < vt_tensor_file_meta_count(want); ++i) {
        const char *pairs[4];
        vt_tensor_file_meta_at(want, i, &pairs[0], &pairs[1]);
        vt_tensor_file_meta_at(got, i, &pairs[2], &pairs[3]);
        assert_string_equal(pairs[2], pairs[0]);
        assert_string_equal(pairs[3], pairs[1]);
    }
}

/* In the jail by its path, and as memory that begins at an odd place. */
static void same_checkpoint(const char *path) {
    vt_tensor_file *want = NULL, *got[2] = {NULL};
    variant_error plain_err = {0}, err = {0};
    const vt_bytes file = bytes_of(path);
    uint8_t *odd = malloc(file.size + 1);
    if (file.size) memcpy(odd + 1, file.data, file.size);
    const variant_status status = vt_tensor_file_open(&want, path, &plain_err);
    assert_ok(vt_jail_begin(err));
    for (int i = 0; i < 2; ++i) {
        const variant_status again =
            i ? vt_tensor_file_of_memory(&got[i], path, odd + 1, file.size, &err)
              : vt_tensor_file_open(&got[i], path, &err);
        if (again != status || strcmp(plain_err.message, err.message) != 0)
            fail_msg("%s: \"%s\" in the jail, \"%s\" without", path, err.message,
                     plain_err.message);
        if (status != VARIANT_OK) continue;
        assert_string_equal(vt_tensor_file_format(got[i]), vt_tensor_file_format(want));
        assert_int_equal(vt_tensor_file_count(got[i]), vt_tensor_file_count(want));
        for (int t = 0; t < vt_tensor_file_count(want); ++t)
            same_tensor(vt_tensor_file_at(want, t), vt_tensor_file_at(got[i], t));
        same_meta(want, got[i]);
    }
    vt_jail_end();
    for (int i = 0; i < 2; ++i) vt_tensor_file_close(&got[i]);
    vt_tensor_file_close(&want);
    free(odd);
}

static void checkpoints_are_the_same(void **state) {
    (void)state;
    same_checkpoint(VARIANT_TEST_DIR "/golden/torch/micro_trainer.pth");
    assert_true(each_file(VARIANT_TEST_DIR "/fuzz/corpus/torch", same_checkpoint) >= 5);
}

/* ---- a table from a process that a stranger has taken over ---- */

/* Takes it with bytes changed: an error or a file whose tensors can be read, never more than is there. */
static void take_changed(const vt_tensor_file *of, const vt_jailed_table *head,
                         const uint8_t *bytes, size_t size) {
    vt_tensor_file file = {.map = of->map};
    variant_error err;
    volatile uint8_t seen = 0;
    file.map.borrowed = true;
    file.jailed = malloc(size);
    memcpy(file.jailed, bytes, size);
    vt_tensor_file_pool(&file);
    if (vt_jailed_table_take(&file, head, size, &err) == VARIANT_OK)
        for (int i = 0; i < file.count; ++i) {
            const vt_tensor *t = &file.tensors[i];
            if (t->bytes)
                seen ^= ((const uint8_t *)t->data)[0] ^ ((const uint8_t *)t->data)[t->bytes - 1];
            assert_true(strlen(t->name) + strlen(t->group) < size);
        }
    (void)seen;
    vt_pool_free(&file.pool);
    free(file.tensors);
    free(file.meta);
    free(file.jailed);
}

static void changed_tables_do_no_harm(void **state) {
    static const uint8_t values[] = {0, 1, 0x7F, 0x80, 0xFF};
    static const char *const paths[] = {VARIANT_TEST_DIR "/golden/torch/micro_trainer.pth",
                                        VARIANT_TEST_DIR "/fuzz/corpus/torch/deflated"};
    (void)state;
    for (int p = 0; p < 2; ++p) {
        vt_tensor_file *file = NULL;
        vt_jailed_table head;
        uint8_t *bytes;
        size_t size;
        assert_ok(vt_tensor_file_open(&file, paths[p], err));
        assert_ok(vt_jailed_table_make(&head, &bytes, &size, file, err));
        const size_t most = head.texts < 4096 ? head.texts : 4096;
        for (size_t v = 0; v < sizeof values; ++v) {
            for (size_t at = 0; at < most; ++at) {
                const uint8_t kept = bytes[at];
                bytes[at] = values[v];
                take_changed(file, &head, bytes, size);
                bytes[at] = kept;
            }
            for (size_t at = 0; at < sizeof head; ++at) {
                vt_jailed_table other = head;
                ((uint8_t *)&other)[at] = values[v];
                take_changed(file, &other, bytes, size);
            }
        }
        for (size_t less = 1; less < size; less = 2 * less + 1)
            take_changed(file, &head, bytes, size - less);
        free(bytes);
        vt_tensor_file_close(&file);
    }
}

/* ---- what is denied ---- */

static variant_status done(long result, variant_error *err) {
    return result >= 0 ? VARIANT_OK : vt_fail(err, VARIANT_E_FORMAT, "denied: %s", strerror(errno));
}

static variant_status try_open(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(open("/etc/passwd", O_RDONLY), err);
}
static variant_status try_create(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(open("/tmp/variant-test-jail", O_WRONLY | O_CREAT, 0600), err);
}
static variant_status try_unlink(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(unlink("/tmp/variant-test-jail-none"), err);
}
static variant_status try_socket(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(socket(AF_INET, SOCK_STREAM, 0), err);
}
static variant_status try_unix(vt_jail_room *room, variant_error *err) {
    int ends[2];
    (void)room;
    return done(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), err);
}
static variant_status try_exec(vt_jail_room *room, variant_error *err) {
    char *const none[] = {NULL};
    (void)room;
    return done(execve("/bin/true", none, none), err);
}
static variant_status try_fork(vt_jail_room *room, variant_error *err) {
    (void)room;
    const pid_t process = fork();
    if (process == 0) _exit(0);
    return done(process, err);
}
static variant_status try_signal(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(kill(1, 0), err);
}
static variant_status try_trace(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(ptrace(PTRACE_TRACEME, 0, NULL, NULL), err);
}
static variant_status try_code(vt_jail_room *room, variant_error *err) {
    (void)room;
    void *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return done(page == MAP_FAILED ? -1 : 0, err);
}
static variant_status try_more_rights(vt_jail_room *room, variant_error *err) {
    (void)room;
    return done(prctl(PR_SET_DUMPABLE, 1), err);
}
static variant_status try_descriptors(vt_jail_room *room, variant_error *err) {
    uint8_t byte;
    (void)room;
    for (int i = 4; i < 1024; ++i)
        if (read(i, &byte, 1) >= 0 || errno != EBADF) return VARIANT_OK;
    if (read(0, &byte, 1) != 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT, "denied: nothing is open");
}
static variant_status try_environment(vt_jail_room *room, variant_error *err) {
    (void)room;
    const char *key = getenv("VARIANT_API_KEY");
    return key && *key ? VARIANT_OK : vt_fail(err, VARIANT_E_FORMAT, "denied: no key");
}

static variant_status call(variant_status (*run)(vt_jail_room *, variant_error *), size_t memory,
                           double seconds, variant_error *err) {
    const vt_jail_job job = {
        .run = run, .file = -1, .memory = memory, .most = 1000, .seconds = seconds};
    uint8_t *out;
    size_t size;
    const variant_status status = vt_jail_call(&job, NULL, 0, &out, &size, err);
    free(out);
    return status;
}

static void what_a_reader_needs_not_is_denied(void **state) {
    static const struct {
        const char *name, *words;
        variant_status (*run)(vt_jail_room *, variant_error *);
    } tries[] = {
        {"open", "denied: Permission denied", try_open},
        {"create", "denied: Permission denied", try_create},
        {"unlink", "forbids", try_unlink},
        {"socket", "forbids", try_socket},
        {"socketpair", "forbids", try_unix},
        {"execve", "forbids", try_exec},
        {"fork", "forbids", try_fork},
        {"kill", "forbids", try_signal},
        {"ptrace", "forbids", try_trace},
        {"code", "forbids", try_code},
        {"prctl", "forbids", try_more_rights},
        {"descriptors", "denied: nothing is open", try_descriptors},
        {"environment", "denied: no key", try_environment},
    };
    (void)state;
    setenv("VARIANT_API_KEY", "a key that nobody shall see", 1);
    assert_ok(vt_jail_begin(err));
    assert_string_equal(getenv("VARIANT_API_KEY"), "a key that nobody shall see");
    for (size_t i = 0; i < sizeof tries / sizeof *tries; ++i) {
        variant_error got = {0};
        const variant_status status = call(tries[i].run, (size_t)8 << 20, 10, &got);
        if (status != VARIANT_E_FORMAT || !strstr(got.message, tries[i].words))
            fail_msg("%s: %s, \"%s\"; expected \"%s\"", tries[i].name, variant_status_name(status),
                     got.message, tries[i].words);
    }
    assert_int_not_equal(access("/tmp/variant-test-jail", F_OK), 0);
    vt_jail_end();
}

/* Landlock alone, without the filter that would hide it. */
static void landlock_closes_files(void **state) {
    int status;
    (void)state;
    if (!vt_walls_landlock()) {
        printf("SKIP test_jail: the kernel has no Landlock\n");
        return;
    }
    const pid_t process = fork();
    if (process == 0) {
        variant_error err;
        const bool open_before = open("/etc/passwd", O_RDONLY) >= 0;
        if (!open_before || vt_walls_close_files(&err) != VARIANT_OK) _exit(2);
        _exit(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 0 : 3);
    }
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
}

/* ---- what becomes of a process ---- */

static variant_status crash(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    __builtin_trap();
}
static variant_status spin(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    for (volatile int i = 0; i >= 0; i = !i)
        if (i < 0) break;
    return VARIANT_OK;
}
/* Of the clock, without a processor: a futex that nobody wakes. */
static void wait_for(double seconds) {
    const struct timespec span = {(time_t)seconds,
                                  (long)((seconds - (double)(time_t)seconds) * 1e9)};
    uint32_t nobody = 0;
    syscall(SYS_futex, &nobody, 128 /* FUTEX_WAIT, private */, 0, &span, NULL, 0);
}
static variant_status starve(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    wait_for(0.5);
    return VARIANT_OK;
}
static variant_status idle(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    wait_for(100.0);
    return VARIANT_OK;
}
static variant_status hoard(vt_jail_room *room, variant_error *err) {
    (void)room;
    volatile uint8_t *bytes = malloc((size_t)1 << 30);
    if (!bytes) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture of 7 x 7");
    bytes[0] = 1;
    return VARIANT_OK;
}
/* Without what sanitizers look at when a process ends, for which they ask the system more than a reader may. */
static _Noreturn void end_here(void) {
    for (;;) syscall(SYS_exit_group, 0);
}
static variant_status leave(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    end_here();
}
static variant_status lie(vt_jail_room *room, variant_error *err) {
    static const jail_answer answer = {.size = UINT64_MAX};
    (void)room, (void)err;
    vt_write(3, &answer, sizeof answer);
    end_here();
}
static variant_status pour(vt_jail_room *room, variant_error *err) {
    (void)err;
    room->out = calloc(1, 1001);
    room->out_size = 1001;
    return VARIANT_OK;
}
static variant_status promise(vt_jail_room *room, variant_error *err) {
    static const jail_answer answer = {.size = 1000}; /* as many as may come */
    (void)room, (void)err;
    vt_write(3, &answer, sizeof answer);
    end_here();
}
static variant_status shout(vt_jail_room *room, variant_error *err) {
    static jail_answer answer = {.status = (variant_status)77};
    (void)room, (void)err;
    memset(answer.message, '\n', sizeof answer.message);
    vt_write(3, &answer, sizeof answer);
    end_here();
}
static variant_status fine(vt_jail_room *room, variant_error *err) {
    (void)room, (void)err;
    return VARIANT_OK;
}

static void ends_of_a_reader_are_lines(void **state) {
    const size_t memory = (size_t)64 << 20;
    (void)state;
    assert_ok(vt_jail_begin(err));
    assert_fails(call(crash, memory, 10, err), VARIANT_E_FORMAT, "crashed in its sandbox (Illegal");
    assert_fails(call(spin, memory, 0.9, err), VARIANT_E_FORMAT,
                 "took more than 1 s of a processor");
    assert_ok(call(starve, memory, 0.2, err)); /* of a processor it had nothing */
    assert_fails(call(idle, memory, 0.02, err), VARIANT_E_FORMAT, "did not end within 0.2 s");
    if (!SANITIZED)
        assert_fails(call(hoard, memory, 10, err), VARIANT_E_FORMAT,
                     "more than the 64 MB that its sandbox leaves it (no memory for a picture");
    assert_fails(call(leave, memory, 10, err), VARIANT_E_FORMAT, "without an answer");
    assert_fails(call(lie, memory, 10, err), VARIANT_E_FORMAT, "18446744073709551615 bytes");
    assert_fails(call(pour, memory, 10, err), VARIANT_E_FORMAT,
                 "1001 bytes, expected at most 1000");
    assert_fails(call(promise, memory, 10, err), VARIANT_E_FORMAT, "without an answer");
    assert_fails(call(shout, memory, 10, err), VARIANT_E_FORMAT, "???");
    assert_ok(call(fine, memory, 10, err));
    vt_jail_end();
}

/* The one child of a process; 0: none, or the kernel lists none. */
static pid_t child_of(pid_t of) {
    char path[64];
    int process = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)of, (int)of);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%d", &process) != 1) process = 0;
    fclose(file);
    return process;
}

/* The keeper that there is, or will be in a moment; not `before`. */
static pid_t keeper_after(pid_t before) {
    for (int i = 0; i < 2000; ++i) {
        const pid_t keeper = child_of(child_of(getpid()));
        if (keeper > 1 && keeper != before) return keeper;
        usleep(5000);
    }
    fail_msg("no keeper comes after %d", (int)before);
    return 0;
}

static bool lists_children(void) {
    if (child_of(getpid()) > 1) return true;
    printf("SKIP test_jail: the kernel does not list children\n");
    return false;
}

static void a_lost_keeper_is_replaced(void **state) {
    (void)state;
    assert_ok(vt_jail_begin(err));
    if (lists_children()) {
        const pid_t keeper = keeper_after(0);
        kill(keeper, SIGTERM); /* as Ctrl-C and a manager's stop do: the program decides */
        assert_ok(call(fine, 1 << 20, 10, err));
        assert_int_equal(keeper_after(0), keeper);
        kill(keeper, SIGKILL);
        assert_ok(call(fine, 1 << 20, 10, err));
        assert_int_not_equal(keeper_after(keeper), keeper);
    }
    vt_jail_end();
}

/* A keeper that ends while it is at work: its call is sent to the next. */
static void *end_soon(void *user) {
    usleep(150000);
    kill(*(pid_t *)user, SIGKILL);
    return NULL;
}

static void a_call_outlives_its_keeper(void **state) {
    pthread_t thread;
    (void)state;
    assert_ok(vt_jail_begin(err));
    if (lists_children()) {
        pid_t keeper = keeper_after(0);
        assert_int_equal(pthread_create(&thread, NULL, end_soon, &keeper), 0);
        assert_ok(call(starve, 1 << 20, 10, err));
        pthread_join(thread, NULL);
        assert_int_not_equal(child_of(child_of(getpid())), keeper);
    }
    vt_jail_end();
}

/* Whoever ends every one of them has calls fail at once, and no process forked on and on. */
static void keepers_lost_again_and_again_are_missed(void **state) {
    (void)state;
    assert_ok(vt_jail_begin(err));
    if (lists_children()) {
        pid_t keeper = 0;
        for (int i = 0; i < 8; ++i) kill(keeper = keeper_after(keeper), SIGKILL);
        assert_fails(call(fine, 1 << 20, 10, err), VARIANT_E_IO, "again and again");
        assert_fails(call(fine, 1 << 20, 10, err), VARIANT_E_IO, "nothing is read for");
        assert_int_equal(child_of(child_of(getpid())), 0);
    }
    vt_jail_end();
    assert_ok(vt_jail_begin(err));
    assert_ok(call(fine, 1 << 20, 10, err));
    vt_jail_end();
}

static void without_a_warden_the_keeper_goes_on(void **state) {
    (void)state;
    assert_ok(vt_jail_begin(err));
    if (lists_children()) {
        const pid_t keeper = keeper_after(0);
        kill(child_of(getpid()), SIGKILL);
        assert_ok(call(fine, 1 << 20, 10, err));
        kill(keeper, SIGKILL);
        assert_fails(call(fine, 1 << 20, 10, err), VARIANT_E_IO, "keeper has ended");
        assert_fails(call(fine, 1 << 20, 10, err), VARIANT_E_IO, "keeper has ended");
    }
    vt_jail_end();
}

/* A copy of the process reads too, and neither end waits for the other. */
static void a_fork_shares_the_keeper(void **state) {
    int status;
    (void)state;
    assert_ok(vt_jail_begin(err));
    const pid_t process = fork();
    if (process == 0) {
        variant_error err;
        if (call(fine, 1 << 20, 10, &err) != VARIANT_OK) _exit(2);
        vt_jail_end();
        _exit(vt_jail_is_on() ? 3 : 0);
    }
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
    assert_ok(call(fine, 1 << 20, 10, err));
    const pid_t sleeper = fork(); /* holds what leads to the keeper */
    if (sleeper == 0) {
        pause();
        _exit(0);
    }
    vt_jail_end();
    kill(sleeper, SIGKILL);
    assert_int_equal(waitpid(sleeper, &status, 0), sleeper);
}

/* ---- many at a time ---- */

static void *read_often(void *user) {
    bool *failed = user;
    const vt_bytes file = bytes_of(VARIANT_TEST_DIR "/golden/pictures/rgb.png");
    vt_raw_picture want, got;
    variant_error err;
    if (vt_raw_decode(&want, file, false, &err) != VARIANT_OK) *failed = true;
    const size_t size = (size_t)want.width * (size_t)want.height * (size_t)want.channels;
    for (int i = 0; i < 25 && !*failed; ++i) {
        if (vt_jailed_picture(&got, (vt_input){file, -1}, false, &err) != VARIANT_OK ||
            memcmp(got.data, want.data, size) != 0 ||
            call(i % 2 ? crash : leave, 1 << 20, 10, &err) != VARIANT_E_FORMAT)
            *failed = true;
        free(got.data);
    }
    free(want.data);
    return NULL;
}

static void threads_read_side_by_side(void **state) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    bool failed[THREADS] = {false};
    (void)state;
    assert_ok(vt_jail_begin(err));
    for (int i = 0; i < THREADS; ++i)
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, &failed[i]), 0);
    for (int i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
    vt_jail_end();
}

/* ---- a kernel without ---- */

/* From now on, and in what is started: there is no seccomp(2). */
static bool take_seccomp_away(void) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void without_seccomp_there_is_none(void **state) {
    int status;
    (void)state;
    const pid_t process = fork();
    if (process == 0) {
        variant_error err;
        if (!take_seccomp_away()) _exit(2);
        if (vt_jail_begin(&err) != VARIANT_E_UNSUPPORTED || vt_jail_is_on()) _exit(3);
        _exit(strstr(err.message, "filters no system calls") ? 0 : 4);
    }
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "--without-seccomp") == 0) {
        if (take_seccomp_away()) execvp(argv[2], argv + 2);
        perror(argv[2]);
        return 126;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_the_same),
        cmocka_unit_test(settings_are_the_same),
        cmocka_unit_test(checkpoints_are_the_same),
        cmocka_unit_test(changed_tables_do_no_harm),
        cmocka_unit_test(what_a_reader_needs_not_is_denied),
        cmocka_unit_test(landlock_closes_files),
        cmocka_unit_test(ends_of_a_reader_are_lines),
        cmocka_unit_test(a_lost_keeper_is_replaced),
        cmocka_unit_test(a_call_outlives_its_keeper),
        cmocka_unit_test(keepers_lost_again_and_again_are_missed),
        cmocka_unit_test(without_a_warden_the_keeper_goes_on),
        cmocka_unit_test(a_fork_shares_the_keeper),
        cmocka_unit_test(threads_read_side_by_side),
        cmocka_unit_test(without_seccomp_there_is_none),
    };
    if (!can_jail()) {
        printf("0 passed, 0 failed\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
