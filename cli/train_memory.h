/* train_memory.h - the bytes of a training, as `variant train KIND --dry-run` tells them. */
#ifndef CLI_TRAIN_MEMORY_H
#define CLI_TRAIN_MEMORY_H

#include "variant.h"

/* A table on stdout, or one object. */
void cli_train_memory_print(const variant_train_result *result, bool json);

#endif
