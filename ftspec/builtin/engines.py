"""Engines: who runs the per-batch part of the data pipeline."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftspec import api

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

AHEAD = 2
"""Batches per worker that may be under way or done and not yet taken: this bounds memory."""
PATIENCE = 3.0
"""Seconds of work with row steps after which processes pay: starting one takes about a second of CPU."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Sent(msgspec.Struct, frozen=True):
    """A batch that is under way."""

    item: Any
    future: Future[Any]


class Local:
    """This machine's cores behind a bounded window: threads, for Arrow's kernels run outside the interpreter's lock;
    and processes for work that does not.

    A process that dies (or work that cannot be sent to one) is no error: the rest is done by threads.
    """

    def __init__(self, workers: int, processes: Literal["auto", "always", "never"]) -> None:
        self.workers, self.processes = workers, processes

    def map(self, work: api.Work, items: Iterable[Any]) -> Iterator[Any]:
        """Results in the items' order; an exception of `work` is raised where its result would stand."""
        patience = self._patience(work)
        if self.workers == 1 and patience > 0:
            yield from map(work, items)
            return
        pools = Pools(work, self.workers)
        waiting: deque[Sent] = deque()
        started = time.monotonic()
        try:
            for item in items:
                if time.monotonic() - started >= patience:
                    pools.use_processes()
                waiting.append(pools.send(item))
                if len(waiting) >= self.workers * AHEAD:
                    yield pools.result(waiting.popleft())
            while waiting:
                yield pools.result(waiting.popleft())
        finally:
            pools.close(waiting)

    def _patience(self, work: api.Work) -> float:
        """Seconds after which processes take over."""
        if self.processes == "always":
            return 0.0
        rowwise = getattr(work, "rowwise", False)
        return PATIENCE if self.processes == "auto" and rowwise and self.workers > 1 else float("inf")


class Pools:
    """Threads, and processes once they are wanted, for one piece of work."""

    def __init__(self, work: api.Work, workers: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.work, self.workers = work, workers
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="ftspec-data")
        self.processes: Executor | None = None
        self.tried = False

    def use_processes(self) -> None:
        if self.tried:
            return
        self.tried = True
        import pickle

        try:
            packed = pickle.dumps(self.work)
        except (pickle.PicklingError, TypeError, AttributeError):
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import resource_tracker

        context = multiprocessing.get_context("spawn")
        with _sheltered():
            _undisturbed(resource_tracker.ensure_running)  # one that ^C or SIGHUP ends says so in tracebacks
        self.processes = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_begin, initargs=(packed,))

    def send(self, item: Any) -> Sent:
        from concurrent.futures import BrokenExecutor

        if self.processes is not None:
            try:
                with _sheltered():  # which may start one
                    return Sent(item, _undisturbed(self.processes.submit, _call, item))
            except BrokenExecutor:
                self.processes = None
        return Sent(item, self.threads.submit(self.work, item))

    def result(self, sent: Sent) -> Any:
        from concurrent.futures import BrokenExecutor

        try:
            return sent.future.result()
        except BrokenExecutor:
            self.processes = None
            return self.work(sent.item)

    def close(self, waiting: Iterable[Sent]) -> None:
        """Wait for what is under way, and drop the rest."""
        for sent in waiting:
            sent.future.cancel()
        for pool in (self.threads, self.processes):
            if pool is not None:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _sheltered() -> Iterator[None]:
    """Processes that are started here get none of ENDING until they see to them by themselves: a terminal's ^C goes to
    all of a group, also to one that is still loading Python."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _undisturbed(call: Callable[..., Any], *args: Any) -> Any:
    """What the call returns, from a thread of its own: whichever thread a signal comes to, its exception is raised in
    the main one, and a process that is half started then waits for the other half as long as its parent lives."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call, *args).result()


_given: list[bytes] = []
"""In a new process: its work, packed, until the first batch. Sent once: what a screen has learned may be 100 MB."""


def _begin(packed: bytes) -> None:
    """In a new process: ^C is the parent's business, and whatever ends the parent ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    threading.Thread(target=_follow, daemon=True).start()
    _given.append(packed)


def _follow() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _work()(item)


@cache
def _work() -> api.Work:
    """The work, built once per process, at its first batch: a fault in it is raised where a result would stand."""
    import pickle

    work: api.Work = pickle.loads(_given.pop())  # noqa: S301  # from the parent process
    return work


@api.engine
def threads(
    *,
    workers: Annotated[int, Meta(ge=0, le=256)] = 0,
    processes: Literal["auto", "always", "never"] = "auto",
) -> api.Engine:
    """Run on this machine's cores. `workers: 0` takes as many as there are cores.

    Steps on columns run in threads. Row steps hold Python's lock, so `processes: auto` goes on in processes once a pass
    with row steps has taken some seconds; they find plugins by their entry points, as ftspec itself does.
    """
    return Local(workers or _cores(), processes)


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


COMPONENTS: dict[str, api.Component] = {threads.name: threads}
