/* parts.h - what the files of src/tokenizer/ share: the object itself and its quantizer. Private to
 * the folder. */
#ifndef VT_TOKENIZER_PARTS_H
#define VT_TOKENIZER_PARTS_H

#include "nn/picture_chain.h"
#include "tokenizer/tokenizer.h"

/* Codebook and the four shared phi convolutions: tokens <-> f_hat. */
typedef struct vt_quantizer {
    const vt_tokenizer_config *config; /* the tokenizer's */
    vt_param *codebook;                /* (V, Cvae) */
    vt_conv2d phi[4];                  /* Cvae to Cvae */
    int offset[VT_MAX_SCALES + 1];     /* first token of a scale; [scales] is L */
} vt_quantizer;

/* What the quantizer's backward reads, per scale, in the arena. */
typedef struct vt_quantizer_saved {
    int32_t *index[VT_MAX_SCALES];  /* (B, n_k^2) */
    float *enlarged[VT_MAX_SCALES]; /* (B, s, s, Cvae): input of phi */
    float *rest[VT_MAX_SCALES];     /* (B, s, s, Cvae): f - f_hat_k, all that the loss needs */
} vt_quantizer_saved;

struct vt_tokenizer_saved {
    vt_quantizer_saved quantizer;
    bool filled;
};

struct vt_tokenizer {
    vt_kern *kern;
    vt_tokenizer_config config;
    vt_params params;
    vt_picture_chain encoder; /* encoder.* and quant_conv */
    vt_picture_chain decoder; /* post_quant_conv and decoder.* */
    vt_quantizer quantizer;
    struct vt_tokenizer_saved saved; /* of the training pass between forward and backward */
};

/* Bounds on what the parameters' shapes depend on, i.e. all but the scales; config.c. */
variant_status vt_tokenizer_check_shape(const vt_tokenizer_config *config, variant_status code,
                                        variant_error *err);

/* Fill the chains and register their parameters; encoder.c, decoder.c. */
variant_status vt_encoder_build(vt_picture_chain *chain, vt_params *params,
                                const vt_tokenizer_config *config, variant_error *err);
variant_status vt_decoder_build(vt_picture_chain *chain, vt_params *params,
                                const vt_tokenizer_config *config, variant_error *err);

/* Random values for training from nothing (allocates); tokenizer.c. */
variant_status vt_initial_values(vt_params *params, uint64_t seed, variant_error *err);

/* ---- quantizer.c ---- */
variant_status vt_quantizer_build(vt_quantizer *quantizer, vt_params *params,
                                  const vt_tokenizer_config *config, variant_error *err);

/* Latent to tokens. Every result but tokens may be NULL. */
typedef struct vt_quantizing {
    const float *latent;       /* (B, s, s, Cvae) */
    int32_t *tokens;           /* (B, L) */
    float *rests;              /* (B, L, Cvae): what each token was chosen for */
    float *f_hats;             /* (K, B, s, s, Cvae) */
    float *f_hat;              /* (B, s, s, Cvae), after the last scale */
    vt_quantizer_saved *saved; /* then its buffers are taken from the arena and stay */
    double *squares; /* (K) backend memory: sums of squares of what is left after a scale */
} vt_quantizing;
variant_status vt_quantizer_encode(const vt_quantizer *quantizer, const vt_picture_run *run,
                                   const vt_quantizing *args, variant_error *err);
/* See vt_tokenizer_codes. */
variant_status vt_quantizer_codes(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                                  const float *rest, const float *gain, float *means,
                                  int32_t *index, variant_error *err);
/* Gradient of weight * vq_loss: += into codebook, phi and dlatent (B, s, s, Cvae). */
variant_status vt_quantizer_backward(const vt_quantizer *quantizer, const vt_picture_run *run,
                                     const vt_quantizer_saved *saved, double weight, float *dlatent,
                                     variant_error *err);
variant_status vt_quantizer_step(const vt_quantizer *quantizer, const vt_picture_run *run,
                                 const vt_scale_step *step, variant_error *err);
variant_status vt_quantizer_inputs(const vt_quantizer *quantizer, const vt_picture_run *run,
                                   const int32_t *tokens, float *inputs, float *f_hat,
                                   variant_error *err);

#endif
