"""Files that come in, and what is kept of them: a hash and statistics."""

from __future__ import annotations

import hashlib
import json
import secrets
import time

from .state import Json, Refusal, State

READ = 1 << 20
"""Bytes of a file whose rows are looked into: the loss curve is told by their words. Of the rest, rows are counted."""


class Upload:
    """A file as it comes in, in pieces of any length: all that is kept of it is its hash and its statistics.

    Rows that are no conversations are refused among the first READ bytes, which is where words are counted, too.
    """

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.bytes = self.rows = self.words = 0
        self.vocabulary: set[str] = set()
        self.parts: list[bytes] = []
        self.looked = self.looked_bytes = 0
        self.refusal: Refusal | None = None

    def take(self, piece: bytes) -> None:
        self.hash.update(piece)
        self.bytes += len(piece)
        self.rows += piece.count(b"\n")
        if piece and self.looked_bytes >= READ:
            self.parts = [piece[-1:].strip(b"\n")]  # all that is still asked: whether a last line has no line feed
            return
        whole, found, rest = piece.rpartition(b"\n")
        self.parts.append(whole if found else rest)
        if found:
            for line in b"".join(self.parts).split(b"\n"):
                self._look(line)
            self.parts = [rest]

    def told(self) -> Json:
        """What is known of the whole. Raises Refusal."""
        if rest := b"".join(self.parts):
            self.rows += 1
            self._look(rest)
        if self.refusal:
            raise self.refusal
        counts = {"rows": self.rows, "words": self.words, "vocabulary": len(self.vocabulary)}
        return {"sha256": self.hash.hexdigest(), "bytes": self.bytes, **counts}

    def _look(self, line: bytes) -> None:
        """Count the words of a row, and which are different."""
        if self.looked_bytes >= READ or self.refusal:
            return
        self.looked += 1
        self.looked_bytes += len(line) + 1
        try:
            said = [str(message.get("content") or "").split() for message in messages_of(json.loads(line))]
        except (ValueError, TypeError, KeyError, AttributeError):
            self.refusal = Refusal(400, f"line {self.looked} is not an object with messages")
            return
        for words in said:
            self.words += len(words)
            self.vocabulary.update(words)


def messages_of(row: Json) -> list[Json]:
    """Everything that is said in a conversation, a preference pair or a reinforcement item."""
    if "input" in row:
        return [*row["input"]["messages"], *row["preferred_output"], *row["non_preferred_output"]]
    said: list[Json] = row["messages"]
    return said


def add_file(state: State, upload: Upload, purpose: str) -> Json:
    file = {"id": f"file-{secrets.token_hex(8)}", "purpose": purpose, "created_at": time.time(), **upload.told()}
    state.save(f"files/{file['id']}", file)
    return file


def find_files(state: State, sha256: str, purpose: str) -> list[Json]:
    return [file for file in state.all("files") if (file["sha256"], file["purpose"]) == (sha256, purpose)]
