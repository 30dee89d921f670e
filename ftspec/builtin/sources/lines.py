"""JSON lines. A line that is not a row is a Finding; the lines around it are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import api, compiled, rows
from ftspec.builtin.files import File, Lines, Read, each, no_row, or_empty, read_lines
from ftspec.builtin.sources.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

FIRST = 64
"""Lines of a file from which a first layout is learnt."""
SURROGATES = 14
"""Bytes before the end within which the parser takes half of a surrogate pair for a text that breaks off."""

NAME_ENDS = b'":'
"""What follows on a name, in most texts and in ours. In a text that JSON holds it stands as often in both."""


CODE = ("ftspec.builtin.files", "ftspec.builtin.sources.layout", "ftspec.builtin.sources.machine", *compiled.CODE)


@api.source(code=CODE)
def jsonl(*, path: api.Path) -> api.Source:
    """Read rows from JSON lines: one object per line.

    `path` is a file, a folder or a glob; .gz, .zst and .bz2 files are unpacked. Blank lines are skipped.
    """
    return api.Source(lambda: each(path, (".jsonl", ".ndjson"), lambda file: or_empty(file, _read_jsonl(file))))


def _read_jsonl(file: File) -> Read:
    parser = Parser(file.name)
    blocks = read_lines(file)
    begin = list(islice(blocks, 2))  # a last line without a line feed is a block of its own
    if other := _no_lines([block for block in begin if not isinstance(block, api.Finding)]):
        yield no_row(other[0], file.name, 1, hint=other[1])
        return
    while begin or (begin := list(islice(blocks, 1))):
        block = begin.pop(0)
        if isinstance(block, api.Finding):
            yield block
        else:
            yield from parser.read(block)


ARRAY = "the file is an array of objects, and no JSON lines", "name the source `json`, which reads it"
SPREAD = (
    "the file has objects that go over several lines, and no JSON lines",
    "write each object on a line of its own, as `jq -c .` does",
)


def _no_lines(begin: list[Lines]) -> tuple[str, str] | None:
    """What a file is by its first two lines that holds JSON, but not a row a line, and what to do. Each of its lines
    would be told as broken, but the last of an array."""
    lines = [line.strip() for block in begin for line in block.data.split(b"\n", 8)[:8]]
    first, second = ([line for line in lines if line] + [b"", b""])[:2]
    if first[:1] not in (b"[", b"{") or (second and not row_of(second)[1]):
        return None
    begun = first[1:].lstrip()[:1]
    if first[:1] == b"{":
        return SPREAD if second and not begun else None
    return ARRAY if begun == b"{" or (second and not begun) else None


class Parser:
    """Reads the blocks of a file in order: lines like most before them by Arrow, the others one by one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.layout = Layout({})
        self.mixed = False
        """Whether the last block held other lines too: then the next one is sorted before Arrow is asked."""

    def read(self, block: Lines) -> Read:
        """The rows of a block, after a Finding for each line that is none."""
        if self.layout.is_empty:
            self.layout = self.layout.learn(rows.from_dicts(_some_rows(block.data.split(b"\n", FIRST)[:FIRST])))
        read = None if self.mixed else self.layout.plain.parse(block.data)
        if read is not None:
            block.count = read.num_rows  # by now that is known: nobody has to look for line feeds again
            yield api.Chunk(read, self.name, range(block.first, block.first + read.num_rows), checked=True)
            return
        sure = not self.mixed and _are_objects(block)
        batch = self.layout.parse(block.data) if sure else None
        if batch is None or batch.num_rows != len(block):
            yield from self._sorted(block)
            return
        self.layout = self.layout.only(batch.schema.names)
        yield api.Chunk(batch, self.name, range(block.first, block.first + batch.num_rows), checked=True)

    def _sorted(self, block: Lines) -> Read:
        lines = block.lines
        odd = [at for at, line in enumerate(lines) if not self.layout.fits(line)]
        usual = _others(odd, len(lines))
        batch = self.layout.parse(b"\n".join(lines[at] for at in usual)) if len(odd) < len(usual) else None
        if batch is None:
            odd, usual = list(range(len(lines))), []
        self.mixed = bool(odd)
        values: dict[int, dict[str, Any]] = {}
        for at in odd:
            value, problem, column = row_of(lines[at]) if lines[at].strip() else (None, "", 0)
            if problem:
                yield no_row(problem, self.name, block.first + at, column)
            elif value is not None:
                yield from repeated(lines[at], value, self.name, block.first + at)
                values[at] = value
        made = _together(batch, usual, values)
        if made is None:
            every = {**values, **{at: row_of(lines[at])[0] for at in usual}}
            made = rows.from_dicts([every[at] for at in sorted(every)])
        if usual or values:
            self.layout = self.layout.learn(made)
            yield api.Chunk(made, self.name, [block.first + at for at in sorted([*usual, *values])])


