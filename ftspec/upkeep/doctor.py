"""Is this machine ready? Each check says what it found and, where it failed, what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from packaging.requirements import Requirement

import ftspec
from ftspec import registry
from ftspec.common import figures
from ftspec.common.errors import FtspecError, PluginError
from ftspec.common.records import Record
from ftspec.contracts.components import Kind
from ftspec.installed import remedy
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

MEMORY_WANTED = 4e9
"""Bytes that the quickstart may take."""
DISK_WANTED = 2e9
"""Bytes for a converted model, checkpoints and a merged export of the quickstart."""


class Check(Record):
    """One thing looked at. `hint` says what to do where `state` is not "ok"."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    hint: str = ""


def checks(store: str, spec: Path | None = None) -> Iterator[Check]:
    """Look at everything, with `spec` at its model too. Writes only a probe into the store, and takes it away again."""
    yield _python()
    try:
        installed = registry.load()
    except PluginError as error:
        yield Check(name="plugins", state="failed", found=error.message, hint=error.hint)
    else:
        yield from _plugins(installed)
        if spec:
            yield from _of_spec(spec, installed)
    yield _store(store)
    yield _cores()
    yield _memory()
    yield _disk(store)


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()}, ftspec {ftspec.__version__}"
    return Check(name="python", state="ok", found=found)


def _plugins(installed: Registry) -> Iterator[Check]:
    for plugin in installed.plugins:
        wanted = importlib.metadata.requires(plugin.distribution) or []
        found = f"{plugin.distribution} {plugin.version}"
        yield _packages(f"plugin {plugin.entry.name}", found, dict.fromkeys(wanted, ""))
    for name, loaded in sorted(installed.components["provider"].items()):
        component = loaded.component
        yield _packages(f"provider {name}", f"of {loaded.distribution}", component.wanted({}))


def _packages(name: str, found: str, wanted: Mapping[str, str]) -> Check:
    """`wanted` says by which line each is installed, "" where pip does it."""
    missing = [text for text in wanted if not _satisfied(Requirement(text))]
    if not missing:
        return Check(name=name, state="ok", found=found)
    hint = remedy({text: wanted[text] for text in missing})
    return Check(name=name, state="warning", found=f"{found}; not installed: {', '.join(missing)}", hint=hint)


def _satisfied(wanted: Requirement) -> bool:
    """By metadata alone: importing a training stack to see whether it is there would take seconds."""
    if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
        return True
    try:
        return wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _of_spec(file: Path, installed: Registry) -> Iterator[Check]:
    """What the spec names: its components' packages, and its model. Raises SpecError for a spec that is not valid."""
    from ftspec.validation import reading, validate

    loaded = validate.load_spec(file, installed)
    yield from _components(list(reading.items(loaded.document.data)), installed)
    yield _model(loaded.spec, installed)


def _components(named: Sequence[Item], installed: Registry) -> Iterator[Check]:
    """Each component with packages of its own, but providers, which are looked at whatever a spec names."""
    wanted: dict[tuple[Kind, str], dict[str, str]] = {}
    for item in named:
        if item.kind != "provider":
            more = installed.get(item.kind, item.name).wanted(item.options)
            wanted.setdefault((item.kind, item.name), {}).update(more)
    for (kind, name), packages in wanted.items():
        if packages:
            found = f"of {installed.components[kind][name].distribution}"
            checked = _packages(f"{kind} {name}", found, packages)
            yield checked if checked.state == "ok" else msgspec.structs.replace(checked, state="failed")


def _model(spec: Spec, installed: Registry) -> Check:
    """Whether the spec's base model is here, by reading it."""
    from ftspec import items

    try:
        found = items.provider_of(spec, installed).fingerprint(spec.model)
    except FtspecError as error:
        return Check(name="model", state="failed", found=error.message, hint=error.hint)
    return Check(
        name="model", state="ok", found=f"{spec.model.id}{f' ({found[:16]})' if found else ', by its name only'}"
    )


def _store(where: str) -> Check:
    """One real write: the store itself refuses a place where put-if-absent does not hold."""
    from ftspec.state.store import Store

    # A folder that is not there yet is tried under another name: a run that starts meanwhile may make the real one.
    trial = where if "://" in where or Path(where).exists() else f"{where}-doctor-{secrets.token_hex(4)}"
    try:
        Store.open(trial).now()
    except FtspecError as error:
        return Check(name="state", state="failed", found=error.message, hint=error.hint)
    finally:
        if trial != where:
            shutil.rmtree(trial, ignore_errors=True)
    return Check(name="state", state="ok", found=f"{where} can be written, and put-if-absent holds")


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check(name="cores", state="ok", found=figures.plural(usable, "usable core"))


def _memory() -> Check:
    available = _available_memory()
    if available is None:
        return Check(name="memory", state="ok", found="cannot be told on this system")
    found = f"{figures.size(available)} available"
    if available >= MEMORY_WANTED:
        return Check(name="memory", state="ok", found=found)
    hint = f"tuning the quickstart's model takes up to {figures.size(MEMORY_WANTED)}; close something first"
    return Check(name="memory", state="warning", found=found, hint=hint)


def _available_memory() -> float | None:
    """Bytes that can be used without swapping, by Linux's own estimate; elsewhere None."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _disk(where: str) -> Check:
    here = Path() if "://" in where else Path(where).absolute()
    while not here.exists():
        here = here.parent
    free = shutil.disk_usage(here).free
    found = f"{figures.size(free)} free"
    if free >= DISK_WANTED:
        return Check(name="disk", state="ok", found=found)
    hint = f"models and checkpoints take up to {figures.size(DISK_WANTED)}; make room, or use --store elsewhere"
    return Check(name="disk", state="warning", found=found, hint=hint)
