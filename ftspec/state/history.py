"""What runs there are, read back from their journals."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ftspec.common.errors import FtspecError, StoreError
from ftspec.common.records import Event, Plan, RunInfo, only_evaluates
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.state.workspace import FOLDER, Workspace

PHASES = {
    "started": "data",
    "tuning": "tuning",
    "tuned": "evaluation",
    "planned": "evaluation",
    "answered": "evaluation",
    "judged": "report",
}
"""The phase that a run is in after an event of this kind."""

ENDS = {"finished", "failed", "cancelled", "detached", "stopped"}
"""Kinds of event after which nobody works on the run; a later `started` opens it again."""


def info(run: str, events: list[Event]) -> RunInfo:
    """The run as its events tell it. Raises FtspecError when there is no such run."""
    if not events:
        raise FtspecError(f"there is no run '{run}'", "see `ftspec runs`")
    first = next((event for event in events if event.kind == "started"), None)
    if first is None:
        raise StoreError(f"run {run} has lost its first events", "restore them from a backup, or run the spec again")
    facts: dict[str, Any] = {"state": "running", "phase": "", "finished": None, "report": ""}
    for event in events:
        facts.update(_facts(event))
    plan = plan_of(events)
    return RunInfo(id=run, name=plan.name, spec=plan.spec, started=first.at, **facts)


def _facts(event: Event) -> dict[str, Any]:
    if event.kind == "started":
        return {"state": "running", "phase": "data", "finished": None}
    if event.kind in ENDS:
        state = event.data.get("state", "done") if event.kind == "finished" else event.kind
        report = {"report": event.data["report"]} if event.data.get("report") else {}
        return {"state": state, "finished": event.at} | report | ({"phase": ""} if event.kind == "finished" else {})
    return {"phase": PHASES[event.kind]} if event.kind in PHASES else {}


def plan_of(events: list[Event]) -> Plan:
    """The run's plan, as complete as it was known last: once the data is made, all digests are."""
    told = [event.data["plan"] for event in events if "plan" in event.data]
    return msgspec.convert(told[-1], Plan)


def last(events: list[Event], kind: str) -> dict[str, Any] | None:
    """The data of the last event of a kind, None when there is none."""
    return next((event.data for event in reversed(events) if event.kind == kind), None)


def run_ids(store: Store) -> list[str]:
    """Every run of the store, the one that was last worked on last."""
    touched = _touched(store)
    return sorted(touched, key=lambda run: (touched[run], run))


def _touched(store: Store) -> dict[str, float]:
    """Every run of the store and when it was last worked on, by the store's clock."""
    touched: dict[str, float] = {}
    for stored in store.list("runs"):
        run, _, rest = stored.key.removeprefix("runs/").partition("/")
        if rest.startswith("events/"):
            touched[run] = max(stored.modified, touched.get(run, 0.0))
    return touched


def runs(store: Store) -> list[RunInfo]:
    """Every run, the newest first; one whose journal cannot be read is listed as damaged."""
    return [_listed(store, run) for run in reversed(run_ids(store))]


def _listed(store: Store, run: str) -> RunInfo:
    try:
        return info(run, Journal(store, run).events())
    except StoreError:
        return RunInfo(id=run, name=run.rpartition("-")[0], spec="", state="damaged")


def all_runs(where: str | None) -> list[RunInfo]:
    """Every run of a store, or of `.ftspec` here and one folder down; the newest first."""
    found = (_as_seen_here(space, run) for space in spaces(where) for run in runs(space.store))
    return sorted(found, key=lambda run: -run.started)


def _as_seen_here(space: Workspace, run: RunInfo) -> RunInfo:
    """A run that its journal leaves running, in a folder of this machine, and that no process here works on."""
    if run.state != "running" or space.store.root is None or space.is_alive(run.id):
        return run
    return msgspec.structs.replace(run, state="interrupted")


def previous_plan(store: Store, name: str) -> Plan | None:
    """The plan of the last run of a spec of this name."""
    for run in reversed(run_ids(store)):
        if run.rpartition("-")[0] == name:
            with suppress(StoreError):  # it only explains: a damaged run explains nothing
                return plan_of(Journal(store, run).events())
    return None


def locate(target: str | None, where: str | None, *, trains: bool = False) -> tuple[Workspace, str]:
    """The workspace and run that a user means.

    Args:
        target: a spec file (its last run), a run's id or the beginning of one, or None for the last run of all.
        where: the store, or None for `.ftspec` beside the spec or below this folder.
        trains: of the last runs only those count that train, if there are any: `ftspec eval` makes no model.

    Raises FtspecError when there is no such run, or more than one.
    """
    if target and target.endswith((".yaml", ".yml")):
        file = Path(target)
        if not file.exists():
            raise FtspecError(f"there is no file {target}", "name a spec file or a run; `ftspec runs` lists runs")
        return _of_spec(file, where, trains)
    touched = [(at, run, space) for space in spaces(where) for run, at in _touched(space.store).items()]
    touched.sort(key=lambda entry: entry[:2])
    found = [(space, run) for _, run, space in touched if run.startswith(target or "")]
    exact = [(space, run) for space, run in found if run == target]
    if not found:
        if target and any(space.store.head(f"removed/{target}") for space in spaces(where)):
            raise FtspecError(f"run {target} was removed", "see `ftspec runs` for those that are kept")
        known = f"no run starts with '{target}'" if target else "there is no run yet"
        raise FtspecError(known, "name the store with --store, or run in the folder of the spec; see `ftspec runs`")
    if target and not exact and len(found) > 1:
        raise FtspecError(f"'{target}' could be any of {', '.join(run for _, run in found)}", "write more of it")
    if trains and not target:
        found = [one for one in found if not _only_evaluates(_plan(*one))] or found
    return (exact or found)[-1]


def _of_spec(file: Path, where: str | None, trains: bool) -> tuple[Workspace, str]:
    """The run that was last worked on of those that were started from this file."""
    space, other = Workspace.beside(file, where), ""
    for run in reversed(run_ids(space.store)):
        plan = _plan(space, run)
        if Path(plan.spec).name == file.name:
            if not (trains and _only_evaluates(plan)):
                return space, run
            other = other or run
    if other:
        return space, other
    raise FtspecError(f"{file} has not been run yet", f"run it: ftspec run {file}")


def _plan(space: Workspace, run: str) -> Plan:
    return plan_of(Journal(space.store, run).events())


def _only_evaluates(plan: Plan) -> bool:
    return only_evaluates(plan.run, plan.name)


def spaces(where: str | None) -> list[Workspace]:
    """The store named, or those below the current folder: its own, and those of specs one folder down."""
    if where:
        return [Workspace(where)]
    here = Path()
    return [Workspace(path) for path in (here / FOLDER, *sorted(here.glob(f"*/{FOLDER}"))) if path.is_dir()]
