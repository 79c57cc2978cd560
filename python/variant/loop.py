"""Requests that share steps, and pictures as they grow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._closing import Closes, Holds, Stays
from ._errors import ArgumentError
from ._library import Watch, call, check, made
from ._variant import ffi, lib
from .engine import Engine
from .pictures import Pictures, Preview
from .request import Options, Request, What

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Loop(Holds):
    """Any requests, of any depths, added at any time: each step takes every picture in the making one scale on, and reads the
    weights once for all. What a request makes is what Engine.generate makes of it, to the byte.

    One thread at a time (RuntimeError otherwise), but for Job.cancel. Holds its engine until it is closed.
    """

    def __init__(self, engine: Engine) -> None:
        self._turn = threading.RLock()
        self._jobs: list[Job] = []
        self._stepping = False
        self._engine = engine
        self._open("variant_loop **", lib.variant_loop_open, engine)

    @contextmanager
    def _use(self) -> Iterator[Any]:
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("another thread uses this loop")
        try:
            if self._memory is None:
                raise ValueError("the loop is closed")
            yield self._memory[0]
        finally:
            self._turn.release()

    def add(self, what: What | None = None, *, preview: Callable[[Preview], object] | None = None, **options: Unpack[Options]) -> Job:
        """A request that takes part from the next step on. Errors as Engine.generate's of what it asks."""
        with self._use() as loop:
            request = Request(self._engine, what, options)
            if preview is not None:
                request.on_preview(preview)
            out = ffi.new("variant_job **")
            call(lib.variant_loop_add, loop, request.struct, out)
            job = Job(self, out, request)
            self._jobs.append(job)
            return job

    def step(self) -> int:
        """One scale of every picture in the making; how many jobs are not done yet."""
        with self._use() as loop:
            running = ffi.new("int *")
            error = ffi.new("variant_error *")
            inside, self._stepping = self._stepping, True
            try:
                status = lib.variant_loop_step(loop, running, error)
            finally:
                self._stepping = inside
            for job in self._jobs:
                job._raise()
            check(status, error)
            return int(running[0])

    def run(self) -> None:
        """Steps until there is nothing left to do."""
        while self.step() > 0:
            pass

    def close(self) -> None:
        """Ends the jobs that were not taken. ArgumentError inside of a callback of its own."""
        with self._turn:
            if self._memory is None:
                return
            if self._stepping:
                raise ArgumentError("a loop cannot be closed in one of its callbacks")
            for job in self._jobs:
                job._memory = None
            self._release(lib.variant_loop_close)


class Job(Stays):
    """A request in a loop."""

    def __init__(self, loop: Loop, out: Any, request: Request) -> None:
        self._loop, self._memory, self._request = loop, out, request

    @property
    def done(self) -> bool:
        """Take it now; a step more does nothing for it."""
        with self._loop._use():
            return self._memory is None or bool(lib.variant_job_done(self._memory[0]))

    def cancel(self) -> None:
        """Ends the job before the next step, from any thread; take then raises Stopped."""
        memory = self._memory
        if memory is not None:
            self._request.watch.cancel[0] = 1

    def take(self) -> Pictures:
        """Ends the job: its pictures. Stopped where it is not done."""
        with self._loop._use():
            if self._memory is None:
                raise ValueError("the job was taken or its loop is closed")
            if self._loop._stepping:
                raise ArgumentError("a job cannot be taken in a callback of its loop")
            out, report = ffi.new("variant_picture **"), made("variant_report")
            memory, self._memory = self._memory, None
            self._loop._jobs.remove(self)
            call(lib.variant_job_take, memory, out, report, watch=self._request.watch)
            return Pictures._told(out, self._request.struct.count, report)

    def _raise(self) -> None:
        watch: Watch = self._request.watch
        if watch.error is not None:
            raised, watch.error = watch.error, None
            raise raised


class Previews(Closes, Iterator[Preview]):
    """Pictures as they grow: one Preview a picture and scale. Closing it, or leaving the `for`, cancels what is left."""

    def __init__(self, engine: Engine, what: What | None, options: Options) -> None:
        self._seen: deque[Preview] = deque()
        self._pictures: Pictures | None = None
        self._loop = Loop(engine)
        try:
            self._job = self._loop.add(what, preview=self._seen.append, **options)
        except BaseException:
            self._loop.close()
            raise

    def __next__(self) -> Preview:
        while not self._seen:
            if self._loop._memory is None:
                raise StopIteration
            self._step()
        return self._seen.popleft()

    def _step(self) -> None:
        try:
            if self._loop.step() == 0:
                self._pictures = self._job.take()
                self._loop.close()
        except BaseException:
            self._loop.close()
            raise

    @property
    def pictures(self) -> Pictures:
        """The finished pictures; steps on to them where they are not."""
        while self._pictures is None:
            if self._loop._memory is None:
                raise ValueError("the previews were closed before the pictures were finished")
            self._step()
        return self._pictures

    def close(self) -> None:
        self._loop.close()
