"""Records on disk are a sequence like any other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.common.messages import Answer
from ftspec.files.kept import AHEAD, Keyed, keep


@given(st.lists(st.tuples(st.integers(0, 50), st.text()), max_size=30))
def test_what_is_kept_comes_back(said: list[tuple[int, str]]) -> None:
    answers = [Answer(prompt="p", repeat=repeat, text=text) for repeat, text in said]

    kept = keep(Answer, iter(answers))
    ordered = keep(Answer, iter(answers), order=lambda answer: answer.repeat)

    assert list(kept) == answers and len(kept) == len(answers)
    assert kept[1:] == answers[1:]
    assert list(ordered) == sorted(answers, key=lambda answer: answer.repeat)
    assert list(kept.chosen(reversed(range(len(kept))))) == answers[::-1]


def test_any_order_of_reading_finds_the_same() -> None:
    """Records before, within and behind what was read last, shorter and longer than what is read at once."""
    answers = [Answer(prompt=str(at), repeat=at, text="x" * (at * 577 % (3 * AHEAD))) for at in range(200)]
    kept = keep(Answer, answers)
    draw = random.Random(1)
    for place in (*range(200), *reversed(range(200)), *draw.choices(range(200), k=300)):
        assert kept[place] == answers[place]


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    kept = keep(Answer, [Answer(prompt="p", repeat=0, text="x" * 100_000)], tmp_path)

    assert len(kept[0].text) == 100_000
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(IndexError):
        kept[1]


def test_the_first_of_a_key_counts() -> None:
    answers = [Answer(prompt=name, repeat=0, text=text) for name, text in (("a", "1"), ("b", "2"), ("a", "3"))]
    keyed = Keyed(keep(Answer, answers), lambda answer: answer.prompt)

    assert {name: answer.text for name, answer in keyed.items()} == {"a": "1", "b": "2"}
    assert keyed.get("c") is None
