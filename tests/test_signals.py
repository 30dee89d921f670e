"""^C, SIGTERM and SIGHUP at any time, to the process or to its whole group: one word, the exit code, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ORDERLY = """\
import os, signal, sys, time
from ftspec.cli import guard, signals
from ftspec import registry

def load():
    try:
        {raised}
        time.sleep(10)
    finally:
        {meanwhile}
        print("in order", flush=True)

registry.load = load
sys.exit(guard.run(["plugins"], signals.heed))
"""
SEND = "os.kill(os.getpid(), signal.{})"
SPEC = """\
version: 1
name: interrupted
sources: [{jsonl: {path: rows.jsonl}}]
cleaning: [{filter: {where: "len(prompt) > 1"}}]
format: {prompt_completion: {}}
engine: {threads: {workers: 2, processes: always}}
provider: {simulated: {}}
model: some-model
"""


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """SIGHUP is not ignored, as it is below `nohup`: what is started there ignores it too, and shall."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def ended(raised: str, meanwhile: str = "pass", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    program = ORDERLY.format(raised=raised, meanwhile=meanwhile)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("SIGINT", 130, "interrupted"),
        ("SIGTERM", 143, "interrupted by SIGTERM"),
        ("SIGHUP", 129, "interrupted by SIGHUP"),
    ],
)
def test_what_is_under_way_ends_in_order(name: str, code: int, said: str) -> None:
    done = ended(SEND.format(name))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (code, "in order\n", said)


def test_a_second_one_at_once_is_the_first_once_more() -> None:
    done = ended(SEND.format("SIGINT"), meanwhile=SEND.format("SIGINT"))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "in order\n", "interrupted")


def test_a_later_one_ends_it_on_the_spot() -> None:
    done = ended(SEND.format("SIGINT"), meanwhile=f"time.sleep(1.1); {SEND.format('SIGINT')}; time.sleep(10)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_one_that_a_destructor_swallows_comes_again() -> None:
    raised = f"type('Gone', (), {{'__del__': lambda self: {SEND.format('SIGINT')}}})()"
    done = ended(raised + "; print('asleep', flush=True); time.sleep(600)")  # which it wakes
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "asleep\nin order\n", "interrupted")


def test_one_that_comes_while_an_error_is_told_is_no_traceback() -> None:
    program = f"""\
import os, signal, sys
from ftspec.cli import guard, signals
from ftspec import registry
from ftspec.common import terminal
from ftspec.common.errors import FtspecError

say = terminal.say

def interrupted(*text, **how):
    terminal.say = say
    {SEND.format("SIGTERM")}

def load():
    terminal.say = interrupted
    raise FtspecError("it cannot be done")

registry.load = load
sys.exit(guard.run(["plugins"], signals.heed))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (143, "", "interrupted by SIGTERM")


def test_an_error_in_its_place_is_no_bug() -> None:
    """Python 3.11 says RuntimeError where a class was being made."""
    done = ended(SEND.format("SIGINT"), meanwhile="raise ValueError('something was half made')")
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


def test_what_was_ignored_stays_so() -> None:
    """`nohup`, and `&` in a script."""
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    program = ignoring + ORDERLY.format(raised=SEND.format("SIGHUP") + "; return real()", meanwhile="pass")
    program = program.replace("def load", "real = registry.load\ndef load")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_while_modules_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text(f"import os, signal, time; {SEND.format('SIGINT')}; time.sleep(10)")
    done = subprocess.run(
        [sys.executable, "-m", "ftspec", "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_processes_of_the_data_step_say_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A terminal sends ^C to them, too, also while they start."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"prompt": "row {n}", "completion": "{n}"}}\n' for n in range(400_000))
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "ftspec", "run", "spec.yaml", "--until", "data"],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while "spawn_main" not in "".join(commands(process.pid)):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.005)
    time.sleep(0.1)  # it is Python, which answers to ^C, and has not come to our lines
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert said.endswith("interrupted\n" if code == 130 else "interrupted by SIGHUP\n")


def commands(parent: int) -> list[str]:
    """The command lines of a process's children."""
    with suppress(psutil.NoSuchProcess):
        return [" ".join(child.cmdline()) for child in psutil.Process(parent).children()]
    return []
