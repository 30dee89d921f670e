"""Many questions at once to a model behind a network, answers as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from ftspec.errors import ProviderError
from ftspec.provider import Answer, Generation, Model, Question, RemoteModel


def answers(model: Model | RemoteModel, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
    """The model's answers to all questions, in any order, each as soon as it is known."""
    if isinstance(model, RemoteModel):
        return _asked(model, questions, generation)
    return model.answer(questions, generation)


def _asked(model: RemoteModel, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
    with asyncio.Runner() as runner:
        arrived: asyncio.Queue[Answer] = asyncio.Queue()
        everyone = runner.get_loop().create_task(_ask_all(model, questions, generation, arrived))
        try:
            for _ in questions:
                yield runner.run(arrived.get())
        finally:
            everyone.cancel()
            runner.run(model.close())


async def _ask_all(
    model: RemoteModel, questions: Sequence[Question], generation: Generation, arrived: asyncio.Queue[Answer]
) -> None:
    waiting = iter(questions)

    async def worker() -> None:
        for question in waiting:
            arrived.put_nowait(await _one(model, question, generation))

    await asyncio.gather(*(worker() for _ in range(min(model.limits.concurrency, len(questions)))))


async def _one(model: RemoteModel, question: Question, generation: Generation) -> Answer:
    try:
        return await model.ask(question, generation)
    except ProviderError as error:
        return Answer(prompt=question.prompt.id, repeat=question.repeat, error=error.message)
