"""What a model file holds, and what generating with it takes, without an engine: what `variant inspect` tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._library import Kept, call, text
from ._model import Model, Opened, each, told
from ._variant import ffi, lib


@dataclass(frozen=True)
class FilePart:
    """A state dict of a file that holds a tokenizer or a transformer."""

    part: str
    """"tokenizer", "transformer" """
    under: str
    """key or prefix that it lies under, the part= of an Engine; "": bare names"""
    taken: bool
    """an engine would take this one"""


@dataclass(frozen=True)
class FileFacts:
    """A file of the model."""

    path: str
    format: str
    """"safetensors", "PyTorch"; of memory what messages call it"""
    tensors: int
    bytes: int
    parts: tuple[FilePart, ...]
    packed: str | None
    """type of packed weights (variant.convert(pack=)); None: they are not packed, and the next two are None and 0"""
    packed_layout: str | None
    packed_version: int


@dataclass(frozen=True)
class TensorFacts:
    """A tensor as its file has it."""

    name: str
    group: str
    """what it lies under in its file; "" """
    type: str
    """"F32", as safetensors calls them"""
    shape: tuple[int, ...]
    numbers: int
    not_finite: int
    """NaN or infinite ones among them"""
    changed: bool
    """its bytes are not those that its checksum was made of"""


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer."""

    parameters: int
    """numbers"""
    mapped_bytes: int
    """of weights that are used in place in the mapped file"""
    picture_side: int
    """pixels"""
    channels: int
    """1 grey or 3 RGB"""
    base_width: int
    mult: tuple[int, ...]
    """channel multiplier of each level"""
    blocks: int
    """residual blocks a level"""
    codes: int
    """entries of the codebook"""
    latent_dim: int
    sides: tuple[int, ...]
    """of the token maps, a scale each"""
    tokens: int
    """L: the sum of sides squared"""


@dataclass(frozen=True)
class PreviewFacts:
    """The small decoder for previews."""

    hash: str
    parameters: int
    mapped_bytes: int
    widths: tuple[int, ...]
    """channels of each level"""
    blocks: int
    training: str | None
    """what its training left (JSON)"""


@dataclass(frozen=True)
class DepthFacts:
    """What a depth takes: keys and values of one picture with guidance, float32, in bytes."""

    depth: int
    """layers of the late scales"""
    bridge: int
    """scales at full depth before them"""
    layers_by_scale: str
    kv_peak_bytes: int
    kv_end_bytes: int
    kv_retained_bytes: int
    """at the most, where none are released"""
    saved: float
    """of what full depth in both branches holds, 0 to 1"""
    saved_retained: float


@dataclass(frozen=True)
class IntegerFacts:
    """Which products are integers in the file, and what was measured for it."""

    int8: int
    int4: int
    rows: int
    """int8 ones with one scale a row of the input"""
    folded: int
    """int8 ones whose factors are folded into the norm before them"""
    pictures: int
    """that it was measured on; 0: it was not"""
    json: str
    """all of it, weight by weight"""


@dataclass(frozen=True)
class TransformerFacts:
    """The transformer."""

    parameters: int
    mapped_bytes: int
    depth: int
    """layers"""
    width: int
    heads: int
    hidden: int
    """width of the MLP"""
    codes: int
    latent_dim: int
    classes: int
    l2_norm: bool
    shared_adaln: bool
    sides: tuple[int, ...]
    tokens: int
    class_names: tuple[str, ...]
    """empty: none are known"""
    supernet: bool
    """trained for several depths; else the next ones are 0, empty and None"""
    bridge: int
    last_bridge: int
    """scales at full depth in the training, drawn from the first to the second"""
    depths: tuple[int, ...]
    """of the subnets"""
    layers: str | None
    uncond_depth: int
    """layers of guidance's unconditional branch, where a request says nothing"""
    cfg_lates: dict[int, float]
    """the factor on guidance where that branch is the shallower one, by layers of the conditional branch"""
    integers: IntegerFacts | None
    """None: its products are numbers"""
    costs: tuple[DepthFacts, ...]
    """full depth first, then the trained depths or halves down to two"""


@dataclass(frozen=True)
class Network:
    """A network that scores are measured in."""

    name: str
    inception: bool
    side: int
    """pixels, of the pictures it was made for"""
    channels: int
    dims: int
    """of its features"""
    spatial_dims: int
    """of those that sFID is measured in; 0: none"""
    classes: int
    hash: str


