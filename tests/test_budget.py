"""The budget: what a run will cost, who refuses it, and that nothing spent is ever forgotten."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import plan, run

from ftspec import registry
from ftspec.cli import guard
from ftspec.common.errors import BudgetReached, FtspecError, Rejected, SpecError, StillRunning
from ftspec.common.jobs import Estimate, ModelRef, Request, Size
from ftspec.common.messages import Answer, Generation, Message, Prompt, Question
from ftspec.common.records import Plan, Step
from ftspec.contracts.graders import Asks
from ftspec.costs import tables
from ftspec.costs.costs import is_judging, judge_name
from ftspec.costs.spending import AHEAD, Entry, Purse
from ftspec.costs.tables import Rate
from ftspec.plans.forecast import Judging, Known, forecast, judging
from ftspec.run import reopen
from ftspec.state.journal import decode
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace
from ftspec.validation import validate
from ftspec.views import watching

TABLE = """\
endpoints: ["simulated*"]
currency: USD
source: the house's contract
as_of: 2026-11-01
prices:
  - models: [some-model]
    tuning: 10000
    base: {prompt: 100, completion: 200}
    tuned: {prompt: 200, completion: 400}
"""
SPEC = """\
version: 1
name: priced
sources:
  - examples:
      rows:
        - {prompt: one, completion: "1"}
        - {prompt: two, completion: "2"}
        - {prompt: three, completion: "3"}
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5}
model: some-model
eval:
  prompts:
    - examples: {rows: [{prompt: four, completion: "4"}, {prompt: five, completion: "5"}]}
  graders: [exact]
