"""`ftspec run` at a hosted tuner: killed between any two of its requests, two at once, refused; one job, and no key."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from servers import contract
from servers.aimock import Aimock
from servers.commands import Commands
from servers.fixtures import KEY
from servers.matrix import traces
from servers.proxy import OPENAI, Proxy

Proxied = Callable[..., Proxy]

SPEC = """\
version: 1
name: hosted
sources:
  - jsonl: {{path: rows.jsonl}}
format: {{prompt_completion: {{}}}}
split: {{validation: 0.2, seed: 3}}
provider:
  openai: {{base_url: "{url}"}}
model: gpt-4.1-mini-2025-04-14
hyperparameters: {{epochs: 1}}
eval:
  prompts:
    - examples: {{rows: [{{prompt: three, completion: "3"}}, {{prompt: four, completion: "4"}}]}}
  graders: [exact]
  generation: {{max_tokens: 4}}
gates:
  - accuracy: {{min: 0.4, evidence: estimate}}
"""
ASKS = "may or may not have been made"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Commands]]:
    """One that gives up a claim soon, for killed runs, and two that wait as long as users do, to race."""
    folder = tmp_path_factory.mktemp("commands")
    environment = {"OPENAI_API_KEY": KEY, "TMPDIR": str(folder), "NO_COLOR": "1"}
    started = [Commands(folder, grace, **environment) for grace in (0.6, 120.0, 120.0)]
    yield started
    for one in started:
        one.stop()


@pytest.fixture
def proxy(aimock: Aimock, proxied: Proxied) -> Proxy:
    return fresh(aimock, proxied)


def fresh(aimock: Aimock, proxied: Proxied) -> Proxy:
    aimock.reset()
    aimock.answer("3")
    return proxied(aimock.url, OPENAI)


def spec(folder: Path, proxy: Proxy) -> Path:
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(SPEC.format(url=proxy.url))
    rows = ({"prompt": f"what is {n} + {n}?", "completion": str(2 * n)} for n in range(30))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def result(folder: Path) -> Any:
    """What the run came to, without times and names that the server gave."""
    [path] = folder.glob(".ftspec/runs/*/report/report.json")
    report = json.loads(path.read_text())
    accuracy = {model: report["evaluation"][model]["accuracy"] for model in ("base", "tuned")}
    return accuracy, [verdict["passed"] for verdict in report["verdicts"]], len(report["training"])


def run(commands: Commands, folder: Path, *options: str) -> tuple[int, str]:
    code, said = commands.run("run", "spec.yaml", "--quiet", *options, folder=folder)
    assert "Traceback" not in said
    return code, said


def points(exchanges: list[Any]) -> list[tuple[int, Literal["before", "after"]]]:
    """Before every request; and after those that make something, where the server has acted and nobody knows."""
    before: list[Any] = [(exchange.number, "before") for exchange in exchanges]
    return before + [(exchange.number, "after") for exchange in exchanges if exchange.method == "POST"]


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_between_any_two_requests(
    commands: list[Commands], aimock: Aimock, proxied: Proxied, proxy: Proxy, tmp_path: Path, every: int
) -> None:
    """Around the submission at every point, elsewhere at each or, in CI, at some."""
    whole = spec(tmp_path / "whole", proxy)
    assert run(commands[0], whole)[0] == 0
    assert contract.problems(proxy.exchanges) == []
    expected, create = result(whole), next(e.number for e in proxy.exchanges if e.operation == "create")
    asked = []
    for place, (number, when) in enumerate(points(proxy.exchanges)):
        if place % every and abs(number - create) > 1:
            continue
        proxy = fresh(aimock, proxied)
        folder = spec(tmp_path / f"{when}-{number}", proxy)
        hold = proxy.hold(number, when)
        victim = commands[0].start("run", "spec.yaml", "--quiet", folder=folder)
        assert hold.reached.wait(300), f"request {number} was never made"
        os.kill(victim, signal.SIGKILL)
        assert commands[0].finish()[0] == -signal.SIGKILL
        hold.drop()
        made = len(aimock.jobs())
        code, said = run(commands[0], folder)
        if code:
            assert ASKS in said
            assert len(aimock.jobs()) == made == 0
            asked.append((number, when))
            code, said = run(commands[0], folder, "--resubmit")
        assert code == 0, said
        assert (len(aimock.jobs()), len(aimock.files())) == (1, 2), f"killed {when} request {number}"
        assert result(folder) == expected, f"killed {when} request {number}"
        assert traces(folder, KEY) == []
    # The claim is made before it is looked whether there is a job already; from its answer on it is known.
    assert set(asked) == {(create - 1, "before"), (create, "before")}


@pytest.mark.parametrize("fault", ["", "lost", "broken", "429"])
def test_two_at_once_make_one_job(
    commands: list[Commands], aimock: Aimock, proxy: Proxy, tmp_path: Path, fault: str
) -> None:
    folder = spec(tmp_path / "both", proxy)
    if fault:
        proxy.fault("create", fault, once=True)
    both = commands[1:]
    for one in both:
        one.start("run", "spec.yaml", "--quiet", folder=folder)
    for one in both:
        code, said = one.finish()
        assert code == 0, said
    assert len(aimock.jobs()) == 1
    assert traces(folder, KEY) == []


@pytest.mark.parametrize(
    ("fault", "operation", "says"),
    [
        ("429 daily", "create", "tomorrow"),
        ("429 daily", "upload", "tomorrow"),
        ("429 daily", "poll", "goes on; run again"),
        ("500", "create", "--adopt"),
        ("429 daily", "chat", "failed, the first with"),
    ],
)
def test_what_a_user_is_told_helps_and_holds_no_key(
    commands: list[Commands], aimock: Aimock, proxy: Proxy, tmp_path: Path, fault: str, operation: str, says: str
) -> None:
    folder = spec(tmp_path / "spec", proxy)
    proxy.fault(operation, fault, once=False)
    code, said = commands[0].run("run", "spec.yaml", folder=folder)
    assert code in {1, 4}
    assert says in " ".join(said.split()), said
    for command in ("status", "logs", "runs", "cancel"):
        said += commands[0].run(command, *(["spec.yaml"] if command != "runs" else []), folder=folder)[1]
    assert "Traceback" not in said
    assert traces(folder, KEY, [said]) == []
