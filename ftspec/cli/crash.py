"""The log of a bug: everything a maintainer needs, and no secret."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import ftspec
from ftspec.common.masking import MASK, holds_credential
from ftspec.common.references import mask

STATE = ".ftspec"
"""As in ftspec.state.workspace, which may be what is broken: nothing is imported here that is not needed."""


def headline(error: BaseException) -> str:
    """The error in one line."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


def plugin_of(error: BaseException) -> str:
    """The plugin in whose code the error was raised, and where: "acme[acme], at provider.py:42". Empty for our own."""
    owners = {entry.module.partition(".")[0]: entry for entry in importlib.metadata.entry_points(group="ftspec")}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package == "ftspec":
            return ""
        if package in owners:
            entry = owners[package]
            owner = f"{entry.dist.name}[{entry.name}]" if entry.dist else entry.name
            return f"{owner}, at {Path(frame.f_code.co_filename).name}:{line}"
    return ""


def write_log(error: BaseException, arguments: Sequence[str]) -> Path:
    """Write the log, masked, into the state folder here or else the temporary folder; return its path."""
    folder = Path(STATE) if Path(STATE).is_dir() and os.access(STATE, os.W_OK) else None
    handle, name = tempfile.mkstemp(prefix="ftspec-bug-", suffix=".md", dir=folder, text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(mask(_log(error, arguments)))
    return Path(name)


def _log(error: BaseException, arguments: Sequence[str]) -> str:
    trace = "".join(traceback.format_exception(error))
    return f"""# {headline(error)}

What did you do, and what did you expect?

- ftspec {ftspec.__version__}, Python {platform.python_version()}, {platform.platform()}
- plugins: {", ".join(_plugins())}
- command: ftspec {" ".join(_typed(arguments))}

```
{trace}```
"""


def _typed(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, but for the value of an option that is called like a secret: a short one has no other mask."""
    for argument in arguments:
        typed = argument.removeprefix("--set=")
        place, equals, value = typed.partition("=")
        secret = equals and holds_credential(place.rpartition(".")[2])
        yield argument.removesuffix(value) + MASK if secret else argument


def _plugins() -> list[str]:
    entries = importlib.metadata.entry_points(group="ftspec")
    return sorted({f"{e.dist.name} {e.dist.version}" if e.dist else e.name for e in entries})
