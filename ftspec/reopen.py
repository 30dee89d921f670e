"""A run that exists, opened again: its journal, and the spec as it was run (the file may have changed or be gone)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ftspec import history, report, stages, validate
from ftspec.errors import FtspecError
from ftspec.journal import Journal
from ftspec.progress import Progress
from ftspec.provider import TunedModel
from ftspec.records import Event, RunInfo
from ftspec.registry import Registry
from ftspec.stages import Options, Site


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its events so far and everything that its steps share."""

    run: RunInfo
    events: list[Event]
    site: Site

    @property
    def key(self) -> str:
        """The key of the run's tuning job, "" before the data is made."""
        return str((history.last(self.events, "tuning") or {}).get("key", ""))

    @property
    def alive(self) -> bool:
        """Whether a process on this machine is working on it."""
        return self.site.workspace.is_alive(self.run.id)

    @property
    def report(self) -> report.ReportData | None:
        path = self.site.workspace.report_folder(self.run.id) / "report.json"
        return report.read(path) if path.exists() else None

    def model(self) -> TunedModel:
        """The model that the run made. Raises FtspecError where there is none (yet)."""
        tuned = history.last(self.events, "tuned")
        if tuned is None:
            raise FtspecError(f"run {self.run.id} has no tuned model yet", f"see `ftspec status {self.run.id}`")
        return msgspec.convert(tuned["model"], TunedModel)


def open_run(target: str | None, registry: Registry, options: Options, progress: Progress) -> Opened:
    """The run that a user means: a spec's last one, one by id, or the last of all. See history.locate."""
    space, run = history.locate(target, options.store)
    events = Journal(space.store, run).events()
    source = history.last(events, "started") or {}
    loaded = validate.load_text(source["text"], Path(source["file"]), registry, source["sets"])
    site = stages.survey(loaded.spec, registry, msgspec.structs.replace(options, store=space.store.url), progress)
    return Opened(run=history.info(run, events), events=events, site=site)
