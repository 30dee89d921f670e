"""Which files a provider has."""

from __future__ import annotations

import hashlib

import msgspec

from ftspec.common.jobs import DataFile, RemoteFile
from ftspec.state.store import Store


class Uploads:
    """Which files a provider has, so that neither a second run nor an upgraded plugin uploads them again."""

    def __init__(self, store: Store, endpoint: str) -> None:
        self.store = store
        self.prefix = f"uploads/{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}"

    def get(self, file: DataFile) -> RemoteFile | None:
        """The file as the provider knows it. A damaged entry is as good as none: the provider finds it by content."""
        try:
            return msgspec.json.decode(self.store.get(self._key(file)) or b"", type=RemoteFile)
        except msgspec.DecodeError:
            return None

    def put(self, file: DataFile, remote: RemoteFile) -> None:
        self.store.put(self._key(file), msgspec.json.encode(remote))

    def forget(self, file: DataFile) -> None:
        """The provider does not know the file any more, or may not: the next run looks there again."""
        self.store.delete(self._key(file))

    def _key(self, file: DataFile) -> str:
        return f"{self.prefix}/{file.sha256}-{file.purpose}"
