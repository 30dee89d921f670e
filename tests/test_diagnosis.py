"""What loss curves say: planted ones, and the words that a user gets."""

from __future__ import annotations

import math

import pytest
from curves import events, planted

from ftspec.spec import EarlyStopping
from ftspec.tuning.diagnosis import Point, curve, diagnose, futile

TAKES = {"learning_rate": 1e-3, "epochs": 4}
SEED = 2026
FALLING = [3.0 * 0.9**step for step in range(40)]


def test_at_least_nine_in_ten_planted_curves_are_told_right_and_few_healthy_ones_accused() -> None:
    found = [(each.kind, diagnose(each.events, TAKES).kind) for each in planted(SEED)]
    healthy = [told for kind, told in found if kind == "healthy"]
    assert len(found) >= 60
    assert len(healthy) == len(found) / 2
    assert sum(kind == told for kind, told in found) >= 0.9 * len(found)
    assert sum(told != "healthy" for told in healthy) <= 0.05 * len(healthy)


def test_few_losses_say_nothing() -> None:
    assert diagnose(events([3.0, 2.0, 1.0], {}, 1), TAKES).kind == "unknown"
    assert diagnose([], TAKES).kind == "unknown"


def test_overfitting_names_the_step_and_the_epochs() -> None:
    found = diagnose(events(FALLING, {10: 2.0, 20: 1.5, 30: 1.8, 40: 2.1}, 1), TAKES)
    assert (found.kind, found.step) == ("overfitting", 20)
    assert "lower `epochs` from 4 to 2" in found.advice
    assert "1.5" in found.message


def test_a_loss_that_is_no_number_diverges_at_its_step() -> None:
    found = diagnose(events([*FALLING[:20], math.nan, math.nan], {}, 1), TAKES)
    assert (found.kind, found.step) == ("diverging", 21)


def test_a_loss_that_rises_and_stays_up_diverges_from_where_it_was_lowest() -> None:
    found = diagnose(events([3.0] * 8 + [1.0] * 8 + [2.0] * 8, {}, 1), TAKES)
    assert (found.kind, found.faulty) == ("diverging", True)
    assert found.message == f"the training loss rose from 1 to 2, from step {found.step} on"
    assert 9 <= found.step <= 16
    assert found.advice == "lower `learning_rate`, e.g. from 0.001 to 0.0002"


@pytest.mark.parametrize(
    "losses",
    [[*FALLING[:22], 3.0, 3.0], [0.05] * 20, [3.0, *[0.08] * 19]],
    ids=["a spike at the end", "nothing left to learn", "learned at once"],
)
def test_what_is_no_fault(losses: list[float]) -> None:
    found = diagnose(events(losses, {}, 1), TAKES)
    assert (found.kind, found.faulty, found.message) == ("healthy", False, "the loss came down")


def test_a_loss_that_stays_where_it_was_is_stalled() -> None:
    found = diagnose(events([2.0] * 20, {}, 1), TAKES)
    assert (found.kind, found.message) == ("stalled", "the training loss hardly moved: 2 at first, 2 at the end")


@pytest.mark.parametrize(
    "validation", [{10: 1.5}, {10: 1.5, 40: 1.6}, {10: 1.5, 40: math.nan}], ids=["one value", "a bad draw", "no number"]
)
def test_few_validation_losses_accuse_nobody(validation: dict[int, float]) -> None:
    assert diagnose(events(FALLING, validation, 1), TAKES).kind == "healthy"


@pytest.mark.parametrize(
    ("epochs", "advice"),
    [(4, "lower `epochs` from 4 to 2, or keep "), (1, "keep "), (True, "keep "), ("auto", "keep ")],
)
def test_fewer_epochs_are_advised_where_there_are_fewer(epochs: object, advice: str) -> None:
    found = diagnose(events(FALLING, {10: 2.0, 20: 1.5, 30: 1.8, 40: 2.1}, 1), {"epochs": epochs})
    assert found.advice.startswith(f"{advice}the best checkpoint")


@pytest.mark.parametrize(
    ("takes", "advice"),
    [
        ({"learning_rate": 1e-4}, "raise `learning_rate`, e.g. from 0.0001 to 0.0005"),
        ({"learning_rate_multiplier": "auto"}, "raise `learning_rate_multiplier`"),
        ({}, "the rows may not say what is to be learned: see `ftspec data preview`"),
    ],
)
def test_advice_names_only_what_the_provider_takes(takes: dict[str, object], advice: str) -> None:
    assert diagnose(events([2.0, 2.01] * 10, {}, 1), takes).advice == advice


def test_the_same_step_told_twice_counts_as_it_was_told_last() -> None:
    twice = [*events([3.0, 2.0], {}, 1), *events([1.0], {}, 1)]
    assert curve(twice, "train_loss") == [Point(1, 1.0), Point(2, 2.0)]


@pytest.mark.parametrize(
    ("losses", "rule", "due"),
    [
        ([3.0, 2.0, 2.1, 2.2], EarlyStopping(patience=2), True),
        ([3.0, 2.0, 2.1, 1.9], EarlyStopping(patience=2), False),
        ([3.0, 2.0, 1.95, 1.92], EarlyStopping(patience=2, min_delta=0.1), True),
        ([3.0], EarlyStopping(patience=1), False),
        ([], EarlyStopping(patience=1), False),
    ],
)
def test_when_a_job_is_ended_early(losses: list[float], rule: EarlyStopping, due: bool) -> None:
    assert futile([Point(step, loss) for step, loss in enumerate(losses)], rule) is due
