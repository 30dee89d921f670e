"""`gc`: what lies about and no run needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ftspec.cli import hints
from ftspec.cli.common import format_option, say_json, store_option
from ftspec.common import terminal
from ftspec.common.figures import plural

if TYPE_CHECKING:
    from ftspec.upkeep.cleanup import Found
    from ftspec.upkeep.litter import Litter


@click.command("gc")
@store_option
@format_option()
@click.option("--delete", "delete_", is_flag=True, help="Delete it, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--foreign", is_flag=True, help="Also what ftspec made there and this state folder knows nothing of.")
def gc_command(store: str | None, format_: str, delete_: bool, yes: bool, foreign: bool) -> None:
    """List files, models, deployments and state that no kept run needs; with --delete, delete them.

    A run is kept until `ftspec runs --remove RUN`. What is younger than an hour is left alone.
    """
    from ftspec import registry
    from ftspec.state import history
    from ftspec.upkeep import cleanup

    installed = registry.load()
    found = [(space, cleanup.find(space, installed, foreign=foreign)) for space in history.spaces(store)]
    everything = [one for _, each in found for one in each.litter]
    if format_ == "json" and not delete_:
        say_json([each for _, each in found])
    elif format_ == "text":
        _tell([each for _, each in found], delete_)
    if not delete_ or not everything:
        return
    if not yes:
        _confirm(len(everything))
    results = [result for space, each in found for result in cleanup.delete(space, installed, each.litter)]
    _told(results, format_)


def _confirm(count: int) -> None:
    try:
        click.confirm(f"Delete {plural(count, 'thing')}? This cannot be undone", abort=True, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("--delete asks first, and nobody said yes here: in a script add --yes") from None


def _tell(found: Sequence[Found], delete_: bool) -> None:
    from ftspec.cli import runviews

    litter = [one for each in found for one in each.litter]
    for note in (note for each in found for note in each.notes):
        terminal.say(f"note: {terminal.one_line(note, 240)}", err=True)
    if litter:
        terminal.say(runviews.litter(litter))
        if not delete_:
            terminal.say(hints.here("`ftspec gc --delete` deletes this"), err=True)
    else:
        terminal.say("nothing lies about that no run needs", err=True)


def _told(results: Sequence[tuple[Litter, str]], format_: str) -> None:
    failed = [(one, error) for one, error in results if error]
    if format_ == "json":
        say_json([{"kind": one.kind, "where": one.where, "id": one.id, "error": error} for one, error in results])
    else:
        terminal.say(f"deleted {len(results) - len(failed)} of {len(results)}", err=True)
        for one, error in failed:
            terminal.say(f"  {one.kind} {terminal.safe(one.id)}: {terminal.one_line(error)}", err=True)
    if failed:
        sys.exit(1)
