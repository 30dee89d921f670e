"""Ask a model: prompts times repeats, minus what an earlier run has kept, and keep every answer as it arrives."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial

from ftspec import remote
from ftspec.errors import PluginError
from ftspec.progress import Progress
from ftspec.provider import Answer, Generation, Model, Prompt, Question, RemoteModel

BATCH = 64
"""Answers are kept at the latest when there are so many of them,"""
SECONDS = 2.0
"""or when an answer arrives this long after the last time they were kept."""

Key = tuple[str, int]
Keep = Callable[[Sequence[Answer]], None]


def unique(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts in order, each id once."""
    return list({prompt.id: prompt for prompt in prompts}.values())


def questions(prompts: Sequence[Prompt], generation: Generation, *, repeat: int, seed: int) -> list[Question]:
    """Every question of an evaluation, in prompt order and then by repeat."""
    return [
        Question(prompt=prompt, repeat=index, seed=question_seed(seed, prompt.id, index))
        for prompt in unique(prompts)
        for index in range(generation.repeats(repeat))
    ]


def question_seed(seed: int, prompt: str, repeat: int) -> int:
    """A seed of 31 bits that depends on nothing but these three, whatever else is asked and in whatever order."""
    digest = hashlib.sha256(f"{seed}\n{prompt}\n{repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def ask(
    model: Model | RemoteModel,
    prompts: Sequence[Prompt],
    generation: Generation,
    *,
    repeat: int,
    seed: int,
    label: str,
    done: Iterable[Answer],
    keep: Keep,
    progress: Progress,
) -> list[Answer]:
    """Have every prompt answered `repeat` times; answers in the order of `questions`.

    Args:
        done: answers that an earlier run kept; those with an error are asked again.
        keep: makes answers durable. Called with batches as they arrive, also when the model raises, so that a killed
            run asks again only what was in flight. An error is kept only when the retry failed too.
        label: what the model is called in the progress, e.g. "base".

    A question without an answer, or with an error, is asked once more at the end. Raises what the model raises, and
    PluginError when it answers what it was not asked.
    """
    wanted = {(q.prompt.id, q.repeat): q for q in questions(prompts, generation, repeat=repeat, seed=seed)}
    found = {key: answer for answer in done if (key := _key(answer)) in wanted and not answer.error}
    progress.phase(f"asking the {label} model", total=len(wanted), unit="answers")
    progress.advance(len(found), total=len(wanted))
    for last in (False, True):
        missing = {key: question for key, question in wanted.items() if key not in found}
        if not missing:
            break
        arrived = _round(
            remote.answers(model, list(missing.values()), generation),
            missing,
            keep if last else _successes(keep),
            partial(_advance, progress, len(found), len(wanted)),
        )
        _report([arrived.get(key) or _silent(key) for key in missing], label, last, progress)
        found |= {key: answer for key, answer in arrived.items() if last or not answer.error}
    return [found.get(key) or _silent(key) for key in wanted]


def _key(answer: Answer) -> Key:
    return answer.prompt, answer.repeat


def _silent(key: Key) -> Answer:
    return Answer(prompt=key[0], repeat=key[1], error="the model gave no answer")


def _successes(keep: Keep) -> Keep:
    def kept(answers: Sequence[Answer]) -> None:
        if good := [answer for answer in answers if not answer.error]:
            keep(good)

    return kept


def _round(
    answers: Iterable[Answer], asked: Container[Key], keep: Keep, advance: Callable[[int], None]
) -> dict[Key, Answer]:
    """Take the answers to the questions asked; batches of them are kept on the way, the rest whatever ends the loop."""
    found: dict[Key, Answer] = {}
    batch: list[Answer] = []
    since = time.monotonic()
    try:
        for answer in answers:
            if _key(answer) in found or _key(answer) not in asked:
                raise PluginError(
                    f"the provider answered prompt {answer.prompt} (repeat {answer.repeat}), which it was not asked",
                    "report it to the authors of the provider's plugin",
                )
            found[_key(answer)] = answer
            batch.append(answer)
            advance(len(found))
            if len(batch) >= BATCH or time.monotonic() - since >= SECONDS:
                keep(batch)
                batch, since = [], time.monotonic()
    finally:
        if batch:
            keep(batch)
    return found


def _advance(progress: Progress, before: int, total: int, count: int) -> None:
    progress.advance(before + count, total=total)


def _report(answers: Sequence[Answer], label: str, last: bool, progress: Progress) -> None:
    failed = [answer for answer in answers if answer.error]
    if failed:
        what = (
            f"{len(failed)} of {len(answers)} questions to the {label} model failed, the first with: {failed[0].error}"
        )
        progress.note(what + ("; they count neither as passed nor as failed" if last else "; asking them once more"))
