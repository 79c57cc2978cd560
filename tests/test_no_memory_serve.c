/* test_no_memory_serve.c - allocations of a server that answers a request fail once (failing_memory.h), a sample of them or with the argument "all" each
 * one: that request gets its picture, an answer that says why not, or a closed connection; the next one gets its picture, and nothing is kept. */
#include "tests/failing_memory.h"
#include "tests/model_folder.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "serve/serve.h"

enum { ANSWER = 1 << 16, SECONDS = 20, STEP = 29 };

static bool all;
static int port;
static pthread_t server;
static char right[ANSWER], answer[ANSWER];

static void *serve(void *unused) {
    variant_error err = {0};
    vt_serve_options options;
    (void)unused;
    vt_serve_options_init(&options);
    variant_engine_options_init(&options.engine);
    options.engine.model = model_path;
    options.engine.threads = 1;
    options.port = 0;
    options.name = "A";
    options.quiet = true;
    if (vt_serve(&options, &err) == VARIANT_OK) return NULL;
    printf("no server: %s\n", err.message);
    fflush(stdout);
    _exit(1);
}

/* The server's log goes to the standard error: its first line has the address. */
static int start(void **state) {
    int log[2];
    char line[1024] = "", *at;
    write_model(state);
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
    assert_int_equal(pipe(log), 0);
    const int before = dup(STDERR_FILENO);
    dup2(log[1], STDERR_FILENO);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
    for (size_t used = 0; used < sizeof line - 1 && !strstr(line, "\"listening\"");) {
        const ssize_t got = read(log[0], line + used, sizeof line - 1 - used);
        if (got <= 0) break;
        used += (size_t)got;
    }
    dup2(before, STDERR_FILENO);
    at = strstr(line, "127.0.0.1:");
    if (!at) fail_msg("no address in \"%s\"", line);
    port = (int)strtol(at + strlen("127.0.0.1:"), NULL, 10);
    return 0;
}

static int stop(void **state) {
    pthread_kill(server, SIGTERM);
    pthread_join(server, NULL);
    return remove_model(state);
}

/* The whole answer; its length. */
static size_t ask_for(const char *method, const char *path, const char *body) {
    const struct timeval patience = {.tv_sec = SECONDS};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char head[512];
    size_t used = 0;
    ssize_t got = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int to = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(to >= 0);
    setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(to, (const struct sockaddr *)&address, sizeof address), 0);
    const int length = snprintf(head, sizeof head,
                                "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                                method, path, strlen(body), body);
    const bool sent = send(to, head, (size_t)length, MSG_NOSIGNAL) == length;
    while (sent && got > 0 && used < sizeof answer - 1) {
        got = recv(to, answer + used, sizeof answer - 1 - used, 0);
        if (got > 0) used += (size_t)got;
    }
    if (got < 0 && errno == EAGAIN) fail_msg("no answer within %d seconds", SECONDS);
    answer[used] = '\0';
    close(to);
    return used;
}

static size_t ask(void) {
    return ask_for("POST", "/v1/images/generations", "{\"prompt\":\"1\",\"seed\":5,\"n\":2}");
}

/* The pictures of an answer, behind what differs each time. */
static const char *pictures_of(char *text) {
    char *from = strstr(text, "\"data\":"), *end = from ? strstr(from, "\"request\":") : NULL;
    if (end) *end = '\0';
    return from ? from : "";
}

/* What is held once the server is at rest, at most `expected` or else after a second: frees of its threads come a little later than the answer. */
static int held_at_rest(int expected) {
    for (int i = 0; i < 200 && held_count > expected; ++i) usleep(5000);
    return held_count;
}

static bool has_pictures(void) {
    return strstr(answer, " 200 ") && strcmp(pictures_of(answer), right) == 0;
}

