"""Pictures are the program's, byte for byte; options, progress, previews and plans do what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import variant
from conftest import ROOT, Program


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, []),
        ({"depth": 6, "seed": 7}, ["--depth", 6, "-s", 7]),
        ({"depths": (12, 12, 12, 12, 6, 3, 2), "batch": 2}, ["--depths", "12,12,12,12,6,3,2", "--batch", 2]),
        ({"cfg_scales": [0, 0.5, 1, 1.5, 1.5, 0, 0]}, ["--cfg-scales", "0,0.5,1,1.5,1.5,0,0"]),
        ({"greedy": True, "uncond_depth": 0}, ["--greedy", "--uncond-depth", 0]),
        ({"top_k": 5, "top_p": 0.5, "first_image": 3}, ["--top-k", 5, "--top-p", 0.5, "--first", 3]),
    ],
)
def test_same_bytes_as_the_program(
    engine: variant.Engine, program: Program, tmp_path: Path, options: variant.Options, arguments: list[object]
) -> None:
    program("generate", "-m", ROOT / "models/fashion", "--class", "Sneaker", "-n", 3, "-o", tmp_path / "p.png", *arguments)
    options["n"] = 3
    pictures = engine.generate("Sneaker", **options)
    files = sorted(tmp_path.glob("p*.png"))
    assert len(files) == len(pictures) == 3
    for picture, file in zip(pictures, files):
        assert picture.encode() == file.read_bytes()
        picture.save(tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == file.read_bytes()


def test_labels_make_one_picture_each(engine: variant.Engine) -> None:
    pictures = engine.generate([3, 7, 9], seed=2)
    assert [p.label for p in pictures] == [3, 7, 9]
    alone = engine.generate(7, n=1, seed=2, first_image=1)
    assert np.array_equal(alone[0], pictures[1])
    assert engine.labels("Sneaker,Bag") == [7, 8]
    assert len(engine.generate(np.array([1, 2], np.int64))) == 2
    for what in ("Sneaker,Bag", ["Sneaker", "Bag"]):
        assert [p.label for p in engine.generate(what)] == [7, 8]


def test_an_untrained_depth_is_warned_of(engine: variant.Engine) -> None:
    with pytest.warns(UserWarning, match="not trained at depth 5") as told:
        engine.generate("Bag", depth=5)
        with engine.loop() as loop:
            job = loop.add("Bag", depth=5)
            loop.run()
            job.take()
        list(engine.previews("Bag", depth=5))
        previews = engine.previews("Bag", depth=5)
        assert len(previews.pictures) == 1
    assert [line.filename for line in told] == [__file__] * 4


def test_the_line_of_progress_ends_with_all_pictures(engine: variant.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.generate("Bag", n=3, depth=2, progress=True)
    drawn = capsys.readouterr().err
    assert "scale 1/7" in drawn and "scale 0/" not in drawn and "3/3" in drawn


def test_a_picture_is_made_again_from_its_file(engine: variant.Engine, tmp_path: Path) -> None:
    first = engine.generate("Bag", seed=11, depth=3)[0]
    first.save(tmp_path / "a.png")
    assert np.array_equal(engine.generate(like=tmp_path / "a.png")[0], first)
    refined = engine.generate(like=tmp_path / "a.png", depth=12)[0]
    assert refined.settings["seed"] == first.settings["seed"] and refined.settings["depths"] != first.settings["depths"]
    other = engine.generate("Sandal", like=tmp_path / "a.png")[0]
    assert other.label == 5


def test_given_tokens_begin_a_picture(engine: variant.Engine) -> None:
    first = engine.generate("Bag", seed=1)[0]
    again = engine.generate("Bag", seed=9, given_tokens=first.tokens[None], given_scales=engine.info.scales)[0]
    assert np.array_equal(again.tokens, first.tokens) and np.array_equal(again, first)
    assert len(engine.generate("Bag", given_tokens=np.stack([first.tokens] * 3))) == 3
    part = engine.generate("Bag", seed=9, given_tokens=first.tokens, given_scales=2)[0]
    known = sum(s * s for s in engine.info.sides[:2])
    assert np.array_equal(part.tokens[:known], first.tokens[:known]) and not np.array_equal(part, first)


def test_a_random_seed_is_another_each_time(engine: variant.Engine) -> None:
    seeds = {engine.generate("Bag", seed=-1, scales=1)[0].settings["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_progress_and_previews_come_after_each_scale(engine: variant.Engine) -> None:
    seen: list[variant.Progress] = []
    shown: list[variant.Preview] = []
    pictures = engine.generate("Bag", n=2, progress=seen.append, preview=shown.append)
    scales = engine.info.scales
    assert [p.scale for p in seen if p.scale > 0] == list(range(1, scales + 1))
    assert [(p.picture, p.scale) for p in shown] == [(i, k) for k in range(1, scales + 1) for i in range(2)]
    assert np.array_equal(shown[-1].array, pictures[1])


def test_scales_are_kept_when_asked_for(engine: variant.Engine) -> None:
    picture = engine.generate("Bag", keep_scales=True)[0]
    assert len(picture.scales) == engine.info.scales
    assert np.array_equal(picture.scales[-1], picture) and engine.generate("Bag")[0].scales == []


def test_memory_is_told_before_and_a_plan_keeps_it(engine: variant.Engine) -> None:
    full = engine.memory("Bag", n=4)
    less = engine.memory("Bag", n=4, depth=2)
    assert less.kv < full.kv and full.pictures > 0
    limit = full.weights + full.arena + full.kv - 1
    plan = engine.plan(n=4, max_memory=limit, memory_only=True)
    assert plan.fits and plan.bytes <= limit and plan.seconds == 0
    pictures = engine.generate("Bag", n=4, plan=plan)
    assert pictures.report.kv_peak_bytes < full.kv
    assert not engine.plan(max_memory=1000, memory_only=True).fits


def test_an_edit_keeps_what_the_mask_keeps(colour: variant.Engine) -> None:
    picture = colour.generate(0, seed=1)[0]
    mask = np.zeros(picture.shape[:2], bool)
    mask[16:48, 32:] = True
    edited = colour.generate(1, seed=2, edit=variant.Edit(picture, mask, feather=0))[0]
    assert edited.shape == picture.shape
    assert np.array_equal(edited.array[~mask], picture.array[~mask])
    assert not np.array_equal(edited.array[mask], picture.array[mask])


def test_a_torn_request_says_what_is_wrong(engine: variant.Engine) -> None:
    grey = np.zeros((8, 8), np.uint8)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"depth": "many"}, TypeError, "depth"),
        ({"depth": 13}, variant.ArgumentError, "12"),
        ({"n": 0}, variant.ArgumentError, "count"),
        ({"n": 2**40}, OverflowError, "n:"),
        ({"seed": -5}, OverflowError, "seed"),
        ({"cfg_scales": [1.0]}, variant.ArgumentError, "7"),
        ({"layers": "a\0b"}, ValueError, "NUL"),
        ({"given_tokens": np.zeros((1, 3))}, TypeError, "integers"),
        ({"given_tokens": np.zeros((1, 3), np.int32), "given_scales": 1}, ValueError, "not 3"),
        ({"given_tokens": np.full(155, 99999)}, ValueError, "99999"),
        ({"edit": variant.Edit(np.zeros((8, 8), np.float32))}, TypeError, "uint8"),
        ({"edit": variant.Edit("a.png")}, TypeError, "not a path"),
        ({"edit": variant.Edit(np.zeros((8, 8, 4), np.uint8))}, ValueError, "(H, W, 3)"),
        ({"edit": variant.Edit(grey, np.zeros((8, 9), bool))}, ValueError, "(8, 8)"),
        ({"edit": variant.Edit(grey, np.zeros((8, 8)))}, TypeError, "bool"),
        ({"edit": variant.Edit(grey)}, variant.Error, "encoder"),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"given_tokens": np.full(155, 2**32 + 3)}, ValueError, "32 bits"),
        ({"depths": [2.7] * 7}, TypeError, "float"),
        ({"edit": variant.Edit(grey, fit="crop\0")}, ValueError, "NUL"),
        ({"depht": 1}, TypeError, "did you mean depth?"),
        ({"guidance_scale": 1}, TypeError, "here it is cfg_scale"),
        ({"seed": "5"}, TypeError, "seed: a number is wanted, not str"),
        ({"layers": [0, 1]}, TypeError, "layers: a text is wanted, not list"),
        ({"like": "nowhere.png"}, OSError, "nowhere.png"),
        ({"like": 5}, TypeError, "path"),
        ({"layers": "\ud800"}, ValueError, "layers: 'utf-8' codec"),
        ({"depths": 5}, TypeError, "depths: "),
        ({"cfg_scales": "1,2"}, ValueError, "cfg_scales: "),
        ({"cfg_scales": [None]}, TypeError, "cfg_scales: "),
        ({"edit": variant.Edit(grey, grow="x")}, TypeError, "edit: grow: "),  # type: ignore[arg-type]
        ({"edit": variant.Edit(grey, left=2**40)}, OverflowError, "edit: left: "),
        ({"edit": variant.Edit(grey, fit=5)}, TypeError, "edit: fit: "),  # type: ignore[arg-type]
        ({"edit": 5}, TypeError, "an Edit, or a sequence of them, is wanted, not int"),
        ({"edit": [5]}, TypeError, "an Edit, or a sequence of them, is wanted, not int"),
        ({"plan": 5}, TypeError, "a Plan of Engine.plan is wanted, not int"),
        ({"cancel": 5}, TypeError, "a Cancel is wanted, not int"),
    ]
    anything: Any = engine
    for options, error, words in wrong:
        with pytest.raises(error) as raised:
            anything.generate("Bag", **options)
        assert words in str(raised.value), options
    for what in ([], [[1]], 1.5, [1.5], [-1], [2**40], 10, [10, 3], ["Sneeker"], "Sneeker", "Bag\0"):
        with pytest.raises((TypeError, ValueError)):
            anything.generate(what)
    with pytest.raises(ValueError, match="class_name: 'utf-8' codec"):
        anything.generate("\ud800")
    picture: Any = anything.generate("Bag", depth=2, bridge=0)
    calls: list[tuple[Callable[..., object], dict[str, Any], str]] = [
        (anything.labels, {"what": 5}, "a class's name: "),
        (picture[0].encode, {"format": 5}, "format: "),
        (picture[0].encode, {"quality": "x"}, "quality: "),
        (picture[0].save, {"file": "x.png", "quality": 2**40}, "quality: "),
        (picture.save_sheet, {"file": "x.png", "zoom": 1.5}, "zoom: "),
        (picture.save_animation, {"file": "x.png", "plays": 2**31}, "plays: "),
        (variant.Engine, {"model": ROOT / "models/fashion", "sides": ["a"]}, "sides: "),
    ]
    for call, options, words in calls:
        with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
            call(**options)
        assert str(raised.value).startswith(words), options


def test_what_is_wrong_with_a_model_is_raised(tmp_path: Path) -> None:
    with pytest.raises(variant.FileError) as raised:
        variant.Engine(tmp_path / "none")
    assert raised.value.status == "E_IO" and "none" in str(raised.value) and isinstance(raised.value, OSError)
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(variant.Error):
        variant.Engine(tmp_path / "bad.safetensors")
    opened: Any = variant.Engine
    for arguments in ({"weights": "f64"}, {"backend": "cuda"}, {"threads": -1}, {"heads": -2}):
        with pytest.raises(variant.Error):
            opened(ROOT / "models/fashion", **arguments)
    for model in (5, None):
        with pytest.raises(TypeError):
            opened(model)
