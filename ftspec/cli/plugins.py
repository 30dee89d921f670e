"""`plugins` and `doctor`: what is installed, what it takes, and whether this machine is ready."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftspec.cli.common import format_option, say_json, store_option
from ftspec.common import terminal
from ftspec.common.wording import did_you_mean

if TYPE_CHECKING:
    from ftspec.registry import Loaded
    from ftspec.upkeep.doctor import Check

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.group("plugins", invoke_without_command=True)
@format_option()
@click.pass_context
def plugins_command(context: click.Context, format_: str) -> None:
    """List what is installed: every component with its kind, distribution and version."""
    if context.invoked_subcommand is None:
        _list(format_)


def _list(format_: str) -> None:
    from ftspec import registry

    found = list(registry.load().all())
    if format_ == "json":
        say_json([_facts(loaded) for loaded in found])
        return
    rows = [
        (loaded.component.kind, loaded.component.name, f"{loaded.distribution} {loaded.version}", _first_line(loaded))
        for loaded in found
    ]
    terminal.say(terminal.table(rows, ("KIND", "NAME", "FROM", "WHAT IT DOES")))


@plugins_command.command("show")
@click.argument("name", shell_complete=lambda context, parameter, incomplete: _names(incomplete))
@format_option()
def show_command(name: str, format_: str) -> None:
    """Show the options of a component: type, default, meaning."""
    from ftspec import registry
    from ftspec.common.errors import PluginError
    from ftspec.validation import reference

    installed = registry.load()
    found = [loaded for loaded in installed.all() if loaded.component.name == name]
    if not found:
        hint = did_you_mean(name, _names("")) or "see `ftspec plugins`"
        raise PluginError(f"nothing named '{name}' is installed", hint)
    if format_ == "json":
        say_json([_facts(loaded) | {"options": _schema(loaded)} for loaded in found])
        return
    terminal.say("\n\n".join(reference.component_text(loaded) for loaded in found))


@click.command("doctor")
@click.argument("spec", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@store_option
@format_option()
def doctor_command(spec: Path | None, store: str | None, format_: str) -> None:
    """Check this machine: Python, plugins and their packages, the state folder, memory, disk.

    With SPEC, whether its base model and what its sources, steps and graders need is here too.
    """
    from ftspec.state.workspace import FOLDER
    from ftspec.upkeep import doctor

    where = store or str((spec.parent if spec else Path()) / FOLDER)
    found = list(doctor.checks(where, spec))
    if format_ == "json":
        say_json(found)
    else:
        for check in found:
            _tell(check)
    if any(check.state == "failed" for check in found):
        sys.exit(1)


def _tell(check: Check) -> None:
    state = terminal.style(f"{check.state:<8}", COLOURS[check.state])
    terminal.say(f"{state} {check.name:<25} {terminal.safe(check.found)}")
    if check.hint:
        terminal.say(f"{'':<29} {check.hint}")


def _facts(loaded: Loaded) -> dict[str, Any]:
    component = loaded.component
    return {
        "kind": component.kind,
        "name": component.name,
        "distribution": loaded.distribution,
        "version": loaded.version,
        "entry": loaded.entry,
        "description": component.description,
        "experimental": component.experimental,
    }


def _schema(loaded: Loaded) -> Any:
    import msgspec

    return msgspec.json.schema(loaded.component.options)


def _first_line(loaded: Loaded) -> str:
    untried = "(experimental) " if loaded.component.experimental else ""
    return terminal.one_line(untried + loaded.component.summary, 80)


def _names(incomplete: str) -> list[str]:
    from ftspec import registry

    return sorted({f.component.name for f in registry.load().all() if f.component.name.startswith(incomplete)})
