"""`plan` and `run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ftspec.cli.annotations import annotate, annotated, of_data, of_gates
from ftspec.cli.common import (
    accept_option,
    cache_option,
    format_option,
    load,
    memory_option,
    quiet_option,
    resume_option,
    retires_option,
    seconds,
    set_option,
    show,
    spec_argument,
    store_option,
)
from ftspec.cli.drawing import progress
from ftspec.cli.summary import code, fenced, of_outcome, plain, summarised, summary_option
from ftspec.common import terminal

if TYPE_CHECKING:
    from ftspec.common.errors import Problem
    from ftspec.validation.validate import Loaded

AGAIN = ("data", "tuning", "answers", "report")
UNTIL = AGAIN[:2]


@click.command("plan")
@spec_argument
@set_option
@store_option
@retires_option
@memory_option
@cache_option
@quiet_option
@format_option("github")
@summary_option
@click.option("--no-measure", is_flag=True, help="Do not read uncached data: no counts of rows and tokens.")
def plan_command(
    spec: str,
    overrides: tuple[str, ...],
    store: str | None,
    retires_within: float | None,
    memory: int,
    no_cache: bool,
    quiet: bool,
    format_: str,
    summary: str | None,
    no_measure: bool,
) -> None:
    """Show what a run of SPEC would do, and change nothing.

    Which steps are cached, and why the others are not; rows and tokens; what the tuner expects it to take.
    """
    from ftspec.cli import planviews
    from ftspec.run import planning
    from ftspec.run.site import Options

    options = Options(store=store, measure=not no_measure, memory=memory, cache=not no_cache)
    with summarised(summary, spec) as summarise, annotated(format_, spec):
        loaded, registry = load(spec, overrides, retires_within)
        with progress(quiet) as drawing:
            planned = planning.plan(loaded, registry, options, drawing)
        show(planned, format_, lambda found: planviews.plan(loaded.spec, found))
        of_data(format_, planned.data.findings if planned.data else (), spec)
        summarise(f"## {code(spec)}: what a run would do\n\n{fenced(plain(planviews.plan(loaded.spec, planned)))}")
        _tell([problem for problem in planned.problems if problem not in loaded.warnings], loaded)
        annotate(format_, planned.problems, loaded.document)


def _tell(problems: Sequence[Problem], loaded: Loaded) -> None:
    """What plugins say about the plan: warnings are shown, errors end the command."""
    from ftspec.common.errors import SpecError
    from ftspec.problems import render

    if any(problem.severity == "error" for problem in problems):
        raise SpecError(problems, loaded.document)
    if problems:
        terminal.say(render(problems, loaded.document, color=terminal.colourful(sys.stderr)), err=True)


@click.command("run")
@spec_argument
@set_option
@store_option
@retires_option
@memory_option
@cache_option
@quiet_option
@format_option("github")
@summary_option
@click.option("--detach", is_flag=True, help="Stop once the job is submitted; `ftspec run` again follows it.")
@click.option("--wait", callback=seconds, metavar="TIME", help="Follow for so long at most, e.g. 30m, then exit 5.")
@click.option(
    "--again", multiple=True, type=click.Choice(AGAIN), metavar="STEP",
    help=f"Do a step again though it is cached: {', '.join(AGAIN)}. Repeatable.",
)  # fmt: skip
@click.option(
    "--until", type=click.Choice(UNTIL), metavar="STEP",
    help=f"Stop after a step, {' or '.join(UNTIL)}; `ftspec run` again goes on from there.",
)  # fmt: skip
@resume_option
@accept_option
@click.option("--resubmit", is_flag=True, help="Give up a submission of unknown outcome and submit anew.")
@click.option(
    "--adopt", metavar="JOB", default="", help="Take this job of the provider's for the one of unknown outcome."
)
def run_command(
    spec: str,
    overrides: tuple[str, ...],
    store: str | None,
    retires_within: float | None,
    memory: int,
    no_cache: bool,
    quiet: bool,
    format_: str,
    summary: str | None,
    detach: bool,
    wait: float | None,
    again: tuple[str, ...],
    until: str | None,
    resume: bool,
    no_accept: bool,
    resubmit: bool,
    adopt: str,
) -> None:
    """Make SPEC so: prepare the data, tune the model, evaluate it, judge it, report.

    What is done already is not done again, and a run that was interrupted goes on where it stopped. Exits with 4 when
    a gate says no.
    """
    if adopt and resubmit:
        raise click.UsageError("--adopt takes a job that is there, --resubmit makes another: use one of them")
    from ftspec.cli import runviews
    from ftspec.common.errors import GateFailed
    from ftspec.run import runner
    from ftspec.run.site import Options

    options = Options(
        store=store,
        again=again,
        until=until,
        detach=detach,
        wait=wait,
        resume=resume,
        resubmit=resubmit,
        adopt=adopt,
        memory=memory,
        cache=not no_cache,
        accept=not no_accept,
    )
    with summarised(summary, spec) as summarise, annotated(format_, spec):
        loaded, registry = load(spec, overrides, retires_within)
        with progress(quiet) as drawing:
            outcome = runner.run(loaded, registry, options, drawing)
        show(outcome, format_, lambda found: runviews.outcome(loaded.spec, found))
        of_gates(format_, outcome.verdicts, loaded)
        summarise(of_outcome(outcome))
    if not outcome.passed:
        sys.exit(GateFailed.exit_code)
