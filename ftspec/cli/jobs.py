"""`follow`, `pause`, `resume`: jobs that go on without a process of ours."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from ftspec.cli import hints
from ftspec.cli.common import format_option, open_run, run_argument, seconds, store_option
from ftspec.common import terminal

if TYPE_CHECKING:
    from ftspec.views.fleet import Ended


@click.command("follow")
@click.argument("targets", metavar="[SPEC|RUN]...", nargs=-1)
@store_option
@format_option()
@click.option("--wait", callback=seconds, metavar="TIME", help="Follow for so long at most, e.g. 30m, then exit 5.")
def follow_command(targets: tuple[str, ...], store: str | None, format_: str, wait: float | None) -> None:
    """Follow the jobs of several runs to their ends, in one process.

    Without an argument, of all runs that are detached or interrupted. What a job made is kept: `ftspec run SPEC` goes
    on with it. Exits with 1 when a job failed, with 5 when one goes on. With `--format json`, one object per line.
    """
    import msgspec

    from ftspec.common.errors import StillRunning
    from ftspec.state import history
    from ftspec.views import fleet

    waiting = {"detached", "interrupted"}
    names = targets or tuple(run.id for run in history.all_runs(store) if run.state in waiting)
    runs = [open_run(name, store) for name in names]
    failed, left = False, len(runs)
    for ended in fleet.follow(runs, deadline=None if wait is None else time.monotonic() + wait):
        left -= 1
        failed = failed or ended.result is None or ended.result.state != "succeeded"
        terminal.say(msgspec.json.encode(ended).decode() if format_ == "json" else _line(ended))
        if format_ != "json" and ended.result and ended.result.model:
            of = next(one for one in runs if one.run.id == ended.run)
            terminal.say(hints.of_run("next: ftspec run", of.run.spec, of.overrides), err=True)
    if not runs:
        terminal.say(hints.here("no job goes on without a process; see `ftspec runs`"), err=True)
    if failed:
        sys.exit(1)
    if left:
        sys.exit(StillRunning.exit_code)


def _line(ended: Ended) -> str:
    state = ended.result.state if ended.result else "left"
    said = f": {ended.error}" if ended.error else ""
    hint = f" ({hints.here(ended.hint)})" if ended.hint else ""
    return f"{terminal.safe(ended.run)}  job {terminal.safe(ended.job)}  {state}{terminal.safe(said + hint)}"


@click.command("pause")
@run_argument
@store_option
def pause_command(target: str | None, store: str | None) -> None:
    """Ask the tuner to halt a run's job, where it can; `ftspec resume` takes it up again."""
    from ftspec.views import watching

    run = open_run(target, store)
    job = watching.pause(run)
    asked = f"asked to pause job {terminal.safe(job.id)} of {run.run.id}"
    terminal.say(f"{asked}; {hints.here('`ftspec resume`')} takes it up again")


@click.command("resume")
@run_argument
@store_option
def resume_command(target: str | None, store: str | None) -> None:
    """Ask the tuner to take up a paused job again."""
    from ftspec.views import watching

    run = open_run(target, store)
    job = watching.resume(run)
    asked = f"asked to resume job {terminal.safe(job.id)} of {run.run.id}"
    terminal.say(f"{asked}; {hints.here('`ftspec run`')} follows it")
