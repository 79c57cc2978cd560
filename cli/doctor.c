/* doctor.c - `variant doctor`: what this machine can do, which kernels it gets, what a model will take here and how long, and
 * what is wrong. Called by main.c. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

typedef struct settings {
    cli_request asked;
    bool no_times, json;
} settings;

/* Something a person should know: wrong, or a note. */
typedef struct finding {
    bool wrong;
    char what[320], remedy[200]; /* remedy "": there is none */
} finding;

enum { MOST_FINDINGS = 16, MOST_ROWS = VARIANT_MAX_DEPTHS + 1 };

/* What a depth of the model takes. */
typedef struct row {
    int depth;
    variant_memory memory;
    variant_seconds seconds;
} row;

typedef struct visit {
    variant_machine machine;
    double load; /* mean of the last minute; negative: the system does not say */
    finding findings[MOST_FINDINGS];
    int finding_count;
    variant_engine *engine;
    row rows[MOST_ROWS];
    int row_count;
} visit;

static void init(void *user) {
    settings *s = user;
    cli_request_init(&s->asked);
    s->asked.request.batch = 1;
}

static const cli_option options[] = {
    {"batch", "N", "pictures at a time, {range}", .letter = 'b',
     CLI_INT(settings, asked.request.batch, 1, 4096), .own = true},
    {"no-times", NULL, "do not tell times, which are measured once for some seconds",
     CLI_FLAG(settings, no_times)},
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine, CLI_MODEL),
    CLI_HEADING("running"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    {0},
};

/* ---- what is wrong ---- */

