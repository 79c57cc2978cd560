/* calibrate.h - what int8 costs each product of a transformer, measured on token maps of a user's pictures, and what is
 * chosen from that: which products take one scale a row of x instead of one a block of 128 numbers
 * (vt_weight_spec.whole), and before which of them channel factors are folded into the norm.
 *
 * A product after a norm reads x = LN(h) (1 + scale) + shift, where scale and shift are rows of the AdaLN product. Dividing
 * channel j of both by f[j], and multiplying column j of the weight by it, leaves the product what it is; a channel that is
 * larger than the others then costs them less of their int8 range. Factors are powers of two, so only AdaLN's bias of
 * scale ((1 + b) / f - 1) is rounded at all. With AdaLN shared by all blocks there is no such row of a block's own, and
 * nothing is folded. (Factors as in SmoothQuant, arXiv 2211.10438: most of x to a power against most of W to the other.)
 *
 * Of an int4 plan products that may be int4 (VT_PARAM_COARSE) are rounded so instead (kern/int4.h), in the way of least error
 * on a part of the sample that it was not made from: to the nearest; with squares weighed by what the channels of x are; or
 * with each number's rounding made up for by those behind it, as GPTQ does it (arXiv 2210.17323), scales settled before.
 *
 * Called by `variant convert`; written by vt_model_write_int8. */
#ifndef VT_ENGINE_CALIBRATE_H
#define VT_ENGINE_CALIBRATE_H

#include "engine/model.h"

/* Of one product's weight. Errors are the L2 norm of what int8 changes of a product, over the product's own. */
typedef struct vt_int8_choice {
    const vt_param *weight;
    int rows;                       /* of x, sampled over all pictures, scales and both branches */
    double blocks, whole;           /* error with a scale a block, and a row, as the model is */
    double best_blocks, best_whole; /* ... with the factors that suit each best */
    bool is_whole;                  /* chosen: one scale a row */
    float strength; /* chosen: the power of x's part in the factors; 0: none are folded */
    float *factors; /* owned: (k), powers of two; NULL: none */
    /* of an int4 plan, where the product may be int4: */
    bool int4;
    double nearest, weighed, made_up; /* errors of the three ways, on rows held back */
    uint8_t
        *records; /* owned: (n) of int4.h, as chosen; NULL: nothing was measured, to the nearest */
} vt_int8_choice;

typedef struct vt_int8_plan {
    vt_int8_choice *choices; /* owned, (count): one a product, in the parameters' order */
    int count;
    int pictures;
    double tolerance;
    bool int4; /* an int4 plan */
} vt_int8_plan;

typedef struct vt_calibration {
    const int32_t *tokens; /* (pictures, L), host memory: as encode makes them */
    const int32_t *labels; /* (pictures): 0..classes */
    int pictures;
    /* a product takes one scale a row where its error is at most so many times that of blocks */
    double tolerance;
    const vt_work_watch *watch; /* told in parts of about one time; NULL: nobody is */
} vt_calibration;

/* The model's transformer holds float32 weights. out->int4 is read, all else of it set; close it in any case. */
variant_status vt_calibrate(vt_int8_plan *out, const vt_model *model,
                            const vt_calibration *calibration, variant_error *err);
/* Likewise without measuring: blocks everywhere, nothing folded, int4 to the nearest. */
variant_status vt_int8_plan_plain(vt_int8_plan *out, const vt_model *model, variant_error *err);
void vt_int8_plan_close(vt_int8_plan *plan);
/* NULL: the parameter is none of a product. */
const vt_int8_choice *vt_int8_plan_find(const vt_int8_plan *plan, const vt_param *param);
/* A parameter's numbers (param->count floats), with what the plan folds into it. */
variant_status vt_int8_plan_values(const vt_int8_plan *plan, const vt_params *params,
                                   const vt_param *param, float *out, variant_error *err);

#define VT_INT8_KEY "variant.int8" /* metadata: what was chosen, and the errors it was chosen by */
/* {"pictures", "tolerance", "weights": [{"weight", "scale_of", "error", ..}]}; free() it. NULL: no memory. */
char *vt_int8_plan_text(const vt_int8_plan *plan);
/* As vt_model_write, of a model with a transformer: its products as integers. save->type is not read. */
variant_status vt_model_write_int8(const char *path, const vt_model_save *save,
                                   const vt_int8_plan *plan, variant_error *err);

#endif
