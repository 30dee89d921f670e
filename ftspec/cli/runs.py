"""`runs`, `status`, `logs`, `cancel`, `report`: look at runs from outside."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ftspec.cli import hints
from ftspec.cli.common import format_option, locate, open_run, run_argument, say_json, show, store_option
from ftspec.common import terminal
from ftspec.common.errors import FtspecError

if TYPE_CHECKING:
    from ftspec.common.jobs import TrainingEvent
    from ftspec.common.records import Event


@click.command("runs")
@store_option
@format_option()
@click.option(
    "--remove", multiple=True, metavar="RUN", help="Forget a run instead: its journal and report. Repeatable."
)
def runs_command(store: str | None, format_: str, remove: tuple[str, ...]) -> None:
    """List the runs of this folder's specs, the newest first.

    What a removed run has left, here and at its tuner, `ftspec gc` finds.
    """
    from ftspec.cli import runviews
    from ftspec.state import history

    if remove:
        _remove(remove, store)
        return
    found = history.all_runs(store)
    if format_ == "json":
        say_json(found)
    elif found:
        terminal.say(runviews.runs(found))
    else:
        terminal.say(hints.here("no run yet; start one with `ftspec run SPEC`"), err=True)


def _remove(runs: Sequence[str], store: str | None) -> None:
    from ftspec.state import accepted
    from ftspec.upkeep import cleanup

    for space, run in [locate(name, store) for name in runs]:
        name = run.rpartition("-")[0]
        before = accepted.standing(space.store, name, "").run
        cleanup.remove(space, run)
        terminal.say(hints.here(f"removed {run}; `ftspec gc` lists what it has left"), err=True)
        if before == run:
            now = accepted.standing(space.store, name, "").run or "nothing"
            terminal.say(f"later runs of {name} were compared with it, and are with {now} now", err=True)


@click.command("status")
@run_argument
@store_option
@format_option()
def status_command(target: str | None, store: str | None, format_: str) -> None:
    """Say how far a run is, and what its job says.

    Without an argument, the run that was last worked on.
    """
    from ftspec.cli import runviews
    from ftspec.views import watching

    found = watching.status(open_run(target, store))
    show(found, format_, runviews.status)


@click.command("logs")
@run_argument
@store_option
@format_option()
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs_command(target: str | None, store: str | None, format_: str, follow: bool) -> None:
    """Print what a run decided and what its job said, in order.

    With `--format json`, one object per line.
    """
    from ftspec.views import watching

    for entry in watching.logs(open_run(target, store), follow=follow):
        terminal.say(_json_line(entry) if format_ == "json" else _line(entry))


def _json_line(entry: Event | TrainingEvent) -> str:
    import msgspec

    return msgspec.json.encode(entry).decode()


def _line(entry: Event | TrainingEvent) -> str:
    from ftspec.cli import runviews
    from ftspec.common.records import Event

    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    text = runviews.decision(entry) if isinstance(entry, Event) else runviews.training(entry)
    return f"{terminal.style(at, 'dim')}  {text}"


@click.command("cancel")
@run_argument
@store_option
def cancel_command(target: str | None, store: str | None) -> None:
    """Ask the tuner to cancel a run's job. A job that has ended is left alone."""
    from ftspec.views import watching

    run = open_run(target, store)
    before = watching.cancel(run)
    name = f"{terminal.safe(before.job.id) if before.job else ''} of {run.run.id}"
    if before.state and before.state.terminal:
        terminal.say(f"job {name} had ended already: {before.state}")
    else:
        terminal.say(hints.here(f"asked to cancel job {name}; see `ftspec status`"))


@click.command("report")
@run_argument
@store_option
@click.option(
    "--format", "format_", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True,
    help="text is the path of report.html; markdown and json print those reports.",
)  # fmt: skip
@click.option("--open", "open_", is_flag=True, help="Open report.html in the browser.")
def report_command(target: str | None, store: str | None, format_: str, open_: bool) -> None:
    """Say where a run's report is, print it, or open it."""
    space, run = locate(target, store)
    names = {"text": "report.html", "markdown": "report.md", "json": "report.json"}
    folder = space.report(run)
    path = folder / names[format_]
    if not path.exists():
        raise FtspecError(f"run {run} has no report yet", f"see `ftspec status {run}`")
    terminal.say(str(path) if format_ == "text" else path.read_text(encoding="utf-8").rstrip("\n"))
    if open_:
        click.launch(str(folder / "report.html"))


@click.command("accept")
@run_argument
@store_option
def accept_command(target: str | None, store: str | None) -> None:
    """Accept a run: later runs of its spec with the gate `regression` are compared with it.

    A run whose gates pass is accepted by itself, unless it was made with `--no-accept`; this accepts one whose gates
    did not, or goes back to an earlier one. Run again, the same spec then passes its own gate `regression`, and only
    that one.
    """
    from ftspec.common.errors import FtspecError
    from ftspec.common.records import TUNED
    from ftspec.state import accepted, history
    from ftspec.state.journal import Journal

    space, run = locate(target, store)
    events = Journal(space.store, run).events()
    found = history.info(run, events)
    if history.last(events, "judged") is None:
        raise FtspecError(f"run {run} has no evaluation yet", "accept it when it has one; see `ftspec status`")
    if not any(step.name == TUNED for step in history.plan_of(run, events).steps):
        raise FtspecError(f"run {run} has asked no tuned model", "accept one that has: `ftspec runs` lists them")
    accepted.accept(space.store, found.name, run, by=accepted.HAND)
    terminal.say(f"{found.name}: later runs must not fall behind {run}")
    if found.state == "gate_failed":
        terminal.say("its own gate `regression` passes when it is run again; what else said no stays", err=True)
