/* library.h - what the files behind the public functions of this folder share. Private to evaluate.c, classify.c and sweep_asked.c. */
#ifndef VT_EVAL_LIBRARY_H
#define VT_EVAL_LIBRARY_H

#include <cjson/cJSON.h>

#include "eval/judge.h"

struct variant_judge {
    vt_judge judge;
    variant_judge_options options;
    variant_network network;
};

/* Tells how far it is; false: stop. */
bool vt_judge_goes_on(variant_judge *judge, const char *doing, int done, int total);
/* variant_scores_json, as an object; NULL: no memory. */
cJSON *vt_scores_json(const variant_judge *judge, const variant_scores *scores);
/* vt_features_resize by its name; -1 for NULL. */
variant_status vt_resize_parse(int *out, const char *name, variant_error *err);
/* vt_data_take_as of what must be a data set. */
variant_status vt_data_take_set(vt_data *out, const variant_data *given, const char *what,
                                vt_split split, variant_error *err);

#endif
