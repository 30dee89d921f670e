"""Real processes, killed for real: whatever breaks, one job, and the same result in the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
version: 1
name: survivor
sources:
  - jsonl: {path: rows.jsonl}
cleaning:
  - strip
  - dedupe
format:
  prompt_completion: {}
split: {validation: 0.2, test: 0.3, seed: 7}
checks:
  - min_examples: {count: 5}
provider:
  simulated: {seconds_per_step: 0.02, queue_seconds: 0.1, idle: 20}
model: some-model
hyperparameters: {epochs: 2, batch_size: 4}
eval:
  prompts: [{split: test}]
  graders: [exact]
  generation: {temperature: 0.7, max_tokens: 8}
  repeat: 2
gates:
  - accuracy: {min: 0.5, evidence: estimate}
"""

INSTANTS = 24
PHASES = {"", "started", "data_made", "tuning", "job_submitted", "job_finished", "tuned", "answered", "judged"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    rows = ({"prompt": f"what is {n} + {n}?", "completion": str(2 * n)} for n in range(60))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def start(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftspec", "run", "spec.yaml", *options]
    return subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def jobs(folder: Path) -> list[Path]:
    """Every job that the server side has ever made."""
    return list((folder / ".ftspec/machine/providers/simulated/jobs").glob("*.json"))


def calls(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / ".ftspec/machine/providers/simulated/calls.json").read_text())
    return found


def result(folder: Path) -> dict[str, Any]:
    """What the run came to, without anything that is a time."""
    (path,) = (folder / ".ftspec/runs").glob("*/report/report.json")
    report = json.loads(path.read_text())
    for model in ("base", "tuned"):
        report["evaluation"][model].pop("seconds")
    losses = [(event["step"], event["metrics"]) for event in report["training"]]
    return {name: report[name] for name in ("evaluation", "verdicts", "cases", "sides", "digests")} | {"losses": losses}


def last_decision(folder: Path) -> str:
    events = sorted((folder / ".ftspec/runs").glob("*/events/*"))
    return json.loads(events[-1].read_text())["kind"] if events else ""


@pytest.mark.parametrize("instants", [6, pytest.param(INSTANTS, marks=pytest.mark.slow)])
def test_killed_at_any_instant(folder: Path, tmp_path_factory: pytest.TempPathFactory, instants: int) -> None:
    pristine = tmp_path_factory.mktemp("pristine") / "spec"
    shutil.copytree(folder, pristine)
    began = time.monotonic()
    finish(start(folder))
    length, expected = time.monotonic() - began, result(folder)
    reached = set()
    for instant in range(instants):
        trial = tmp_path_factory.mktemp("trial") / "spec"
        shutil.copytree(pristine, trial)
        victim = start(trial)
        time.sleep(length * (instant + 0.5) / instants)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.communicate()
        reached.add(last_decision(trial))
        finish(start(trial))
        assert result(trial) == expected, f"killed at instant {instant}"
        assert len(jobs(trial)) == 1
    assert len(reached & PHASES) >= min(4, instants // 3), f"the instants are not spread over the phases: {reached}"


def test_killed_again_and_again(folder: Path) -> None:
    """The same state folder, killed later and later, goes on every time and never starts over."""
    for instant in range(6):
        victim = start(folder)
        time.sleep(0.4 + 0.15 * instant)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.communicate()
    finish(start(folder))
    assert len(jobs(folder)) == 1
    assert calls(folder)["upload"] == 2


def test_two_runners_make_one_job(folder: Path) -> None:
    first, second = start(folder), start(folder)
    finish(first)
    finish(second)
    assert len(jobs(folder)) == 1


def test_a_runner_that_was_stopped_goes_on_without_a_second_job(folder: Path) -> None:
    stopped = start(folder)
    while last_decision(folder) != "tuning":
        time.sleep(0.01)
    os.killpg(stopped.pid, signal.SIGSTOP)
    finish(start(folder))
    os.killpg(stopped.pid, signal.SIGCONT)
    finish(stopped)
    assert len(jobs(folder)) == 1


def test_a_finished_run_is_not_done_again(folder: Path) -> None:
    finish(start(folder))
    before = calls(folder)
    finish(start(folder))
    assert calls(folder) == before


def test_an_upgrade_makes_no_job_and_no_upload(folder: Path, tmp_path: Path) -> None:
    """A newer ftspec with changed code in every builtin component and in the provider: all digests of code differ."""
    import ftspec

    finish(start(folder))
    before = calls(folder)
    newer = tmp_path / "newer"
    shutil.copytree(Path(ftspec.__file__).parent, newer / "ftspec")
    for module in (newer / "ftspec/builtin").rglob("*.py"):
        module.write_text(module.read_text() + "\n# one release later\n")
    version = newer / "ftspec/__init__.py"
    version.write_text(version.read_text().replace(ftspec.__version__, "99.0.0"))
    output = finish(start(folder, PYTHONPATH=str(newer)))
    assert len(list((folder / ".ftspec/runs").iterdir())) == 2, output
    assert len(jobs(folder)) == 1
    assert {name: calls(folder).get(name) for name in ("upload", "create", "answer")} == {
        name: before.get(name) for name in ("upload", "create", "answer")
    }
