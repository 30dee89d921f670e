"""`--set hyperparameters.epochs=1`: one value of the spec replaced from the command line, before it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ftspec.common.errors import Problem, SpecPath
from ftspec.common.figures import plural
from ftspec.common.wording import dotted
from ftspec.document import document as yaml_document
from ftspec.document.document import Document

SYNTAX = re.compile(r"[^.\[\]=\s]+(?:\.[^.\[\]=\s]+|\[[0-9]+\])*=.*", re.DOTALL)
PART = re.compile(r"\.?([^.\[\]=\s]+)|\[([0-9]+)\]")
USAGE = "write KEY.KEY=VALUE or KEY[0].KEY=VALUE"


class _Fault(Exception):
    """An override that cannot be applied."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(message=message, hint=hint)


def apply(document: Document, overrides: Iterable[str]) -> Document:
    """The document with every override applied in order; those that cannot be become its problems."""
    for text in overrides:
        try:
            document = _apply(document, text)
        except _Fault as fault:
            problem = msgspec.structs.replace(fault.problem, file=f"--set {text}")
            document = msgspec.structs.replace(document, problems=(*document.problems, problem))
    return document


def _apply(document: Document, text: str) -> Document:
    if not SYNTAX.fullmatch(text):
        raise _Fault("not an override", USAGE)
    target, _, value = text.partition("=")
    parts = [name or int(index) for name, index in PART.findall(target)]
    given, faults = _value(value)
    path, data = _replace(document.data, parts, given, ())
    problems = [
        Problem(message=f"the value cannot be used: {fault.message}", hint=fault.hint, path=path, file=f"--set {text}")
        for fault in faults[:1]
    ]
    return msgspec.structs.replace(
        document, data=data, sets=document.sets | {path: text}, problems=(*document.problems, *problems)
    )


def _value(text: str) -> tuple[Any, Sequence[Problem]]:
    """A YAML scalar or flow collection, nothing means null; and what is wrong with it."""
    if not text.strip():
        return None, ()
    read = yaml_document.read_text(text, Path("--set"))
    return (None if read.problems else read.data), read.problems


def _replace(data: Any, parts: list[str | int], value: Any, path: SpecPath) -> tuple[SpecPath, Any]:
    """(the path with list indices as numbers, a copy of the data with the value in it)."""
    if not parts:
        return path, value
    part, rest = parts[0], parts[1:]
    if isinstance(data, list):
        index = _index(part, data, path)
        path, entry = _replace(data[index], rest, value, (*path, index))
        return path, [*data[:index], entry, *data[index + 1 :]]
    if isinstance(data, str) and data == part:
        data = {data: {}}  # a bare name gets options: `--set cleaning[0].length.max=10`
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _Fault(f"'{dotted(path)}' holds one value, not keys or items", "set it as a whole")
    if not isinstance(part, str):
        raise _Fault(f"'{dotted(path) or 'the spec'}' is not a list", USAGE)
    path, entry = _replace(data.get(part), rest, value, (*path, part))
    return path, {**data, part: entry}


def _index(part: str | int, data: list[Any], path: SpecPath) -> int:
    if isinstance(part, str) and not part.isdecimal():
        raise _Fault(f"'{dotted(path)}' is a list", f"name an item by its number, e.g. {dotted(path)}[0]")
    index = int(part) if len(str(part)) < 10 else len(data)
    if index >= len(data):
        raise _Fault(f"'{dotted(path)}' has {plural(len(data), 'item')}", "the first is [0]")
    return index
