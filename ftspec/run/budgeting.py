"""A run's costs and its budget: what the forecast says of a site, and whether the run may go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from ftspec import items
from ftspec.common.errors import FtspecError, Problem
from ftspec.common.jobs import Estimate, TunedModel
from ftspec.common.messages import Prompt
from ftspec.common.records import DATA, REPORT, TUNING, Plan
from ftspec.contracts.abilities import SupportsDeployment
from ftspec.contracts.graders import Judge
from ftspec.contracts.provider import Provider
from ftspec.costs import costs
from ftspec.costs.costs import Costs, Serving, rate_of
from ftspec.costs.spending import Purse
from ftspec.data import cases
from ftspec.grading.grade import Answered
from ftspec.grading.subjects import Subject
from ftspec.plans.dataresult import DataResult
from ftspec.plans.forecast import Judging, Known, Open, judging, objections
from ftspec.plans.forecast import forecast as forecast_of
from ftspec.plans.plan import SUITES, answers_step, step_of
from ftspec.plans.stepkeys import CHECKPOINTS, gates_need
from ftspec.run import answering
from ftspec.run.site import Site
from ftspec.state import accepted
from ftspec.tuning import following
from ftspec.tuning.claims import Register
from ftspec.tuning.deploying import Register as Deployments


def purse_of(site: Site, run: str) -> Purse:
    """What the run may spend, and what it has."""
    budget = site.spec.budget
    return Purse(site.store, run, budget.max if budget else None, budget.currency if budget else "USD")


class Prompted(msgspec.Struct, frozen=True):
    """What the evaluation's prompts themselves say of its costs: the judges that they bring along, and what is still to
    be asked of a step."""

    judges: tuple[Judging, ...] = ()
    open: Mapping[str, Open] = {}


NOTHING = Prompted()


def prompted(site: Site, plan: Plan, data: DataResult, load: Callable[[], Sequence[Prompt]]) -> Prompted:
    """What prompts say of the costs of a plan; `load` reads them, where they are needed."""
    return Prompted(brought(site, load), dict(_open(site, plan, data, load)))


def _open(site: Site, plan: Plan, data: DataResult, load: Callable[[], Sequence[Prompt]]) -> Iterator[tuple[str, Open]]:
    """The steps of the plan some answers of which are kept, with the rest. Checkpoints answer in steps of their own."""
    steps = (step for step in plan.steps if step.name not in {DATA, TUNING, REPORT, *SUITES.values()})
    for step in steps:
        if step.digest and CHECKPOINTS not in step.keys and (wanted := answering.begun(site, step, load)):
            uncounted = data.size.prompt_tokens is None
            tokens = None if uncounted else sum(costs.most_tokens(one.prompt) for one in wanted.missing())
            yield step.name, Open(questions=len(wanted) - wanted.known, tokens=tokens, kept=wanted.known)


def costs_of(site: Site, plan: Plan, data: DataResult, estimate: Estimate, of: Prompted = NOTHING) -> Costs:
    """What is still to be paid for, part by part: `plan` says what is cached, `of` what prompts say, see `prompted`."""
    request = site.target.request
    known = Known(
        endpoint=site.target.endpoint,
        request=request,
        size=data.size,
        estimate=estimate,
        deploys=_deploys(site),
        stands=_stood(site),
        further={answers_step(one.label): _asked(site, one) for one in site.further},
        judges=(*_judges(site, data), *of.judges),
        open=dict(of.open),
        checkpoints=_checkpoints(site, plan),
        prompts=data.sides.get("prompt", 0),
        accepted=_judges_accepted(site, plan),
    )
    if site.options.evaluation:  # tunes nothing
        steps = tuple(step for step in plan.steps if step.name != TUNING)
        return forecast_of(site.spec, msgspec.structs.replace(plan, steps=steps), known, site.tables)
    return forecast_of(site.spec, _submitted(site, plan), known, site.tables)


def _judges_accepted(site: Site, plan: Plan) -> bool:
    """Whether a gate wants an accepted run's answers, and there is such a run."""
    wanted = any(need.accepted for need in gates_need(site.spec, site.registry))
    return wanted and bool(accepted.standing(site.store, site.spec.name, plan.run).run)


def _judges(site: Site, data: DataResult) -> Iterator[Judging]:
    """The spec's own graders that ask a model: they see every prompt."""
    spec, registry, size = site.spec, site.registry, data.size
    for item in spec.eval.graders if spec.eval else ():
        if not any(items.references(item, registry.get(item.kind, item.name))):
            continue
        judge = items.build(item, registry, spec.folder, secrets=False)
        if isinstance(judge, Judge):
            prompts = data.sides.get("prompt", 0)
            yield judging(judge.asks, prompts, size.prompt_tokens, size.row_tokens, _blank(judge, _at(site, judge)))


def brought(site: Site, load: Callable[[], Sequence[Prompt]]) -> tuple[Judging, ...]:
    """Judges that prompts bring along (`eval.asserts`), together by model, place and length of their replies."""
    if not (site.spec.eval and site.spec.eval.asserts):
        return ()
    found: dict[tuple[str, str, int], Judging] = {}
    places: dict[bytes, str] = {}
    labelled: set[int] = set()
    for prompt, judge in cases.judges(load(), site.spec, site.registry):
        provider = msgspec.json.encode(judge.provider, order="sorted")
        if provider not in places:
            places[provider] = _at(site, judge)
        blank = _blank(judge, places[provider], known=id(judge) in labelled)
        labelled.add(id(judge))
        asked = judging(judge.asks, 1, costs.most_tokens(prompt), costs.row_tokens(prompt), blank)
        key = (asked.endpoint, asked.model, asked.most)
        found[key] = found[key] + asked if key in found else asked
    return tuple(found.values())


def _at(site: Site, judge: Judge) -> str:
    """The endpoint at which a judge answers."""
    provider: Provider = items.build(items.referred(judge.provider), site.registry, site.spec.folder)
    return provider.endpoint


def _blank(judge: Judge, endpoint: str, *, known: bool = False) -> Judging:
    """A judge that is asked about nothing but the answers that people have judged (`known`: these are counted)."""
    labels = () if known else judge.labelled
    asked = [one for label in labels for one in judge.questions(label.prompt, label.answer, None)]
    return Judging(
        endpoint=endpoint,
        model=judge.model,
        most=judge.generation.max_tokens,
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
    begun = not site.options.evaluation and step_of(_submitted(site, plan), TUNING).cached
    spent = purse_of(site, plan.run).spent().total
    return list(objections(site.spec.budget, forecast, spent, begun=begun))


@contextmanager
def charged(site: Site, plan: Plan, forecast: Costs) -> Iterator[None]:
    """Count the job as paid for, before it can be made, and no more once it is certain that it was not."""
    purse, key = purse_of(site, plan.run), step_of(plan, TUNING).digest
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
