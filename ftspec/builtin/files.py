"""Files as sources read them: globs and folders, compression, lines with their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import msgspec

from ftspec import api

BLOCK = 8 << 20
"""Bytes per block of lines, and so about a batch: what is done once a batch costs too much in smaller ones."""

BATCH_ROWS = 4096
"""Rows per batch where rows are counted one by one."""

UTF8_BOM = b"\xef\xbb\xbf"
WIDE = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Byte order marks of other encodings, the longest first: one of UTF-32 begins as one of UTF-16 does."""
PACKED = {
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"BZh91AY&SY": ".bz2",
    b"\xfd7zXZ\0": ".xz",
    b"\x04\x22\x4d\x18": ".lz4",
    b"PK\x03\x04": ".zip",
    b"PAR1\x15": ".parquet",
}
"""How files begin that are no text, and what their names end with. (A header line may name a column PAR1.)"""
POINTER = b"version https://git-lfs.github.com/spec/"
AGAIN = "fetch or compress it again"
CRUMB = 64
"""Bytes that are read at once of a block that breaks off."""


Read = Iterator[api.Chunk | api.Finding]


class File(msgspec.Struct, frozen=True):
    """One file of a source: `name` is its origin in chunks and findings, `path` where it lies on this machine.

    `member` is the name of a file in a zip archive, which then is at `path`.
    """

    name: str
    path: str
    member: str = ""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Its content as a stream of bytes, decompressed by the ending of its path."""
        if self.member:
            return _member(self.path, self.member)
        if self.path.endswith(".xz"):
            import lzma

            return cast(AbstractContextManager[BinaryIO], lzma.open(self.path, "rb"))
        import pyarrow as pa

        return cast(AbstractContextManager[BinaryIO], pa.input_stream(self.path, compression="detect"))


@contextmanager
def _member(path: str, member: str) -> Iterator[BinaryIO]:
    import zipfile

    with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        yield cast(BinaryIO, stream)


class Lines:
    """Some whole lines of a file (without the last line feed); `first` is the 1-based number of the first."""

    def __init__(self, first: int, data: bytes) -> None:
        self.first, self.data = first, data

    def __len__(self) -> int:
        return self.count

    @cached_property
    def count(self) -> int:
        """How many lines."""
        import numpy as np

        return int(np.count_nonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))) + 1

    @property
    def lines(self) -> list[bytes]:
        return self.data.split(b"\n")

    @cached_property
    def feeds(self) -> Any:
        """Where the line feeds between them stand: an array of NumPy's."""
        import numpy as np

        return np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))


def each(path: str, endings: tuple[str, ...], read: Callable[[File], Read]) -> Read:
    """What `read` makes of every file that `path` names, one after the other; of every such file in a zip archive."""
    for found in api.input_files(path, endings):
        local = found.local()
        if not local.endswith(".zip"):
            yield from read(File(found.name, local))
            continue
        members, problem = _members(local, endings)
        if problem:
            yield api.Finding(message=problem, hint=AGAIN, file=found.name, line=1)
        for member in members:
            yield from read(File(f"{found.name}/{member}", local, member))


