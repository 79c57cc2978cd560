/* judge.h - the network that scores are measured in and the real pictures they are measured beside: opened
 * alike by `variant eval` and `variant sweep`. */
#ifndef VT_EVAL_JUDGE_H
#define VT_EVAL_JUDGE_H

#include "engine/engine.h"
#include "eval/eval.h"
#include "io/dataset.h"

typedef struct vt_judge_options {
    const char
        *features;     /* a file or folder, or NULL: VARIANT_FEATURES_FILE in the folder `model` */
    const char *model; /* or NULL */
    bool trust;        /* checksums of the network are not looked at */
    int resize;        /* vt_features_resize, or -1: PyTorch's where there is one */
    const char *backend;
    int threads;
    int reference_count;                               /* of its pictures; 0: all */
    const char *save_reference;                        /* where its statistics are kept, or NULL */
    bool (*progress)(void *user, int done, int total); /* of them; false: stop; NULL */
    void (*note)(void *user, const char *line);        /* one line without end; NULL */
    void *user;
} vt_judge_options;

typedef struct vt_judge {
    vt_judge_options options;
    char path[4096]; /* of the network */
    vt_kern *kern;   /* of the network; an engine has its own */
    vt_features *features;
    vt_features_info network;
    vt_reference reference;
    bool has_reference, has_data;
    vt_data data; /* has_data: what the reference's pictures are, and how they were taken */
} vt_judge;

/* The network alone. */
variant_status vt_judge_open(vt_judge *out, const vt_judge_options *options, variant_error *err);
void vt_judge_close(vt_judge *judge);

/* Is this a file of statistics, not pictures? By content; a name that promises some counts too, so that a
 * damaged file is called so. */
bool vt_judge_is_statistics(const char *path);
/* Reads the pictures of a data set or folder, as (side, side, channels), or what was computed of them before. */
variant_status vt_judge_reference(vt_judge *judge, const vt_data *data, int side, int channels,
                                  variant_error *err);
/* What a data set's pictures were taken as by whoever trained the network, unless it was chosen. */
variant_status vt_judge_follow(const vt_judge *judge, vt_data *data, variant_error *err);
/* Are the network's classes the model's? By name where both have names, else by number. */
bool vt_judge_classes_match(const vt_judge *judge, const variant_engine *engine);
/* Is it an array whose labels nobody named: the network's own numbers? */
bool vt_judge_numbered(const vt_dataset *dataset);
/* Are they the data set's, all of them and by name, or its numbers? */
bool vt_judge_dataset_matches(const vt_judge *judge, const vt_dataset *dataset);

/* Bytes of generated pictures as the floats (count, side, side, channels) in [0, 1] that a network takes, and
 * their labels. */
void vt_judge_floats(const variant_picture *pictures, int count, float *out, int32_t *labels);

#endif
