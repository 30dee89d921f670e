"""Models under test beside base and tuned, an evaluation without training, and comparisons of what was kept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from runs import Notes

from ftspec import registry
from ftspec.asking import remote
from ftspec.cli import guard, runviews
from ftspec.common.errors import FtspecError, SpecError
from ftspec.common.evaluation import Evaluation, Interval, JudgeUse, Score
from ftspec.common.jobs import Checkpoint
from ftspec.common.messages import Answer, Generation, Model, Question, RemoteModel
from ftspec.common.progress import Quiet
from ftspec.common.records import TUNING, Plan, RunInfo
from ftspec.costs.spending import Meter
from ftspec.grading import answersheet
from ftspec.plans.plan import step_of
from ftspec.registry import Registry
from ftspec.run import answering, planning, runner
from ftspec.run.runner import Outcome
from ftspec.run.site import Options, Site
from ftspec.state import history
from ftspec.tuning import following
from ftspec.validation import validate
from ftspec.views import comparing
from ftspec.views.watching import Status

SPEC = """\
version: 1
name: evaluated
sources:
  - examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5, base_accuracy: 0.0, accuracy: 1.0}
model: some-model
eval:
  prompts:
    - examples: {rows: [ROWS]}
  graders: [exact]
  generation: {temperature: 0.5}
  repeat: 2
  models: [MODELS]
