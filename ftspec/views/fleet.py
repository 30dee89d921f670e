"""Follow the jobs of many runs in one process: a teacher of sweeps, or whoever comes back to what was detached.

Looks are spread over time, so that following costs the same few calls a second however many jobs there are, and each
is made in a small pool of threads: a provider that hangs holds up its own job only.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from ftspec.common.errors import ProviderError, StillRunning
from ftspec.common.records import Record
from ftspec.run.reopen import Opened
from ftspec.state.journal import Journal
from ftspec.tuning.following import Follow, Following, Result, ended

THREADS = 4
LOOKS_PER_SECOND = 12.0
"""Calls to all providers together, at the most."""
LONGEST = 20.0
"""Seconds between two looks at one job, at the most, so that an end is seen soon."""


class Ended(Record):
    """How following one run's job came to its end; `error` where it could not be followed to it."""

    run: str
    job: str
    result: Result | None = None
    error: str = ""
    hint: str = ""


def follow(runs: Sequence[Opened], *, deadline: float | None = None) -> Iterator[Ended]:
    """Follow the jobs of these runs to their ends; each as soon as it has ended. Runs without a job are left out.

    Args:
        deadline: by time.monotonic(), after which nobody looks any more; jobs that go on are not yielded.

    What is learned is durable: running a spec again goes on with what its job has made.
    """
    pace = _pace(len(runs))
    looks = ((opened, opened.following(pace)) for opened in runs)
    jobs = [_Watched(opened, following) for opened, following in looks if following]
    turn = itertools.count()
    queue = [(time.monotonic() + index / LOOKS_PER_SECOND, next(turn), job) for index, job in enumerate(jobs)]
    looking: dict[Future[Ended | None], _Watched] = {}
    with ThreadPoolExecutor(THREADS, thread_name_prefix="follow") as pool:
        while (queue or looking) and (deadline is None or time.monotonic() < deadline):
            while queue and queue[0][0] <= time.monotonic() and len(looking) < THREADS:
                job = heapq.heappop(queue)[2]
                looking[pool.submit(job.look)] = job
            for done in _next_done(looking, queue, deadline):
                job = looking.pop(done)
                found = done.result()
                if found:
                    yield found
                else:
                    heapq.heappush(queue, (time.monotonic() + job.following.pause, next(turn), job))


def _pace(count: int) -> Follow:
    """A job is looked at the more rarely the more there are: together they take LOOKS_PER_SECOND."""
    first = min(LONGEST, max(1.0, count / LOOKS_PER_SECOND))
    return Follow(first=first, longest=LONGEST)


def _next_done(
    looking: Mapping[Future[Ended | None], Any], queue: Sequence[tuple[float, int, Any]], deadline: float | None
) -> list[Future[Ended | None]]:
    """Looks that are done by the time that the next one is due."""
    now = time.monotonic()
    until = min([at for at in (queue[0][0] if queue else None, deadline) if at is not None], default=now + 1.0)
    if not looking:
        time.sleep(max(0.0, until - now))
        return []
    room = len(looking) < THREADS
    return list(wait(looking, timeout=max(0.0, until - now) if room else None, return_when=FIRST_COMPLETED).done)


class _Watched:
    """One run whose job is followed."""

    def __init__(self, opened: Opened, following: Following) -> None:
        self.opened, self.following = opened, following

    def look(self) -> Ended | None:
        run, job = self.opened.run.id, self.following.job.id
        try:
            result = ended(self.opened.store, self.opened.key) or self.following.look()
        except (ProviderError, StillRunning) as error:
            return Ended(run=run, job=job, error=error.message, hint=error.hint)
        if result is None:
            return None
        if not self.opened.alive:
            Journal(self.opened.store, run).append("job_finished", job=job, state=result.state, error=result.error)
        return Ended(run=run, job=job, result=result, error=result.error, hint=result.hint)