costs: {prices: [house.yaml]}
budget: {max: 1, when_unknown: refuse}
"""
TUNING = 12 * 3 * 10_000 / 1e6
PROMPT = 2 * 16 + 4
"""Bytes of "four", and what is allowed for templates."""
BASE = 2 * (PROMPT * 100 + 256 * 200) / 1e6


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "house.yaml").write_text(TABLE)
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


def spent(spec: Path) -> list[Entry]:
    store = Workspace.beside(spec, None).store
    return [decode(store, stored.key, Entry) for stored in store.list("spent")]


def test_the_plan_tells_each_part(spec: Path) -> None:
    costs = plan(spec).costs
    assert costs
    found = {part.name: (part.amount, part.bound) for part in costs.parts}
    assert found == {
        "tuning": (pytest.approx(TUNING), False),
        "base answers": (pytest.approx(BASE), True),
        "tuned answers": (pytest.approx(2 * BASE), True),
    }
    assert costs.total == pytest.approx(TUNING + 3 * BASE)


def test_the_plan_says_it_to_people(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["plan", str(spec)]) == 0
    out = capsys.readouterr().out
    assert "tuning         0.36 USD (12 tokens x 3 epochs, 10000 a million)" in out
    assert "prices         of 2026-11-01, the house's contract" in out
    assert "budget         1.00 USD" in out


def test_unverified_prices_are_named_wherever_they_are_used(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.with_name("house.yaml").write_text(TABLE.replace("prices:", "verified: false\nprices:"))
    assert guard.run(["plan", str(spec)]) == 0
    out = capsys.readouterr().out
    assert "10000 a million; unverified price)" in out
    assert "budget         1.00 USD; rests on unverified prices" in out
    outcome = run(spec)
    for name in ("report.md", "report.html"):
        text = outcome.report.with_name(name).read_text()
        assert "unverified prices of 2026-11-01" in text
        assert "1.00 USD, unverified prices" in text


def test_what_is_cached_costs_nothing_to_people(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(spec)
    assert guard.run(["plan", str(spec), "-q"]) == 0
    out = capsys.readouterr().out
    assert "tuning         nothing (done already)" in out and "together       nothing\n" in out


def test_what_is_cached_costs_nothing(spec: Path) -> None:
    run(spec)
    costs = plan(spec).costs
    assert costs
    assert [part.amount for part in costs.parts] == [0.0, 0.0, 0.0]


def test_what_is_too_dear_is_refused_at_its_line(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace("max: 1,", "max: 0.5,"))
    for command in ("plan", "run"):
        assert guard.run([command, str(spec)]) == 1
        said = capsys.readouterr().err
        assert f"{spec}:18:15: this costs at most 0.69 USD (tuning 0.36, base answers 0.11, tuned answers 0.22)" in said
    assert not spent(spec)
    assert not list(Workspace.beside(spec, None).store.list("jobs"))


def test_an_unknown_price_is_refused_or_allowed(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.with_name("house.yaml").write_text(TABLE.replace("currency: USD", "currency: EUR"))
    assert guard.run(["run", str(spec)]) == 1
    assert f"{spec}:18:32: what this costs cannot be told: tuning (its price is in EUR)" in capsys.readouterr().err
    assert guard.run(["run", str(spec), "--set", "budget.when_unknown=allow"]) == 0


def test_the_choice_has_to_be_made(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace(", when_unknown: refuse", ""))
    assert guard.run(["validate", str(spec)]) == 1
    assert "when_unknown" in capsys.readouterr().out


def test_a_job_is_counted_once_however_often_the_run_is_taken_up(spec: Path) -> None:
    run(spec)
    run(spec, again=("answers",))
    assert [entry.spent for entry in spent(spec) if entry.what == "tuning"] == [pytest.approx(TUNING)]


def test_a_job_that_was_refused_costs_nothing(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ftspec.builtin.simulated.tuner import Simulated

    def refused(*_: Any, **__: Any) -> Any:
        raise Rejected("no")

    monkeypatch.setattr(Simulated, "submit", refused)
    with pytest.raises(Rejected):
        run(spec)
    assert not [entry for entry in spent(spec) if entry.what == "tuning"]


def test_the_budget_is_in_no_digest(spec: Path) -> None:
    with_budget = plan(spec).plan
    spec.write_text(SPEC.split("costs:")[0])
    assert plan(spec).plan.digest == with_budget.digest


def test_another_price_makes_the_report_anew_and_no_other_run(spec: Path) -> None:
    first = run(spec)
    assert run(spec).already_done
    prices = spec.with_name("house.yaml")
    prices.write_text(f"# a note\n{prices.read_text()}")
    assert run(spec).already_done, "what it says is the same"
    prices.write_text(TABLE.replace("completion: 400", "completion: 4000"))
    steps = {step.name: step for step in plan(spec).plan.steps}
    assert [name for name, step in steps.items() if not step.cached] == ["report"]
    assert steps["report"].why == ("costs.prices changed",)
    again = run(spec)
    assert (again.already_done, again.run.id) == (False, first.run.id)
    assert again.evaluation
    assert first.evaluation
    assert again.evaluation.tuned.cost == pytest.approx(first.evaluation.tuned.cost + 2 * 3600 / 1e6)
    assert run(spec).already_done
    assert not run(spec, "costs.larger=gpt-4.1").already_done


def test_asking_stops_before_the_cap_keeps_what_it_has_and_goes_on(spec: Path) -> None:
    """400 answers cost 0.0003 (base) and 0.0006 (tuned) each; 0.06 are left after the job."""
    rows = ", ".join(f'{{prompt: "{number}", completion: "{number}"}}' for number in range(1000, 1400))
    many = SPEC.replace('{prompt: four, completion: "4"}, {prompt: five, completion: "5"}', rows)
    spec.write_text(many.replace("graders: [exact]", "graders: [exact]\n  generation: {max_tokens: 1}"))
    with pytest.raises(StillRunning):
        run(spec, "budget.max=9", "provider.simulated.queue_seconds=0.5", detach=True)
    with pytest.raises(BudgetReached) as caught:
        run(spec, "budget.max=0.42")
    assert re.search(
        r"the budget of 0.42 USD is reached: \d+ questions to the base model .* 0.42 USD are spent",
        caught.value.message,
    )
    seen = watching.status(reopen.open_run(str(spec), None, registry.load()))
    assert seen.error == caught.value.message
    assert "raise `budget.max`" in seen.hint
    kept = spent_in_all(spec)
    assert 0.42 - 0.0038 - 0.0003 <= kept <= 0.42
    with pytest.raises(BudgetReached):
        run(spec, "budget.max=0.42")
    assert spent_in_all(spec) == kept
    outcome = run(spec, "budget.max=9")
    assert outcome.evaluation
    assert outcome.evaluation.tuned.prompts == 400
    assert spent_in_all(spec) == pytest.approx(TUNING + 400 * 0.0003 + 400 * 0.0006)


def test_what_answers_cost_is_measured_by_the_tables(spec: Path) -> None:
    """Base answers have 1 + 1 or 1 + 4 tokens at 100 and 200 a million, tuned ones 1 + 1 at 200 and 400."""
    gates = "[{cost: {max: 0.0006}}, {cost: {max: 0.00059}}]"
    spec.write_text(SPEC.replace("graders: [exact]", f"graders: [exact, {{cost: {{max: 0.0006}}}}]\ngates: {gates}"))
    outcome = run(spec)
    assert outcome.evaluation
    assert outcome.evaluation.tuned.cost == pytest.approx(outcome.evaluation.tuned.prompts * 0.0006)
    assert outcome.evaluation.tuned.graders["cost"] == 1
    assert [verdict.passed for verdict in outcome.verdicts] == [True, False]
    assert "cost of the tuned model is 0.000600 USD per answer" in outcome.verdicts[0].message
    again = run(spec, "gates=[]")  # from the answers that are kept
    assert again.evaluation
    assert again.evaluation.tuned.cost == outcome.evaluation.tuned.cost
    assert "cost of all" in outcome.report.read_text()


def spent_in_all(spec: Path) -> float:
    return sum(entry.granted for entry in spent(spec))


def test_the_report_compares_what_serving_costs(spec: Path) -> None:
    """Counted words: base answers 1 + 1 or 1 + 4 tokens, tuned ones 1 + 1; the larger one by its own price list."""
    outcome = run(spec, "costs.larger=gpt-4.1", "costs.larger_at=https://api.openai.com/v1")
    said = json.loads(outcome.report.with_name("report.json").read_text())
    served = {one["label"]: one for one in said["serving"]}
    tokens = served["base"]["completion_tokens"]
    assert served["base"]["thousand"] == pytest.approx(1000 * (1 * 100 + tokens * 200) / 1e6)
    assert served["tuned"]["thousand"] == pytest.approx(0.6)
    assert served["larger"]["thousand"] == pytest.approx(1000 * (1 * 2 + tokens * 8) / 1e6)
    assert said["spending"]["parts"]["tuning"] == pytest.approx(TUNING)
    for name in ("report.md", "report.html"):
        text = outcome.report.with_name(name).read_text()
        assert "larger: gpt-4.1" in text
        assert "0.60 USD (1 + 1 tokens each, prices of 2026-11-01)" in text


def test_what_the_provider_billed_takes_the_place_of_what_was_expected(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftspec.builtin.simulated.tuner import Simulated

    poll = Simulated.poll

    def telling(self: Simulated, *args: Any, **named: Any) -> Any:
        return msgspec.structs.replace(poll(self, *args, **named), trained_tokens=20)

    monkeypatch.setattr(Simulated, "poll", telling)
    run(spec)
    assert [entry.spent for entry in spent(spec) if entry.what == "tuning"] == [pytest.approx(20 * 10_000 / 1e6)]


def test_a_run_that_spent_much_is_not_begun_again(spec: Path) -> None:
    """The job was paid for and lost (its register is gone): what it cost still counts."""
    run(spec)
    store = Workspace.beside(spec, None).store
    for stored in [*store.list("jobs"), *store.list("runs"), *store.list("steps"), *store.list("segments")]:
        store.delete(stored.key)
    with pytest.raises(SpecError) as caught:
        run(spec)
    assert "are spent already" in caught.value.problems[0].message


# ---- the purse

RATE = Rate(prompt=1000.0, completion=1000.0)
GENERATION = Generation(max_tokens=10)


def questions(count: int) -> list[Question]:
    return [
        Question(prompt=Prompt(id=f"p{number}", messages=[Message(role="user", content="x" * 58)]))
        for number in range(count)
    ]


MOST = (58 + 16 + 16 + 10) / 1000
"""What one of these questions can cost: 0.1."""


def answer(question: Question, prompt: int | None = 20, completion: int | None = 5, **more: Any) -> Answer:
    return Answer(prompt=question.prompt.id, repeat=0, prompt_tokens=prompt, completion_tokens=completion, **more)


def purse(tmp_path: Path, cap: float | None) -> Purse:
    return Purse(Store.open(tmp_path / "store"), "run", cap, "USD")


def ask_all(purse: Purse, asked: Sequence[Question], flying: int = 1, completion: int = 5) -> int:
    """Ask as a pool of workers would; how many were answered."""
    left, count = iter(asked), 0
    with purse.meter("base answers", RATE, GENERATION) as meter:
        while sent := [question for question in itertools.islice(left, flying) if meter.may(question)]:
            for question in sent:
                meter.record(answer(question, completion=completion))
            count += len(sent)
    return count


@pytest.mark.parametrize("flying", [1, 7, 64])
def test_the_cap_is_never_passed_and_nearly_used(tmp_path: Path, flying: int) -> None:
    """Each answer costs 0.025, at the most 0.1: the last one is asked while 0.1 is left."""
    full = purse(tmp_path, 1.0)
    answered = ask_all(full, questions(2000), flying)
    total = full.spent().total
    assert total == pytest.approx(answered * 0.025)
    assert 1.0 - MOST - 0.025 <= total <= 1.0


@pytest.mark.parametrize("flying", [1, 4])
def test_who_does_not_hold_to_max_tokens_is_found_out_by_the_first_answers(tmp_path: Path, flying: int) -> None:
    """Each answer costs 0.42, where 0.1 was the most: what is in flight at first may pass the cap, nothing later."""
    full = purse(tmp_path, 10.0)
    ask_all(full, questions(2000), flying, completion=400)
    assert 10.0 - 0.42 - MOST - 0.1 <= full.spent().total <= 10.0
    small = purse(tmp_path / "small", 0.2)
    assert ask_all(small, questions(2000), flying, completion=400) == min(flying, 2)


def test_a_killed_process_forgets_nothing(tmp_path: Path) -> None:
    """At every instant what the store says is at least what was spent, and after a kill little more."""
    killed = purse(tmp_path, 10.0)
    meter, cost, worst = killed.meter("base answers", RATE, GENERATION).__enter__(), 0.0, 0.0
    for question in questions(300):
        if not meter.may(question):
            break
        cost += MOST  # it may be billed in full from here on, until the answer says otherwise
        known = purse(tmp_path, 10.0).spent().total
        assert known >= cost - 1e-9
        worst = max(worst, known - cost)
        cost += 0.025 - MOST
        meter.record(answer(question))
    assert worst <= 0.05 * 10.0 + MOST
    assert purse(tmp_path, 10.0).spent().total <= 10.0


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    first, second = purse(tmp_path, 1.0), purse(tmp_path, 1.0)
    spent, refused = 0, 0
    with ExitStack() as both:
        meters = [both.enter_context(each.meter("base answers", RATE, GENERATION)) for each in (first, second)]
        for number, question in enumerate(questions(200)):
            meter = meters[number % 2]
            if meter.may(question):
                meter.record(answer(question))
                spent += 1
            else:
                refused += 1
    assert refused
    assert spent * 0.025 <= 1.0
    assert first.spent().total == pytest.approx(spent * 0.025)


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        ({"prompt": 20, "completion": 5}, 0.025),
        ({"prompt": None, "completion": None}, MOST),
        ({"prompt": None, "completion": None, "error": "refused"}, 0.0),
    ],
)
def test_what_an_answer_counts(tmp_path: Path, said: dict[str, Any], cost: float) -> None:
    mine = purse(tmp_path, None)
    (question,) = questions(1)
    with mine.meter("base answers", RATE, GENERATION) as meter:
        assert meter.may(question)
        meter.record(answer(question, **said))
    assert mine.spent().total == pytest.approx(cost)


def test_a_call_of_unknown_fate_counts_in_full(tmp_path: Path) -> None:
    mine = purse(tmp_path, 10.0)
    (question,) = questions(1)
    with mine.meter("base answers", RATE, GENERATION) as meter:
        for _ in range(3):
            assert meter.may(question)
            meter.lost(question)
    assert mine.spent().total == pytest.approx(3 * MOST)


def test_answers_without_a_price_are_counted_by_number(tmp_path: Path) -> None:
    mine = purse(tmp_path, 1.0)
    with mine.meter("base answers", None, GENERATION) as meter:
        for question in questions(5):
            assert meter.may(question)
            meter.record(answer(question))
    assert (mine.spent().total, mine.spent().uncounted) == (0.0, 5)


def test_what_was_spent_is_told_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 7200.0)
    mine = purse(tmp_path, 100.0)
    mine.commit("tuning", "a", 4.0, verified=False)
    mine.commit("tuning", "b", None)
    mine.stands("deployment", "up for two hours", 2.0, since=0.0)
    mine.stands("deployment", "nobody knows the price", None, since=0.0)
    spent = mine.spent()
    assert (spent.parts, spent.total) == ({"tuning": 4.0, "deployment": 4.0}, 8.0)
    assert (sorted(spent.unknown), spent.unverified) == (["deployment", "tuning"], ("tuning",))
    for at in (3600.0, 7200.0):  # it is gone since the first time that somebody said so
        mine.fell("deployment", "up for two hours", at)
    assert mine.spent().parts["deployment"] == 2.0
    mine.release("tuning", "a")
    assert (mine.has("tuning", "a"), mine.has("tuning", "b"), mine.spent().total) == (False, True, 2.0)


def test_what_is_in_flight_counts_though_nobody_knows_yet(tmp_path: Path) -> None:
    mine = purse(tmp_path, 10.0)
    (question,) = questions(1)
    with mine.meter("base answers", RATE, GENERATION) as meter:
        assert meter.may(question)
        flying = mine.spent()
        assert flying.parts == {"base answers": 0.0}
        assert MOST <= flying.unsettled == flying.total
        meter.record(answer(question))
    assert (mine.spent().parts["base answers"], mine.spent().unsettled) == (pytest.approx(0.025), 0.0)


def test_what_is_in_flight_when_asking_ends_counts_in_full(tmp_path: Path) -> None:
    """It may be billed. What nobody has a price for is counted by number, and only what was answered."""
    mine = purse(tmp_path, 10.0)
    first, second, refused = questions(3)
    with mine.meter("base answers", RATE, GENERATION, verified=False) as meter:
        assert meter.may(first) and meter.may(second) and meter.may(refused)
        meter.record(answer(second))
        meter.record(answer(refused, None, None, error="refused"))
    spent = mine.spent()
    assert (spent.parts, spent.unsettled) == ({"base answers": pytest.approx(MOST + 0.025)}, 0.0)
    assert (spent.uncounted, spent.unverified) == (0, ("base answers",))
    assert (spent.currency, spent.cap) == ("USD", 10.0)
    with mine.meter("tuned answers", None, GENERATION) as meter:
        assert meter.may(first) and meter.may(second) and meter.may(refused)
        meter.record(answer(first))
        meter.record(answer(second))
        meter.record(answer(refused, error="refused"))
    assert (mine.spent().uncounted, mine.spent().total) == (2, spent.total)


class Raced(Purse):
    """Of the purse's grants, another process writes its own just before the one that is counted down to 0."""

    before = -1
    theirs = 0.0

    def _put(self, name: str, entry: Entry) -> None:
        if self.before == 0:
            super()._put("theirs", Entry(what="tuned answers", granted=self.theirs))
        self.before -= 1
        super()._put(name, entry)


