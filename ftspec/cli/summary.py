"""`--summary FILE`: what a command came to, appended as Markdown, for the page that a CI shows of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ftspec.common.errors import FtspecError
    from ftspec.run.runner import Outcome

summary_option = click.option(
    "--summary", type=click.Path(dir_okay=False), metavar="FILE",
    help="Append what came of it to FILE, as Markdown: to $GITHUB_STEP_SUMMARY, say.",
)  # fmt: skip


@contextmanager
def summarised(file: str | None, spec: str) -> Iterator[Callable[[str], None]]:
    """Yields what adds Markdown to the summary; an error of ftspec's that ends the command is in it too.

    Raises FtspecError where FILE cannot be written: before anything is done, if that can be known.
    """
    from ftspec.common import terminal
    from ftspec.common.errors import FtspecError, StillRunning

    said: list[str] = []
    _append(file, said)
    try:
        yield said.append
    except FtspecError as error:
        sign, word = ("⏳", "goes on") if isinstance(error, StillRunning) else ("❌", "stopped")
        said.append(f"## {sign} {code(spec)} {word}\n\n{fenced(_told(error))}")
        try:
            _append(file, said)
        except FtspecError as unwritten:  # which must not hide what ended the command
            terminal.say(unwritten.message, err=True)
        raise
    _append(file, said)


def of_outcome(found: Outcome) -> str:
    """What a run came to: its report, where there is one."""
    if found.report is None:
        return f"## ✅ {code(found.run.name)}: stopped after the step that was asked for"
    return found.report.with_name("report.md").read_text(encoding="utf-8").rstrip("\n")


def plain(text: str) -> str:
    """Text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def code(text: str) -> str:
    """A name as inline code, on one line."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"


def fenced(text: str) -> str:
    """Text as a block of code, whatever it holds."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _append(file: str | None, said: Sequence[str]) -> None:
    if file is None:
        return
    from ftspec.common.errors import FtspecError
    from ftspec.common.references import mask

    try:
        with Path(file).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write("".join(f"{mask(part)}\n\n" for part in said))
    except OSError as error:
        raise FtspecError(f"cannot write {file}: {error.strerror}", "name another file with --summary") from error


def _told(error: FtspecError) -> str:
    """An error as it is told on the terminal."""
    from ftspec.cli import hints
    from ftspec.cli.annotations import completed
    from ftspec.common.errors import DataError, SpecError
    from ftspec.common.terminal import safe
    from ftspec.problems import render

    if isinstance(error, SpecError):
        return render(map(completed, error.problems), error.document)
    lines = [safe(error.message), *([f"  {hints.here(error.hint)}"] if error.hint else [])]
    for finding in error.findings if isinstance(error, DataError) else ():
        place = f"{safe(finding.place)}: " if finding.file else ""
        lines += [f"  {place}{safe(finding.said)}", *([f"    {hints.here(finding.hint)}"] if finding.hint else [])]
    return "\n".join(lines)
