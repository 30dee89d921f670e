"""Datasets at Fireworks: named by their content's hash, found again, waited for."""

from __future__ import annotations

import time
from pathlib import Path

from ftspec import api, hosted
from ftspec_fireworks.client import calling, got

MOST = 150 * 1000 * 1000
"""Bytes that one upload takes."""
WAIT = 60.0
"""Seconds that one call waits for a dataset; core calls again."""


def name_of(sha256: str, purpose: str) -> str:
    """A dataset's id."""
    return f"{hosted.PREFIX}{purpose[0]}-{sha256[:48]}"


def bring(clients: hosted.Clients, file: api.DataFile) -> api.RemoteFile:
    """Find the dataset by its name, or make it and upload the file; wait until it can be used."""
    if file.bytes > MOST:
        raise api.Rejected(
            f"the {file.purpose} file has {file.bytes} bytes, more than Fireworks takes at once", "use fewer rows"
        )
    name, datasets = name_of(file.sha256, file.purpose), clients.sync().datasets
    found = got(datasets.get, name)
    if found is None:
        described = {"display_name": file.sha256, "example_count": str(file.rows), "user_uploaded": {}}
        with calling():
            found = datasets.create(dataset_id=name, dataset=described)
        if not getattr(found, "name", None):
            raise hosted.unreadable(found)
    if found.state != "READY":
        with Path(file.path).open("rb") as content, calling():
            datasets.upload(name, file=(f"{name}.jsonl", content, "application/jsonl"))
    return _awaited(clients, name, file)


def _awaited(clients: hosted.Clients, name: str, file: api.DataFile) -> api.RemoteFile:
    deadline, delay = time.monotonic() + WAIT, 0.05
    while True:
        found = got(clients.sync().datasets.get, name)
        if found is not None and found.state == "READY":
            return api.RemoteFile(id=found.name, sha256=file.sha256, bytes=file.bytes)
        code = getattr(getattr(found, "status", None), "code", None)
        if code not in {None, "OK"}:
            raise api.Rejected(
                f"Fireworks refuses the {file.purpose} file: {found.status.message or code}", "mend its rows"
            )
        if time.monotonic() > deadline:
            raise api.Transient(f"Fireworks has not taken in the {file.purpose} file yet")
        time.sleep(delay)
        delay = min(delay * 1.5, 5.0)
