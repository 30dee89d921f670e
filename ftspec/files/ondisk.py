"""Files on this machine's disk: their sha256, the same content while they are sent or fetched, names, durability."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ftspec.common.errors import StoreError

CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """The hex digest of a file's content, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile(io.RawIOBase):
    """A new file that knows the sha256 and the length of what was written to it."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("xb", buffering=0)
        self.state = hashlib.sha256()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = self.file.write(data)
        self.state.update(memoryview(data)[:written])
        self.count += written
        return written

    def close(self) -> None:
        self.file.close()
        super().close()

    @property
    def digest(self) -> str:
        return self.state.hexdigest()


def unchanged(path: Path, sha256: str) -> Iterator[bytes]:
    """The file's chunks; raises after the last one if they are not what was hashed, and the upload is abandoned."""
    digest = hashlib.sha256()
    yield b""
    for chunk in _chunks(path):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise StoreError(f"{path} changed while it was being stored", "run again when nothing writes to it")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def save(chunks: Iterable[bytes], path: Path, sha256: str) -> None:
    """Write what a store sends into a new file. Raises StoreError where it is not the content of this hash."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        path.unlink()
        raise StoreError(f"blobs/{sha256} is damaged: its content has another hash", "delete it and run again")


def check(path: Path, sha256: str) -> Path:
    """The file, which is to have this content. Raises StoreError where it has another by now."""
    if sha256_of(path) != sha256:
        message = f"{path} is damaged: its content is no longer that of blobs/{sha256}"
        raise StoreError(message, "remove both, then run again with `--again data` to make it anew")
    return path


def named(path: Path, link: Path) -> Path:
    """The same file under a name that a tool likes, without a copy where the file system can."""
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, link)
        except FileExistsError:
            pass
        except OSError:
            staged = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
            shutil.copyfile(path, staged)  # a copy that breaks off must not have the name
            staged.replace(link)
    return link


def sync(path: Path) -> None:
    """fsync a file or folder; a system that cannot open folders (Windows) makes their names durable by itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
