"""Deployments: put up, waited for, asked, and taken down, whatever breaks in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import Notes, run

from ftspec import registry
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.cli import guard
from ftspec.common.errors import Ambiguous, FtspecError, PluginFault, ProviderError, Transient
from ftspec.common.jobs import ModelRef, TunedModel
from ftspec.common.messages import Generation, Message
from ftspec.common.progress import Quiet
from ftspec.contracts.abilities import Deployment
from ftspec.costs.spending import Entry, Purse
from ftspec.run import reopen
from ftspec.state.journal import decode
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


# ---- by hand


class Host:
    """Puts models up at once, but says of each first what stands in `said`."""

    endpoint = "host"

    def __init__(self, *said: Deployment | Exception | None) -> None:
        self.said = list(said)
        self.up: dict[str, Deployment] = {}
        self.calls: list[str] = []

    def deploys(self, model: ModelRef | TunedModel) -> bool:
        return True

    def deploy(self, model: TunedModel, *, key: str) -> Deployment:
        self.calls.append(f"deploy {model.id}")
        self.up[key] = Deployment(id=f"d-{model.id}", model=model, ready=not self.said)
        return self.up[key]

    def find_deployment(self, *, key: str) -> Deployment | None:
        return self.up.get(key)

    def deployment(self, deployment: Deployment) -> Deployment | None:
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def undeploy(self, deployment: Deployment) -> None:
        self.calls.append(f"undeploy {deployment.id}")
        self.up = {key: one for key, one in self.up.items() if one.id != deployment.id}


MODEL = TunedModel(id="m", base=ModelRef(id="base"))
PENDING = Deployment(id="d-m", model=MODEL, ready=False)
QUICK = Waits(ready=60.0, patience=5.0, leave=0.1, first=0.001, longest=0.01)


def deployer(host: Host, workspace: Workspace, run: str = "run-1", progress: Quiet | None = None) -> Deployer:
    purse = Purse(workspace.store, run, None, "USD")
    found = Deployer(host, workspace, run, purse=purse, hourly=1.0, progress=progress or Quiet())
    found.waits = QUICK
    return found


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([PENDING, Transient("away"), Ambiguous("reset"), Deployment(id="d-m", model=MODEL)], ""),
        ([PENDING, None], "deployment d-m is gone before it was ready"),
        ([PENDING, Deployment(id="d-m", model=MODEL, ready=False, error="no room")], "d-m failed: no room"),
        ([PENDING] * 1000, "deployment d-m is not ready after 0.2 s"),
    ],
)
def test_one_that_is_put_up_is_looked_at_until_it_is_ready(
    said: list[Deployment | Exception | None], error: str, tmp_path: Path
) -> None:
    host, workspace = Host(*said), Workspace(tmp_path / "state")
    expected = pytest.raises(FtspecError, match=error) if error else nullcontext()
    found = deployer(host, workspace)
    if "after 0.2 s" in error:
        found.waits = msgspec.structs.replace(QUICK, ready=0.2)
    with expected, found.up(MODEL) as model:
        assert model == MODEL and host.up
        [known] = deploying.Register(workspace.store).standing()
        assert known.state == "up" and known.deployment and known.deployment.id == "d-m"
    assert host.calls == ["deploy m", "undeploy d-m"]
    [known] = deploying.Register(workspace.store).all()
    assert (known.state, known.run, known.endpoint, known.host) == ("down", "run-1", "host", deploying.HOST)
    assert 0 < known.since <= known.ended
    assert deploying.Register(workspace.store).standing() == []


def test_each_model_of_each_run_stands_by_itself(tmp_path: Path) -> None:
    host, workspace, other = Host(), Workspace(tmp_path / "state"), msgspec.structs.replace(MODEL, id="other")
    with deployer(host, workspace).up(MODEL), deployer(host, workspace, "run-2").up(MODEL):
        with deployer(host, workspace).up(other):
            assert len(host.up) == 3
            assert [one.run for one in deploying.Register(workspace.store).all("run-2")] == ["run-2"]
        assert host.calls[3:] == ["undeploy d-other"]
    with deployer(host, workspace).up(MODEL):
        pass
    assert host.calls.count("deploy m") == 3, "one that was taken down is put up anew"
    assert deploying.key_of("r", "e", MODEL) != deploying.key_of("r", "f", MODEL)
    with deployer(host, workspace).up(MODEL.base) as asked:
        assert asked == MODEL.base and not host.up


def test_one_that_two_use_is_paid_for_once_until_it_falls(tmp_path: Path) -> None:
    host, workspace = Host(), Workspace(tmp_path / "state")
    with deployer(host, workspace).up(MODEL):
        time.sleep(1.1)  # entries are named by the second
        with deployer(host, workspace).up(MODEL):
            assert host.calls == ["deploy m"]
        assert len(host.up) == 1
    assert host.calls == ["deploy m", "undeploy d-m"]
    [known] = deploying.Register(workspace.store).all()
    [paid] = [decode(workspace.store, stored.key, Entry) for stored in workspace.store.list("spent/run-1")]
    assert (paid.what, paid.hourly, paid.since, paid.ended) == ("deployment", 1.0, known.since, known.ended)


def test_what_others_have_put_up_is_left_to_them(tmp_path: Path) -> None:
    """Another machine's, and what stands at another endpoint; of what this one has left it is said."""
    host, workspace, notes = Host(), Workspace(tmp_path / "state"), Notes()
    register = deploying.Register(workspace.store)
    left = {
        "mine": {},
        "theirs": {"host": "another"},
        "elsewhere": {"endpoint": "elsewhere"},
        "gone": {"state": "down"},
    }
    for name, more in left.items():
        model = msgspec.structs.replace(MODEL, id=name)
        host.deploy(model, key=name)
        standing = deploying.Standing(key=name, run="run-0", endpoint="host", model=model, since=1.0)
        register.put(msgspec.structs.replace(standing, **more))
    deployer(host, workspace, progress=notes).sweep()
    assert host.calls[4:] == ["undeploy d-mine"]
    assert notes.notes == ["took down a deployment of mine that an earlier process had left"]
    assert {one.key for one in register.standing()} == {"theirs", "elsewhere"}
