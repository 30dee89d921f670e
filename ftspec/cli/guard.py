"""From whatever ends a command to an exit code and a message: no traceback reaches the terminal.

0 done · 1 the user can fix it · 2 usage · 3 a bug, with a log to paste · 4 a gate failed · 5 still running · 130 ^C
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ftspec import terminal
from ftspec.cli.root import cli

if TYPE_CHECKING:
    from ftspec.errors import FtspecError, SpecError

USAGE, BUG, INTERRUPTED, PIPE_CLOSED = 2, 3, 130, 141


def run(arguments: Sequence[str]) -> int:
    """Run `ftspec` with these arguments and return its exit code; raises nothing."""
    _accept_any_text()
    try:
        code = cli.main(list(arguments), prog_name="ftspec", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BaseException as error:
        return _safely_ended(error, arguments)


def _safely_ended(error: BaseException, arguments: Sequence[str]) -> int:
    try:
        return _ended(error, arguments)
    except BrokenPipeError:
        _silence()
        return PIPE_CLOSED


def _ended(error: BaseException, arguments: Sequence[str]) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else USAGE
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, KeyboardInterrupt | click.Abort):
        terminal.say("interrupted", err=True)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return _usage(error)
    return _expected(error) or _bug(error, arguments)


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if context is not None:
        terminal.say(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    terminal.say(f"{_label('error')} {error.format_message()}", err=True)
    return error.exit_code


def _expected(error: BaseException) -> int | None:
    """The exit code of an error that ftspec raises on purpose, after telling it; None for any other."""
    from ftspec.errors import DataError, FtspecError, SpecError

    if not isinstance(error, FtspecError):
        return None
    if isinstance(error, SpecError):
        _tell_problems(error)
    else:
        _tell(error)
    if isinstance(error, DataError):
        for finding in error.findings:
            place = f"{finding.file}:{finding.line}: " if finding.file else ""
            terminal.say(f"  {place}{terminal.safe(finding.message)}", err=True)
            if finding.hint:
                terminal.say(f"    {finding.hint}", err=True)
    return error.exit_code


def _tell(error: FtspecError) -> None:
    from ftspec.errors import StillRunning

    label = _label("running", "cyan") if isinstance(error, StillRunning) else _label("error")
    terminal.say(f"{label} {terminal.safe(error.message)}", err=True)
    if error.hint:
        terminal.say(f"  {error.hint}", err=True)


def _tell_problems(error: SpecError) -> None:
    from ftspec.problems import render

    terminal.say(render(error.problems, error.document, color=terminal.colourful(sys.stderr)), err=True)


def _bug(error: BaseException, arguments: Sequence[str]) -> int:
    from ftspec.cli import crash

    path = crash.write_log(error, arguments)
    terminal.say(f"{_label('bug')} {terminal.one_line(crash.headline(error))}", err=True)
    terminal.say("  This is a fault in ftspec or in a plugin, not in your spec; what was done is kept.", err=True)
    terminal.say(f"  Please report it: open an issue in the project's tracker and paste {path}", err=True)
    return BUG


def _label(word: str, colour: str = "red") -> str:
    return terminal.style(f"{word}:", "bold", colour, err=True)


def _accept_any_text() -> None:
    """A character that the terminal's encoding lacks is spelled out instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Nobody reads any more: the interpreter's last flush must find a place to go."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
