"""A run that exists, opened again: its journal, and the spec as it was run (the file may have changed or be gone)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ftspec import items, report
from ftspec.common.errors import FtspecError
from ftspec.common.jobs import Request, TunedModel
from ftspec.common.progress import Quiet
from ftspec.common.records import Event, RunInfo
from ftspec.contracts.provider import Provider
from ftspec.registry import Registry
from ftspec.run.site import attached
from ftspec.spec import Spec
from ftspec.state import history
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace
from ftspec.tuning.claims import Register
from ftspec.tuning.following import Follow, Following
from ftspec.validation import validate


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its events so far, and who can be asked about it. Its data are not looked at: they may have moved."""

    run: RunInfo
    events: list[Event]
    spec: Spec
    request: Request
    workspace: Workspace
    provider: Provider
    note: str = ""
    """Where it is not quite the run that was asked for: see history.Located."""

    @property
    def store(self) -> Store:
        return self.workspace.store

    @property
    def key(self) -> str:
        """The key of the run's tuning job, "" before the data is made."""
        return str((history.last(self.events, "tuning") or {}).get("key", ""))

    @property
    def overrides(self) -> tuple[str, ...]:
        """What `--set` gave the run."""
        return tuple((history.last(self.events, "started") or {}).get("sets", ()))

    @property
    def alive(self) -> bool:
        """Whether a process on this machine is working on it."""
        return self.workspace.is_alive(self.run.id)

    @property
    def report(self) -> report.ReportData | None:
        path = self.workspace.report(self.run.id) / "report.json"
        return report.read(path) if path.exists() else None

    def following(self, pace: Follow) -> Following | None:
        """What looks at the run's job, at this pace and by the spec's rules; None before there is a job."""
        job = Register(self.store, self.key).job() if self.key else None
        if job is None:
            return None
        rules = self.spec.follow
        how = msgspec.structs.replace(
            pace, stall=rules.stall, early_stopping=rules.early_stopping, checkpoint=rules.checkpoint
        )
        return Following(self.provider, job, self.store, self.key, Quiet(), how, self.request.hyperparameters)

    def model(self) -> TunedModel:
        """The model that the run made. Raises FtspecError where there is none (yet)."""
        tuned = history.last(self.events, "tuned")
        if tuned is None:
            raise FtspecError(f"run {self.run.id} has no tuned model yet", f"see `ftspec status {self.run.id}`")
        return msgspec.convert(tuned["model"], TunedModel)


def open_run(target: str | None, where: str | None, registry: Registry, *, trains: bool = False) -> Opened:
    """The run that a user means: a spec's last one, one by id, or the last of all. See history.locate."""
    space, run, note = history.locate(target, where, trains=trains)
    events = Journal(space.store, run).events()
    found = history.info(run, events)
    source = history.last(events, "started") or {}
    spec = validate.load_again(source["text"], Path(source["file"]), registry, source["sets"]).spec
    return Opened(
        run=found,
        events=events,
        spec=spec,
        request=items.request_of(spec, registry),
        workspace=space,
        provider=attached(spec, registry, space),
        note=note,
    )
