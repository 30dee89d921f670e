"""The gates `regression` and `forgetting`, and `ftspec accept`, from the command line to the exit code."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ftspec.cli import guard
from ftspec.common.records import BASE, DATA, TUNED, Plan, Step
from ftspec.run import evaluating
from ftspec.state import accepted
from ftspec.state.journal import Journal
from ftspec.state.store import Store

Cli = Callable[..., tuple[int, str]]

SPEC = """\
version: 1
name: kept
sources:
  - examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5, base_accuracy: BASE, accuracy: TUNED}
model: some-model
hyperparameters: {epochs: EPOCHS}
eval:
  prompts:
    - examples: {rows: [ROWS]}
  graders: [exact]
gates:
  - GATE
"""
ROWS = ", ".join(f'{{prompt: p{number}, completion: "{number}"}}' for number in range(60))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ftspec(capsys: pytest.CaptureFixture[str]) -> Cli:
    return lambda *arguments: (guard.run(arguments), "".join(capsys.readouterr()))


def write(gate: str, *, base: float = 0.0, tuned: float = 1.0, epochs: int = 1) -> None:
    values = {"ROWS": ROWS, "GATE": gate, "BASE": base, "TUNED": tuned, "EPOCHS": epochs}
    text = SPEC
    for name, value in values.items():
        text = text.replace(name, str(value))
    Path("spec.yaml").write_text(text)


REGRESSION = "regression: {max_drop: 0.1}"


def test_the_first_run_has_nothing_to_fall_behind_and_the_next_is_compared_with_it(ftspec: Cli) -> None:
    write(REGRESSION)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "there is nothing to fall behind" in said

    write(REGRESSION, epochs=2)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "accuracy changed by +0.000" in said
    first = Path(".ftspec/runs").iterdir()
    assert any(
        f"since the accepted run {run.name}, from 1.000 to 1.000, wanted at least -0.1; the sm" in said for run in first
    )

    write(REGRESSION, epochs=3, tuned=0.0)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 4 and "accuracy changed by -1.000" in said and ": 0.900 more than the allowed drop of 0.1\n" in said
    assert sum(f"p{number} " in said or f"p{number}\n" in said for number in range(60)) >= 3


def test_what_was_accepted_of_another_tuner_or_base_model_is_called_that(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    spec = Path("spec.yaml")
    spec.write_text(spec.read_text().replace("some-model", "other-model"))
    code, said = ftspec("run", "spec.yaml", "-q", "--no-accept")
    assert code == 0 and re.search(r"since the accepted run kept-\w+ \(of some-model\), from 1.000", said), said
    keys = {"model": "some-model", "endpoint": "https://tuner.example/v1?project=p1"}
    found = evaluating._model_at(Step(name="tuned answers", digest="", keys=keys))
    assert found == ("some-model", "https://tuner.example/v1")


def test_a_run_that_a_gate_refused_counts_once_a_person_accepts_it(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    write(REGRESSION, epochs=2, tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 4

    code, said = ftspec("accept", "spec.yaml")
    assert code == 0 and "must not fall behind" in said

    write(REGRESSION, epochs=3, tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0


def test_a_run_without_an_evaluation_cannot_be_accepted(ftspec: Cli) -> None:
    write(REGRESSION)
    code, said = ftspec("accept", "spec.yaml")
    assert code == 1 and "run" in said and not Path(".ftspec/accepted").exists()


@pytest.mark.parametrize(("tuned", "expected"), [(1.0, 0), (0.0, 4)])
def test_a_model_that_has_forgotten_fails_and_one_like_the_base_passes(
    ftspec: Cli, tuned: float, expected: int
) -> None:
    write("forgetting: {max_drop: 0.1}", base=1.0, tuned=tuned)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == expected
    assert f"general accuracy changed by {tuned - 1:+.3f}" in said
    assert ("the smallest change that 308 prompts show is" in said) == (expected == 0)


CHAT = "format: {chat: {system: WORDS, user: '{{ prompt }}', assistant: '{{ completion }}'}}"


def rewrite(old: str, new: str) -> None:
    text = Path("spec.yaml").read_text()
    assert old in text
    Path("spec.yaml").write_text(text.replace(old, new))


def test_prompts_in_other_words_are_still_compared(ftspec: Cli) -> None:
    """One word of the system message makes other prompts of all rows: the gate must not take that for a first run."""
    write(REGRESSION)
    rewrite("format: {prompt_completion: {}}", CHAT)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0

    write(REGRESSION, tuned=0.0)
    rewrite("format: {prompt_completion: {}}", CHAT.replace("WORDS", "Other words."))
    code, said = ftspec("run", "spec.yaml")
    assert code == 4 and "accuracy changed by -1.000" in said
    assert "the accepted run has answered 60 prompts in other words, as its spec asked then" in said


def test_other_prompts_are_no_first_run_and_a_person_lets_them_pass(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    write(REGRESSION, epochs=2)
    rewrite("prompt: p", "prompt: q")
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 4 and "INSUFFICIENT EVIDENCE: not measured: the accepted run kept-" in said
    assert "has answered none of these prompts; if this run is to be what later ones are compared with" in said
    assert ftspec("run", "spec.yaml", "-q")[0] == 4

    code, said = ftspec("accept", "spec.yaml")
    assert code == 0 and "its own gate `regression` passes when it is run again" in said
    assert "report         to do   a person has accepted this run" in ftspec("plan", "spec.yaml", "-q")[1]
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "a person has accepted this run" in said
    assert "everything is done" in ftspec("plan", "spec.yaml", "-q")[1]
    assert "nothing had to be done again" in ftspec("run", "spec.yaml", "-q")[1]
    assert ftspec("run", "spec.yaml", "-q", "--again", "report")[0] == 0


def test_what_a_person_accepts_fails_by_its_other_gates(ftspec: Cli) -> None:
    write(f"{REGRESSION}\n  - accuracy: {{min: 0.9}}", tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 4
    assert ftspec("accept", "spec.yaml")[0] == 0
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 4 and "accuracy said no" in said


def test_neither_a_removed_run_nor_one_without_a_tuned_model_is_anything_to_fall_behind(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [first] = [run.name for run in Path(".ftspec/runs").iterdir()]
    write(REGRESSION, epochs=2)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [second] = [run.name for run in Path(".ftspec/runs").iterdir() if run.name != first]
    assert ftspec("runs", "--remove", second)[0] == 0

    write(f"{REGRESSION}\n  - accuracy: {{min: 0, model: base, evidence: estimate}}", epochs=5)
    assert ftspec("eval", "spec.yaml", "-q")[0] == 0
    assert "has asked no tuned model" in ftspec("accept")[1]

    write(REGRESSION, epochs=3, tuned=0.0)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 4 and f"since the accepted run {first}, from 1.000 to 0.000" in said


def test_what_is_tried_is_not_compared_with_before_it_is_run_for_good(ftspec: Cli) -> None:
    """A pull request's run must not be what main's runs are held to; once it is merged, it is."""
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q", "--no-accept")[0] == 0
    write(REGRESSION, epochs=2, tuned=0.0)
    assert "no run of this spec was accepted yet" in ftspec("run", "spec.yaml", "-q", "--no-accept")[1]

    write(REGRESSION)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "nothing had to be done again" in said
    write(REGRESSION, epochs=3, tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 4


def test_the_same_model_has_lost_nothing_however_few_prompts_there_are(ftspec: Cli) -> None:
    """Another gate makes another run of the same model: it may not be too little evidence that it is as good."""
    write("regression: {max_drop: 0.01}")
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    write("regression: {max_drop: 0.02}")
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "this is the model of the accepted run kept-" in said
    write("regression: {max_drop: 0.02}", epochs=2)
    assert ftspec("run", "spec.yaml", "-q")[0] == 4


def test_who_removes_what_others_are_compared_with_is_told(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [first] = [run.name for run in Path(".ftspec/runs").iterdir()]
    write(REGRESSION, epochs=2)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [second] = [run.name for run in Path(".ftspec/runs").iterdir() if run.name != first]
    assert (
        f"later runs of kept were compared with it, and are with {first} now" in ftspec("runs", "--remove", second)[1]
    )
    assert "are with nothing now" in ftspec("runs", "--remove", first)[1]


def test_a_damaged_run_is_nothing_to_fall_behind(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [first] = Path(".ftspec/runs").iterdir()
    for event in (first / "events").iterdir():
        event.write_text("{")
    write(REGRESSION, epochs=2)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "no run of this spec was accepted yet" in said


def test_how_a_run_stands_among_those_that_were_accepted(tmp_path: Path) -> None:
    store = Store.open(tmp_path)

    def standing(run: str) -> tuple[str, bool]:
        run, by_hand = accepted.standing(store, "kept", run)
        return run, bool(by_hand)

    def asked_again() -> bool:
        return accepted.since(store, "kept", "first", Journal(store, "first").events())

    for run, step in {"first": TUNED, "second": TUNED, "of another": TUNED, "only base": BASE}.items():
        steps = tuple(Step(name=name, digest="", keys={}) for name in (DATA, step))
        plan = Plan(name="kept", spec="spec.yaml", run=run, digest="", steps=steps)
        Journal(store, run).append("started", plan=msgspec.to_builtins(plan))
    assert standing("new") == ("", False)
    accepted.accept(store, "kept", "first", by=accepted.HAND)
    assert standing("first") == ("", True)
    assert not asked_again()  # no gate has spoken
    Journal(store, "first").append("judged")
    accepted.accept(store, "kept", "second")
    for run in ("only base", "removed"):
        accepted.accept(store, "kept", run)
    accepted.accept(store, "other", "of another")
    assert [standing(run) for run in ("new", "first", "second")] == [("second", False)] * 2 + [("first", False)]
    assert [accepted.is_accepted(store, "kept", run) for run in ("first", "second", "of another")] == [
        True,
        True,
        False,
    ]

    accepted.accept(store, "kept", "first")
    assert (standing("new"), standing("first"), asked_again()) == (("first", False), ("second", False), False)
    accepted.accept(store, "kept", "first", by=accepted.HAND)
    accepted.accept(store, "kept", "first")
    assert (standing("first"), asked_again()) == (("second", True), True)
    assert abs(accepted.standing(store, "kept", "first").by_hand - time.time()) < 60
    Journal(store, "first").append("judged")
    assert (standing("first"), asked_again()) == (("second", True), False)