def _some_rows(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The rows that are among the lines."""
    read = [row_of(line) for line in lines if line.strip()]
    return [value for value, problem, _ in read if not problem]


def _are_objects(block: Lines) -> bool:
    """Whether every line begins with `{` and ends with `}`. Then none goes on in the next line, for inside of an object
    no `{` follows a `}`; and when there are as many objects as lines, there is one on each."""
    import numpy as np

    data, feeds = block.data, block.feeds
    if not (data.startswith(b"{") and data.endswith((b"}", b"}\r"))):
        return False
    characters = np.frombuffer(data, np.uint8)
    ends = np.where(characters[feeds - 1] == ord("\r"), characters[feeds - 2], characters[feeds - 1])
    return bool((ends == ord("}")).all() and (characters[feeds + 1] == ord("{")).all())


def _others(some: Sequence[int], count: int) -> list[int]:
    apart = set(some)
    return [at for at in range(count) if at not in apart]


def _together(batch: pa.RecordBatch | None, usual: Sequence[int], values: Mapping[int, Any]) -> pa.RecordBatch | None:
    """Rows that Arrow parsed and rows that it did not, in their order. None where a column is of one type in those and
    of another in these: it is JSON then."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if batch is None or not values:
        return rows.from_dicts(list(values.values())) if batch is None else batch
    odd = rows.from_dicts(list(values.values()))
    places = rows.integers([*usual, *values])
    columns: dict[str, pa.Array] = {}
    for name in dict.fromkeys([*batch.schema.names, *odd.schema.names]):
        pair = _of_one_type(_column(batch, name, odd), _column(odd, name, batch))
        if pair is None:
            return None
        columns[name] = pa.concat_arrays(pair).take(pc.sort_indices(places))
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _column(batch: pa.RecordBatch, name: str, other: pa.RecordBatch) -> pa.Array:
    """The column; nulls of the other batch's type where only that has it."""
    import pyarrow as pa

    if name in batch.schema.names:
        return batch.column(name)
    return pa.nulls(batch.num_rows, other.column(name).type)


def _of_one_type(one: pa.Array, other: pa.Array) -> list[pa.Array] | None:
    """Both as they are, or nulls as those of the other's type."""
    import pyarrow as pa

    if one.type == other.type:
        return [one, other]
    if one.null_count == len(one):
        return [pa.nulls(len(one), other.type), other]
    return [one, pa.nulls(len(other), one.type)] if other.null_count == len(other) else None


def row_of(line: bytes, of: str = "line") -> tuple[Any, str, int]:
    """The row that JSON is, or what is wrong with it (never its own text, which may be private), and at which
    character from 1, 0 where that cannot be told.

    `of` is what its bytes are counted in.
    """
    value, problem, column = decoded(line, of)
    return (None, problem, column) if problem else (value, rows.fault(value), 0)


def repeated(text: bytes, row: Mapping[str, Any], file: str, line: int) -> Iterator[api.Finding]:
    """A warning where a name stands twice in one object of the text, which parsers take for the last one.

    Arrow refuses such a row, so that all of them come here. That the text has more names than what was read is cheap
    to see.
    """
    if text.count(b":") == len(row) or text.count(NAME_ENDS) == msgspec.json.encode(row).count(NAME_ENDS):
        return
    name, place = _first_again(text)
    if name:
        where = f"'{place}'" if place else "the row"
        message = f"'{name[:60]}' stands twice in {where}: the last one counts"
        yield api.Finding(message=message, hint="remove one of them", severity="warning", file=file, line=line)


def _first_again(text: bytes) -> tuple[str, str]:
    """A name that stands more than once in one object, and where that object is: `messages[1]`, "" for the row."""
    try:
        return next(_again(json.loads(text, object_pairs_hook=tuple), ""), ("", ""))
    except (ValueError, RecursionError):  # a number of 5,000 digits, say, which our parser reads
        return "", ""


def _again(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """The same of all objects: here they are tuples of pairs."""
    if isinstance(value, tuple):
        counted = Counter(name for name, _ in value)
        yield from ((name, place) for name, count in counted.items() if count > 1)
        for name, inner in value:
            yield from _again(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _again(inner, f"{place}[{at}]")


def decoded(text: bytes, of: str) -> tuple[Any, str, int]:
    """Any JSON value, in the same way."""
    try:
        return msgspec.json.decode(text), "", 0
    except RecursionError:
        return None, "not JSON that can be read: nested too deeply", 0
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) or "UTF-8" in str(error):  # before msgspec 0.23, and since
            odd = _first_odd(text)
            return None, f"not UTF-8 (byte {odd} of the {of})", _characters(text, odd - 1) + 1
        problem, at = _fault(text, str(error), of)
        return None, f"not JSON: {problem}", 0 if at is None else _characters(text, at) + 1


def _fault(text: bytes, said: str, of: str) -> tuple[str, int | None]:
    """What the parser says, without its place, and at which byte that is."""
    what, placed, byte = said.removeprefix("JSON is malformed: ").partition(" (byte ")
    if not placed and what.startswith("Input data was truncated"):
        end = text[-SURROGATES:].lower()
        half = end.rfind(b"\\ud")
        if half >= 0:
            return "half of a surrogate pair", len(text) - len(end) + half
        return f"the {of} breaks off", len(text.rstrip())
    if not placed:
        return what.partition(" - at ")[0], None
    at = int(byte.rstrip(")")) - what.startswith("trailing characters")  # of these it has read the first one
    at = min(at, len(text) - 1)
    if text[at] < ord(" ") and what == "invalid character":
        return "a control character that is not escaped" if text[at] else "a NUL byte", at
    if "surrogate" in what:
        return "half of a surrogate pair", text[: at + 1].lower().rfind(b"\\ud")
    while what == "invalid character" and (text[at - 1 : at].isalpha() or text[at - 1 : at] >= b"\x80"):
        at -= 1  # of `nul` and the like it has read all letters
    return what, at - ("escape" in what)  # of an escape the character that makes none


def _characters(text: bytes, end: int) -> int:
    """How many characters stand before a byte."""
    return len(text[:end].decode("utf-8", "replace"))


def _first_odd(text: bytes) -> int:
    """The place of the first byte that is no UTF-8, from 1: the parser counts from where the string begins."""
    try:
        return len(text.decode()) + 1
    except UnicodeDecodeError as error:
        return error.start + 1
