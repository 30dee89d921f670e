"""The general questions that ship with ftspec: that they are sound, and what passes."""

from __future__ import annotations

from collections import Counter

import pytest

from ftspec import suites
from ftspec.common.messages import Answer


def test_there_are_enough_and_none_twice() -> None:
    suite = suites.load("general")
    assert len(suite.prompts) >= 200
    assert len({prompt.id for prompt in suite.prompts}) == len(suite.prompts)
    assert max(Counter(item.ask for item in suite.items.values()).values()) == 1
    assert all(prompt.tags[0] == "general" for prompt in suite.prompts)
    assert (suites.HERE / "general.LICENSE").read_text(encoding="utf-8").count("CC0")


def test_every_item_is_passed_by_what_it_expects_and_not_by_silence() -> None:
    suite = suites.load("general")
    for prompt in suite.prompts:
        assert suite.grade(prompt, Answer(prompt=prompt.id, repeat=0, text=f"It is {prompt.expected}.")).passed, prompt
        assert not suite.grade(prompt, Answer(prompt=prompt.id, repeat=0, text='{"category": "payment"}')).passed, (
            prompt
        )


@pytest.mark.parametrize(
    ("text", "accept", "reject", "passed"),
    [
        ("The answer is 12.", ("12",), (), True),
        ("112", ("12",), (), False),
        ("paris, of course", ("Paris",), (), True),
        ("comparison", ("Paris",), (), False),
        ("cat", ("=CAT",), (), False),
        ("It is CAT", ("=CAT",), (), True),
        ("positive, not negative", ("positive",), ("negative",), False),
        ("1,  2,\n3", ("1, 2, 3",), (), True),
    ],
)
def test_what_counts_as_said(text: str, accept: tuple[str, ...], reject: tuple[str, ...], passed: bool) -> None:
    grade = suites.judged(text, accept, reject)
    assert grade.passed is passed
    assert bool(grade.reason) is not passed
