"""Pictures are arrays over the library's memory, which lives as long as any of them; they save and show themselves."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path

import numpy as np
import pytest
import variant


def test_arrays_share_the_picture_s_memory(engine: variant.Engine) -> None:
    picture = engine.generate("Bag", seed=3)[0]
    array, other = np.asarray(picture), np.from_dlpack(picture)
    assert array.ctypes.data == other.ctypes.data == picture.array.ctypes.data
    assert array.dtype == np.uint8 and array.shape == picture.shape == (32, 32, 1)
    assert array.data.nbytes == 32 * 32
    array[0, 0, 0] ^= 255
    assert picture.array[0, 0, 0] == array[0, 0, 0]


def test_an_array_of_another_type_is_a_copy_of_that_type(engine: variant.Engine) -> None:
    picture = engine.generate("Bag", depth=2, bridge=0)[0]
    assert picture.__array__(np.float32, copy=True).dtype == np.float32 and picture.__array__(np.float32).dtype == np.float32
    assert not np.shares_memory(picture.__array__(copy=True), picture.array) and np.shares_memory(picture.__array__(np.uint8, copy=False), picture.array)
    with pytest.raises(ValueError, match="uint8"):
        picture.__array__(np.float32, copy=False)


def test_memory_outlives_the_pictures(engine: variant.Engine) -> None:
    arrays = [engine.generate("Bag", n=2, seed=3)[1].array for _ in range(20)]
    tokens = engine.generate("Bag", n=2, seed=3)[1].tokens
    gc.collect()
    assert all(np.array_equal(a, arrays[0]) for a in arrays)
    assert tokens.dtype == np.int32 and tokens.shape == (sum(s * s for s in engine.info.sides),)


def test_all_pictures_are_one_array(engine: variant.Engine) -> None:
    pictures = engine.generate("Bag", n=3)
    stacked = np.asarray(pictures)
    assert stacked.shape == (3, 32, 32, 1) and np.array_equal(stacked[1], pictures[1])
    assert len(pictures[1:]) == 2 and len(list(pictures)) == 3


def test_files_and_notebooks(engine: variant.Engine, tmp_path: Path) -> None:
    pictures = engine.generate("Bag", n=4, keep_scales=True)
    assert pictures[0].encode().startswith(b"\x89PNG") and pictures[0]._repr_png_() == pictures[0].encode()
    assert pictures[0].encode("jpeg", 80).startswith(b"\xff\xd8") and pictures[0].encode("webp")[8:12] == b"WEBP"
    assert pictures._repr_html_().count("<img") == 4
    pictures.save_sheet(tmp_path / "sheet.png")
    pictures.save_animation(tmp_path / "grow.png", columns=2)
    assert b"acTL" in (tmp_path / "grow.png").read_bytes()
    assert pictures[0].settings["class"] == "Bag"
    with pytest.raises(variant.ArgumentError):
        pictures[0].save(tmp_path / "p.bmp")
    with pytest.raises(OSError):
        pictures[0].save(tmp_path / "nowhere" / "p.png")
    with pytest.raises(ValueError, match="NUL"):
        pictures[0].save(f"{tmp_path}/nul.png\0x.txt")
    assert not (tmp_path / "nul.png").exists()
    with pytest.raises(variant.ArgumentError):
        pictures[0].encode("bmp")
    assert pictures.report.total_seconds > 0 and pictures.report.depths.count(",") == engine.info.scales - 1


def test_pickles_and_copies_are_the_same_pictures(engine: variant.Engine, tmp_path: Path) -> None:
    pictures = engine.generate("Bag", n=4, keep_scales=True)
    for again in (pickle.loads(pickle.dumps(pictures)), copy.deepcopy(pictures)):
        assert again.report == pictures.report and len(again) == 4
        for one, other in zip(pictures, again):
            assert one.encode() == other.encode() and one.settings == other.settings and one.label == other.label
            assert np.array_equal(one.tokens, other.tokens) and np.array_equal(one.scales, other.scales)
            assert not np.shares_memory(one.array, other.array)
        again.save_sheet(tmp_path / "again.png")
        pictures.save_sheet(tmp_path / "sheet.png")
        assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
        again.save_animation(tmp_path / "grow.png")
    plain = pickle.loads(pickle.dumps(engine.generate("Bag")[0]))
    del pictures
    gc.collect()
    assert plain.scales == [] and plain.array.sum() > 0
    plain.array[0, 0, 0] = 7
    assert plain.array[0, 0, 0] == 7


def test_torch_reads_pictures(engine: variant.Engine) -> None:
    torch = pytest.importorskip("torch")
    picture = engine.generate("Bag")[0]
    assert torch.from_dlpack(picture).data_ptr() == picture.array.ctypes.data
