"""What runs there are, read back from their journals."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

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

NAME = re.compile(r"^name:[ \t]+([\"']?)([^\s\"'#]+)\1", re.MULTILINE)
"""The name of a spec, in its text: where it is written otherwise, nobody needs to know it here."""

ENDS = {"finished", "failed", "cancelled", "detached", "stopped"}
"""Kinds of event after which nobody works on the run; a later `started` opens it again."""


def info(run: str, events: list[Event]) -> RunInfo:
    """The run as its events tell it. Raises StoreError when these do not say how it was begun."""
    first = next((event for event in events if event.kind == "started"), None)
    if first is None:
        raise _lost(run)
    facts: dict[str, Any] = {"state": "running", "phase": "", "finished": None, "report": ""}
    for event in events:
        facts.update(_facts(event))
    plan = plan_of(run, events)
    return RunInfo(id=run, name=plan.name, spec=plan.spec, started=first.at, **facts)


def _facts(event: Event) -> dict[str, Any]:
    if event.kind == "started":
        return {"state": "running", "phase": "data", "finished": None}
    if event.kind in ENDS:
        state = event.data.get("state", "done") if event.kind == "finished" else event.kind
        report = {"report": event.data["report"]} if event.data.get("report") else {}
        return {"state": state, "finished": event.at} | report | ({"phase": ""} if event.kind == "finished" else {})
    return {"phase": PHASES[event.kind]} if event.kind in PHASES else {}


def plan_of(run: str, events: list[Event]) -> Plan:
    """The run's plan, as complete as it was known last: once the data is made, all digests are.

    Raises StoreError where no event holds it."""
    told = [event.data["plan"] for event in events if "plan" in event.data]
    if not told:
        raise _lost(run)
    return msgspec.convert(told[-1], Plan)


def _lost(run: str) -> StoreError:
    return StoreError(
        f"run {run} has lost its first events",
        f"restore them from a backup, or remove it and run again: `ftspec runs --remove {run}`",
    )


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
                return plan_of(run, Journal(store, run).events())
    return None


class Located(NamedTuple):
    """The run that a user means, where it is kept, and what to say where it is not quite what was asked for."""

    space: Workspace
    run: str
    note: str = ""


def locate(target: str | None, where: str | None, *, trains: bool = False) -> Located:
    """The run that a user means.

    Args:
        target: a spec file (the last run that was begun with it as it is now; where there is none, its last one), a
            run's id or the beginning of one, or None for the last run of all.
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
        found = [one for one in found if not _only_evaluates(*one)] or found
    return Located(*(exact or found)[-1])


class _Begun(msgspec.Struct, frozen=True):
    """How a run was begun, and by which file."""

    run: str
    first: Event
    plan: Plan
    lines: list[str]

    @property
    def trains(self) -> bool:
        return not only_evaluates(self.plan.run, self.plan.name)

    def is_of(self, lines: list[str], folder: Path) -> bool:
        """Whether the spec has these lines, and its files have the sizes that they have in the folder: what they hold
        is not looked at, and not whether they are here."""
        return self.lines == lines and all(_may_be(folder / one.path, one.bytes) for one in self.plan.inputs)


def _may_be(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return True


def _of_spec(file: Path, where: str | None, trains: bool) -> Located:
    """The run of the file as it is now; else of the spec that it is. Of several, the one that was last worked on."""
    space, lines = Workspace.beside(file, where), _lines(file)
    # A store that was named is shared: others may have a spec.yaml in it, and other branches this one.
    name = NAME.search("\n".join(lines)) if where else None
    others: list[_Begun] = []
    for run in reversed(run_ids(space.store)):
        if name and not run.startswith(f"{name[2]}-"):
            continue
        begun = _begun(space.store, run)
        same = begun.is_of(lines, file.parent)
        if same and (begun.trains or not trains):
            return Located(space, run)
        if same or (Path(begun.plan.spec).name == file.name and (not name or name[2] == begun.plan.name)):
            others.append(begun)
    if not others:
        raise FtspecError(f"{file} has not been run yet", f"run it: ftspec run {file}")
    found = next((begun for begun in others if begun.trains or not trains), others[0])
    same = found.is_of(lines, file.parent)
    return Located(space, found.run, "" if same else _of_another_state(found, file))


def _of_another_state(found: _Begun, file: Path) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.first.at))
    begun = f"{found.run} was begun with another state of them ({at}, on {found.first.writer.rsplit('-', 2)[0]})"
    return f"no run was begun with {file} and its files as they are now: {begun}"


def _begun(store: Store, run: str) -> _Begun:
    for event in Journal(store, run).walk():
        if "plan" in event.data:
            return _Begun(run, event, plan_of(run, [event]), event.data.get("text", "").splitlines())
    raise _lost(run)


def _lines(file: Path) -> list[str]:
    return file.read_bytes().decode("utf-8-sig", "replace").splitlines()


def _only_evaluates(space: Workspace, run: str) -> bool:
    return not _begun(space.store, run).trains


def spaces(where: str | None) -> list[Workspace]:
    """The store named, or those below the current folder: its own, and those of specs one folder down."""
    if where:
        return [Workspace(where)]
    here = Path()
    return [Workspace(path) for path in (here / FOLDER, *sorted(here.glob(f"*/{FOLDER}"))) if path.is_dir()]
