"""Deployments: put up, waited for, asked, and taken down, whatever breaks in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from runs import Notes, run

from ftspec import registry
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.cli import guard
from ftspec.common.errors import FtspecError, PluginFault, ProviderError, Transient
from ftspec.common.messages import Generation, Message
from ftspec.common.progress import Quiet
from ftspec.costs.spending import Entry
from ftspec.run import reopen
from ftspec.state.workspace import Workspace
from ftspec.tuning import deploying
from ftspec.tuning.deploying import Deployer, Waits
from ftspec.views import models

TABLE = """\
endpoints: ["simulated*"]
currency: USD
source: the house's contract
as_of: 2026-11-01
prices: [{models: ["*"], hosting_hour: 3600}]
"""
SPEC = """\
version: 1
name: stood
sources: [{examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}}]
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5, deploy: true}
model: some-model
eval:
  prompts: [{examples: {rows: [{prompt: four, completion: "4"}, {prompt: five, completion: "5"}]}}]
  graders: [exact]
costs: {prices: [house.yaml]}
"""
SERVER = Path(".ftspec/machine/providers/simulated")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "house.yaml").write_text(TABLE)
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


def standing(spec: Path) -> list[str]:
    """What stands on the server's side."""
    return [path.stem for path in (spec.parent / SERVER / "deployments").glob("*.json")]


