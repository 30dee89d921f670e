"""`model show|chat|export`: the model after the run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftspec.cli.common import Group, format_option, open_run, quiet_option, run_argument, show, store_option
from ftspec.cli.drawing import progress
from ftspec.common import terminal

if TYPE_CHECKING:
    from ftspec.views.models import Chat


@click.group("model", cls=Group)
def model_command() -> None:
    """Show, try and take away the model that a run made."""


@model_command.command("show")
@run_argument
@store_option
@format_option()
def show_command(target: str | None, store: str | None, format_: str) -> None:
    """Show the tuned model: what it is, where it is, how it did."""
    from ftspec.cli import runviews
    from ftspec.views import models

    shown = models.show(open_run(target, store, trains=True))
    show(shown, format_, runviews.model)


@model_command.command("chat")
@run_argument
@store_option
@quiet_option
@click.option("--base", is_flag=True, help="Talk to the base model instead.")
@click.option("--system", help="System prompt; the one that the model was trained with by default.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="As in the spec's evaluation by default.")
@click.option("--max-tokens", type=click.IntRange(1), help="As in the spec's evaluation by default.")
def chat_command(
    target: str | None,
    store: str | None,
    quiet: bool,
    base: bool,
    system: str | None,
    temperature: float | None,
    max_tokens: int | None,
) -> None:
    """Talk to the tuned model; an empty line or ^D ends.

    Lines piped into it are answered one by one, each as a conversation of its own.
    """
    from ftspec.views import models

    with progress(quiet) as drawing:
        drawing.phase("starting the model")
        opened = open_run(target, store, trains=True)
        how = models.generation(opened.spec, temperature=temperature, max_tokens=max_tokens)
        with models.chat(opened, how, base=base, progress=drawing) as answer:
            drawing.close()
            _converse(answer, models.system_prompt(opened.spec) if system is None else system)


def _converse(answer: Chat, system: str) -> None:
    from ftspec.common.messages import Message

    interactive = sys.stdin.isatty()
    opening = [Message(role="system", content=system)] if system else []
    messages = list(opening)
    while line := _ask(interactive):
        messages = [*(messages if interactive else opening), Message(role="user", content=line)]
        said = answer(messages)
        terminal.say(terminal.safe(said.error or said.text))
        messages.append(Message(role="assistant", content=said.text))


def _ask(interactive: bool) -> str:
    if interactive:
        sys.stderr.write(terminal.style("> ", "bold", err=True))
        sys.stderr.flush()
    return sys.stdin.readline().strip()


@model_command.command("export")
@run_argument
@store_option
@quiet_option
@click.option("--as", "form", default="adapter", show_default=True, metavar="FORM", help="adapter or merged.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A new folder.")
def export_command(target: str | None, store: str | None, quiet: bool, form: str, out: Path) -> None:
    """Write the tuned model into a folder, with a model card beside it.

    `adapter` is the LoRA adapter alone, `merged` the whole model, ready for transformers and whatever reads its format.
    """
    from ftspec.views import models

    with progress(quiet) as drawing:
        drawing.phase(f"exporting ({form})")
        path = models.export(open_run(target, store, trains=True), form, out)
    terminal.say(str(path))
