"""Trainings, tokens and scores: pictures in memory through all of it, in seconds; Ctrl-C, wrong data."""

from __future__ import annotations

import _thread
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import variant
from conftest import ROOT, Program, flip
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def pictures() -> variant.Data:
    """Bars and squares, 16 x 16."""
    drawn = np.full((64, 16, 16, 1), 20, np.uint8)
    for i in range(64):
        at = 2 + i // 2 % 8
        if i % 2:
            drawn[i, :, at : at + 3] = 230
        else:
            drawn[i, at : at + 6, 4:11] = 200
    return variant.Data(drawn, np.arange(64) % 2, class_names=["square", "bar"])


SMALL: dict[str, Any] = {"side": 16, "width": 32, "mult": [1, 1], "codes": 16, "latent_dim": 4, "sides": [1, 2, 4, 8], "batch": 8}


@pytest.fixture(scope="module")
def trained(pictures: variant.Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    seen: list[variant.TrainProgress] = []
    lines: list[dict[str, Any]] = []
    result = variant.train_tokenizer(
        pictures, folder / "tokenizer", steps=12, log_every=4, progress=seen.append, metrics=lines.append, **SMALL
    )
    assert (result.stopped, result.step, result.steps) == (False, 12, 12) and Path(result.model).exists()
    assert [at.step for at in seen if at.doing == "training"] == list(range(1, 13))
    assert lines == [json.loads(line) for line in (folder / "tokenizer" / "log.jsonl").read_text().splitlines()]
    shape: dict[str, Any] = {"steps": 6, "batch": 8, "depth": 4, "width": 32, "heads": 2}
    variant.train_transformer(pictures, folder / "transformer", folder / "tokenizer", **shape)
    model = folder / "transformer"
    result = variant.train_supernet(pictures, folder / "supernet", model=model, depths=[2, 1], steps=4, batch=8)
    assert result.step == 4
    variant.train_classifier(pictures, folder / "classifier", side=16, steps=10, batch=16)
    variant.train_decoder(pictures, folder / "preview", folder / "supernet", decoder="tiny", steps=2, batch=8)
    return folder


def test_what_was_trained_draws(trained: Path) -> None:
    with variant.Engine(trained / "supernet") as engine:
        assert engine.classes == ("square", "bar") and engine.info.depths == (2, 1)
        assert engine.generate("bar", depth=2)[0].shape == (16, 16, 1)
    with variant.Engine(trained / "preview") as engine:
        assert engine.info.preview_decoder


def test_a_line_of_progress_has_a_loss_where_there_is_one(
    trained: Path, pictures: variant.Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant.train_transformer(pictures, tmp_path / "shown", trained / "tokenizer", steps=1, batch=8, depth=2, width=32, heads=2, progress=True)
    drawn = capsys.readouterr().err.split("\r")
    assert any(line.startswith("encoding") for line in drawn) and any(line.startswith("training 1/1, loss ") for line in drawn)
    assert not any("loss" in line for line in drawn if line.startswith("encoding"))


def test_every_option_of_the_command_line_is_one_or_is_told_what_is(pictures: variant.Data, program: Program, tmp_path: Path) -> None:
    rows = [line.split("\t")[:2] for line in program("help", "--format", "table").splitlines() if line.startswith("train ")]
    names = {(kind.split()[1], re.findall(r"--([a-z0-9-]+)", option)[0].replace("-", "_")) for kind, option in rows}
    assert len(names) > 100 and ("tokenizer", "lr") in names and ("supernet", "phases") in names
    calls = {"tokenizer", "data", "output", "help"}  # arguments of their own
    for kind, name in sorted(names):
        needs = {"tokenizer": "nowhere"} if kind in ("transformer", "decoder") else {}
        if name in calls:
            continue
        with pytest.raises((TypeError, ValueError, variant.Error)) as raised:
            getattr(variant, f"train_{kind}")(pictures, tmp_path / "none", **needs, **{name: object()}, nothing=1)
        assert f"no option {name}; " not in str(raised.value) or "; here it is " in str(raised.value), (kind, name)


def test_a_run_that_is_stopped_goes_on_to_the_same_weights(pictures: variant.Data, tmp_path: Path) -> None:
    variant.train_tokenizer(pictures, tmp_path / "whole", steps=6, **SMALL)
    stopped = variant.train_tokenizer(pictures, tmp_path / "parts", steps=6, progress=lambda at: at.step < 3, **SMALL)
    assert stopped.stopped and stopped.step == 3
    with pytest.raises(variant.ArgumentError):
        variant.train_tokenizer(pictures, tmp_path / "parts", steps=6, **SMALL)
    assert not variant.train_tokenizer(pictures, tmp_path / "parts", steps=6, resume=True, **SMALL).stopped
    name = "tokenizer.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_an_interrupt_saves_the_run(pictures: variant.Data, tmp_path: Path) -> None:
    timer = threading.Timer(0.5, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        variant.train_tokenizer(pictures, tmp_path / "run", steps=100_000, **SMALL)
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_dry_run_tells_memory_and_writes_nothing(pictures: variant.Data, tmp_path: Path) -> None:
    told = variant.train_tokenizer(pictures, tmp_path / "none", dry_run=True, steps=5, **SMALL)
    assert told.total_bytes > told.weight_bytes > 0 and not (tmp_path / "none").exists()


def test_tokens_there_and_back(pictures: variant.Data, trained: Path, program: Program, tmp_path: Path) -> None:
    with variant.Tokenizer(trained / "tokenizer") as tokenizer:
        tokens, labels = tokenizer.encode_labelled(pictures)
        assert tokens.shape == (64, tokenizer.length) and labels is not None and labels[:4].tolist() == [0, 1, 0, 1]
        assert tokenizer.decode(tokens[:3]).shape == (3, 16, 16, 1)
        np.savez(tmp_path / "tokens.npz", tokens=tokens[:2])
        program("decode", "-m", trained / "tokenizer", tmp_path / "tokens.npz", "-o", tmp_path / "p.png")
        assert len(list(tmp_path.glob("p*.png"))) == 2
        anything: Any = tokenizer
        for wrong in (tokens[:, 1:], tokens + 1000, tokens.astype(float)):
            with pytest.raises((TypeError, ValueError)):
                anything.decode(wrong)
    with pytest.raises(ValueError):
        tokenizer.encode(pictures)


def test_an_engine_s_tokenizer_makes_the_engine_s_pictures(colour: variant.Engine) -> None:
    made = colour.generate(0, n=2, seed=1)
    with variant.Tokenizer(colour) as tokenizer:
        assert np.array_equal(tokenizer.decode(np.stack([p.tokens for p in made])), made)
        assert tokenizer.encode(np.asarray(made)).shape == (2, tokenizer.length)


def test_scores_of_arrays_are_the_program_s(pictures: variant.Data, trained: Path, program: Program, tmp_path: Path) -> None:
    array: NDArray[np.uint8] = pictures.pictures
    with variant.Engine(trained / "supernet") as engine:
        made = engine.generate("all", n=12, seed=0)
        scores = variant.evaluate(np.asarray(made), array, features=trained / "classifier", draws=0)
        same = variant.evaluate(engine, array, features=trained / "classifier", draws=0, n=12, seed=0)
    assert scores.count == 12 and scores.reference_count == 64 and scores.name == "FID(classifier)"
    assert scores.frechet is not None and same.frechet == pytest.approx(scores.frechet, rel=1e-6)
    for i, picture in enumerate(made):
        picture.save(tmp_path / f"{i:02d}.png")
    np.savez(tmp_path / "real.npz", arr_0=array)
    told = json.loads(
        program("eval", "--pictures", tmp_path, "--reference", tmp_path / "real.npz", "--features", trained / "classifier", "--draws", 0, "--json")
    )
    assert scores.frechet == pytest.approx(told["scores"]["frechet"], rel=1e-6)


def test_a_network_that_is_damaged_judges_only_where_it_may(trained: Path, tmp_path: Path) -> None:
    network = tmp_path / "network.safetensors"
    name = flip(trained / "classifier/classifier.safetensors", None, network)
    asked: dict[str, Any] = {"features": network, "draws": 0, "n": 4, "depth": 2}
    with variant.Engine(trained / "supernet") as engine:
        with pytest.raises(variant.FormatError, match=f"network.safetensors.*{name}"):
            variant.evaluate(engine, **asked)
        with pytest.raises(variant.FormatError, match=f"network.safetensors.*{name}"):
            variant.evaluate_seeds(engine, [1], **asked)
        assert variant.evaluate(engine, verify=False, **asked).count == 4
        assert variant.evaluate_seeds(engine, [1], verify=False, **asked).mean.count == 4


def test_pictures_are_data_one_by_one_and_in_lists(engine: variant.Engine) -> None:
    made = engine.generate("all", n=3, seed=1)
    with variant.Tokenizer(ROOT / "models/fashion") as tokenizer:
        want = tokenizer.encode(np.asarray(made))
        assert np.array_equal(tokenizer.encode(made), want) and np.array_equal(tokenizer.encode(list(made)), want)
        assert np.array_equal(tokenizer.encode(made[1]), want[1:2])
        assert np.array_equal(tokenizer.encode((made[2], made[0].array)), want[[2, 0]])
        with pytest.raises(ValueError, match="pictures of one size"):
            tokenizer.encode([made[0], made[1].array[1:]])
        with pytest.raises(TypeError, match="class_names: a list of names"):
            tokenizer.encode(variant.Data(np.asarray(made), [0, 1, 1], class_names="ab"))
        with pytest.raises(variant.ArgumentError, match="1 x 40000 pixels: expected sides of 1 to 32768"):
            tokenizer.encode(np.zeros((2, 40000, 1), np.uint8))


def test_wrong_data_and_options_are_told(tmp_path: Path) -> None:
    grey = np.zeros((4, 8, 8), np.uint8)
    train: Any = variant.train_tokenizer
    wrong: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (grey.astype(float), {}, TypeError, "uint8"),
        (grey[0], {}, ValueError, "(N, H, W)"),
        (variant.Data(grey, [0, 1]), {}, ValueError, "labels"),
        (variant.Data(grey, [0.5] * 4), {}, TypeError, "integers"),
        (tmp_path / "nowhere", {}, variant.Error, "nowhere"),
        (grey, {"setps": 3}, TypeError, "did you mean steps?"),
        (grey, {"steps": "many"}, TypeError, "steps: a number is wanted"),
        (grey, {"mult": [1] * 50}, ValueError, "mult"),
        (grey, {"batch": -1}, variant.Error, "batch"),
        (grey, {"mult": ["a"]}, TypeError, "mult: "),
        (grey, {"mult": 5}, TypeError, "mult: "),
        (grey, {"cancel": 5}, TypeError, "a Cancel is wanted"),
        (variant.Data(grey, class_names=[5]), {}, TypeError, "class_names: "),  # type: ignore[list-item]
        (variant.Data(grey, class_names=["\ud800"]), {}, ValueError, "class_names: "),
    ]
    for data, options, error, words in wrong:
        with pytest.raises(error) as raised:
            train(data, tmp_path / "run", **options)
        assert words in str(raised.value), (words, str(raised.value))
    with pytest.raises(variant.Error):
        variant.evaluate(grey, features=ROOT / "nowhere")
