"""Jobs followed from the command line: ended early, paused, left and taken up again, many at once."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from ftspec import registry
from ftspec.cli import guard
from ftspec.common.jobs import Checkpoint, JobState, ModelRef, TunedModel
from ftspec.common.jobs import Job as Named
from ftspec.run import reopen
from ftspec.tuning.following import STOPPED, Follow, chosen, ended, history
from ftspec.tuning.following import Result as Job
from ftspec.views import fleet

ROWS = ", ".join(f"{{text: word {number}, label: {'ab'[number % 2]}}}" for number in range(40))
SPEC = """\
version: 1
name: NAME
sources: [{examples: {rows: [ROWS]}}]
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
split: {validation: 0.2, seed: 1}
provider: {simulated: {PROVIDER, idle: 20}}
model: sim-base
hyperparameters: {epochs: 20, batch_size: 8}
"""


Ftspec = Callable[..., "Said"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for server in tmp_path.rglob("server.json"):
        os.kill(json.loads(server.read_text())["pid"], signal.SIGKILL)


def write(folder: Path, provider: str, follow: str = "", name: str = "tiny") -> str:
    text = SPEC.replace("NAME", name).replace("ROWS", ROWS).replace("PROVIDER", provider)
    (folder / f"{name}.yaml").write_text(text + (f"follow: {follow}\n" if follow else ""))
    return f"{name}.yaml"


class Said(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def ftspec(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ftspec:
    """The command, as a user types it in that folder."""
    return lambda *arguments: Said(guard.run(arguments), *capsys.readouterr())


def opened(spec: str) -> reopen.Opened:
    return reopen.open_run(spec, None, registry.load())


def test_a_job_that_learns_by_heart_is_ended_early_and_its_best_checkpoint_taken(folder: Path, ftspec: Ftspec) -> None:
    rules = "{early_stopping: {patience: 2}, checkpoint: best}"
    spec = write(folder, "seconds_per_step: 0.05, overfits_after: 0.1", rules)
    done = ftspec("run", spec)
    assert done.exit_code == 0, done.stderr
    assert "the job is ended early" in done.stderr
    run = opened(spec)
    result = ended(run.store, run.key)
    assert result
    assert result.stopped
    lowest = min(result.checkpoints, key=lambda checkpoint: checkpoint.metrics["validation_loss"])
    assert run.model() == lowest.model
    assert lowest.step < max(checkpoint.step for checkpoint in result.checkpoints)
    assert STOPPED in {event.id for event in history(run.store, run.key)}
    assert max(event.step or 0 for event in history(run.store, run.key)) < 80, "it would have gone on to step 80"


def test_another_choice_of_checkpoint_makes_no_other_job_and_another_model(folder: Path, ftspec: Ftspec) -> None:
    ftspec("run", write(folder, "overfits_after: 0.5, seconds_per_step: 0"))
    last = opened("tiny.yaml")
    ftspec("run", write(folder, "overfits_after: 0.5, seconds_per_step: 0", "{checkpoint: best}"))
    best = opened("tiny.yaml")
    assert best.run.id != last.run.id
    assert best.key == last.key
    assert best.model() != last.model()


def test_overfitting_is_told_with_what_to_change(folder: Path, ftspec: Ftspec) -> None:
    spec = write(folder, "overfits_after: 0.3, seconds_per_step: 0")
    assert "overfitting: the validation loss was lowest" in ftspec("run", spec).stderr
    assert "lower `epochs` from 20" in ftspec("status", spec).stdout


def test_paused_and_taken_up_again(folder: Path, ftspec: Ftspec) -> None:
    spec = write(folder, "seconds_per_step: 0.2")
    assert ftspec("run", spec, "--detach").exit_code == 5
    assert "asked to pause" in ftspec("pause", spec).stdout
    assert "paused" in ftspec("status", spec).stdout
    assert "asked to resume" in ftspec("resume", spec).stdout
    assert "paused" not in ftspec("status", spec).stdout
    ftspec("cancel", spec)


def test_logs_follow_a_job_that_nobody_works_on(folder: Path, ftspec: Ftspec) -> None:
    spec = write(folder, "seconds_per_step: 0.02")
    ftspec("run", spec, "--detach")
    told = ftspec("logs", "-f", spec)
    assert "step 80/80" in told.stdout
    run = opened(spec)
    assert ended(run.store, run.key)


def test_many_jobs_are_followed_to_their_ends_at_once(folder: Path, ftspec: Ftspec) -> None:
    names = [f"job-{number}" for number in range(3)]
    for number, name in enumerate(names):
        ftspec("run", write(folder, f"seconds_per_step: 0.1, accuracy: 0.{number + 1}", name=name), "--detach")
    ftspec("run", write(folder, "outcome: failed, fail_at_step: 60, seconds_per_step: 0.1", name="bad"), "--detach")
    told = ftspec("follow", "--format", "json")
    assert told.exit_code == 1, "one of them failed"
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert sorted(each["run"].rpartition("-")[0] for each in found) == ["bad", *names]
    assert {each["result"]["state"] for each in found if not each["run"].startswith("bad")} == {"succeeded"}
    assert ftspec("run", "job-0.yaml").exit_code == 0


def test_following_ends_when_time_is_up(folder: Path, ftspec: Ftspec) -> None:
    ftspec("run", write(folder, "seconds_per_step: 60"), "--detach")
    assert ftspec("follow", "--wait", "1s").exit_code == 5
    ftspec("cancel", "tiny.yaml")
    assert next(iter(fleet.follow([opened("tiny.yaml")]))).result


def test_a_fleet_keeps_to_so_many_looks_a_second() -> None:
    assert fleet._pace(200).first * fleet.LOOKS_PER_SECOND >= 200
    assert fleet._pace(10_000) == Follow(first=fleet.LONGEST, longest=fleet.LONGEST)


@pytest.mark.parametrize(
    ("state", "stopped", "which", "expected"),
    [
        (JobState.SUCCEEDED, False, "last", "final"),
        (JobState.SUCCEEDED, False, "best", "step-1"),
        (JobState.SUCCEEDED, True, "last", "final"),
        (JobState.CANCELLED, True, "last", "step-3"),
        (JobState.CANCELLED, False, "last", None),
        (JobState.CANCELLED, False, "best", "step-1"),
        (JobState.FAILED, False, "best", None),
    ],
)
def test_which_model_a_job_made(state: JobState, stopped: bool, which: str, expected: str | None) -> None:
    base = ModelRef(id="base")
    kept = tuple(_checkpoint(base, step, loss) for step, loss in ((2, 1.5), (3, math.nan), (1, 1.0)))
    final = TunedModel(id="final", base=base) if state is JobState.SUCCEEDED else None
    result = Job(job=Named(id="job"), state=state, model=final, checkpoints=kept, stopped=stopped)
    model = chosen(result, which)  # type: ignore[arg-type]
    assert (model.id if model else None) == expected
    without = chosen(msgspec.structs.replace(result, checkpoints=()), which)  # type: ignore[arg-type]
    assert without == final, "none was kept, and there is but what the job itself made"


def _checkpoint(base: ModelRef, step: int, loss: float) -> Checkpoint:
    model = TunedModel(id=f"step-{step}", base=base)
    return Checkpoint(id=str(step), step=step, model=model, metrics={"validation_loss": loss})


@pytest.mark.parametrize(
    ("follow", "said"),
    [
        ("{stall: soon}", "stall"),
        ("{early_stopping: {patience: 0}}", "patience"),
        ("{checkpoint: worst}", "checkpoint"),
    ],
)
def test_rules_are_checked(folder: Path, follow: str, said: str, ftspec: Ftspec) -> None:
    refused = ftspec("validate", write(folder, "seconds_per_step: 0", follow))
    assert refused.exit_code == 1
    assert said in refused.stderr + refused.stdout


def test_what_looks_at_the_validation_loss_needs_one(folder: Path, ftspec: Ftspec) -> None:
    spec = Path(write(folder, "seconds_per_step: 0", "{early_stopping: {}, checkpoint: best}"))
    spec.write_text(spec.read_text().replace("split: {validation: 0.2, seed: 1}\n", ""))
    refused = ftspec("validate", str(spec))
    assert refused.exit_code == 1
    assert (refused.stderr + refused.stdout).count("there are no validation rows") == 2