@dataclass(frozen=True)
class Inspection:
    """A model as its files have it; None is what they do not hold."""

    hash: str
    """16 hex digits of the weights"""
    files: tuple[FileFacts, ...]
    tokenizer: TokenizerFacts | None
    preview: PreviewFacts | None
    transformer: TransformerFacts | None
    network: Network | None
    """it is such a network, and none of the three above"""
    damaged: tuple[TensorFacts, ...]
    """weights that hold NaN or infinities, or are changed, for which an Engine refuses the model"""
    tensors: tuple[TensorFacts, ...]
    """with tensors=True"""
    json: dict[str, Any]
    """all of it as `variant inspect --json` prints it"""


def inspect(
    model: Model,
    *,
    tokenizer: Model | None = None,
    sides: Sequence[int] | str | None = None,
    heads: int = 0,
    part: str | None = None,
    config: Mapping[str, Any] | None = None,
    bridge: int = -1,
    tensors: bool = False,
    verify: bool = True,
    warn: Callable[[str], object] | None = None,
) -> Inspection:
    """Looks at what Engine would open, or at a network that scores are measured in. Weights are read once, nothing is computed.

    model: a file or folder, a module or a state dict. config: of a state dict, what "variant.config" of a file says (docs/DATA.md).
    bridge: scales at full depth, for the table of depths, 0 to K; -1: as trained. tensors: also every tensor. verify: also compares checksums. warn: gets one line on what
    was chosen or passed over (default: warnings.warn). Errors: FileError, FormatError, ModelError, ArgumentError.

    >>> import variant
    >>> found = variant.inspect("models/fashion")
    >>> found.transformer.depth, found.transformer.class_names[7], found.tokenizer.sides
    (12, 'Sneaker', (1, 2, 3, 4, 5, 6, 8))
    >>> [(cost.depth, cost.kv_peak_bytes) for cost in found.transformer.costs][:2]
    [(12, 2222080), (6, 1269760)]
    """
    opened = Opened(model, tokenizer, sides, heads, part, config, warn, verify=verify)
    options = Kept("variant_inspect_options")
    options.set("bridge", bridge)
    options.set("tensors", tensors)
    out = ffi.new("variant_inspection **")
    call(lib.variant_inspect, out, opened.options.struct, options.struct, watch=opened.watch)
    try:
        found = _inspection(out[0])
    finally:
        lib.variant_inspection_free(out)
    opened.tell()
    return found


def _inspection(of: Any) -> Inspection:
    printed = lib.variant_inspection_json(of)
    if printed == ffi.NULL:
        raise MemoryError("no memory for an inspection")
    try:
        plain: dict[str, Any] = json.loads(text(printed) or "{}")
    finally:
        lib.free(printed)
    return Inspection(
        hash=text(of.hash) or "",
        files=tuple(_file(of.files[i]) for i in range(of.file_count)),
        tokenizer=_tokenizer(of.tokenizer) if of.tokenizer != ffi.NULL else None,
        preview=told(PreviewFacts, of.preview, widths=_array(of.preview.widths, of.preview.level_count)) if of.preview != ffi.NULL else None,
        transformer=_transformer(of.transformer) if of.transformer != ffi.NULL else None,
        network=told(Network, of.network) if of.network != ffi.NULL else None,
        damaged=_tensors(of.damaged, of.damaged_count),
        tensors=_tensors(of.tensors, of.tensor_count),
        json=plain,
    )


def _array(values: Any, count: int) -> tuple[Any, ...]:
    return tuple(values[0:count])


def _file(file: Any) -> FileFacts:
    parts = tuple(told(FilePart, p, under=text(getattr(p, "in"))) for p in file.parts[0 : file.part_count])
    return told(FileFacts, file, parts=parts)


def _tensors(tensors: Any, count: int) -> tuple[TensorFacts, ...]:
    return tuple(told(TensorFacts, tensors[i], shape=_array(tensors[i].shape, tensors[i].rank)) for i in range(count))


def _tokenizer(of: Any) -> TokenizerFacts:
    return told(TokenizerFacts, of, mult=_array(of.mult, of.level_count), sides=_array(of.sides, of.scales))


def _transformer(of: Any) -> TransformerFacts:
    return told(
        TransformerFacts,
        of,
        sides=_array(of.sides, of.scales),
        class_names=tuple(text(of.class_names[i]) or "" for i in range(of.class_name_count)),
        depths=_array(of.depths, of.depth_count),
        cfg_lates={of.late_depths[i]: of.cfg_lates[i] for i in range(of.late_count)},
        integers=told(IntegerFacts, of.integers) if of.integers != ffi.NULL else None,
        costs=each(DepthFacts, of.costs, of.cost_count),
    )