def test_of_two_that_ask_for_the_last_of_a_budget_at_once_each_sees_the_other(tmp_path: Path) -> None:
    mine = Raced(Store.open(tmp_path / "store"), "run", 1.0, "USD")
    first, second = questions(2)
    with mine.meter("base answers", RATE, GENERATION) as meter:
        assert meter.may(first)
        kept = mine.spent().total
        assert MOST <= kept < 2 * MOST
        mine.before, mine.theirs = 0, 1.0 - kept
        assert not meter.may(second)
        assert mine.spent().total == pytest.approx(1.0)  # what was granted before, and no more
        reached = meter.reached(1)
        assert reached and "1 question to the base model might exceed it and was not asked; 1.00 USD" in str(reached)
        mine._put("theirs", Entry(what="tuned answers", granted=1.0 - kept - MOST))
        assert meter.may(second)
    unbounded, before = purse(tmp_path, None), mine.spent().total
    with unbounded.meter("base answers", RATE, GENERATION) as meter:
        assert meter.may(first) and meter.reached(1) is None
        assert unbounded.spent().total == pytest.approx(before + (1 + AHEAD) * MOST)


def test_grants_are_written_seldom(tmp_path: Path) -> None:
    """Asking 2,000 questions within a wide budget must not write 2,000 objects."""
    mine = purse(tmp_path, 10_000.0)
    written = []
    put = mine.store.put
    mine.store.put = lambda key, data: (written.append(key), put(key, data))[1]  # type: ignore[method-assign]
    ask_all(mine, questions(2000), 16)
    assert len(written) <= 2000 / AHEAD + 5


