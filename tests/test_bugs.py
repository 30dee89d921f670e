"""Exit code 3: a bug shows one line and where its log is; the log can be pasted, and holds no secret."""

from __future__ import annotations

import errno
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import plugged
import pytest

from ftspec import registry
from ftspec.cli import guard
from ftspec.common import faults
from ftspec.common.references import mask


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`ftspec plugins` meets a bug whose message holds a secret; logs go to tmp_path."""

    def load() -> None:
        raise ZeroDivisionError("wrong at hunter2-secret")

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setenv("BUG_SECRET", "hunter2-secret")
    monkeypatch.setattr(mask, "names", {"BUG_SECRET"})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bug_is_exit_code_3_one_line_and_a_log(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["plugins", "--format", "text"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("bug: ZeroDivisionError: wrong at ***\n")
    assert "Traceback" not in shown.err
    (log,) = broken.glob("ftspec-bug-*.md")
    assert str(log) in shown.err


def test_the_log_has_all_that_a_maintainer_needs(broken: Path) -> None:
    guard.run(["plugins"])
    text = next(broken.glob("ftspec-bug-*.md")).read_text()
    for part in (
        "Traceback",
        "ZeroDivisionError",
        "ftspec 0.",
        "Python 3.",
        "plugins: ftspec",
        "command: ftspec plugins",
    ):
        assert part in text


def test_no_secret_is_in_the_log_or_on_the_terminal(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard.run(["plugins", "show", "hunter2-secret"])
    shown = capsys.readouterr()
    logs = "".join(path.read_text() for path in broken.rglob("*.md"))
    assert "hunter2-secret" not in shown.out + shown.err + logs
    assert "***" in logs


def test_the_log_goes_to_the_state_folder_where_there_is_one(broken: Path) -> None:
    (broken / ".ftspec").mkdir()
    guard.run(["plugins"])
    assert len(list((broken / ".ftspec").glob("ftspec-bug-*.md"))) == 1


FAULTY = """
from ftspec import api

def estimate():
    return len(1)
"""


def test_a_bug_in_a_plugin_is_told_as_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugged.install(tmp_path, "acme", "fast", "acme_tuner", FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "load", lambda: importlib.import_module("acme_tuner").estimate())
    assert guard.run(["plugins"]) == 3
    said = capsys.readouterr().err
    assert "This is a fault in the plugin acme[fast], at acme_tuner.py:5, not in your spec" in said
    assert "to the plugin's authors" in said


def test_an_interrupt_is_130_and_one_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "load", load)
    assert guard.run(["plugins"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_closed_pipe_ends_quietly() -> None:
    """`ftspec plugins | head -1` with a reader that has gone before anything is written."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "ftspec", "plugins"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode not in {0, 3}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_terminal_encoding_will_do(encoding: str, tmp_path: Path) -> None:
    spec = tmp_path / "spéc-日本.yaml"
    spec.write_text("version: 1\nnäme: →\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ftspec", "validate", str(spec)],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 1
    assert re.search(rb"yaml:\d+:\d+", done.stdout)
    done.stdout.decode(encoding)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_bug(closed: str, tmp_path: Path) -> None:
    done = _shell(f'"{sys.executable}" -m ftspec plugins {closed}', tmp_path)
    assert done.returncode == 0
    assert "bug" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("full", [">/dev/full", ">/dev/full 2>/dev/full"])
def test_a_full_disk_below_standard_output_is_said(full: str, tmp_path: Path) -> None:
    done = _shell(f'"{sys.executable}" -m ftspec plugins {full}', tmp_path)
    assert done.returncode == 1
    if "2>" not in full:
        said = "the system refused: No space left on device: standard output\n"
        assert said in done.stderr  # not the disks that have room
        assert "Exception" not in done.stderr


def test_what_the_system_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def load() -> None:
        (tmp_path / "file").touch()
        (tmp_path / "file" / "below").mkdir()

    monkeypatch.setattr(registry, "load", load)
    assert guard.run(["plugins"]) == 1
    said = capsys.readouterr().err
    assert f"the system refused: Not a directory: {tmp_path}/file/below" in said
    assert "run the same command again" in said


def test_where_a_disk_is_full_the_specs_own_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its state lies beside it. The disks are those of this machine, the fullest one first."""

    def load() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spec = tmp_path / "there" / "spec.yaml"
    spec.parent.mkdir()
    spec.touch()
    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=len(str(place))))
    assert guard.run(["validate", str(spec), "--set", "x=\0"]) == 1
    said = capsys.readouterr().err
    assert f" {len(str(spec.parent))} B free in {spec.parent}" in said


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(["data"]) in {0, 2}
    shown = capsys.readouterr()
    assert "error" not in shown.err
    assert "those that the model is trained on marked" in " ".join((shown.out + shown.err).split())


def _shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60)


def test_where_the_state_has_a_disk_of_its_own_that_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def load() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / ".ftspec").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "spec.yaml").touch()
    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1))
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **how: SimpleNamespace(**_of(stat(self, **how)), st_dev=str(self)))
    assert guard.run(["plan", str(tmp_path / "spec.yaml"), "--store", str(tmp_path / "store")]) == 1
    said = capsys.readouterr().err
    assert f"1 B free in {tmp_path}/.ftspec" in said
    assert f"1 B free in {tmp_path}/store" in said


def _of(status: os.stat_result) -> dict[str, int]:
    return {"st_mode": status.st_mode}


def test_a_bug_whose_log_cannot_be_kept_is_told_all_the_same(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(broken / "nowhere"))
    assert guard.run(["plugins"]) == 3
    said = capsys.readouterr().err
    assert "bug: ZeroDivisionError" in said
    assert "TMPDIR" in said


def test_no_memory_is_no_bug_be_it_in_a_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> None:
        raise MemoryError

    monkeypatch.setattr(registry, "load", load)
    assert guard.run(["plugins"]) == 1
    assert "there is no memory left" in capsys.readouterr().err
    assert faults.is_machines(MemoryError())
