"""A run's costs and its budget: what the forecast says of a site, and whether the run may go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ftspec import following
from ftspec.claims import Register
from ftspec.costs import Costs
from ftspec.deploying import Register as Deployments
from ftspec.errors import FtspecError, Problem
from ftspec.forecast import Known, forecast, objections
from ftspec.pipeline import DataResult
from ftspec.plan import TUNING
from ftspec.provider import Estimate, SupportsDeployment, TunedModel
from ftspec.records import Plan, Step
from ftspec.spending import Purse
from ftspec.stages import Site


def purse_of(site: Site, run: str) -> Purse:
    """What the run may spend, and what it has."""
    budget = site.spec.budget
    return Purse(site.store, run, budget.max if budget else None, budget.currency if budget else "USD")


def costs_of(site: Site, plan: Plan, data: DataResult, estimate: Estimate) -> Costs:
    """What is still to be paid for, part by part; `plan` says what is cached."""
    request, provider = site.target.request, site.provider
    made = TunedModel(id="", base=request.model)
    known = Known(
        endpoint=site.target.endpoint,
        request=request,
        size=data.size,
        estimate=estimate,
        deploys=isinstance(provider, SupportsDeployment) and provider.deploys(made),
        stands=_stood(site),
    )
    return forecast(site.spec, _submitted(site, plan), known, site.tables)


def _stood(site: Site) -> float | None:
    """Seconds that the last deployment at this endpoint stood, None where there was none."""
    fallen = [
        one for one in Deployments(site.store).all() if one.state == "down" and one.endpoint == site.target.endpoint
    ]
    last = max(fallen, key=lambda one: one.ended, default=None)
    return last.ended - last.since if last else None


def refusals(site: Site, plan: Plan, costs: Costs) -> list[Problem]:
    """Why the budget does not let the run begin. Once its job is made, the meter watches over the rest."""
    tuning = _step(_submitted(site, plan), TUNING)
    spent = purse_of(site, plan.run).spent().total
    return list(objections(site.spec.budget, costs, spent, begun=tuning.cached))


@contextmanager
def charged(site: Site, plan: Plan, costs: Costs) -> Iterator[None]:
    """Count the job as paid for, before it can be made, and no more once it is certain that it was not."""
    purse, key = purse_of(site, plan.run), _step(plan, TUNING).digest
    if not _has_job(site, key) and following.ended(site.store, key) is None:
        purse.commit(TUNING, key, next(part.amount for part in costs.parts if part.name == TUNING))
    try:
        yield
    except FtspecError:
        attempt = Register(site.store, key).latest()
        if attempt is None or (attempt.outcome and attempt.outcome.job is None):
            purse.release(TUNING, key)
        raise


def _step(plan: Plan, name: str) -> Step:
    return next(step for step in plan.steps if step.name == name)


def _submitted(site: Site, plan: Plan) -> Plan:
    """The plan with its tuning step done where there is a job: it is paid for, whatever comes of it."""
    steps = tuple(
        msgspec.structs.replace(step, cached=step.cached or _has_job(site, step.digest))
        if step.name == TUNING and step.digest
        else step
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=steps)


def _has_job(site: Site, key: str) -> bool:
    return Register(site.store, key).job() is not None
