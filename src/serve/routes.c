/* routes.c - see routes.h. */
#include "serve/routes.h"

#include <stdio.h>
#include <string.h>

#include "serve/handlers.h"

const sv_route sv_routes[] = {
    {"GET", "/", sv_page, SV_OPEN},
    {"GET", "/page/*", sv_page_part, SV_OPEN},
    {"POST", "/v1/images/generations", sv_images_generate, 0},
    {"POST", "/v1/images/edits", sv_images_edit, SV_LARGE},
    {"GET", "/v1/models", sv_models_list, 0},
    {"GET", "/v1/models/*", sv_models_show, 0},
    {"POST", "/api/jobs", sv_jobs_create, 0},
    {"POST", "/api/jobs/edits", sv_jobs_edit, SV_LARGE},
    {"GET", "/api/jobs/*", sv_jobs_show, SV_SHOWS},
    {"DELETE", "/api/jobs/*", sv_jobs_cancel, 0},
    {"POST", "/api/jobs/*/cancel", sv_jobs_cancel, 0},
    {"POST", "/api/jobs/*/refine", sv_jobs_refine, 0},
    {"GET", "/api/jobs/*/events", sv_jobs_events, 0},
    {"GET", "/api/jobs/*/images/*", sv_jobs_image, SV_OPEN | SV_SHOWS},
    {"GET", "/api/model", sv_model_show, 0},
    {"GET", "/api/plan", sv_plan_show, 0},
    {"GET", "/api/schedules", sv_schedules_show, 0},
    {"GET", "/healthz", sv_health, SV_OPEN | SV_VITAL},
    {"GET", "/health", sv_health, SV_OPEN | SV_VITAL}, /* what other servers call it */
    {"GET", "/readyz", sv_ready, SV_OPEN | SV_VITAL},
    {"GET", "/metrics", sv_metrics_show, SV_VITAL},
    {"GET", "/openapi.json", sv_openapi, SV_OPEN},
    {0},
};

/* Does the path have the pattern's parts? Those that are * go to arguments. */
static bool matches(const char *pattern, const char *path,
                    char arguments[SV_ARGUMENTS][SV_ARGUMENT_SIZE]) {
    int held = 0;
    while (*pattern || *path) {
        if (*pattern != '*') {
            if (*pattern++ != *path++) return false;
            continue;
        }
        const size_t length = strcspn(path, "/");
        if (length == 0 || length >= SV_ARGUMENT_SIZE) return false;
        snprintf(arguments[held++], SV_ARGUMENT_SIZE, "%.*s", (int)length, path);
        path += length;
        ++pattern;
    }
    return true;
}

const sv_route *sv_route_find(sv_call *call, const char *method, const char *path,
                              sv_fault *fault) {
    const char *asked = strcmp(method, "HEAD") == 0 ? "GET" : method;
    char allow[sizeof fault->allow] = "";
    size_t used = 0;
    for (const sv_route *route = sv_routes; route->path; ++route) {
        if (!matches(route->path, path, call->arguments)) continue;
        if (strcmp(route->method, asked) == 0) return route;
        used += (size_t)snprintf(allow + used, sizeof allow - used, "%s%s", used ? ", " : "",
                                 route->method);
    }
    if (!*allow) {
        sv_refuse(fault, 404, "not_found", "",
                  "%.100s: there is nothing here; GET /openapi.json lists what there is", path);
        return NULL;
    }
    sv_refuse(fault, 405, "method_not_allowed", "", "%.20s %.100s: expected %s", method, path,
              allow);
    snprintf(fault->allow, sizeof fault->allow, "%s", allow);
    return NULL;
}
