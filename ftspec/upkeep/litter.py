"""What lies about at providers, and who needs it or knows of it.

There lies more than this store knows of: a colleague's state folder may use the same account. So what is not written
down here (uploads, jobs, deployments) is told apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from ftspec.asking.patience import Patience
from ftspec.common.errors import FtspecError, StoreError, in_short
from ftspec.common.jobs import RemoteFile
from ftspec.common.records import DATA, Plan, Record
from ftspec.contracts.abilities import RemoteObject, SupportsCleanup
from ftspec.contracts.provider import Provider
from ftspec.plans.plan import step_of
from ftspec.registry import Registry
from ftspec.run.site import attached
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace
from ftspec.tuning import deploying, following
from ftspec.upkeep.needs import Needs, jobs_of
from ftspec.validation import validate

TRIES = 60.0
"""Seconds for which a provider that is out of reach is asked again."""


class Litter(Record):
    """One thing that no kept run needs. `where` is a provider's name, or "state", whose store has it as `id`.

    `endpoint` is the provider's: a store may know several accounts and regions of one tuner."""

    where: str
    kind: str
    id: str
    bytes: int | None = None
    created_at: float = 0.0
    why: str = ""
    job: str = ""
    sha256: str = ""
    endpoint: str = ""


class Source(Record):
    """The spec of a run that was removed: what its provider is built from, to clean up there."""

    file: str
    text: str
    sets: list[str] = []


def providers(workspace: Workspace, registry: Registry, notes: list[str]) -> Iterator[tuple[str, Provider]]:
    """Every provider that a run was made with, by the name in its spec, once an endpoint, the newest run's first."""
    seen = set()
    for run, source in _sources(workspace.store):
        try:
            spec = validate.load_again(source.text, Path(source.file), registry, source.sets).spec
            provider = attached(spec, registry, workspace)
            known = (spec.provider.name, provider.endpoint)
            if known not in seen:
                seen.add(known)
                yield spec.provider.name, provider
        except FtspecError as error:
            message, hint = in_short(error)
            notes.append(f"run {run} cannot be opened: {message}{f'; {hint}' if hint else ''}")


def _sources(store: Store) -> Iterator[tuple[str, Source]]:
    for run in reversed(history.run_ids(store)):
        if source := history.last(Journal(store, run).events(), "started"):
            yield run, msgspec.convert(source, Source)
    for stored in reversed(store.list("removed")):
        yield stored.key.removeprefix("removed/"), decode(store, stored.key, Source)


def remote(
    name: str, provider: Provider, workspace: Workspace, needs: Needs, grace: float
) -> tuple[list[Litter], list[Litter]]:
    """What lies at a provider and no kept run needs: what this store knows of, and what it does not."""
    if not isinstance(provider, SupportsCleanup):
        return [], []
    mine: list[Litter] = []
    others: list[Litter] = []
    horizon, used, memory = time.time() - grace, _used(workspace), Memory(workspace.store)
    for thing in _listed(provider):
        if thing.created_at > horizon or thing.id in used or _needed(thing, needs, memory):
            continue
        known = memory.knows(thing)
        found = Litter(
            where=name, kind=thing.kind, id=thing.id, bytes=thing.bytes, created_at=thing.created_at,
            why="no kept run needs it" if known else "this state folder knows nothing of it",
            job=thing.job, sha256=thing.sha256, endpoint=provider.endpoint,
        )  # fmt: skip
        (mine if known else others).append(found)
    return mine, others


class Memory:
    """What this store has ever put or made at a provider."""

    def __init__(self, store: Store) -> None:
        self.files: dict[str, str] = {}
        for stored in store.list("uploads"):
            with suppress(StoreError):
                remote = decode(store, stored.key, RemoteFile)
                self.files[remote.id] = remote.sha256
        self.jobs: dict[str, str] = {}
        self.models: dict[str, str] = {}
        for key in {stored.key.split("/")[1] for stored in store.list("jobs")}:
            for job in jobs_of(store, key):
                self.jobs[job.id] = key
            result = following.ended(store, key)
            if result and result.model:
                self.models[result.model.id] = key
        standing = deploying.Register(store).all()
        self.deployments = {one.deployment.id for one in standing if one.deployment} | {one.key for one in standing}

    def knows(self, thing: RemoteObject) -> bool:
        if thing.kind == "file":
            return thing.id in self.files or thing.sha256 in self.files.values()
        if thing.kind == "model":
            return thing.id in self.models or thing.job in self.jobs
        return thing.id in self.deployments or thing.name in self.deployments


def _listed(provider: SupportsCleanup) -> list[RemoteObject]:
    return Patience(TRIES).retry(lambda: list(provider.remote_objects()))


def _needed(thing: RemoteObject, needs: Needs, memory: Memory) -> bool:
    if thing.kind == "file":
        return (thing.sha256 or memory.files.get(thing.id, "")) in needs.files
    if thing.kind == "model":
        return thing.id in needs.models or thing.job in needs.jobs
    return False


def _used(workspace: Workspace) -> set[str]:
    """Deployments that some process uses, or may use on another machine."""
    gone = {one.key for one in deploying.abandoned(workspace)}
    return {
        one.deployment.id
        for one in deploying.Register(workspace.store).standing()
        if one.deployment and one.key not in gone
    }


def left_standing(workspace: Workspace, needs: Needs) -> Iterator[Litter]:
    """Deployments of processes that are gone, as the register knows them: also where a provider lists nothing."""
    for one in deploying.abandoned(workspace):
        plan = needs.plans.get(one.run.removeprefix("chat-"))
        if plan and one.deployment:
            where = _provider_name(plan)
            yield Litter(
                where=where, kind="deployment", id=one.deployment.id, created_at=one.since,
                why="the process that put it up is gone", endpoint=one.endpoint,
            )  # fmt: skip


def _provider_name(plan: Plan) -> str:
    return step_of(plan, DATA).keys.get("provider", "")
