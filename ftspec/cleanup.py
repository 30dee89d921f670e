"""What lies about and no run needs: files, models and deployments at a provider, and state in the store.

A run is kept until `ftspec runs --remove RUN` removes its journal. What a kept run needs: its job, the files that the
job was made from, its model, the deployment that a process uses just now, its steps, answers and data. What was made
less than GRACE seconds ago is always kept: somebody may be about to write down that they need it.

At a provider lies more than this store knows of: a colleague's state folder may use the same account. So only what is
written down here (uploads, jobs, deployments) is litter; the rest is counted, and listed when it is asked for. The
register of jobs stays, too: it is the memory of what was paid for.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from ftspec import blocks, deploying, following, history, validate
from ftspec import plan as plans
from ftspec.abilities import RemoteObject, SupportsCleanup, SupportsDeployment
from ftspec.claims import Register
from ftspec.datastep import Dataset
from ftspec.errors import Ambiguous, FtspecError, ProviderError, StoreError, Transient
from ftspec.figures import plural
from ftspec.following import Result
from ftspec.jobs import Job, JobState, RemoteFile
from ftspec.journal import Journal, decode
from ftspec.patience import Patience
from ftspec.plan import DATA, TUNING, step_of
from ftspec.provider import Provider
from ftspec.records import Plan, Record
from ftspec.registry import Registry
from ftspec.site import attached
from ftspec.spending import Purse
from ftspec.store import Store
from ftspec.workspace import Workspace

GRACE = 3600.0
UNUSED = 7 * 86400.0
"""Seconds after which a result in the data step's cache that nobody used is litter."""
TRIES = 60.0
"""Seconds for which a provider that is out of reach is asked again."""


class Litter(Record):
    """One thing that no kept run needs. `where` is a provider's name, or "state"; `key` its key in the store there."""

    where: str
    kind: str
    id: str
    bytes: int | None = None
    created_at: float = 0.0
    why: str = ""
    job: str = ""
    sha256: str = ""


class Found(Record):
    """What there is to clean up. `notes` say what could not be looked at."""

    litter: tuple[Litter, ...] = ()
    kept: int = 0
    notes: tuple[str, ...] = ()


class Needs(NamedTuple):
    """What the kept runs of a store need."""

    plans: dict[str, Plan]
    jobs: set[str]
    files: set[str]
    models: set[str]
    keys: set[str]
    prefixes: set[str]


class Source(Record):
    """The spec of a run that was removed: what its provider is built from, to clean up there."""

    file: str
    text: str
    sets: list[str] = []


def remove(workspace: Workspace, run: str) -> None:
    """Forget a run: its journal and report. Raises FtspecError while a process of this machine works on it."""
    if workspace.is_alive(run):
        raise FtspecError(f"run {run} is being worked on", "wait for its end, or stop that process")
    store = workspace.store
    if source := history.last(Journal(store, run).events(), "started"):
        store.put(f"removed/{run}", msgspec.json.encode(msgspec.convert(source, Source)))
    for stored in reversed(store.list(f"runs/{run}")):
        store.delete(stored.key)
    shutil.rmtree(workspace.report_folder(run).parent, ignore_errors=True)


def find(workspace: Workspace, registry: Registry, *, foreign: bool = False, grace: float | None = None) -> Found:
    """Everything that no kept run needs; changes nothing.

    Args:
        foreign: also what ftspec made at the provider and this store knows nothing of.
        grace: what is younger than so many seconds (GRACE) is left alone.
    """
    store = workspace.store
    notes: list[str] = []
    grace = GRACE if grace is None else grace
    needs = _needs(store)
    litter = [*_state(store, needs, grace), *_left_standing(workspace, needs), *_unused(workspace)]
    for name, provider in _providers(workspace, registry, notes):
        try:
            mine, others = _remote(name, provider, workspace, needs, grace)
        except ProviderError as error:
            notes.append(f"{name} could not be asked: {error.message}")
            continue
        litter += [*mine, *(others if foreign else ())]
        if others and not foreign:
            notes.append(
                f"{name} holds {plural(len(others), 'thing')} that this state folder knows nothing of (--foreign)"
            )
    return Found(litter=tuple(_once(litter)), kept=len(needs.plans), notes=tuple(dict.fromkeys(notes)))