static void find(visit *v, bool wrong, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void find(visit *v, bool wrong, const char *remedy, const char *format, ...) {
    if (v->finding_count == MOST_FINDINGS) return;
    finding *f = &v->findings[v->finding_count++];
    f->wrong = wrong;
    snprintf(f->remedy, sizeof f->remedy, "%s", remedy);
    va_list values;
    va_start(values, format);
    vsnprintf(f->what, sizeof f->what, format, values);
    va_end(values);
    for (char *at = f->what; *at; ++at) /* of the environment, which holds anything */
        if ((unsigned char)*at < ' ' || *at == 0x7F) *at = '?';
}

static void look_at_kernels(visit *v) {
    const variant_machine *m = &v->machine;
    const char *core = variant_blas_core_wanted();
    const char *told = getenv("OPENBLAS_CORETYPE"), *chosen = getenv(CLI_CORE_CHOSEN);
    char remedy[128];
    if (told && !*told)
        find(v, false, "unset OPENBLAS_CORETYPE",
             "OPENBLAS_CORETYPE is set to nothing, which chooses no kernels: %s is used", m->blas);
    else if (told && !(chosen && strcmp(chosen, told) == 0))
        find(v, false, "unset OPENBLAS_CORETYPE",
             "OPENBLAS_CORETYPE=%.32s chooses the kernels of products in float32: %s is used", told,
             m->blas);
    if (core) {
        snprintf(remedy, sizeof remedy, "set OPENBLAS_CORETYPE=%s in the environment", core);
        find(v, true, remedy,
             "%s does not know this processor: products in float32 are some three times slower",
             m->blas);
    }
    if (m->blas_serial)
        find(v, false, "apt install libopenblas0-openmp",
             "OpenBLAS is the flavour without threads: products in float32 take turns");
    if (strcmp(m->kernels, m->offered) != 0)
        find(v, false, "unset VARIANT_CPU", "VARIANT_CPU asks for %s, the processor has %s",
             m->kernels, m->offered);
    else if (getenv("VARIANT_CPU") && strcmp(getenv("VARIANT_CPU"), m->kernels) != 0)
        find(v, false, "unset VARIANT_CPU",
             "VARIANT_CPU=%.32s is no instruction set that this processor has: %s is used",
             getenv("VARIANT_CPU"), m->kernels);
    else if (strcmp(m->offered, "baseline") == 0)
        find(v, false, "", "the processor has no AVX2: everything is several times slower");
    if (m->refused[0]) find(v, false, "", "%s", m->refused);
}

static void look_at_limits(visit *v) {
    const variant_machine *m = &v->machine;
    const size_t little = (size_t)512 << 20;
    if (m->affinity < m->processors)
        find(v, false, "", "this process may run on %d of %d processors", m->affinity,
             m->processors);
    if (m->quota > 0.0 && m->quota < (double)m->affinity)
        find(v, false, "", "the control group grants %.3g processors' worth of time: %d thread%s",
             m->quota, m->threads, m->threads == 1 ? "" : "s");
    if (m->memory_free > 0 && m->memory_free < little)
        find(v, true, "end what holds it", "%.0f MB of memory are free",
             (double)m->memory_free / 1e6);
    if (m->memory_limit > 0 && m->memory_left < little)
        find(v, true, "raise the control group's limit",
             "the control group's limit of %.0f MB leaves %.0f MB", (double)m->memory_limit / 1e6,
             (double)m->memory_left / 1e6);
    if (m->address_space_left < little)
        find(v, true, "ulimit -v unlimited", "ulimit -v leaves %.0f MB of address space",
             (double)m->address_space_left / 1e6);
    if (v->load > (double)m->threads + 0.5)
        find(v, false, "", "other work has the processors (load %.1f on %d): times are longer",
             v->load, m->threads);
}

static size_t bytes_of(const variant_memory *m) {
    return m->weights + m->mapped + m->arena + m->kv;
}

/* Does a batch at full depth go into what this process can have? */
static void look_at_memory(visit *v, const variant_info *info) {
    const variant_machine *m = &v->machine;
    const size_t wanted = bytes_of(&v->rows[0].memory);
    size_t had = m->address_space_left;
    if (m->memory_free && m->memory_free < had) had = m->memory_free;
    if (m->memory_limit && m->memory_left < had) had = m->memory_left;
    if (had < SIZE_MAX / 2) had += info->weight_bytes - info->mapped_bytes; /* taken already */
    if (wanted > had)
        find(v, true, "--weights bf16, int8 or int4, --max-memory, or a lesser --batch",
             "a batch takes %.1f MB, and %.1f MB are to be had", (double)wanted / 1e6,
             (double)had / 1e6);
    if (!info->supernet)
        find(v, false, "variant train supernet --model MODEL --data PICTURES",
             "the model was trained at its full depth alone: fewer layers cost quality at once");
}

static void look_at_sandbox(visit *v) {
    char line[128];
    if (!variant_sandbox_describe(line, sizeof line))
        find(v, false, "",
             "no sandbox can be had, %s: `variant serve` decodes pictures of requests in its own "
             "process",
             line);
}

/* ---- the model ---- */

static variant_status measure(visit *v, const settings *s, int depth, variant_error *err) {
    row *r = &v->rows[v->row_count];
    variant_plan_options plan;
    variant_request request = s->asked.request;
    variant_memory_init(&r->memory);
    variant_seconds_init(&r->seconds);
    variant_plan_options_init(&plan);
    r->depth = request.depth = depth;
    request.count = request.batch;
    ++v->row_count;
    const variant_status status = variant_request_memory(v->engine, &request, &r->memory, err);
    if (status != VARIANT_OK || s->no_times) return status;
    return variant_request_seconds(v->engine, &request, &plan, &r->seconds, err);
}

/* The full depth, then those that the model was trained at; of others half of the layers and a quarter. */
static variant_status open_and_measure(visit *v, settings *s, variant_error *err) {
    variant_status status = variant_engine_open(&v->engine, &s->asked.engine, err);
    if (status != VARIANT_OK) return status;
    const variant_info *info = variant_engine_info(v->engine);
    const int guessed[] = {(info->depth + 1) / 2, (info->depth + 3) / 4};
    const int *depths = info->supernet ? info->depths : guessed;
    const int count = info->supernet ? info->depth_count : 2;
    status = measure(v, s, info->depth, err);
    for (int i = 0; i < count && status == VARIANT_OK; ++i)
        if (depths[i] < info->depth) status = measure(v, s, depths[i], err);
    if (status == VARIANT_OK) look_at_memory(v, info);
    return status;
}

/* ---- for people ---- */

static void print_machine(const visit *v) {
    const variant_machine *m = &v->machine;
    char line[256];
    printf("variant %s\n\nmachine\n  processor  %s\n", variant_version(),
           m->processor[0] ? m->processor : "(the system does not say)");
    printf("  limits     %s\n", m->line);
    if (m->memory_free) printf("  memory     %.1f GB free", (double)m->memory_free / 1e9);
    if (m->memory_limit)
        printf(", the control group leaves %.1f of %.1f GB", (double)m->memory_left / 1e9,
               (double)m->memory_limit / 1e9);
    if (m->memory_free) putchar('\n');
    if (variant_backend_describe(variant_backend_name(0), line, sizeof line, NULL) == VARIANT_OK)
        printf("  kernels    %s\n", line);
    variant_sandbox_describe(line, sizeof line);
    printf("  sandbox    %s\n", line);
}

static void print_model(const visit *v, const settings *s) {
    const variant_info *info = variant_engine_info(v->engine);
    printf("\nmodel %s\n  %d layers of %d, %d scales, %d classes, %dx%d pixels, %s; weights %s, "
           "%.1f MB\n",
           s->asked.engine.model, info->depth, info->width, info->scales, info->classes,
           info->picture_side, info->picture_side, info->channels == 1 ? "grey" : "colour",
           info->weights, (double)info->weight_bytes / 1e6);
    printf("  %-6s %14s %14s %14s\n", "depth", "memory",
           s->asked.request.batch == 1 ? "time" : "time a batch", "pictures a second");
    for (int i = 0; i < v->row_count; ++i) {
        const row *r = &v->rows[i];
        printf("  %-6d %11.1f MB", r->depth, (double)bytes_of(&r->memory) / 1e6);
        if (r->seconds.total > 0.0)
            printf(" %11.1f ms %17.1f%s", r->seconds.total * 1e3,
                   s->asked.request.batch / r->seconds.total,
                   r->seconds.disturbed ? "  disturbed" : "");
        putchar('\n');
    }
}

static void print_findings(const visit *v, bool opened) {
    putchar('\n');
    for (int i = 0; i < 2 * v->finding_count; ++i) { /* what is wrong comes first */
        const finding *f = &v->findings[i % v->finding_count];
        if (f->wrong == (i < v->finding_count))
            printf("%s: %s%s%s\n", f->wrong ? "wrong" : "note", f->what, f->remedy[0] ? ": " : "",
                   f->remedy);
    }
    if (v->finding_count == 0) printf("nothing %sis wrong\n", opened ? "" : "else ");
}

/* ---- for scripts ---- */

static void print_text(const char *name, const char *text) {
    printf("\"%s\": \"", name);
    for (; *text; ++text) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text >= ' ') putchar(*text);
    }
    putchar('"');
}

