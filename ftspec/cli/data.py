"""`data show|dropped|preview|why|diff|export`: what the data step makes of the rows, and of one; two states of them."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import click

from ftspec.cli.common import (
    Group,
    cache_option,
    format_option,
    load,
    memory_option,
    quiet_option,
    set_option,
    show,
    spec_argument,
    store_option,
)
from ftspec.cli.drawing import progress
from ftspec.common import terminal
from ftspec.common.errors import DataError, FtspecError


@click.group("data", cls=Group)
def data_command() -> None:
    """Look at what the data step makes of the rows."""


@data_command.command("show")
@spec_argument
@set_option
@store_option
@memory_option
@cache_option
@quiet_option
@format_option()
@click.option("--samples", is_flag=True, help="Also show a few rows of each step, before and after it.")
def show_command(
    spec: str,
    overrides: tuple[str, ...],
    store: str | None,
    memory: int,
    no_cache: bool,
    quiet: bool,
    format_: str,
    samples: bool,
) -> None:
    """Show what each step kept, dropped and changed, and where rows went.

    Shows the data of the last run when nothing has changed since, and else prepares it in a scratch folder. Of data
    that cannot be used it shows what the steps did, and then what is wrong.
    """
    from ftspec.cli import lookviews
    from ftspec.run import planning
    from ftspec.run.site import Options

    loaded, registry = load(spec, overrides)
    options = Options(store=store, memory=memory, cache=not no_cache)
    try:
        with progress(quiet) as drawing:
            data = planning.plan(loaded, registry, options, drawing).data
    except DataError as error:
        if error.counts and format_ == "text":
            terminal.say(lookviews.steps(error.counts) + "\n")
        raise
    if data is None:
        raise FtspecError("the data cannot be prepared", "see `ftspec plan`")
    show(data, format_, lambda found: lookviews.waterfall(found, samples=samples))


@data_command.command("preview")
@spec_argument
@click.argument("row", required=False)
@set_option
@store_option
@quiet_option
@format_option()
def preview_command(
    spec: str, row: str | None, overrides: tuple[str, ...], store: str | None, quiet: bool, format_: str
) -> None:
    """Show the exact tokens of one row, those that the model is trained on marked.

    ROW is a number, counted from 1 over all sources, or FILE:LINE; the first row that is kept when left out.
    """
    from ftspec.cli import lookviews
    from ftspec.run.site import Options
    from ftspec.views import rendering

    loaded, registry = load(spec, overrides)
    named = int(row) if row and row.isdigit() else row
    with progress(quiet) as drawing:
        rendered = rendering.render(loaded, registry, Options(store=store), named, drawing)
    show(rendered, format_, lookviews.tokens)


@data_command.command("dropped")
@spec_argument
@set_option
@store_option
@memory_option
@quiet_option
@format_option()
def dropped_command(
    spec: str, overrides: tuple[str, ...], store: str | None, memory: int, quiet: bool, format_: str
) -> None:
    """List every row that a step dropped: its file and line, the step, and why.

    In the order of the rows; with `--format json`, one object per line. `ftspec data why` shows what stood in one.
    """
    import msgspec

    from ftspec import problems
    from ftspec.cli import lookviews
    from ftspec.data import ledger
    from ftspec.run import prepared
    from ftspec.run.site import Options, survey

    loaded, registry = load(spec, overrides)
    with contextlib.ExitStack() as opened:
        with progress(quiet) as drawing:
            site = survey(loaded, registry, Options(store=store, memory=memory), drawing)
            opened.enter_context(problems.located(loaded.document))
            data = opened.enter_context(prepared.of_site(site, faulty=True))
        gone = ledger.dropped(data.folder)
        terminal.say_all(
            msgspec.json.encode(life).decode() if format_ == "json" else lookviews.gone(life) for life in gone
        )


@data_command.command("why")
@spec_argument
@click.argument("place", metavar="FILE:LINE")
@set_option
@store_option
@quiet_option
@format_option()
def why_command(
    spec: str, place: str, overrides: tuple[str, ...], store: str | None, quiet: bool, format_: str
) -> None:
    """Show a row's life: step by step, what changed in it, what dropped it because of which other row, what is wrong.

    FILE is named as findings name it, relative to the spec, or relative to where you are.
    """
    from ftspec import problems
    from ftspec.cli import lookviews
    from ftspec.run import prepared
    from ftspec.run.site import Options, survey
    from ftspec.views import lives

    file, line = _place(place)
    loaded, registry = load(spec, overrides)
    with progress(quiet) as drawing:
        site = survey(loaded, registry, Options(store=store), drawing)
        with problems.located(loaded.document), prepared.of_site(site, faulty=True) as data:
            found = lives.replay(loaded.spec, registry, data.folder, file, line, data.findings)
    show(found, format_, lookviews.lives)


@data_command.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.option(
    "--spec", type=click.Path(exists=True, dir_okay=False),
    help="A and B are git revisions of this spec and its data; B is the working tree when left out.",
)  # fmt: skip
@store_option
@quiet_option
@format_option()
def diff_command(
    before: str, after: str | None, spec: str | None, store: str | None, quiet: bool, format_: str
) -> None:
    """Show which rows two states of the data have and lack, and which changed.

    A and B are runs (ids or the beginning of one), specs, or folders that hold rows.arrow, as the data step leaves it;
    with --spec, git revisions.
    """
    from ftspec import registry
    from ftspec.cli import lookviews
    from ftspec.run import prepared
    from ftspec.run.site import Options
    from ftspec.views import comparison

    if after is None and spec is None:
        raise click.UsageError("B is missing: name two runs, specs or folders, or revisions with --spec")
    installed, options = registry.load(), Options(store=store)
    with progress(quiet) as drawing, contextlib.ExitStack() as opened:

        def state(target: str | None) -> prepared.Prepared:
            if spec is None:
                return opened.enter_context(prepared.named(str(target), installed, options, drawing))
            if target is None:
                return opened.enter_context(prepared.of_spec(Path(spec), installed, options, drawing))
            return opened.enter_context(prepared.of_revision(target, Path(spec), installed, options, drawing))

        found = comparison.compare(state(before), state(after))
    show(found, format_, lookviews.difference)


@data_command.command("export")
@spec_argument
@click.option(
    "--to", required=True, metavar="FORMAT",
    help="A provider's name (`ftspec plugins` lists them), or huggingface for a folder that `datasets` loads.",
)  # fmt: skip
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False), help="A new or empty folder.")
@click.option("--model", default="", help="The model for which rows are written; the spec's when left out.")
@click.option("--method", default="", help="The provider's training method; the spec's, or one for such rows.")
@set_option
@store_option
@quiet_option
@format_option()
def export_command(
    spec: str, to: str, out: str, model: str, method: str, overrides: tuple[str, ...], store: str | None, quiet: bool,
    format_: str,
) -> None:  # fmt: skip
    """Write the prepared rows in any installed provider's format; nothing is run, uploaded or paid for."""
    from ftspec.cli import lookviews
    from ftspec.run import prepared
    from ftspec.run.site import Options, survey
    from ftspec.views import exporting

    loaded, registry = load(spec, overrides)
    exporting.check(loaded.spec, registry, to, method)
    with progress(quiet) as drawing:
        site = survey(loaded, registry, Options(store=store), drawing)
        with prepared.of_site(site) as data:
            found = exporting.export(loaded.spec, registry, data, to, Path(out), model=model, method=method)
    show(found, format_, lookviews.exported)


def _place(text: str) -> tuple[str, int]:
    """File and line of what a finding names: a column behind them is left out."""
    file, _, line = re.sub(r"(:[0-9]+):[0-9]+$", r"\1", text).rpartition(":")
    if not file or not re.fullmatch("0*[1-9][0-9]{0,17}", line):
        raise click.UsageError(f"'{text}' is no FILE:LINE, e.g. data/rows.jsonl:12; lines count from 1")
    return file, int(line)
