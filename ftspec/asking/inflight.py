"""One round of questions to a model behind a network: calls in flight, within limits, repeated where allowed.

What may be asked again is asked again here, and nowhere else:

- Transient: nothing was done. Asked until it works, for PATIENCE seconds.
- Ambiguous: it may have been answered, and paid for. Asked TRIES times. `retry_after` of either pauses all calls.
- Rejected: an answer with an error. Where the first REFUSALS are all rejected, something is wrong with all of them.
- Unauthorized: a key that has expired, say. It ends the asking: all others would be refused too.
- anything else: the plugin's fault; it ends the asking.

A model that answers nobody for PATIENCE seconds ends the asking with its error: a later run goes on from there. Who
waits for it is told after WORD seconds. One whose breaker is open is asked PROBES questions, once each, and the others
only where one of these is answered.
"""

from __future__ import annotations

import asyncio
import queue
import random
import time
from collections.abc import Coroutine, Iterable
from itertools import islice
from typing import Any

import msgspec

from ftspec.asking.breaker import Breaker
from ftspec.asking.pacing import Pace
from ftspec.asking.patience import with_wait
from ftspec.common.errors import Ambiguous, FtspecError, PluginError, ProviderError, Transient, Unauthorized
from ftspec.common.figures import duration
from ftspec.common.messages import Answer, Generation, Question, RemoteModel
from ftspec.common.references import mask
from ftspec.costs.spending import Meter
from ftspec.layout.nested import map_whole

PATIENCE = 600.0
TRIES = 4
REFUSALS = 20
GIVEN_UP = 8
"""So many questions are tried to the end; where nobody in the run has been answered, a breaker opens then."""
PROBES = 3
WORD = 10.0
"""Seconds without an answer after which somebody is told."""
FIRST, LONGEST = 0.5, 30.0
"""Seconds before the second try; each next wait is twice as long (less a random part), up to the longest."""
BEHIND = 4
"""So many answers per call in flight may wait to be taken; then no more calls are made."""


class End:
    """What comes out after the last answer, or after the error that ended the asking."""


Arrived = queue.SimpleQueue[Answer | str | End]
"""Answers, and what is to be told."""