def calls(spec: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((spec.parent / SERVER / "calls.json").read_text())
    return found


def states(spec: Path) -> list[str]:
    return [one.state for one in deploying.Register(Workspace.beside(spec, None).store).all()]


def fault(call: str, kind: str, times: int = 1) -> str:
    return f'provider.simulated.faults=[{{call: {call}, kind: "{kind}", times: {times}}}]'


def test_a_model_is_put_up_asked_and_taken_down(spec: Path) -> None:
    outcome = run(spec, "provider.simulated.deploy_seconds=0.3")
    assert outcome.evaluation
    assert outcome.evaluation.tuned.errors == 0
    assert (standing(spec), states(spec)) == ([], ["down"])
    assert (calls(spec)["deploy"], calls(spec)["undeploy"]) == (1, 1)


def test_what_it_cost_is_counted(spec: Path) -> None:
    run(spec, "provider.simulated.deploy_seconds=0.5")
    store = Workspace.beside(spec, None).store
    (entry,) = [
        entry
        for stored in store.list("spent")
        if (entry := json.loads(store.get(stored.key) or b""))["what"] == "deployment"
    ]
    cost = Entry(**entry).counts(time.time())
    assert cost == pytest.approx(Entry(**entry).ended - Entry(**entry).since)
    assert cost >= 0.5


def test_the_plan_says_that_it_costs_money(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["plan", str(spec)]) == 0
    assert (
        "deployment     3,600.00 USD (3600 an hour, for about 1 h 00 min, which is assumed)" in capsys.readouterr().out
    )
    run(spec)
    assert guard.run(["plan", str(spec), "--set", "hyperparameters.epochs=1"]) == 0
    assert "as before)" in capsys.readouterr().out


def test_nothing_is_put_up_where_every_answer_is_known(spec: Path) -> None:
    run(spec)
    run(spec, again=("report",))
    assert calls(spec)["deploy"] == 1


@pytest.mark.parametrize("kind", ["lost", "429"])
@pytest.mark.parametrize("call", ["deploy", "find_deployment", "undeploy"])
def test_a_fault_leaves_nothing_standing_and_makes_none_twice(spec: Path, call: str, kind: str) -> None:
    run(spec, fault(call, kind))
    assert (standing(spec), states(spec)) == ([], ["down"])


def test_a_deployment_that_fails_is_an_error_and_is_taken_down(spec: Path) -> None:
    with pytest.raises(FtspecError, match="failed: told to fail"):
        run(spec, "provider.simulated.deploy_fails=true")
    assert (standing(spec), states(spec)) == ([], ["down"])
    run(spec)


def test_one_that_is_never_ready_ends_with_patience(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = Waits(ready=0.2)
    monkeypatch.setattr(deploying, "Waits", lambda: impatient)
    with pytest.raises(Transient, match="not ready after"):
        run(spec, "provider.simulated.deploy_seconds=60")
    assert (standing(spec), states(spec)) == ([], ["down"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_is_taken_down_when_asking_breaks(
    spec: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        assert standing(spec)
        raise error

    monkeypatch.setattr(Simulated, "serve", broken)
    monkeypatch.setattr("ftspec.run.answering.answers", only_tuned(monkeypatch))
    with pytest.raises((error, PluginFault)):
        run(spec)
    assert (standing(spec), states(spec)) == ([], ["down"])


def only_tuned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`answering.answers` that skips the base model, which answers without a deployment."""
    from ftspec.grading.grade import Answered
    from ftspec.run import answering

    def answers(site: Any, step: Any, subject: Any, *rest: Any, **more: Any) -> Any:
        if subject.label == "base":
            return Answered(model="base", answers=(), graded=(), seconds=0.0)
        return real(site, step, subject, *rest, **more)

    real = answering.answers
    return answers


def test_one_that_cannot_be_taken_down_is_said_and_taken_down_later(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any) -> None:
        raise ProviderError("out of reach")

    told = Notes()
    with monkeypatch.context() as patched:
        patched.setattr(Simulated, "undeploy", unreachable)
        run(spec, progress=told)
    assert any("may still stand, which costs money (out of reach)" in note for note in told.notes)
    assert (len(standing(spec)), states(spec)) == (1, ["up"])
    run(spec, "hyperparameters.epochs=1")
    assert (standing(spec), sorted(states(spec))) == ([], ["down", "down"])


def test_chatting_puts_the_model_up_and_down(spec: Path) -> None:
    run(spec)
    opened = reopen.open_run(str(spec), None, registry.load())
    with models.chat(opened, Generation()) as say:
        assert standing(spec)
        assert not say([Message(role="user", content="four")]).error
    assert not standing(spec)


def start(spec: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftspec", "run", spec.name, *options]
    return subprocess.Popen(
        command, cwd=spec.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("same", [True, False])
def test_killed_between_deploy_and_undeploy(spec: Path, same: bool) -> None:
    """SIGKILL while it is being put up: the same spec takes it up and down, another one of the store takes it down."""
    victim = start(spec, "--set", "provider.simulated.deploy_seconds=4")
    wait_for(lambda: standing(spec))
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert len(standing(spec)) == 1
    run(spec, *(() if same else ("hyperparameters.epochs=1",)))
    assert standing(spec) == []
    assert set(states(spec)) == {"down"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_while_it_is_put_up(spec: Path, number: signal.Signals, code: int) -> None:
    process = start(spec, "--set", "provider.simulated.deploy_seconds=30")
    wait_for(lambda: standing(spec))
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert (process.returncode, standing(spec), states(spec)) == (code, [], ["down"])


def test_one_that_another_process_uses_is_left_to_it(spec: Path) -> None:
    """Two processes share a deployment; the one that ends first leaves it standing."""
    run(spec, "provider.simulated.deploy=false")
    opened = reopen.open_run(str(spec), None, registry.load())
    provider = Simulated(deploy=True)
    provider.attach(opened.workspace.home("simulated"))
    from ftspec.costs.spending import Purse

    purse = Purse(opened.store, "shared", None, "USD")

    def deployer() -> Deployer:
        return Deployer(provider, opened.workspace, "shared", purse=purse, hourly=1.0, progress=Quiet())

    with deployer().up(opened.model()):
        with deployer().up(opened.model()):
            assert len(standing(spec)) == 1
        assert len(standing(spec)) == 1
        deployer().sweep()
        assert len(standing(spec)) == 1
    assert standing(spec) == []
