"""The walk: what observers see, who may stop it, how it ends, and what can be done with a run afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from plugged import plug
from runs import Notes

from ftspec import api, registry
from ftspec.cli import guard
from ftspec.common.errors import (
    DataError,
    FtspecError,
    JobFailed,
    PluginError,
    Problem,
    SpecError,
    StillRunning,
    StoreError,
)
from ftspec.common.progress import Quiet
from ftspec.common.records import Event, Plan, RunInfo
from ftspec.registry import Registry
from ftspec.run import planning, reopen, runner
from ftspec.run.site import Options
from ftspec.state import history
from ftspec.state.workspace import Workspace
from ftspec.validation import validate
from ftspec.views import models, watching

SPEC = """\
version: 1
name: walked
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
gates:
  - accuracy: {min: 0.5, evidence: estimate}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def installed() -> Registry:
    return registry.load()


def run(spec: Path, installed: Registry, *overrides: str, progress: Quiet | None = None, **options: Any) -> Any:
    loaded = validate.load_spec(spec, installed, overrides)
    return runner.run(loaded, installed, Options(**options), progress or Quiet())


def opened(spec: Path, installed: Registry) -> reopen.Opened:
    return reopen.open_run(str(spec), None, installed)


def test_a_run_ends_with_a_report_and_a_verdict(spec: Path, installed: Registry) -> None:
    outcome = run(spec, installed)
    assert outcome.passed
    assert outcome.run.state == "done"
    assert outcome.evaluation.tuned.accuracy == 1.0
    assert {path.name for path in outcome.report.parent.iterdir()} == {
        "answers.parquet",
        "report.html",
        "report.json",
        "report.md",
        "junit.xml",
    }


def test_a_gate_that_says_no_is_an_outcome_and_stays_one(spec: Path, installed: Registry) -> None:
    for already in (False, True):
        outcome = run(spec, installed, "gates[0].accuracy.min=1.0", "provider.simulated.accuracy=0.0")
        assert outcome.run.state == "gate_failed"
        assert outcome.already_done is already
        assert not outcome.passed
        assert not outcome.verdicts[0].passed


def test_observers_see_every_decision_in_order(spec: Path, installed: Registry) -> None:
    seen: list[str] = []

    def ftspec_run_started(run: RunInfo) -> None:
        seen.append(f"started {run.state}")

    def ftspec_event(event: Event) -> None:
        seen.append(event.kind)

    def ftspec_run_finished(run: RunInfo, error: BaseException | None) -> None:
        seen.append(f"ended {run.state} {error}")

    plug(
        installed,
        "test",
        ftspec_run_started=ftspec_run_started,
        ftspec_event=ftspec_event,
        ftspec_run_finished=ftspec_run_finished,
    )
    run(spec, installed)
    assert seen == [
        "started",
        "started running",
        "data_made",
        "tuning",
        "file_uploaded",
        "job_submitted",
        "job_finished",
        "tuned",
        "answered",
        "judged",
        "finished",
        "ended done None",
    ]


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_an_observer_that_raises_is_reported_and_the_run_goes_on(
    spec: Path, installed: Registry, error: type[BaseException]
) -> None:
    def ftspec_event(event: Event) -> None:
        raise error(f"no {event.kind} for me")

    plug(installed, "test", ftspec_event=ftspec_event)
    notes = Notes()
    assert run(spec, installed, progress=notes).passed
    assert f"plugin test[test]: ftspec_event failed: {error.__name__}: no tuning for me" in notes.notes


def test_a_plugin_can_veto_a_plan_before_any_side_effect(spec: Path, installed: Registry) -> None:
    def ftspec_plan_ready(plan: Plan) -> Iterator[Problem]:
        yield Problem(message=f"{plan.name} may not run on a Sunday", path=("name",))

    plug(installed, "test", ftspec_plan_ready=ftspec_plan_ready)
    with pytest.raises(SpecError) as caught:
        run(spec, installed)
    assert caught.value.problems[0].message == "walked may not run on a Sunday"
    assert not (spec.parent / ".ftspec").exists()