class Inflight:
    """One round of questions: workers that share a pace, a meter and a patience."""

    def __init__(
        self,
        model: RemoteModel,
        meter: Meter,
        breaker: Breaker | None,
        generation: Generation,
        questions: Iterable[Question],
        arrived: Arrived,
    ) -> None:
        self.model, self.meter, self.generation, self.arrived = model, meter, generation, arrived
        self.breaker = breaker
        self.waiting = iter(questions)
        self.returned: list[Question] = []
        self.pace = Pace(model.limits)
        self.worked = time.monotonic()
        self.answered = self.refused = self.given_up = 0
        self.told = False
        self.last = ""
        """What became of the last question that was given up."""
        self.task: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Let go of the calls in flight; called in the loop."""
        if self.task:
            self.task.cancel()

    async def all(self) -> None:
        """Ask every question. Raises the first error that is no answer."""
        self.task = asyncio.current_task()
        if self._open:
            await self._together(self._probe(question) for question in list(islice(self.waiting, PROBES)))
        await self._together(self._work() for _ in range(max(1, self.model.limits.concurrency)))
        if self.breaker and self.given_up and self._silent:
            self.breaker.open(self.last)
        if not self._open:
            stop(self.meter, len(self.returned) + sum(1 for _ in self.waiting))

    async def _together(self, coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Have all of them done; the first error ends them all."""
        tasks = [asyncio.ensure_future(one) for one in coroutines]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _open(self) -> bool:
        return bool(self.breaker and self.breaker.reason)

    @property
    def _silent(self) -> bool:
        """Whether nobody has been answered, be it with a no."""
        return not self.answered and not self.refused

    async def _probe(self, question: Question) -> None:
        """Ask once, and wait for nothing. A question in vain is asked with the others, if there is somebody."""
        answer = await self._answered(question, patient=False)
        if answer is None:
            self.returned.append(question)
        else:
            self.arrived.put(answer)

    async def _work(self) -> None:
        """Ask one question after the other, until there is none, the meter says no or the breaker is open."""
        while (
            not self._open
            and (question := self.returned.pop() if self.returned else next(self.waiting, None)) is not None
        ):
            answer = await self._answered(question)
            if answer is None:
                self.returned.append(question)
                return
            self.arrived.put(answer)
            while self.arrived.qsize() > BEHIND * self.model.limits.concurrency:
                await asyncio.sleep(0.01)

    async def _answered(self, question: Question, *, patient: bool = True) -> Answer | None:
        """The answer, or what became of the last try; None where the meter does not allow it, or who is not patient
        gets none at once."""
        since, tries, delay = time.monotonic(), 0, FIRST
        while self.meter.may(question):
            tries += 1
            try:
                return await self._call(question)
            except Ambiguous as error:
                self.meter.lost(question)
                if patient:
                    self._out_of_patience(error)
                if tries >= TRIES or not patient:
                    return self._give_up(question, error, patient)
                self.pace.pause(error.retry_after or 0.0)
            except Transient as error:
                self.meter.record(_failed(question, error))
                if patient:
                    self._out_of_patience(error)
                if not patient or time.monotonic() - since > PATIENCE:
                    return self._give_up(question, error, patient)
                self.pace.pause(error.retry_after or 0.0)
            except Unauthorized as error:
                self.meter.record(_failed(question, error))
                raise
            except ProviderError as error:
                return self._refusal(question, error)
            except BaseException:
                self.meter.lost(question)
                raise
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, LONGEST)
        return None

    async def _call(self, question: Question) -> Answer:
        """One call, when it is its turn."""
        expected = await self.pace.admit(question, self.generation)
        try:
            answer = without_keys(await self.model.ask(question, self.generation))
        except FtspecError:
            raise
        except Exception as error:
            raise _fault(self.model, error) from error
        self.answered += 1
        self.worked = time.monotonic()
        if self.breaker:
            self.breaker.close()
        self.pace.settle(expected, answer)
        self.meter.record(answer)
        return answer

    def _out_of_patience(self, error: ProviderError) -> None:
        """Raise the error where nobody has been answered for too long, or would be."""
        asked_to_wait = error.retry_after or 0.0
        waited = time.monotonic() - self.worked
        if waited + asked_to_wait > PATIENCE:
            raise with_wait(error)
        if waited + asked_to_wait > WORD and not self.told:
            self.told = True
            self.arrived.put(f"no answer yet: {mask(error.message)}; it is asked for up to {duration(PATIENCE)}")

    def _give_up(self, question: Question, error: ProviderError, patient: bool) -> Answer | None:
        """The question remains without an answer. After some, where nobody in the run has one, the breaker opens."""
        answer = _failed(question, error)
        self.given_up += 1
        self.last = answer.error
        if self.breaker and not self.breaker.reached and self.given_up >= GIVEN_UP:
            self.breaker.open(self.last)
        return answer if patient else None

    def _refusal(self, question: Question, error: ProviderError) -> Answer:
        answer = _failed(question, error)
        self.meter.record(answer)
        self.refused += 1
        if self.breaker:
            self.breaker.close()
        if self.refused >= REFUSALS and not self.answered:
            raise error
        return answer


def stop(meter: Meter, left: int) -> None:
    """Raise what the meter has reached while so many questions are left to ask; nothing where none is left."""
    if left and (error := meter.reached(left)):
        raise error


def without_keys(answer: Answer) -> Answer:
    """The answer as it may be kept: a server that gives back what it was sent gives back its key as well."""
    masked = mask.answers()
    return msgspec.structs.replace(
        answer,
        text=masked(answer.text),
        tool_calls=map_whole(answer.tool_calls, masked),
        finish_reason=masked(answer.finish_reason),
        error=masked(answer.error),
    )


def _failed(question: Question, error: ProviderError) -> Answer:
    return Answer(prompt=question.prompt.id, repeat=question.repeat, error=mask(error.message))


def _fault(model: RemoteModel, error: Exception) -> PluginError:
    return PluginError(
        f"asking the model failed: {type(error).__name__}: {error}",
        f"report it to the authors of the provider's plugin ({type(model).__module__})",
    )
