"""Spills: nothing is lost with the process, few objects are made, and what a killed writer left is found."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec.asking import spill as spills
from ftspec.asking.spill import Spill
from ftspec.common.errors import StoreError
from ftspec.common.messages import Answer
from ftspec.state.journal import Segments
from ftspec.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "state")


def answer(number: int) -> Answer:
    return Answer(prompt=f"p{number}", repeat=0, text="x" * 50)


def found(store: Store) -> list[str]:
    return sorted(answer.prompt for answer in Spill(store, "answers/a").read(Answer))


def files(store: Store) -> list[Path]:
    return list((store.machine / "spills").rglob("*.jsonl"))


def test_what_is_written_is_read_at_once_and_ends_in_one_object(store: Store) -> None:
    with Spill(store, "answers/a").writer() as writer:
        for number in range(5):
            writer.add(answer(number))
            assert len(found(store)) == number + 1
    assert len(store.list("segments")) == 1
    assert len(found(store)) == 5
    assert files(store) == []


def test_a_file_whose_writer_ends_meanwhile_is_not_missed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look for files and the look into them, another runner makes a segment of one and removes it."""
    listed = Spill._files

    def too_late(self: Spill) -> list[Path]:
        return [*listed(self), self.folder / "0123456789abcdef.jsonl"]

    monkeypatch.setattr(Spill, "_files", too_late)
    with Spill(store, "answers/a").writer() as writer:
        writer.add(answer(1))
        assert found(store) == ["p1"]
    assert found(store) == ["p1"]


@pytest.fixture
def between(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Before the next lock is taken, another process adopts whatever lies about."""
    lock, other = fcntl.flock, Spill(store, "answers/a")

    def late(file: Any, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        other._adopt()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    yield
    assert fcntl.flock is lock


def test_a_new_file_that_is_taken_for_left_behind(store: Store, between: None) -> None:
    with Spill(store, "answers/a").writer() as writer:
        writer.add(answer(1))
        assert found(store) == ["p1"], "a killed process would have lost it"
    assert found(store) == ["p1"]


def test_two_that_adopt_the_same_file(store: Store, between: None) -> None:
    folder = Spill(store, "answers/a").folder
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef.jsonl").write_bytes(msgspec.json.encode(answer(1)) + b"\n")
    with Spill(store, "answers/a").writer():
        pass
    assert found(store) == ["p1"]


def test_nothing_written_leaves_nothing(store: Store) -> None:
    with Spill(store, "answers/a").writer():
        pass
    assert store.list("segments") == []
    assert files(store) == []


def test_a_long_spill_becomes_a_segment_on_the_way(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spills, "LONG", 300)
    with Spill(store, "answers/a").writer() as writer:
        for number in range(10):
            writer.add(answer(number))
        assert len(store.list("segments")) > 1
        assert len(found(store)) == 10
    assert len(found(store)) == 10


def test_what_was_written_is_in_the_store_when_something_goes_wrong(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), Spill(store, "answers/a").writer() as writer:
        writer.add(answer(1))
        raise KeyboardInterrupt
    assert len(store.list("segments")) == 1
    assert files(store) == []


def test_what_the_store_does_not_take_waits_on_this_machine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the news is what went wrong before."""

    def down(*_: object) -> None:
        raise StoreError("the bucket is away")

    synced: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(Segments, "append_lines", down)
        patch.setattr(os, "fdatasync", synced.append)
        with pytest.raises(KeyboardInterrupt), Spill(store, "answers/a").writer() as writer:
            writer.add(answer(1))
            raise KeyboardInterrupt
    assert (len(files(store)), len(synced), found(store)) == (1, 1, ["p1"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_power_cut_takes_half_a_second_at_the_most(
    store: Store, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    synced: list[float] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(clock[0]))
    with Spill(store, "answers/a").writer() as writer:
        for clock[0] in (100.25, 100.5, 100.75, 101.0):
            writer.add(answer(1))
    assert synced == [100.5, 101.0]


@pytest.mark.parametrize(("where", "segments"), [("state", 0), ("memory:///", 1)])
def test_what_is_old_leaves_a_machine_that_a_bucket_outlives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float], where: str, segments: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = Store.open(where if "://" in where else tmp_path / where)
    with Spill(store, "answers/a").writer() as writer:
        for clock[0] in (100.0, 129.9):
            writer.add(answer(1))
            assert store.list("segments") == []
        clock[0] = 130.0
        writer.add(answer(2))
        assert len(store.list("segments")) == segments


def test_a_killed_writer_loses_nothing(store: Store) -> None:
    script = (
        "import sys, os, signal\nfrom ftspec.asking.spill import Spill\nfrom ftspec.state.store import Store\n"
        "from ftspec.common.messages import Answer\n"
        "with Spill(Store.open(sys.argv[1]), 'answers/a').writer() as writer:\n"
        "    for n in range(100): writer.add(Answer(prompt=f'p{n}', repeat=0))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, store.url], check=False).returncode == -signal.SIGKILL
    assert store.list("segments") == []
    assert len(found(store)) == 100
    with Spill(store, "answers/a").writer() as writer:
        assert len(store.list("segments")) == 1  # the dead writer's
        writer.add(answer(100))
    assert len(found(store)) == 101
    assert files(store) == []


def test_a_living_writer_is_left_alone(store: Store) -> None:
    with Spill(store, "answers/a").writer() as one:
        one.add(answer(1))
        with Spill(store, "answers/a").writer() as two:
            two.add(answer(2))
        one.add(answer(3))
    assert found(store) == ["p1", "p2", "p3"]


@pytest.mark.parametrize("rest", [b'{"prompt": "cut', b"\0\0\0\0", b"\0\0\n"])
def test_what_a_power_cut_left_is_passed_over(store: Store, rest: bytes) -> None:
    folder = store.machine / "spills" / "answers" / "a"
    folder.mkdir(parents=True)
    (folder / "dead.jsonl").write_bytes(b'{"prompt": "p1", "repeat": 0}\n' + rest)
    assert found(store) == ["p1"]
    with Spill(store, "answers/a").writer():
        pass
    assert found(store) == ["p1"]
    assert files(store) == []


def test_dropped_is_gone(store: Store) -> None:
    spill = Spill(store, "answers/a")
    with spill.writer() as writer:
        writer.add(answer(1))
    (spill.folder / "dead.jsonl").write_bytes(b'{"prompt": "p2", "repeat": 0}\n')
    spill.drop()
    assert found(store) == []


def test_a_folder_that_cannot_be_written_is_said(store: Store) -> None:
    store.machine.mkdir(parents=True)
    (store.machine / "spills").touch()
    with pytest.raises(StoreError, match="cannot keep records"), Spill(store, "answers/a").writer():
        pass


def test_a_record_that_a_full_disk_took_in_part_spoils_no_segment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state may lie on another disk, which takes what this one has."""
    really, room = os.write, len(msgspec.json.encode(answer(0))) * 3 // 2

    def full(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = really(descriptor, data[:room])
        room -= written
        return written

    with pytest.raises(StoreError, match="No space left"), Spill(store, "answers/a").writer() as writer:
        monkeypatch.setattr(os, "write", full)
        writer.add(answer(0))
        with pytest.raises(StoreError, match="No space left"):
            writer.add(answer(1))
        room = 1000
        writer.add(answer(2))
        room = 0
        writer.add(answer(3))
    assert found(store) == ["p0", "p2"]
