"""Files at the service: named by their content, found again, and waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftspec import api, hosted
from ftspec_openai import calls
from ftspec_openai.calls import calling, listed, whole
from ftspec_openai.presets import Preset

if TYPE_CHECKING:
    import openai

PURPOSE: Literal["fine-tune"] = "fine-tune"
END = ".jsonl"
MIME = "text/jsonl"
PART = 64_000_000
"""Bytes of one part of a large file, as the Uploads API allows."""
LASTS = 24 * 3600.0
"""Seconds that a file which we find must still live, since a job may wait in a queue before it reads it."""
BAD = {"error", "failed", "deleted", "cancelled"}
WAITING = {"pending", "running", "processing", "validating"}


def name_of(sha256: str) -> str:
    return f"{hosted.PREFIX}{sha256}{END}"


def sha256_of(name: str) -> str:
    """The content hash that a file's name tells; "" when it is none of ours."""
    inner = name.removeprefix(hosted.PREFIX).removesuffix(END)
    return inner if name == name_of(inner) and len(inner) == 64 else ""


class Files:
    """The files that we keep at one server."""

    def __init__(self, client: openai.OpenAI, preset: Preset) -> None:
        self.client, self.preset = client, preset
        self.waiting = WAITING | ({"uploaded"} if preset.says_processed else set())
        self.awaited: set[str] = set()  # ids: one that turns out to be bad is not sent once more

    def bring(self, file: api.DataFile) -> api.RemoteFile:
        """The file, which is there when this returns, and may have to be waited for."""
        if file.purpose == "training" and file.rows < self.preset.rows:
            raise api.Rejected(
                f"{self.preset.name} wants at least {self.preset.rows} training examples, and there are {file.rows}",
                "add rows; `checks: [{min_examples: {count: 10}}]` says so before",
            )
        found = self._found(file)
        there = found or self._sent(file)
        if waiting := self._waiting(there):
            self.awaited.add(there.id)
        return api.RemoteFile(id=there.id, sha256=file.sha256, bytes=file.bytes, waiting=waiting)

    def all(self) -> Iterator[Any]:
        """Every file of ours."""
        with calling("list the files"):
            page = self.client.files.list(purpose=PURPOSE)
        for entry in listed(page, "list the files"):
            if sha256_of(getattr(entry, "filename", None) or ""):
                yield entry

    def delete(self, identity: str) -> None:
        """Delete it; one that is gone is left alone."""
        with suppress(api.NotFound), calling("delete the file"):
            self.client.files.delete(identity)

    def content(self, identity: str) -> bytes:
        """What is in a file, such as a job's results."""
        with calling("read a result file"):
            return self.client.files.content(identity).read()

    def _found(self, file: api.DataFile) -> Any | None:
        """A file of the same content that can be used, or was waited for, and will live long enough; the oldest."""
        name, until = name_of(file.sha256), time.time() + LASTS
        fits = [
            entry
            for entry in self.all()
            if entry.filename == name
            and entry.bytes == file.bytes
            and (getattr(entry, "purpose", None) or PURPOSE) == PURPOSE
            and (_is_good(entry) or entry.id in self.awaited)
            and (getattr(entry, "expires_at", None) or until) >= until
        ]
        return min(fits, key=lambda entry: (not _is_good(entry), calls.made_at(entry), entry.id), default=None)

    def _sent(self, file: api.DataFile) -> Any:
        above = self.preset.uploads_above
        if above is not None and file.bytes > above:
            return self._sent_in_parts(file)
        with calling("upload the file"), Path(file.path).open("rb") as content:
            answer = self.client.files.create(
                file=(name_of(file.sha256), content, MIME), purpose=PURPOSE, timeout=calls.UPLOAD
            )
        return whole(answer, "upload the file")

    def _sent_in_parts(self, file: api.DataFile) -> Any:
        """A large file through the Uploads API: one that is left half sent expires by itself within the hour."""
        what = "upload the file in parts"
        with calling(what):
            upload = self.client.uploads.create(
                bytes=file.bytes, filename=name_of(file.sha256), mime_type=MIME, purpose=PURPOSE
            )
            whole(upload, what)
            parts = []
            with Path(file.path).open("rb") as content:
                while chunk := content.read(PART):
                    part = self.client.uploads.parts.create(upload.id, data=chunk, timeout=calls.UPLOAD)
                    parts.append(whole(part, what).id)
            done = self.client.uploads.complete(upload.id, part_ids=parts, timeout=calls.UPLOAD)
        return whole(getattr(done, "file", None) or done, what, "filename")

    def _waiting(self, entry: Any) -> str:
        """The service's word for a file that cannot be used yet, "" for one that can. Raises Rejected for a bad one."""
        status = str(getattr(entry, "status", None) or "")
        if not _is_good(entry):
            why = getattr(entry, "status_details", None) or "it says no more"
            raise api.Rejected(
                f"the service could not process the file {entry.id}: {str(why)[:300]}", "mend the rows that it names"
            )
        return status if status in self.waiting else ""


def _is_good(entry: Any) -> bool:
    return getattr(entry, "status", None) not in BAD
