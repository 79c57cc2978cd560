/* adapt.c - see adapt.h. */
#include "serve/adapt.h"

#include <math.h>

#define PICTURES_LATELY 32.0

/* ---- levels ---- */

/* Layers times tokens of a schedule, of all layers' share. */
static double work_of(const variant_info *info, int bridge, int depth) {
    double all = 0.0, run = 0.0;
    for (int k = 0; k < info->scales; ++k) {
        const double tokens = (double)info->sides[k] * info->sides[k];
        all += tokens * info->depth;
        run += tokens * (k < bridge ? info->depth : depth);
    }
    return run / all;
}

static void add_level(const variant_info *info, sv_level *levels, int *count, int bridge,
                      int depth) {
    if (*count == SV_MOST_LEVELS) return;
    levels[(*count)++] =
        (sv_level){.bridge = bridge, .depth = depth, .work = work_of(info, bridge, depth)};
}

/* The deepest trained depth below this one; 0: there is none. */
static int next_depth(const variant_info *info, int below) {
    int depth = 0;
    for (int i = 0; i < info->depth_count; ++i)
        if (info->depths[i] < below && info->depths[i] > depth) depth = info->depths[i];
    return depth;
}

int sv_adapt_levels(const variant_info *info, sv_level levels[SV_MOST_LEVELS]) {
    const int own = info->bridge < info->scales ? info->bridge : info->scales - 1;
    int count = 0;
    add_level(info, levels, &count, info->scales, info->depth);
    if (!info->supernet) return count;
    /* one late scale more at a time, then all of them shallower */
    int depth = next_depth(info, info->depth);
    for (int bridge = info->scales - 1; depth > 0 && bridge > own; --bridge)
        add_level(info, levels, &count, bridge, depth);
    for (; depth > 0; depth = next_depth(info, depth)) add_level(info, levels, &count, own, depth);
    return count;
}

/* ---- which ---- */

void sv_adapt_init(sv_adapt *a, double target) {
    *a = (sv_adapt){.target = target, .patience = SV_ADAPT_UP};
}

/* Looked at now and then: a backlog that shrinks needs no fewer layers. */
static void look_at_much(sv_adapt *a, int count, double backlog, double now) {
    a->calm = 0.0;
    if (a->looked > 0.0 && now - a->looked < SV_ADAPT_DOWN) return;
    const bool shrinks = a->looked > 0.0 && backlog < a->seen;
    a->looked = now;
    a->seen = backlog;
    if (shrinks || a->level + 1 >= count) return;
    if (a->ups > 0 && now - a->risen < 2.0 * a->patience) /* the level above did not last */
        a->patience = fmin(2.0 * a->patience, SV_ADAPT_UP_MOST);
    ++a->level;
    ++a->downs;
}

static void go_up(sv_adapt *a, int levels, double now) {
    a->level -= levels;
    a->ups += (uint64_t)levels;
    a->risen = now;
    a->calm = 0.0;
}

static void look_at_little(sv_adapt *a, const sv_level *levels, double backlog, double now) {
    const double dearer = levels[a->level - 1].work / levels[a->level].work;
    if (backlog * dearer > SV_ADAPT_CALM * a->target)
        a->calm = 0.0;
    else if (a->calm <= 0.0)
        a->calm = now;
    else if (now - a->calm >= a->patience)
        go_up(a, 1, now);
}

/* Nothing is there: what was learned of the load is over as well. */
static void look_at_nothing(sv_adapt *a, double now) {
    if (a->empty <= 0.0) a->empty = now;
    if (now - a->empty < SV_ADAPT_UP) return;
    a->patience = SV_ADAPT_UP;
    if (a->level > 0) go_up(a, a->level, now);
}

void sv_adapt_update(sv_adapt *a, const sv_level *levels, int count, double backlog, double now) {
    if (!(a->target > 0.0)) return;
    if (a->level >= count) a->level = count - 1; /* of another model */
    if (backlog > 0.0) a->empty = 0.0;
    if (backlog > a->target) {
        look_at_much(a, count, backlog, now);
        return;
    }
    a->looked = 0.0;
    if (!(backlog > 0.0)) look_at_nothing(a, now);
    if (a->level > 0) look_at_little(a, levels, backlog, now);
}

/* ---- pace ---- */

void sv_rhythm_step(sv_rhythm *r, double seconds, int pictures) {
    r->since += seconds;
    if (pictures == 0) return;
    const double kept = exp(-pictures / PICTURES_LATELY);
    r->pictures = r->pictures * kept + pictures;
    r->seconds = r->seconds * kept + r->since;
    r->since = 0.0;
}

double sv_rhythm_of(const sv_rhythm *r) {
    return r->pictures > 0.0 ? r->seconds / r->pictures : 0.0;
}
