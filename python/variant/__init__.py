"""Visual autoregressive image generation whose depth is chosen per request.

    >>> import variant
    >>> engine = variant.Engine("models/fashion")
    >>> pictures = engine.generate("Sneaker", n=2, depth=6, seed=1)
    >>> pictures[0].array.shape
    (32, 32, 1)

The work is done by libvariant, which is inside; pictures are NumPy arrays over its memory.
"""

from ._errors import (
    ArgumentError,
    DeviceError,
    Error,
    FileError,
    FormatError,
    Mismatch,
    ModelError,
    OutOfMemory,
    Stopped,
    Unsupported,
)
from ._library import version as _version
from .conversion import Conversion, convert
from .data import Data
from .engine import Cancel, Engine, Info, Memory
from .guard import guard_files
from .inspection import Inspection, inspect
from .loop import Job, Loop, Previews
from .machine import Machine, machine
from .pictures import Picture, Pictures, Preview, Report
from .plan import Plan
from .request import Edit, Options, Progress
from .scores import Scores, SeedScores, evaluate, evaluate_seeds
from .sweep import SweepProgress, sweep
from .tokens import Tokenizer
from .training import (
    TrainProgress,
    TrainResult,
    train_classifier,
    train_decoder,
    train_supernet,
    train_tokenizer,
    train_transformer,
)

__version__ = _version()

__all__ = [
    "ArgumentError",
    "Cancel",
    "Conversion",
    "Data",
    "DeviceError",
    "Edit",
    "Engine",
    "Error",
    "FileError",
    "FormatError",
    "Info",
    "Inspection",
    "Job",
    "Loop",
    "Machine",
    "Memory",
    "Mismatch",
    "ModelError",
    "Options",
    "OutOfMemory",
    "Picture",
    "Pictures",
    "Plan",
    "Preview",
    "Previews",
    "Progress",
    "Report",
    "Scores",
    "SeedScores",
    "Stopped",
    "SweepProgress",
    "Tokenizer",
    "TrainProgress",
    "TrainResult",
    "Unsupported",
    "convert",
    "evaluate",
    "evaluate_seeds",
    "guard_files",
    "inspect",
    "machine",
    "sweep",
    "train_classifier",
    "train_decoder",
    "train_supernet",
    "train_tokenizer",
    "train_transformer",
]
