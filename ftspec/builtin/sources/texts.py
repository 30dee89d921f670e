"""Plain text: a row per line, per paragraph or per file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Literal

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.files import BATCH_ROWS, File, Read, each, no_row, or_empty, read_lines

Part = Literal["line", "paragraph", "file"]
Passage = tuple[int, list[bytes]]
"""The 1-based number of its first line, and its lines."""


@api.source(code=["ftspec.builtin.files"])
def text(*, path: api.Path, per: Part = "line", column: Annotated[str, Meta(min_length=1)] = "text") -> api.Source:
    """Read rows from plain text in UTF-8, into one column.

    `per` says what a row is: a line, a paragraph (lines up to the next blank one), or a whole file, which then stands
    in memory. Blank lines make no row.
    """
    return api.Source(lambda: each(path, (".txt", ".md"), lambda file: or_empty(file, _read(file, per, column))))


def _read(file: File, per: Part, column: str) -> Read:
    problem = rows.fault({column: ""})
    damage: list[api.Finding] = []
    passages = PASSAGES[per](_lines(file, damage))
    while not problem and (some := list(islice(passages, BATCH_ROWS))):
        texts: list[str] = []
        numbers: list[int] = []
        for number, lines in some:
            if any(b"\0" in line for line in lines):
                yield no_row("holds a NUL byte, so it is not text", file.name, number)
                continue
            try:
                texts.append(b"\n".join(lines).decode())
                numbers.append(number)
            except UnicodeDecodeError:
                yield no_row("not UTF-8", file.name, number)
        if texts:
            yield api.Chunk(rows.from_dicts([{column: each} for each in texts]), file.name, numbers)
    if problem:
        yield api.Finding(message=problem, file=file.name, line=1)
    yield from damage


def _lines(file: File, damage: list[api.Finding]) -> Iterator[tuple[int, bytes]]:
    for block in read_lines(file):
        if isinstance(block, api.Finding):
            damage.append(block)
            return
        for number, line in enumerate(block.lines, block.first):
            yield number, line.removesuffix(b"\r")


def _by_line(lines: Iterator[tuple[int, bytes]]) -> Iterator[Passage]:
    return ((number, [line]) for number, line in lines if line and not line.isspace())


def _by_paragraph(lines: Iterator[tuple[int, bytes]]) -> Iterator[Passage]:
    first, held = 0, list[bytes]()
    for number, line in lines:
        if line and not line.isspace():
            first = first if held else number
            held.append(line)
        elif held:
            yield first, held
            held = []
    if held:
        yield first, held


def _by_file(lines: Iterator[tuple[int, bytes]]) -> Iterator[Passage]:
    held = [line for _, line in lines]
    if any(line and not line.isspace() for line in held):
        yield 1, held


PASSAGES = {"line": _by_line, "paragraph": _by_paragraph, "file": _by_file}
