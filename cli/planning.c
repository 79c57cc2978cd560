/* planning.c - see planning.h. */
#include "planning.h"

#include <string.h>

#include "values.h"

void cli_planning_init(cli_planning *planning, int batch) {
    *planning = (cli_planning){.batch = batch};
    variant_plan_options_init(&planning->options);
}

static bool read_batch(void *owner, const char *text) {
    cli_planning *planning = owner;
    bool automatic = planning->options.auto_batch = strcmp(text, "auto") == 0;
    if (automatic) planning->wanted = true;
    return automatic || cli_int(text, 1, 4096, &planning->batch) ||
           cli_refuse("expected a whole number from 1 to 4096, or auto");
}

#define PLAN(member) cli_planning, options.member
#define WANTED CLI_MARK(cli_planning, wanted)
const cli_option cli_planning_options[] = {
    CLI_HEADING("depth by a budget (instead of --depth and --bridge; docs/PLANNING.md)"),
    {"max-memory", "SIZE",
     "the most that weights, activations, keys and values (and a picture that is edited) may take: "
     "300M, 1.5G, 512MiB, 2GiB",
     CLI_BYTES(PLAN(max_bytes)), WANTED, .unset = "no limit"},
    {"max-latency", "TIME",
     "the longest that a batch may take, once the model is loaded: 800ms, 2s",
     CLI_SECONDS(PLAN(max_seconds)), WANTED, .unset = "no limit"},
    {"quality", "WHICH", "{words}; with --sweep the best, the fastest within 5 %, within 25 %",
     CLI_NAME(PLAN(quality), "high|balanced|fast"), WANTED,
     .notes = "all layers|half of the late scales'|a quarter"},
    {"sweep", "FILE", "results of `variant sweep` with quality: the best measured one that fits",
     CLI_TEXT(PLAN(sweep), "the folder or sweep.json of `variant sweep`"), WANTED},
    {"remeasure", NULL, "time again, whatever the cache holds", CLI_FLAG(PLAN(remeasure))},
    {"batch", "N|auto", "pictures at a time, {range}; auto: as many as fit, at most 64",
     CLI_INT(cli_planning, batch, 1, 4096), .read = read_batch, .words = "auto", .own = true},
    {0},
};

/* " NAME VALUE", the value in quotes where a shell would take it apart. */
static void keep_option(cli_planning *planning, const char *name, const char *value) {
    const char *quote = strpbrk(value, " ;") ? "'" : "";
    const size_t used = strlen(planning->given);
    snprintf(planning->given + used, sizeof planning->given - used, " --%s %s%s%s", name, quote,
             value, quote);
}

/* What of the line makes another plan, and is to be said again where the plan is followed. */
static void keep_given(cli_planning *planning, const cli_line *line) {
    static const char *const names[] = {"cfg-scale",     "cfg-scales", "cfg-late", "uncond-depth",
                                        "uncond-layers", "decoder",    "weights",  "kv"};
    planning->given[0] = '\0';
    for (size_t n = 0; n < sizeof names / sizeof *names; ++n) {
        const size_t length = strlen(names[n]);
        const char *value = NULL; /* of an option that is given again the last counts */
        for (int i = 0; i < line->count; ++i) {
            const char *word = line->words[i];
            if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, names[n], length) != 0) continue;
            if (word[2 + length] == '=') value = word + 3 + length;
            if (word[2 + length] == '\0' && i + 1 < line->count) value = line->words[i + 1];
        }
        if (value) keep_option(planning, names[n], value);
    }
}

int cli_planning_check(cli_planning *planning, variant_request *request, const cli_line *line) {
    const char *layers = request->layers;
    request->batch = planning->batch;
    if (!planning->wanted) return -1;
    keep_given(planning, line);
    if (request->uncond_depths)
        return cli_misuse("a budget, --quality, --sweep and --batch auto choose the depth: "
                          "--uncond-depths is for one that is known; give --uncond-depth");
    if (request->depth || request->depths || request->bridge >= 0)
        return cli_misuse("a budget, --quality, --sweep and --batch auto choose the depth: "
                          "give no --depth, --depths or --bridge");
    if (layers && strcmp(layers, "equidistant") != 0 && strcmp(layers, "rounded") != 0 &&
        strcmp(layers, "prefix") != 0)
        return cli_misuse("--layers %s: where the depth is chosen, expected equidistant, "
                          "rounded or prefix",
                          layers);
    return -1;
}

/* ---- what is said ---- */

void cli_planning_flags(const cli_planning *planning, const variant_plan *plan, char *out,
                        size_t size) {
    char uncond[96] = "", late[32] = "";
    if (plan->uncond_depth > 0)
        snprintf(uncond, sizeof uncond, " --uncond-depth %d --uncond-layers %s", plan->uncond_depth,
                 plan->layers);
    else if (plan->uncond_depth == 0)
        snprintf(uncond, sizeof uncond, " --uncond-depth 0");
    if (plan->cfg_late >= 0.0f)
        snprintf(late, sizeof late, " --cfg-late %g", (double)plan->cfg_late);
    snprintf(out, size, "--bridge %d --depth %d --layers %s%s%s --batch %d%s", plan->bridge,
             plan->depth, plan->layers, uncond, late, plan->batch, planning->given);
}