static void answers(void **state) {
    (void)state;
    int wrong = 0, made = 0, told = 0, closed = 0;
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = __wrap_free};
    cJSON_InitHooks(&hooks);
    ask();
    snprintf(right, sizeof right, "%s", pictures_of(answer));
    assert_true(strlen(right) > 100);
    ask();
    usleep(300000);
    int before = held_count;
    asked = 0;
    ask();
    const long count = asked;
    usleep(300000);
    const int each = held_count - before; /* an answer's text is freed by libmicrohttpd, unseen */
    assert_in_range(each, 0, 2);
    before = held_count;
    for (long n = 0; n < count && wrong < 20; n += all ? 1 : STEP) {
        asked = 0;
        fails_at = n;
        const size_t size = ask();
        fails_at = -1;
        const bool whole = has_pictures(),
                   refused = strstr(answer, "\"error\"") || strstr(answer, " 503 ");
        made += whole;
        told += !whole && refused;
        closed += size == 0;
        const bool first = whole || refused || size == 0;
        ask();
        const bool next = has_pictures();
        const int held = held_at_rest(before + 2 * each);
        const bool kept = held > before + 2 * each;
        before = held;
        if (first && next && !kept) continue;
        ++wrong;
        print_message("allocation %ld of %ld: %s\"%.200s\"; %s\n", n, count,
                      next ? "" : "and the next answer is wrong: ", answer,
                      kept ? "; something is kept" : "");
#ifdef __GLIBC__
        backtrace_symbols_fd(failed_frames, failed_frame_count, STDERR_FILENO);
#endif
    }
    cJSON_InitHooks(NULL);
    print_message(
        "serve: %d of %ld allocations failed once each: %d answers with pictures, %d that "
        "said why not, %d closed connections, %d wrong\n",
        made + told + closed, count, made, told, closed, wrong);
    assert_int_equal(wrong, 0);
    assert_true(told > 0);
}

/* ---- what is told of a model and of jobs ---- */

static const char *body_of(const char *text) {
    const char *end = strstr(text, "\r\n\r\n");
    return end ? end + 4 : "";
}

/* Is it what is right, or does it say that it is not: 503, or a stream that has no end? */
static bool whole_or_told(size_t size, const char *mark) {
    const char *body = body_of(answer), *last = "\r\n0\r\n\r\n";
    if (strstr(answer, " 200 ") == NULL) return size == 0 || strstr(answer, " 503 ");
    if (strcmp(body, right) == 0) return strstr(body, mark) != NULL;
    const size_t length = strlen(body), least = strlen(last);
    return strstr(answer, "text/event-stream") &&
           (length < least || strcmp(body + length - least, last) != 0);
}

/* Each allocation of one answer fails, or a sample. */
static void is_whole_or_told(const char *path, const char *mark) {
    int wrong = 0, same = 0, tried = 0;
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = __wrap_free};
    cJSON_InitHooks(&hooks);
    ask_for("GET", path, "");
    snprintf(right, sizeof right, "%s", body_of(answer));
    assert_non_null(strstr(right, mark));
    asked = 0;
    ask_for("GET", path, "");
    assert_string_equal(body_of(answer), right);
    const long count = asked;
    for (long n = 0; n < count; n += all ? 1 : 5, ++tried) {
        asked = 0;
        fails_at = n;
        const size_t size = ask_for("GET", path, "");
        fails_at = -1;
        same += strcmp(body_of(answer), right) == 0;
        if (whole_or_told(size, mark)) continue;
        ++wrong;
        print_message("%s: allocation %ld of %ld: \"%.300s\"\n", path, n, count, answer);
    }
    cJSON_InitHooks(NULL);
    print_message("%s: %d of %ld allocations failed once each: %d whole answers, %d that said why "
                  "not, %d wrong\n",
                  path, tried, count, same, tried - same - wrong, wrong);
    assert_int_equal(wrong, 0);
    assert_true(tried > same);
}

static void what_is_told_is_whole(void **state) {
    char job[128], events[160];
    (void)state;
    is_whole_or_told("/api/model", "\"classes\"");
    ask_for("POST", "/api/jobs", "{\"prompt\":\"1\",\"seed\":5}");
    const char *at = strstr(answer, "/api/jobs/");
    assert_non_null(at);
    snprintf(job, sizeof job, "%.*s", (int)strcspn(at, "\""), at);
    snprintf(events, sizeof events, "%s/events", job);
    for (int i = 0; i < 1000 && !strstr(answer, "\"completed\""); ++i) {
        usleep(5000);
        ask_for("GET", job, "");
    }
    is_whole_or_told(job, "\"b64_json\"");
    is_whole_or_told(events, "event: completed");
}

int main(int count, char **words) {
    all = count > 1 && strcmp(words[1], "all") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers),
                                       cmocka_unit_test(what_is_told_is_whole)};
    return cmocka_run_group_tests(tests, start, stop);
}
