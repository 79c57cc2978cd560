/* forecast.c - see forecast.h. */
#include "serve/forecast.h"

#define SHARE 0.1 /* of a step in what is known of its like */

/* ---- what sharing makes of steps ---- */

void sv_pace_init(sv_pace *pace) {
    for (int i = 0; i < SV_CROWDS; ++i) pace->ratio[i] = 1.0; /* nothing saved */
}

static int crowd_of(int pictures) {
    int crowd = 0;
    while (crowd + 1 < SV_CROWDS && pictures >= 2 << crowd) ++crowd;
    return crowd;
}

double sv_pace_of(const sv_pace *pace, int pictures) {
    return pace->ratio[crowd_of(pictures)];
}

void sv_pace_learn(sv_pace *pace, int pictures, double alone, double took) {
    double *ratio = &pace->ratio[crowd_of(pictures)];
    if (!(alone > 0.0)) return;
    double seen = took / alone; /* one step may have waited for anything */
    if (seen > 5.0) seen = 5.0;
    if (seen < 0.1) seen = 0.1;
    *ratio += SHARE * (seen - *ratio);
}

/* ---- steps to come ---- */

static int at_work(const sv_task *task) {
    return task->left < task->batch ? task->left : task->batch;
}

static void join(sv_task *tasks, int count, size_t memory) {
    size_t taken = 0;
    bool any = false;
    for (int i = 0; i < count; ++i)
        if (tasks[i].running) taken += tasks[i].bytes, any = true;
    for (int i = 0; i < count; ++i) {
        sv_task *t = &tasks[i];
        if (t->running || t->left == 0) continue;
        if (any && (taken > memory || t->bytes > memory - taken)) continue;
        t->running = any = true;
        taken += t->bytes;
    }
}

/* Those at work go one scale on, or to their next pictures. Seconds that it takes. */
static double advance(sv_task *tasks, int count, int scales, const sv_pace *pace) {
    double alone = 0.0;
    int pictures = 0;
    for (int i = 0; i < count; ++i) {
        sv_task *t = &tasks[i];
        if (!t->running) continue;
        pictures += at_work(t);
        alone += at_work(t) * t->factor * t->unit[t->scale];
        if (++t->scale < scales) continue;
        t->scale = 0;
        t->left -= at_work(t);
        t->running = t->left > 0;
    }
    return alone * sv_pace_of(pace, pictures);
}

double sv_forecast(sv_task *tasks, int count, int which, int scales, size_t memory,
                   const sv_pace *pace) {
    double seconds = 0.0;
    while (tasks[which].left > 0) {
        join(tasks, count, memory);
        seconds += advance(tasks, count, scales, pace);
    }
    return seconds;
}
