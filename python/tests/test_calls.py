"""Loops, threads, cancelling, Ctrl-C, closing: whatever happens while the library computes ends in an exception."""

from __future__ import annotations

import _thread
import copy
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import variant
from conftest import ROOT

LONG = 200_000  # pictures: minutes


def test_requests_share_steps_and_make_what_they_make_alone(engine: variant.Engine) -> None:
    with engine.loop() as loop:
        jobs = [loop.add("Bag", depth=d, seed=d) for d in (12, 6, 3)]
        loop.step()
        late = loop.add("Sneaker", seed=5)
        loop.run()
        made = [job.take()[0] for job in [*jobs, late]]
    assert np.array_equal(made[3], engine.generate("Sneaker", seed=5)[0])
    for d, picture in zip((12, 6, 3), made):
        assert np.array_equal(picture, engine.generate("Bag", depth=d, seed=d)[0])


def test_a_job_that_is_cancelled_or_taken_twice(engine: variant.Engine) -> None:
    with engine.loop() as loop:
        job, other = loop.add("Bag", n=5), loop.add("Bag")
        loop.step()
        job.cancel()
        loop.run()
        assert job.done and other.done
        with pytest.raises(variant.Stopped):
            job.take()
        with pytest.raises(ValueError):
            job.take()
        assert len(other.take()) == 1
        left = loop.add("Bag")
    with pytest.raises(ValueError):
        left.take()
    with pytest.raises(ValueError):
        loop.step()
    loop.close()


def test_a_callback_neither_takes_jobs_nor_closes_its_loop(engine: variant.Engine) -> None:
    with engine.loop() as loop:
        refused: list[BaseException] = []

        def meddle(_: variant.Preview) -> None:
            for call in (job.take, loop.close):
                try:
                    call()
                except variant.ArgumentError as error:
                    refused.append(error)

        job = loop.add("Bag", preview=meddle, seed=2)
        loop.run()
        assert len(refused) == 2 * engine.info.scales
        assert np.array_equal(job.take()[0], engine.generate("Bag", seed=2)[0])


def test_previews_come_while_the_picture_grows(engine: variant.Engine) -> None:
    previews = engine.previews("Bag", depth=3, seed=4)
    seen = list(previews)
    assert [p.scale for p in seen] == list(range(1, engine.info.scales + 1))
    assert seen[0]._repr_png_().startswith(b"\x89PNG") and len(repr(seen[0])) < 100
    whole = engine.generate("Bag", depth=3, seed=4)[0]
    assert np.array_equal(seen[-1].array, previews.pictures[0]) and np.array_equal(whole, previews.pictures[0])
    assert next(engine.previews("Bag", n=3)).pictures == 3
    with engine.previews("Bag") as begun:
        next(begun)
    with pytest.raises(ValueError):
        begun.pictures
    assert list(begun) == []


def test_an_exception_of_a_callback_is_raised(engine: variant.Engine) -> None:
    def fails(_: object) -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        engine.generate("Bag", n=LONG, progress=fails)
    with pytest.raises(KeyError):
        engine.generate("Bag", n=LONG, preview=fails)
    with engine.loop() as loop:
        loop.add("Bag", preview=fails)
        with pytest.raises(KeyError):
            loop.step()
    with pytest.raises(variant.Stopped):
        engine.generate("Bag", n=LONG, progress=lambda at: at.pictures_done < 8)


@pytest.mark.parametrize("preview", [None, lambda p: None])
def test_an_interrupt_ends_a_call_within_a_scale(engine: variant.Engine, preview: Callable[[object], None] | None) -> None:
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.generate("Bag", n=LONG, preview=preview)
    assert time.monotonic() - begin < 30


