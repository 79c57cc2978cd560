/* metrics.c - see metrics.h. */
#include "serve/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "serve/load.h"

static void head(FILE *to, const char *name, const char *type, const char *help) {
    fprintf(to, "# HELP variant_%s %s\n# TYPE variant_%s %s\n", name, help, name, type);
}

static void counter(FILE *to, const char *name, uint64_t value, const char *help) {
    head(to, name, "counter", help);
    fprintf(to, "variant_%s %" PRIu64 "\n", name, value);
}

static void seconds(FILE *to, const char *name, double value, const char *help) {
    head(to, name, "counter", help);
    fprintf(to, "variant_%s %.6f\n", name, value);
}

static void gauge(FILE *to, const char *name, double value, const char *help) {
    head(to, name, "gauge", help);
    fprintf(to, "variant_%s %.17g\n", name, value);
}

static void summary(FILE *to, const char *name, double sum, uint64_t count, const char *help) {
    head(to, name, "summary", help);
    fprintf(to, "variant_%s_sum %.6f\nvariant_%s_count %" PRIu64 "\n", name, sum, name, count);
}

static void print_models(FILE *to, const sv_server *s) {
    head(to, "model_info", "gauge", "The model that new requests take.");
    fprintf(to, "variant_model_info{hash=\"%s\"} 1\n", s->model->hash);
    gauge(to, "models_open", s->old ? 2 : 1, "Models: that one, and one whose requests finish.");
    gauge(to, "weights_bytes", (double)(s->model->bytes + (s->old ? s->old->bytes : 0)),
          "Of both, in memory and mapped.");
    head(to, "reloads_total", "counter", "Model files opened again, by how that went.");
    fprintf(to,
            "variant_reloads_total{result=\"done\"} %" PRIu64 "\n"
            "variant_reloads_total{result=\"failed\"} %" PRIu64 "\n",
            s->metrics.reloads, s->metrics.reloads_failed);
}

static int most_scales(const sv_server *s) {
    const int now = s->model->context.info.scales, then = s->old ? s->old->context.info.scales : 0;
    return now > then ? now : then;
}

static void print_jobs(FILE *to, const sv_server *s) {
    const sv_metrics *m = &s->metrics;
    gauge(to, "queue", s->queued, "Requests that wait.");
    gauge(to, "running", s->running, "Requests at work.");
    head(to, "pictures_at_scale", "gauge", "Pictures in the making, by scales that they have.");
    for (int k = 0; k < most_scales(s); ++k) {
        int count = 0;
        for (const sv_job *job = s->jobs; job; job = job->next) {
            const int left = job->wish.request.count - job->pictures_done;
            if (job->state == SV_RUNNING && job->scale == k)
                count += left < job->wish.request.batch ? left : job->wish.request.batch;
        }
        fprintf(to, "variant_pictures_at_scale{scale=\"%d\"} %d\n", k, count);
    }
    head(to, "jobs_total", "counter", "Requests that ended, by how.");
    fprintf(to,
            "variant_jobs_total{end=\"completed\"} %" PRIu64 "\n"
            "variant_jobs_total{end=\"failed\"} %" PRIu64 "\n"
            "variant_jobs_total{end=\"cancelled\"} %" PRIu64 "\n"
            "variant_jobs_total{end=\"expired\"} %" PRIu64 "\n",
            m->jobs_completed, m->jobs_failed, m->jobs_cancelled, m->jobs_expired);
    head(to, "rejected_total", "counter", "Requests that were turned away, by why.");
    fprintf(to,
            "variant_rejected_total{why=\"queue_full\"} %" PRIu64 "\n"
            "variant_rejected_total{why=\"draining\"} %" PRIu64 "\n"
            "variant_rejected_total{why=\"key\"} %" PRIu64 "\n"
            "variant_rejected_total{why=\"latency\"} %" PRIu64 "\n"
            "variant_rejected_total{why=\"connections\"} %" PRIu64 "\n"
            "variant_rejected_total{why=\"client\"} %" PRIu64 "\n",
            m->rejected_full, m->rejected_draining, m->rejected_key, m->rejected_latency,
            m->rejected_connections, m->rejected_client);
    counter(to, "latency_plans_total", m->latency_plans,
            "Requests whose depth max_latency has chosen.");
    gauge(to, "backlog_seconds", sv_backlog(s),
          "Until all that waits and is at work is finished, at the pace of the last pictures.");
    gauge(to, "adapt_level", s->adapt.level, "Of --adapt: 0 is all layers.");
    counter(to, "adapted_total", m->adapted, "Requests that --adapt gave fewer layers.");
    head(to, "adapt_changes_total", "counter", "Levels of --adapt that were gone.");
    fprintf(to,
            "variant_adapt_changes_total{to=\"fewer\"} %" PRIu64 "\n"
            "variant_adapt_changes_total{to=\"more\"} %" PRIu64 "\n",
            s->adapt.downs, s->adapt.ups);
    counter(to, "measurements_total", m->measurements,
            "Measurements of times, with nothing else at work.");
}