def test_a_failed_job_says_why_and_how_to_try_again(spec: Path, installed: Registry) -> None:
    spec.write_text(SPEC.replace("idle: 5", "idle: 5, outcome: failed"))
    with pytest.raises(JobFailed, match="failed") as caught:
        run(spec, installed)
    assert "--again tuning" in caught.value.hint
    assert history.runs(Workspace.beside(spec, None).store)[0].state == "failed"


def test_detached_and_followed_later(spec: Path, installed: Registry) -> None:
    slow = "provider.simulated.queue_seconds=6"
    with pytest.raises(StillRunning):
        run(spec, installed, slow, detach=True)
    assert opened(spec, installed).run.state == "detached"
    with pytest.raises(StillRunning):
        run(spec, installed, slow, wait=0.1)
    assert run(spec, installed, slow).passed
    assert watching.status(opened(spec, installed)).job.state == "succeeded"  # type: ignore[union-attr]


def test_a_run_stops_after_a_step_and_is_taken_up_from_there(spec: Path, installed: Registry) -> None:
    kinds = []
    for until, phase in (("data", "data"), ("tuning", "evaluation")):
        outcome = run(spec, installed, until=until)
        assert (outcome.passed, outcome.report, outcome.evaluation) == (True, None, None)
        assert (outcome.run.state, outcome.run.phase) == ("stopped", phase)
        assert opened(spec, installed).run.state == "stopped"
        kinds.append([event.kind for event in opened(spec, installed).events])
        steps = planning.plan(validate.load_spec(spec, installed), installed, Options(), Quiet()).plan.steps
        done = ["data", "tuning"][: len(kinds)]
        assert [step.name for step in steps if step.cached] == done
        assert {why for step in steps if not step.cached for why in step.why} == {"not finished"}
    assert "data_made" in kinds[0] and "tuning" not in kinds[0]
    assert "tuned" in kinds[1] and "answered" not in kinds[1]
    finished = run(spec, installed)
    assert finished.run.state == "done" and finished.run.id == outcome.run.id
    assert run(spec, installed, until="data").already_done


def test_a_job_can_be_cancelled_from_outside(spec: Path, installed: Registry) -> None:
    slow = "provider.simulated.queue_seconds=60"
    with pytest.raises(StillRunning):
        run(spec, installed, slow, detach=True)
    watching.cancel(opened(spec, installed))
    watching.cancel(opened(spec, installed))
    with pytest.raises(JobFailed, match="cancelled"):
        run(spec, installed, slow)


def test_logs_tell_decisions_and_training_in_order_of_time(spec: Path, installed: Registry) -> None:
    run(spec, installed)
    entries = list(watching.logs(opened(spec, installed)))
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert {type(entry).__name__ for entry in entries} == {"Event", "TrainingEvent"}


def test_a_run_can_be_opened_when_its_spec_has_changed(spec: Path, installed: Registry) -> None:
    run(spec, installed, "hyperparameters.epochs=2")
    spec.write_text("nonsense: [")
    shown = models.show(opened(spec, installed))
    assert shown.hyperparameters["epochs"] == 2
    assert shown.accuracy == 1.0


def test_a_job_can_be_looked_at_and_cancelled_when_its_data_are_gone(spec: Path, installed: Registry) -> None:
    data = spec.parent / "rows.jsonl"
    data.write_text('{"prompt": "six", "completion": "6"}\n')
    spec.write_text(SPEC.replace("sources:\n", "sources:\n  - jsonl: {path: rows.jsonl}\n"))
    with pytest.raises(StillRunning):
        run(spec, installed, "provider.simulated.seconds_per_step=60", detach=True)
    data.unlink()
    assert watching.status(opened(spec, installed)).run.state == "detached"
    watching.cancel(opened(spec, installed))
    after = opened(spec, installed)
    assert after.run.state == "cancelled"
    assert after.run.phase == "tuning"
    assert not any(found.state == "running" for found in history.runs(after.store))


