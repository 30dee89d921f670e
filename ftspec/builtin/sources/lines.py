"""JSON lines. A line that is not a row is a Finding; the lines around it are kept."""

from __future__ import annotations

from typing import Any

import msgspec

from ftspec import api, rows
from ftspec.builtin.files import File, Read, each, read_lines


@api.source
def jsonl(*, path: api.Path) -> api.Source:
    """Read rows from JSON lines: one object per line.

    `path` is a file, a folder or a glob; .gz, .zst and .bz2 files are unpacked. Blank lines are skipped.
    """
    return api.Source(lambda: each(path, (".jsonl", ".ndjson"), _read_jsonl))


def _read_jsonl(file: File) -> Read:
    for block in read_lines(file):
        if isinstance(block, api.Finding):
            yield block
            continue
        values: list[dict[str, Any]] = []
        numbers: list[int] = []
        for number, line in enumerate(block.lines, block.first):
            if not line or line.isspace():
                continue
            value, problem = _decode(line)
            if problem:
                yield api.Finding(message=problem, file=file.name, line=number)
            else:
                values.append(value)
                numbers.append(number)
        if values:
            yield api.Chunk(rows.from_dicts(values), file.name, numbers)


def _decode(line: bytes) -> tuple[Any, str]:
    """The row on a line, or what is wrong with it: never the line's own text, which may be private."""
    try:
        value = msgspec.json.decode(line)
    except UnicodeDecodeError as error:
        return None, f"not UTF-8 (byte {error.start + 1} of the line)"
    except RecursionError:
        return None, "not JSON that can be read: nested too deeply"
    except msgspec.MsgspecError as error:
        return None, f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return value, rows.fault(value)
