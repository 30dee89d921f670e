"""A document that may become a spec, as its judges see it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ftspec.common.errors import SpecPath
from ftspec.document.document import Document
from ftspec.registry import Registry
from ftspec.spec import Item


class Candidate(msgspec.Struct, frozen=True):
    """The document, what is installed, and the items that nothing is known to be wrong with (`sound`).

    `faulty` are the places that earlier judges have complained about.
    """

    document: Document
    registry: Registry
    sound: list[Item]
    faulty: set[SpecPath]
    retires_within: float | None = None

    @property
    def folder(self) -> Path:
        return self.document.file.absolute().parent

    @property
    def provider(self) -> Item | None:
        """The spec's provider, where nothing is known to be wrong with it."""
        return next((item for item in self.sound if item.path == ("provider",)), None)
