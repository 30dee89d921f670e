"""Is this machine ready? Each check says what it found and, where it failed, what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

import ftspec
from ftspec import registry, terminal
from ftspec.errors import FtspecError, PluginError
from ftspec.records import Record

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


def checks(store: str) -> Iterator[Check]:
    """Look at everything. Writes only a probe into the state folder, and takes it away again."""
    yield _python()
    yield from _plugins()
    yield _store(store)
    yield _cores()
    yield _memory()
    yield _disk(store)


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()}, ftspec {ftspec.__version__}"
    return Check(name="python", state="ok", found=found)


def _plugins() -> Iterator[Check]:
    try:
        installed = registry.load()
    except PluginError as error:
        yield Check(name="plugins", state="failed", found=error.message, hint=error.hint)
        return
    for plugin in installed.plugins:
        yield Check(name=f"plugin {plugin.entry.name}", state="ok", found=f"{plugin.distribution} {plugin.version}")
    for name, loaded in sorted(installed.components["provider"].items()):
        yield _provider(name, loaded.component.dependencies, loaded.component.install)


def _provider(name: str, dependencies: tuple[str, ...], install: str) -> Check:
    missing = [text for text in dependencies if not _satisfied(text)]
    if not missing:
        return Check(name=f"provider {name}", state="ok", found="all its packages are installed")
    hint = install or f"pip install {' '.join(missing)}"
    return Check(name=f"provider {name}", state="warning", found=f"missing {', '.join(missing)}", hint=hint)


def _satisfied(requirement: str) -> bool:
    """By metadata alone: importing a training stack to see whether it is there would take seconds."""
    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _store(where: str) -> Check:
    """One real write: the store itself refuses a place where put-if-absent does not hold."""
    from ftspec.store import Store

    try:
        Store.open(where).now()
    except FtspecError as error:
        return Check(name="state", state="failed", found=error.message, hint=error.hint)
    return Check(name="state", state="ok", found=f"{where} can be written, and put-if-absent holds")


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check(name="cores", state="ok", found=terminal.plural(usable, "usable core"))


def _memory() -> Check:
    available = _available_memory()
    if available is None:
        return Check(name="memory", state="ok", found="cannot be told on this system")
    found = f"{terminal.size(available)} available"
    if available >= MEMORY_WANTED:
        return Check(name="memory", state="ok", found=found)
    hint = f"tuning the quickstart's model takes up to {terminal.size(MEMORY_WANTED)}; close something first"
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
    found = f"{terminal.size(free)} free"
    if free >= DISK_WANTED:
        return Check(name="disk", state="ok", found=found)
    hint = f"models and checkpoints take up to {terminal.size(DISK_WANTED)}; make room, or use --store elsewhere"
    return Check(name="disk", state="warning", found=found, hint=hint)