static void print_connections(FILE *to, const sv_server *s) {
    gauge(to, "connections", s->links.count, "Connections that are open.");
    counter(to, "connections_cut_total", s->metrics.connections_cut,
            "Idle connections that were ended for others to come in.");
}

static void print_memory(FILE *to, const sv_server *s) {
    size_t kept = 0, kv = 0;
    for (const sv_job *job = s->jobs; job; job = job->next) {
        kept += job->held;
        if (job->state == SV_RUNNING) kv += job->kv;
    }
    gauge(to, "kv_reserved_bytes", (double)kv, "Keys and values of requests at work, at most.");
    gauge(to, "memory_budget_bytes", (double)s->budget, "Memory for requests at work.");
    gauge(to, "memory_reserved_bytes", (double)s->reserved, "Of it, taken.");
    gauge(to, "kept_bytes", (double)kept, "Finished pictures and previews that are held.");
    gauge(to, "body_bytes", (double)s->inbox, "Bodies of requests that are held.");
    gauge(to, "program_bytes", (double)s->program,
          "Resident before the model was opened: libraries and the program itself.");
    gauge(to, "peak_resident_bytes", (double)vt_peak_resident_bytes(),
          "The most memory that the process has had.");
}

static void print_work(FILE *to, const sv_server *s) {
    const sv_metrics *m = &s->metrics;
    counter(to, "pictures_total", m->pictures, "Finished pictures.");
    counter(to, "previews_total", m->previews, "Pictures decoded on the way.");
    counter(to, "previews_left_out_total", m->previews_left_out,
            "Times that previews somebody watches were not decoded, since requests wait.");
    counter(to, "steps_total", m->steps, "Steps of the loop.");
    seconds(to, "step_seconds_total", m->step_seconds,
            "Seconds of all steps, decoding of pictures included.");
    head(to, "stage_seconds_total", "counter",
         "Seconds of steps that carried a finished request, summed over requests, by stage.");
    fprintf(to,
            "variant_stage_seconds_total{stage=\"transformer\"} %.6f\n"
            "variant_stage_seconds_total{stage=\"sampling\"} %.6f\n"
            "variant_stage_seconds_total{stage=\"quantizer\"} %.6f\n"
            "variant_stage_seconds_total{stage=\"decoder\"} %.6f\n",
            m->transformer_seconds, m->sampling_seconds, m->quantizer_seconds, m->decoder_seconds);
    summary(to, "wait_seconds", m->waited_seconds, m->waited,
            "From arrival to the first step of a request.");
    summary(to, "request_seconds", m->finished_seconds, m->finished,
            "From arrival to the end of a completed request.");
    summary(to, "first_preview_seconds", m->first_preview_seconds, m->first_previews,
            "From arrival to the first picture on the way.");
    head(to, "answers_total", "counter", "Answers, by hundreds of their status.");
    for (int i = 1; i < SV_STATUSES; ++i)
        fprintf(to, "variant_answers_total{status=\"%dxx\"} %" PRIu64 "\n", i, m->answers[i]);
}

char *sv_metrics_text(sv_server *server) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to) return NULL;
    pthread_mutex_lock(&server->lock);
    print_models(to, server);
    print_jobs(to, server);
    print_memory(to, server);
    print_work(to, server);
    print_connections(to, server);
    pthread_mutex_unlock(&server->lock);
    fclose(to);
    return text;
}
