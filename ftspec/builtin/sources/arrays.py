"""JSON files: an array of objects, read one object after the other, so that the array never stands in memory."""

from __future__ import annotations

import codecs
import json as json_module
import re
from collections.abc import Iterator
from typing import Any

from ftspec import api, rows
from ftspec.builtin import files
from ftspec.builtin.files import BATCH_ROWS, File, Read, each, no_row
from ftspec.builtin.sources.lines import CODE, decoded, repeated, row_of

SPACE = re.compile(r"[ \t\n\r]*")
NEAR = 16
"""Characters before the end of what was read within which a fault may only mean that more is to come."""

scan = json_module.JSONDecoder(parse_constant=lambda name: None, parse_int=lambda digits: None).raw_decode
"""Finds where a value ends and makes as little of it as it can: Python refuses to read a number of 5,000 digits."""


@api.source(code=[*CODE, "ftspec.builtin.sources.lines"])
def json(*, path: api.Path, pointer: str = "") -> api.Source:
    """Read rows from JSON files that hold an array of objects: `[{...}, {...}]`. A row's line is its place in it.

    `pointer` is the JSON Pointer (RFC 6901) of the array in an object, as `/data/items`. One object stands in memory at
    a time, and what stands before the array.
    """
    return api.Source(lambda: each(path, (".json",), lambda file: _read(file, pointer)))


class Broken(ValueError):
    """What is no JSON, or not the JSON that was expected; `hint` says whether the file or the spec is to be mended."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or HINT


class Text:
    """The text of a file from a position on; bytes that are no UTF-8 are kept as lone surrogates."""

    def __init__(self, file: File) -> None:
        self.blocks = self._decoded(file)
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self.cut = 0
        """Characters of the first line that is held which are not held any more."""

    def more(self) -> bool:
        """Read on, at least as much as is held: cost stays linear in an object's length."""
        if self.ended:
            return False
        self.line, self.cut = self._line(self.at), self._column(self.at) - 1
        parts = [self.text[self.at :]]
        wanted, count = max(files.BLOCK, len(parts[0])), 0
        self.at = 0
        while count < wanted:
            block = next(self.blocks, None)
            if block is None:
                self.ended = True
                break
            parts.append(block)
            count += len(block)
        self.text = "".join(parts)
        return count > 0

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            found = SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, character: str) -> bool:
        """Go past the character if it is next."""
        if self.peek() != character:
            return False
        self.at += 1
        return True

    def value(self) -> str:
        """Go past the next value; its text."""
        self.peek()
        while True:
            try:
                _, end = scan(self.text, self.at)
            except json_module.JSONDecodeError as error:
                near = error.msg.startswith("Unterminated string") or len(self.text) - error.pos < NEAR
                if near and self.more():
                    continue
                self.at = error.pos
                raise Broken(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
            except RecursionError:
                raise Broken("not JSON that can be read: nested too deeply") from None
            if end == len(self.text) and self.more():  # a number may go on
                continue
            start, self.at = self.at, end
            return self.text[start:end]

    def where(self, back: int = 0) -> str:
        """The place in the file, or that of so many characters before."""
        at = max(0, self.at - back)
        return f"at line {self._line(at)}, column {self._column(at)} of the file"

    def _line(self, at: int) -> int:
        return self.line + self.text.count("\n", 0, at)

    def _column(self, at: int) -> int:
        before = self.text.rfind("\n", 0, at)
        return at - before if before >= 0 else self.cut + at + 1

    @staticmethod
    def _decoded(file: File) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        with file.open() as stream:
            while block := stream.read(files.BLOCK):
                yield decoder.decode(block)
        yield decoder.decode(b"", True)


def _read(file: File, pointer: str) -> Read:
    values: list[dict[str, Any]] = []
    numbers: list[int] = []
    number = 0
    text = Text(file)
    damage: api.Finding | None = None
    try:
        for number, source in enumerate(_elements(text, pointer), 1):
            value, problem, column = row_of(_bytes(source), "row")
            if problem:
                back = len(source) - max(0, column - 1)
                yield no_row(f"{problem} ({text.where(back)})", file.name, number)
                continue
            yield from repeated(_bytes(source), value, file.name, number)
            values.append(value)
            numbers.append(number)
            if len(values) == BATCH_ROWS:
                yield api.Chunk(rows.from_dicts(values), file.name, numbers)
                values, numbers = [], []
    except Broken as error:
        damage = api.Finding(message=f"{error} ({text.where()})", hint=error.hint, file=file.name, line=number + 1)
    except files.damage() as error:
        message, hint = files.no_archive(file) or (f"the file breaks off: {error}", HINT)
        damage = api.Finding(message=message, hint=hint, file=file.name, line=number + 1)
    if values:
        yield api.Chunk(rows.from_dicts(values), file.name, numbers)
    if damage:
        yield damage


HINT = "mend the file: nothing after this was read"
POINTER = "mend `pointer` in the spec: the JSON Pointer of the list of rows, as /data/items"


def _bytes(text: str) -> bytes:
    """A part of a Text as it stands in the file."""
    return text.encode("utf-8", "surrogateescape")


def _elements(text: Text, pointer: str) -> Iterator[str]:
    """The text of every element of the array that the pointer names."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    if pointer and not pointer.startswith("/"):
        raise Broken("`pointer` must begin with a slash, as in /data/items", POINTER)
    for step in steps:
        _enter(text, step)
    if not text.take("["):
        raise _no_array(text, pointer)
    if text.take("]"):
        return
    while True:
        yield text.value()
        if text.take("]"):
            break
        if not text.take(","):
            raise Broken("not JSON: expecting ',' or ']'" if text.peek() else "the array has no end")
    if not pointer and text.peek():
        raise Broken("there is more after the array")


def _enter(text: Text, name: str) -> None:
    """Go to the value of that name in the object that is next."""
    if not text.take("{"):
        raise Broken(f"`pointer` does not lead to a list: no object that could hold '{name}'", POINTER)
    while text.peek() == '"':
        key, problem, _ = decoded(_bytes(text.value()), "name")
        if problem:
            raise Broken(f"a name before what `pointer` names is {problem}")
        if not text.take(":"):
            raise Broken("not JSON: expecting ':'")
        if key == name:
            return
        text.value()
        text.take(",")
    raise Broken(f"`pointer` does not lead to a list: the object has no '{name}'", POINTER)


def _no_array(text: Text, pointer: str) -> Broken:
    if text.peek() == "":
        return Broken("the file is empty", "fill it, or take it out of `path`")
    if pointer:
        return Broken("`pointer` does not lead to a list: what it names is none", POINTER)
    if text.peek() != "{":
        return Broken("no array of objects")
    text.value()
    if text.peek() == "{":
        return Broken("objects one after the other: these are JSON lines", "name the source `jsonl`, which reads them")
    return Broken("an object, and no array of objects", "say with `pointer` where in it the array is, as /data/items")
