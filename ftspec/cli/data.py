"""`data show|preview`: what the data step makes of the rows, and of one row the exact tokens."""

from __future__ import annotations

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
from ftspec.errors import FtspecError


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
def show_command(
    spec: str, overrides: tuple[str, ...], store: str | None, memory: int, no_cache: bool, quiet: bool, format_: str
) -> None:
    """Show what each step kept, dropped and changed, and where rows went.

    Shows the data of the last run when nothing has changed since, and else prepares it in a scratch folder.
    """
    from ftspec import runner
    from ftspec.cli import views
    from ftspec.stages import Options

    loaded, registry = load(spec, overrides)
    with progress(quiet) as drawing:
        data = runner.plan(loaded, registry, Options(store=store, memory=memory, cache=not no_cache), drawing).data
    if data is None:
        raise FtspecError("the data cannot be prepared", "see `ftspec plan`")
    show(data, format_, views.waterfall)


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
    from ftspec import rendering
    from ftspec.cli import views
    from ftspec.stages import Options

    loaded, registry = load(spec, overrides)
    named = int(row) if row and row.isdigit() else row
    with progress(quiet) as drawing:
        rendered = rendering.render(loaded, registry, Options(store=store), named, drawing)
    show(rendered, format_, views.tokens)
