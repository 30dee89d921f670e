"""The commands that messages propose, as they work where the user is: with the spec, the store and the overrides that
the user gave. Messages from below the command line say no more than `ftspec run --again tuning`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from ftspec.cli.root import cli

if TYPE_CHECKING:
    from ftspec.common.errors import Problem

PROPOSED = re.compile(r"(?<=`)ftspec [^`\n]+(?=`)|(?<=: )ftspec [^`\n]+$", re.MULTILINE)
SPEC = {"SPEC", "..."}
"""What stands in a message for the spec."""


class Typed(NamedTuple):
    """What of a command line the next one needs too; `run` is a run's id, in the place of a spec."""

    spec: str = ""
    run: str = ""
    store: str = ""
    overrides: tuple[str, ...] = ()


def typed(arguments: Sequence[str]) -> Typed:
    """The spec, the store and the overrides among a command's arguments; nothing where they cannot be read."""
    found = _read(list(arguments))
    if found is None:
        return Typed()
    command, words, options = found
    first = words[0] if words and _takes(command) & {"spec", "target"} else ""
    is_run = bool(first) and "target" in _takes(command) and not first.endswith((".yaml", ".yml"))
    store = next(iter(options.get("store", ())), "")
    return Typed("" if is_run else first, first if is_run else "", store, tuple(options.get("overrides", ())))


def here(text: str) -> str:
    """The text of a command that is running, with its proposals completed."""
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context else None
    return completed(text, given) if isinstance(given, Typed) else text


def of_run(text: str, spec: str, overrides: tuple[str, ...] = ()) -> str:
    """As `here`, about a run: with the spec that it was made from, if that is still there, and what `--set` gave it."""
    context = click.get_current_context(silent=True)
    given = context.find_root().obj if context else None
    given = given if isinstance(given, Typed) else Typed()
    if not given.spec and Path(spec).is_file():
        given = given._replace(spec=spec, run="")
    return completed(text, given._replace(overrides=overrides))


def of_problems(problems: Iterable[Problem], given: Typed) -> list[Problem]:
    """The problems, with their proposals completed."""
    import msgspec

    return [msgspec.structs.replace(problem, hint=completed(problem.hint, given)) for problem in problems]


def completed(text: str, given: Typed) -> str:
    """The text, with all that the user gave in the commands that it proposes."""
    return PROPOSED.sub(lambda found: _complete(found[0], given), text) if any(given) else text


def _complete(proposed: str, given: Typed) -> str:
    name, *arguments = proposed.split()
    read = _read(arguments)
    if read is None:
        return proposed
    command, words, options = read
    takes = _takes(command)
    what = given.spec if takes & {"spec", "target"} else ""
    if what:
        arguments = [shlex.quote(what) if each in {*SPEC, Path(what).name} else each for each in arguments]
    what = what or (given.run if "target" in takes else "")
    if what and not words:
        arguments.insert(arguments.index(str(command.name)) + 1, shlex.quote(what))
    if given.store and "store" in takes and "store" not in options:
        arguments += ["--store", shlex.quote(given.store)]
    if "overrides" in takes and "overrides" not in options:
        arguments += [part for override in given.overrides for part in ("--set", shlex.quote(override))]
    return " ".join([name, *arguments])


def _takes(command: click.Command) -> set[str]:
    return {str(parameter.name) for parameter in command.params}


def _read(arguments: list[str]) -> tuple[click.Command, list[str], dict[str, list[str]]] | None:
    """The command, its words and the values of its options by the parameter's name; None for no command of ours."""
    command: click.Command | None = cli
    while isinstance(command, click.Group):
        if not arguments:
            return None
        name, *arguments = arguments
        command = command.get_command(click.Context(command), name)
    if command is None:
        return None
    flags = {flag: option for option in command.params if isinstance(option, click.Option) for flag in option.opts}
    words: list[str] = []
    options: dict[str, list[str]] = {}
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        option = flags.get(flag)
        if option is None:
            words += [] if word.startswith("-") else [word]
        else:
            given = value if equals or option.is_flag else next(rest, "")
            options.setdefault(str(option.name), []).append(given)
    return command, words, options
