"""Checks of what is nearly the same."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from test_cleaners import batch_of, chat

from ftspec import api, rows
from ftspec.builtin import nearness
from ftspec.builtin.nearness import near_duplicates, near_leakage

draw = random.Random(5)
WORDS = [f"word{number}" for number in range(5000)]


def text(count: int = 40) -> str:
    return " ".join(draw.choices(WORDS, k=count))


def found(component: api.Component, given: list[tuple[str, dict[str, Any]]], **options: Any) -> list[api.Finding]:
    check = component.build(options)
    batch = batch_of([value for _, value in given])
    sides = rows.strings([side for side, _ in given])
    batch = batch.set_column(batch.schema.get_field_index(rows.SIDE), rows.SIDE, sides)
    half = len(given) // 2
    return list(check.judge([check.measure(part) for part in (batch.slice(0, half), batch.slice(half))]))


def test_near_leakage_across_sides() -> None:
    first, second, third = text(), text(), text()
    given = [
        ("train", chat(first, text())),
        ("validation", chat(second, text())),
        ("train", chat(third, "yes")),
        ("test", chat(f"{first} indeed", text())),
        ("prompt", chat(second)),
        ("validation", chat(text(), third)),
        ("train", chat(f"{third} then", "no")),
        ("test", chat(text(), text())),
    ]
    said = {finding.row: finding.message for finding in found(near_leakage, given)}
    assert set(said) == {4, 5}
    assert said[4] == "asks nearly what {row 1} asks (97% the same): that row is in train, this one is in test"
    assert "{row 2}" in said[5]
    assert "an evaluation prompt" in said[5]


def test_a_chain_is_no_leak_by_itself() -> None:
    words = text(60).split()
    middle, far = [*words], [*words]
    middle[:6] = far[:6] = text(6).split()
    far[30:38] = text(8).split()
    given = [("train", chat(" ".join(words))), ("test", chat(" ".join(far))), ("test", chat(" ".join(middle)))]
    assert [finding.row for finding in found(near_leakage, given, threshold=0.7)] == [3]


def test_a_leak_beside_many_copies_of_another_row() -> None:
    """Copies count once, so no number of them hides the row that the test row is like."""
    words = text(100).split()
    middle, asked = [*words], [*words]
    middle[:5] = asked[:5] = text(5).split()
    asked[-4:] = text(4).split()
    copies = [("train", chat(" ".join(words), "yes"))] * 300
    given = [*copies, ("train", chat(" ".join(middle), "yes")), ("test", chat(" ".join(asked), "yes"))]
    (leak,) = found(near_leakage, given, threshold=0.87)
    assert leak.row == 302
    assert "{row 301}" in leak.message


def test_a_leak_among_more_rows_than_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is compared in pieces to its end, and what is cut when that takes too long is said."""
    words = text(60).split()
    chain = []
    for at in range(0, 50, 5):
        words[at : at + 5] = text(5).split()
        chain.append(" ".join(words))
    given = [("train", chat(each, "yes")) for each in chain] + [("test", chat(f"{chain[0]} so", "yes"))]
    given.reverse()
    monkeypatch.setattr(nearness, "COMPARED", 2)
    (leak,) = found(near_leakage, given, threshold=0.6)
    assert leak.row == 1
    assert "{row 11}" in leak.message
    monkeypatch.setattr(nearness, "PAIRS", 4)
    (cut,) = found(near_leakage, given, threshold=0.6)
    assert (cut.row, cut.severity) == (None, "warning")
    assert cut.message.endswith("compare each with all: not done for 1")


def test_near_duplicates_have_a_rate() -> None:
    first = text()
    given = [("train", chat(each, "answer")) for each in (first, text(), f"{first} so", text(), first)]
    given.append(("test", chat(first, "answer")))
    rate, *rest = found(near_duplicates, given)
    assert rate.message == "2 of 5 rows to train on are near-duplicates (40.0%), at most 0.0% may be"
    assert [finding.row for finding in rest] == [3, 5]
    assert found(near_duplicates, given, max_rate=0.4) == []
    assert found(near_duplicates, given[1:2]) == []


def test_measures_are_arrow() -> None:
    measured = near_leakage.build({}).measure(batch_of([chat(text(), text())]))
    assert all(isinstance(column, pa.Array) for column in measured)
