"""Files as sources read them: globs and folders, compression, lines with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ftspec import api

BLOCK = 1 << 20
"""Bytes per block of lines, and so about a batch: small enough for memory and order, large enough for Arrow."""

BATCH_ROWS = 4096
"""Rows per batch where rows are counted one by one."""

UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


Read = Iterator[api.Chunk | api.Finding]


class File(NamedTuple):
    """One file of a source: `name` is its origin in chunks and findings, `path` where it lies on this machine."""

    name: str
    path: str


class Lines(NamedTuple):
    """Some whole lines of a file (without their line feeds); `first` is the 1-based number of the first."""

    first: int
    data: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.data.split(b"\n")


def each(path: str, endings: tuple[str, ...], read: Callable[[File], Read]) -> Read:
    """What `read` makes of every file that `path` names, one after the other."""
    for name in expand(path, endings):
        yield from read(File(name, name))


def expand(path: str, endings: tuple[str, ...]) -> list[str]:
    """The files that a path, a folder or a glob names, sorted. Raises FtspecError when there is none."""
    if Path(path).is_dir():
        found = [str(p) for p in Path(path).rglob("*") if p.is_file() and any(end in p.suffixes for end in endings)]
    elif Path(path).is_file():
        found = [path]
    else:
        found = [str(found) for found in _glob(path) if found.is_file()]
    if not found:
        raise api.FtspecError(f"no file matches '{path}'", "check the path: it is relative to the spec")
    return sorted(found)


def _glob(path: str) -> Iterator[Path]:
    """An absolute glob; `**` stands for any folders."""
    anchor = Path(Path(path).anchor)
    return anchor.glob(str(Path(path).relative_to(anchor)))


def read_lines(file: File) -> Iterator[Lines | api.Finding]:
    """The lines of a file, decompressed by its ending (.gz, .zst, .bz2, .lz4), a leading byte order mark left out.

    Damage (a truncated or corrupt archive) is the last thing yielded, after every whole line before it.
    """
    number = 1
    try:
        for data in _blocks(file.path):
            if number == 1 and data.startswith(UTF16_BOMS):
                yield api.Finding(message="the file is UTF-16", hint="save it as UTF-8", file=file.name, line=1)
                return
            yield Lines(number, data.removeprefix(UTF8_BOM) if number == 1 else data)
            number += data.count(b"\n") + 1
    except (OSError, EOFError) as error:
        message = f"the file breaks off after line {number - 1}: {error}"
        yield api.Finding(message=message, hint="fetch or compress it again", file=file.name, line=number)


def _blocks(path: str) -> Iterator[bytes]:
    """Blocks of whole lines, without the last line feed. A line longer than a block is gathered from parts: cost stays
    linear in its length."""
    import pyarrow as pa

    parts: list[bytes] = []
    with pa.input_stream(path, compression="detect") as stream:
        while block := stream.read(BLOCK):
            head, found, rest = block.rpartition(b"\n")
            if not found:
                parts.append(block)
                continue
            yield b"".join([*parts, head])
            parts = [rest] if rest else []
    if parts:
        yield b"".join(parts)
