"""`port`: a spec for another tuner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ftspec.cli.common import format_option, load, quiet_option, say_json, spec_argument
from ftspec.cli.drawing import progress
from ftspec.common import terminal
from ftspec.common.errors import DataError, FtspecError, SpecError

if TYPE_CHECKING:
    from ftspec.authoring.nearest import Nearest
    from ftspec.authoring.porting import Ported
    from ftspec.common.errors import Problem
    from ftspec.costs.costs import Costs
    from ftspec.document.document import Document
    from ftspec.registry import Registry
    from ftspec.validation.validate import Loaded


@click.command("port")
@spec_argument
@click.option("--to", "target", required=True, metavar="PROVIDER", help="The other tuner; `ftspec plugins` lists them.")
@click.option("-o", "--out", type=click.Path(dir_okay=False), metavar="FILE", help="Write the spec here.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--no-measure", is_flag=True, help="Do not read the data to say what it costs.")
@quiet_option
@format_option()
def port_command(
    spec: str, target: str, out: str | None, force: bool, no_measure: bool, quiet: bool, format_: str
) -> None:
    """Write SPEC for another tuner, and say what is lost.

    The spec goes to standard output (or to FILE), the rest to standard error; with JSON everything is one object.
    Comments and order stay as they are, and so does, as a comment, what the other tuner does not take. Exit code 1: the
    method does not exist there, or the new spec is not valid before you have decided something.
    """
    from ftspec.authoring import nearest, porting

    file = Path(out) if out else Path(spec).with_name(f"{Path(spec).name} for {target}")
    if out and file.exists() and not force:
        raise FtspecError(f"{out} exists already", "name another file, or overwrite it with --force")
    loaded, registry = load(spec)
    text = Path(spec).read_text(encoding="utf-8")
    ported = porting.port(loaded.document, text, target, registry, nearest.read())
    problems, made, document = _judged(ported, file, registry)
    costs, why_not = _costs(made, registry, no_measure, quiet)
    if out:
        _write(file, ported.text)
    if format_ == "json":
        shown = {"ported": ported, "problems": problems, "costs": costs, "costs_unknown": why_not, "file": out}
        say_json(_flat(shown))
    else:
        if not out:
            # To the letter: it may be on its way into a file.
            getattr(sys.stdout, "unmasked", sys.stdout).write(ported.text)
            sys.stdout.flush()
        _tell(ported, problems, document, costs, why_not, out)
    if any(problem.severity == "error" for problem in problems):
        raise SystemExit(1)


def _flat(shown: dict[str, Any]) -> dict[str, Any]:
    """One object: what was ported beside the rest."""
    import msgspec

    return {**msgspec.structs.asdict(shown.pop("ported")), **shown}


def _judged(ported: Ported, file: Path, registry: Registry) -> tuple[list[Problem], Loaded | None, Document]:
    """What is wrong with the new spec, and what is left to decide; the spec itself where nothing is wrong."""
    from ftspec.document.document import read_text
    from ftspec.validation import validate

    document = read_text(ported.text, file)
    left = [document.locate(problem) for problem in ported.open]
    try:
        made = validate.load_text(ported.text, file, registry)
    except SpecError as error:
        return [*left, *error.problems], None, document
    return [*left, *made.warnings], made, document


def _costs(made: Loaded | None, registry: Registry, no_measure: bool, quiet: bool) -> tuple[Costs | None, str]:
    """What a run of the new spec costs, or why that cannot be told."""
    if made is None:
        return None, "the spec has to be valid first"
    from ftspec import items
    from ftspec.costs import tables
    from ftspec.costs.costs import Costs, Part
    from ftspec.run import planning
    from ftspec.run.site import Options

    spec = made.spec
    try:
        endpoint = items.provider_of(spec, registry).endpoint
        price = tables.read().price("tuning", endpoint, spec.model.id, spec.method)
        if price is not None and price.tuning == 0:
            return Costs(
                parts=(
                    Part(
                        name="tuning", amount=0.0, currency=price.currency, basis=price.source, verified=price.verified
                    ),
                )
            ), ""
        if no_measure:
            return None, "the data were not read (--no-measure)"
        with progress(quiet) as drawing:
            return planning.plan(made, registry, Options(), drawing).costs, ""
    except DataError as error:
        return None, f"the data are not what {spec.provider.name} takes: {error.message}; see `ftspec plan`"
    except SpecError as error:
        return None, "; ".join(problem.message for problem in error.problems)
    except FtspecError as error:
        return None, error.message


def _tell(
    ported: Ported, problems: list[Problem], document: Document, costs: Costs | None, why_not: str, out: str | None
) -> None:
    from ftspec.problems import render

    for line in _lines(ported, costs, why_not):
        terminal.say(line, err=True)
    if problems:
        terminal.say("", err=True)
        terminal.say(render(problems, document, color=terminal.colourful(sys.stderr)), err=True)
    if out:
        wrong = any(problem.severity == "error" for problem in problems)
        step = "decide what is said above, then" if wrong else "next:"
        terminal.say(f"wrote {terminal.safe(out)}; {step} ftspec plan {terminal.safe(out)}", err=True)


def _lines(ported: Ported, costs: Costs | None, why_not: str) -> Iterator[str]:
    """What became of the keys, one line each."""
    from ftspec.common.figures import plural
    from ftspec.common.terminal import one_line, style

    head = f"{ported.source} → {ported.target}: {plural(len(ported.kept), 'key')} kept, {len(ported.lost)} lost"
    yield style(head, "bold")
    for lost in ported.lost:
        where = f"line {lost.line}: " if lost.line else ""
        what = one_line(f"{lost.name}: {_shown(lost.value)}", 80)
        yield f"  {style('lost', 'yellow')}     {where}{what} ({lost.reason})"
    nearest = ported.model
    if nearest.model and not nearest.same:
        others = f"; or {', '.join(nearest.others[:3])}" if nearest.others else ""
        yield f"  model    {nearest.model}, a suggestion: {nearest.why}{others} ({_known(nearest)})"
    elif nearest.why:
        yield f"  model    {nearest.model}, a suggestion: the same weights, {nearest.why} ({_known(nearest)})"
    for each in ported.defaults:
        said = f"{_shown(each.before)} at {ported.source}, {_shown(each.after)} at {ported.target}"
        yield f"  default  hyperparameters.{each.name} is not in the spec: {said}"
    yield f"  cost     {_cost(costs, why_not)}"


def _known(nearest: Nearest) -> str:
    return f"as of {nearest.as_of}{'' if nearest.looked_up else ', not looked up'}"


def _cost(costs: Costs | None, why_not: str) -> str:
    from ftspec.common.figures import money

    if costs is None:
        return f"cannot be told: {why_not}"
    if costs.unknown:
        return "cannot be told: " + "; ".join(f"{part.name}, {part.basis}" for part in costs.unknown)
    bound = "at most " if any(part.bound for part in costs.parts) else ""
    parts = "; ".join(
        f"{part.name}: {part.basis}{'' if part not in costs.unverified else ', unverified price'}"
        for part in costs.parts
    )
    return f"{bound}{money(costs.total or 0.0, costs.currency or 'USD')} ({parts})"


def _shown(value: Any) -> str:
    from ftspec.document.editing import written

    return written(value)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FtspecError(f"cannot write {file}: {error.strerror}", "name a file that you may write") from error
