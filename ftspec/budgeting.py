"""A run's costs and its budget: what the forecast says of a site, and whether the run may go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from ftspec import costs, following, items
from ftspec.claims import Register
from ftspec.components import Judge
from ftspec.costs import Costs, Serving, rate_of
from ftspec.deploying import Register as Deployments
from ftspec.errors import FtspecError, Problem
from ftspec.forecast import Judging, Known, objections
from ftspec.forecast import forecast as forecast_of
from ftspec.grade import Answered
from ftspec.pipeline import DataResult
from ftspec.plan import TUNING, answers_step
from ftspec.provider import Estimate, Provider, SupportsDeployment, TunedModel
from ftspec.records import Plan, Step
from ftspec.spending import Purse
from ftspec.stages import Site
from ftspec.subjects import Subject


def purse_of(site: Site, run: str) -> Purse:
    """What the run may spend, and what it has."""
    budget = site.spec.budget
    return Purse(site.store, run, budget.max if budget else None, budget.currency if budget else "USD")


def costs_of(site: Site, plan: Plan, data: DataResult, estimate: Estimate) -> Costs:
    """What is still to be paid for, part by part; `plan` says what is cached."""
    request = site.target.request
    known = Known(
        endpoint=site.target.endpoint,
        request=request,
        size=data.size,
        estimate=estimate,
        deploys=_deploys(site),
        stands=_stood(site),
        further={answers_step(one.label): _asked(site, one) for one in site.further},
        judges=tuple(_judges(site)),
        checkpoints=_checkpoints(site, plan),
    )
    if site.options.evaluation:  # tunes nothing
        steps = tuple(step for step in plan.steps if step.name != TUNING)
        return forecast_of(site.spec, msgspec.structs.replace(plan, steps=steps), known, site.tables)
    return forecast_of(site.spec, _submitted(site, plan), known, site.tables)


def _judges(site: Site) -> Iterator[Judging]:
    """The graders that ask a model. Those that a prompt brings along are not known before it is read."""
    spec, registry = site.spec, site.registry
    for item in spec.eval.graders if spec.eval else ():
        if not any(items.references(item, registry.get(item.kind, item.name))):
            continue
        judge = items.build(item, registry, spec.folder, secrets=False)
        if isinstance(judge, Judge):
            provider: Provider = items.build(items.referred(judge.provider), registry, spec.folder)
            asked = [one for known in judge.labelled for one in judge.questions(known.prompt, known.answer, None)]
            yield Judging(
                endpoint=provider.endpoint,
                model=judge.model,
                most=judge.generation.max_tokens,
                asks=judge.asks,
                labelled=len(asked),
                labelled_tokens=sum(map(costs.most_tokens, asked)),
            )


def _checkpoints(site: Site, plan: Plan) -> int | None:
    """How many the plan's job has kept, None before it has ended."""
    step = next((step for step in plan.steps if step.name == TUNING), None)
    result = following.ended(site.store, step.digest) if step and step.digest else None
    return len(result.checkpoints) if result else None


def _asked(site: Site, subject: Subject) -> tuple[str, str, bool]:
    """(endpoint, base model, whether it is tuned) of a further model; checkpoints are the spec's own model, tuned."""
    model = subject.model
    if model is None:
        return site.target.endpoint, site.target.request.model.id, True
    tuned = isinstance(model, TunedModel)
    return subject.provider.endpoint, model.base.id if isinstance(model, TunedModel) else model.id, tuned


def serving(site: Site, answered: Mapping[str, Answered]) -> tuple[Serving, ...]:
    """What serving costs with every model that was asked, and with the larger one that the spec names.

    Of the larger model nobody has counted tokens here: it is taken to need as many as the base model. Empty where no
    price is known, or everything is free.
    """
    endpoint, base, said = site.target.endpoint, site.target.request.model.id, site.spec.costs
    found = []
    for label in (label for label in ("base", "tuned") if label in answered):
        price, rate = rate_of(site.tables, endpoint, base, tuned=label == "tuned")
        hosted = site.tables.price("hosting_hour", endpoint, base) if label == "tuned" and _deploys(site) else None
        found.append(costs.serving(label, base, price, rate, answered[label].answers, hosted))
    for one in (one for one in site.further if one.model and one.label in answered):
        at, model, tuned = _asked(site, one)
        found.append(
            costs.serving(
                one.label, model, *rate_of(site.tables, at, model, tuned=tuned), answered[one.label].answers, None
            )
        )
    if said.larger:
        price, rate = rate_of(site.tables, said.larger_at or endpoint, said.larger, tuned=False)
        found.append(costs.serving("larger", said.larger, price, rate, answered["base"].answers, None))
    return tuple(found) if said.larger or any(one.thousand for one in found) else ()


def _deploys(site: Site) -> bool:
    provider, made = site.provider, TunedModel(id="", base=site.target.request.model)
    return isinstance(provider, SupportsDeployment) and provider.deploys(made)


def _stood(site: Site) -> float | None:
    """Seconds that the last deployment at this endpoint stood, None where there was none."""
    fallen = [
        one for one in Deployments(site.store).all() if one.state == "down" and one.endpoint == site.target.endpoint
    ]
    last = max(fallen, key=lambda one: one.ended, default=None)
    return last.ended - last.since if last else None


def refusals(site: Site, plan: Plan, forecast: Costs) -> list[Problem]:
    """Why the budget does not let the run begin. Once its job is made, the meter watches over the rest."""
    begun = not site.options.evaluation and _step(_submitted(site, plan), TUNING).cached
    spent = purse_of(site, plan.run).spent().total
    return list(objections(site.spec.budget, forecast, spent, begun=begun))


@contextmanager
def charged(site: Site, plan: Plan, forecast: Costs) -> Iterator[None]:
    """Count the job as paid for, before it can be made, and no more once it is certain that it was not."""
    purse, key = purse_of(site, plan.run), _step(plan, TUNING).digest
    if not _has_job(site, key) and following.ended(site.store, key) is None:
        part = next(part for part in forecast.parts if part.name == TUNING)
        purse.commit(TUNING, key, part.amount, verified=part.verified)
    try:
        yield
        _settle(site, purse, key)
    except FtspecError:
        attempt = Register(site.store, key).latest()
        if attempt is None or (attempt.outcome and attempt.outcome.job is None):
            purse.release(TUNING, key)
        raise


def _settle(site: Site, purse: Purse, key: str) -> None:
    """Once the provider says how many tokens it trained on, what they cost takes the place of what was expected."""
    result, request = following.ended(site.store, key), site.target.request
    price = site.tables.price("tuning", site.target.endpoint, request.model.id, request.method)
    if result and result.trained_tokens is not None and price and purse.has(TUNING, key):
        cost = costs.training(price, result.trained_tokens, 1, None)
        purse.commit(TUNING, key, cost, verified=price.verified)


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
