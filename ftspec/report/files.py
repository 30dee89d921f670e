"""Writes the four files of a report, each whole or not at all, with secrets masked."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from operator import is_
from pathlib import Path
from typing import Any

import msgspec

from ftspec.common.errors import FtspecError
from ftspec.common.references import mask
from ftspec.report import junit, page, summary
from ftspec.report.data import SCHEMA, ReportData

SURROGATE = re.compile("[\ud800-\udfff]")


def write(folder: Path, data: ReportData) -> Path:
    """Write report.html, report.md, report.json and junit.xml into `folder` (made where missing).

    Returns the path of report.html. Values of secrets are masked wherever they stand, also inside data.
    """
    data = clean(data)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "report.json", msgspec.json.format(msgspec.json.encode(data), indent=1))
    _replace(folder / "report.md", summary.render(data).encode())
    _replace(folder / "junit.xml", junit.render(data))
    _replace(folder / "report.html", page.render(data).encode())
    return folder / "report.html"


def read(path: Path) -> ReportData:
    """The data of a report.json, so that a report can be rendered again. Raises FtspecError."""
    try:
        data = msgspec.json.decode(path.read_bytes(), type=ReportData)
    except (OSError, msgspec.DecodeError) as error:
        raise FtspecError(
            f"{path} cannot be read as a report: {error}", "run `ftspec run` again to write it"
        ) from error
    if data.schema > SCHEMA:
        raise FtspecError(f"{path} was written by a newer ftspec (schema {data.schema})", "upgrade ftspec")
    return data


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of report.json, published as docs/report.schema.json."""
    made = msgspec.json.schema(ReportData)
    for record in made["$defs"].values():
        if "description" in record:  # a docstring, which msgspec before 0.23 leaves as it stands in the code
            record["description"] = inspect.cleandoc(record["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ftspec report", **made}


def clean(data: ReportData) -> ReportData:
    """The data as it may be shown: secrets masked, and what JSON cannot hold (surrogates, infinities) left out."""
    cleaned: ReportData = _clean(data, mask.now())
    return cleaned


def _clean(value: Any, masked: Callable[[str], str]) -> Any:
    """Names of fields are ours, and stay whatever a secret may be; keys of mappings are data.

    What is clean already, as nearly all is, comes back as it is: a second copy would be there while charts are drawn.
    """
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", masked(value))
    if isinstance(value, msgspec.Struct):
        changed = {}
        for name in value.__struct_fields__:
            before = getattr(value, name)
            if (after := _clean(before, masked)) is not before:
                changed[name] = after
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        entries = {_clean(key, masked): _clean(entry, masked) for key, entry in value.items() if not _infinite(entry)}
        return value if _same(value, entries) and _same(value.values(), entries.values()) else entries
    if isinstance(value, list | tuple):
        cleaned = type(value)(_clean(entry, masked) for entry in value)
        return value if _same(value, cleaned) else cleaned
    return value


def _same(before: Collection[Any], after: Collection[Any]) -> bool:
    """Whether these are the very same objects, in the same order."""
    return len(before) == len(after) and all(map(is_, before, after))


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all: a reader never sees half a report."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(content)
    staged.replace(path)
