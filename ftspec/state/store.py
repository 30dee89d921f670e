"""The only writer: objects by key, in a folder or a bucket, never half-written, put only if absent where that matters.

Which keys there are, and who writes them: docs/architecture.md, "The state folder".

Everything goes through obstore, so that a folder, S3, GCS and Azure share one code path. Two things obstore's local
store does not do are added here: it publishes an object before it is on the disk (so here an object is staged under
`tmp/`, synced, and renamed to its key), and it syncs no folder. A power cut can therefore not leave an empty object.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ftspec.common.causes import cause, is_clients
from ftspec.common.errors import StoreError
from ftspec.files import ondisk, usercache
from ftspec.files.fetching import connecting, public

STAGING = "tmp"
HALF = re.compile(r"(s3a?|gs|az|azure|adl|abfss?|https?|file|memory):", re.IGNORECASE)
"""How an address begins, of which a slash may be missing."""
STALE = 24 * 3600.0
"""Seconds after which something staged is litter of a process that died."""


class Stored(NamedTuple):
    """An object in a listing. `modified` is seconds since the epoch by the store's own clock."""

    key: str
    bytes: int
    modified: float


class Store:
    """Objects by key under one folder or bucket. Use `Store.open`.

    Opening touches nothing; the first write creates the folder and checks that put-if-absent works there.
    Every method raises StoreError when the store cannot be reached, read or written.
    """

    def __init__(self, url: str, root: Path | None) -> None:
        self.url = url
        self.root = root
        self._writable = False
        self._synced: set[Path] = set()

    @classmethod
    def open(cls, where: str | Path) -> Store:
        """A folder's path, or a URL that obstore knows: s3://bucket/prefix, gs://…, az://…, file:///…, memory:///.

        Raises StoreError where a file stands in the folder's place, and for an address that holds credentials or that
        lacks a slash: a folder called `s3:` would be state that nobody shares."""
        text = str(where)
        if "://" in text and not text.startswith("file://"):
            if (shown := public(text)) != text:
                hint = "write it without user, password and query: credentials are those of the environment"
                raise StoreError(f"state at {shown}: an address of a store holds no credentials", hint)
            return cls(text.rstrip("/"), None)
        if (found := HALF.match(text)) and not text.startswith("file://"):
            slashes = "///" if found[1].lower() == "file" else "//"
            hint = f"write {found[0]}{slashes}{text[found.end() :].lstrip('/')}; a folder that is called so is ./{text}"
            raise StoreError(f"state at {text}: this is neither the address of a bucket nor a folder's name", hint)
        root = Path(text.removeprefix("file://")).absolute()
        if root.exists() and not root.is_dir():
            raise StoreError(
                f"state at {root}: this folder cannot be made: a file stands there", "name a folder, or a new one"
            )
        return cls(text if text.startswith("file://") else str(root), root)

    # ---- objects

    def put_new(self, key: str, data: bytes) -> bool:
        """Put an object unless its key is taken; True when this call put it, and then it is durable.

        False may, over a network, also mean that a lost first try of ours got through: who cares reads it back.
        """
        return self._put(key, data, overwrite=False)

    def put(self, key: str, data: bytes) -> None:
        """Put an object, replacing what was there; durable when it returns."""
        self._put(key, data, overwrite=True)

    def get(self, key: str) -> bytes | None:
        """The object's content, None when there is none."""
        import obstore

        if not self._there:
            return None
        with self._explained(f"read {key}"):
            try:
                return bytes(obstore.get(self._backend, key).bytes())
            except FileNotFoundError:
                return None

    def head(self, key: str) -> Stored | None:
        """The object's size and time, None when there is none."""
        import obstore

        if not self._there:
            return None
        with self._explained(f"read {key}"):
            try:
                return _stored(obstore.head(self._backend, key))
            except FileNotFoundError:
                return None

    def list(self, prefix: str) -> list[Stored]:
        """Objects below `prefix` (whole path segments), sorted by key."""
        import obstore

        if not self._there:
            return []
        with self._explained(f"list {prefix}"):
            return sorted(_stored(meta) for chunk in obstore.list(self._backend, prefix or None) for meta in chunk)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is left alone."""
        import obstore

        with self._explained(f"delete {key}"), suppress(FileNotFoundError):
            obstore.delete(self._backend, key)

    def now(self) -> float:
        """Seconds since the epoch by the store's own clock, the one that dates its objects."""
        key = f"{STAGING}/{secrets.token_hex(8)}.now"
        self.put(key, b"")
        stored = self.head(key)
        self.delete(key)
        return stored.modified if stored else time.time()

    # ---- content

    def put_file(self, path: str | Path) -> str:
        """Keep a file's content and return its sha256. Content that is there already is not written again."""
        sha256 = ondisk.sha256_of(Path(path))
        key = f"blobs/{sha256}"
        if not self._holds(key, Path(path)):
            self._put(key, ondisk.unchanged(Path(path), sha256), overwrite=True)
        return sha256

    def take_file(self, path: str | Path, sha256: str = "") -> str:
        """The same for a file that is ours and that nobody writes to any more: without a copy where that can be, and
        unread where whoever wrote it knows its `sha256`."""
        if self.root is None:
            return self.put_file(path)
        sha256 = sha256 or ondisk.sha256_of(Path(path))
        key = f"blobs/{sha256}"
        if not self._holds(key, Path(path)):
            self._make_writable()
            with self._explained(f"write {key}"):
                if not self._link(Path(path), key):
                    return self.put_file(path)
        return sha256

    def _holds(self, key: str, path: Path) -> bool:
        """Whether the whole of the file is there."""
        held = self.head(key)
        return held is not None and held.bytes == path.stat().st_size

    def local(self, sha256: str, name: str = "") -> Path:
        """A file on this machine with the content, to be read only; `name` where a tool looks at the file's name.

        In a folder it is the object itself, from a bucket a copy that is fetched once and checked.
        """
        path = self.root / "blobs" / sha256 if self.root else self._fetched(sha256)
        if not path.exists():
            raise StoreError(f"{self.url} has lost blobs/{sha256}", "run again with `--again data` to make it anew")
        return ondisk.named(path, self.machine / "named" / sha256[:32] / name) if name else path

    @cached_property
    def machine(self) -> Path:
        """A folder on this machine that belongs to this store and is not shared: providers' homes, caches, locks."""
        if self.root:
            return self.root / "machine"
        return usercache.folder(hashlib.sha256(self.url.encode()).hexdigest()[:16])

    # ---- below

    @property
    def _there(self) -> bool:
        return self.root is None or self.root.is_dir()

    @cached_property
    def _backend(self) -> Any:
        from obstore.store import LocalStore, from_url

        with self._explained("open"):
            if self.root:
                return LocalStore(self.root)
            return from_url(self.url, client_options=connecting(self.url))

    def _put(self, key: str, data: bytes | Iterator[bytes], *, overwrite: bool) -> bool:
        self._make_writable()
        with self._explained(f"write {key}"):
            return self._publish(key, data, overwrite=overwrite)

    def _publish(self, key: str, data: bytes | Iterator[bytes], *, overwrite: bool) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            if self.root is None:
                obstore.put(self._backend, key, data, mode="overwrite" if overwrite else "create")
                return True
            staged = f"{STAGING}/{secrets.token_hex(8)}"
            obstore.put(self._backend, staged, data)
            ondisk.sync(self.root / staged)
            obstore.rename(self._backend, staged, key, overwrite=overwrite)
        except AlreadyExistsError:
            if self.root:
                obstore.delete(self._backend, staged)
            return False
        self._sync_folders(self.root / key)
        return True

    def _link(self, path: Path, key: str) -> bool:
        """Give a file on this machine a second name, in the store; False where the file system has no such thing."""
        import obstore

        assert self.root is not None
        staged = f"{STAGING}/{secrets.token_hex(8)}"
        try:
            (self.root / staged).hardlink_to(path)
        except OSError:
            return False
        ondisk.sync(self.root / staged)
        obstore.rename(self._backend, staged, key, overwrite=True)
        self._sync_folders(self.root / key)
        return True

    def _sync_folders(self, path: Path) -> None:
        """Make the names durable: the object's in its folder, and new folders' in theirs, the store's own too."""
        assert self.root is not None
        for folder in path.parents:
            ondisk.sync(folder)
            if folder in self._synced or folder == self.root.parent:
                return
            self._synced.add(folder)

    def _make_writable(self) -> None:
        if self._writable:
            return
        self._writable = True
        if self.root:
            self._make_folder(self.root)
        self._probe()
        self._sweep()

    def _make_folder(self, root: Path) -> None:
        """Create the folder, and keep git from ever seeing what is in it."""
        with self._explained("create it"):
            root.mkdir(parents=True, exist_ok=True)
            ignore = root / ".gitignore"
            if not ignore.exists() or not ignore.stat().st_size:  # a full disk leaves an empty one
                ignore.write_text("*\n")

    def _probe(self) -> None:
        """A store whose second put-if-absent succeeds cannot keep two runs from making two jobs."""
        key = f"{STAGING}/{secrets.token_hex(8)}.probe"
        try:
            self.put_new(key, b"1")
            if self.put_new(key, b"2"):
                raise StoreError(
                    f"{self.url} lets an object be put twice, so ftspec could pay for a job twice",
                    "use a folder, or a bucket that supports conditional writes (S3, GCS and Azure do)",
                )
            self.delete(key)
        except StoreError:
            self._writable = False
            raise

    def _sweep(self) -> None:
        """Remove what processes that died have left in the staging area; no names there are ever used again."""
        horizon = time.time() - STALE
        for stored in self.list(STAGING):
            if stored.modified < horizon:
                self.delete(stored.key)

    def _fetched(self, sha256: str) -> Path:
        """The cached copy of a blob, fetched when it is not here yet."""
        import obstore

        path = self.machine / "blobs" / sha256
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{sha256}.{secrets.token_hex(4)}")
        with self._explained(f"read blobs/{sha256}"), suppress(FileNotFoundError):
            ondisk.save(obstore.get(self._backend, f"blobs/{sha256}").stream(ondisk.CHUNK), partial, sha256)
            partial.replace(path)
        return path

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn what the store's client raises into a StoreError in one line."""
        try:
            yield
        except BaseException as error:
            if not is_clients(error):
                raise
            reason, hint = cause(error, self.url)
            if self.root:
                hint = "check that the folder exists, that you may write there, and that there is space"
            raise StoreError(f"state at {self.url}: cannot {action}: {reason}", hint) from error


def _stored(meta: Any) -> Stored:
    return Stored(meta["path"], meta["size"], meta["last_modified"].timestamp())