def test_a_deployment_costs_by_the_hour_until_it_falls(tmp_path: Path) -> None:
    mine = purse(tmp_path, 100.0)
    now = datetime.datetime.now().timestamp()
    mine.stands("deployment", "key", 6.0, now - 1800)
    assert mine.spent().total == pytest.approx(3.0, abs=0.05)
    mine.fell("deployment", "key", now - 900)
    mine.fell("deployment", "key", now)
    assert mine.spent().parts == {"deployment": pytest.approx(1.5)}
    assert json.loads(json.dumps(mine.spent().parts)) == mine.spent().parts


JUDGE = "llm_judge: {provider: simulated, model: a-judge, rubric: 'It is {{ completion }}.'}"
JUDGED = SPEC.replace("graders: [exact]", f"graders: [{{{JUDGE}}}]").replace("max: 1,", "max: 30,")
JUDGE_PRICE = "  - {models: [a-judge], base: {prompt: 1000, completion: 2000}}\n"


@pytest.fixture
def judged(spec: Path) -> Path:
    spec.write_text(JUDGED)
    spec.with_name("house.yaml").write_text(TABLE + JUDGE_PRICE)
    return spec


def test_judging_is_priced_before_and_after(judged: Path) -> None:
    costs = plan(judged).costs
    assert costs
    before = next(part for part in costs.parts if part.name == "judge a-judge")
    assert before.bound
    assert "4 answers of 512 tokens, 1000 and 2000 a million" in before.basis
    outcome = run(judged)
    assert outcome.evaluation
    uses = [use for score in outcome.evaluation.scores.values() for use in score.judges]
    tokens = [(use.prompt_tokens, use.completion_tokens) for use in uses]
    assert [use.cost for use in uses] == [pytest.approx((1000 * p + 2000 * c) / 1e6) for p, c in tokens]
    assert {use.currency for use in uses} == {"USD"}
    paid = sum(entry.spent for entry in spent(judged) if entry.what == "judge a-judge")
    assert 0 < paid < (before.amount or 0)
    assert paid <= sum(use.cost or 0 for use in uses) + 1e-9  # what both models said alike is asked once
    said = outcome.report.with_name("report.md").read_text()
    assert "| of it, judging | judge a-judge: " in said
    assert "judge a-judge" in outcome.report.read_text()
    assert len(said.splitlines()) < 60
    again = plan(judged).costs
    assert again
    assert [part.amount for part in again.parts] == [0.0] * 4


