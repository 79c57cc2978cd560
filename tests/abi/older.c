/* older.c - a program compiled against the shorter structs of tests/abi/variant.h, that runs with the library of today. Behind each
 * struct lies a guard: nothing is written beyond what the program knows, what it cannot say has its default, and what it asks is
 * answered. Run by tests/abi.sh.
 *   abi_older_static MODEL OUT.png */
#include <variant.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 128

/* A struct with a guard behind it, all of 0xa5. */
#define GUARDED(type, name)                                                                        \
    struct {                                                                                       \
        type it;                                                                                   \
        unsigned char guard[GUARD];                                                                \
    } name;                                                                                        \
    memset(&name, 0xa5, sizeof name)

static int passed, failed;
static variant_error error;

static void check(bool good, const char *what) {
    passed += good;
    failed += !good;
    if (!good) printf("FAIL: %s: %s\n", what, error.message);
}

static void check_guard(const unsigned char *guard, size_t size, const char *name) {
    bool whole = true;
    for (size_t i = 0; i < size; ++i) whole = whole && guard[i] == 0xa5;
    check(whole, name);
}
#define WHOLE(name) check_guard(name.guard, sizeof name.guard, "written beyond " #name)

static variant_engine *open_engine(const char *model) {
    variant_engine *engine = NULL;
    GUARDED(variant_engine_options, options);
    check(variant_engine_open(&engine, &options.it, &error) == VARIANT_E_ARGUMENT && !engine &&
              strstr(error.message, "call variant_engine_options_init first"),
          "options that no _init has set");
    check(variant_engine_open(&engine, NULL, &error) == VARIANT_E_ARGUMENT, "no options");
    variant_engine_options_init(&options.it);
    check(options.it.size == sizeof options.it, "the size is the program's");
    options.it.model = model;
    options.it.threads = 1;
    check(variant_engine_open(&engine, &options.it, &error) == VARIANT_OK, "opens");
    WHOLE(options);
    return engine;
}

/* The program's variant_report is shorter than today's, and so is its request. */
static void generate(const variant_engine *engine, const char *path) {
    variant_picture *pictures = NULL;
    GUARDED(variant_request, request);
    GUARDED(variant_report, report);
    check(variant_generate(engine, &request.it, &pictures, NULL, &error) == VARIANT_E_ARGUMENT &&
              !pictures && strstr(error.message, "call variant_request_init first"),
          "a request that no _init has set");
    variant_request_init(&request.it);
    check(variant_generate(engine, &request.it, &pictures, &report.it, &error) ==
                  VARIANT_E_ARGUMENT &&
              !pictures && strstr(error.message, "call variant_report_init first"),
          "a report that no _init has set");
    variant_report_init(&report.it);
    request.it.class_name = "1";
    request.it.seed = 5;
    request.it.count = 2;
    request.it.keep_scales = true;
    check(variant_generate(engine, &request.it, &pictures, &report.it, &error) == VARIANT_OK,
          "generates");
    check(report.it.scales == variant_engine_info(engine)->scales && report.it.depths[0] &&
              report.it.size == sizeof report.it,
          "a report");
    check(variant_picture_write(&pictures[1], path, 0, &error) == VARIANT_OK, "writes");
    WHOLE(request);
    WHOLE(report);
    GUARDED(variant_animation, animation);
    variant_animation_init(&animation.it);
    char name[512];
    snprintf(name, sizeof name, "%s.animated.png", path);
    check(variant_pictures_write_animation(pictures, 1, &animation.it, name, &error) == VARIANT_OK,
          "writes an animation");
    WHOLE(animation);
    variant_pictures_free(&pictures, request.it.count);
}

static void tell_costs(const variant_engine *engine) {
    GUARDED(variant_request, request);
    GUARDED(variant_memory, memory);
    GUARDED(variant_plan_options, options);
    GUARDED(variant_plan, plan);
    variant_plan **plans = NULL;
    int count = 0;
    variant_request_init(&request.it);
    variant_plan_options_init(&options.it);
    check(variant_request_memory(engine, &request.it, &memory.it, &error) == VARIANT_E_ARGUMENT,
          "a memory that no _init has set");
    variant_memory_init(&memory.it);
    variant_plan_init(&plan.it);
    check(variant_request_memory(engine, &request.it, &memory.it, &error) == VARIANT_OK &&
              memory.it.weights + memory.it.mapped > 0 && memory.it.kv > 0,
          "memory is told");
    options.it.memory_only = true;
    options.it.cache = "";
    options.it.quality = "fast";
    check(variant_plan_make(engine, &request.it, &options.it, &plan.it, &error) == VARIANT_OK &&
              plan.it.fits && plan.it.depth > 0 && plan.it.why[0],
          "plans");
    variant_plan_apply(&plan.it, &request.it);
    check(request.it.depth == plan.it.depth, "the plan is applied");
    check(variant_plan_list(engine, &request.it, &options.it, &plans, &count, &error) ==
                  VARIANT_OK &&
              count > 1 && plans[count - 1]->bytes > 0 && plans[1]->considered == count,
          "lists plans");
    free(plans);
    GUARDED(variant_seconds, seconds);
    variant_seconds_init(&seconds.it);
    check(variant_request_seconds(engine, &request.it, &options.it, &seconds.it, &error) ==
                  VARIANT_OK &&
              seconds.it.total > 0.0,
          "seconds are told");
    WHOLE(request);
    WHOLE(memory);
    WHOLE(options);
    WHOLE(plan);
    WHOLE(seconds);
}

static void read_settings(const variant_engine *engine, const char *path) {
    variant_settings *settings = NULL;
    variant_picture *pictures = NULL;
    GUARDED(variant_request, request);
    check(variant_settings_read(&settings, path, &error) == VARIANT_OK, "settings are read");
    check(variant_settings_request(settings, engine, &request.it, &error) == VARIANT_E_ARGUMENT,
          "a request to fill that no _init has set");
    variant_request_init(&request.it);
    check(variant_settings_request(settings, engine, &request.it, &error) == VARIANT_OK &&
              request.it.seed == 5 && request.it.first_image == 1,
          "settings make a request");
    check(variant_generate(engine, &request.it, &pictures, NULL, &error) == VARIANT_OK,
          "which makes a picture");
    WHOLE(request);
    GUARDED(variant_edit, edit);
    variant_edit_init(&edit.it);
    check(edit.it.feather == -1 && !variant_settings_edit(settings, &edit.it), "none of an edit");
    WHOLE(edit);
    variant_pictures_free(&pictures, 1);
    variant_settings_free(&settings);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    variant_engine *engine = open_engine(argv[1]);
    if (engine) {
        generate(engine, argv[2]);
        tell_costs(engine);
        read_settings(engine, argv[2]);
    }
    variant_engine_close(&engine);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
