"""Files that change while they are in use."""

from __future__ import annotations

from ._library import call
from ._variant import lib


def guard_files() -> None:
    """From here on a model's file that is cut short while an Engine or a Tokenizer uses it fails their calls (FileError) and no longer ends the
    process by SIGBUS. A signal handler of the whole process (variant_guard_files of variant.h), which passes on what is not its own: so it
    has to be asked for. Calling it again changes nothing. Call it before models are opened. Unsupported where there cannot be one.
    """
    call(lib.variant_guard_files)
