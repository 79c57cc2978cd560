# The compiled module (python/build_library.py): cffi's interface to include/variant.h, which has the types.
from typing import Any

ffi: Any
lib: Any
