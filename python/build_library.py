#!/usr/bin/env python3
"""Writes the C source of the extension module variant._variant: cffi's, of everything include/variant.h and the headers behind it declare.

    build_library.py COMPILER variant.h _variant.c

The header is the one source: what it declares is callable from Python as soon as the module is built again, and the C
compiler checks each struct's layout. Called by python/CMakeLists.txt.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cffi

# What the library calls back (_library.py has their bodies); `user` is a handle of Python's state.
CALLBACKS = """
extern "Python" bool vp_progress(void *user, const variant_progress *at);
extern "Python" void vp_preview(void *user, const variant_preview *at);
extern "Python" void vp_warn(void *user, const char *line);
extern "Python" void vp_note(void *user, const char *line);
extern "Python" void vp_finished(void *user, uint64_t seed, const variant_scores *scores);
extern "Python" bool vp_train_progress(void *user, const variant_train_progress *at);
extern "Python" void vp_metrics(void *user, const variant_metrics *line);
extern "Python" bool vp_sweep_progress(void *user, const variant_sweep_progress *at);
extern "Python" bool vp_doing(void *user, const char *doing, int done, int total);
extern "Python" bool vp_counted(void *user, int done, int total);
"""

# What a tensor of another library is behind its capsule (DLPack 0.8, dlpack.h); _tensors.py reads it.
DLPACK = """
typedef struct { int32_t device_type; int32_t device_id; } DLDevice;
typedef struct { uint8_t code; uint8_t bits; uint16_t lanes; } DLDataType;
typedef struct { void *data; DLDevice device; int32_t ndim; DLDataType dtype; int64_t *shape; int64_t *strides;
                 uint64_t byte_offset; } DLTensor;
typedef struct DLManagedTensor { DLTensor dl_tensor; void *manager_ctx; void (*deleter)(struct DLManagedTensor *self); }
    DLManagedTensor;
"""


def declarations(compiler: str, header: Path) -> str:
    """The header after the preprocessor, its standard headers empty, since cffi knows their types; without inline functions."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stdbool.h", "stddef.h", "stdint.h"):
            Path(folder, name).touch()
        command = [compiler, "-E", "-P", "-nostdinc", "-I", folder, "-I", str(header.parent), "-D__attribute__(x)=", "-x", "c", str(header)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return re.sub(r"static inline [^{}]*\{[^{}]*\}", "", text)


def main(compiler: str, header: str, out: str) -> None:
    builder = cffi.FFI()
    builder.cdef(declarations(compiler, Path(header)))
    builder.cdef(DLPACK)
    builder.cdef(CALLBACKS)
    builder.cdef("void free(void *);")
    builder.set_source("variant._variant", f"#include <stdlib.h>\n#include <variant.h>\n{DLPACK}")
    builder.emit_c_code(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
