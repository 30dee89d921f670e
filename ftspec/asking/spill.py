"""Records that are safe as soon as they are there, and objects in the store that hold many of them.

One object per record would be too many, and a record that waits for others would be lost with the process. So each
writer appends to a file on this machine (machine/spills/<name>/<writer>.jsonl), which is put into the store as one
segment when it is long enough, when it is old enough (a bucket outlives this machine), or at the end. What a killed
writer left behind is put there by the next one, and read in the meantime.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from ftspec.common.errors import StoreError
from ftspec.common.records import Record
from ftspec.state.journal import Segments
from ftspec.state.store import Store

R = TypeVar("R", bound=Record)

LONG = 4 << 20
"""Bytes after which a spill becomes a segment,"""
OLD = 30.0
"""and seconds, where the store is not on this machine."""
SYNC = 0.5
"""Seconds between two syncs to the disk: what a power cut may take. A killed process loses nothing."""


class Spill:
    """Records in bulk under one name, in segments and in the spills of this machine."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.segments = Segments(store, name)
        self.folder = store.machine / "spills" / name

    def read(self, type: type[R]) -> Iterator[R]:
        """Every record, in no particular order; one may come twice where a writer was killed, or is at work."""
        spilled = []
        for path in self._files():
            with suppress(FileNotFoundError):  # its writer has just ended: what was in it is in a segment
                spilled.append(path.read_bytes())
        yield from self.segments.read(type)  # after the spills: what moves there is seen twice, and not never
        for data in spilled:
            yield from msgspec.json.Decoder(type).decode_lines(_whole(data))

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Append records; what earlier writers left behind becomes a segment first."""
        self._adopt()
        path, descriptor = self._created()
        writer = Writer(self, descriptor)
        try:
            yield writer
        except BaseException:
            with suppress(StoreError):  # what went wrong before is the news; the next writer finds the file
                writer.flush()
            raise
        else:
            writer.flush()
        finally:
            writer.close(path)

    def drop(self) -> None:
        """Forget everything under the name."""
        self.segments.drop()
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return list(self.folder.glob("*.jsonl"))

    def _created(self) -> tuple[Path, int]:
        """A file of this writer's own. One that another process took for left behind, before this one had locked it,
        has no name any more."""
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            while True:
                path = self.folder / f"{secrets.token_hex(8)}.jsonl"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink:
                    return path, descriptor
                os.close(descriptor)

    def _adopt(self) -> None:
        for path in self._files():
            with self._explained():
                try:
                    file = path.open("rb")
                except FileNotFoundError:
                    continue  # its writer has just ended
                with file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue  # its writer lives
                    if not os.fstat(file.fileno()).st_nlink:
                        continue  # another process has just made a segment of it
                    self.segments.append_lines(_whole(file.read()))
                    path.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot keep records in {self.folder}: {error.strerror}", "check that there is space on the disk"
            ) from error


class Writer:
    """The one writer of a spill."""

    def __init__(self, spill: Spill, descriptor: int) -> None:
        self._spill, self._descriptor = spill, descriptor
        self._bytes = 0
        self._synced = self._flushed = time.monotonic()

    def add(self, record: Record) -> None:
        """Append a record: a killed process does not lose it any more when this returns."""
        data = msgspec.json.encode(record) + b"\n"
        with self._spill._explained():
            try:
                written = os.write(self._descriptor, data)
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except BaseException:
                os.ftruncate(self._descriptor, self._bytes)  # a disk takes part of a record before it is full
                raise
        self._bytes += len(data)
        now = time.monotonic()
        if now - self._synced >= SYNC:
            self.sync()
        if self._bytes >= LONG or (self._spill.store.root is None and now - self._flushed >= OLD):
            self.flush()

    def close(self, path: Path) -> None:
        """Remove the file, unless something in it is not in the store."""
        if self._bytes:
            self.sync()
        else:
            path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)
        self._synced = time.monotonic()

    def flush(self) -> None:
        """Make a segment of what has been written."""
        with self._spill._explained():
            data = os.pread(self._descriptor, self._bytes, 0)
        self._spill.segments.append_lines(data)
        with self._spill._explained():
            os.ftruncate(self._descriptor, 0)
        self._bytes, self._flushed = 0, time.monotonic()


def _whole(data: bytes) -> bytes:
    """The lines that can be read: a power cut may have cut the last ones, or left zeros in their place."""
    return b"".join(line + b"\n" for line in data.split(b"\n") if _sound(line))


def _sound(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
