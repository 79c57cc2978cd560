/* queue.c - see queue.h. */
#include "serve/queue.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    const sv_waiting *x = a, *y = b;
    const double first = x->deadline > 0.0 ? x->deadline : INFINITY,
                 second = y->deadline > 0.0 ? y->deadline : INFINITY;
    if (first < second || first > second) return first < second ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

int sv_queue_pick(sv_waiting *list, int count, size_t left) {
    if (count > 1) qsort(list, (size_t)count, sizeof *list, compare);
    int picked = 0;
    while (picked < count && list[picked].bytes > left) {
        if (*list[picked].passed >= SV_MOST_PASSES) return -1;
        ++picked;
    }
    if (picked == count) return -1;
    for (int i = 0; i < picked; ++i) ++*list[i].passed;
    return picked;
}

int sv_queue_retry_after(int waiting, double pace) {
    const double seconds = ceil(waiting * pace);
    return seconds < 1.0 ? 1 : seconds > 60.0 ? 60 : (int)seconds;
}