gates: [GATES]
"""
ROWS = ", ".join(f'{{prompt: p{number}, completion: "{number}"}}' for number in range(12))
OTHER = "{model: other-model, id: other, provider: {simulated: {idle: 5, base_accuracy: 1.0}}}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def installed() -> Registry:
    return registry.load()


def write(models: str = "", gates: str = "", name: str = "spec.yaml") -> Path:
    Path(name).write_text(SPEC.replace("ROWS", ROWS).replace("MODELS", models).replace("GATES", gates))
    return Path(name)


def run(spec: Path, installed: Registry, **options: bool | str | tuple[str, ...]) -> Outcome:
    loaded = validate.load_spec(spec, installed)
    return runner.run(loaded, installed, Options(**options), Quiet())  # type: ignore[arg-type]


def notes(spec: Path, installed: Registry, **options: bool) -> str:
    told = Notes()
    runner.run(validate.load_spec(spec, installed), installed, Options(**options), told)
    return "\n".join(told.notes)


def evaluated(spec: Path, installed: Registry) -> Outcome:
    return run(spec, installed, evaluation=True)


def accuracies(outcome: Outcome) -> dict[str, float]:
    assert outcome.evaluation
    return {label: score.accuracy for label, score in outcome.evaluation.scores.items()}


def steps(spec: Path, installed: Registry, **options: bool) -> dict[str, str]:
    loaded = validate.load_spec(spec, installed)
    planned = planning.plan(loaded, installed, Options(**options), Quiet())  # type: ignore[arg-type]
    return {step.name: step.digest for step in planned.plan.steps}


def test_a_further_model_answers_beside_base_and_tuned(installed: Registry) -> None:
    found = run(write(OTHER), installed)
    assert accuracies(found) == {"base": 0, "tuned": 1, "other": 1}
    assert (Path(found.report).parent / answersheet.FILE).exists()


def test_naming_a_further_model_asks_nobody_else_again(installed: Registry) -> None:
    before, after = steps(write(), installed), steps(write(OTHER), installed)
    assert {name: after[name] for name in before if name != "report"} == {
        name: digest for name, digest in before.items() if name != "report"
    }
    assert set(after) - set(before) == {"other answers"}


def test_the_same_model_by_another_way_has_the_same_answers(installed: Registry) -> None:
    first = run(write(), installed)
    spec = write(f"{{model: some-model, id: again}}, {{run: {first.run.id}, id: before}}", name="next.yaml")
    found = steps(spec, installed)
    assert found["again answers"] == found["base answers"]
    assert found["before answers"] == found["tuned answers"]


def test_the_model_of_another_spec_is_asked_where_that_run_lies(installed: Registry, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run(write(name="elsewhere/first.yaml"), installed)
    found = evaluated(write("{run: elsewhere/first.yaml}"), installed)
    assert accuracies(found) == {"base": 0, "elsewhere/first.yaml": 1}


def test_the_model_of_another_spec_is_looked_for_in_the_store_of_both_first(
    installed: Registry, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    run(write(name="elsewhere/first.yaml"), installed, store="shared")
    spec = write("{run: elsewhere/first.yaml}")
    assert accuracies(run(spec, installed, store="shared", evaluation=True))["elsewhere/first.yaml"] == 1
    with pytest.raises(SpecError) as raised:
        run(spec, installed, store="another", evaluation=True)
    assert "elsewhere/first.yaml has not been run yet" in raised.value.problems[0].message


@pytest.mark.parametrize(
    ("named", "said"), [("{run: evaluated-nope}", "no run starts with"), ("{run: no.yaml}", "no.yaml")]
)
def test_a_run_that_is_not_there_is_said_at_its_place(
    installed: Registry, named: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write(f"{named}, {{run: nor-this}}")
    with pytest.raises(SpecError) as caught:
        evaluated(spec, installed)
    assert [problem.path for problem in caught.value.problems] == [("eval", "models", n, "run") for n in (0, 1)]
    assert said in caught.value.problems[0].message
    assert guard.run(["eval", "spec.yaml", "-q"]) == 1
    line = next(n for n, text in enumerate(Path("spec.yaml").read_text().splitlines(), 1) if named in text)
    assert f"spec.yaml:{line}:" in capsys.readouterr().err


def test_a_run_without_a_model_is_said(installed: Registry) -> None:
    only = evaluated(write(), installed)
    with pytest.raises(SpecError) as caught:
        run(write(f"{{run: {only.run.id}}}"), installed)
    assert "no tuned model" in caught.value.problems[0].message


def test_gates_that_nobody_can_decide_yet_are_named(installed: Registry) -> None:
    gates = "{accuracy: {max: 0.5, model: base}}, {gain: {min: 0.1}}, {gain: {min: 0, model: base, against: tuned}}"
    spec = write(gates=gates)
    assert "no model has been tuned: gain, gain-2 not decided" in notes(spec, installed, evaluation=True)
    assert "not decided" not in notes(spec, installed)


def test_eval_trains_nothing_and_is_a_run_of_its_own(installed: Registry) -> None:
    found = evaluated(write(OTHER), installed)
    assert accuracies(found) == {"base": 0, "other": 1}
    assert found.run.id.startswith("evaluated-eval-")
    assert found.run.state == "done"
    assert not Path(".ftspec/jobs").exists()
    assert evaluated(write(OTHER), installed).already_done


def test_running_again_asks_only_what_could_not_be_asked(installed: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    busy: set[str] = set()

    @contextmanager
    def sometimes(model: Model | RemoteModel, meter: Meter | None = None, **how: Any) -> Iterator[remote.Answers]:
        with asking(model, meter, **how) as answers:

            def some(questions: Iterable[Question], generation: Generation) -> Iterator[Answer]:
                for answer in answers(questions, generation):
                    asked.append((answer.prompt, answer.repeat))
                    busy.update([answer.prompt] if len(asked) == 1 else [])
                    yield replace(answer, text="", error="busy") if answer.prompt in busy else answer

            yield some

    asking = remote.asking
    monkeypatch.setattr(remote, "asking", sometimes)
    first = evaluated(write(gates="{accuracy: {max: 0.5, model: base}}"), installed)
    assert "run again, which asks only what is missing" in first.verdicts[0].message
    (failed,) = busy
    busy.clear()
    asked[:] = [("", 0)]
    again = evaluated(write(gates="{accuracy: {max: 0.5, model: base}}"), installed)
    assert asked[1:] == [(failed, 0), (failed, 1)]
    assert again.passed
    assert evaluated(write(gates="{accuracy: {max: 0.5, model: base}}"), installed).already_done


@pytest.mark.parametrize("silent", ["failed", "unclear", "unlabelled"])
def test_a_run_is_not_done_while_a_judge_that_decides_nothing_owes_a_verdict(silent: str) -> None:
    interval = Interval(low=0.5, high=1.0)
    use = JudgeUse(grader="shown", provider="p", model="j", questions=3)
    base = Score(model="base", prompts=3, repeats=1, accuracy=1.0, interval=interval, judges=(use,))
    assert not runner._unanswered(Evaluation(base=base))
    owing = replace(base, judges=(replace(use, **{silent: 1}),))
    assert runner._unanswered(Evaluation(base=owing))


def test_eval_asks_a_tuned_model_that_is_there_already(installed: Registry) -> None:
    assert set(accuracies(evaluated(write(), installed))) == {"base"}
    run(write(), installed)
    again = evaluated(write(), installed)
    assert not again.already_done
    assert accuracies(again) == {"base": 0, "tuned": 1}


def test_gates_judge_the_models_that_were_asked(installed: Registry) -> None:
    spec = write(OTHER, "accuracy: {min: 0.5, model: base}, gain: {min: 0.1}".replace(", gain", "}, {gain").join("{}"))
    found = evaluated(spec, installed)
    assert [(verdict.gate, verdict.passed) for verdict in found.verdicts] == [("accuracy", False)]
    assert not found.passed
    assert [verdict.gate for verdict in run(spec, installed).verdicts] == ["accuracy", "gain"]


def test_the_answersheet_holds_every_graded_answer(installed: Registry) -> None:
    found = run(write(OTHER), installed)
    rows = list(answersheet.read(found.report.parent))
    assert len(rows) == 3 * 12 * 2
    base = [row for row in rows if row.model == "base"]
    assert [row.repeat for row in base] == [0, 1] * 12
    assert not any(row.passed for row in base)
    assert base[0].asked == "p0"
    assert (base[0].answer.prompt, base[0].graded.grades["exact"].passed) == (base[0].prompt, False)


def test_an_evaluation_does_not_import_pandas() -> None:
    """Where it is installed Arrow would: half a second, and memory."""
    code = """
