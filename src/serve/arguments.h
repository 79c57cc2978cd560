/* arguments.h - the model that is served, as a command line opens it: for whoever does by hand what the page did. */
#ifndef VT_SERVE_ARGUMENTS_H
#define VT_SERVE_ARGUMENTS_H

#include "variant.h"

/* "-m models/fashion --weights int8", quoted where a shell would see more in a word than letters; free(); NULL: no memory. */
char *sv_arguments(const variant_engine_options *engine);

#endif
