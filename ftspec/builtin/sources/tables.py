"""Tables of cells with a header line. A record that is not a row is a Finding; the records around it are kept."""

from __future__ import annotations

import csv as csv_module
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.files import BATCH_ROWS, File, Lines, Read, each, no_row, read_lines

CELLS = "where the header has"
Parser = Callable[[str], Any]
ColumnType = Literal["text", "integer", "number", "boolean", "json"]
Delimiter = Annotated[str, Meta(min_length=1, max_length=1)]
COMMA = re.compile(r"[-+]?[\d.]*,\d+")
OPEN = "a quotation mark opens a cell that no other one closes: lines {} to {} are in it"


def _delimiter(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if options["delimiter"] in ('"', "\r", "\n"):
        yield ("delimiter",), "a quotation mark or the end of a line cannot part cells"


@api.source(rules=[_delimiter], code=["ftspec.builtin.files"])
def csv(
    *,
    path: api.Path,
    delimiter: Annotated[
        Delimiter | None,
        Meta(description='One character, as ";" or "\\t"; else a comma, or a tab where a name ends with .tsv.'),
    ] = None,
    types: dict[str, ColumnType] = {},
) -> api.Source:
    """Read rows from a table with a header line.

    Every cell is text, so that "007" and "1.50" stay what they are, unless `types` says otherwise for its column; an
    empty cell of such a column is missing. Quoted cells may hold line breaks. `path` may be a glob or a folder.
    """
    return api.Source(
        lambda: each(path, (".csv", ".tsv"), lambda file: _read_csv(file, delimiter or _usual(file), types))
    )


def _usual(file: File) -> str:
    return "\t" if ".tsv" in PurePosixPath(file.name.lower()).suffixes else ","


class Table:
    """A CSV file as it is read: what is wrong with the lines since the last record, records with their first line."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.faults: list[str] = []
        self.damage: api.Finding | None = None

    def texts(self) -> Iterator[str]:
        for block in read_lines(self.file):
            if isinstance(block, api.Finding):
                self.damage = block
                return
            yield from self._decoded(block)

    def _decoded(self, block: Lines) -> Iterator[str]:
        for line in block.lines:
            if b"\0" in line:
                self.faults.append("holds a NUL byte, so it is not text")
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError:
                self.faults.append("not UTF-8")
                yield line.decode("utf-8", "replace") + "\n"

    def records(self, delimiter: str) -> Iterator[tuple[int, list[str], str]]:
        """(first line, cells, problem) of every record that is not blank."""
        csv_module.field_size_limit(2**31 - 1)
        reader = csv_module.reader(self.texts(), delimiter=delimiter, strict=True)
        while True:
            first = reader.line_num + 1
            cells, problem = [], ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv_module.Error as error:
                said = OPEN.format(first, reader.line_num) if "end of data" in str(error) else str(error)
                problem = f"not a record of a table: {said}"
            if self.faults:
                problem = self.faults[0]
                self.faults.clear()
            if cells or problem:
                yield first, cells, problem


def _read_csv(file: File, delimiter: str, types: Mapping[str, ColumnType]) -> Read:
    table = Table(file)
    records = table.records(delimiter)
    line, header, problem = next(records, (1, [], "the table is empty"))
    problem = problem or _header_problem(header, types)
    if problem:
        yield table.damage or no_row(problem, file.name, line, hint=_header_hint(header))
        return
    kinds = [types.get(name, "text") for name in header]
    columns: list[list[Any]] = []
    numbers: list[int] = []
    read = False
    for line, cells, problem in records:
        read = True
        values, problem = (cells, problem) if problem else _parse(cells, header, kinds)
        if problem:
            hint = _ragged_hint(header) if CELLS in problem else _comma_hint(cells, kinds)
            yield no_row(problem, file.name, line, hint=hint)
            continue
        columns.append(values)
        numbers.append(line)
        if len(columns) == BATCH_ROWS:
            yield from _table_chunk(file.name, header, columns, numbers)
            columns, numbers = [], []
    yield from _table_chunk(file.name, header, columns, numbers)
    if table.damage:
        yield table.damage
    elif not read:
        yield api.Finding(
            message=f"no row is below the header line, which names {len(header)} column{'s'[: len(header) != 1]}",
            hint="add rows, look whether this is a table at all, or take the file out of `path`",
            severity="warning",
            file=file.name,
            line=line,
        )


def _header_problem(header: list[str], types: Mapping[str, str]) -> str:
    if "" in header:
        return f"column {header.index('') + 1} has no name"
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        return f"two columns are named '{twice[0]}'"
    missing = [name for name in types if name not in header]
    if missing:
        return f"`types` names column '{missing[0]}', which the table does not have; it has {', '.join(header)}"
    return rows.fault(dict.fromkeys(header))


def _header_hint(header: list[str]) -> str:
    if header[:1] and header[0].lower().startswith("sep="):
        return "that line tells Excel alone what parts the cells: take it out of the file"
    if header[:1] == [""]:
        return "name it; where it is an index that pandas wrote, write the table with `index=False`"
    return "name it, or take away the delimiter at the lines' ends" if "" in header else ""


def _ragged_hint(header: list[str]) -> str:
    """What to do about rows that have other cells than the header line."""
    likely = max(";\t|,", key=header[0].count)
    if header[0].lower().startswith("sep=") or (len(header) == 1 and likely in header[0]):
        shown = "\\t" if likely == "\t" else likely
        return _header_hint(header) or f'cells seem to be parted by another character: say `delimiter: "{shown}"`'
    return "put a cell that holds the delimiter or a line end between quotation marks"


def _comma_hint(cells: list[str], kinds: list[ColumnType]) -> str:
    """What to do about numbers with a comma, which is no character that could just be left out: `1,234` is two."""
    if any(kind == "number" and COMMA.fullmatch(text) for text, kind in zip(cells, kinds, strict=False)):
        return "numbers are read as 1234.5: leave the column out of `types`, and have the step `replace` write them so"
    return ""


def _parse(cells: list[str], header: list[str], kinds: list[ColumnType]) -> tuple[list[Any], str]:
    if len(cells) != len(header):
        return [], f"{len(cells)} cell{'s'[: len(cells) != 1]} {CELLS} {len(header)}"
    values: list[Any] = []
    wrong: list[str] = []
    for name, text, kind in zip(header, cells, kinds, strict=True):
        try:
            values.append(text if kind == "text" else PARSERS[kind](text) if text else None)
        except (ValueError, KeyError, RecursionError, msgspec.MsgspecError):
            wrong.append(f"column '{name}' is not {WORDS[kind]}")
    if wrong:
        return [], f"{', '.join(wrong)}, as `types` says"
    if "messages" in header or "tools" in header:
        return values, rows.fault(dict(zip(header, values, strict=True)))
    return values, ""


def _table_chunk(origin: str, header: list[str], values: list[list[Any]], numbers: list[int]) -> Read:
    if values:
        named = [dict(zip(header, row, strict=True)) for row in values]
        yield api.Chunk(rows.from_dicts(named), origin, numbers)


def _integer(text: str) -> int:
    return int(_without_underscores(text))


def _number(text: str) -> float:
    value = float(_without_underscores(text))
    if value - value != 0:
        raise ValueError("not finite")
    return value


def _without_underscores(text: str) -> str:
    """Python reads 1_000 as a thousand; in a table it is a code."""
    if "_" in text:
        raise ValueError("not a number")
    return text


WORDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "json": "JSON"}

PARSERS: dict[str, Parser] = {
    "integer": _integer,
    "number": _number,
    "boolean": lambda text: {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
        text.lower()
    ],
    "json": msgspec.json.decode,
}