def delete(workspace: Workspace, registry: Registry, litter: Sequence[Litter]) -> Iterator[tuple[Litter, str]]:
    """Delete what was found, deployments first; yields each with what went wrong ("" when it is gone)."""
    providers = dict(_providers(workspace, registry, []))
    order = {"deployment": 0, "model": 1, "file": 2}
    for one in sorted(litter, key=lambda one: order.get(one.kind, 3)):
        try:
            if one.kind == "cache":
                blocks.trim(workspace.cache, unused=UNUSED)
            elif one.where == "state":
                workspace.store.delete(one.id)
            else:
                _delete(providers[one.where], one)
                _written_down(workspace, providers[one.where], one)
            yield one, ""
        except (FtspecError, KeyError) as error:
            yield one, error.message if isinstance(error, FtspecError) else f"provider {one.where} is not at hand"


def _unused(workspace: Workspace) -> Iterator[Litter]:
    """What the data step's cache holds and nobody has used for long."""
    old = [size for used, size, _ in blocks.sizes(workspace.cache) if used < time.time() - UNUSED]
    if old:
        why = f"not used for {UNUSED / 86400:.0f} days; it is made again when it is needed"
        yield Litter(where="state", kind="cache", id=f"{len(old)} results of cleaning steps", bytes=sum(old), why=why)


# ---- what is needed


def _needs(store: Store) -> Needs:
    needs = Needs(plans={}, jobs=set(), files=set(), models=set(), keys=set(), prefixes=set())
    for run in history.run_ids(store):
        # A damaged run needs nobody knows what: nothing is found then, rather than too much.
        needs.plans[run] = history.plan_of(Journal(store, run).events())
    for run, plan in needs.plans.items():
        _of_run(store, run, plan, needs)
    return needs


def _of_run(store: Store, run: str, plan: Plan, needs: Needs) -> None:
    needs.prefixes.update({f"spent/{run}", f"spent/chat-{run}"})
    for step in plan.steps:
        if not step.digest:
            continue
        needs.keys.add(f"steps/{step.digest}")
        needs.prefixes.update({f"segments/jobs/{step.digest}", f"segments/answers/{plans.answers_digest(step)}"})
    digests = {step.name: step.digest for step in plan.steps}
    if digests.get(DATA) and store.head(f"steps/{digests[DATA]}"):
        dataset = decode(store, f"steps/{digests[DATA]}", Dataset)
        needs.keys.update(f"blobs/{sha256}" for sha256 in dataset.files.values())
        needs.files.update(file.sha256 for file in dataset.result.files)
        needs.keys.update(f"blobs/{file.sha256}" for file in dataset.result.files)
    if digests.get(TUNING):
        _of_job(store, digests[TUNING], needs)


def _of_job(store: Store, key: str, needs: Needs) -> None:
    needs.jobs.update(job.id for job in _jobs(store, key))
    result = following.ended(store, key)
    if result and result.model:
        needs.models.add(result.model.id)
    if result:
        needs.models.update(checkpoint.model.id for checkpoint in result.checkpoints)


def _jobs(store: Store, key: str) -> list[Job]:
    """Every job that was made under a key."""
    register, result = Register(store, key), following.ended(store, key)
    return [job for job in (register.job(), *register.orphans(), result.job if result else None) if job]


# ---- what lies about in the store

SWEPT = ("steps", "blobs", "segments/answers", "segments/jobs", "spent")
"""Parts of the store where every object belongs to runs. The rest is small, or shared by content (judgements)."""


def _state(store: Store, needs: Needs, grace: float) -> Iterator[Litter]:
    horizon = time.time() - grace
    for part in SWEPT:
        for stored in store.list(part):
            if stored.modified > horizon or stored.key in needs.keys:
                continue
            if any(stored.key.startswith(f"{prefix}/") for prefix in needs.prefixes):
                continue
            yield Litter(
                where="state", kind=part.rpartition("/")[2], id=stored.key, bytes=stored.bytes,
                created_at=stored.modified, why="no kept run needs it",
            )  # fmt: skip


# ---- what lies about at providers


