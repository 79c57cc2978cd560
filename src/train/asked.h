/* asked.h - what a caller of variant.h asks of a training, checked, as the trainers' options; and what the trainers tell, as
 * that caller's functions take it. Called by train.c. */
#ifndef VT_TRAIN_ASKED_H
#define VT_TRAIN_ASKED_H

#include "train/trainer.h"

/* Each takes today's structs (core/sized.h) into the trainer's, which its _init has filled but for `common`. */
variant_status vt_asked_common(vt_train_common *out, const variant_training *asked,
                               variant_error *err);
variant_status vt_asked_tokenizer(vt_train_tokenizer_options *out,
                                  const variant_train_tokenizer_options *asked, variant_error *err);
variant_status vt_asked_transformer(vt_train_transformer_options *out,
                                    const variant_train_transformer_options *asked,
                                    variant_error *err);
variant_status vt_asked_supernet(vt_train_transformer_options *out,
                                 const variant_train_supernet_options *asked, variant_error *err);
variant_status vt_asked_classifier(vt_train_classifier_options *out,
                                   const variant_train_classifier_options *asked,
                                   variant_error *err);
variant_status vt_asked_decoder(vt_train_decoder_options *out,
                                const variant_train_decoder_options *asked, variant_error *err);

/* A caller's functions at work; lives as long as the training. */
typedef struct vt_listener {
    const variant_training *asked;
    volatile sig_atomic_t stopped; /* its progress function said so */
    const char *doing;             /* what the pace is of ... */
    double since, from;            /* ... from this time and step on */
    double test_loss;              /* of the last evaluation; NaN */
} vt_listener;

/* Puts the caller's functions and flag into the trainer's options. */
void vt_listener_open(vt_listener *listener, const variant_training *asked,
                      vt_train_common *common);

#endif