import sys
from pathlib import Path
from test_evaluation import OTHER, evaluated, registry, write
spec = write(OTHER)
spec.write_text(spec.read_text().replace("graders: [exact", "graders: [{regex: {pattern: p}}, exact"))
print("regex" in spec.read_text(), evaluated(spec, registry.load()).report, "pandas" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split()[:1] + done.stdout.split()[-1:] == ["True", "False"], done.stdout + done.stderr


def compared(*targets: str) -> comparing.Compared:
    return comparing.compare(targets, None)


def test_one_run_is_compared_model_by_model(installed: Registry) -> None:
    found = run(write(OTHER), installed)
    said = compared(found.run.id)
    assert [side.name for side in said.sides] == ["base", "tuned", "other"]
    pairs = [
        (one.label, one.against, one.difference) for one in said.evaluation.comparisons if one.metric == "accuracy"
    ]
    assert pairs == [("tuned", "base", 1.0), ("other", "base", 1.0)]
    assert said.notes == ()


def test_runs_are_compared_by_their_tuned_models_over_the_prompts_of_both(installed: Registry) -> None:
    one = run(write(), installed)
    Path("two.yaml").write_text(Path("spec.yaml").read_text().replace("prompt: p0,", "prompt: q0,"))
    two = run(Path("two.yaml"), installed)
    said = compared(one.run.id, two.run.id, f"{one.run.id}@base")
    assert [side.model for side in said.sides] == ["tuned", "tuned", "base"]
    differences = {c.label: (c.difference, c.prompts) for c in said.evaluation.comparisons if c.metric == "accuracy"}
    assert differences == {two.run.id: (0.0, 11), f"{one.run.id}@base": (-1.0, 12)}
    assert said.notes == (f"{two.run.id} and {one.run.id} share 11 prompts: 12 and 12 were asked",)


def test_what_was_graded_or_asked_otherwise_is_said(installed: Registry) -> None:
    one = run(write(), installed)
    text = Path("spec.yaml").read_text()
    for old, new in (("graders: [exact", "graders: [{exact: {text: x}}"), ("temperature: 0.5", "temperature: 0.7")):
        assert old in text
        text = text.replace(old, new)
    Path("two.yaml").write_text(text)
    two = run(Path("two.yaml"), installed)
    graded, asked = compared(one.run.id, two.run.id).notes
    assert graded == f"{two.run.id} was graded otherwise than {one.run.id}: eval.graders[0].text is x, not null"
    assert asked == f"{two.run.id} was asked otherwise than {one.run.id}: eval.generation.temperature is 0.7, not 0.5"


def test_where_no_prompt_is_the_same_no_difference_is_told(
    installed: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run(write(), installed)
    Path("two.yaml").write_text(re.sub(r"prompt: p(\d+),", r"prompt: q\1,", Path("spec.yaml").read_text()))
    two = run(Path("two.yaml"), installed)
    assert guard.run(["compare", one.run.id, two.run.id]) == 0
    out = capsys.readouterr().out
    assert "+0.0 pp" not in out
    assert "share 0 prompts" in out


def test_what_cannot_be_compared_is_said(installed: Registry) -> None:
    only = evaluated(write(), installed).run.id
    with pytest.raises(FtspecError, match="only one model"):
        compared(only)
    with pytest.raises(FtspecError, match="asked no model 'tuned'"):
        compared(f"{only}@tuned", only)
    with pytest.raises(FtspecError, match="no run starts with"):
        compared("nope", only)
    assert guard.run(["runs", "--remove", only]) == 0
    with pytest.raises(FtspecError, match=f"run {only} was removed"):
        compared(only)


def test_commands(installed: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    write(OTHER, "{accuracy: {min: 0.5, model: base}}")
    assert guard.run(["eval", "spec.yaml", "-q"]) == 4
    assert "other" in capsys.readouterr().out
    assert guard.run(["compare", "spec.yaml"]) == 0
    out = capsys.readouterr().out
    assert "other − base" in out
    assert "+100.0 pp" in out
    assert guard.run(["compare", "spec.yaml", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["sides"][1]["name"] == "other"
    assert [entry.state for entry in history.all_runs(None)] == ["gate_failed"]


@pytest.mark.parametrize(
    ("name", "run", "command"),
    [("a", "a-0123456789", "run"), ("a", "a-eval-0123456789", "eval"), ("a-eval", "a-eval-0123456789", "run")],
)
def test_status_says_which_command_goes_on_with_a_run(name: str, run: str, command: str) -> None:
    said = runviews.status(Status(run=RunInfo(id=run, name=name, spec="a.yaml"), alive=False))
    assert f"`ftspec {command}` continues it" in said


def test_a_clock_that_was_set_back_makes_no_run_of_negative_length() -> None:
    run = RunInfo(id="a-0123456789", name="a", spec="a.yaml", started=100_000.0, finished=13_600.0)
    assert "-" not in runviews.runs([run]).replace(run.id, "")


def test_eval_needs_an_evaluation(installed: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    text = write().read_text()
    Path("bare.yaml").write_text(text[: text.index("eval:")])
    assert guard.run(["eval", "bare.yaml"]) == 1
    assert "no `eval`" in capsys.readouterr().err


def test_all_checkpoints_are_asked_and_the_best_is_shown_by_what_passes(installed: Registry) -> None:
    found = run(write("{checkpoints: all, id: at}, {checkpoints: best}"), installed)
    given = accuracies(found)
    each = {label: share for label, share in given.items() if label.startswith("at ")}
    assert len(each) > 1
    assert given["best checkpoint"] == max(each.values())
    again = run(write("{checkpoints: best}"), installed)
    assert accuracies(again)["best checkpoint"] == given["best checkpoint"]


def test_a_checkpoint_that_is_the_tuned_model_is_not_asked_again(
    installed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last(site: Site, plan: Plan) -> list[Checkpoint]:
        done = following.ended(site.store, step_of(plan, TUNING).digest)
        assert done and done.model
        return [Checkpoint(id="last", step=8, model=done.model)]

    class Phases(Notes):
        def phase(self, name: str, *, total: float | None = None, unit: str = "") -> None:
            self.notes.append(name)

    monkeypatch.setattr(answering, "checkpoints_of", last)
    told, file = Phases(), write("{checkpoints: all, id: at}, {checkpoints: best}")
    found = runner.run(validate.load_spec(file, installed), installed, Options(), told)
    assert set(accuracies(found)) == {"base", "tuned", "at 8", "best checkpoint"}
    assert [name for name in told.notes if name.startswith("asking")] == [
        "asking the base model",
        "asking the tuned model",
    ]
    assert "the only checkpoint is that of step 8: 100% pass" in told.notes


def test_a_gate_decides_between_any_two_models_by_their_interval(installed: Registry) -> None:
    gates = "{gain: {model: other, against: tuned, min: 0}}, {gain: {model: other, against: third, min: 0}}"
    found = run(write(f"{OTHER}, {OTHER.replace('other', 'third')}", gates), installed)
    assert [verdict.outcome for verdict in found.verdicts] == ["INSUFFICIENT_EVIDENCE", "INSUFFICIENT_EVIDENCE"]
    assert all("95% interval" in verdict.message for verdict in found.verdicts)
    lost = run(write(OTHER, "{gain: {model: base, against: other, min: 0}}"), installed)
    assert [verdict.outcome for verdict in lost.verdicts] == ["FAIL"]


def test_a_run_says_how_to_choose_the_best_checkpoint_by_prompts_of_its_own(installed: Registry) -> None:
    file = write("{checkpoints: best}")
    assert "name a column in `eval.tags: [COLUMN]`, and write `validation` into it" in notes(file, installed)
    text = file.read_text().replace('completion: "1"}', 'completion: "1", COLUMN: validation}')
    file.write_text(text.replace("  graders:", "  tags: [COLUMN]\n  graders:"))
    said = notes(file, installed)
    assert "of 1 prompt with the tag `validation`; it is reported on the others" in said
    assert "eval.tags" not in said


def test_the_best_checkpoint_is_not_reported_on_the_prompts_that_chose_it(installed: Registry) -> None:
    parts = ", ".join(
        f'{{prompt: p{number}, completion: "{number}", part: {"validation" if number % 3 else "test"}}}'
        for number in range(12)
    )
    file = write("{checkpoints: all, id: at}, {checkpoints: best}")
    text = file.read_text().replace(ROWS, parts).replace("  graders:", "  tags: [part]\n  graders:")
    file.write_text(text)
    found = run(file, installed)
    assert found.evaluation
    scores = found.evaluation.scores
    best = scores["best checkpoint"]
    assert (best.prompts, set(best.slices)) == (4, {"part=test"})
    each = {label: score for label, score in scores.items() if label.startswith("at ")}
    most = max(score.slices["part=validation"].accuracy for score in each.values())
    chosen = [one for one in each.values() if one.slices["part=validation"].accuracy == most][-1]
    assert best.accuracy == chosen.slices["part=test"].accuracy
    change = found.evaluation.comparison("best checkpoint", "base")
    assert change
    assert change.prompts == 4


def test_an_evaluation_without_a_tuned_model_asks_no_checkpoint(installed: Registry) -> None:
    assert set(accuracies(evaluated(write("{checkpoints: best}"), installed))) == {"base"}


def test_a_provider_that_keeps_no_checkpoints_is_told_apart(
    installed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(installed.get("provider", "simulated").factory, "checkpoints")
    with pytest.raises(SpecError) as raised:
        validate.load_spec(write("{checkpoints: best}"), installed)
    assert ["keep no checkpoints" in problem.message for problem in raised.value.problems] == [True]


def test_resume_goes_on_with_a_run_and_begins_none(installed: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    write(OTHER)
    assert guard.run(["eval", "spec.yaml", "-q", "--resume"]) == 1
    assert "there is no run to resume" in capsys.readouterr().err
    assert not list(history.all_runs(None))
    assert guard.run(["eval", "spec.yaml", "-q"]) == 0
    assert guard.run(["eval", "spec.yaml", "-q", "--resume"]) == 0
    assert guard.run(["run", "spec.yaml", "-q", "--resume"]) == 1