def _members(path: str, endings: tuple[str, ...]) -> tuple[list[str], str]:
    """The files in a zip archive that have one of the endings, sorted, and what is wrong with it."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        return [], f"not a zip archive that can be read: {error}"
    found = sorted(name for name in names if not name.startswith("__MACOSX/") and PurePosixPath(name).suffix in endings)
    return found, "" if found else f"no file in the archive ends with {' or '.join(endings)}"


HINTS = {
    "a row must be an object": "write each row as `{...}`, with its columns' names as keys",
    "not JSON that can be read": "store deeply nested values as text",
    "not JSON: a NUL byte": "save it as UTF-8 text; many of them in a row are what a crash or a full disk has left",
    "not JSON: a control character": "write it as a JSON encoder does: \\t for a tab, \\n for a line feed",
    "not JSON: half of": "escape both halves of the character, or write it as it is, in UTF-8",
    "not JSON": "write it as a JSON encoder does: quotes around names, no NaN, no comma at the end",
    "not a Parquet file": "check the file's ending, or write it anew",
    "not UTF-8": 'save it as UTF-8, from Excel as "CSV UTF-8", or try `iconv -f WINDOWS-1252 -t UTF-8`',
    "not a record of a table": "close a cell that a quotation mark opens, and write one within it twice",
    "two columns are named": "rename one of them",
    "holds a NUL byte": "save it as UTF-8 text, or remove the byte",
    "the table is empty": "write a header line and rows, or take the file out of `path`",
}
"""What to do about a line that is no row, by how its message begins."""


def no_row(message: str, file: str, line: int, column: int = 0, hint: str = "") -> api.Finding:
    """A line that is no row, with what to do about it where that can be told."""
    hint = hint or next((hint for begins, hint in HINTS.items() if message.startswith(begins)), "")
    return api.Finding(message=message, hint=hint, file=file, line=line, column=column)


def or_empty(file: File, read: Read) -> Read:
    """What was read of a file; a warning that names it where that is nothing."""
    got = None
    for got in read:
        yield got
    if got is None:
        hint = "fill it, or take it out of `path`"
        yield api.Finding(
            message="the file is empty: no row is in it", hint=hint, severity="warning", file=file.name, line=1
        )


def read_lines(file: File) -> Iterator[Lines | api.Finding]:
    """The lines of a file, decompressed by its ending (.gz, .zst, .bz2, .lz4, .xz), a leading byte order mark left out.

    Damage (a truncated or corrupt archive) is the last thing yielded, after every whole line before it.
    """
    number = 1
    try:
        for data in _blocks(file):
            message, hint = _stranger(data) if number == 1 else ("", "")
            if message:
                yield api.Finding(message=message, hint=hint, file=file.name, line=1)
                return
            block = Lines(number, data.removeprefix(UTF8_BOM) if number == 1 else data)
            yield block
            number += len(block)
    except damage() as error:
        message, hint = no_archive(file) or (f"the file breaks off after line {number - 1}: {error}", AGAIN)
        yield api.Finding(message=message, hint=hint, file=file.name, line=number)


def _stranger(data: bytes) -> tuple[str, str]:
    """What a file is by its beginning that is no text in UTF-8, and what to do; nothing for a text."""
    wide = next((name for mark, name in WIDE.items() if data.startswith(mark)), "")
    if wide:
        return f"the file is {wide}", "save it as UTF-8"
    if data.startswith(POINTER):
        return "the file is a pointer of Git LFS, and not what it stands for", "fetch that: `git lfs pull`"
    ending = next((PACKED[each] for each in PACKED if data.startswith(each)), "")
    said = f"the file is no text: it begins as files do that end with {ending}"
    return (said, "give it that ending, or take it out of `path`") if ending else ("", "")


def no_archive(file: File) -> tuple[str, str] | None:
    """What a file is that cannot be unpacked since it never was packed, and what to do; None for a damaged archive."""
    mark, ending = next(((mark, end) for mark, end in PACKED.items() if file.path.endswith(end)), (b"", ""))
    begins = b""
    with suppress(OSError), Path(file.path).open("rb") as stream:
        begins = stream.read(len(mark))
    if not begins:
        return None
    said = f"the file is not compressed, or not as its ending {ending} says"
    return None if begins == mark else (said, f"take {ending} off its name where it is plain text, or {AGAIN}")


def damage() -> tuple[type[Exception], ...]:
    """What reading a broken file or archive raises."""
    import lzma
    import zipfile
    import zlib

    return (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def _blocks(file: File) -> Iterator[bytes]:
    """Blocks of whole lines, without the last line feed. A line longer than a block is gathered from parts: cost stays
    linear in its length."""
    parts: list[bytes] = []
    for block in _read(file):
        end = block.rfind(b"\n")
        if end < 0:
            parts.append(block)
            continue
        yield b"".join([*parts, memoryview(block)[:end]])
        parts = [block[end + 1 :]] if end + 1 < len(block) else []
    if parts:
        yield b"".join(parts)


def _read(file: File) -> Iterator[bytes]:
    """The file's bytes. Of one that breaks off all that can be had come before the error; of one that is corrupt whole
    blocks alone, for what comes out of it may be anything."""
    done = 0
    try:
        with file.open() as stream:
            while block := stream.read(BLOCK):
                done += len(block)
                yield block
    except damage() as error:
        if isinstance(error, EOFError) or "Truncated" in str(error):
            yield _crumbs(file, done)
        raise


def _crumbs(file: File, start: int) -> bytes:
    """What stands between `start` and the break: an attempt to read more at once gives nothing of it."""
    found: list[bytes] = []
    with suppress(*damage()), file.open() as stream:
        while start > 0 and (skipped := stream.read(min(start, BLOCK))):
            start -= len(skipped)
        while crumb := stream.read(CRUMB):
            found.append(crumb)
    return b"".join(found)
