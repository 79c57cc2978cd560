/* serve.c - see serve.h: the server's life, and what is due by the clock. */
#include "serve/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/jail.h"
#include "core/limits.h"
#include "serve/aside.h"
#include "serve/http.h"
#include "serve/load.h"
#include "serve/log.h"
#include "serve/reload.h"
#include "serve/scheduler.h"
#include "serve/systemd.h"

#define SECONDS_A_TICK 0.1

void vt_serve_options_init(vt_serve_options *options) {
    *options = (vt_serve_options){.listen = "127.0.0.1",
                                  .port = 8080,
                                  .queue = 64,
                                  .batch = 8,
                                  .connections = 1000,
                                  .deadline = 300.0,
                                  .drain = 30.0,
                                  .keep = 600.0,
                                  .keep_bytes = (size_t)64 << 20,
                                  .max_body = (size_t)32 << 20};
}

/* ---- memory ---- */

/* Unless told: three quarters of what the process's limits leave, and the weights, which are there already. */
static size_t find_memory(const sv_server *s) {
    vt_limits limits;
    if (s->options->max_memory) return s->options->max_memory;
    vt_limits_read(&limits, "");
    size_t left = limits.available ? limits.available : vt_physical_bytes() / 2;
    if (limits.memory_limit && limits.memory_left < left) left = limits.memory_left;
    return left / 4 * 3 + s->model->bytes;
}

/* What requests may take: all, without the weights and the room for pictures that are kept. */
static variant_status set_budget(sv_server *s, variant_error *err) {
    const size_t kept = s->options->keep_bytes, least = s->model->least,
                 fixed = s->model->bytes + kept;
    s->memory = find_memory(s);
    if (s->memory < fixed + least)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "--max-memory: %.1f MB; weights take %.1f MB, pictures kept %.1f MB and one "
                       "request %.1f MB",
                       (double)s->memory * 1e-6, (double)s->model->bytes * 1e-6,
                       (double)kept * 1e-6, (double)least * 1e-6);
    s->budget = s->memory - fixed;
    return VARIANT_OK;
}

/* ---- signals ---- */

static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Nothing new from now on. */
static void start_draining(sv_server *s, sv_http *http, int number) {
    cJSON *fields = cJSON_CreateObject();
    pthread_mutex_lock(&s->lock);
    __atomic_store_n(&s->draining, true, __ATOMIC_RELAXED);
    sv_times_give_up(s);
    cJSON_AddNumberToObject(fields, "signal", number);
    cJSON_AddNumberToObject(fields, "running", s->running);
    cJSON_AddNumberToObject(fields, "queued", s->queued);
    pthread_mutex_unlock(&s->lock);
    sv_log("draining", fields);
    sv_http_rest(http, s);
    sv_notify("STOPPING=1");
}

static bool is_drained(sv_server *s) {
    pthread_mutex_lock(&s->lock);
    const bool over = s->queued + s->running == 0 && !s->calls;
    pthread_mutex_unlock(&s->lock);
    return over;
}

static void cancel_all(sv_server *s) {
    pthread_mutex_lock(&s->lock);
    for (sv_job *job = s->jobs; job; job = job->next) sv_job_cancel(job);
    pthread_mutex_unlock(&s->lock);
}

static void tick(sv_server *s) {
    sv_reload_tick(s);
    sv_http_tick(s);
    pthread_mutex_lock(&s->lock);
    sv_jobs_tidy(s);
    sv_load_tick(s);
    pthread_mutex_unlock(&s->lock);
}

/* Until a signal has come and all is finished, or the time for that is over, or a second signal. */
static void watch(sv_server *s, sv_http *http, const sigset_t *signals) {
    const struct timespec span = {0, (long)(SECONDS_A_TICK * 1e9)};
    double since = 0.0;
    for (;;) {
        const int number = sigtimedwait(signals, NULL, &span);
        if (number == SIGHUP) sv_reload_ask(s);
        const bool ends = number == SIGTERM || number == SIGINT;
        if (ends && since > 0.0) break;
        if (ends) {
            start_draining(s, http, number);
            since = vt_seconds();
        }
        tick(s);
        if (since > 0.0 && (is_drained(s) || vt_seconds() - since > s->options->drain)) break;
    }
    cancel_all(s);
}

