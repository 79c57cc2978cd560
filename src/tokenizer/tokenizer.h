/* tokenizer.h - the multi-scale residual VQ-VAE of VAR (arXiv 2404.02905, section 3.2): pictures to
 * token maps and back.
 *
 *     picture --encoder, quant_conv--> latent --quantizer--> K token maps
 *     token maps --quantizer--> f_hat --post_quant_conv, decoder--> picture
 *
 * Pictures are (B, side, side, channels) in [-1, 1]; latents and f_hat (B, s, s, Cvae) with s =
 * sides[K-1]; all NHWC in backend memory. Token maps are int32, (B, L): a picture's scales one
 * after another, each row-major. Temporaries come from the caller's arena and are given back
 * before a function returns, except the activations of a training pass. Called by engine/ and
 * train/. */
#ifndef VT_TOKENIZER_TOKENIZER_H
#define VT_TOKENIZER_TOKENIZER_H

#include "core/arena.h"
#include "nn/params.h"

#define VT_MAX_SCALES 32
#define VT_MAX_LEVELS 8

typedef struct vt_tokenizer_config {
    int channels; /* of pictures: 1 (grey) or 3 (RGB) */
    /* ch: channels after conv_in; a multiple of 32 (GroupNorm has 32 groups) */
    int base_width;
    /* channel multiplier of each level; sides halve from level to level */
    int levels, mult[VT_MAX_LEVELS];
    /* residual blocks a level in the encoder; the decoder has one more */
    int blocks;
    int codes;                        /* V, codebook entries */
    int latent_dim;                   /* Cvae */
    int scales, sides[VT_MAX_SCALES]; /* increasing; sides[scales-1] is the latent's side */
} vt_tokenizer_config;

typedef struct vt_tokenizer vt_tokenizer;

/* E_ARGUMENT with a line when a configuration makes no sense (bounds on every field, so later
 * products fit). */
variant_status vt_tokenizer_config_check(const vt_tokenizer_config *config, variant_error *err);
/* Reads everything that names and shapes tell (all but the sides) from `group` of a file.
 * E_MODEL names what is missing. sides and scales are left untouched. */
variant_status vt_tokenizer_config_infer(vt_tokenizer_config *config, const vt_tensor_file *file,
                                         const char *group, variant_error *err);
/* of pictures, pixels: sides[K-1] * 2^(levels-1) */
int vt_tokenizer_side(const vt_tokenizer_config *config);
int vt_tokenizer_tokens(const vt_tokenizer_config *config); /* L */
/* Index of the phi convolution that scale k uses. */
int vt_phi_index(int k, int scales);

/* Registers the parameters; they have no values yet (see nn/params.h). */
variant_status vt_tokenizer_open(vt_tokenizer **out, vt_kern *kern,
                                 const vt_tokenizer_config *config, variant_error *err);
void vt_tokenizer_close(vt_tokenizer **tokenizer);
const vt_tokenizer_config *vt_tokenizer_configuration(const vt_tokenizer *tokenizer);
vt_params *vt_tokenizer_params(vt_tokenizer *tokenizer);
/* Random values for training from nothing (allocates). */
variant_status vt_tokenizer_initialise(vt_tokenizer *tokenizer, uint64_t seed, variant_error *err);

/* ---- inference ---- */
variant_status vt_tokenizer_encode(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const float *pictures, float *latent, variant_error *err);
/* picture = decoder(post_quant_conv(f_hat)), not clamped. */
variant_status vt_tokenizer_decode(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const float *f_hat, float *pictures, variant_error *err);
/* Latent to tokens (B, L). f_hats: NULL, or (K, B, s, s, Cvae) to receive f_hat after every
 * scale. */
variant_status vt_tokenizer_quantize(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                     const float *latent, int32_t *tokens, float *f_hats,
                                     variant_error *err);

/* One generation step: adds scale k to f_hat (zero before scale 0) from its tokens (B, n_k^2),
 * or from embeddings (B, n_k^2, Cvae) when tokens is NULL; then, unless k is the last scale or
 * next is NULL, resizes f_hat (area) to the transformer's next input (B, n_{k+1}^2, Cvae). */
typedef struct vt_scale_step {
    int k, batch;
    const int32_t *tokens;
    const float *embeddings;
    float *f_hat;
    float *next;
} vt_scale_step;
variant_status vt_tokenizer_step(vt_tokenizer *tokenizer, vt_arena *arena,
                                 const vt_scale_step *step, variant_error *err);

/* Codes of scale k, index (B, n_k^2), nearest to the mean of `rest` (B, s, s, Cvae) over each cell's area: what quantising
 * chooses when `rest` is what the scales before have left. gain (B, n_k^2), host memory: what each mean is multiplied with
 * first; means (B, n_k^2, Cvae) receives them then. */
variant_status vt_tokenizer_codes(vt_tokenizer *tokenizer, vt_arena *arena, int k, int batch,
                                  const float *rest, const float *gain, float *means,
                                  int32_t *index, variant_error *err);

/* Teacher-forced inputs (B, L-1, Cvae) of scales 1..K-1 from tokens (B, L); f_hat: NULL or the
 * final (B, s, s, Cvae). */
variant_status vt_tokenizer_inputs(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const int32_t *tokens, float *inputs, float *f_hat,
                                   variant_error *err);

/* ---- training: reconstruction mse + vq loss, straight-through (VARiant's and VAR's section on
 * the tokenizer) ---- */
typedef struct vt_tokenizer_pass {
    int batch;
    const float *pictures; /* (B, side, side, channels) */
    bool
        recompute; /* keep maps between layers alone, compute the rest again in backward: the same bits */
    int of; /* both losses are sums over these pictures, divided by so many; 0: B, their means */
    /* results, in the arena but for rests that are given; valid until the caller rewinds it */
    float *reconstruction; /* (B, side, side, channels), not clamped */
    int32_t *tokens;       /* (B, L) */
    /* (B, L, Cvae): the resized rest that each token was chosen for (for codebook revival) */
    float *rests;
    double mse;     /* mean((reconstruction - pictures)^2), of = B */
    double vq_loss; /* likewise mean over scales of 0.25 mse(sg f_hat, f) + mse(f_hat, sg f) */
    struct vt_tokenizer_saved *saved; /* activations for backward */
} vt_tokenizer_pass;
/* Forward keeps activations in the arena (caller marks before, rewinds after backward). */
variant_status vt_tokenizer_forward(vt_tokenizer *tokenizer, vt_arena *arena,
                                    vt_tokenizer_pass *pass, variant_error *err);
/* Adds the gradient of mse + vq_weight * vq_loss to every parameter's grad. */
variant_status vt_tokenizer_backward(vt_tokenizer *tokenizer, vt_arena *arena,
                                     vt_tokenizer_pass *pass, float vq_weight, variant_error *err);

#endif
