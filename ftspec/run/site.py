"""What the steps of one run share: the spec and how it is wanted, the store, the provider, the inputs, the target."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from ftspec import items
from ftspec.common.errors import Problem, SpecError
from ftspec.common.jobs import TunedModel
from ftspec.common.progress import Progress
from ftspec.common.records import TUNING, Plan, Record, Step
from ftspec.contracts.provider import Provider
from ftspec.costs import tables
from ftspec.costs.tables import Tables
from ftspec.document.document import Document
from ftspec.grading import subjects
from ftspec.grading.benches import Hearing
from ftspec.grading.subjects import Subject
from ftspec.plans import inventory
from ftspec.plans import plan as plans
from ftspec.plans.inventory import Inventory
from ftspec.plans.stepkeys import Made, Target
from ftspec.registry import Registry
from ftspec.spec import Spec
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace
from ftspec.tuning.following import Follow, chosen, ended
from ftspec.validation.validate import Loaded


class Options(Record):
    """How a run is wanted, beside the spec.

    Args:
        store: folder or URL of the store; `.ftspec` beside the spec when None.
        again: steps to do again though they are cached: "data", "tuning", "answers", "report".
        detach: return (StillRunning) once the job is submitted.
        until: stop after this step, "data" or "tuning"; the next run goes on from there. To the end when None.
        wait: follow the job for at most so many seconds.
        resubmit: give up on an attempt of unknown outcome and submit the next one.
        adopt: id of a job at the provider that is the one of unknown outcome.
        resume: go on with a run that was begun, and begin none.
        evaluation: train nothing: ask the base model, further models, and the tuned one where there is one already.
        memory: bytes that the data step may hold, about; a share of the machine's where it is 0.
        cache: take what steps made of rows before from this machine's cache, and keep it there.
        accept: where the gates pass, later runs are compared with this one (ftspec.state.accepted).
        measure: for a plan: prepare uncached data in a scratch folder, so that rows, tokens and digests are exact.
    """

    store: str | None = None
    again: tuple[str, ...] = ()
    detach: bool = False
    until: str | None = None
    wait: float | None = None
    resubmit: bool = False
    adopt: str = ""
    measure: bool = True
    evaluation: bool = False
    memory: int = 0
    resume: bool = False
    cache: bool = True
    accept: bool = True


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the steps of one run share."""

    spec: Spec
    document: Document
    registry: Registry
    options: Options
    progress: Progress
    workspace: Workspace
    provider: Provider
    target: Target
    inventory: Inventory
    tables: Tables
    further: tuple[Subject, ...] = ()
    hearings: dict[str, Hearing] = msgspec.field(default_factory=dict)
    """What this run has heard of its judges so far, by the digest of each one's bench."""

    @property
    def store(self) -> Store:
        return self.workspace.store


def survey(loaded: Loaded, registry: Registry, options: Options, progress: Progress) -> Site:
    """Open the store, ask the provider, hash the inputs. Reads only.

    Raises SpecError with everything that the spec names and that is not there.
    """
    spec = loaded.spec
    workspace = Workspace.beside(spec.file, options.store)
    provider = attached(spec, registry, workspace)
    problems: list[Problem] = []
    with items.gathered(problems):
        found = inventory.take(spec, registry, provider)
    with items.gathered(problems):
        further = tuple(subjects.find(spec, registry, workspace, provider))
    if problems:
        raise SpecError(problems, loaded.document)
    request = msgspec.structs.replace(items.request_of(spec, registry), model_fingerprint=found.model)
    keys = {subject.label: subject.keys for subject in further}
    target = Target(endpoint=provider.endpoint, request=request, further=keys, evaluation=options.evaluation)
    prices = tables.read([spec.folder / name for name in spec.costs.prices])
    attempts = _attempts(workspace.store, plans.attempts_keys(spec, registry, found, target))
    return Site(
        spec=spec,
        document=loaded.document,
        registry=registry,
        options=options,
        progress=progress,
        workspace=workspace,
        provider=provider,
        inventory=found,
        tables=prices,
        further=further,
        target=msgspec.structs.replace(
            target, attempt=attempts + 1 + ("tuning" in options.again), costs=_costs(spec, prices)
        ),
    )


def _costs(spec: Spec, prices: Tables) -> dict[str, str]:
    """Keys of the report. The prices that ship with ftspec are none: its version counts in no digest."""
    found = {"costs.larger": spec.costs.larger, "costs.larger_at": spec.costs.larger_at}
    if own := prices.prices[: prices.own]:
        found["costs.prices"] = hashlib.sha256(msgspec.json.encode(own)).hexdigest()
    return {name: value for name, value in found.items() if value}


def attached(spec: Spec, registry: Registry, workspace: Workspace) -> Provider:
    """The spec's provider, ready to be asked."""
    provider = items.provider_of(spec, registry)
    provider.attach(workspace.home(spec.provider.name))
    return provider


def record_attempt(site: Site) -> None:
    """Make the attempt that `--again tuning` asked for the current one, for every later run."""
    key, _ = plans.attempts_keys(site.spec, site.registry, site.inventory, site.target)
    site.store.put_new(f"attempts/{key}/{site.target.attempt - 1:04d}", b"")


def _attempts(store: Store, keys: Iterable[str]) -> int:
    """How often `--again tuning` was asked for, by the last one that was written down."""
    written = (stored.key for key in keys for stored in store.list(f"attempts/{key}"))
    return max((int(key.rpartition("/")[2]) for key in written), default=0)


def plan_of(site: Site, made: Made | None = None) -> Plan:
    """The plan as far as it can be told; with what the data step made, all of it."""
    plan = plans.make(site.spec, site.registry, site.inventory, site.target, made)
    if site.options.evaluation and tuned_already(site, plan) is None:
        return plans.make(site.spec, site.registry, site.inventory, site.target, made, tuned=False)
    return plan


def tuned_already(site: Site, plan: Plan) -> TunedModel | None:
    """The model that the plan's job has made; None where it has not."""
    step = next((step for step in plan.steps if step.name == TUNING), None)
    result = ended(site.store, step.digest) if step and step.digest else None
    return chosen(result, site.spec.follow.checkpoint) if result else None


def follow_of(site: Site) -> Follow:
    """How the job is followed, by the spec and by how the run is wanted."""
    wanted, options = site.spec.follow, site.options
    return Follow(
        wait=options.wait,
        detach=options.detach,
        stall=wanted.stall,
        early_stopping=wanted.early_stopping,
        checkpoint=wanted.checkpoint,
    )


def step_key(step: Step) -> str:
    """Where the store keeps what a step came to."""
    return f"steps/{step.digest}"
