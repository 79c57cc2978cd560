/* variant/files.h - paths, as every function here that writes to one takes them; and files that are cut short while they are in use. */
#ifndef VARIANT_FILES_H
#define VARIANT_FILES_H

#include <stdbool.h>

#include <variant/base.h>

VARIANT_BEGIN

/* "-", /dev/stdout and its like, which are written to as it comes. Threads: any. */
bool variant_is_standard_output(const char *path);
/* Makes a folder and those above it; one that is there is as good. E_IO: a file is in the way, or the system's reason. Threads: any. */
variant_status variant_folder_make(const char *path, variant_error *error);

/* A model's file is mapped while an engine or a tokenizer is open. Where somebody cuts it short meanwhile, the system ends the process
 * that reads on (SIGBUS). After this call it does not: what is asked of that model from then on is E_IO, "FILE was cut short while
 * it was in use", until the model is opened anew. Handles SIGBUS for the process, for good; what has nothing to do with a model's
 * file goes to the handler of before. A handler that the program sets later has to call the one that it found. E_UNSUPPORTED: the system refuses. Threads: any. */
variant_status variant_guard_files(variant_error *error);

VARIANT_END

#endif
