"""The group of all commands; a command's module is imported when the command is asked for, so start-up is short."""

from __future__ import annotations

from importlib import import_module

import click

import ftspec
from ftspec.common.wording import did_you_mean

SECTIONS: dict[str, dict[str, str]] = {
    "Write a spec": {"init": "spec", "validate": "spec", "port": "port", "schema": "spec"},
    "Run it": {"plan": "run", "run": "run", "eval": "evaluation", "pause": "jobs", "resume": "jobs", "cancel": "runs"},
    "Follow and read": {
        "follow": "jobs",
        "runs": "runs",
        "status": "runs",
        "logs": "runs",
        "report": "runs",
        "compare": "evaluation",
    },
    "Decide": {"accept": "runs"},
    "Tidy up": {"gc": "gc"},
    "Look inside": {"data": "data", "model": "model"},
    "Set up": {"plugins": "plugins", "doctor": "plugins"},
}
"""Section of the help → command → its module in ftspec.cli; the module holds the command under `<name>_command`."""

MODULES = {command: module for commands in SECTIONS.values() for command, module in commands.items()}


class Lazy(click.Group):
    """Finds commands by name in MODULES and lists them in SECTIONS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(import_module(f"ftspec.cli.{MODULES[cmd_name]}"), f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in MODULES and not name.startswith("-") and (near := did_you_mean(name, MODULES)):
            ctx.fail(f"no such command '{name}'; {near}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, self._summary(ctx, name)) for name in commands], col_max=12)

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        assert command is not None
        return command.get_short_help_str(limit=100)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ftspec.__version__, message="ftspec %(version)s")
def cli() -> None:
    """Fine-tuning as code: one committed YAML spec, any tuner, evidence before the merge.

    \b
    Start here:   ftspec init, ftspec plan spec.yaml, ftspec run spec.yaml
    Exit codes:   0 done, 1 you can fix it, 2 usage, 3 a bug in ftspec,
                  4 a gate failed, 5 still running, 130 interrupted
                  (143 by SIGTERM, 129 by SIGHUP)
    """
