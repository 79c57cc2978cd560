/* order.c - see order.h. */
#include "planning/order.h"

#define CLEARLY_LESS 0.75

double vt_row_layers(int scales, const int *sides, const int *layers) {
    double sum = 0.0;
    for (int k = 0; k < scales; ++k) sum += (double)layers[k] * sides[k] * sides[k];
    return sum;
}

bool vt_is_less_work(int scales, const int *sides, const int *a, const int *b) {
    bool fewer = false, more = false;
    for (int k = 0; k < scales; ++k) {
        fewer = fewer || a[k] < b[k];
        more = more || a[k] > b[k];
    }
    if (!more) return fewer;
    return vt_row_layers(scales, sides, a) < CLEARLY_LESS * vt_row_layers(scales, sides, b);
}

int vt_order_contradiction(int scales, const int *sides, const vt_timed *all, int count, int i) {
    int found = -1;
    for (int j = 0; j < count; ++j) {
        if (!(all[j].seconds > 0.0) || !(all[i].seconds > all[j].seconds)) continue;
        if (!vt_is_less_work(scales, sides, all[i].layers, all[j].layers)) continue;
        if (found < 0 || all[j].seconds < all[found].seconds) found = j;
    }
    return found;
}
