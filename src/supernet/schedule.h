/* schedule.h - which layers run at which scale: depth as data (VARiant, arXiv 2511.16546, section
 * 3).
 *
 * Layer l runs at scale k iff l is in S_k, and attends to the cached scales j <= k with l in
 * S_j. A schedule belongs to a request, not to a model; it is resolved before the loop over
 * scales starts. Scales and layers count from 0. Used by transformer/, engine/ and train/;
 * stands on core/ alone. */
#ifndef VT_SUPERNET_SCHEDULE_H
#define VT_SUPERNET_SCHEDULE_H

#include "core/status.h"

#define VT_SCHEDULE_SCALES 32
#define VT_SCHEDULE_LAYERS 128

typedef enum vt_selector {
    VT_EQUIDISTANT, /* floor(i (D-1)/(d-1)): the paper's */
    VT_ROUNDED,     /* the same, rounded half up: 2, 4 and 8 each nest in 16 for D = 30 */
    VT_PREFIX,      /* the first d layers */
    VT_EXPLICIT     /* a list given by the user */
} vt_selector;

const char *vt_selector_name(vt_selector selector);

/* keep[l] = 1 for the d layers of depth D that the selector keeps (not VT_EXPLICIT). d = 1: {0}. */
variant_status vt_layers_select(vt_selector selector, int depth, int d, uint8_t *keep,
                                variant_error *err);

typedef struct vt_schedule {
    int scales, depth; /* K, D */
    uint8_t runs[VT_SCHEDULE_SCALES][VT_SCHEDULE_LAYERS];
} vt_schedule;

/* Every layer at every scale. */
variant_status vt_schedule_full(vt_schedule *out, int scales, int depth, variant_error *err);
/* Two zones: the first `bridge` scales run everything, the others the layers in keep (D flags). */
variant_status vt_schedule_zones(vt_schedule *out, int scales, int depth, int bridge,
                                 const uint8_t *keep, variant_error *err);
/* depths[k] layers at scale k, chosen by selector; count must be scales. */
variant_status vt_schedule_depths(vt_schedule *out, int scales, int depth, const int *depths,
                                  int count, vt_selector selector, variant_error *err);

/* What a request says in words; every pointer may be NULL, numbers 0 or -1 for "not given". Turns
 * it into a schedule or one clear line:
 *   depths  "16,16,8,..."             one number a scale                           (--depths)
 *   layers  "equidistant" | "rounded" | "prefix"
 *           | "0,3,7"                 the flexible zone's layers                   (--layers)
 *           | "0-7;0-7;0,3,5-7;..."   one list a scale
 *   depth, bridge                     the two zones                    (--depth, --bridge) */
typedef struct vt_schedule_request {
    const char *depths, *layers;
    int depth;  /* 0: full */
    int bridge; /* -1: default_bridge */
    int default_bridge;
    vt_selector default_selector; /* where layers is NULL */
} vt_schedule_request;
variant_status vt_schedule_resolve(vt_schedule *out, int scales, int depth,
                                   const vt_schedule_request *request, variant_error *err);

int vt_schedule_depth_at(const vt_schedule *schedule, int scale);   /* layers that run */
int vt_schedule_last_scale(const vt_schedule *schedule, int layer); /* -1: never runs */
bool vt_schedule_is_full(const vt_schedule *schedule);
/* Cached tokens of a layer after scale k has run: sum of sides[j]^2 over j <= k with the layer
 * in S_j. */
int vt_schedule_layer_tokens(const vt_schedule *schedule, const int *sides, int layer, int scale);
/* Tokens held over all layers at the end of scale k, before that scale's releases; with
 * released, layers whose last scale is before k hold nothing. Times 2 * width * element size:
 * the KV bytes of one guidance branch. */
int64_t vt_schedule_kv_tokens(const vt_schedule *schedule, const int *sides, int scale,
                              bool released);
/* The largest of these over all scales: max(D L_N, d L) released, d L + (D - d) L_N retained,
 * for two zones. */
int64_t vt_schedule_kv_peak_tokens(const vt_schedule *schedule, const int *sides, bool released);
/* Tokens that both branches of a guided picture hold at the end of scale k: the conditional by `cond`, the unconditional by
 * `uncond` for its first uncond_scales scales, after which, released, it holds nothing. */
int64_t vt_schedule_branches_kv_tokens(const vt_schedule *cond, const vt_schedule *uncond,
                                       int uncond_scales, const int *sides, int scale,
                                       bool released);
/* "16,16,8,8" */
void vt_schedule_describe(const vt_schedule *schedule, char *out, size_t size);
/* "0-7;0-7;0,3,7" - what vt_schedule_resolve reads back as `layers`. */
void vt_schedule_describe_layers(const vt_schedule *schedule, char *out, size_t size);

#endif
