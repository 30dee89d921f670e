"""`eval` and `compare`: models on the same prompts, without training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import (
    accept_option,
    format_option,
    load,
    quiet_option,
    resume_option,
    set_option,
    show,
    spec_argument,
    store_option,
)
from ftspec.cli.drawing import progress
from ftspec.cli.summary import of_outcome, summarised, summary_option

if TYPE_CHECKING:
    from ftspec.views.comparing import Compared

AGAIN = ("data", "answers", "report")


@click.command("eval")
@spec_argument
@set_option
@store_option
@quiet_option
@format_option()
@summary_option
@click.option(
    "--again", multiple=True, type=click.Choice(AGAIN), metavar="STEP",
    help=f"Do a step again though it is cached: {', '.join(AGAIN)}. Repeatable.",
)  # fmt: skip
@resume_option
@accept_option
def eval_command(
    spec: str,
    overrides: tuple[str, ...],
    store: str | None,
    quiet: bool,
    format_: str,
    summary: str | None,
    again: tuple[str, ...],
    resume: bool,
    no_accept: bool,
) -> None:
    """Ask and judge the models of SPEC, and train none.

    Asked are the base model, those of `eval.models`, and the tuned model where a run has made it already. Gates judge
    the models that were asked. Exits with 4 when a gate says no; the same command again goes on where it stopped.
    """
    from ftspec.cli import runviews
    from ftspec.common.errors import FtspecError, GateFailed
    from ftspec.run import runner
    from ftspec.run.site import Options

    options = Options(store=store, again=again, evaluation=True, resume=resume, accept=not no_accept)
    with summarised(summary, spec) as summarise:
        loaded, registry = load(spec, overrides)
        if loaded.spec.eval is None:
            raise FtspecError(f"{spec} has no `eval`", "add `eval:` with prompts and graders")
        with progress(quiet) as drawing:
            outcome = runner.run(loaded, registry, options, drawing)
        show(outcome, format_, lambda found: runviews.outcome(loaded.spec, found))
        summarise(of_outcome(outcome))
    if not outcome.passed:
        sys.exit(GateFailed.exit_code)


@click.command("compare")
@click.argument("targets", nargs=-1, required=True, metavar="RUN[@MODEL]...")
@store_option
@format_option()
def compare_command(targets: tuple[str, ...], store: str | None, format_: str) -> None:
    """Put runs, or models of runs, side by side: paired over the prompts that both were asked.

    A run (a spec file, an id or the beginning of one) stands for its tuned model, RUN@base for its base model,
    RUN@LABEL for another that it asked. The others are compared with the first; one run alone is compared with itself,
    model by model. Nothing is asked.
    """
    from ftspec.views import comparing

    show(comparing.compare(targets, store), format_, _as_text)


def _as_text(found: Compared) -> str:
    from ftspec.cli import scores

    tables = [scores.table_of(found.evaluation), "", scores.compared(found.evaluation), ""]
    return "\n".join([*tables, *scores.lost(found.evaluation), *(f"note: {note}" for note in found.notes)])
