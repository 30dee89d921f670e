"""From whatever ends a command to an exit code and a message: no traceback reaches the terminal.

0 done · 1 the user can fix it · 2 usage · 3 a bug, with a log to paste · 4 a gate failed · 5 still running · 130 ^C ·
143 SIGTERM · 129 SIGHUP
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from ftspec.cli import hints, signals
from ftspec.cli.root import cli
from ftspec.common import streams, terminal

if TYPE_CHECKING:
    from ftspec.common.errors import FtspecError, SpecError

USER, USAGE, BUG, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 130, 141
HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""A group without a command, which is no mistake; click raises this since 8.2, and shows help by itself before."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def run(arguments: Sequence[str], begin: Callable[[], None] = lambda: None) -> int:
    """Run `ftspec` with these arguments and return its exit code; raises nothing.

    `begin` is called where whatever is raised from then on is caught: it sets signals.
    """
    streams.open_all()
    try:
        begin()
        code = cli.main(list(arguments), prog_name="ftspec", standalone_mode=False, obj=hints.typed(arguments))
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BaseException as error:
        return _safely_ended(error, arguments)


def _safely_ended(error: BaseException, arguments: Sequence[str]) -> int:
    try:
        return _ended(error, arguments)
    except KeyboardInterrupt as interrupt:  # while the end is told
        return _safely_ended(interrupt, arguments)
    except OSError as unwritable:
        _silence(sys.stdout, sys.stderr)
        return PIPE_CLOSED if isinstance(unwritable, BrokenPipeError) else USER


def _ended(error: BaseException, arguments: Sequence[str]) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else USAGE
    if isinstance(error, BrokenPipeError):
        raise error
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _interrupted(signals.behind(error) or error)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError) and _is_machines(error):
        return _refused(error, arguments)
    if isinstance(error, MemoryError):
        terminal.say(f"{_label('error')} there is no memory left", err=True)
        terminal.say("  end what else runs here, or give `--memory` less, then run the same command again", err=True)
        return USER
    told = _expected(error, arguments)
    if told is None and (interrupt := signals.behind(error)):
        return _interrupted(interrupt)
    return _bug(error, arguments) if told is None else told


def _interrupted(error: BaseException) -> int:
    by = isinstance(error, signals.Interrupted) and error.exit_code != INTERRUPTED
    terminal.say(f"interrupted by {error}" if by else "interrupted", err=True)
    return error.exit_code if isinstance(error, signals.Interrupted) else INTERRUPTED


def _is_machines(error: OSError) -> bool:
    from ftspec.common.faults import is_machines

    return is_machines(error)


def _refused(error: OSError, arguments: Sequence[str]) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)  # it is standard output that could not be written, and would fail again at the very end
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else _room(error, arguments)
    terminal.say(f"{_label('error')} the system refused: {error.strerror}{terminal.safe(where)}", err=True)
    terminal.say("  see to space, permissions and limits there, then run the same command again", err=True)
    return USER


def _room(error: OSError, arguments: Sequence[str]) -> str:
    """Where space may be lacking, the fullest disk first: the system does not name what could not be written.

    The state folder lies beside the spec, unless a store is named.
    """
    if error.errno not in FULL:
        return ""
    import shutil
    import tempfile
    from pathlib import Path

    from ftspec.cli import crash
    from ftspec.common.figures import size
    from ftspec.files import usercache

    places: list[Path] = []
    for path in map(Path, filter(None, (hints.typed(arguments).store, *arguments))):
        with contextlib.suppress(OSError):  # most arguments are no path, and some are too long for one
            if path.exists():
                folder = path if path.is_dir() else path.parent
                places += [folder, folder / crash.STATE]
    places.append(Path())
    with contextlib.suppress(OSError):  # there may be none to be had
        places.append(Path(tempfile.gettempdir()))
    disks: dict[int, tuple[int, str]] = {}
    for place in (*places, usercache.folder()):
        with contextlib.suppress(OSError):
            disks.setdefault(place.stat().st_dev, (shutil.disk_usage(place).free, str(place.absolute())))
    return "; " + ", ".join(f"{size(free)} free in {place}" for free, place in sorted(disks.values())) if disks else ""


def _usage(error: click.ClickException) -> int:
    if isinstance(error, HELP):
        terminal.say(error.format_message(), err=True)
        return USAGE
    context = getattr(error, "ctx", None)
    if context is not None:
        terminal.say(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    terminal.say(f"{_label('error')} {error.format_message()}", err=True)
    return error.exit_code


def _expected(error: BaseException, arguments: Sequence[str]) -> int | None:
    """The exit code of an error that ftspec raises on purpose, after telling it; None for any other."""
    from ftspec.common.errors import DataError, FtspecError, PluginFault, SpecError

    if not isinstance(error, FtspecError):
        return None
    given = hints.typed(arguments)
    if isinstance(error, SpecError):
        _tell_problems(error, given)
    else:
        _tell(error, given)
    if isinstance(error, PluginFault):
        from ftspec.cli import crash

        terminal.say(f"  every line that led there is in {crash.write_log(error, arguments)}", err=True)
    if isinstance(error, DataError):
        for finding in error.findings:
            place = f"{terminal.safe(finding.place)}: " if finding.file else ""
            terminal.say(f"  {place}{terminal.safe(finding.said)}", err=True)
            if finding.hint:
                terminal.say(f"    {hints.completed(finding.hint, given)}", err=True)
    return error.exit_code


def _tell(error: FtspecError, given: hints.Typed) -> None:
    from ftspec.common.errors import StillRunning

    label = _label("running", "cyan") if isinstance(error, StillRunning) else _label("error")
    terminal.say(f"{label} {terminal.safe(error.message)}", err=True)
    if error.hint:
        terminal.say(f"  {hints.completed(error.hint, given)}", err=True)


def _tell_problems(error: SpecError, given: hints.Typed) -> None:
    from ftspec.problems import render

    problems = hints.of_problems(error.problems, given)
    terminal.say(render(problems, error.document, color=terminal.colourful(sys.stderr)), err=True)


def _bug(error: BaseException, arguments: Sequence[str]) -> int:
    from ftspec.cli import crash

    try:
        log = f"paste {crash.write_log(error, arguments)}"
    except OSError as unwritable:
        log = f"run it again with TMPDIR set to a folder that takes a log (there is none now: {unwritable.strerror})"
    terminal.say(f"{_label('bug')} {terminal.one_line(crash.headline(error))}", err=True)
    plugin = crash.plugin_of(error)
    whose = f"the plugin {terminal.one_line(plugin)}" if plugin else "ftspec or in a plugin"
    terminal.say(f"  This is a fault in {whose}, not in your spec; what was done is kept.", err=True)
    where = "to the plugin's authors" if plugin else "in the project's tracker"
    terminal.say(f"  Please report it {where}, and {log}", err=True)
    return BUG


def _label(word: str, colour: str = "red") -> str:
    return terminal.style(f"{word}:", "bold", colour, err=True)


def _silence(*streams: TextIO) -> None:
    """Nobody reads any more: the interpreter's last flush must find a place to go."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
