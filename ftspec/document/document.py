"""A spec as read: its data, the place of whatever a problem is about, and what is wrong with the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ftspec.common.errors import Problem, SpecError, SpecPath
from ftspec.common.wording import as_text, is_text
from ftspec.document import nodes
from ftspec.document.nodes import Node, Span

MAX_BYTES = 4 * 1024 * 1024
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
"""What YAML 1.2 does not take (https://yaml.org/spec/1.2.2/#51-character-set), and the byte order mark."""
WIDE = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Byte order marks of other encodings, the longest first: one of UTF-32 begins as one of UTF-16 does."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A spec as read: data, places, and the problems after which reading could go on.

    `usable` is false when there is nothing to look at further (a syntax error, an empty file). `sets` maps the path
    of an override to its text on the command line, `written` the path of a string with an environment reference to the
    text before it was filled in.
    """

    file: Path
    lines: tuple[str, ...] = ()
    data: Any = None
    root: Node | None = None
    problems: tuple[Problem, ...] = ()
    usable: bool = True
    sets: dict[SpecPath, str] = {}
    written: dict[SpecPath, str] = {}

    def locate(self, problem: Problem) -> Problem:
        """The problem with file, line, column and length filled in; one that has a place already is left alone."""
        if problem.file:
            return problem
        override = self.override(problem.path)
        if override:
            return msgspec.structs.replace(problem, file=f"--set {override}")
        span = self._span(problem)
        return msgspec.structs.replace(
            problem, file=str(self.file), line=span.line, column=span.column, length=span.length
        )

    def override(self, path: SpecPath) -> str:
        """The override that made the value at `path` (or what it stands in), "" when the file did."""
        made = next((self.sets[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.sets), "")
        if made or not path or self._has(path):
            return made
        return next((text for inner, text in self.sets.items() if inner[: len(path)] == path), "")

    def _has(self, path: SpecPath) -> bool:
        """Whether the file itself has a value there."""
        node = self.root
        for part in path:
            if node is None or part not in node.children:
                return False
            node = node.children[part][1]
        return node is not None

    def _span(self, problem: Problem) -> Span:
        node, key, on = self.root or Node(None, Span(1, 1, 1)), None, problem.on
        for part in problem.path:
            if part not in node.children:
                on = "key"
                break
            key, node = node.children[part]
        if key is not None and (on == "key" or node.block):
            return key
        return node.span


def load(file: Path) -> Document:
    """Read a spec from disk. Raises SpecError with everything that is wrong."""
    return _sound(read(file))


def parse(text: str, file: Path) -> Document:
    """Read a spec from text; `file` is what problems name. Raises SpecError with everything that is wrong."""
    return _sound(read_text(text, file))


def read(file: Path) -> Document:
    """Like `load`, but what is wrong comes back in `problems`, so that later stages can add theirs. Never raises."""
    try:
        if not is_text(file.absolute()):
            message = "the name of the file, or of a folder that it is in, is not UTF-8"
            return _unusable(Path(as_text(file)), Problem(message=message, hint="rename it"))
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _unusable(file, _unreadable(error))
    if len(content) > MAX_BYTES:
        return _unusable(
            file, Problem(message=f"larger than {MAX_BYTES >> 20} MiB", hint="keep data in files that `sources` name")
        )
    wide = next((name for mark, name in WIDE.items() if content.startswith(mark)), "")
    if wide:
        return _unusable(file, Problem(message=f"the file is {wide}", hint="save it as UTF-8", line=1, column=1))
    try:
        return read_text(content.decode("utf-8"), file)
    except UnicodeDecodeError as error:
        return _not_utf8(file, content, error)


def read_text(text: str, file: Path) -> Document:
    """Like `parse`, but what is wrong comes back in `problems`. Never raises."""
    text = text.removeprefix("\ufeff")
    lines = tuple(LINE_BREAK.split(text))
    problems = list(_unprintable(lines, str(file)))
    if problems:
        return Document(file=file, lines=lines, problems=tuple(problems), usable=False)
    root, found = nodes.read(text, lines, str(file))
    return Document(
        file=file,
        lines=lines,
        data=root.data if root else None,
        root=root,
        problems=tuple(found),
        usable=root is not None,
    )


def _sound(document: Document) -> Document:
    if document.problems:
        raise SpecError(document.problems, document)
    return document


def _unusable(file: Path, problem: Problem, lines: tuple[str, ...] = ()) -> Document:
    problem = msgspec.structs.replace(problem, file=str(file))
    return Document(file=file, lines=lines, problems=(problem,), usable=False)


def _unreadable(error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(message="no such file", hint="`ftspec init` writes a starter spec")
    if isinstance(error, IsADirectoryError):
        return Problem(message="this is a folder, not a spec", hint="name the YAML file in it")
    return Problem(message=f"cannot be read: {getattr(error, 'strerror', None) or error}", hint="check its permissions")


def _not_utf8(file: Path, content: bytes, error: UnicodeDecodeError) -> Document:
    before = content[: error.start].decode("utf-8", "replace")
    lines = LINE_BREAK.split(before)
    problem = Problem(
        message=f"byte 0x{content[error.start]:02x} is not valid UTF-8",
        hint="save the file as UTF-8",
        line=len(lines),
        column=len(lines[-1]) + 1,
    )
    return _unusable(file, problem, tuple(LINE_BREAK.split(content.decode("utf-8", "replace"))))


def _unprintable(lines: tuple[str, ...], file: str) -> Iterator[Problem]:
    for number, line in enumerate(lines, 1):
        found = UNPRINTABLE.search(line)
        if found:
            yield Problem(
                message=f"character U+{ord(found[0]):04X} cannot stand in a spec",
                hint="remove it",
                file=file,
                line=number,
                column=found.start() + 1,
            )