static void print_json(const visit *v) {
    const variant_machine *m = &v->machine;
    char sandbox[128];
    variant_sandbox_describe(sandbox, sizeof sandbox);
    printf("{");
    print_text("version", variant_version());
    printf(", \"machine\": {");
    print_text("processor", m->processor);
    printf(", ");
    print_text("kernels", m->kernels);
    printf(", ");
    print_text("offered", m->offered);
    printf(", ");
    print_text("blas", m->blas);
    printf(", ");
    print_text("sandbox", sandbox);
    printf(", \"processors\": %d, \"affinity\": %d, \"quota\": %g, \"threads\": %d, "
           "\"memory_free\": %zu, \"memory_limit\": %zu, \"memory_left\": %zu}, \"depths\": [",
           m->processors, m->affinity, m->quota, m->threads, m->memory_free, m->memory_limit,
           m->memory_left);
    for (int i = 0; i < v->row_count; ++i) {
        const row *r = &v->rows[i];
        printf("%s{\"depth\": %d, \"weights\": %zu, \"mapped\": %zu, \"arena\": %zu, \"kv\": %zu, ",
               i ? ", " : "", r->depth, r->memory.weights, r->memory.mapped, r->memory.arena,
               r->memory.kv);
        if (r->seconds.total > 0.0)
            printf("\"seconds\": %.6f, \"disturbed\": %s}", r->seconds.total,
                   r->seconds.disturbed ? "true" : "false");
        else
            printf("\"seconds\": null}");
    }
    printf("], \"findings\": [");
    for (int i = 0; i < v->finding_count; ++i) {
        printf("%s{\"wrong\": %s, ", i ? ", " : "", v->findings[i].wrong ? "true" : "false");
        print_text("what", v->findings[i].what);
        printf(", ");
        print_text("remedy", v->findings[i].remedy);
        printf("}");
    }
    printf("]}\n");
}

static int run(void *user, const cli_line *line) {
    (void)line;
    settings *s = user;
    visit v = {.load = -1.0};
    variant_error err;
    variant_machine_init(&v.machine);
    if (variant_machine_read(&v.machine, &err) != VARIANT_OK) return cli_fail(&err);
    if (s->asked.engine.threads > 0) v.machine.threads = s->asked.engine.threads;
    if (getloadavg(&v.load, 1) != 1) v.load = -1.0;
    look_at_kernels(&v);
    look_at_limits(&v);
    look_at_sandbox(&v);
    variant_status status = VARIANT_OK;
    if (!s->json) print_machine(&v);
    if (s->asked.engine.model) status = open_and_measure(&v, s, &err);
    if (s->json) {
        print_json(&v);
    } else {
        if (status == VARIANT_OK && v.engine) print_model(&v, s);
        print_findings(&v, status == VARIANT_OK);
    }
    variant_engine_close(&v.engine);
    if (status != VARIANT_OK) return cli_fail(&err);
    for (int i = 0; i < v.finding_count; ++i)
        if (v.findings[i].wrong) return 1;
    return 0;
}

const cli_command cli_doctor = {
    .name = "doctor",
    .purpose = "what this machine can do, what a model takes here, and what is wrong",
    .usage = "[-m MODEL] [options]",
    .about = "Tells the processor's kernels, threads and memory; of a model the memory, to the "
             "byte, and "
             "the time of a batch at each depth, predicted from layers that are measured once and "
             "kept; and "
             "what is wrong, with what mends it: kernels of OpenBLAS that do not fit the "
             "processor, quotas, "
             "limits of memory, other work. Exit status 1 when something is wrong.",
    .examples = "variant doctor\n"
                "variant doctor -m models/fashion --batch 8",
    .opens = true,
    CLI_OF_THIS_FILE,
};