/* ---- strangers' pictures ---- */

/* Before there are threads, and before keys are read; said in `line`. Where it cannot be had the server goes on. */
static void begin_sandbox(const vt_serve_options *options, char *line, size_t size) {
    variant_error err = {0};
    const bool asked = vt_jail_is_on() || !options->no_sandbox;
    if (!asked)
        snprintf(line, size, "switched off by --no-sandbox");
    else if (vt_jail_begin(&err) != VARIANT_OK)
        snprintf(line, size, "%.200s", err.message);
    else
        vt_jail_describe(line, size);
}

static void tell_sandbox(const char *line) {
    char message[320];
    if (vt_jail_is_on()) return;
    snprintf(message, sizeof message, "pictures of requests are decoded in this process: %s", line);
    sv_log_warning("sandbox", message);
}

/* ---- life ---- */

static void tell_address(const sv_server *s, int port, const char *sandbox) {
    const bool six = strchr(s->options->listen, ':') != NULL;
    char address[160];
    cJSON *fields = cJSON_CreateObject();
    snprintf(address, sizeof address, "http://%s%.100s%s:%d", six ? "[" : "", s->options->listen,
             six ? "]" : "", port);
    cJSON_AddStringToObject(fields, "address", address);
    cJSON_AddStringToObject(fields, "model", s->options->name);
    cJSON_AddNumberToObject(fields, "memory_for_requests", (double)s->budget);
    if (vt_jail_is_on()) cJSON_AddStringToObject(fields, "sandbox", sandbox);
    sv_log("listening", fields);
    tell_sandbox(sandbox);
}

static variant_status server_open(sv_server *s, const vt_serve_options *options, int socket,
                                  variant_error *err) {
    *s = (sv_server){.options = options, .started_at = time(NULL), .socket = socket};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    sv_pace_init(&s->step_pace);
    sv_adapt_init(&s->adapt, options->adapt);
    VT_TRY(sv_http_check(options, err));
    VT_TRY(sv_guard_open(&s->guard, options, err));
    s->program = vt_peak_resident_bytes();
    VT_TRY(sv_model_open(&s->model, s, err));
    return set_budget(s, err);
}

/* Nobody uses it any more. */
static void close_model(sv_model *model) {
    if (!model) return;
    sv_model_close_engine(model);
    sv_model_release(model);
}

static void server_close(sv_server *s) {
    pthread_mutex_lock(&s->lock);
    while (s->jobs) {
        sv_job *job = s->jobs;
        s->jobs = job->next;
        sv_job_release(job);
    }
    close_model(s->old);
    close_model(s->model);
    pthread_mutex_unlock(&s->lock);
    sv_guard_close(&s->guard);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
}

static void stop_engine(sv_server *s, sv_engine_thread *thread) {
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    sv_times_interrupt(s);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    sv_engine_join(thread);
}

variant_status vt_serve(const vt_serve_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_serve_options own = *options;
    char address[SV_ADDRESS_SIZE], sandbox[240];
    int socket;
    sv_server s;
    sv_http http = {0};
    sv_engine_thread thread = {0};
    sigset_t signals;
    VT_TRY(sv_take_socket(&socket, address, &own.port, err));
    begin_sandbox(options, sandbox, sizeof sandbox);
    block_signals(&signals);               /* in all threads but this one, which asks for them */
    if (socket >= 0) own.listen = address; /* whatever --listen says */
    VT_CHECK(server_open(&s, &own, socket, err));
    VT_CHECK(sv_engine_start(&thread, &s, err));
    VT_CHECK(sv_aside_start(&s, err));
    VT_CHECK(sv_http_open(&http, &s, err));
    tell_address(&s, http.port, sandbox);
    sv_notify("READY=1");
    watch(&s, &http, &signals);
cleanup:
    sv_reload_end(&s);
    stop_engine(&s, &thread);
    sv_http_close(&http, &s);
    server_close(&s);
    vt_jail_end();
    if (status == VARIANT_OK) sv_log("ended", NULL);
    return status;
}
