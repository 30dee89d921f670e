"""Hash what the spec refers to: the only input and output of planning.

Content decides, never a path or a time: a moved or touched file is the same input. Of a remote file it is what its
server says of the content that decides, so that nothing is fetched for a plan.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ftspec import items
from ftspec.common.errors import DataError, Finding, Problem, SpecError
from ftspec.common.records import Input, Record
from ftspec.common.references import resolve
from ftspec.contracts.provider import Provider
from ftspec.files import fetching, inputs, ondisk
from ftspec.registry import Registry
from ftspec.spec import Item, Spec


class Inventory(Record):
    """What was found. `contents` maps an item's place in the spec ("sources[0]") to one hash of all its files and its
    fingerprint; `model` is the base model's fingerprint as the provider tells it. `began` is when, by the clock."""

    inputs: tuple[Input, ...]
    contents: dict[str, str]
    model: str
    began: float = 0.0


def take(spec: Spec, registry: Registry, provider: Provider) -> Inventory:
    """Read and hash everything.

    Raises DataError for files that cannot be read, SpecError for all servers and databases that cannot.
    """
    began = time.time()
    problems: list[Problem] = []
    taken: dict[str, Input] = {}
    contents = {}
    for place, item in spec.items():
        with items.gathered(problems):
            found = list(_inputs(item, registry, spec.folder))
            taken.update((entry.path, entry) for entry in found)
            mark = _fingerprint(item, registry, spec.folder)
            if found or mark:
                contents[place] = _digest([*(entry.sha256 or entry.mark for entry in found), mark])
    with items.gathered(problems), items.placed(("model",)):
        model = provider.fingerprint(spec.model)
    if problems:
        raise SpecError(problems)
    return Inventory(
        inputs=tuple(taken[path] for path in sorted(taken)),
        contents=contents,
        model=model,
        began=began,
    )


def check_unchanged(found: Inventory, folder: Path) -> None:
    """Raise DataError for inputs that are no longer what was hashed: what was made of them must not be kept.

    Only files that were touched since are hashed again.
    """
    changed = [
        entry.path for entry in found.inputs if not entry.mark and _changed(folder / entry.path, entry, found.began)
    ]
    if changed:
        message, hint = "changed while it was read", "run again when nothing writes to it"
        raise DataError([Finding(message=message, hint=hint, file=path) for path in changed])


def _changed(file: Path, entry: Input, began: float) -> bool:
    try:
        status = file.stat()
    except OSError:
        return True
    touched = max(status.st_mtime, status.st_ctime) >= began
    return status.st_size != entry.bytes or (touched and file_hash(file) != entry.sha256)


def content(item: Item, registry: Registry, folder: Path) -> str:
    """One hash of all files that the item's options name; "" where they name none."""
    found = [entry.sha256 for entry in _inputs(item, registry, folder)]
    return _digest(found) if found else ""


def _inputs(item: Item, registry: Registry, folder: Path) -> Iterator[Input]:
    component = registry.get(item.kind, item.name)
    for where, text in items.paths(item.options, component):
        if item.kind == "source" and fetching.is_url(text):
            with items.placed((*item.path, item.name, *where)):
                named = inputs.input_files(resolve(text))
            yield from (Input(path=found.name, sha256="", bytes=found.size, mark=found.mark) for found in named)
            continue
        for file in _files((folder / text).absolute()):
            with items.placed((*item.path, item.name, *where)):
                inputs.named_as_text(file)
            yield Input(path=os.path.relpath(file, folder), sha256=file_hash(file), bytes=file.stat().st_size)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.exists():
        return [path]
    return sorted(file for file in inputs.matches(path) if file.is_file())


def file_hash(file: Path) -> str:
    """sha256 of a file's content."""
    try:
        return ondisk.sha256_of(file)
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
        raise DataError([Finding(message=said, hint="check its permissions", file=str(file))]) from error


def _fingerprint(item: Item, registry: Registry, folder: Path) -> str:
    """A source's own fingerprint. Building a source calls its factory, so only sources without a Path are asked."""
    component = registry.get(item.kind, item.name)
    if item.kind != "source" or any(items.paths(item.options, component)):
        return ""
    source = items.build(item, registry, folder)
    if source.fingerprint is None:
        return ""
    with items.placed((*item.path, item.name)), items.guarded(item, registry, "fingerprint"):
        found = source.fingerprint()
    return items.blame(item, registry).verified(found, str, source.fingerprint, "fingerprint")


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
