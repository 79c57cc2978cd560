/* adapt.h - fewer layers while much waits (--adapt): how many fewer, for requests that leave the depth to the server. Policy
 * alone: no threads, no clock, nothing of HTTP.
 *
 * Levels go from all layers down: late scales first, then one trained depth after another, never fewer than trained. What is
 * watched is the backlog: seconds until all that is there would be finished, at the pace of the last pictures. While it is
 * above the target and does not shrink the level goes down. It goes up once the backlog, at the work of the level above,
 * would have stayed well below the target for a while; after a level that did not last, twice as long a while: so it does not
 * flap. Where nothing has been there at all for a while, all layers are back at once. */
#ifndef VT_SERVE_ADAPT_H
#define VT_SERVE_ADAPT_H

#include "variant.h"

enum { SV_MOST_LEVELS = 16 };
#define SV_ADAPT_DOWN 0.5     /* seconds from one look at a backlog above the target to the next */
#define SV_ADAPT_UP 3.0       /* of calm before a level up, at first ... */
#define SV_ADAPT_UP_MOST 60.0 /* ... and at most */
#define SV_ADAPT_CALM 0.7     /* of the target */

typedef struct sv_level {
    int bridge, depth;
    double work; /* share of all layers' */
} sv_level;

/* The levels of a model: the first is all layers, the only one of a model that is no supernet. Returns how many. */
int sv_adapt_levels(const variant_info *info, sv_level levels[SV_MOST_LEVELS]);

typedef struct sv_adapt {
    double target; /* seconds of backlog; 0: off */
    int level;
    double looked,
        seen;        /* when a backlog above the target was looked at last, and how large it was */
    double risen;    /* when the level went up last */
    double calm;     /* since when a level up would do; 0: it would not */
    double empty;    /* since when nothing is there; 0: something is */
    double patience; /* seconds of calm that are asked for */
    uint64_t downs, ups;
} sv_adapt;

void sv_adapt_init(sv_adapt *adapt, double target);
/* So much waits now; the levels of the model that new requests take. */
void sv_adapt_update(sv_adapt *adapt, const sv_level *levels, int count, double backlog,
                     double now);

/* Seconds of one picture, of those that were finished lately, while there was work. */
typedef struct sv_rhythm {
    double pictures, seconds;
    double since; /* seconds of work since one was finished */
} sv_rhythm;
/* A step took so long, with so many pictures finished at its end. */
void sv_rhythm_step(sv_rhythm *rhythm, double seconds, int pictures);
/* 0: nothing was finished yet. */
double sv_rhythm_of(const sv_rhythm *rhythm);

#endif
