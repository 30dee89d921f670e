"""Where a run keeps its state: the store, and beside it the folders that only this machine sees.

.ftspec/                 the store (a folder by default, or a bucket)
.ftspec/machine/         this machine's own: provider homes, scratch folders, liveness locks
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ftspec.common.errors import FtspecError, StoreError
from ftspec.common.wording import as_text, is_text
from ftspec.state.store import Store, Stored

FOLDER = ".ftspec"


class Workspace:
    """The store of a spec (or of a folder) and this machine's folders beside it.

    Args:
        where: a folder or an object store's URL.
    """

    def __init__(self, where: str | Path) -> None:
        self.store = Store.open(where)
        self.local = self.store.machine

    @classmethod
    def beside(cls, spec_file: Path, where: str | None) -> Workspace:
        """The store that the user named, or `.ftspec` beside the spec."""
        if where and not is_text(where):
            raise FtspecError(f"the name of the store is not UTF-8: {as_text(where)}", "name another folder")
        return cls(where or spec_file.parent / FOLDER)

    def home(self, provider: str) -> Path:
        """The provider's private folder; it may not exist yet."""
        return self.local / "providers" / provider

    @property
    def cache(self) -> Path:
        """What steps of the data step made of rows: it can be lost at any time. The folder may not exist yet."""
        return self.local / "cache"

    def report_folder(self, run: str) -> Path:
        """Where the run's report lies on this machine."""
        return (self.store.root or self.local) / "runs" / run / "report"

    def report(self, run: str) -> Path:
        """The same folder, with what another machine has written of the report: of a bucket there is a copy here."""
        for stored, path in self._reported(run):
            if not _is_copy(path, stored):
                _make(path.parent)
                part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
                part.write_bytes(self.store.get(stored.key) or b"")
                _date(part, stored)
                part.replace(path)
        return self.report_folder(run)

    def share_report(self, run: str) -> None:
        """Put the report that was written on this machine where others see it, too."""
        if self.store.root is None:
            for path in self.report_folder(run).iterdir():
                self.store.put(f"runs/{run}/report/{path.name}", path.read_bytes())
            for stored, path in self._reported(run):
                if path.exists() and path.stat().st_size == stored.bytes:
                    _date(path, stored)

    def _reported(self, run: str) -> Iterator[tuple[Stored, Path]]:
        """What a bucket has of the run's report, and where its copy is on this machine."""
        for stored in () if self.store.root else self.store.list(f"runs/{run}/report"):
            yield stored, self.report_folder(run) / stored.key.rpartition("/")[2]

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private empty folder, removed afterwards; what a killed process left behind is removed first."""
        root = self.local / "scratch"
        _make(root)
        _sweep(root)
        folder = root / secrets.token_hex(8)
        try:
            with _locked(folder.with_suffix(".lock")):
                folder.mkdir()
                yield folder
        finally:
            _remove(folder)

    @contextlib.contextmanager
    def alive(self, run: str) -> Iterator[None]:
        """Mark the run as being worked on by this process, for as long as the process lives."""
        path = self._lock(run)
        _make(path.parent)
        with path.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            yield

    def is_alive(self, run: str) -> bool:
        """Whether some process on this machine is working on the run."""
        try:
            with self._lock(run).open() as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def _lock(self, run: str) -> Path:
        return self.local / "alive" / run


def _make(folder: Path) -> None:
    """Make a folder of this machine. Raises StoreError where a link to nothing, or a file, stands in its way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        hint = "see what stands there: a link to a folder that is gone (a disk that is not mounted?), or a file"
        raise StoreError(f"state at {folder}: this folder cannot be made: {error.strerror}", hint) from error


def _date(path: Path, stored: Stored) -> None:
    """Give a copy the date of the original: by the store's clock, which no two machines' clocks have to agree with."""
    os.utime(path, (stored.modified, stored.modified))


def _is_copy(path: Path, stored: Stored) -> bool:
    found = path.stat() if path.exists() else None
    return found is not None and found.st_size == stored.bytes and abs(found.st_mtime - stored.modified) < 1e-5


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sweep(root: Path) -> None:
    """Remove the scratch folders whose owner is gone: their lock can be had."""
    for lock in root.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.with_suffix(""))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
