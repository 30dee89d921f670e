"""What several commands share: their options, where the state folder is, JSON output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ftspec.common import figures, terminal

if TYPE_CHECKING:
    from ftspec.registry import Registry
    from ftspec.run.reopen import Opened
    from ftspec.state.workspace import Workspace
    from ftspec.validation.validate import Loaded

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
STORE_VARIABLE = "FTSPEC_STORE"

spec_argument = click.argument("spec", type=click.Path(exists=True, dir_okay=False))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Override a value of the spec, e.g. hyperparameters.epochs=1. Repeatable.",
)  # fmt: skip
store_option = click.option(
    "--store", envvar=STORE_VARIABLE, metavar="FOLDER|URL",
    help="Where state is kept; .ftspec beside the spec by default.",
)  # fmt: skip
run_argument = click.argument("target", metavar="[SPEC|RUN]", required=False)
"""A spec file (the last run of it as it is now, or else its last one), a run's id or the beginning of one; the last run
of all when left out."""
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with the run that was begun, and begin none. Without it, either is done."
)
accept_option = click.option(
    "--no-accept", is_flag=True,
    help="Let no later run be compared with this one, though its gates pass: for what is not merged yet.",
)  # fmt: skip
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")


class Group(click.Group):
    """A group whose help shows each command's first sentence whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            commands = sorted(self.commands.items())
            formatter.write_dl([(name, command.get_short_help_str(limit=100)) for name, command in commands])


def format_option(*more: str) -> Callable[[F], F]:
    """`--format text|json`, and whatever else the command can write."""
    return click.option(
        "--format", "format_", type=click.Choice(["text", "json", *more]), default="text", show_default=True,
        help="How to write the output.",
    )  # fmt: skip


def seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Option callback: `90`, `90s`, `30m`, `2h` → seconds."""
    if value is None:
        return None
    try:
        return figures.seconds(value.strip())
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


def days(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Option callback: `180d` → days."""
    found = seconds(context, option, value)
    return None if found is None else found / 86400


def size(context: click.Context, option: click.Parameter, value: str | None) -> int:
    """Option callback: `2GB` → bytes; 0 where nothing is said."""
    if value is None:
        return 0
    try:
        return figures.size_of(value)
    except ValueError as error:
        source = context.get_parameter_source(option.name or "")
        named = option.envvar if source == click.core.ParameterSource.ENVIRONMENT else None
        raise click.BadParameter(str(error), context, option, param_hint=str(named) if named else None) from error


memory_option = click.option(
    "--memory", envvar="FTSPEC_MEMORY", callback=size, metavar="SIZE",
    help="What the data step may hold in memory, about, e.g. 2GB; a quarter of the machine's when left out.",
)  # fmt: skip
cache_option = click.option(
    "--no-cache", is_flag=True, help="Clean every row again, though this machine's cache knows what becomes of it.",
)  # fmt: skip
retires_option = click.option(
    "--fail-if-retires-within", "retires_within", callback=days, metavar="TIME",
    help="Fail when the model or its tuner is known to end so soon, e.g. 180d.",
)  # fmt: skip


def load(spec: str, overrides: tuple[str, ...] = (), retires_within: float | None = None) -> tuple[Loaded, Registry]:
    """The validated spec and what is installed; its warnings are told on standard error."""
    from ftspec import problems, registry
    from ftspec.validation import validate

    installed = registry.load()
    loaded = validate.load_spec(Path(spec), installed, overrides, retires_within=retires_within)
    if loaded.warnings:
        terminal.say(problems.render(loaded.warnings, loaded.document, color=terminal.colourful(sys.stderr)), err=True)
    return loaded, installed


def show(value: T, format_: str, as_text: Callable[[T], str]) -> None:
    """Write what a command found to standard output: as JSON, or as text for people."""
    if format_ == "json":
        say_json(value)
    else:
        terminal.say(as_text(value))


def say_json(value: Any) -> None:
    """Write records as JSON, indented, to standard output."""
    import msgspec

    terminal.say(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def open_run(target: str | None, store: str | None, *, trains: bool = False) -> Opened:
    """The run that the user means; with `trains` one that makes a model, where there is one."""
    from ftspec import registry
    from ftspec.run import reopen

    opened = reopen.open_run(target, store, registry.load(), trains=trains)
    _note(opened.note)
    return opened


def locate(target: str | None, store: str | None) -> tuple[Workspace, str]:
    """Where the run that the user means is kept, and its id."""
    from ftspec.state import history

    space, run, note = history.locate(target, store)
    _note(note)
    return space, run


def _note(note: str) -> None:
    if note:
        from ftspec.cli import hints

        terminal.say(hints.here(terminal.safe(f"{note}; see `ftspec runs`")), err=True)
