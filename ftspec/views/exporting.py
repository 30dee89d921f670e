"""The prepared rows in any installed provider's format, or as a folder for Hugging Face's `datasets`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ftspec.common.errors import DataError, FtspecError
from ftspec.common.jobs import ModelRef, Request
from ftspec.common.records import Record
from ftspec.common.wording import did_you_mean
from ftspec.contracts.components import Component
from ftspec.contracts.provider import Provider
from ftspec.data.ledger import locator
from ftspec.data.spool import read_rows
from ftspec.installed import line
from ftspec.items import build, shape_of
from ftspec.layout.shapes import Shape
from ftspec.registry import Registry
from ftspec.run.prepared import Prepared
from ftspec.spec import Spec
from ftspec.validation.unknowns import FIRST_PARTY
from ftspec.views import hubfiles

SIDES = ("train", "validation", "test")
HUB = "huggingface"


class Exported(Record):
    """One file that was written. `tokens` is None where the provider does not count them."""

    side: str
    file: str
    rows: int
    bytes: int
    tokens: int | None = None


def export(
    spec: Spec, registry: Registry, prepared: Prepared, to: str, out: Path, *, model: str = "", method: str = ""
) -> tuple[Exported, ...]:
    """Write each side's rows to `<side>.jsonl` (or what `datasets` reads) in a new or empty folder.

    Raises FtspecError for a target that is not installed or trains on other rows, DataError for rows that it refuses.
    """
    shape = shape_of(spec, registry)
    write = _hub_writer(shape) if to == HUB else _writer(spec, registry, to, model, method, shape)
    _make(out)
    there = [side for side in SIDES if any(True for _ in read_rows(prepared.folder, (side,)))]
    suffix = "parquet" if to == HUB else "jsonl"
    made = []
    for side in there:
        staging, path = out / f".{side}.part", out / f"{side}.{suffix}"
        try:
            with io.BufferedWriter(io.FileIO(staging, "x"), 1 << 20) as file:
                count, tokens = write(prepared.folder, side, file)
            staging.replace(path)
        except DataError as error:
            raise _placed(error, prepared.folder) from error
        finally:
            staging.unlink(missing_ok=True)
        made.append(Exported(side=side, file=str(path), rows=count, bytes=path.stat().st_size, tokens=tokens))
    return tuple(made)


Write = Callable[[Path, str, BinaryIO], tuple[int, int | None]]
"""(folder with the rows, side, where to) → (rows, tokens)."""


def _hub_writer(shape: Shape) -> Write:
    def write(folder: Path, side: str, out: BinaryIO) -> tuple[int, int | None]:
        return hubfiles.write(shape, lambda: read_rows(folder, (side,)), out), None

    return write


def check(spec: Spec, registry: Registry, to: str, method: str = "") -> None:
    """Raise FtspecError for a target that is not installed or trains on other rows, before any row is read."""
    if to != HUB:
        _method(spec, registry, to, method, shape_of(spec, registry))


def _writer(spec: Spec, registry: Registry, to: str, model: str, method: str, shape: Shape) -> Write:
    """The provider's own writer, for the spec's model unless another one is named."""
    chosen = _method(spec, registry, to, method, shape)
    component = registry.get("provider", to)
    own = spec.provider.name == to
    provider: Provider = build(spec.provider, registry, spec.folder) if own else _without_account(component)
    request = _request(spec, component, chosen, model, same=own and chosen == spec.method)

    def write(folder: Path, side: str, out: BinaryIO) -> tuple[int, int | None]:
        try:
            written = provider.write(request, read_rows(folder, (side,)), out)
        except DataError:
            raise
        except (FtspecError, ValueError) as error:  # the spec's model may be nothing to this provider
            if own or model:
                raise
            said, hint = getattr(error, "message", str(error)), getattr(error, "hint", "")
            ours = f"name one of {to}'s models with `--model`: the spec's own is {spec.provider.name}'s"
            raise FtspecError(said, f"{ours}; {hint}" if hint else ours) from error
        return written.rows, written.tokens

    return write


def _method(spec: Spec, registry: Registry, to: str, method: str, shape: Shape) -> str:
    """The provider's method for which rows are written. Raises FtspecError where there is none, or no such provider."""
    providers = registry.components["provider"]
    if to not in providers:
        known = sorted([HUB, *providers])
        near = did_you_mean(to, known)
        plugin = FIRST_PARTY.get(("provider", to))
        raise FtspecError(
            f"no format '{to}' is installed{f'; {near}' if near and not plugin else ''}",
            line(plugin) if plugin else f"there are {', '.join(known)}",
        )
    component = registry.get("provider", to)
    fitting = [name for name, each in component.methods.items() if each.data == shape]
    chosen = method or (spec.method if spec.method in fitting else next(iter(fitting), ""))
    if chosen not in fitting:
        said = (
            f"'{to}' has no method for rows of the shape '{shape}'" if not method else f"'{to}' has no such '{method}'"
        )
        raise FtspecError(said, f"its methods are {', '.join(component.methods)}")
    return chosen


def _request(spec: Spec, component: Component, method: str, model: str, *, same: bool) -> Request:
    """What is asked for: the spec's own hyperparameters where they are this provider's, else its defaults."""
    known = component.methods[method]
    hyperparameters = msgspec.convert(spec.hyperparameters if same else {}, known.hyperparameters)
    options = msgspec.convert(spec.method_options, known.options) if same else _default(known.options)
    return Request(
        model=ModelRef(id=model) if model else spec.model,
        method=method,
        hyperparameters=msgspec.to_builtins(hyperparameters),
        method_options=msgspec.to_builtins(options),
    )


def _default(options: type[msgspec.Struct]) -> Any:
    """The method's options without what only a job needs (such as a grader)."""
    try:
        return msgspec.convert({}, options)
    except msgspec.ValidationError:
        return {}


def _make(out: Path) -> None:
    """A new or empty folder. Raises FtspecError where there cannot be one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        empty = not any(out.iterdir())
    except FileExistsError:
        empty = False
    except OSError as error:
        raise FtspecError(f"cannot write to {out}: {error.strerror}", "name a folder that you may write to") from error
    if not empty:
        raise FtspecError(f"{out} is there already, and not an empty folder", "name a new folder")


def _without_account(component: Component) -> Provider:
    """The provider with stand-ins for options without a default: an address or an account has no part in how rows are
    written, so they are not held to their patterns."""
    fields = msgspec.structs.fields(component.options)
    made: Provider = component.factory(**{field.name: "unused" for field in fields if field.required})
    return made


def _placed(error: DataError, folder: Path) -> DataError:
    """The same findings with file and line, where a provider only knows the row."""
    where = locator(folder)
    found = []
    for finding in error.findings:
        file, line = (
            where(finding.row) if finding.row is not None and not finding.file else (finding.file, finding.line)
        )
        found.append(msgspec.structs.replace(finding, file=file, line=line))
    return DataError(found, error.total)
