"""`init`, `validate`, `schema`: before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec import terminal
from ftspec.cli.common import format_option, quiet_option, say_json, set_option, spec_argument

if TYPE_CHECKING:
    from ftspec.problems import Format


@click.command("init")
@click.argument("file", type=click.Path(dir_okay=False), default="spec.yaml")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init_command(file: str, force: bool) -> None:
    """Write a commented spec to start from, with a little data beside it.

    FILE is spec.yaml when not given.
    """
    from ftspec import starter

    written = starter.write(Path(file), force=force)
    for path in written:
        terminal.say(f"wrote {path}")
    terminal.say(f"next: ftspec plan {file}", err=True)


@click.command("validate")
@spec_argument
@set_option
@quiet_option
@format_option("github")
def validate_command(spec: str, overrides: tuple[str, ...], quiet: bool, format_: Format) -> None:
    """Say everything that is wrong with SPEC, at file, line and column. Reads no data, needs no secret."""
    from ftspec import problems, registry, validate
    from ftspec.errors import SpecError

    try:
        loaded = validate.load_spec(Path(spec), registry.load(), overrides)
    except SpecError as error:
        if format_ == "text":
            raise
        terminal.say(problems.render(error.problems, error.document, format_))
        sys.exit(error.exit_code)
    if format_ != "text" or loaded.warnings:
        terminal.say(problems.render(loaded.warnings, loaded.document, format_, color=terminal.colourful(sys.stdout)))
    elif not quiet:
        terminal.say(f"{spec} is valid")


@click.command("schema")
@click.option(
    "--format", "format_", type=click.Choice(["json", "markdown"]), default="json", show_default=True,
    help="markdown is the reference for people.",
)  # fmt: skip
def schema_command(format_: str) -> None:
    """Print the JSON Schema of a spec, composed from all that is installed here.

    \b
    For an editor:   ftspec schema > ftspec.schema.json
    and as a spec's first line:
      # yaml-language-server: $schema=ftspec.schema.json
    """
    from ftspec import reference, registry, schema

    installed = registry.load()
    if format_ == "markdown":
        terminal.say(reference.markdown(installed).rstrip("\n"))
    else:
        say_json(schema.compose(installed))
