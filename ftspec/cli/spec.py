"""`init`, `validate`, `schema`: before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import format_option, quiet_option, retires_option, say_json, set_option
from ftspec.common import terminal
from ftspec.common.errors import FtspecError, SpecError

if TYPE_CHECKING:
    from ftspec.common.errors import Problem
    from ftspec.document.document import Document
    from ftspec.problems import Format
    from ftspec.registry import Registry


@click.command("init")
@click.argument("file", type=click.Path(dir_okay=False), default="spec.yaml")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init_command(file: str, force: bool) -> None:
    """Write a commented spec to start from, and the schema that editors complete from.

    FILE is spec.yaml when not given.
    """
    from ftspec.authoring import starter

    written = starter.write(Path(file), force=force)
    for path in written:
        terminal.say(f"wrote {path}")
    terminal.say(f"next: ftspec plan {file}", err=True)


@click.command("validate")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(exists=True, dir_okay=False))
@set_option
@retires_option
@quiet_option
@format_option("github")
def validate_command(
    specs: tuple[str, ...], overrides: tuple[str, ...], retires_within: float | None, quiet: bool, format_: Format
) -> None:
    """Say everything that is wrong with SPEC, at file, line and column. Reads no data, needs no secret.

    A table of prices (see `costs.prices`) among them is checked as one.
    """
    from ftspec import registry

    installed = registry.load()
    judged = [(spec, *_judge(Path(spec), installed, overrides, retires_within)) for spec in specs]
    if format_ == "json":
        _say_problems([problem for _, problems, _ in judged for problem in problems], None, format_)
    else:
        for spec, problems, document in judged:
            if problems:
                _say_problems(problems, document, format_)
            elif format_ == "text" and not quiet:
                terminal.say(f"{terminal.safe(spec)} is {'valid' if document else 'a valid table of prices'}")
    if any(problem.severity == "error" for _, problems, _ in judged for problem in problems):
        sys.exit(FtspecError.exit_code)


def _judge(
    spec: Path, installed: Registry, overrides: tuple[str, ...], retires_within: float | None
) -> tuple[tuple[Problem, ...], Document | None]:
    """What is wrong with it, and the document; no document of a table of prices that is sound."""
    from ftspec.costs import tables
    from ftspec.validation import validate

    try:
        loaded = validate.load_spec(spec, installed, overrides, retires_within=retires_within)
        return loaded.warnings, loaded.document
    except SpecError as error:
        if error.document is None or not tables.is_table(error.document.data):
            return error.problems, error.document
    try:
        tables.check(spec)
    except SpecError as error:
        return error.problems, error.document
    return (), None


def _say_problems(problems: Sequence[Problem], document: Document | None, format_: Format) -> None:
    from ftspec.problems import render

    terminal.say(render(problems, document, format_, color=terminal.colourful(sys.stdout)))


@click.command("schema")
@click.option(
    "--format", "format_", type=click.Choice(["json", "markdown"]), default="json", show_default=True,
    help="markdown is the reference for people.",
)  # fmt: skip
@click.option("--report", "of_report", is_flag=True, help="Print the schema of a run's report.json instead.")
def schema_command(format_: str, of_report: bool) -> None:
    """Print the JSON Schema of a spec, composed from all that is installed here.

    \b
    For an editor:   ftspec schema > ftspec.schema.json
    and as a spec's first line:
      # yaml-language-server: $schema=ftspec.schema.json
    """
    from ftspec import registry, report
    from ftspec.validation import reference, schema

    if of_report:
        say_json(report.schema())
        return
    installed = registry.load()
    if format_ == "markdown":
        terminal.say(reference.markdown(installed).rstrip("\n"))
    else:
        say_json(schema.compose(installed))
