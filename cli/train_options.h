/* train_options.h - the options of `variant train KIND`: one table of flags, read into a training.
 * Used by cli/train.c, which runs it. */
#ifndef CLI_TRAIN_OPTIONS_H
#define CLI_TRAIN_OPTIONS_H

#include "data_options.h"
#include "train/trainer.h"

enum { TOKENIZER = 1, TRANSFORMER = 2, SUPERNET = 4, CLASSIFIER = 8 };

typedef struct training {
    int kind; /* TOKENIZER, TRANSFORMER, SUPERNET or CLASSIFIER */
    vt_train_tokenizer_options tokenizer;
    vt_train_transformer_options transformer;
    vt_train_classifier_options classifier;
    vt_train_common *common; /* the one of the kind */
    cli_data data;
    int threads;
    bool quiet;
    bool extend;              /* --extend is given */
    bool distill_ends;        /* --distill-end is given */
    int weights;              /* given by --draw-weights */
    const char *shape;        /* the first flag that gives a new transformer's shape, or NULL */
    const char *paths;        /* of --sandwich, --phases, --fixed-ratio the one given, or NULL */
    const char *other;        /* the second one given, or NULL */
    const char *joint, *ends; /* "joint-ratio", "joint-end"; "transition-end"; where given */
} training;

/* The kind of that name; 0: none. */
int training_kind(const char *name);
const char *training_kind_name(int kind);
void training_print_kinds(void);
/* Defaults, then argv (argv[0]: the kind's name). -1: go on; else the exit status. */
int training_read(training *run, int kind, int argc, char **argv);

#endif
