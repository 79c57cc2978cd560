/* transformer.h - the next-scale transformer of VAR (arXiv 2404.02905) with the depth schedule of
 * VARiant.
 *
 * Tokens of scale k see all tokens of scales <= k in the layers that ran there. Width C, D
 * layers, L tokens. Generation goes scale by scale over a KV cache; training is one
 * teacher-forced pass over all L tokens. Both run the same block (block.h). Buffers are backend
 * memory; temporaries come from the caller's arena and go back before a function returns, except
 * what is said to be kept. Called by engine/ and train/. */
#ifndef VT_TRANSFORMER_TRANSFORMER_H
#define VT_TRANSFORMER_TRANSFORMER_H

#include "core/arena.h"
#include "nn/kv_cache.h"
#include "nn/params.h"
#include "supernet/schedule.h"

typedef struct vt_transformer_config {
    int depth, width, heads; /* D, C, H; head size C / H */
    int hidden;              /* of the MLP, 4 C in the published models */
    int codes, latent_dim;   /* V, Cvae: the tokenizer's */
    int classes;             /* label `classes` is the unconditional one */
    bool l2_norm;            /* q and k normalised, per-head scale_mul */
    bool shared_adaln;       /* one shared_ada_lin and ada_gss a block (the 512 px model) */
    int scales, sides[VT_SCHEDULE_SCALES];
} vt_transformer_config;

typedef struct vt_transformer vt_transformer;

variant_status vt_transformer_config_check(const vt_transformer_config *config, variant_error *err);
/* Everything names and shapes tell; heads from scale_mul's shape, or, without it, from
 * config->heads when > 0, else width / 64 when that is whole and the model is of a published
 * width (64 * depth), else E_MODEL naming --heads. Sides: (K, L) = (10, 680) and (10, 2240) are
 * the published lists; otherwise config's own when config->scales > 0 (checked against K and L),
 * else those of the original's buffer lvl_1L, else E_MODEL naming --sides. */
variant_status vt_transformer_config_infer(vt_transformer_config *config,
                                           const vt_tensor_file *file, const char *group,
                                           variant_error *err);
int vt_transformer_tokens(const vt_transformer_config *config); /* L */

/* Registers the parameters; they have no values yet. */
variant_status vt_transformer_open(vt_transformer **out, vt_kern *kern,
                                   const vt_transformer_config *config, variant_error *err);
void vt_transformer_close(vt_transformer **transformer);
const vt_transformer_config *vt_transformer_configuration(const vt_transformer *transformer);
vt_params *vt_transformer_params(vt_transformer *transformer);
/* Random values for training from nothing, as VAR initialises: normal(0, sqrt(1/C/3)) embeddings
 * and linear layers truncated at 2 sigma, proj and fc2 divided by sqrt(2 D), gammas' part of
 * ada_lin small, head small. Allocates. */
variant_status vt_transformer_initialise(vt_transformer *transformer, uint64_t seed,
                                         variant_error *err);
/* After values exist: prepares weights and the table lvl_embed[k] + pos_1LC (again after values
 * changed). */
variant_status vt_transformer_prepare(vt_transformer *transformer, variant_error *err);

/* ---- generation ---- */

/* What depends on the class alone, of some classes. */
typedef struct vt_condition {
    int classes;
    float *embedding; /* (classes, C) class embeddings */
    float *blocks;    /* (D, classes, 6 C): gamma1, gamma2, scale1, scale2, shift1, shift2 */
    float *head;      /* (classes, 2 C): scale, shift */
} vt_condition;
/* labels: host memory, (classes), each 0..config.classes and there once. layers: D flags, which layers will run at all
 * (others are left uncomputed); NULL: all. The result stays in `keep`; `scratch` may be the same arena. */
variant_status vt_transformer_condition(vt_transformer *transformer, vt_arena *keep,
                                        vt_arena *scratch, const int32_t *labels, int classes,
                                        const uint8_t *layers, vt_condition *out,
                                        variant_error *err);

/* One guidance branch of one picture, which stands at a scale of its own, in layers of its own. */
typedef struct vt_stream {
    int k; /* the scale it stands at */
    const vt_schedule *schedule;
    const vt_condition *condition;
    int class_index;    /* its class among the condition's */
    vt_kv_cache *cache; /* its keys and values; appended to, never released here */
    const float *input; /* (n_k^2, Cvae), backend memory; not read at scale 0 */
} vt_stream;

/* One step of any streams: each goes through the layers that its schedule runs at its scale, and every layer sees the
 * rows of all streams that run it now, so that weights are read once a step. What a stream gets depends on no other. */
typedef struct vt_transformer_step {
    vt_stream *const
        *streams; /* (count); best sorted by scale: neighbours of one scale are computed as one */
    int count;
    float *logits;        /* (rows of all, V), stream after stream */
    double *head_seconds; /* += what norm and head took; or NULL */
} vt_transformer_step;
variant_status vt_transformer_run_step(vt_transformer *transformer, vt_arena *arena,
                                       const vt_transformer_step *step, variant_error *err);

/* ---- training: teacher-forced, any schedule ---- */
/* What forward keeps of the layers for backward: all that it reads; each layer's input alone, from which backward computes
 * the rest once more, to the same bits, a layer at a time; or nothing, where no backward with a gradient follows. */
typedef enum vt_transformer_keep {
    VT_KEEP_ALL,
    VT_KEEP_INPUTS,
    VT_KEEP_NOTHING
} vt_transformer_keep;

typedef struct vt_transformer_pass {
    int batch;
    vt_transformer_keep keep;
    const int32_t *labels; /* (B), host memory; `classes` where the label was dropped */
    const float *inputs;   /* (B, L-1, Cvae): vt_tokenizer_inputs */
    const vt_schedule *schedule;
    float *logits; /* (B, L, V), in the arena; overwritten by backward */
    void *saved;   /* backend memory: where forward's buffers begin, which backward takes again */
} vt_transformer_pass;
/* Keeps activations in the arena (caller marks before, rewinds after). Layers that skip scales
 * see only the tokens of the scales they run. */
variant_status vt_transformer_forward(vt_transformer *transformer, vt_arena *arena,
                                      vt_transformer_pass *pass, variant_error *err);

typedef struct vt_transformer_loss {
    const int32_t *targets; /* (B, L) backend memory */
    float smoothing;
    float *loss;  /* (B, L) backend memory: cross entropy of each token */
    int32_t *hit; /* (B, L) backend memory, or NULL */
    float weight; /* of the gradient; 0: 1 */
    int of;       /* the pass's loss is a sum over its samples, divided by so many; 0: its batch */
    /* A teacher's logits (B, L, V), how much each token is drawn to them (B, L), and kl (B, L), as
     * vt_cross_entropy has them; backend memory, or NULL. */
    const float *teacher, *pull;
    float *kl;
} vt_transformer_loss;
/* Loss of the pass = mean of loss over B and L (see `of`). with_gradient: adds its gradient to every
 * parameter's grad (pass->logits is overwritten by dlogits); without: only evaluates. */
variant_status vt_transformer_backward(vt_transformer *transformer, vt_arena *arena,
                                       vt_transformer_pass *pass, const vt_transformer_loss *loss,
                                       bool with_gradient, variant_error *err);

#endif
