/* model_write.h - a model's parameters on their way to a file, for those who write one (model_write.c, model_torch.c). Private to
 * engine/. */
#ifndef VT_ENGINE_MODEL_WRITE_H
#define VT_ENGINE_MODEL_WRITE_H

#include "engine/model_config.h"

/* What the tensors of a file lose by being written as halves. */
typedef struct vt_losses {
    const vt_model_save *save;
    int tensors;    /* there are, about */
    int done;       /* of them */
    int refused;    /* tensors that overflow or lose too much */
    char first[96]; /* the first of them */
} vt_losses;

/* The tensor of save->type (vectors: float32); out->data, where it is set, is for free(). source must outlive it. Halves are told
 * to save->watch, which may stop them. */
variant_status vt_model_export(const vt_param_source *source, vt_losses *all, vt_tensor_out *out,
                               variant_error *err);
/* E_MODEL, with the path, where some were refused and save->force is not set. */
variant_status vt_losses_check(const vt_losses *all, const char *path, variant_error *err);

#endif
