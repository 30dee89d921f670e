"""Runs and plans a spec as the commands do, and what the user is told meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftspec import registry
from ftspec.common.progress import Quiet
from ftspec.run import planning, runner
from ftspec.run.site import Options
from ftspec.validation import validate


class Notes(Quiet):
    """Remembers what the user would see."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def run(spec: Path, *overrides: str, progress: Quiet | None = None, **options: Any) -> runner.Outcome:
    """As `ftspec run` with `--set` and the options."""
    installed = registry.load()
    loaded = validate.load_spec(spec, installed, overrides)
    return runner.run(loaded, installed, Options(**options), progress or Quiet())


def plan(spec: Path, *overrides: str, **options: Any) -> planning.Planned:
    """As `ftspec plan` with `--set` and the options."""
    installed = registry.load()
    return planning.plan(validate.load_spec(spec, installed, overrides), installed, Options(**options), Quiet())
