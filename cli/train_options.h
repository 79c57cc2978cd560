/* train_options.h - the options of `variant train KIND`: a table a kind, read into a training.
 * Used by cli/train.c, which runs it. */
#ifndef VT_CLI_TRAIN_OPTIONS_H
#define VT_CLI_TRAIN_OPTIONS_H

#include "data_options.h"
#include "train/trainer.h"

enum { TOKENIZER, TRANSFORMER, SUPERNET, CLASSIFIER, DECODER };

typedef struct training {
    int kind; /* of these */
    vt_train_tokenizer_options tokenizer;
    vt_train_transformer_options transformer;
    vt_train_classifier_options classifier;
    vt_train_decoder_options decoder;
    vt_train_common *common; /* the one of the kind */
    cli_data data;
    int threads;
    int weights; /* how many --draw-weights gave */
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