def _providers(workspace: Workspace, registry: Registry, notes: list[str]) -> Iterator[tuple[str, Provider]]:
    """Every provider that a run was made with, by the name in its spec; the newest run's options count."""
    seen = set()
    for run, source in _sources(workspace.store):
        try:
            spec = validate.load_again(source.text, Path(source.file), registry, source.sets).spec
            if spec.provider.name not in seen:
                seen.add(spec.provider.name)
                yield spec.provider.name, attached(spec, registry, workspace)
        except FtspecError as error:
            notes.append(f"run {run} cannot be opened: {error.message}")


def _sources(store: Store) -> Iterator[tuple[str, Source]]:
    for run in reversed(history.run_ids(store)):
        if source := history.last(Journal(store, run).events(), "started"):
            yield run, msgspec.convert(source, Source)
    for stored in reversed(store.list("removed")):
        yield stored.key.removeprefix("removed/"), decode(store, stored.key, Source)


def _remote(
    name: str, provider: Provider, workspace: Workspace, needs: Needs, grace: float
) -> tuple[list[Litter], list[Litter]]:
    """What lies at a provider and no kept run needs: what this store knows of, and what it does not."""
    if not isinstance(provider, SupportsCleanup):
        return [], []
    mine: list[Litter] = []
    others: list[Litter] = []
    horizon, used, memory = time.time() - grace, _used(workspace), _Memory(workspace.store)
    for thing in _listed(provider):
        if thing.created_at > horizon or thing.id in used or _needed(thing, needs, memory):
            continue
        known = memory.knows(thing)
        found = Litter(
            where=name, kind=thing.kind, id=thing.id, bytes=thing.bytes, created_at=thing.created_at,
            why="no kept run needs it" if known else "this state folder knows nothing of it",
            job=thing.job, sha256=thing.sha256,
        )  # fmt: skip
        (mine if known else others).append(found)
    return mine, others


class _Memory:
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
            for job in _jobs(store, key):
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
    patience = Patience(TRIES)
    while True:
        try:
            return list(provider.remote_objects())
        except (Transient, Ambiguous) as error:
            patience.wait(error)


def _needed(thing: RemoteObject, needs: Needs, memory: _Memory) -> bool:
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


def _left_standing(workspace: Workspace, needs: Needs) -> Iterator[Litter]:
    """Deployments of processes that are gone, as the register knows them: also where a provider lists nothing."""
    for one in deploying.abandoned(workspace):
        plan = needs.plans.get(one.run.removeprefix("chat-"))
        if plan and one.deployment:
            where = _provider_name(plan)
            yield Litter(
                where=where, kind="deployment", id=one.deployment.id, created_at=one.since,
                why="the process that put it up is gone",
            )  # fmt: skip


def _provider_name(plan: Plan) -> str:
    return step_of(plan, DATA).keys.get("provider", "")


def _delete(provider: Provider, one: Litter) -> None:
    patience = Patience(TRIES)
    remote = msgspec.convert({"kind": one.kind, "id": one.id, "job": one.job, "sha256": one.sha256}, RemoteObject)
    while True:
        try:
            if isinstance(provider, SupportsCleanup):
                provider.delete(remote)
            return
        except (Transient, Ambiguous) as error:
            patience.wait(error)


def _written_down(workspace: Workspace, provider: Provider, one: Litter) -> None:
    """What the store believes to be there and is not any more."""
    store = workspace.store
    if one.kind == "file":
        for stored in store.list("uploads"):
            with suppress(StoreError):
                if decode(store, stored.key, RemoteFile).id == one.id:
                    store.delete(stored.key)
    if one.kind == "model":
        memory = _Memory(store)
        key = memory.models.get(one.id) or memory.jobs.get(one.job, "")
        job = next((job for job in _jobs(store, key) if job.id in {one.job, job.id}), None) if key else None
        if job:
            gone = "its model was deleted by `ftspec gc`"
            result = Result(job=job, state=JobState.FAILED, raw="succeeded", error=gone, at=time.time())
            store.put(f"jobs/{key}/result", msgspec.json.encode(result))
    if one.kind == "deployment" and isinstance(provider, SupportsDeployment):
        register = deploying.Register(store)
        for standing in register.standing():
            if standing.deployment and standing.deployment.id == one.id:
                purse = Purse(store, standing.run, None, "USD")
                deploying.take_down(provider, register, standing, Patience(TRIES), purse)


def _once(litter: Iterable[Litter]) -> list[Litter]:
    return list({(one.where, one.kind, one.id): one for one in litter}.values())
