/* order.h - do measured times agree with the arithmetic? Fewer layers cannot take longer.
 *
 * A scale of side s multiplies s x s rows by each of its layers: row-layers. Of two schedules the one with no
 * more layers at any scale, and fewer at one, is less work whatever a layer costs where. Where each has
 * more at some scale, three quarters of the row-layers are taken for less work: early scales' layers cost more
 * than their rows say (weights are read for few rows), and measured tables differ by up to a tenth. */
#ifndef VT_PLANNING_ORDER_H
#define VT_PLANNING_ORDER_H

#include <stdbool.h>

typedef struct vt_timed {
    const int *layers; /* (scales) */
    double seconds;    /* or any unit, the same for all; 0: not measured */
} vt_timed;

/* Sum over scales of layers x side x side. */
double vt_row_layers(int scales, const int *sides, const int *layers);
/* Is a less work than b by arithmetic? */
bool vt_is_less_work(int scales, const int *sides, const int *a, const int *b);
/* The index of one of `all` that is more work than all[i] and took less time: the fastest; -1: none. */
int vt_order_contradiction(int scales, const int *sides, const vt_timed *all, int count, int i);

#endif
