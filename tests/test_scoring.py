"""From verdicts to scores and comparisons: what is counted, in slices and by weight, and what stays readable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ftspec.cli.scores import table_of
from ftspec.common.evaluation import Evaluation, Grade, Interval, Score, Verdict
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.common.references import Mask
from ftspec.data import prompts
from ftspec.grading import differences, grade, scores, scoring, tally
from ftspec.spec import Item
from ftspec.stats import paired


def item(name: str = "is", **siblings: object) -> Item:
    return Item(kind="grader", name=name, **siblings)  # type: ignore[arg-type]


def prompt(name: str = "p", **more: object) -> Prompt:
    return Prompt(id=name, messages=[Message(role="user", content=f"ask {name}")], expected=name, **more)  # type: ignore[arg-type]


def answer(text: str = "", name: str = "p", repeat: int = 0, error: str = "", seconds: float | None = None) -> Answer:
    return Answer(prompt=name, repeat=repeat, text=text, error=error, completion_tokens=2, seconds=seconds)


def says(word: str) -> object:
    return lambda prompt, answer: Grade(passed=word in answer.text, reason=f"no {word}")


def score(prompts: Sequence[Prompt], answered: grade.Answered) -> Score:
    return scores.score(answered.model, tally.tallies(prompts, answered), answered.seconds)


def scored(texts: dict[str, list[str]], repeats_of: str = "") -> grade.Answered:
    answers = [
        answer(text if text != "!" else "", name, repeat, error="boom" if text == "!" else "")
        for name, said in texts.items()
        for repeat, text in enumerate(said)
    ]
    prompts = [prompt(name) for name in texts]
    graded = grade.grade(prompts, answers, [(item(id="a"), says("a")), (item(id="b", weight=0), says("b"))])
    return grade.Answered(model="m", answers=tuple(answers), graded=tuple(graded), seconds=1.5)


def test_a_score_counts_passes_agreement_and_errors() -> None:
    prompts = [prompt("p"), prompt("q"), prompt("r")]
    found = score(prompts, scored({"p": ["a", "ab"], "q": ["x", "a"], "r": ["a", "!"]}))
    assert (found.prompts, found.repeats, found.errors) == (3, 2, 1)
    assert found.accuracy == pytest.approx(4 / 5)
    assert found.consistency == pytest.approx(1 / 2)
    assert found.graders == pytest.approx({"a": 4 / 5, "b": 1 / 5})
    assert found.completion_tokens == 12
    assert found.quadrant == "right but inconsistent"
    assert (found.seconds, found.lost, found.cost) == (1.5, "boom", None)
    assert {name: measured.n for name, measured in found.measures.items()} == {"a": 3, "b": 3}
    assert found.consistency_interval
    assert found.bootstrap_interval
    assert found.bootstrap_interval.low < found.accuracy <= found.bootstrap_interval.high


def test_a_prompt_in_brief_is_what_was_last_asked() -> None:
    talk = [("system", "be kind"), ("user", "once"), ("assistant", "no"), ("user", "again " * 100), ("tool", "42")]
    long = Prompt(
        id="p",
        messages=[Message(role=role, content=said) for role, said in talk],
        expected="yes " * 100,
        tools=[{"type": "function"}],
        row={"text": "all of it"},
        tags=("short",),
        weight=2.0,
    )
    told = tally.brief(long)
    [asked] = told.messages
    assert (asked.role, asked.content) == ("user", f"{('again ' * 100)[: tally.EXCERPT - 1]}…")
    assert told.expected == f"{('yes ' * 100)[: tally.EXCERPT - 1]}…"
    assert (told.id, told.tags, told.weight, told.tools, told.row) == ("p", ("short",), 2.0, None, {})
    assert tally.brief(msgspec.structs.replace(long, messages=talk_of("system"), expected=None)).expected is None


def talk_of(*roles: str) -> list[Message]:
    return [Message(role=role, content=role) for role in roles]


def test_a_tally_tells_what_was_lost_and_who_was_silent() -> None:
    """Of answers that did not pass, of answers with an error, and of graders that had no opinion on some."""
    given = scored({"p": ["a", "x", "!"]})
    graded = [given.graded[0], msgspec.structs.replace(given.graded[1], grades={"a": given.graded[1].grades["a"]})]
    [found] = tally.tallies([prompt("p")], msgspec.structs.replace(given, graded=(*graded, given.graded[2])))
    assert (found.said, found.reason, found.lost) == ("x", "no a", "boom")
    assert (found.errors, found.silent) == (1, {"b": 1})


def test_secrets_are_looked_for_once_and_not_for_each_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    now = Mask.now
    monkeypatch.setattr(Mask, "now", lambda mask: looked.append(mask) or now(mask))
    names = [str(number) for number in range(20)]
    answered = scored({name: ["x", "!"] for name in names})
    evaluated = scoring.evaluate([prompt(name) for name in names], {"base": answered, "tuned": answered})
    assert evaluated.tuned.worst
    assert len(looked) < len(names)


def test_one_repeat_measures_no_consistency() -> None:
    found = score([prompt("p")], scored({"p": ["a"]}))
    assert (found.consistency, found.consistency_interval, found.quadrant) == (None, None, "not measured")


def test_nothing_answered_says_nothing() -> None:
    found = score([prompt("p")], scored({"p": ["!"]}))
    assert (found.accuracy, found.interval, found.errors) == (0, Interval(low=0, high=1), 1)
    assert found.graders == {}


def test_a_cost_says_of_how_many_answers_it_is() -> None:
    answered = scored({"p": ["a", "x"], "q": ["a", "!"]})
    some = [msgspec.structs.replace(one, cost=0.5 if one.prompt == "p" else None) for one in answered.answers]
    found = score([prompt("p", tags=("t",)), prompt("q")], msgspec.structs.replace(answered, answers=some))
    assert (found.cost, found.priced, found.unpriced) == (1.0, 2, 1), "what was not answered costs nothing"
    assert (found.slices["t"].priced, found.slices["t"].unpriced) == (2, 0)
    assert "1.00 USD (of 2 of 3 answers)" in table_of(Evaluation(base=found))


def test_the_slowest_and_the_dearest_are_named_with_what_they_took() -> None:
    took = {"p": (0.5, 0.0), "q": (2.0, 0.25), "r": (1.0, 0.5), "s": (None, None)}
    answers = [
        Answer(prompt=name, repeat=0, text="a", seconds=seconds, cost=cost, prompt_tokens=3)
        for name, (seconds, cost) in took.items()
    ]
    prompts = [prompt(name, origin=f"{name}.jsonl:1") for name in took]
    graded = grade.grade(prompts, answers, [(item(), says("a"))])
    found = score(prompts, grade.Answered(model="m", answers=tuple(answers), graded=tuple(graded), seconds=1.0))
    assert [(one.prompt, one.reason) for one in found.slowest] == [
        ("q", "took 2.000 s"), ("r", "took 1.000 s"), ("p", "took 0.500 s"),
    ]  # fmt: skip
    assert [(one.prompt, one.reason) for one in found.dearest] == [
        ("r", "cost 0.500000 USD"),
        ("q", "cost 0.250000 USD"),
    ]
    assert (found.dearest[0].origin, found.dearest[0].asked) == ("r.jsonl:1", "ask r")
    assert (found.cost, found.prompt_tokens, found.worst) == (0.75, 12, ())


def test_a_comparison_is_over_what_both_have_answered() -> None:
    """`lost` has no answer of the base model, and `new` was not asked of it."""
    before = {"worse": ["a", "a"], "better": ["x", "x"], "steadier": ["x", "a"], "lost": ["!", "!"]}
    after = {"worse": ["x", "x"], "better": ["a", "a"], "steadier": ["a", "a"], "lost": ["a", "a"], "new": ["a", "a"]}
    prompts = [prompt(name, tags=("even",) if name in ("better", "lost") else ("odd",)) for name in after]
    base, tuned = (tally.tallies(prompts, scored(each)) for each in (before, after))
    accuracy, consistency = differences.compare(tuned, base, "tuned", "base")
    shares = [[one.share for one in side[:3]] for side in (base, tuned)]
    assert (accuracy.prompts, accuracy.better, accuracy.worse) == (3, 2, 1)
    assert accuracy.difference == pytest.approx((-1 + 1 + 0.5) / 3)
    assert accuracy.p_value == paired.p_value(*shares)
    assert accuracy.detectable == paired.detectable(accuracy.interval)
    assert [(one.prompt, one.value) for one in accuracy.worst] == [("worse", -1)]
    assert (consistency.metric, consistency.prompts, consistency.better, consistency.worse) == ("consistency", 3, 1, 0)
    known = {tag: one.p_value for tag, one in accuracy.slices.items() if one.p_value is not None}
    corrected = dict(zip(known, paired.holm(list(known.values())), strict=True))
    assert {tag: one.adjusted for tag, one in accuracy.slices.items()} == {
        tag: corrected.get(tag) for tag in ("odd", "even")
    }


def test_models_with_nothing_in_common_are_compared_as_nothing() -> None:
    one, other = (tally.tallies([prompt(name)], scored({name: ["a"]})) for name in "pq")
    [found] = differences.compare(one, other, "tuned", "base")
    assert (found.prompts, found.difference, found.interval) == (0, 0.0, Interval(low=-1.0, high=1.0))
    assert (found.detectable, found.worst, found.slices) == (None, (), {})


def test_evaluate_pairs_the_models_over_prompts() -> None:
    names = [f"p{i}" for i in range(20)]
    prompts = [prompt(name) for name in names]
    base, tuned = scored({name: ["x"] for name in names}), scored({name: ["a"] for name in names})
    found = scoring.evaluate(prompts, {"base": base, "tuned": tuned})
    assert found.gain == 1
    assert found.gain_interval.low > 0.65
    assert (found.base.accuracy, found.tuned.accuracy) == (0, 1)


def test_slices_are_scores_of_the_prompts_with_a_tag() -> None:
    prompts = [prompt("p", tags=("short", "de")), prompt("q", tags=("short",)), prompt("r")]
    found = score(prompts, scored({"p": ["a"], "q": ["x"], "r": ["a"]}))
    assert {tag: (part.prompts, part.accuracy) for tag, part in found.slices.items()} == {
        "short": (2, 0.5),
        "de": (1, 1),
    }
    assert found.slices["short"].slices == {}
    assert found.accuracy == pytest.approx(2 / 3)


def test_weights_count() -> None:
    found = score([prompt("p", weight=3.0), prompt("q")], scored({"p": ["a"], "q": ["x"]}))
    assert found.accuracy == pytest.approx(0.75)
    assert found.graders["a"] == pytest.approx(0.75)


def test_a_weight_of_nothing_leaves_a_prompt_out() -> None:
    found = score([prompt("p", weight=0.0), prompt("q")], scored({"p": ["a"], "q": ["x"]}))
    assert found.accuracy == 0
    alone = score([prompt("q")], scored({"q": ["x"]}))
    assert found.interval == alone.interval


def test_a_weight_of_nothing_speaks_against_no_model() -> None:
    prompts = [prompt("p", weight=0.0), prompt("q")]
    base, tuned = (
        tally.tallies(prompts, scored(each)) for each in ({"p": ["a"], "q": ["a"]}, {"p": ["x"], "q": ["x"]})
    )
    assert [one.prompt for one in scores.score("tuned", tuned).worst] == ["q"]
    (accuracy,) = differences.compare(tuned, base, "tuned", "base")
    assert (accuracy.prompts, accuracy.worse) == (1, 1)
    assert [one.prompt for one in accuracy.worst] == ["q"]


def test_the_worst_cases_say_what_was_asked_and_why_it_failed() -> None:
    texts = {"p": ["a", "x"], "q": ["x", "x"], "r": ["a", "a"], "s": ["x", "a"]}
    found = score([prompt(name) for name in texts], scored(texts))
    assert [(one.prompt, one.value) for one in found.worst] == [("q", 0), ("p", 0.5), ("s", 0.5)]
    first = found.worst[0]
    assert (first.asked, first.expected, first.said, first.reason) == ("ask q", "q", "x", "a: no a")
    divided = [(one.prompt, one.said, one.reason) for one in found.divided]
    assert divided == [("p", "x", "passed 1 of 2 times"), ("s", "x", "passed 1 of 2 times")]


@pytest.mark.parametrize(
    ("weights", "reason"),
    [({"b": 0, "a": 1}, "a: no a"), ({"b": 1, "a": 1}, "b: no b"), ({"a": 1}, "no a")],
    ids=["what does not decide is not why", "the first that decides", "alone"],
)
def test_why_a_case_failed_is_what_decided(weights: dict[str, float], reason: str) -> None:
    answers = (answer("x"),)
    graders = [(item(id=name, weight=weight), says(name)) for name, weight in weights.items()]
    graded = tuple(grade.grade([prompt()], answers, graders))
    found = score([prompt()], grade.Answered(model="m", answers=answers, graded=graded, seconds=1.0))
    assert [one.reason for one in found.worst] == [reason]


def test_a_grader_that_gives_no_reason_is_named() -> None:
    silent = [(item(id=name), lambda prompt, answer: Grade(passed=False)) for name in ("one", "two")]
    answers = (answer("x"),)
    graded = tuple(grade.grade([prompt()], answers, silent))
    found = score([prompt()], grade.Answered(model="m", answers=answers, graded=graded, seconds=1.0))
    assert [one.reason for one in found.worst] == ["one"]


def test_pass_at_k_and_pass_all_k() -> None:
    found = score([prompt("p"), prompt("q")], scored({"p": ["a", "x", "x"], "q": ["a", "a", "a"]}))
    assert [round(one.value, 6) for one in found.pass_at] == [round((1 / 3 + 1) / 2, 6), round((2 / 3 + 1) / 2, 6), 1]
    assert [round(one.value, 6) for one in found.pass_all] == [round((1 / 3 + 1) / 2, 6), 0.5, 0.5]
    assert found.accuracy == pytest.approx(found.pass_at[0].value) == pytest.approx(found.pass_all[0].value)


def test_latency_is_that_of_one_answer() -> None:
    answers = tuple(answer("a", f"p{i}", seconds=i / 100) for i in range(1, 101))
    prompts = [prompt(one.prompt) for one in answers]
    graded = grade.grade(prompts, answers, [(item(), says("a"))])  # type: ignore[list-item]
    found = score(prompts, grade.Answered(model="m", answers=answers, graded=tuple(graded)))
    assert found.latency_p50 and found.latency_p95
    assert (found.latency_p50.value, found.latency_p95.value) == (0.5, 0.95)
    assert found.latency_p95.interval and found.latency_p95.interval.low < 0.95 < found.latency_p95.interval.high
    assert [one.value for one in found.slowest] == [1.0, 0.99, 0.98]


def test_any_number_of_models() -> None:
    names = ["p", "q", "r"]
    prompts = [prompt(name, tags=("t",)) for name in names]
    base, tuned, other = (scored({name: [text] for name in names}) for text in ("x", "a", "x"))
    found = scoring.evaluate(prompts, {"base": base, "tuned": tuned, "gpt": other})
    assert list(found.scores) == ["base", "tuned", "gpt"]
    assert [(c.label, c.against, c.difference) for c in found.comparisons] == [
        ("tuned", "base", 1), ("gpt", "base", 0), ("tuned", "gpt", 1),
    ]  # fmt: skip
    compared = found.comparison("tuned", "base")
    assert compared and (compared.better, compared.worse, compared.prompts) == (3, 0, 3)
    assert compared.slices["t"].difference == 1
    lost = scoring.evaluate(prompts, {"base": tuned, "tuned": base}).comparison("tuned", "base")
    assert lost and [one.value for one in lost.worst] == [-1, -1, -1]


def test_two_models_are_compared_as_wanted_and_once() -> None:
    labels = ["base", "tuned", "a", "b"]
    usual = [("tuned", "base"), ("a", "base"), ("b", "base"), ("tuned", "a"), ("tuned", "b")]
    assert scoring.usual_pairs(labels) == usual
    assert scoring.usual_pairs(labels, [("tuned", "base"), ("base", "tuned"), ("a", "nobody")]) == [
        *usual, ("base", "tuned"),
    ]  # fmt: skip
    assert scoring.usual_pairs(labels, [("a", "tuned"), ("a", "b"), ("a", "b")]) == [
        *usual[:3], ("tuned", "b"), ("a", "tuned"), ("a", "b"),
    ]  # fmt: skip


def test_one_model_alone() -> None:
    found = scoring.evaluate([prompt()], {"gpt": scored({"p": ["a"]})})
    assert (list(found.scores), found.comparisons, found.base.prompts) == (["gpt"], (), 0)


def test_an_evaluation_survives_json_and_older_ones_are_read() -> None:
    prompts = [prompt("p", tags=("t",))]
    found = scoring.evaluate(prompts, {"base": scored({"p": ["x"]}), "tuned": scored({"p": ["a"]})})
    assert msgspec.convert(msgspec.to_builtins(found), Evaluation) == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=Evaluation) == found
    old = {"model": "m", "prompts": 1, "repeats": 1, "accuracy": 0.5, "interval": {"low": 0.1, "high": 0.9}}
    read = msgspec.convert({"base": old, "tuned": old, "gain": 0.0, "gain_interval": {"low": 0, "high": 0}}, Evaluation)
    assert (list(read.scores), read.comparisons) == (["base", "tuned"], ())


@pytest.mark.parametrize(
    ("passed", "measured", "outcome"),
    [(True, 0.5, "PASS"), (True, None, "PASS"), (False, 0.5, "FAIL"), (False, None, "INSUFFICIENT_EVIDENCE")],
)
def test_a_verdict_that_does_not_say_its_outcome_has_one(passed: bool, measured: float | None, outcome: str) -> None:
    old = {"gate": "g", "passed": passed, "measured": measured, "message": "m"}
    assert msgspec.convert(old, Verdict).outcome == outcome


def test_prompts_without_tags_are_written_as_ever(tmp_path: Path) -> None:
    """The file's sha256 is in the digest of answers that are paid for."""
    plain = Prompt(id="aa", messages=[Message(role="user", content="hi")], expected="x", row={"b": 1.5}, origin="f:1")
    file = prompts.PromptsFile(tmp_path)
    file.add(1, plain)
    file.add(2, msgspec.structs.replace(plain, id="bb", tags=("t",), weight=2.0))
    file.close()
    first, second = (tmp_path / prompts.FILE).read_text(encoding="utf-8").splitlines()
    assert first == (
        '{"id":"aa","messages":[{"role":"user","content":"hi"}],"tools":null,"expected":"x",'
        '"row":{"b":1.5},"origin":"f:1"}'
    )
    assert second == f'{first[:-1]},"tags":["t"],"weight":2.0}}'.replace('"id":"aa"', '"id":"bb"')
    assert prompts.load_prompts(tmp_path)[1].tags == ("t",)
