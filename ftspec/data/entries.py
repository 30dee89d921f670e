"""The folder of a cache of outcomes: an entry is a file with all that steps made of a batch.

Losing entries loses nothing: each is written beside its name and renamed, and one that cannot be read is as good as
none.
"""

from __future__ import annotations

import os
import pickle
import secrets
import struct
import time
from collections.abc import Iterator, Sized
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftspec.data.spool import Held
from ftspec.layout.arrays import stream

if TYPE_CHECKING:
    from ftspec.data.segments import Outcome

MOST = 20 << 30
"""Bytes that a cache may hold; what was not used for longest goes first."""
CHECK = 16
"""Bytes of the digest that each entry begins with: a power cut may leave zeros in a file."""
LENGTH = struct.Struct("<Q")
"""Behind it: how many bytes are pickled. The batch follows them, as Arrow's stream: not compressed, which would take
five times as long as all the rest."""
ALIGNED = 16
SEED = "seed"


def write(folder: Path, name: str, outcome: Outcome) -> Held | None:
    """Keep an outcome, and say where its batch is; one that cannot be written (the disk is full) is left out."""
    path = _path(folder, name)
    part = path.with_name(f"{name}.{secrets.token_hex(4)}.part")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        data = _packed(outcome)
        with open(part, "wb", opener=_private) as file:
            file.writelines([_check(*data), *data])
        part.replace(path)
        return _held(path, data[1], sum(map(len, data)))
    part.unlink(missing_ok=True)
    return None


def read(folder: Path, name: str) -> Outcome | None:
    """The outcome of this name, None where there is none; a damaged one is removed."""
    path = _path(folder, name)
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    if _check(memoryview(data)[CHECK:]) != data[:CHECK]:
        path.unlink(missing_ok=True)
        return None
    return _unpacked(path, memoryview(data)[CHECK:])


def is_there(folder: Path, mark: str) -> bool:
    """Whether an entry of this mark may be there."""
    try:
        return any((folder / mark[:2]).glob(f"{mark}*"))
    except OSError:
        return False


def ready(folder: Path) -> bool:
    """Make the folder of a cache, for this user only; whether it can be had."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        seed(folder)
    except OSError:
        return False
    return True


def seed(folder: Path) -> int:
    """A number of this cache alone, which names are made with: so nobody can write rows that have the name of others.

    One that was lost, or that two processes make at once, makes entries that are not found again.
    """
    path = folder / SEED
    if not path.exists():
        part = path.with_name(f"{SEED}.{secrets.token_hex(4)}.part")
        with open(part, "wb", opener=_private) as file:
            file.write(secrets.token_bytes(8))
        part.replace(path)
    return int.from_bytes(path.read_bytes(), "little")


def sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(last use, bytes, path) of every entry; also of what a killed process left half."""
    for path in folder.glob("??/*"):
        with suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path


def trim(folder: Path, most: int = MOST, unused: float = 365 * 86400.0) -> int:
    """Remove what was not used for longest until no more than `most` bytes are left, and what was not used for so many
    seconds; how many bytes went. What a killed process left half goes after an hour."""
    now = time.time()
    entries = sorted(sizes(folder))
    total, gone = sum(size for _, size, _ in entries), 0
    for used, size, path in entries:
        idle = now - used
        if total - gone > most or idle > unused or (path.suffix == ".part" and idle > 3600):
            path.unlink(missing_ok=True)
            gone += size
    return gone


def _path(folder: Path, name: str) -> Path:
    return folder / name[:2] / name


def _packed(outcome: Outcome) -> list[Any]:
    """The pieces of an entry: all but the batch pickled, and the batch."""
    told = pickle.dumps(outcome._replace(batch=None, held=None), protocol=5)
    told += bytes(-(CHECK + LENGTH.size + len(told)) % ALIGNED)
    return [LENGTH.pack(len(told)), told, *stream(outcome.batch)]


def _unpacked(path: Path, data: memoryview) -> Outcome:
    import pyarrow as pa

    (length,) = LENGTH.unpack_from(data)
    told, batch = data[LENGTH.size : LENGTH.size + length], data[LENGTH.size + length :]
    outcome = pickle.loads(told)  # noqa: S301  # written by this user, in a folder that only they can write
    batch = pa.ipc.open_stream(batch).read_next_batch()
    made: Outcome = outcome._replace(batch=batch, held=_held(path, told, len(data)))
    return made


def _held(path: Path, told: Sized, size: int) -> Held:
    """Where the batch of an entry is that has so many bytes behind its digest."""
    return Held(path, CHECK + LENGTH.size + len(told), CHECK + size)


def _check(*pieces: Any) -> bytes:
    """What an entry begins with. It tells what a power cut has left, not what somebody forges: any quick hash does."""
    from xxhash import xxh3_128

    state = xxh3_128()
    for piece in pieces:
        state.update(piece)
    return state.digest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
