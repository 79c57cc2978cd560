/* load.c - see load.h. */
#include "serve/load.h"

#include <stdio.h>

#include "core/clock.h"
#include "serve/log.h"

double sv_backlog(const sv_server *s) {
    double pictures = 0.0;
    for (const sv_job *job = s->jobs; job; job = job->next) {
        if (sv_job_is_over(job)) continue;
        const variant_request *r = &job->wish.request;
        const int left = r->count - job->pictures_done, batch = left < r->batch ? left : r->batch,
                  scales = job->model->context.info.scales;
        pictures += left;
        if (job->state == SV_RUNNING && job->scale < scales)
            pictures -= (double)batch * job->scale / scales;
    }
    return pictures * sv_rhythm_of(&s->rhythm);
}

static void log_level(const sv_server *s, double backlog) {
    const sv_level *level = &s->model->levels[s->adapt.level];
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddNumberToObject(fields, "level", s->adapt.level);
    cJSON_AddNumberToObject(fields, "bridge", level->bridge);
    cJSON_AddNumberToObject(fields, "depth", level->depth);
    sv_log_seconds(fields, "backlog", backlog);
    sv_log("adapt", fields);
}

void sv_load_tick(sv_server *s) {
    const int before = s->adapt.level;
    const double backlog = sv_backlog(s);
    sv_adapt_update(&s->adapt, s->model->levels, s->model->level_count, backlog, vt_seconds());
    if (s->adapt.level != before && !s->options->quiet) log_level(s, backlog);
}

void sv_load_adapt(sv_job *job) {
    sv_server *s = job->server;
    const sv_model *m = job->model;
    sv_wish *w = &job->wish;
    if (!w->auto_depth) return;
    pthread_mutex_lock(&s->lock);
    const int most = m->level_count - 1, level = s->adapt.level < most ? s->adapt.level : most;
    const double backlog = sv_backlog(s);
    s->metrics.adapted += level > 0;
    pthread_mutex_unlock(&s->lock);
    if (level == 0) return;
    w->request.bridge = m->levels[level].bridge;
    w->request.depth = m->levels[level].depth;
    snprintf(w->why, sizeof w->why,
             "--adapt: %.3g s of work wait, %.3g s are aimed at: level %d of %d", backlog,
             s->adapt.target, level, most);
}
