"""Threads and processes: the same results in the same order, nobody left behind, and a killed data step goes on."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_pipeline import everything, item, numbered, spec_of, write

from ftspec.builtin import engines
from ftspec.builtin.engines import Local
from ftspec.common.errors import PluginError
from ftspec.spec import Eval, Split

HERE = Path(__file__).parent
CLEANING: list[Any] = ["strip", {"flatten": {"columns": ["label"]}}, "dedupe"]


def who(item: int) -> tuple[int, int]:
    return item, os.getpid()


def fails(item: int) -> int:
    if item == 3:
        raise PluginError("no three", "take four")
    return item


def dies(item: tuple[int, int]) -> int:
    number, parent = item
    if number == 3 and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


class Rowwise:
    rowwise = True

    def __call__(self, item: int) -> tuple[int, int]:
        return who(item)


def test_results_come_in_order_from_processes() -> None:
    found = list(Local(2, "always").map(who, range(20)))
    assert [item for item, _ in found] == list(range(20))
    assert os.getpid() not in {process for _, process in found}
    assert {process for _, process in Local(2, "auto").map(who, range(5))} == {os.getpid()}


def test_an_interrupt_does_not_leave_a_process_half_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception is raised in the main thread, whichever thread the signal comes to: none may be started there."""
    starting: list[bool] = []
    submit = ProcessPoolExecutor.submit

    def watched(*args: Any) -> Any:
        starting.append(threading.current_thread() is threading.main_thread())
        return submit(*args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", watched)
    test_results_come_in_order_from_processes()
    assert starting and not any(starting)


def test_work_with_row_steps_goes_on_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PATIENCE", 0.0)
    assert os.getpid() not in {process for _, process in Local(2, "auto").map(Rowwise(), range(3))}
    assert {process for _, process in Local(2, "never").map(Rowwise(), range(3))} == {os.getpid()}
    assert {process for _, process in Local(1, "auto").map(Rowwise(), range(3))} == {os.getpid()}


def test_an_error_comes_as_it_is() -> None:
    results = Local(2, "always").map(fails, range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(PluginError) as caught:
        next(results)
    assert (caught.value.message, caught.value.hint) == ("no three", "take four")


def test_a_process_that_dies_loses_nothing() -> None:
    assert list(Local(2, "always").map(dies, [(number, os.getpid()) for number in range(12)])) == list(range(12))


def test_work_that_cannot_be_sent_stays_here() -> None:
    assert list(Local(2, "always").map(lambda item: item + 1, range(5))) == [1, 2, 3, 4, 5]


class Learned:
    """Work that has learned much."""

    def __init__(self) -> None:
        self.learned = b"x" * 1_000_000

    def __call__(self, item: int) -> tuple[int, int]:
        return len(self.learned) + item, os.getpid()


def test_the_work_is_sent_to_a_process_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes with every batch is the batch."""
    sent = []

    def counted(self: Any, *arguments: Any) -> Any:
        sent.append(len(pickle.dumps(arguments)))
        return submit(self, *arguments)

    submit = ProcessPoolExecutor.submit
    monkeypatch.setattr(ProcessPoolExecutor, "submit", counted)
    found = list(Local(2, "always").map(Learned(), range(6)))
    assert [number for number, _ in found] == [1_000_000 + item for item in range(6)]
    assert os.getpid() not in {process for _, process in found}
    assert len(sent) == 6 and max(sent) < 1000


def test_processes_make_the_same_bytes(tmp_path: Path) -> None:
    values = [{**value, "label": {"a": index % 7, "b": [" x "]}} for index, value in enumerate(numbered(3000))]
    write(tmp_path, [*values, *values[:40], {"text": "no label"}])
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write("not JSON\n")
    source = item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0), on_error="skip")
    form = item("format", {"chat": {"user": "{{ text }}", "assistant": "{{ label_a }}"}}, on_error="skip")
    made = []
    for options in ({"workers": 1}, {"workers": 2, "processes": "always"}):
        spec = spec_of(
            tmp_path, sources=(source,), cleaning=CLEANING, engine=item("engine", {"threads": options}), format=form,
            split=Split(test=0.1), eval=Eval(prompts=("test",), graders=()),
        )  # fmt: skip
        made.append(everything(spec, tmp_path / f"out-{len(made)}", cache=str(tmp_path / f"c{len(made)}"), worth=0))
    assert made[0] == made[1]
    assert len(made[0]) == 4, made[0]
    rejected = [json.loads(line) for line in (tmp_path / "out-1/rejected.jsonl").read_text().splitlines()]
    assert [(each["file"], each["line"], each["step"]) for each in rejected] == [
        ("data.jsonl", 3042, "jsonl"),
        ("data.jsonl", 3041, "chat"),
    ]
    assert "label_a" in rejected[1]["reason"]


# ---- kills

PREAMBLE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from test_engines import *
if __name__ == "__main__":
"""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("with_", [signal.SIGKILL, signal.SIGINT])
def test_nobody_is_left_behind(tmp_path: Path, with_: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        PREAMBLE
        + """
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell has in its background ignores it
    for _, process in Local(2, "always").map(who, iter(int, 1)):
        print(process, flush=True)
"""
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    processes = {int(parent.stdout.readline()) for _ in range(40)}
    parent.send_signal(with_)
    parent.communicate()
    deadline = time.monotonic() + 120
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [process for process in processes if alive(process)]


def test_a_killed_data_step_makes_the_same_bytes(tmp_path: Path) -> None:
    """Killed at several instants, with a cache that is being filled; then the same command."""
    write(tmp_path, [*numbered(20_000), *numbered(500)])
    spec = spec_of(tmp_path, cleaning=CLEANING)
    fresh = everything(spec, tmp_path / "fresh")
    script = tmp_path / "script.py"
    script.write_text(
        PREAMBLE
        + f"""
    spec = spec_of(Path({str(tmp_path)!r}), cleaning=CLEANING)
    print("begins", flush=True)
    everything(spec, Path({str(tmp_path)!r}) / "killed", cache={str(tmp_path / "cache")!r}, worth=0)
"""
    )
    for instant in (0.05, 0.3, 0.8):
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(instant)
        process.kill()
        process.communicate()
    assert everything(spec, tmp_path / "again", cache=str(tmp_path / "cache"), worth=0) == fresh
