"""Files at Together: named by their content's hash, found again, waited for."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from ftspec import api, hosted
from ftspec_together.client import calling

WAIT = 60.0
"""Seconds that one call waits for a file's validation; core calls again."""
BAD = {"FAILED", "INVALID_FORMAT"}


def bring(clients: hosted.Clients, file: api.DataFile) -> api.RemoteFile:
    """Find the file by its name and size, or upload it; wait until it can be used."""
    name = f"{hosted.PREFIX}{file.sha256}-{file.purpose}.jsonl"
    with calling():
        listed = clients.sync().files.list().data or []
        held = next((one for one in listed if one.filename == name and one.bytes == file.bytes and _usable(one)), None)
    ready = held or _upload(clients, file, name)
    if not getattr(ready, "id", None):
        raise hosted.unreadable(ready)
    return _awaited(clients, ready, file)


def _upload(clients: hosted.Clients, file: api.DataFile, name: str) -> Any:
    """The SDK names a file by its path, so it is given one of that name."""
    with tempfile.TemporaryDirectory(prefix="ftspec-") as folder:
        link = Path(folder) / name
        link.symlink_to(Path(file.path).absolute())
        with calling():  # and not around the link: a full disk is no answer of Together's
            return clients.sync().files.upload(link, purpose="fine-tune", check=False)


def _awaited(clients: hosted.Clients, ready: Any, file: api.DataFile) -> api.RemoteFile:
    deadline, delay = time.monotonic() + WAIT, 0.05
    while ready.processing_status not in {None, "COMPLETED"}:
        if ready.processing_status in BAD:
            report = getattr(ready, "validation_report", None)
            reason = getattr(report, "error", None) or ready.processing_status
            raise api.Rejected(f"Together refuses the {file.purpose} file: {reason}", "mend the rows that it names")
        if time.monotonic() > deadline:
            raise api.Transient(f"Together is still validating the {file.purpose} file ({ready.processing_status})")
        time.sleep(delay)
        delay = min(delay * 1.5, 5.0)
        with calling():
            ready = clients.sync().files.retrieve(ready.id)
        if not getattr(ready, "id", None):
            raise hosted.unreadable(ready)
    return api.RemoteFile(id=ready.id, sha256=file.sha256, bytes=file.bytes)


def _usable(found: Any) -> bool:
    return found.processing_status not in BAD
