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

import msgspec

from ftspec.asking.patience import Patience
from ftspec.common.errors import FtspecError, ProviderError, StoreError
from ftspec.common.figures import plural
from ftspec.common.jobs import JobState, RemoteFile
from ftspec.common.records import Record
from ftspec.contracts.abilities import RemoteObject, SupportsCleanup, SupportsDeployment
from ftspec.contracts.provider import Provider
from ftspec.costs.spending import Purse
from ftspec.data import entries
from ftspec.registry import Registry
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace
from ftspec.tuning import deploying, following
from ftspec.tuning.following import Result
from ftspec.upkeep.litter import TRIES, Litter, Memory, Source, left_standing, providers, remote
from ftspec.upkeep.needs import Needs, jobs_of, needs_of

GRACE = 3600.0
"""Seconds for which nothing new is litter: somebody may be about to write down that they need it."""
UNUSED = 7 * 86400.0
"""Seconds after which a result in the data step's cache that nobody used is litter."""


class Found(Record):
    """What there is to clean up. `notes` say what could not be looked at."""

    litter: tuple[Litter, ...] = ()
    kept: int = 0
    notes: tuple[str, ...] = ()


SWEPT = ("steps", "blobs", "segments/answers", "segments/jobs", "spent")
"""Parts of the store where every object belongs to runs. The rest is small, or shared by content (judgements)."""


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
    needs = needs_of(store)
    litter = [*_state(store, needs, grace), *left_standing(workspace, needs), *_unused(workspace)]
    asked = set()
    for name, provider in providers(workspace, registry, notes):
        if name in asked:
            continue  # of each tuner what lies at the newest run's endpoint is listed
        asked.add(name)
        try:
            mine, others = remote(name, provider, workspace, needs, grace)
        except ProviderError as error:
            notes.append("; ".join(filter(None, [f"{name} could not be asked: {error.message}", error.hint])))
            continue
        litter += [*mine, *(others if foreign else ())]
        if others and not foreign:
            notes.append(
                f"{name} holds {plural(len(others), 'thing')} that this state folder knows nothing of (--foreign)"
            )
    return Found(litter=tuple(_once(litter)), kept=len(needs.plans), notes=tuple(dict.fromkeys(notes)))


def delete(workspace: Workspace, registry: Registry, litter: Sequence[Litter]) -> Iterator[tuple[Litter, str]]:
    """Delete what was found, deployments first; yields each with what went wrong ("" when it is gone)."""
    at_hand = {(name, provider.endpoint): provider for name, provider in providers(workspace, registry, [])}
    order = {"deployment": 0, "model": 1, "file": 2}
    for one in sorted(litter, key=lambda one: order.get(one.kind, 3)):
        try:
            if one.kind == "cache":
                entries.trim(workspace.cache, unused=UNUSED)
            elif one.where == "state":
                workspace.store.delete(one.id)
            else:
                if (provider := at_hand.get((one.where, one.endpoint))) is None:
                    raise FtspecError(f"no run can be opened that says how {one.where} is asked: delete it there")
                _delete(provider, one)
                _forget(workspace, provider, one)
            yield one, ""
        except FtspecError as error:
            yield one, error.message


def _unused(workspace: Workspace) -> Iterator[Litter]:
    """What the data step's cache holds and nobody has used for long."""
    old = [size for used, size, _ in entries.sizes(workspace.cache) if used < time.time() - UNUSED]
    if old:
        why = f"not used for {UNUSED / 86400:.0f} days; it is made again when it is needed"
        yield Litter(where="state", kind="cache", id=f"{len(old)} results of cleaning steps", bytes=sum(old), why=why)


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


def _delete(provider: Provider, one: Litter) -> None:
    remote = msgspec.convert({"kind": one.kind, "id": one.id, "job": one.job, "sha256": one.sha256}, RemoteObject)
    if isinstance(provider, SupportsCleanup):
        Patience(TRIES).retry(lambda: provider.delete(remote))


def _forget(workspace: Workspace, provider: Provider, one: Litter) -> None:
    """Take out of the store what says that it is there."""
    store = workspace.store
    if one.kind == "file":
        for stored in store.list("uploads"):
            with suppress(StoreError):
                if decode(store, stored.key, RemoteFile).id == one.id:
                    store.delete(stored.key)
    elif one.kind == "model":
        _forget_model(store, one)
    elif one.kind == "deployment" and isinstance(provider, SupportsDeployment):
        register = deploying.Register(store)
        for standing in register.standing():
            if standing.deployment and standing.deployment.id == one.id:
                purse = Purse(store, standing.run, None, "USD")
                deploying.take_down(provider, register, standing, Patience(TRIES), purse)


def _forget_model(store: Store, one: Litter) -> None:
    """Its job has ended without a model, then; a key that leads to another job's model still does."""
    memory = Memory(store)
    key = memory.models.get(one.id) or memory.jobs.get(one.job, "")
    result = following.ended(store, key) if key else None
    made = {job.id: job for job in (jobs_of(store, key) if key else [])}
    job = result.job if result and result.model and result.model.id == one.id else made.get(one.job)
    if job and (result is None or result.job.id == job.id):
        gone = Result(
            job=job,
            state=JobState.FAILED,
            raw="succeeded",
            error="its model was deleted by `ftspec gc`",
            at=time.time(),
        )
        store.put(f"jobs/{key}/result", msgspec.json.encode(gone))


def _once(litter: Iterable[Litter]) -> list[Litter]:
    return list({(one.where, one.kind, one.id): one for one in litter}.values())
