"""Pictures to token maps and back, by a tokenizer alone or that of an engine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._closing import Holds, Turn
from ._library import Kept, Watch, call, path, text
from ._variant import ffi, lib
from .data import Pictures, integers, taken
from .engine import Engine, _listed, _options


class Tokenizer(Holds):
    """A tokenizer: pictures to token maps and back. Of a file (which may hold nothing else), or of an Engine that was opened with
    encoder=True (without, it decodes alone). One thread at a time may use one (RuntimeError otherwise); closing waits for it.

    Of a file: threads and weights as Engine's; sides: of the scales, where the file does not tell them; verify=False: a tensor that its
    checksum says is damaged, which else is a FormatError, is taken as it is. An engine's are the engine's.

    scales, sides: of the token maps. length: L, tokens of a picture. codes: entries of the codebook. side, channels: of pictures.
    """

    def __init__(
        self,
        source: Engine | str | os.PathLike[str],
        *,
        threads: int = 0,
        weights: str | None = None,
        sides: Sequence[int] | str | None = None,
        verify: bool = True,
    ) -> None:
        self._turn = Turn("tokenizer")
        if isinstance(source, (str, bytes, os.PathLike)):
            options = _options({"sides": _listed(sides), "weights": weights}, 0, threads, True, verify)
            options.set("model", path(source, "source"))
            self._open("variant_tokenizer **", lib.variant_tokenizer_open, None, options.struct)
        elif hasattr(source, "_use"):
            if threads or weights is not None or sides is not None or not verify:
                raise TypeError("threads, weights, sides and verify are of a tokenizer in a file: an engine's has the engine's")
            self._open("variant_tokenizer **", lib.variant_tokenizer_of, source)
        else:
            raise TypeError(f"source: an Engine or a path is wanted, not {type(source).__name__}")
        shape = lib.variant_tokenizer_shape(self._memory[0])
        self.sides: tuple[int, ...] = tuple(shape.sides[0 : shape.scales])
        self.length, self.codes, self.latent_dim = int(shape.tokens), int(shape.codes), int(shape.latent_dim)
        self.side, self.channels = int(shape.picture_side), int(shape.channels)
        self.hash = text(shape.hash) or ""

    @contextmanager
    def _use(self) -> Iterator[Any]:
        with self._turn.use():
            if self._memory is None:
                raise ValueError("the tokenizer is closed")
            yield self._memory[0]

    def encode(self, pictures: Pictures, count: int = 0) -> NDArray[np.int32]:
        """(N, L) int32: the token maps of pictures (variant.Data: paths or an array), scale after scale; count: the first so many."""
        return self.encode_labelled(pictures, count)[0]

    def encode_labelled(self, pictures: Pictures, count: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
        """Likewise, and (N,) their labels, None where they are not known."""
        data, watch, options = taken(pictures), Watch(), Kept("variant_tokenize_options")
        options.set("count", count)
        options.struct.progress, options.struct.user, options.struct.cancel = lib.vp_counted, watch.handle, watch.cancel
        out = ffi.new("variant_tokens **")
        with self._use() as tokenizer:
            call(lib.variant_encode, tokenizer, data.struct, options.struct, out, watch=watch)
        try:
            t = out[0]
            tokens = np.frombuffer(bytearray(ffi.buffer(t.tokens, 4 * t.count * t.length)), np.int32).reshape(t.count, t.length)
            known = t.labels != ffi.NULL
            labels = np.frombuffer(bytearray(ffi.buffer(t.labels, 4 * t.count)), np.int32) if known else None
            return tokens, labels
        finally:
            lib.variant_tokens_free(out)

    def decode(self, tokens: Any, decoder: str | None = None) -> NDArray[np.uint8]:
        """(N, H, W, C) uint8 of (N, L) token maps. decoder: "full" (default) or "preview"."""
        array = integers(np.atleast_2d(np.asarray(tokens)), (None, self.length), "tokens")
        watch, options = Watch(), Kept("variant_tokenize_options")
        options.struct.progress, options.struct.user, options.struct.cancel = lib.vp_counted, watch.handle, watch.cancel
        if decoder is not None:
            options.set("decoder", decoder)
        pixels = np.empty((len(array), self.side, self.side, self.channels), np.uint8)
        given, out = ffi.from_buffer("int32_t[]", array), ffi.from_buffer("uint8_t[]", pixels)
        with self._use() as tokenizer:
            call(lib.variant_decode, tokenizer, given, len(array), options.struct, out, watch=watch)
        return pixels

    def close(self) -> None:
        with self._turn.end():
            if self._memory is not None:
                self._release(lib.variant_tokenizer_close)