def test_cancelling_a_job_that_has_ended_changes_nothing(spec: Path, installed: Registry) -> None:
    run(spec, installed)
    before = opened(spec, installed)
    assert watching.cancel(before).state == api.JobState.SUCCEEDED
    assert opened(spec, installed).events == before.events


@pytest.mark.parametrize("lost", [1, 3])
def test_a_run_without_its_first_events_is_damage_and_no_bug(
    lost: int, spec: Path, installed: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first one says how it was begun, the third is the last that holds its plan."""
    outcome = run(spec, installed)
    for number in range(1, lost + 1):
        (spec.parent / f".ftspec/runs/{outcome.run.id}/events/{number:08d}").unlink()
    with pytest.raises(StoreError, match="lost its first events") as told:
        opened(spec, installed)
    store = ("--store", str(spec.parent / ".ftspec"))
    if lost == 3:
        for command in ("gc", f"compare {outcome.run.id}"):
            assert guard.run([*command.split(), *store]) == 1
            assert "lost its first events" in capsys.readouterr().err
    assert guard.run(["plan", str(spec), "-q"]) == 0
    remove = told.value.hint.partition("`ftspec ")[2].rstrip("`")
    assert guard.run([*remove.split(), *store]) == 0
    assert run(spec, installed).passed


def test_the_model_can_be_chatted_with(spec: Path, installed: Registry) -> None:
    run(spec, installed)
    with models.chat(opened(spec, installed), api.Generation(temperature=0.5)) as say:
        answer = say([api.Message(role="user", content="hello")])
    assert answer.error == ""
    assert answer.text


def test_a_model_that_cannot_be_exported_says_so(spec: Path, installed: Registry, tmp_path: Path) -> None:
    run(spec, installed)
    with pytest.raises(FtspecError, match="cannot export"):
        models.export(opened(spec, installed), "merged", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Exporting:
    """A provider that can export; peft writes a card too, and safetensors what only its owner can read."""

    exports = ("adapter", "merged")

    def export(self, model: api.TunedModel, form: str, out: Path) -> None:
        (out / "README.md").write_text("# Model Card for Model ID")
        (out / "model.safetensors").touch(0o600)
        if form == "adapter":
            (out / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base-135M"}')


@pytest.mark.parametrize("until", [None, "tuning"])
def test_an_exported_model_has_its_card_and_can_be_read(
    spec: Path, installed: Registry, tmp_path: Path, until: str | None
) -> None:
    run(spec, installed, until=until)
    exporting = msgspec.structs.replace(opened(spec, installed), provider=Exporting())
    for form, library in (("adapter", "peft"), ("merged", "transformers")):
        out = models.export(exporting, form, tmp_path / form)
        card = (out / "README.md").read_text()
        assert f"library_name: {library}\n" in card
        assert ("base_model: org/base-135M\nbase_model_relation: adapter\n" in card) == (form == "adapter")
        assert ("**PASS.**" in card, "Nothing has judged it." in card) == (not until, bool(until))
        assert len({file.stat().st_mode for file in out.iterdir()}) == 1


def test_a_faulty_grader_is_found_before_anything_is_submitted(spec: Path, installed: Registry) -> None:
    def broken(*, path: str = "") -> api.Grader:
        raise FtspecError("this grader cannot be built")

    plug(installed, "test", ftspec_graders=lambda: {"broken": api.grader(broken)})
    with pytest.raises(FtspecError, match="cannot be built"):
        run(spec, installed, "eval.graders[0]=broken")
    assert not (spec.parent / ".ftspec/machine/providers/simulated/jobs").exists()


@pytest.mark.parametrize("said", [[5], 5, "raises"])
def test_a_veto_that_does_not_work_stops_the_run_and_names_the_plugin(
    spec: Path, installed: Registry, said: Any
) -> None:
    def ftspec_plan_ready(plan: Plan) -> Any:
        if said == "raises":
            raise ZeroDivisionError
        return said

    plug(installed, "test", ftspec_plan_ready=ftspec_plan_ready)
    with pytest.raises(PluginError, match="ftspec_plan_ready failed") as caught:
        run(spec, installed)
    assert "plugin test[test]" in caught.value.message
    assert "FTSPEC_DISABLE_PLUGINS=test" in caught.value.hint


@pytest.mark.parametrize("fault", ["factory", "read", "chunk", "fingerprint"])
def test_a_source_that_does_not_work_is_named(spec: Path, installed: Registry, fault: str) -> None:
    def broken(*, fail: str = "") -> api.Source:
        def raising() -> Any:
            raise ZeroDivisionError

        if fail == "factory":
            raising()
        read = raising if fail == "read" else lambda: iter([5])
        return api.Source(read, raising if fail == "fingerprint" else None)  # type: ignore[arg-type]

    plug(installed, "test", ftspec_sources=lambda: {"broken": api.source(broken)})
    spec.write_text(SPEC.replace("sources:\n", f"sources:\n  - broken: {{fail: {fault}}}\n"))
    with pytest.raises(PluginError, match="source 'broken' of test"):
        run(spec, installed)


def test_dates_beyond_the_calendar_are_a_finding(spec: Path, installed: Registry) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"prompt": ["a"], "completion": ["b"], "on": pa.array([2**31 - 1], pa.date32())})
    pq.write_table(table, spec.parent / "x.parquet")
    spec.write_text(SPEC.replace("sources:\n", "sources:\n  - parquet: {path: x.parquet}\n"))
    with pytest.raises(DataError) as caught:
        run(spec, installed)
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("x.parquet", 1)
    assert "JSON has no text for" in finding.message


def test_events_are_json_that_a_later_version_can_read(spec: Path, installed: Registry) -> None:
    run(spec, installed)
    for path in sorted((spec.parent / ".ftspec/runs").glob("*/events/*")):
        assert json.loads(path.read_text())["kind"]


def test_one_damaged_run_does_not_hide_the_others(spec: Path, installed: Registry) -> None:
    run(spec, installed)
    run(spec, installed, "hyperparameters.epochs=2")
    store = Workspace.beside(spec, None).store
    first = history.run_ids(store)[0]
    (spec.parent / ".ftspec/runs" / first / "events/00000001").write_text("{")
    assert sorted(found.state for found in history.runs(store)) == ["damaged", "done"]
    loaded = validate.load_spec(spec, installed, ["hyperparameters.epochs=3"])
    assert planning.plan(loaded, installed, Options(), Quiet()).plan.steps


def test_a_run_that_nobody_works_on_any_more_is_interrupted(spec: Path, installed: Registry) -> None:
    def ftspec_event(event: Event) -> None:
        if event.kind == "tuning":
            raise KeyboardInterrupt

    plug(installed, "test", ftspec_event=ftspec_event)
    with pytest.raises(KeyboardInterrupt):
        run(spec, installed)
    store = str(spec.parent / ".ftspec")
    assert [found.state for found in history.all_runs(store)] == ["interrupted"]
    with Workspace(store).alive(history.all_runs(store)[0].id):
        assert [found.state for found in history.all_runs(store)] == ["running"]


@pytest.mark.parametrize("what", ["link", "file"])
def test_what_stands_in_the_place_of_the_state_folder_is_said(tmp_path: Path, what: str) -> None:
    state = tmp_path / ".ftspec"
    state.symlink_to(tmp_path / "gone") if what == "link" else state.write_text("")
    with pytest.raises(StoreError, match="cannot be made"), Workspace(state).alive("run"):
        pass
    with pytest.raises(StoreError, match="cannot be made"), Workspace(state).scratch():
        pass


def test_a_plan_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert guard.run(["init", "s.yaml"]) == 0
    assert guard.run(["plan", "s.yaml", "--store", "s.yaml"]) == 1
    assert f"state at {tmp_path}/s.yaml: this folder cannot be made: a file stands there" in capsys.readouterr().err
