"""What the kept runs of a store need: their jobs, the files and models of these, their steps, answers and data."""

from __future__ import annotations

from typing import NamedTuple

from ftspec.common.jobs import Job
from ftspec.common.records import DATA, TUNING, Plan
from ftspec.plans import plan as plans
from ftspec.run.datastep import Dataset
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.state.store import Store
from ftspec.tuning import following
from ftspec.tuning.claims import Register


class Needs(NamedTuple):
    """What the kept runs of a store need."""

    plans: dict[str, Plan]
    jobs: set[str]
    files: set[str]
    models: set[str]
    keys: set[str]
    prefixes: set[str]


def needs_of(store: Store) -> Needs:
    """What all runs of the store need. Raises StoreError where one of them cannot be read."""
    needs = Needs(plans={}, jobs=set(), files=set(), models=set(), keys=set(), prefixes=set())
    for run in history.run_ids(store):
        # A damaged run needs nobody knows what: nothing is found then, rather than too much.
        needs.plans[run] = history.plan_of(run, Journal(store, run).events())
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
    needs.jobs.update(job.id for job in jobs_of(store, key))
    result = following.ended(store, key)
    if result and result.model:
        needs.models.add(result.model.id)
    if result:
        needs.models.update(checkpoint.model.id for checkpoint in result.checkpoints)


def jobs_of(store: Store, key: str) -> list[Job]:
    """Every job that was made under a key."""
    register, result = Register(store, key), following.ended(store, key)
    return [job for job in (register.job(), *register.orphans(), result.job if result else None) if job]
