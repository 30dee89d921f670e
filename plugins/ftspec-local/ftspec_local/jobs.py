"""A job is a folder. Its name is the job's key, so the same key twice is the same job.

    job.json       what to do; written once, atomically
    lock           held by the worker (flock) for as long as it lives: the only sign of life that is trusted
    cancel         exists once somebody asked for the job to be cancelled
    events.jsonl   what happened, one JSON object a line, `number` increasing; appended by the worker
    checkpoints/   see ftspec_local.checkpoints
    kept-STEP/     the model (or its adapter) as it was after that step; `best-STEP` that of the lowest validation loss
    model/         the adapter, or the whole model
    result.json    how it ended; written once, atomically, last
    halted.json    what the machine refused the last worker, where the next one may go on; taken away once it is told
    worker.log     what the worker printed

This module is the whole protocol. It needs nothing but the standard library, and it does not matter who runs the other
side: the runner that started the worker, a later runner, or a server.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ftspec_local import children

START_TIMEOUT = 60.0  # seconds for a worker to take its lock: it does so before any heavy import
LOCK_PATIENCE = 2.0  # seconds a worker tries to take the lock: somebody may be looking whether it is free


class Best(msgspec.Struct, frozen=True):
    """A model that was kept on the way."""

    folder: Path
    step: int
    validation_loss: float


class JobFolder:
    """One job's folder, for both sides."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- what the parent's side does ----------------------------------------------------------------------------------

    def create(self, job: dict[str, Any]) -> None:
        """Write job.json, unless the job is there already."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._job_file.exists():
            write_atomically(self._job_file, job)

    def exists(self) -> bool:
        """Whether such a job was ever made."""
        return self._job_file.exists()

    def created_at(self) -> float:
        """When the job was made, in seconds since the epoch."""
        return self._job_file.stat().st_mtime

    def adjust(self, settings: dict[str, Any]) -> None:
        """Have the next worker use the machine like that."""
        job = self.job()
        if job["settings"] != settings:
            write_atomically(self._job_file, {**job, "settings": settings})

    def start(self) -> None:
        """Make sure that a worker is at work, or that there is a result. Never two workers: the lock decides."""
        if self.result() is not None or self.is_running():
            return
        with (self.path / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                children.command("worker", str(self.path)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=children.environment(),
                start_new_session=True,  # ^C and the runner's death do not reach it
            )
        deadline = time.monotonic() + START_TIMEOUT
        while worker.poll() is None and time.monotonic() < deadline:
            if self.is_running() or self.result() is not None:
                return
            time.sleep(0.01)

    def is_running(self) -> bool:
        """Whether a worker lives."""
        try:
            with self._lock_file.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """Events with a number above `after`. A line that is still being written is left for the next time."""
        try:
            lines = self._events_file.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        events = (json.loads(line) for line in lines)
        return [event for event in events if event["number"] > after]

    def result(self) -> dict[str, Any] | None:
        """How the job ended; None while it has not."""
        try:
            return dict(json.loads((self.path / "result.json").read_bytes()))
        except FileNotFoundError:
            return None

    def halted(self, *, keep: bool = False) -> dict[str, str] | None:
        """What the machine refused the last worker: {"error", "hint"}; told once, unless it is kept."""
        try:
            said = dict(json.loads(self._halted_file.read_bytes()))
        except FileNotFoundError:
            return None
        if not keep:
            self._halted_file.unlink(missing_ok=True)
        return said

    def cancel(self) -> None:
        """Ask for the job to be cancelled. A job that no worker holds is cancelled at once."""
        (self.path / "cancel").touch()
        with self.locked(patience=0) as mine:
            if mine and self.result() is None:
                self.finish({"state": "cancelled"})

    # --- what the worker's side does ----------------------------------------------------------------------------------

    def job(self) -> dict[str, Any]:
        """What to do."""
        return dict(json.loads(self._job_file.read_bytes()))

    @contextmanager
    def locked(self, patience: float = LOCK_PATIENCE) -> Iterator[bool]:
        """Hold the job's lock; gives False where somebody else holds it."""
        deadline = time.monotonic() + patience
        with self._lock_file.open("ab") as file:
            while not (mine := _try_lock(file.fileno())) and time.monotonic() < deadline:
                time.sleep(0.01)
            yield mine

    def stop(self) -> None:
        """Ask for the job to end after its current step, with what it has learned."""
        (self.path / "stop").touch()

    def stopping(self) -> bool:
        """Whether somebody asked for the job to end early."""
        return (self.path / "stop").exists()

    def best(self) -> Best | None:
        """The model of the lowest validation loss so far; None where none was kept."""
        kept = [Best(path.parent, **json.loads(path.read_bytes())) for path in self.path.glob("best-*/best.json")]
        return min(kept, key=lambda one: one.validation_loss, default=None)

    def kept(self) -> dict[int, Path]:
        """The models that were kept on the way, by their step."""
        folders = [*self.path.glob("best-*"), *self.path.glob("kept-*")]
        return {int(folder.name.rpartition("-")[2]): folder for folder in folders}

    def losses(self) -> dict[int, float]:
        """The validation losses, by the step after which each was measured."""
        measured = (event for event in self.events() if "validation_loss" in event.get("metrics", {}))
        return {event["step"]: event["metrics"]["validation_loss"] for event in measured}

    def cancelled(self) -> bool:
        """Whether somebody asked for the job to be cancelled."""
        return (self.path / "cancel").exists()

    def finish(self, result: dict[str, Any]) -> None:
        """Write the result: after this the job has ended."""
        write_atomically(self.path / "result.json", result)

    def halt(self, error: str, hint: str) -> None:
        """Leave the job to a later worker, and say why."""
        write_atomically(self._halted_file, {"error": error, "hint": hint})

    def event_log(self) -> EventLog:
        """Where the worker writes its events."""
        return EventLog(self._events_file)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def _job_file(self) -> Path:
        return self.path / "job.json"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def _halted_file(self) -> Path:
        return self.path / "halted.json"

    @property
    def _events_file(self) -> Path:
        return self.path / "events.jsonl"


class EventLog:
    """Appends events. Their `id` says what happened: a step that is done again after a crash has the same id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = self._repair()

    def add(self, id: str, message: str = "", **fields: Any) -> None:
        """Append one event, in a single write."""
        self.number += 1
        event = {"number": self.number, "id": id, "at": time.time(), "message": message, **fields}
        with self.path.open("ab") as file:
            file.write(json.dumps(event).encode() + b"\n")

    def _repair(self) -> int:
        """Cut off what a killed worker left half written; returns the last event's number."""
        if not self.path.exists():
            return 0
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        if not whole:
            self.path.write_bytes(b"")
            return 0
        os.truncate(self.path, len(whole) + 1)
        return int(json.loads(whole.rpartition(b"\n")[2])["number"])


def write_atomically(path: Path, content: dict[str, Any]) -> None:
    """Write JSON so that a reader sees all of it or nothing, also after a power cut."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staging.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError:
        staging.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_durable(folder: Path) -> None:
    """Have all that is in a folder on the disk. Libraries that write models leave that to the system, which takes half
    a minute: a power cut would leave empty files of the right names."""
    for file in folder.rglob("*"):
        sync(file)
    sync(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
