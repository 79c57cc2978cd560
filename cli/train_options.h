/* train_options.h - the options of `variant train KIND`: a table a kind, read into a training.
 * Used by cli/train.c, which runs it. */
#ifndef VT_CLI_TRAIN_OPTIONS_H
#define VT_CLI_TRAIN_OPTIONS_H

#include "data_options.h"
#include "variant.h"

typedef struct training {
    variant_training_kind kind;
    variant_training run;
    variant_train_tokenizer_options tokenizer;
    variant_train_transformer_options transformer; /* a supernet's, too */
    variant_train_supernet_options supernet;
    variant_train_classifier_options classifier;
    variant_train_decoder_options decoder;
    cli_data data;
    bool quiet;
    bool json; /* of a dry run */
} training;

/* `variant plan train KIND`, below plan. */
extern const cli_command cli_plan_train;

/* What depends on several options. -1: go on; else the exit status, after a complaint. */
int training_settle(training *run, const cli_line *line);
/* Runs it: train.c. settings: a training; the exit status. */
int training_run(void *settings, const cli_line *line);

#endif
