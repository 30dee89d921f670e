"""Gates: what passes, how the message reads, and what was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec import gates
from ftspec.builtin.gates import COMPONENTS
from ftspec.components import gate
from ftspec.records import Evaluation, Interval, Score, Verdict
from ftspec.registry import Loaded, Registry
from ftspec.spec import Item


def score(accuracy: float, **more: Any) -> Score:
    known = {"model": "m", "prompts": 100, "repeats": 3, "interval": Interval(low=0.1, high=0.99)}
    return Score(**(known | {"accuracy": accuracy, "graders": {"routing": accuracy}, "errors": 0} | more))


def evaluation(base: Score | None = None, tuned: Score | None = None) -> Evaluation:
    base, tuned = base or score(0.25, consistency=0.9), tuned or score(0.93, consistency=0.96)
    gain = Interval(low=0.5, high=0.8)
    return Evaluation(base=base, tuned=tuned, gain=tuned.accuracy - base.accuracy, gain_interval=gain)


def judged(name: str, found: Evaluation | None = None, **options: Any) -> Verdict:
    verdict = COMPONENTS[name].build(options)(found or evaluation())
    assert isinstance(verdict, Verdict)
    return verdict


@pytest.mark.parametrize(
    ("name", "options", "passed"),
    [
        ("accuracy", {"min": 0.9}, True),
        ("accuracy", {"min": 0.93}, True),
        ("accuracy", {"min": 0.94}, False),
        ("accuracy", {"max": 0.3, "model": "base"}, True),
        ("accuracy", {"min": 0.1, "max": 0.5}, False),
        ("accuracy", {"min": 0.9, "grader": "routing"}, True),
        ("consistency", {"min": 0.95}, True),
        ("consistency", {"min": 0.97}, False),
        ("consistency", {"min": 0.95, "model": "base"}, False),
        ("gain", {"min": 0.68}, True),
        ("gain", {"min": 0.7}, False),
        ("gain", {"min": 0.06, "metric": "consistency"}, True),
        ("gain", {"min": 0.07, "metric": "consistency"}, False),
    ],
)
def test_gates(name: str, options: dict[str, Any], passed: bool) -> None:
    verdict = judged(name, **options)
    assert verdict.passed is passed
    assert verdict.measured is not None


def test_a_message_says_by_how_much() -> None:
    assert judged("accuracy", min=0.95).message == (
        "accuracy of the tuned model is 0.930 (95% interval 0.100 to 0.990): 0.020 short of the wanted 0.95"
    )
    assert judged("accuracy", max=0.5).message.endswith("0.430 above the allowed 0.5")
    assert judged("gain", min=0.1).message == (
        "accuracy changed by +0.680 (95% interval 0.500 to 0.800), from 0.250 to 0.930, wanted at least 0.1"
    )


@pytest.mark.parametrize(
    ("name", "options", "found", "says"),
    [
        (
            "consistency",
            {"min": 0.5},
            evaluation(tuned=score(0.9)),
            "`repeat` of 2 or more and a `temperature` above 0",
        ),
        ("gain", {"min": 0.1, "metric": "consistency"}, evaluation(base=score(0.9)), "`repeat` of 2 or more"),
        ("accuracy", {"min": 0.1, "grader": "x"}, evaluation(), "there is no grader 'x': there are routing"),
        (
            "accuracy",
            {"min": 0.1},
            evaluation(tuned=score(1, errors=7)),
            "7 of 300 questions to the tuned model failed",
        ),
        ("gain", {"min": 0.1}, evaluation(base=score(0, errors=7)), "7 of 300 questions to the base model failed"),
        ("accuracy", {"min": 0.1}, evaluation(tuned=score(0, prompts=0)), "there were no prompts"),
    ],
)
def test_what_was_not_measured_does_not_pass(name: str, options: dict[str, Any], found: Evaluation, says: str) -> None:
    verdict = judged(name, found, **options)
    assert not verdict.passed
    assert verdict.measured is None
    assert verdict.message.startswith("not measured: ")
    assert says in verdict.message


def test_a_few_errors_are_tolerated() -> None:
    assert judged("accuracy", evaluation(tuned=score(0.95, errors=6)), min=0.9).passed


@pytest.mark.parametrize(("low", "high", "count"), [(None, None, 1), (0.9, 0.1, 1), (0.1, 0.9, 0), (0.1, None, 0)])
def test_accuracy_needs_a_bound(low: float | None, high: float | None, count: int) -> None:
    problems = [problem for rule in COMPONENTS["accuracy"].rules for problem in rule({"min": low, "max": high})]
    assert len(problems) == count


@pytest.mark.parametrize("options", [{"min": 1.1}, {"min": -0.1}, {"min": 0.5, "model": "other"}])
def test_options_are_bounded(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        COMPONENTS["accuracy"].build(options)


def registry() -> Registry:
    @gate
    def broken() -> Any:
        def judge(evaluation: Evaluation) -> Verdict:
            raise ZeroDivisionError("no")

        return judge

    found = Registry()
    for component in (*COMPONENTS.values(), broken):
        found.components["gate"][component.name] = Loaded(component, "test", "1", "test")
    return found


def judge(*items: Item) -> list[Verdict]:
    return gates.judge(items, registry(), evaluation(), Path())


def item(name: str, options: dict[str, Any] | None = None, **siblings: Any) -> Item:
    return Item(kind="gate", name=name, options=options or {}, **siblings)


def test_judge_names_gates_and_carries_their_severity() -> None:
    found = judge(
        item("accuracy", {"min": 0.9}),
        item("accuracy", {"min": 0.99}, severity="warning"),
        item("gain", {"min": 0.1}, id="better"),
    )
    assert [(one.gate, one.passed, one.severity) for one in found] == [
        ("accuracy", True, "error"),
        ("accuracy-2", False, "warning"),
        ("better", True, "error"),
    ]
    assert gates.passed(found)


def test_one_gate_that_says_no_fails_the_run() -> None:
    assert not gates.passed(judge(item("accuracy", {"min": 0.9}), item("gain", {"min": 0.9})))
    assert gates.passed([])


def test_a_gate_that_raises_has_not_passed_and_hides_nothing() -> None:
    broken, fine = judge(item("broken"), item("accuracy", {"min": 0.9}))
    assert not broken.passed
    assert broken.message == "not measured: the gate failed: ZeroDivisionError: no"
    assert fine.passed


def test_negate_turns_a_verdict_around_but_never_one_without_measure() -> None:
    high, broken = judge(item("accuracy", {"min": 0.99}, negate=True), item("broken", negate=True))
    assert high.passed
    assert high.message.startswith("negated: ")
    assert not broken.passed
