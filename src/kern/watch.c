/* watch.c - see watch.h. */
#include "kern/watch.h"

static double both_canaries(void *user) {
    vt_kern *kern = user;
    return vt_quiet_canary(NULL) + kern->canary(kern);
}

void vt_kern_watch(vt_quiet *quiet, vt_kern *kern) {
    vt_quiet_source source = vt_quiet_system();
    if (kern->canary) {
        source.canary = both_canaries;
        source.user = kern;
    }
    vt_quiet_open(quiet, kern->threads, &source);
}
