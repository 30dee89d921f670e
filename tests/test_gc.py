"""`ftspec gc`: what no kept run needs is listed, and deleted when told; nothing that a run needs ever is."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import run

from ftspec import registry
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.cli import guard
from ftspec.common.errors import FtspecError, JobFailed
from ftspec.common.jobs import Job, ModelRef, TunedModel
from ftspec.common.records import TUNING
from ftspec.contracts.abilities import Deployment
from ftspec.plans.plan import step_of
from ftspec.state import history
from ftspec.state.journal import Journal
from ftspec.state.workspace import Workspace
from ftspec.tuning import deploying, following
from ftspec.tuning.claims import Register
from ftspec.upkeep import cleanup
from ftspec.upkeep.litter import Litter

SPEC = """\
version: 1
name: swept
sources: [{examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}}]
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5}
model: some-model
eval:
  prompts: [{examples: {rows: [{prompt: four, completion: "4"}, {prompt: five, completion: "5"}]}}]
  graders: [exact]
"""
SERVER = Path(".ftspec/machine/providers/simulated")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cleanup, "GRACE", -1.0)
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


def find(spec: Path, **options: Any) -> cleanup.Found:
    return cleanup.find(Workspace.beside(spec, None), registry.load(), **options)


def kinds(found: cleanup.Found) -> set[str]:
    return {one.kind for one in found.litter}


def server(spec: Path, folder: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (spec.parent / SERVER / folder).glob("*.json")]


def objects(spec: Path) -> set[str]:
    """Every object of the store."""
    return {stored.key for stored in Workspace.beside(spec, None).store.list("")}


def test_what_a_kept_run_needs_is_kept(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(spec)
    assert find(spec).litter == ()
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert "nothing lies about" in capsys.readouterr().err
    assert run(spec).already_done


def test_what_is_young_is_left_alone(spec: Path) -> None:
    outcome = run(spec)
    cleanup.remove(Workspace.beside(spec, None), outcome.run.id)
    assert find(spec, grace=3600.0).litter == ()


def test_a_removed_runs_things_are_listed_then_deleted(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(spec)
    assert guard.run(["runs", "--remove", outcome.run.id]) == 0
    assert not outcome.report.exists()
    assert kinds(find(spec)) >= {"file", "model", "steps", "blobs", "answers"}
    before = objects(spec)
    assert guard.run(["gc"]) == 0
    assert "model" in capsys.readouterr().out
    assert objects(spec) == before
    assert len(server(spec, "files")) == 1
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert server(spec, "files") == []
    assert [job["model_deleted"] for job in server(spec, "jobs")] == [True]
    assert find(spec).litter == ()


def test_a_job_whose_model_is_gone_is_not_silently_paid_again(spec: Path) -> None:
    outcome = run(spec)
    cleanup.remove(Workspace.beside(spec, None), outcome.run.id)
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    with pytest.raises(JobFailed, match="its model was deleted by `ftspec gc`") as caught:
        run(spec)
    assert "--again tuning" in caught.value.hint
    assert run(spec, again=("tuning",)).evaluation


def test_what_two_runs_share_stays_for_the_other(spec: Path) -> None:
    first = run(spec)
    run(spec, "hyperparameters.epochs=1")
    cleanup.remove(Workspace.beside(spec, None), first.run.id)
    found = find(spec)
    assert "file" not in kinds(found)
    assert [one.job for one in found.litter if one.kind == "model"] != []
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert run(spec, "hyperparameters.epochs=1").already_done
    assert run(spec, "hyperparameters.epochs=1", again=("answers",)).evaluation


def test_what_others_made_is_counted_and_left_alone(spec: Path) -> None:
    """Another state folder may use the same account: what this one knows nothing of is no litter."""
    run(spec)
    store = Workspace.beside(spec, None).store
    for part in ("jobs", "uploads", "steps", "runs"):
        for stored in store.list(part):
            if part != "runs":
                store.delete(stored.key)
    found = find(spec)
    assert not kinds(found) & {"file", "model"}
    assert found.notes == ("simulated holds 2 things that this state folder knows nothing of (--foreign)",)
    assert kinds(find(spec, foreign=True)) >= {"file", "model"}


def test_a_run_whose_plugin_is_gone_says_what_to_install(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(spec)
    for event in Path(".ftspec/runs").glob("*/events/*"):
        event.write_bytes(event.read_bytes().replace(b"  simulated: {", b"  openay: {"))
    assert guard.run(["gc"]) == 0
    said = capsys.readouterr().err
    assert " cannot be opened: no provider named 'openay' is installed; did you mean 'openai'?" in said


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_it_asks_before_it_deletes(
    answer: str, spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(spec)
    cleanup.remove(Workspace.beside(spec, None), outcome.run.id)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert guard.run(["gc", "--delete"]) == 2
    assert "in a script add --yes" in capsys.readouterr().err
    assert len(server(spec, "files")) == 1


def test_it_is_data(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(spec)
    cleanup.remove(Workspace.beside(spec, None), outcome.run.id)
    assert guard.run(["gc", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert {one["where"] for one in found["litter"]} == {"simulated", "state"}
    assert guard.run(["gc", "--delete", "--yes", "--format", "json"]) == 0
    assert {one["error"] for one in json.loads(capsys.readouterr().out)} == {""}


@pytest.mark.parametrize("call", ["list", "delete"])
@pytest.mark.parametrize("kind", ["lost", "429"])
def test_a_fault_is_tried_again(spec: Path, call: str, kind: str) -> None:
    fault = f'provider.simulated.faults=[{{call: {call}, kind: "{kind}", times: 1}}]'
    outcome = run(spec, fault)
    cleanup.remove(Workspace.beside(spec, None), outcome.run.id)
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert server(spec, "files") == []


def test_a_run_that_is_worked_on_is_not_removed(spec: Path) -> None:
    outcome = run(spec)
    space = Workspace.beside(spec, None)
    with space.alive(outcome.run.id), pytest.raises(FtspecError, match="is being worked on"):
        cleanup.remove(space, outcome.run.id)


def test_a_deployment_that_a_killed_run_left_is_found_and_taken_down(spec: Path) -> None:
    settings = ["--set", "provider.simulated.deploy=true", "--set", "provider.simulated.deploy_seconds=60"]
    victim = subprocess.Popen(
        [sys.executable, "-m", "ftspec", "run", "spec.yaml", *settings],
        cwd=spec.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not server(spec, "deployments"):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "deployment" not in kinds(find(spec)), "one that is in use is left alone"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert kinds(find(spec)) == {"deployment"}
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert server(spec, "deployments") == []
    assert find(spec).litter == ()


def test_a_deployment_is_taken_down_where_it_stands(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for it, another account or region says that there is none: it was said to be deleted, and cost on."""
    there = run(spec, "provider.simulated.accuracy=0.5")
    run(spec)
    endpoint = "simulated?accuracy=0.5"
    model = TunedModel(id="m", base=ModelRef(id="some-model"))
    standing = deploying.Standing(key="k", run=there.run.id, endpoint=endpoint, model=model, state="up")
    up = msgspec.structs.replace(standing, deployment=Deployment(id="d", model=model))
    deploying.Register(Workspace.beside(spec, None).store).put(up)
    asked: list[str] = []
    for call in ("delete", "undeploy"):
        monkeypatch.setattr(Simulated, call, lambda self, _: asked.append(self.endpoint))
    assert guard.run(["gc", "--delete", "--yes"]) == 0
    assert asked == [endpoint, endpoint]
    assert find(spec).litter == ()


def test_a_deployment_whose_tuner_cannot_be_asked_is_said_to_stand(spec: Path) -> None:
    run(spec)
    nobody = Litter(where="openay", kind="deployment", id="d", endpoint="https://example.com")
    ((one, said),) = cleanup.delete(Workspace.beside(spec, None), registry.load(), [nobody])
    assert (one, said) == (nobody, "no run can be opened that says how openay is asked: delete it there")


def test_the_model_of_a_job_that_is_not_used_takes_nothing_from_the_one_that_is(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of one key: one is used, the other was only written down."""
    outcome = run(spec)
    space = Workspace.beside(spec, None)
    key = step_of(history.plan_of(outcome.run.id, Journal(space.store, outcome.run.id).events()), TUNING).digest
    Register(space.store, key).orphan(2, Job(id="job-unused"))
    kept = following.ended(space.store, key)
    monkeypatch.setattr(Simulated, "delete", lambda self, remote: None)
    unused = Litter(
        where="simulated", kind="model", id="simulated:some-model:job-unused", job="job-unused", endpoint="simulated"
    )
    assert [error for _, error in cleanup.delete(space, registry.load(), [unused])] == [""]
    assert kept and kept.model and following.ended(space.store, key) == kept
