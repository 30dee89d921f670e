"""Patience: longer and longer waits, no longer than said without a success, and told once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from runs import Notes

from ftspec.asking.patience import Patience
from ftspec.common.errors import Ambiguous, Rejected, Transient


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The waits; the clock moves by them alone."""
    waits: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(waits))
    monkeypatch.setattr(time, "sleep", waits.append)
    yield waits


def test_waits_grow_and_end_in_the_error(slept: list[float]) -> None:
    patience, error = Patience(10.0, first=1.0, longest=3.0), Transient("busy")
    with pytest.raises(Transient):
        while True:
            patience.wait(error)
    assert slept == [1.0, 1.5, 2.25, 3.0]


def test_who_says_how_long_is_waited_for_so_long_at_least(slept: list[float]) -> None:
    patience = Patience(10.0, first=1.0)
    patience.wait(Transient("busy", retry_after=5.0))
    patience.wait(Transient("busy", retry_after=0.1))
    assert slept == [5.0, 1.5]
    with pytest.raises(Transient):
        patience.wait(Transient("quota", retry_after=4.0))


@pytest.mark.parametrize(("asked", "said"), [(864_000.0, "busy; it asks to wait 240 h 00 min"), (20.0, "busy")])
def test_a_wait_that_is_too_long_is_told(asked: float, said: str) -> None:
    with pytest.raises(Transient) as told:
        Patience(10.0).wait(Transient("busy", "slow down", retry_after=asked))
    assert (told.value.message, told.value.hint) == (said, "slow down")


def test_a_success_begins_anew(slept: list[float]) -> None:
    patience = Patience(2.0, first=1.0)
    assert patience.fresh
    for _ in range(3):
        patience.wait(Transient("busy"))
        assert not patience.fresh
        patience.reset()
    assert slept == [1.0] * 3


def test_a_call_is_repeated_until_it_works_and_that_is_told_once(slept: list[float]) -> None:
    outcomes, notes = [Transient("busy"), Ambiguous("reset"), None], Notes()

    def call() -> str:
        if error := outcomes.pop(0):
            raise error
        return "made"

    assert Patience(60.0, first=1.0).retry(call, notes) == "made"
    assert (slept, notes.notes) == ([1.0, 1.5], ["busy: trying again for up to 1 min 00 s"])


def test_a_no_is_not_asked_again(slept: list[float]) -> None:
    def call() -> str:
        raise Rejected("no")

    with pytest.raises(Rejected):
        Patience(60.0).retry(call)
    assert slept == []
