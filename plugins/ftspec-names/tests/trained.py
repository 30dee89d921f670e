"""A small spaCy pipeline, trained here on sentences with names by Faker; what it is tested on, it never saw."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker
from faker.providers.person.en_US import Provider

LEARNED = (
    "My name is {person} and I need help.", "Please call {person} tomorrow.", "{person} has paid the invoice.",
    "I spoke with {person} about the order.", "The parcel for {person} has not arrived.", "Regards, {person}",
    "Dear {person}, thank you for your mail.", "Ask {person} or {person} about it.", "Is {person} in the office?",
    "The meeting with {person} was moved to Monday.", "Hello {first}, how are you?", "I am {person} from {city}.",
    "{person} works for {company} in {city}.", "Could {first} send it again?", "It was {person} who signed the form.",
    "Thanks, {first}", "Tell {person} that it is done.", "He said that {person} will pay.", "{person}",
    "The account of {person} is closed.", "{first} wrote to us on Friday.", "This is {person} speaking.",
    "The parcel has not arrived.", "Please reset my password.", "The invoice of Monday is wrong.",
    "Where is the office in {city}?", "Thank you for your mail.", "I moved to {city} last year.", "Can you help me?",
    "The contract with {company} ends in May.", "Our flight to {city} was late.", "It works now.", "done",
    "How do I change the plan?", "Send me the bill again, please.", "{company} has not answered.",
)  # fmt: skip
NEW = (
    "Please ask {person} to call back.", "The order of {person} was sent to {city}.", "Best regards, {person}",
    "I met {person} at the office.", "Dear {person}, your parcel has arrived.", "{person} needs a new password.",
    "We have not heard from {person} since Monday.", "My name is {person}, my plan is wrong.",
    "Where can I find the form?", "The plan ends on Monday.", "I need help with the order.", "It was late again.",
)  # fmt: skip
"""Sentences that the pipeline has not learned from."""

LABELS = {"person": "PERSON", "first": "PERSON", "city": "GPE", "company": "ORG"}


class Marked(NamedTuple):
    """A text, and its entities: (start, end, label)."""

    text: str
    entities: list[tuple[int, int, str]]

    @property
    def names(self) -> list[str]:
        return [self.text[start:end] for start, end, label in self.entities if label == "PERSON"]


class Sentences:
    """Sentences with names; `which` is 0 for names to learn from, 1 for the others: none is in both."""

    def __init__(self, templates: Sequence[str], which: int) -> None:
        self.templates = templates
        self.first, self.last = (sorted(set(names))[which::2] for names in (Provider.first_names, Provider.last_names))
        self.rng = random.Random(which)
        self.fake = Faker("en_US")
        self.fake.seed_instance(which)

    def name(self) -> str:
        return f"{self.rng.choice(self.first)} {self.rng.choice(self.last)}"

    def one(self) -> Marked:
        text = ""
        entities = []
        before, *rest = self.rng.choice(self.templates).split("{")
        text += before
        for part in rest:
            place, _, after = part.partition("}")
            made = self._value(place)
            entities.append((len(text), len(text) + len(made), LABELS[place]))
            text += made + after
        return Marked(text, entities)

    def _value(self, place: str) -> str:
        if place in ("city", "company"):
            return str(getattr(self.fake, place)())
        return self.name() if place == "person" else self.rng.choice(self.first)


NETWORK = {
    "@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "extra_state_tokens": False,
    "hidden_width": 32, "maxout_pieces": 2, "use_upper": True,
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 32, "depth": 2,
        "embed_size": 500, "window_size": 1, "maxout_pieces": 2, "subword_features": True,
    },
}  # fmt: skip


def train(folder: Path, count: int = 500, rounds: int = 10) -> None:
    """Train a pipeline and write it to the folder."""
    import spacy
    from spacy.training import Example

    spacy.util.fix_random_seed(0)
    sentences, rng = Sentences(LEARNED, 0), random.Random(0)
    nlp: Any = spacy.blank("en")
    nlp.add_pipe("ner", config={"model": NETWORK})
    marked = [sentences.one() for _ in range(count)]
    examples = [Example.from_dict(nlp.make_doc(each.text), {"entities": each.entities}) for each in marked]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(rounds):
        rng.shuffle(examples)
        for start in range(0, len(examples), 50):
            nlp.update(examples[start : start + 50], sgd=optimizer, drop=0.1)
    nlp.to_disk(folder)