void cli_planning_miss(const cli_planning *planning, const variant_plan *plan, char *out,
                       size_t size) {
    const variant_plan_options *o = &planning->options;
    char memory[128] = "", time[96] = "", flags[CLI_PLANNING_FLAGS];
    double bytes = (double)plan->bytes, most = (double)o->max_bytes;
    if (o->max_bytes)
        snprintf(memory, sizeof memory, " %.1f MB of %.1f%s", bytes / 1e6, most / 1e6,
                 bytes > most ? "" : " (fits)");
    if (o->max_bytes && bytes > most)
        snprintf(memory + strlen(memory), sizeof memory - strlen(memory), " (%.1f too many%s)",
                 (bytes - most) / 1e6,
                 most < 1e5 ? "; a number alone is bytes, 300M are megabytes" : "");
    if (o->max_seconds > 0.0)
        snprintf(time, sizeof time, "%s %.1f ms of %.1f", o->max_bytes ? " and" : "",
                 plan->seconds * 1e3, o->max_seconds * 1e3);
    if (o->max_seconds > 0.0 && plan->seconds > o->max_seconds)
        snprintf(time + strlen(time), sizeof time - strlen(time), " (%.1f too many)",
                 (plan->seconds - o->max_seconds) * 1e3);
    cli_planning_flags(planning, plan, flags, sizeof flags);
    snprintf(out, size, "no schedule fits; the nearest takes%s%s: %s", memory, time, flags);
}

void cli_planning_print(FILE *to, const cli_planning *planning, const variant_plan *plan) {
    char flags[CLI_PLANNING_FLAGS];
    cli_planning_flags(planning, plan, flags, sizeof flags);
    fprintf(to, "%s, %.1f MB", flags, (double)plan->bytes / 1e6);
    if (plan->seconds > 0.0)
        fprintf(to, ", %.1f ms a batch%s", plan->seconds * 1e3,
                plan->disturbed ? " (disturbed)" : "");
    if (plan->has_distance) fprintf(to, ", %s %.4g", plan->score, plan->distance);
    if (plan->distance_spread > 0.0) fprintf(to, " +- %.2g", plan->distance_spread);
    fprintf(to, ": %s", plan->why);
}

/* Text of a sweep's file inside quotes. */
static void print_text(FILE *to, const char *text) {
    fputc('"', to);
    for (; *text; ++text) {
        if (*text == '"' || *text == '\\') fputc('\\', to);
        if ((unsigned char)*text >= ' ') fputc(*text, to);
    }
    fputc('"', to);
}

void cli_planning_json(FILE *to, const cli_planning *planning, const variant_plan *plan) {
    fprintf(to,
            "{\"fits\": %s, \"bridge\": %d, \"depth\": %d, \"layers\": \"%s\", \"batch\": %d, "
            "\"bytes\": %zu, \"max_bytes\": %zu, \"max_seconds\": %.6f, ",
            plan->fits ? "true" : "false", plan->bridge, plan->depth, plan->layers, plan->batch,
            plan->bytes, planning->options.max_bytes, planning->options.max_seconds);
    if (plan->uncond_depth >= 0) fprintf(to, "\"uncond_depth\": %d, ", plan->uncond_depth);
    if (plan->cfg_late >= 0.0f) fprintf(to, "\"cfg_late\": %g, ", (double)plan->cfg_late);
    if (plan->uncond_depths[0]) fprintf(to, "\"uncond_depths\": \"%s\", ", plan->uncond_depths);
    if (plan->seconds > 0.0)
        fprintf(to, "\"seconds\": %.6f, ", plan->seconds);
    else
        fputs("\"seconds\": null, ", to);
    if (plan->has_distance) {
        fprintf(to, "\"distance\": %.9g, ", plan->distance);
        if (plan->distance_spread > 0.0)
            fprintf(to, "\"distance_spread\": %.9g, ", plan->distance_spread);
        fputs("\"score\": ", to);
        print_text(to, plan->score);
        fputs(", ", to);
    }
    fprintf(to,
            "\"kept\": %.6f, \"considered\": %d, \"measured\": %s, \"disturbed\": %s, \"why\": ",
            plan->kept, plan->considered, plan->measured ? "true" : "false",
            plan->disturbed ? "true" : "false");
    print_text(to, plan->why);
    fputc('}', to);
}

variant_status cli_planning_check_memory(const cli_planning *planning, const variant_engine *engine,
                                         const variant_request *request, variant_error *err) {
    cli_planning memory = {.wanted = true, .batch = planning->batch};
    variant_plan plan = {.size = sizeof plan};
    char miss[2 * CLI_PLANNING_FLAGS];
    if (!planning->wanted || !planning->options.max_bytes) return VARIANT_OK;
    snprintf(memory.given, sizeof memory.given, "%s", planning->given);
    variant_plan_options_init(&memory.options);
    memory.options.max_bytes = planning->options.max_bytes;
    memory.options.other_bytes = planning->options.other_bytes;
    memory.options.auto_batch = planning->options.auto_batch;
    memory.options.memory_only = true;
    CLI_TRY(variant_plan_make(engine, request, &memory.options, &plan, err));
    cli_planning_miss(&memory, &plan, miss, sizeof miss);
    return plan.fits ? VARIANT_OK : variant_fail(err, VARIANT_E_UNSUPPORTED, "%s", miss);
}

variant_status cli_planning_apply(const cli_planning *planning, const variant_engine *engine,
                                  variant_request *request, variant_plan *plan,
                                  variant_error *err) {
    char miss[2 * CLI_PLANNING_FLAGS];
    variant_plan_init(plan);
    CLI_TRY(variant_plan_make(engine, request, &planning->options, plan, err));
    if (plan->warning[0]) cli_warn(NULL, plan->warning);
    cli_planning_miss(planning, plan, miss, sizeof miss);
    if (!plan->fits) return variant_fail(err, VARIANT_E_UNSUPPORTED, "%s", miss);
    variant_plan_apply(plan, request);
    return VARIANT_OK;
}
