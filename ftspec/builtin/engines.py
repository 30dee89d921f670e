"""Engines: who runs the per-batch part of the data pipeline."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any

from msgspec import Meta

from ftspec import api

AHEAD = 2
"""Batches per worker that may be under way or done and not yet taken: this bounds memory."""


class Threads:
    """A thread pool behind a bounded window. Arrow's kernels run outside the interpreter's lock."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, work: api.Work, items: Iterable[Any]) -> Iterator[Any]:
        """Results in the items' order; an exception of `work` is raised where its result would stand."""
        if self.workers == 1:
            yield from map(work, items)
            return
        waiting: deque[Future[Any]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="ftspec-data") as pool:
            try:
                for item in items:
                    waiting.append(pool.submit(work, item))
                    if len(waiting) >= self.workers * AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


@api.engine
def threads(*, workers: Annotated[int, Meta(ge=0, le=256)] = 0) -> api.Engine:
    """Run on this machine's cores. `workers: 0` takes as many threads as there are cores."""
    return Threads(workers or _cores())


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


COMPONENTS: dict[str, api.Component] = {threads.name: threads}