def test_an_interrupt_ends_what_measures(engine: variant.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no times of other runs
    tokenizer = variant.Tokenizer(engine)
    maps = np.zeros((50000, tokenizer.length), np.int32)  # minutes
    calls: list[Callable[[], object]] = [
        lambda: engine.plan("Bag", n=64, batch=64, max_seconds=1000.0),
        lambda: variant.sweep(engine, tmp_path / "sweep", repeat=100, batch=64, n=64),
        lambda: tokenizer.decode(maps),
    ]
    for call in calls:
        timer = threading.Timer(0.3, _thread.interrupt_main)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            call()
        assert time.monotonic() - begin < 30
    with pytest.raises(TypeError, match="engine: a variant.Engine is wanted, not str"):
        variant.sweep("models/fashion", tmp_path / "sweep")  # type: ignore[arg-type]
    cancel = variant.Cancel()
    cancel.set()
    with pytest.raises(variant.Stopped):
        engine.plan("Bag", n=64, batch=64, max_seconds=1000.0, cancel=cancel)


def test_another_thread_cancels(engine: variant.Engine) -> None:
    cancel = variant.Cancel()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    with pytest.raises(variant.Stopped):
        engine.generate("Bag", n=LONG, cancel=cancel)
    assert cancel.is_set()


def test_threads_share_an_engine_and_python_goes_on(engine: variant.Engine) -> None:
    wanted = [engine.generate("Bag", n=4, seed=s)[3].array for s in range(3)]
    made: dict[int, variant.Picture] = {}

    def draw_one(seed: int) -> None:
        made[seed] = engine.generate("Bag", n=4, seed=seed)[3]

    threads = [threading.Thread(target=draw_one, args=(s,)) for s in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(made[s], wanted[s]) for s in range(3))
    done = threading.Event()

    def draw() -> None:
        engine.generate("Bag", n=300)
        done.set()

    worker = threading.Thread(target=draw)
    worker.start()
    counted = 0
    while not done.is_set():  # the interpreter's lock is free meanwhile
        counted += 1
        time.sleep(0.001)
    worker.join()
    assert counted > 20


def test_a_loop_is_of_one_thread_at_a_time(engine: variant.Engine) -> None:
    with engine.loop() as loop:
        raised: list[BaseException] = []

        def meddle() -> None:
            try:
                loop.step()
            except BaseException as error:
                raised.append(error)

        def look(_: variant.Preview) -> None:
            thread = threading.Thread(target=meddle)
            thread.start()
            thread.join()

        loop.add("Bag", preview=look, scales=1)
        loop.run()
        assert raised and isinstance(raised[0], RuntimeError)


def test_a_tokenizer_is_of_one_thread_at_a_time(colour: variant.Engine) -> None:
    pictures = np.random.default_rng(1).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8)
    tokenizer = variant.Tokenizer(colour)
    want, made, told = tokenizer.encode(pictures), [], []

    def encode() -> None:
        for _ in range(4):
            try:
                made.append(tokenizer.encode(pictures))
            except RuntimeError as error:
                told.append(str(error))

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made and all(np.array_equal(tokens, want) for tokens in made)
    assert set(told) == {"another thread uses this tokenizer"}


def test_a_tokenizer_that_is_closed_while_it_encodes(colour: variant.Engine) -> None:
    pictures = np.zeros((200, 64, 64, 3), np.uint8)
    tokenizer = variant.Tokenizer(colour)
    made: list[int] = []
    thread = threading.Thread(target=lambda: made.append(len(tokenizer.encode(pictures))))
    thread.start()
    while not tokenizer._turn._at_work:
        time.sleep(0.001)
    tokenizer.close()  # waits
    thread.join()
    assert made == [200]
    with pytest.raises(ValueError, match="the tokenizer is closed"):
        tokenizer.encode(pictures)


def test_what_is_the_library_s_is_no_copy_s(engine: variant.Engine) -> None:
    takes: list[Callable[[object], object]] = [copy.copy, copy.deepcopy, pickle.dumps]
    with engine.loop() as loop, engine.previews("Bag") as previews, variant.Tokenizer(engine) as tokenizer:
        for thing in (engine, loop, loop.add("Bag"), previews, tokenizer, variant.Cancel()):
            for take in takes:
                with pytest.raises(TypeError, match=f"{type(thing).__name__} objects stay in their process"):
                    take(thing)
    for source in (None, 5):
        with pytest.raises(TypeError, match="source: an Engine or a path is wanted"):
            variant.Tokenizer(source)  # type: ignore[arg-type]


def test_a_forked_child_draws_the_same(engine: variant.Engine) -> None:
    want = engine.generate("Bag", n=2, seed=1)[1].encode()  # the threads that drew it are the parent's alone
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os._exit(0 if engine.generate("Bag", n=2, seed=1)[1].encode() == want else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert engine.generate("Bag", n=2, seed=1)[1].encode() == want


def test_an_engine_that_is_closed() -> None:
    engine = variant.Engine(ROOT / "models/fashion")
    pictures = engine.generate("Bag")
    loop = engine.loop()
    loop.add("Bag")
    engine.close()
    engine.close()
    calls: list[Callable[[], object]] = [engine.generate, engine.previews, engine.loop, engine.memory, engine.trim]
    for call in calls:
        with pytest.raises(ValueError):
            call()
    assert "closed" in repr(engine) and pictures[0].array.shape == (32, 32, 1)
    loop.run()  # began before: it holds the engine
    loop.close()


def test_an_engine_that_is_closed_while_it_draws() -> None:
    engine = variant.Engine(ROOT / "models/fashion")
    wanted = engine.generate("Bag", n=20)[19].array
    begun = threading.Event()
    made: list[variant.Pictures] = []

    def first(_: variant.Progress) -> None:
        begun.set()

    thread = threading.Thread(target=lambda: made.append(engine.generate("Bag", n=20, progress=first)))
    thread.start()
    begun.wait(60)
    engine.close()
    thread.join()
    assert np.array_equal(made[0][19], wanted)
