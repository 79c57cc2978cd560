/* variant/sandbox.h - strangers' files, read in processes of their own that can reach nothing else. */
#ifndef VARIANT_SANDBOX_H
#define VARIANT_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>

VARIANT_BEGIN

/* From now on this process decodes pictures, texts and settings inside them, and the pickles of PyTorch checkpoints in a process for each
 * file, which can open no file, reach no network, start no program, and has bounded memory and time (Linux: seccomp, and Landlock where
 * the kernel has it). A fault of such a reader is then E_FORMAT of the call that wanted the file. Pixels and tensors are the same.
 * A keeper is forked here, which lives as long as this process or until variant_sandbox_end: call it before there are threads, other than those a
 * library waits with, and before keys and passwords are in memory. Again: nothing.
 * E_UNSUPPORTED: the kernel filters no system calls, or the library was built without (-DVARIANT_SANDBOX=OFF); nothing changes then.
 * Threads: one. */
variant_status variant_sandbox_begin(variant_error *error);
/* Files are read as before. While nothing is read. Threads: one. */
void variant_sandbox_end(void);
/* What the kernel has for it, "seccomp, Landlock version 7", or what is missing, a line of at most `size` bytes (NULL: only asked); true where a sandbox
 * can be had. Threads: any. */
bool variant_sandbox_describe(char *line, size_t size);

VARIANT_END

#endif
