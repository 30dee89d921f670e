"""Gates: what passes, how the message reads, and what was not measured."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec.builtin.gates import COMPONENTS
from ftspec.common.evaluation import Comparison, Evaluation, Interval, JudgeUse, Measured, Needs, Score, Verdict, Worst
from ftspec.contracts.decorators import gate
from ftspec.grading import gates
from ftspec.registry import Loaded, Registry
from ftspec.spec import Item
from ftspec.stats import evidence, paired, statistics
from ftspec.stats.statistics import Share


def score(accuracy: float, **more: Any) -> Score:
    known = {"model": "m", "prompts": 100, "repeats": 3, "interval": Interval(low=0.1, high=0.99)}
    return Score(**(known | {"accuracy": accuracy, "graders": {"routing": accuracy}, "errors": 0} | more))


def evaluation(base: Score | None = None, tuned: Score | None = None) -> Evaluation:
    base, tuned = base or score(0.25, consistency=0.9), tuned or score(0.93, consistency=0.96)
    gain = Interval(low=0.5, high=0.8)
    return Evaluation(base=base, tuned=tuned, gain=tuned.accuracy - base.accuracy, gain_interval=gain)


def judged(name: str, found: Evaluation | None = None, /, **options: Any) -> Verdict:
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
    verdict = judged(name, evidence="estimate", **options)
    assert verdict.passed is passed
    assert verdict.measured is not None


def test_a_message_says_by_how_much() -> None:
    found = evaluation(tuned=score(0.93, interval=Interval(low=0.9, high=0.94)))
    assert judged("accuracy", found, min=0.95).message == (
        "accuracy of the tuned model is 0.930 (95% interval 0.900 to 0.940): 0.020 short of the wanted 0.95"
    )
    assert judged("accuracy", found, max=0.5).message.endswith("0.430 above the allowed 0.5")
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
            "7 of 300 answers of the tuned model are missing or not graded",
        ),
        (
            "gain",
            {"min": 0.1},
            evaluation(base=score(0, errors=7)),
            "7 of 300 answers of the base model are missing or not graded",
        ),
        ("accuracy", {"min": 0.1}, evaluation(tuned=score(0, prompts=0)), "there is no tuned model"),
    ],
)
def test_what_was_not_measured_does_not_pass(name: str, options: dict[str, Any], found: Evaluation, says: str) -> None:
    verdict = judged(name, found, **options)
    assert not verdict.passed
    assert verdict.measured is None
    assert verdict.message.startswith("not measured: ")
    assert says in verdict.message


def test_a_judge_without_verdicts_measures_nothing() -> None:
    use = JudgeUse(grader="routing", provider="p", model="m", questions=300, unclear=9)
    silent = score(0.93, errors=9, judges=(use,), lost="the judge did not say a score")
    found = judged("accuracy", evaluation(tuned=silent), min=0.5)
    assert found.message == (
        "not measured: 9 of 300 answers of the tuned model are missing or not graded, the first with: "
        "the judge did not say a score; run again, which asks only what is missing; "
        "a judge whose replies stay no verdict needs another rubric, `max_tokens` or model"
    )
    aside = evaluation(tuned=score(0.93, judges=(use,)))
    assert judged("accuracy", aside, min=0.5).measured == 0.93
    for name, options in (("accuracy", {"grader": "routing"}), ("metric", {"name": "routing"})):
        verdict = judged(name, aside, min=0.5, **options)
        assert verdict.outcome == "INSUFFICIENT_EVIDENCE"
        assert "the judge of 'routing' had 9 times no verdict on the tuned model's answers" in verdict.message


def test_a_few_errors_are_tolerated() -> None:
    assert judged("accuracy", evaluation(tuned=score(0.95, errors=6)), min=0.1).passed


@pytest.mark.parametrize(("low", "high", "count"), [(None, None, 1), (0.9, 0.1, 1), (0.1, 0.9, 0), (0.1, None, 0)])
def test_accuracy_needs_a_bound(low: float | None, high: float | None, count: int) -> None:
    problems = [problem for rule in COMPONENTS["accuracy"].rules for problem in rule({"min": low, "max": high})]
    assert len(problems) == count


@pytest.mark.parametrize("options", [{"min": 1.1}, {"min": -0.1}, {"min": 0.5, "evidence": "other"}])
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

    @gate
    def lost() -> Any:
        return lambda evaluation: Verdict(gate="lost", passed=True, measured=float("nan"), message="fine")

    for component in (*COMPONENTS.values(), broken, lost):
        found.components["gate"][component.name] = Loaded(component, "test", "1", "test")
    return found


def judge(*items: Item) -> list[Verdict]:
    return gates.judge(items, registry(), evaluation(), Path())


def item(name: str, options: dict[str, Any] | None = None, **siblings: Any) -> Item:
    return Item(kind="gate", name=name, options=options or {}, **siblings)


def test_judge_names_gates_and_carries_their_severity() -> None:
    found = judge(
        item("accuracy", {"min": 0.1}),
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
    broken, fine = judge(item("broken"), item("accuracy", {"min": 0.1}))
    assert not broken.passed
    assert broken.message.startswith("no verdict: gate 'broken' of ")
    assert "failed: ZeroDivisionError: no (tests/test_gates.py:" in broken.message
    assert fine.passed


def test_negate_turns_a_verdict_around_but_never_one_without_measure() -> None:
    missed, met, broken = judge(
        item("accuracy", {"min": 0.999}, negate=True),
        item("accuracy", {"min": 0.1}, negate=True),
        item("broken", negate=True),
    )
    assert [(verdict.passed, verdict.outcome) for verdict in (missed, met, broken)] == [
        (True, "PASS"),
        (False, "FAIL"),
        (False, "INSUFFICIENT_EVIDENCE"),
    ]
    assert missed.message.startswith("negated: ")


def test_a_gate_that_measures_no_number_says_nothing() -> None:
    [verdict] = judge(item("lost"))
    assert (verdict.passed, verdict.measured) == (False, None)
    assert "returned a Verdict whose measured is no number; None says so" in verdict.message


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ({}, True),
        ({"model": "base"}, False),
        ({"model": "rival"}, False),
        ({"model": "rival", "against": "base"}, False),
        ({"model": "rival", "against": "tuned"}, True),
    ],
)
def test_a_gate_that_names_no_other_model_asks_the_tuned_one(options: dict[str, Any], asks: bool) -> None:
    assert gates.asks_tuned(item("accuracy", options)) is asks


@pytest.mark.parametrize(("low", "high", "open_bound"), [(0.5, 0.9, 0.9), (0.83, 0.99, 0.83)])
def test_of_two_bounds_the_open_one_says_how_many_prompts_would_decide(
    low: float, high: float, open_bound: float
) -> None:
    measured = Measured(value=0.86, interval=Interval(low=0.81, high=0.92), n=100)
    verdict = evidence.decide("accuracy", "accuracy is 0.86", measured, low=low, high=high)
    assert (verdict.outcome, verdict.needed) == (
        "INSUFFICIENT_EVIDENCE",
        evidence.prompts_needed(measured, open_bound),
    )
    assert verdict.message == (
        f"accuracy is 0.86, wanted at least {low:g} and at most {high:g}: 100 prompts are too few to tell, "
        f"about {verdict.needed:,} would"
    )


@pytest.mark.parametrize(
    ("measured", "bound"),
    [
        (Measured(value=0.5, interval=None, n=100), 0.6),
        (Measured(value=0.5, interval=Interval(low=0.4, high=0.6), n=0), 0.6),
        (Measured(value=0.5, interval=Interval(low=0.4, high=0.6), n=100), 0.5),
        (Measured(value=0.5, interval=Interval(low=0.4, high=0.6), n=100), 0.5001),
    ],
    ids=["without an interval", "of nothing", "at the bound", "more than anybody asks"],
)
def test_how_many_would_decide_cannot_always_be_told(measured: Measured, bound: float) -> None:
    assert evidence.prompts_needed(measured, bound) is None


def test_how_many_would_decide_of_what_is_no_share() -> None:
    """Seconds: with a standard error of 0.051, and power 0.8, (2.8 x 0.051 / distance)² times as many."""
    seconds = Measured(value=2.0, interval=Interval(low=1.9, high=2.1), n=100)
    assert evidence.prompts_needed(seconds, 1.95) == pytest.approx(817, abs=3)
    assert evidence.prompts_needed(seconds, 3.0) == 101, "more than there are"


def test_one_prompt_is_too_few_in_the_singular() -> None:
    assert evidence.too_few(1) == "1 prompt is too few to tell"


def with_interval(low: float, value: float, high: float, prompts: int = 100, **more: Any) -> Evaluation:
    return evaluation(tuned=score(value, prompts=prompts, interval=Interval(low=low, high=high), **more))


@pytest.mark.parametrize(
    ("low", "value", "high", "outcome"),
    [
        (0.91, 0.95, 0.98, "PASS"),
        (0.9, 0.95, 0.98, "PASS"),
        (0.89, 0.95, 0.98, "INSUFFICIENT_EVIDENCE"),
        (0.8, 0.88, 0.92, "INSUFFICIENT_EVIDENCE"),
        (0.8, 0.85, 0.89, "FAIL"),
    ],
)
def test_the_whole_interval_decides(low: float, value: float, high: float, outcome: str) -> None:
    verdict = judged("accuracy", with_interval(low, value, high), min=0.9)
    assert (verdict.outcome, verdict.passed) == (outcome, outcome == "PASS")
    upside_down = judged("accuracy", with_interval(1 - high, 1 - value, 1 - low), max=0.1)
    assert upside_down.outcome == outcome


def test_too_thin_evidence_says_how_many_prompts_would_decide() -> None:
    verdict = judged("accuracy", with_interval(0.86, 0.95, 0.99, prompts=50), min=0.9)
    assert verdict.needed is not None
    assert 100 < verdict.needed < 500
    assert verdict.message.endswith(f"50 prompts are too few to tell, about {verdict.needed} would")


def test_so_many_prompts_do_decide_most_of_the_time() -> None:
    rng, thin = random.Random(3), Share(1, 1)
    measured = Measured(value=0.95, interval=statistics.interval([thin] * 95 + [Share(0, 1)] * 5), n=100)
    needed = evidence.prompts_needed(measured, 0.9) or 0
    passes = 0
    for _ in range(200):
        passed = sum(rng.random() < 0.95 for _ in range(needed))
        passes += statistics.wilson(passed / needed, needed).low >= 0.9
    assert 0.7 < passes / 200 < 0.95


@pytest.mark.parametrize(
    ("bound", "value", "outcome"),
    [
        ({"min": 1.0}, 1.0, "PASS"),
        ({"min": 1.0}, 0.999, "FAIL"),
        ({"max": 0.0}, 0.0, "PASS"),
        ({"max": 0.0}, 0.001, "FAIL"),
    ],
)
def test_perfection_is_judged_by_what_was_measured(bound: dict[str, float], value: float, outcome: str) -> None:
    """All pass, or none does."""
    found = with_interval(max(0.0, value - 0.05), value, min(1.0, value + 0.05))
    assert judged("accuracy", found, **bound).outcome == outcome


def test_an_interval_that_ends_at_the_bound_is_too_thin_to_fail() -> None:
    """Its end is a value that may be the true one."""
    assert judged("accuracy", with_interval(0.7, 0.8, 0.9), min=0.9).outcome == "INSUFFICIENT_EVIDENCE"
    assert judged("accuracy", with_interval(0.1, 0.2, 0.3), max=0.1).outcome == "INSUFFICIENT_EVIDENCE"


def test_a_gate_that_did_not_pass_names_the_worst_cases() -> None:
    worst = tuple(Worst(prompt=f"p{i}") for i in range(4))
    verdict = judged("accuracy", with_interval(0.5, 0.6, 0.7, worst=worst), min=0.9)
    assert [one.prompt for one in verdict.worst] == ["p0", "p1", "p2"]
    assert judged("accuracy", with_interval(0.95, 0.96, 0.97, worst=worst), min=0.9).worst == ()
    divided = score(
        0.5, consistency=0.5, consistency_interval=Interval(low=0.4, high=0.6), worst=worst, divided=worst[3:]
    )
    for name, options in (("consistency", {}), ("metric", {"name": "consistency"})):
        verdict = judged(name, evaluation(tuned=divided), min=0.9, **options)
        assert [one.prompt for one in verdict.worst] == ["p3"]


def test_cases_that_do_not_speak_against_a_gate_are_not_named() -> None:
    worst = (
        Worst(prompt="a", reason="exact: no"),
        Worst(prompt="b", reason="routing: no"),
        Worst(prompt="c", reason="routing"),
    )
    found = with_interval(0.5, 0.6, 0.7, worst=worst, graders={"exact": 0.6, "routing": 0.6})
    of_one = judged("accuracy", found, min=0.9, grader="routing")
    assert [one.prompt for one in of_one.worst] == ["b", "c"]
    assert [one.prompt for one in judged("accuracy", found, min=0.9).worst] == ["a", "b", "c"]
    assert judged("accuracy", found, max=0.1).worst == ()


def slice_of(low: float, value: float, high: float) -> Score:
    return score(value, prompts=20, interval=Interval(low=low, high=high))


def test_gates_look_at_slices() -> None:
    parts = {"de": slice_of(0.91, 0.95, 0.99), "en": slice_of(0.5, 0.6, 0.7), "fr": slice_of(0.8, 0.95, 1.0)}
    found = with_interval(0.91, 0.95, 0.99, slices=parts)
    assert judged("accuracy", found, min=0.9, slice="de").passed
    assert judged("accuracy", found, min=0.9, slice="en").outcome == "FAIL"
    assert "there is no slice 'x': there are de, en, fr" in judged("accuracy", found, min=0.9, slice="x").message
    every = judged("slices", found, min=0.9)
    assert every.message.startswith(
        "of 3 slices 1 pass, 1 fail, 1 cannot be told yet; the weakest: accuracy of slice 'en'"
    )
    assert every.outcome == "FAIL"
    assert judged("slices", found, min=0.9, only=["de", "fr"]).outcome == "INSUFFICIENT_EVIDENCE"
    assert judged("slices", found, min=0.9, only=["de"]).passed
    assert "no prompt has a tag" in judged("slices", min=0.9).message


def test_a_slice_of_which_nothing_was_answered_is_not_measured() -> None:
    lost = score(0.0, prompts=2, interval=Interval(low=0.0, high=1.0), errors=2, repeats=1)
    found = with_interval(0.91, 0.95, 0.99, slices={"lost": lost})
    for wanted in ({"max": 0.0}, {"max": 0.5, "evidence": "estimate"}, {"min": 0.5, "evidence": "estimate"}):
        verdict = judged("accuracy", found, slice="lost", **wanted)
        assert (verdict.passed, verdict.outcome) == (False, "INSUFFICIENT_EVIDENCE")
        assert verdict.message.startswith("not measured: 2 of 2 answers of slice 'lost' of the tuned model are missing")
    assert judged("slices", found, min=0.5).outcome == "INSUFFICIENT_EVIDENCE"


@pytest.mark.parametrize(
    ("prompts", "apart", "repeats", "drop"), [(11, 0.0, 1, 0.05), (50, 0.1, 1, 0.1), (30, 0.3, 3, 0.1)]
)
def test_so_many_prompts_decide_about_a_difference_in_four_of_five_samples(
    prompts: int, apart: float, repeats: int, drop: float
) -> None:
    rng = random.Random(7)

    def share() -> Share:
        return Share(sum(rng.random() >= apart / 2 for _ in range(repeats)), repeats)

    before, after = [share() for _ in range(prompts)], [share() for _ in range(prompts)]
    sums = paired.PairSums.of(before, after)
    value, interval = sums.gain
    measured = Measured(value=value, interval=interval, n=prompts, pairs=sums.size)
    needed = evidence.prompts_needed(measured, -drop) or 0
    assert needed > prompts
    decided = 0
    for _ in range(100):
        drawn = rng.choices(range(prompts), k=needed)
        ends = paired.gain([before[i] for i in drawn], [after[i] for i in drawn])[1]
        decided += ends.low >= -drop or ends.high < -drop
    assert decided >= 65 if apart else needed == 73


def test_levels_that_are_the_same_are_told_shortly() -> None:
    found = dropped(-0.1, 0.0, 0.1, "base")
    found = msgspec.structs.replace(found, base=score(0.588888888), tuned=score(0.588888888))
    assert "from 0.589 to 0.589" in judged("gain", found, min=0).message
    found = msgspec.structs.replace(found, base=score(0.9997), tuned=score(0.9997))
    assert "from 0.9997 to 0.9997" in judged("gain", found, min=0).message


def test_a_model_is_not_compared_with_itself() -> None:
    options = {"min": 0, "model": "base", "against": "base"}
    assert [text for rule in COMPONENTS["gain"].rules for _, text in rule(options)]


def test_a_base_model_that_was_away_knows_not_nothing() -> None:
    general = evaluation(base=score(0.0, errors=300))
    verdict = judged("forgetting", msgspec.structs.replace(evaluation(), suites={"general": general}), max_drop=0.1)
    assert verdict.message.startswith("not measured: 300 of 300 answers of the base model are missing")


def test_where_no_prompt_counts_nothing_is_measured() -> None:
    found = evaluation(tuned=score(0.0, interval=Interval(low=0.0, high=1.0)))
    assert found.tuned.known is None
    verdict = judged("accuracy", found, max=0.0)
    assert verdict.message == "not measured: no prompt counts: the weight of each is 0"


def test_none_of_no_answers_is_no_metric() -> None:
    verdict = judged("metric", with_interval(0.9, 0.95, 1.0), name="pass@0", min=0)
    assert "there is no metric 'pass@0'" in verdict.message


def test_any_metric() -> None:
    third = Measured(value=0.6, interval=Interval(low=0.5, high=0.7), n=100)
    f1 = Measured(value=0.8, n=100)
    found = with_interval(0.9, 0.95, 0.99, pass_all=(third,) * 3, metrics={"routing.macro_f1": f1})
    assert judged("metric", found, name="pass^3", min=0.5).passed
    assert judged("metric", found, name="pass^3", min=0.75).outcome == "FAIL"
    assert "needs `repeat` of 4" in judged("metric", found, name="pass^4", min=0.75).message
    assert judged("metric", found, name="routing.macro_f1", min=0.75).passed
    assert "there is no metric 'x'" in judged("metric", found, name="x", min=0.75).message


def test_latency_and_cost() -> None:
    slow = Measured(value=1.0, interval=Interval(low=0.9, high=1.5), n=100)
    found = evaluation(tuned=score(0.9, latency_p95=slow, cost=3.0))
    assert judged("latency", found, max=2.0).passed
    assert judged("latency", found, max=0.5).outcome == "FAIL"
    assert judged("latency", found, max=1.2).outcome == "INSUFFICIENT_EVIDENCE"
    few = judged("latency", evaluation(tuned=score(0.9, latency_p95=Measured(value=1.0, n=5))), max=2.0)
    assert (few.outcome, few.needed) == ("INSUFFICIENT_EVIDENCE", 72)
    assert judged("cost", found, max=0.01).passed
    assert judged("cost", found, max=2, per="evaluation").outcome == "FAIL"
    assert "not known" in judged("cost", max=1).message


def test_a_cost_that_is_not_known_of_some_answers_passes_no_gate() -> None:
    found = evaluation(tuned=score(0.9, cost=3.0, priced=200, unpriced=100))
    for options in ({"max": 0.02}, {"max": 5, "per": "evaluation"}):
        verdict = judged("cost", found, **options)
        assert (verdict.outcome, verdict.passed) == ("INSUFFICIENT_EVIDENCE", False)
        assert "what 100 of 300 answers of the tuned model cost is not known" in verdict.message
    over = judged("cost", found, max=0.009)
    assert (over.outcome, "is at least 0.010000 USD per answer" in over.message) == ("FAIL", True)
    assert judged("cost", evaluation(tuned=score(0.9, cost=3.0, priced=300)), max=0.01).passed


def dropped(low: float, change: float, high: float, against: str) -> Evaluation:
    compared = Comparison(
        label="tuned", against=against, difference=change, interval=Interval(low=low, high=high), prompts=200,
        detectable=0.08, worst=(Worst(prompt="lost"),),
    )  # fmt: skip
    further = {} if against == "base" else {against: score(0.9)}
    return msgspec.structs.replace(evaluation(), further=further, comparisons=(compared,), accepted="run-1")


def test_no_message_shows_a_value_as_the_bound_that_it_is_not() -> None:
    near = with_interval(0.8996, 0.95, 0.99, consistency=0.9996)
    of = "of the tuned model is"
    assert f"accuracy {of} 0.950 (95% interval 0.8996 to 0.990), wanted" in judged("accuracy", near, min=0.9).message
    assert judged("consistency", near, min=1).message == f"consistency {of} 0.9996: 0.0004 short of the wanted 1"
    full = with_interval(0.9991, 0.9997, 0.99985)
    said = judged("accuracy", full, min=0.9).message
    assert f"{of} 0.9997 (95% interval 0.999 to 0.9999), wanted" in said  # not 1.000, which the summary does not say
    late = judged("latency", evaluation(tuned=score(0.9, latency_p95=Measured(value=2.0004, n=9))), max=2)
    assert late.message.endswith("is 2.0004 s: 0.0004 above the allowed 2")
    dear = judged("cost", evaluation(tuned=score(0.9, cost=3e-5)), max=1e-8)
    assert dear.message.endswith("is 0.0000001 USD per answer: 0.0000001 above the allowed 1e-08")
    lost = judged("regression", dropped(-0.10044, -0.10042, -0.10041, "accepted"), max_drop=0.1).message
    assert "changed by -0.1004 (95% interval" in lost and lost.endswith("0.0004 more than the allowed drop of 0.1")
    gained = judged("gain", dropped(-0.0003, -0.0002, -0.0001, "base"), min=0)
    assert "changed by -0.0002 (95% interval -0.0003 to -0.0001)" in gained.message


@pytest.mark.parametrize(
    ("low", "change", "high", "outcome"),
    [(-0.04, 0.0, 0.04, "PASS"), (-0.2, -0.05, 0.1, "INSUFFICIENT_EVIDENCE"), (-0.4, -0.3, -0.2, "FAIL")],
)
def test_regression_and_forgetting_allow_a_drop(low: float, change: float, high: float, outcome: str) -> None:
    regressed = judged("regression", dropped(low, change, high, "accepted"), max_drop=0.1)
    general = msgspec.structs.replace(evaluation(), suites={"general": dropped(low, change, high, "base")})
    forgot = judged("forgetting", general, max_drop=0.1)
    assert (regressed.outcome, forgot.outcome) == (outcome, outcome)
    assert ("the smallest change that 200 prompts show is 0.080" in forgot.message) == (outcome != "FAIL")
    assert ("0.200 more than the allowed drop of 0.1" in regressed.message) == (outcome == "FAIL")
    assert [one.prompt for one in forgot.worst] == ([] if outcome == "PASS" else ["lost"])


def test_a_base_that_knows_nothing_has_nothing_to_forget() -> None:
    general = msgspec.structs.replace(dropped(-0.01, 0.0, 0.01, "base"), base=score(0.04))
    found = msgspec.structs.replace(evaluation(), suites={"general": general})
    verdict = judged("forgetting", found, max_drop=0.1)
    assert (verdict.outcome, verdict.passed) == ("INSUFFICIENT_EVIDENCE", False)
    assert "answers 0.040 of the general questions, no more than the allowed drop of 0.1" in verdict.message
    assert judged("forgetting", found, max_drop=0.03).passed


def test_levels_on_other_prompts_are_not_put_beside_a_change() -> None:
    found = dropped(-0.04, 0.0, 0.04, "accepted")
    fewer = msgspec.structs.replace(found, further={"accepted": score(0.9, prompts=60)})
    said = judged("regression", fewer, max_drop=0.1).message
    assert "since the accepted run run-1, over the 200 prompts that both answered, wanted at least -0.1; the" in said
    pair = msgspec.structs.replace(found.comparisons[0], label="tuned", against="base")
    best = msgspec.structs.replace(found, base=score(0.25, prompts=60), comparisons=(pair,))
    assert ", over the 200 prompts that both answered, wanted" in judged("gain", best, min=0).message


def test_the_first_run_has_nothing_to_fall_behind() -> None:
    assert judged("regression", max_drop=0.1).passed
    assert judged("forgetting", max_drop=0.1).message == "not measured: the general questions were not asked"


def test_gates_say_what_they_need() -> None:
    def needs(name: str, /, **options: Any) -> Needs:
        return COMPONENTS[name].needs(COMPONENTS[name].convert(options))

    assert needs("consistency", min=0.9) == Needs(repeats=True)
    assert needs("gain", min=0.1) == Needs(compared=("tuned", "base"))
    assert needs("gain", min=0.1, model="a", against="tuned").compared == ("a", "tuned")
    assert needs("gain", min=0.1, metric="consistency").repeats
    assert needs("metric", name="consistency", min=0.1).repeats
    assert needs("regression") == Needs(accepted=True)
    assert needs("forgetting") == Needs(suite="general")
