"""Many questions at once to a model: answers as they arrive, within limits, repeated where allowed.

The calls to one behind a network are made in an event loop in a thread of its own, so that neither grading nor a slow
disk holds them up: `inflight` says what is asked again. A model of this machine is given its questions in batches.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice, takewhile
from typing import Any

from ftspec.asking.breaker import Breaker
from ftspec.asking.inflight import Arrived, End, Inflight, stop, without_keys
from ftspec.common.messages import Answer, Generation, Model, Question, RemoteModel
from ftspec.costs.spending import Meter, Unlimited

CHUNK = 4096
"""Questions that a model of its own batches is given at a time."""
Answers = Callable[[Iterable[Question], Generation], Iterator[Answer]]
Tell = Callable[[str], None]


def _nobody(message: str) -> None:
    pass


@contextmanager
def asking(
    model: Model | RemoteModel, meter: Meter | None = None, *, breaker: Breaker | None = None, tell: Tell = _nobody
) -> Iterator[Answers]:
    """A function that has questions answered, in any order, each answer as soon as it is known.

    Questions are taken one by one, when there is room for another call. When the meter allows no more of them, the
    calls in flight come to their end, their answers come out, and then BudgetReached is raised.

    Args:
        breaker: of a model behind a network: where it is open, or opens, questions remain without an answer.
        tell: hears once a round, in the caller's thread, that nobody is being answered, and why.
    """
    meter = meter or Unlimited()
    if not isinstance(model, RemoteModel):
        yield partial(_in_chunks, model, meter)
        return
    with _loop() as loop:
        try:
            yield partial(_answers, loop, model, meter, breaker, tell)
        finally:
            with suppress(Exception):  # the answers are there: a connection that will not close changes nothing
                _run(loop, model.close()).result(timeout=10)


def _in_chunks(model: Model, meter: Meter, questions: Iterable[Question], generation: Generation) -> Iterator[Answer]:
    waiting = iter(questions)
    while chunk := list(islice(waiting, CHUNK)):
        while allowed := list(takewhile(meter.may, chunk)):
            yield from _metered(model, meter, allowed, generation)
            chunk = chunk[len(allowed) :]
        if chunk:
            stop(meter, len(chunk) + sum(1 for _ in waiting))


def _metered(model: Model, meter: Meter, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
    """One batch; a question without an answer may have been answered all the same."""
    open_ = {(question.prompt.id, question.repeat): question for question in questions}
    try:
        for answer in map(without_keys, model.answer(questions, generation)):
            if open_.pop((answer.prompt, answer.repeat), None):
                meter.record(answer)
            yield answer
    finally:
        for question in open_.values():
            meter.lost(question)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="asking", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


def _answers(
    loop: asyncio.AbstractEventLoop,
    model: RemoteModel,
    meter: Meter,
    breaker: Breaker | None,
    tell: Tell,
    questions: Iterable[Question],
    generation: Generation,
) -> Iterator[Answer]:
    arrived: Arrived = queue.SimpleQueue()
    asking = Inflight(model, meter, breaker, generation, questions, arrived)
    asked = _run(loop, asking.all())
    asked.add_done_callback(lambda _: arrived.put(End()))
    try:
        while not isinstance(answer := arrived.get(), End):
            if isinstance(answer, str):
                tell(answer)
            else:
                yield answer
        asked.result()
    finally:
        loop.call_soon_threadsafe(asking.cancel)
        concurrent.futures.wait([asked])
