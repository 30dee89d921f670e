"""Ask a model: prompts times repeats, minus what an earlier run has kept, and keep every answer as it arrives.

Neither questions nor answers are held: what is known of a question is one byte, so that a hundred thousand prompts
with three repeats take no more memory than a few hundred.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ftspec.common.errors import PluginError
from ftspec.common.messages import Answer, Generation, Prompt, Question
from ftspec.common.progress import Progress

if TYPE_CHECKING:
    from ftspec.asking.remote import Answers

SHOW = 0.1
"""Seconds between two words about the progress."""

SILENT = "the model gave no answer"

UNKNOWN, FAILED, KNOWN = 0, 1, 2

Keep = Callable[[Answer], None]


class Round:
    """Every question of an evaluation, in prompt order and then by repeat, and which of them have an answer.

    Args:
        prompts: read one by one, and again for each round; ids are unique.
        repeat: how often each is asked; once with greedy decoding, see Generation.repeats.
        seed: where sampling starts.
    """

    def __init__(self, prompts: Sequence[Prompt], generation: Generation, *, repeat: int, seed: int) -> None:
        self.prompts, self.generation, self.seed = prompts, generation, seed
        self.repeats = generation.repeats(repeat)
        self.numbers = {prompt.id: number for number, prompt in enumerate(prompts)}
        self.state = bytearray(len(prompts) * self.repeats)
        self.first: dict[str, int] = {}
        """The number of a prompt's first repeat, by its id, where those before it are not wanted; 0 of all others."""

    def __len__(self) -> int:
        return len(self.state)

    @property
    def known(self) -> int:
        """How many questions have an answer."""
        return self.state.count(KNOWN)

    def given(self) -> Iterator[str]:
        """The ids of prompts whose every repeat has an answer."""
        for identity in self.numbers:
            if all(self.state[place] == KNOWN for place, _ in self._questions(identity)):
                yield identity

    def place(self, answer: Answer) -> int | None:
        """The number of the answer's question, None where it is not one of these."""
        known = answer.prompt in self.numbers and 0 <= answer.repeat - self._first(answer.prompt) < self.repeats
        return self.order(answer) if known else None

    def order(self, answer: Answer) -> int:
        """Where the answer stands among all: in prompt order and then by repeat."""
        return self.numbers[answer.prompt] * self.repeats + answer.repeat - self._first(answer.prompt)

    def _first(self, prompt: str) -> int:
        return self.first.get(prompt, 0)

    def _questions(self, prompt: str) -> Iterator[tuple[int, int]]:
        """(where it stands among all, repeat) of a prompt's questions."""
        first = self._first(prompt)
        return enumerate(range(first, first + self.repeats), self.numbers[prompt] * self.repeats)

    def ask_anew(self, prompt: str) -> None:
        """Want the repeats after the known ones of a prompt, in their place."""
        self.first[prompt] = self._first(prompt) + self.repeats
        for place, _ in self._questions(prompt):
            self.state[place] = UNKNOWN

    def note(self, answer: Answer) -> None:
        """Mark an answer's question; one of another evaluation is passed over."""
        place = self.place(answer)
        if place is not None and self.state[place] != KNOWN:
            self.state[place] = FAILED if answer.error else KNOWN

    def missing(self) -> Iterator[Question]:
        """The questions that had no answer when each was looked at."""
        for prompt in self.prompts:
            for place, repeat in self._questions(prompt.id):
                if self.state[place] != KNOWN:
                    yield Question(prompt=prompt, repeat=repeat, seed=question_seed(self.seed, prompt.id, repeat))

    def answers(self, kept: Iterable[Answer], silent: str = SILENT) -> Iterator[Answer]:
        """One answer to every question, in no particular order: what was kept, and an error where there is nothing:
        its own, or `silent`."""
        given = bytearray(len(self))
        errors: dict[int, Answer] = {}
        for answer in kept:
            place = self.place(answer)
            if place is None or given[place]:
                continue
            if answer.error:
                errors[place] = answer
            else:
                given[place] = 1
                yield answer
        for identity in self.numbers:
            for place, repeat in self._questions(identity):
                if not given[place]:
                    yield errors.get(place) or Answer(prompt=identity, repeat=repeat, error=silent)


def question_seed(seed: int, prompt: str, repeat: int) -> int:
    """A seed of 31 bits that depends on nothing but these three, whatever else is asked and in whatever order."""
    digest = hashlib.sha256(f"{seed}\n{prompt}\n{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def ask(
    answers: Answers,
    wanted: Round,
    *,
    label: str,
    keep: Keep,
    progress: Progress,
    about: str = "",
    again: bool = True,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Have every question answered that has no answer yet.

    Args:
        answers: how questions are answered; see remote.asking.
        keep: makes an answer durable. Called as soon as it arrives, so that a killed run asks again only what was in
            flight.
        label: what the model is called in the progress, e.g. "base"; and `about` what it is asked there, if that is not
            the spec's own evaluation, e.g. "general questions".
        again: ask a question without an answer, or with an error, once more at the end. Not needed where that has
            happened on the way (a remote model).
        tell: hears what failed; the progress where None.

    An error is kept only when the last try failed too. Raises what the model raises, and PluginError when it answers
    what it was not asked.
    """
    progress.phase(" ".join(filter(None, [f"asking the {label} model", about])), total=len(wanted), unit="answers")
    progress.advance(wanted.known, total=len(wanted))
    for last in (False, True) if again else (True,):
        asked = len(wanted) - wanted.known
        if not asked:
            break
        first = _ask_once(answers, wanted, keep if last else _successes(keep), progress)
        if failed := len(wanted) - wanted.known:
            said = f"{failed} of {asked} questions to the {label} model failed, the first with: {first}"
            more = "; they count neither as passed nor as failed" if last else "; asking them once more"
            (tell or progress.note)(said + more)


def _ask_once(answers: Answers, wanted: Round, keep: Keep, progress: Progress) -> str:
    """Take one answer to every missing question and keep it; returns the first error."""
    told = bytearray(len(wanted))
    first, done, shown = "", wanted.known, 0.0
    for answer in answers(wanted.missing(), wanted.generation):
        place = wanted.place(answer)
        if place is None or told[place] or wanted.state[place] == KNOWN:
            raise _unasked(answer)
        keep(answer)
        told[place] = 1
        wanted.note(answer)
        first = first or answer.error
        done += 1
        if time.monotonic() - shown >= SHOW:
            progress.advance(done, total=len(wanted))
            shown = time.monotonic()
    progress.advance(done, total=len(wanted))
    return first or SILENT


def _unasked(answer: Answer) -> PluginError:
    return PluginError(
        f"the provider answered prompt {answer.prompt} (repeat {answer.repeat}), which it was not asked",
        "report it to the authors of the provider's plugin",
    )


def _successes(keep: Keep) -> Keep:
    def kept(answer: Answer) -> None:
        if not answer.error:
            keep(answer)

    return kept