def test_a_budget_covers_judges(judged: Path) -> None:
    judged.write_text(JUDGED.replace("max: 30,", "max: 1,"))
    with pytest.raises(SpecError) as dear:
        run(judged)
    assert "judge a-judge" in dear.value.problems[0].message
    judged.with_name("house.yaml").write_text(TABLE.replace('endpoints: ["simulated*"]', 'endpoints: ["elsewhere*"]'))
    judged.write_text(JUDGED)
    found = plan(judged).costs
    assert found
    assert all(part.amount == 0 for part in found.parts if part.name == "judge a-judge")  # ours: simulated is free


def test_the_meter_stops_judges_that_a_plan_did_not_know(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftspec.run.budgeting._judges", lambda site, data: iter(()))
    judged.write_text(JUDGED.replace("max: 30,", "max: 0.8,"))
    with pytest.raises(BudgetReached, match="to the judge a-judge might exceed it"):
        run(judged)


def test_judges_are_foreseen_without_their_secrets(judged: Path) -> None:
    judged.write_text(JUDGED.replace("rubric: 'It is", "rubric: '${secret:NOT_SET_ANYWHERE} is"))
    costs = plan(judged).costs
    assert costs
    assert any(part.name == "judge a-judge" and part.amount for part in costs.parts)


def part_of(spec: Path, name: str) -> Any:
    costs = plan(spec).costs
    assert costs
    (found,) = (part for part in costs.parts if part.name == name)
    return found


def refused(spec: Path) -> str:
    with pytest.raises(SpecError) as error:
        run(spec)
    return error.value.problems[0].message


def test_a_judge_that_does_not_say_what_it_asks_is_unknown_unless_it_is_free(judged: Path) -> None:
    judged.write_text(JUDGED.replace("{{ completion }}", "{{ completion ~ completion }}"))
    unknown = part_of(judged, "judge a-judge")
    assert (unknown.amount, unknown.basis) == (None, "the grader does not say how much it asks")
    assert "cannot be told: judge a-judge (the grader" in refused(judged)
    judged.with_name("house.yaml").write_text(TABLE + JUDGE_PRICE.replace("1000", "0").replace("2000", "0"))
    assert part_of(judged, "judge a-judge").amount == 0
    judged.with_name("house.yaml").write_text(TABLE.replace('["simulated*"]', '["elsewhere*"]'))
    assert part_of(judged, "judge a-judge").amount == 0  # ours: simulated is free


def test_two_graders_of_one_model_are_one_part(judged: Path) -> None:
    one = part_of(judged, "judge a-judge")
    second = JUDGE.replace("model:", "max_tokens: 100, model:")
    judged.write_text(JUDGED.replace(f"[{{{JUDGE}}}]", f"[{{{JUDGE}, id: first}}, {{{second}, id: second}}]"))
    both = part_of(judged, "judge a-judge")
    assert both.bound
    assert both.amount == pytest.approx(2 * one.amount - 4 * 412 * 2000 / 1e6)
    assert both.basis == ", and ".join((one.basis, one.basis.replace("512", "100")))
    run(judged)
    assert {entry.what for entry in spent(judged)} >= {"judge a-judge"}


@pytest.mark.parametrize("which", ["all", "best"])
def test_checkpoints_are_priced_when_it_is_known_how_many_there_are(judged: Path, which: str) -> None:
    text = JUDGED.replace("  graders:", f"  models: [{{checkpoints: {which}, id: kept}}]\n  graders:")
    judged.write_text(text)
    why = "how many checkpoints there will be is not known before"
    for name in ("kept answers", "judge a-judge"):
        assert (part_of(judged, name).amount, part_of(judged, name).basis) == (None, why)
    assert f"cannot be told: kept answers ({why}); judge a-judge ({why})" in refused(judged)
    judged.write_text(JUDGED)  # the same job, whose checkpoints nobody asks
    run(judged)
    judged.write_text(text)
    tuned, kept, judging = (part_of(judged, name) for name in ("tuned answers", "kept answers", "judge a-judge"))
    assert tuned.amount == 0
    count = kept.amount / (2 * BASE)
    assert count > 1
    assert count == pytest.approx(round(count))
    assert f"{2 * round(count)} answers" in kept.basis
    assert f"{2 * (2 + round(count))} answers" in judging.basis  # base's, tuned's, and each checkpoint's
    outcome = run(judged, "budget.max=1000")
    assert outcome.evaluation
    entries = spent(judged)
    assert 0 < sum(one.spent for one in entries if one.what == "kept answers") <= kept.amount
    assert sum(one.spent for one in entries if one.what == "judge a-judge") > 0


def test_free_checkpoints_cost_nothing_however_many(judged: Path) -> None:
    judged.write_text(JUDGED.replace("  graders:", "  models: [{checkpoints: all}]\n  graders:"))
    judged.with_name("house.yaml").write_text(TABLE.replace('["simulated*"]', '["elsewhere*"]'))
    for name in ("checkpoint answers", "judge a-judge"):
        assert part_of(judged, name).amount == 0


def test_the_table_of_costs_is_in_line(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longest = "the-very-best-of-them-all answers"
    models = f"  models: [{{checkpoints: best, id: {longest.split()[0]}}}]\n  graders:"
    judged.write_text(JUDGED.replace("  graders:", models))
    judged.with_name("house.yaml").write_text(TABLE.replace('["simulated*"]', '["elsewhere*"]') + JUDGE_PRICE)
    assert guard.run(["plan", str(judged)]) == 0
    steps, _, facts = capsys.readouterr().out.partition("\n\n")[2].partition("\n\n")
    assert {line.index("to do") for line in steps.splitlines()} == {2 + len(longest) + 1}
    table = [line[17:] for line in facts.splitlines() if line.startswith(("  cost ", " " * 17))]
    names = ("tuning", "base answers", longest, "judge a-judge")
    rows = {name: line for name in names for line in table if line.startswith(f"{name} ")}
    assert set(rows) == {*names}
    assert {line.index(line[len(name) :].lstrip()) for name, line in rows.items()} == {len(longest) + 1}


def test_a_model_under_test_may_be_called_a_judge(judged: Path) -> None:
    assert is_judging("judge a-judge")
    assert not is_judging("judge panel answers")
    assert is_judging(judge_name("any-house answers"))
    models = "  models: [{model: judge panel, provider: {simulated: {idle: 5}}}]\n  graders:"
    judged.write_text(JUDGED.replace("  graders:", models))
    panel = "  - {models: [judge panel], base: {prompt: 100, completion: 200}}\n"
    judged.with_name("house.yaml").write_text(TABLE + JUDGE_PRICE + panel)
    outcome = run(judged)
    assert any(entry.what == "judge panel answers" and entry.spent for entry in spent(judged))
    said = outcome.report.with_name("report.md").read_text()
    (line,) = (line for line in said.splitlines() if line.startswith("| of it, judging |"))
    assert "judge a-judge: " in line
    assert "panel" not in line


def test_who_is_not_asked_any_more_is_named(tmp_path: Path) -> None:
    mine = purse(tmp_path, 0.0)
    for what, whom in {"judge panel answers": "judge panel model", "judge panel": "judge panel"}.items():
        with mine.meter(what, Rate(prompt=1, completion=1), Generation()) as meter:
            reached = meter.reached(2)
        assert reached
        assert f"2 questions to the {whom} might exceed it and were not asked" in str(reached)


def test_what_judges_cost_by_hand(spec: Path) -> None:
    """Of three models, the accepted run's with them, each prompt three times; what people have judged once."""
    spec.write_text(SPEC.replace("  graders:", "  repeat: 3\n  generation: {temperature: 1}\n  graders:"))
    spec.with_name("house.yaml").write_text(TABLE + JUDGE_PRICE + JUDGE_PRICE.replace("a-judge", "b-judge"))
    loaded, names = validate.load_spec(spec, registry.load()).spec, ("data", "tuning", "base answers", "base suite")
    steps = tuple(Step(name=name, digest="", keys={}, cached=True) for name in names)
    todo = tuple(Step(name=name, digest="", keys={}) for name in ("tuned answers", "report"))
    made = Plan(name="priced", spec="spec.yaml", run="priced-1", digest="", steps=(*steps, *todo))

    def parts(*judges: Judging) -> list[tuple[str, float | None, str]]:
        request = Request(model=ModelRef(id="some-model"))
        known = Known(
            endpoint="simulated", request=request, size=Size(), estimate=Estimate(), judges=judges, accepted=True
        )
        found = forecast(loaded, made, known, tables.read([spec.with_name("house.yaml")])).parts
        return [(part.name, part.amount, part.basis) for part in found if is_judging(part.name)]

    blank = Judging(endpoint="simulated", model="a-judge", most=7, labelled=4, labelled_tokens=90)
    one = judging(Asks(questions=2, answers=3, rows=2, tokens=50), 5, 100, 30, blank)
    two = judging(Asks(), 1, 10, 5, msgspec.structs.replace(blank, labelled=1, labelled_tokens=8))
    shown = 9 * (2 * (100 + 2 * 30 + 5 * 50) + (10 + 5) + (2 * 5 * 3 + 1) * 256) + 90 + 8
    asked = 9 * (2 * 5 + 1) + 4 + 1
    [(name, amount, basis)] = parts(one + two)
    assert (name, amount) == ("judge a-judge", pytest.approx((1000 * shown + 2000 * asked * 7) / 1e6))
    assert basis == f"{asked} answers of 7 tokens, 1000 and 2000 a million"

    unsaid = judging(None, 1, 10, 5, blank)
    for judges in ((one + unsaid,), (unsaid + one,), (one, unsaid)):
        assert [basis for _, _, basis in parts(*judges)] == ["the grader does not say how much it asks"]
    for counts in ((None, 30), (100, None)):
        uncounted = judging(Asks(), 5, *counts, blank)
        for judge in (uncounted, uncounted + one, one + uncounted):
            assert parts(judge) == [("judge a-judge", None, "the prompts have not been counted")]
    assert parts(msgspec.structs.replace(two, endpoint="https://tuner.example"))[0][1:] == (
        None, "no price is known of its answers",
    )  # fmt: skip
    others = [msgspec.structs.replace(two, model="b-judge"), msgspec.structs.replace(two, endpoint="simulated/2")]
    assert [name for name, _, _ in parts(two, *others)] == ["judge a-judge", "judge b-judge", "judge a-judge"]


# ---- judges that prompts bring along

OF_ITS_OWN = (
    '{prompt: four, completion: "4", checks: [{llm_judge: {provider: simulated, model: a-judge, rubric: RUBRIC}}]}'
)
BROUGHT = SPEC.replace("max: 1,", "max: 30,").replace("  graders: [exact]", "  graders: [exact]\n  asserts: checks")


@pytest.fixture
def brought(spec: Path) -> Path:
    """One of two prompts has a judge of its own."""
    asked = OF_ITS_OWN.replace("RUBRIC", "It is 4.")
    spec.write_text(BROUGHT.replace('{prompt: four, completion: "4"}', asked))
    spec.with_name("house.yaml").write_text(TABLE + JUDGE_PRICE)
    return spec


def test_judges_of_single_prompts_are_priced_before_and_after(brought: Path) -> None:
    before = part_of(brought, "judge a-judge")
    assert before.bound
    assert "2 answers of 512 tokens, 1000 and 2000 a million" in before.basis
    outcome = run(brought)
    assert outcome.evaluation
    uses = [use for score in outcome.evaluation.scores.values() for use in score.judges]
    assert [(use.model, use.questions) for use in uses] == [("a-judge", 1), ("a-judge", 1)]
    paid = sum(entry.spent for entry in spent(brought) if entry.what == "judge a-judge")
    assert 0 < paid < before.amount
    longest = max(use.prompt_tokens for use in uses)
    assert 2 * (longest * 1000 + 512 * 2000) / 1e6 < before.amount, "no question was longer than was foreseen"
    assert "| of it, judging | judge a-judge: " in outcome.report.with_name("report.md").read_text()
    assert part_of(brought, "judge a-judge").amount == 0  # done already


def test_a_budget_covers_judges_of_single_prompts(brought: Path) -> None:
    text = brought.read_text()
    brought.write_text(text.replace("max: 30,", "max: 1,"))
    assert "judge a-judge" in refused(brought)
    brought.write_text(text.replace("rubric: It is 4.", "rubric: '{% for c in [1] %}{{ c }}{% endfor %}'"))
    assert "cannot be told: judge a-judge (the grader" in refused(brought)


def test_judges_are_counted_by_the_prompts_that_have_them(brought: Path) -> None:
    """As the spec's own grader of the same model they are one part, and equal ones of two prompts are two questions."""
    text = brought.read_text()
    one = part_of(brought, "judge a-judge")
    other = OF_ITS_OWN.replace("four", "five").replace('"4"', '"5"').replace("RUBRIC", "It is 4.")
    brought.write_text(text.replace('{prompt: five, completion: "5"}', other))
    two = part_of(brought, "judge a-judge")
    assert two.amount == pytest.approx(2 * one.amount)  # "five" is as long as "four"
    everywhere = "llm_judge: {provider: simulated, model: a-judge, rubric: 'It is 4.'}"
    brought.write_text(text.replace("graders: [exact]", f"graders: [{{{everywhere}}}]"))
    three = part_of(brought, "judge a-judge")
    assert "4 answers of 512 tokens" in three.basis and "2 answers of 512 tokens" in three.basis
    assert one.amount < three.amount < 4 * one.amount


def test_a_column_of_graders_that_is_named_later_is_looked_at_before_anything_is_paid(brought: Path) -> None:
    text = brought.read_text()
    brought.write_text(text.replace("\n  asserts: checks", ""))
    run(brought)
    brought.write_text(text)
    assert part_of(brought, "judge a-judge").amount > 0
    wrong = text.replace("llm_judge:", "llm_jugde:")
    brought.write_text(wrong.replace("\n  asserts: checks", ""))
    run(brought)
    brought.write_text(wrong)
    with pytest.raises(FtspecError, match="no grader 'llm_jugde' is installed"):
        plan(brought)


def test_repeats_that_are_raised_later_cost_more(spec: Path) -> None:
    """The data are kept; what a plan says of them is of the spec as it is now."""
    sampled = SPEC.replace("max: 1,", "max: 30,") + ""
    sampled = sampled.replace("  graders: [exact]", "  graders: [exact]\n  generation: {temperature: 0.5}\n  repeat: 1")
    spec.write_text(sampled)
    run(spec)
    spec.write_text(sampled.replace("repeat: 1", "repeat: 3").replace("temperature: 0.5", "temperature: 0.6"))
    assert "6 answers of 256 tokens" in part_of(spec, "base answers").basis


def test_answers_that_are_kept_are_not_counted_again(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(spec)
    spec.write_text(
        SPEC.replace(
            '{prompt: five, completion: "5"}', '{prompt: five, completion: "5"}, {prompt: six, completion: "6"}'
        )
    )
    costs = plan(spec).costs
    assert costs
    found = {part.name: part.amount for part in costs.parts}
    one = ((len("six") + 2 * 16) * 100 + 256 * 200) / 1e6
    assert found == {"tuning": 0.0, "base answers": pytest.approx(one), "tuned answers": pytest.approx(2 * one)}
    assert guard.run(["plan", str(spec), "-q"]) == 0
    assert (
        "at most 0.055 USD (1 answer (2 more are kept) of 256 tokens, 100 and 200 a million)" in capsys.readouterr().out
    )


def test_the_accepted_run_is_judged_too(judged: Path) -> None:
    """Its answers are graded as this run's: another rubric asks the judge about them, and that is paid for."""
    judged.write_text(f"{JUDGED}gates: [{{regression: {{max_drop: 1}}}}]\n")
    assert "4 answers of 512 tokens" in part_of(judged, "judge a-judge").basis
    assert run(judged).passed
    judged.write_text(judged.read_text().replace("It is", "It should be"))
    assert "6 answers of 512 tokens" in part_of(judged, "judge a-judge").basis
