"""A model that the simulated tuner has up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ftspec import api
from ftspec.builtin.simulated.client import Client
from ftspec.builtin.simulated.words import WORD, text_of

BATCH = 25
"""Questions in one call."""


class Answering:
    """A model that answers from its process: it is told what is expected, and says it as often as it should."""

    def __init__(self, client: Client, model: api.ModelRef | api.TunedModel, behaviour: Mapping[str, Any]) -> None:
        self.client = client
        self.order = {
            "model": model.id,
            "job": model.details["job"] if isinstance(model, api.TunedModel) else "",
            "deployment": model.details.get("deployment", "") if isinstance(model, api.TunedModel) else "",
            "behaviour": behaviour,
        }

    def answer(self, questions: Sequence[api.Question], generation: api.Generation) -> Iterator[api.Answer]:
        for start in range(0, len(questions), BATCH):
            asked = questions[start : start + BATCH]
            order = {**self.order, "generation": generation, "questions": [_question(question) for question in asked]}
            said = self.client.call("answer", "POST", "/answers", msgspec.json.encode(order))["answers"]
            for question, answer in zip(asked, said, strict=True):
                words = sum(len(WORD.findall(text_of(message))) for message in question.prompt.messages)
                yield api.Answer(prompt=question.prompt.id, repeat=question.repeat, prompt_tokens=words, **answer)


def _question(question: api.Question) -> dict[str, Any]:
    prompt = question.prompt
    return {"prompt": prompt.id, "expected": prompt.expected, "repeat": question.repeat, "seed": question.seed}
