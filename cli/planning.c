/* planning.c - see planning.h. */
#include "planning.h"

#include <string.h>

#include "core/status.h"

void cli_planning_init(cli_planning *planning) {
    *planning = (cli_planning){0};
    variant_plan_options_init(&planning->options);
}

int cli_planning_option(cli_planning *planning, int id, const char *text) {
    variant_plan_options *o = &planning->options;
    switch (id) {
    case CLI_PLANNING_MEMORY:
        planning->wanted = true;
        return cli_bytes(text, &o->max_bytes);
    case CLI_PLANNING_LATENCY:
        planning->wanted = true;
        return cli_seconds(text, &o->max_seconds);
    case CLI_PLANNING_QUALITY:
        planning->wanted = true;
        o->quality = text;
        return cli_word(text, "high|balanced|fast") >= 0;
    case CLI_PLANNING_SWEEP:
        planning->wanted = true;
        return cli_text(text, "the folder or sweep.json of `variant sweep`", &o->sweep);
    case CLI_PLANNING_REMEASURE:
        o->remeasure = true;
        return 1;
    }
    return -1;
}

bool cli_planning_batch(cli_planning *planning, variant_request *request, const char *text) {
    planning->options.auto_batch = strcmp(text, "auto") == 0;
    if (!planning->options.auto_batch)
        return cli_int(text, 1, 4096, &request->batch) ||
               cli_refuse("expected a whole number from 1 to 4096, or auto");
    planning->wanted = true;
    return true;
}

int cli_planning_check(const cli_planning *planning, const variant_request *request,
                       const char *command) {
    const char *layers = request->layers;
    if (!planning->wanted) return -1;
    if (request->depth || request->depths || request->bridge >= 0)
        return cli_usage(command, "a budget, --quality, --sweep and --batch auto choose the depth: "
                                  "give no --depth, --depths or --bridge");
    if (layers && strcmp(layers, "equidistant") != 0 && strcmp(layers, "rounded") != 0 &&
        strcmp(layers, "prefix") != 0)
        return cli_usage(command,
                         "--layers %s: where the depth is chosen, expected equidistant, "
                         "rounded or prefix",
                         layers);
    return -1;
}

/* ---- what is said ---- */

void cli_planning_miss(const cli_planning *planning, const variant_plan *plan, char *out,
                       size_t size) {
    const variant_plan_options *o = &planning->options;
    char memory[96] = "", time[96] = "";
    double bytes = (double)plan->bytes, most = (double)o->max_bytes;
    if (o->max_bytes)
        snprintf(memory, sizeof memory, " %.1f MB of %.1f%s", bytes / 1e6, most / 1e6,
                 bytes > most ? "" : " (fits)");
    if (o->max_bytes && bytes > most)
        snprintf(memory + strlen(memory), sizeof memory - strlen(memory), " (%.1f too many)",
                 (bytes - most) / 1e6);
    if (o->max_seconds > 0.0)
        snprintf(time, sizeof time, "%s %.1f ms of %.1f", o->max_bytes ? " and" : "",
                 plan->seconds * 1e3, o->max_seconds * 1e3);
    if (o->max_seconds > 0.0 && plan->seconds > o->max_seconds)
        snprintf(time + strlen(time), sizeof time - strlen(time), " (%.1f too many)",
                 (plan->seconds - o->max_seconds) * 1e3);
    snprintf(
        out, size,
        "no schedule fits; the nearest takes%s%s: --bridge %d --depth %d --layers %s --batch %d",
        memory, time, plan->bridge, plan->depth, plan->layers, plan->batch);
}

void cli_planning_print(FILE *to, const variant_plan *plan) {
    fprintf(to, "--bridge %d --depth %d --layers %s --batch %d, %.1f MB", plan->bridge, plan->depth,
            plan->layers, plan->batch, (double)plan->bytes / 1e6);
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

variant_status cli_planning_apply(const cli_planning *planning, const char *command,
                                  const variant_engine *engine, variant_request *request,
                                  variant_plan *plan, variant_error *err) {
    char miss[400];
    VT_TRY(variant_plan_make(engine, request, &planning->options, plan, err));
    if (plan->warning[0]) fprintf(stderr, "variant %s: warning: %s\n", command, plan->warning);
    cli_planning_miss(planning, plan, miss, sizeof miss);
    if (!plan->fits) return vt_fail(err, VARIANT_E_UNSUPPORTED, "%s", miss);
    variant_plan_apply(plan, request);
    return VARIANT_OK;
}
