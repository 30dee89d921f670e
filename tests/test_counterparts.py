"""Which prompts of an earlier run are those of now in other words, and which only look like them."""

from __future__ import annotations

from typing import Any

from ftspec.common.messages import Message, Prompt
from ftspec.grading.counterparts import counterparts


def prompt(id: str, asked: str = "", system: str = "", expected: str | None = "yes", **row: Any) -> Prompt:
    said = [Message(role="system", content=system)] if system else []
    return Prompt(id=id, messages=[*said, Message(role="user", content=asked or id)], expected=expected, row=row)


def test_one_of_the_same_row_in_whatever_words() -> None:
    assert counterparts([prompt("old", n=1), prompt("gone", n=3)], [prompt("new", n=1), prompt("more", n=2)]) == {
        "old": "new"
    }


def test_one_with_the_same_messages_but_for_the_instructions() -> None:
    assert counterparts([prompt("old", "a", "be kind")], [prompt("new", "a", "be brief")]) == {"old": "new"}
    assert counterparts([prompt("old", "a")], [prompt("new", "b")]) == {}


def test_another_answer_makes_another_prompt() -> None:
    assert counterparts([prompt("old", "a", n=1)], [prompt("new", "a", expected="no", n=1)]) == {}


def test_what_two_prompts_share_tells_neither() -> None:
    before = [prompt("old", n=1), prompt("older", n=1)]
    assert counterparts(before, [prompt("new", n=1)]) == {}
    assert counterparts([prompt("old", n=1)], [prompt("new", n=1), prompt("newer", n=1)]) == {}
    told = [prompt("old", "a", n=1), prompt("older", "b", n=1)]
    assert counterparts(told, [prompt("new", "b", "be kind", n=1)]) == {"older": "new"}


def test_one_that_is_asked_as_before_is_nobody_elses() -> None:
    same = prompt("same", "a", n=1)
    assert counterparts([same, prompt("old", n=2)], [same, prompt("new", n=3)]) == {}
    assert counterparts([prompt("same", "a"), prompt("old", "b", n=1)], [same, prompt("new", "c")]) == {}
