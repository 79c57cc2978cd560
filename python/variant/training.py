"""The trainings: what `variant train` does, from Python. docs/TRAINING.md has what the options mean; names are theirs, with underscores, but
for those in OTHERS."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from . import _progress
from ._library import NULL, Kept, Watch, call, having, made, options_of, path, text
from ._variant import lib
from .data import Pictures, taken

if TYPE_CHECKING:
    from .engine import Cancel


@dataclass(frozen=True)
class TrainProgress:
    """Where a training is."""

    doing: str
    """"training"; "encoding" before it: step and steps count pictures then"""
    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    pictures_per_second: float
    seconds_left: float
    """below 0: not known yet"""


@dataclass(frozen=True)
class TrainResult:
    """How a training ended; bytes are measured before any of them is taken."""

    stopped: bool
    step: int
    steps: int
    loss: float
    test_loss: float
    """of the last evaluation; NaN where there was none"""
    model: str
    """the file written"""
    total_bytes: int
    weight_bytes: int
    gradient_bytes: int
    moment_bytes: int
    activation_bytes: int


ShowTraining = Union[bool, Callable[[TrainProgress], "bool | None"]]
TRAINER = {"tokenizer": "TOKENIZER", "transformer": "TRANSFORMER", "supernet": "SUPERNET", "classifier": "CLASSIFIER", "decoder": "DECODER"}
# which member counts a list
COUNTS = {"mult": "level_count", "sides": "scales", "depths": "depth_count", "weights": "weight_count"}
OTHERS = {
    "lr": "learning_rate",
    "lr_end": "learning_rate_end",
    "schedule": "constant_rate=True",
    "betas": "beta1 and beta2",
    "on_divergence": "skip_diverged=True",
    "extend": "keep_rate=True",
    "quiet": "progress=False",
    "json": "what the call gives",
    "no_verify": "verify=False",
    "no_shard_optimizer": "shard_optimizer=False",
    "sandbox": "for the program alone, whose processes are forked before there are threads: variant train --sandbox",
    "latent": "latent_dim",
    "token_cache": "cache",
    "data_index": "index",
    "no_l2_norm": "l2_norm=False",
    "train_schedules": "schedules",
    "phases": "sandwich=False",
    "draw_weights": "weights",
    "uncond_train_depth": "uncond_depth",
    "size": "decoder",
    "holdout": "variant.Data(..., holdout=)",
    "fit": "variant.Data(..., fit=)",
    "alpha": "variant.Data(..., alpha=)",
    "optimizer": "always AdamW: learning_rate, weight_decay, beta1, beta2",
    "num_epochs": "epochs",
    "max_steps": "steps",
    "batch_size": "batch",
    "device": "backend",
}
"""Names of the command line that are others here, and of other trainers, and what takes their place."""


def train_tokenizer(data: Pictures, output: str | os.PathLike[str], **options: Any) -> TrainResult:
    """Trains a tokenizer: pictures to token maps and back (VAR, arXiv 2404.02905, section 3.2).

    data: paths or an array (variant.Data). output: the run's folder. Options of all trainings: steps, epochs, batch, seed, learning_rate,
    resume, dry_run, threads and so on (variant_training of variant.h); of this one: side, channels, width, mult, blocks, codes, latent_dim, sides,
    crop, vq_weight, revive_after. progress: True draws a bar, a function gets a TrainProgress after each step and stops the run with
    False. metrics: a function that gets each line of log.jsonl as a dict. note: gets a line on what was found or chosen. cancel: a Cancel.

    A run that is stopped, by Ctrl-C too (which this raises again), has saved all: resume=True goes on.
    """
    return _train("tokenizer", data, output, ["variant_train_tokenizer_options"], options)


def train_transformer(
    data: Pictures, output: str | os.PathLike[str], tokenizer: str | os.PathLike[str], **options: Any
) -> TrainResult:
    """Trains a transformer on a trained tokenizer's maps (VAR, section 3.3). Options: of all trainings, and depth, width, heads, mlp_ratio,
    label_drop, label_smoothing, cache, part, shared_adaln, l2_norm, verify_data."""
    return _train("transformer", data, output, ["variant_train_transformer_options"], {**options, "tokenizer": tokenizer})


def train_supernet(data: Pictures, output: str | os.PathLike[str], **options: Any) -> TrainResult:
    """Trains a transformer whose late scales can run fewer layers (VARiant, arXiv 2511.16546). Options: of all trainings and of
    train_transformer, and model (the trained transformer to start from), depths, bridge, more_bridge, layers, schedules, distill, sandwich and so on."""
    kinds = ["variant_train_transformer_options", "variant_train_supernet_options"]
    return _train("supernet", data, output, kinds, options)


def train_classifier(data: Pictures, output: str | os.PathLike[str], **options: Any) -> TrainResult:
    """Trains a network that names a picture's class, by which generated pictures are judged. Options: of all trainings, and side, channels,
    width, mult, blocks, features, crop, erase, label_smoothing, model."""
    return _train("classifier", data, output, ["variant_train_classifier_options"], options)


def train_decoder(
    data: Pictures, output: str | os.PathLike[str], tokenizer: str | os.PathLike[str], **options: Any
) -> TrainResult:
    """Trains a small decoder for previews, distilled from a tokenizer's own. Options: of all trainings, and decoder ("tiny", "small",
    "medium"), pixels, teacher, partial, part."""
    return _train("decoder", data, output, ["variant_train_decoder_options"], {**options, "tokenizer": tokenizer})


def _train(
    kind: str, data: Pictures, output: str | os.PathLike[str], kinds: list[str], options: dict[str, Any]
) -> TrainResult:
    left = dict(options)
    show, metrics, note = left.pop("progress", False), left.pop("metrics", None), left.pop("note", None)
    cancel: Cancel | None = left.pop("cancel", None)
    training = Kept("variant_training", getattr(lib, "VARIANT_TRAINING_" + TRAINER[kind]))
    structs = [training, *(Kept(name) for name in kinds)]
    pictures = taken(data)
    training.struct.data = pictures.struct
    training.set("output", path(output, "output"))
    options_of(structs, left, COUNTS, OTHERS)
    watch = Watch()
    if cancel is not None:
        watch.cancel = having(cancel, "_flag", "cancel: a Cancel")._flag
    with _progress.training(show) as shown:
        _listen(training, watch, shown, metrics, note)
        result = made("variant_train_result")
        function = getattr(lib, "variant_train_" + kind)
        call(function, *(s.struct for s in structs), result, watch=watch)
    plain = {name: getattr(result, name) for name in TrainResult.__dataclass_fields__ if name != "model"}
    return TrainResult(model=text(result.model) or "", **plain)


def _listen(
    training: Kept,
    watch: Watch,
    shown: Callable[[TrainProgress], bool | None] | None,
    metrics: Callable[[dict[str, Any]], object] | None,
    note: Callable[[str], object] | None,
) -> None:
    names = [name for name in TrainProgress.__dataclass_fields__ if name != "doing"]

    def progress(at: Any) -> bool | None:
        if shown is None:
            return None
        return shown(TrainProgress(doing=text(at.doing) or "", **{name: getattr(at, name) for name in names}))

    watch.progress = progress
    if metrics is not None:
        each = metrics
        watch.metrics = lambda line: each(json.loads(text(line.json) or "{}"))
    watch.warn = note
    training.struct.user = watch.handle
    training.struct.cancel = watch.cancel
    training.struct.progress = lib.vp_train_progress
    training.struct.metrics = lib.vp_metrics if metrics else NULL
    training.struct.note = lib.vp_warn if note else NULL


__all__ = ["TrainProgress", "TrainResult", "train_classifier", "train_decoder", "train_supernet", "train_tokenizer", "train_transformer"]
