"""What a run would do: the steps, what is cached, rows and tokens, what it costs, and what plugins say about it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ftspec.common.errors import FtspecError, PluginError, Problem
from ftspec.common.jobs import Estimate
from ftspec.common.progress import Progress
from ftspec.common.records import DATA, REPORT, TUNING, Plan, Record, Step
from ftspec.costs.costs import Costs
from ftspec.costs.spending import Spent
from ftspec.data.prompts import load_prompts
from ftspec.plans.dataresult import DataResult
from ftspec.plans.plan import UNFINISHED, explain, run_name, step_of
from ftspec.plans.stepkeys import gates_need
from ftspec.registry import Registry
from ftspec.run import answering, budgeting, datastep
from ftspec.run.budgeting import Prompted
from ftspec.run.datastep import Dataset
from ftspec.run.site import Options, Site, plan_of, survey
from ftspec.run.weighing import weighed
from ftspec.state import accepted, history
from ftspec.state.journal import Journal
from ftspec.tuning import following
from ftspec.validation.validate import Loaded

ACCEPTED_SINCE = "a person has accepted this run: its gates are asked again"


class Planned(Record):
    """What `ftspec plan` shows. `data` is None when it was neither cached nor measured."""

    plan: Plan
    data: DataResult | None
    estimate: Estimate | None
    costs: Costs | None = None
    spent: Spent | None = None
    problems: tuple[Problem, ...] = ()


def plan(loaded: Loaded, registry: Registry, options: Options, progress: Progress) -> Planned:
    """Say what a run would do; changes nothing.

    Raises DataError when the data (measured in a scratch folder of the system's) cannot be used.
    """
    site = survey(loaded, registry, options, progress)
    dataset, of_prompts = _known_or_measured(site)
    made = dataset.made if dataset else None
    previous = history.previous_plan(site.store, run_name(site.spec, site.target))
    found = plan_of(site, made)
    reasons = {REPORT: ACCEPTED_SINCE} if judged_anew(site, found) else {}
    dead = _dead(site, step_of(found, TUNING))
    if dead:
        reasons[TUNING] = dead.message
    found = explain(found, lambda step: is_cached(site, step) and step.name not in reasons, previous)
    found = _because(found, reasons)
    estimate = site.provider.estimate(site.target.request, dataset.result.size) if dataset else None
    found = msgspec.structs.replace(found, watermark=estimate.watermark if estimate else "")
    costs = budgeting.costs_of(site, found, dataset.result, estimate, of_prompts) if dataset and estimate else None
    refused = budgeting.refusals(site, found, costs) if costs else []
    return Planned(
        plan=found,
        data=dataset.result if dataset else None,
        estimate=estimate,
        costs=costs,
        spent=budgeting.purse_of(site, found.run).spent(),
        problems=(*loaded.warnings, *refused, *((dead,) if dead else ()), *objections(registry, found)),
    )


def _known_or_measured(site: Site) -> tuple[Dataset | None, Prompted]:
    """What the data step has made, or would make, and what its prompts say of the costs."""
    dataset = datastep.cached(site, step_of(plan_of(site), DATA))
    if dataset is not None:
        return weighed(site, dataset), prompted(site, dataset)
    if not site.options.measure:
        return None, Prompted()
    with datastep.measured(site) as (measured, folder):
        plan = plan_of(site, measured.made)
        return weighed(site, measured), budgeting.prompted(site, plan, measured.result, lambda: load_prompts(folder))


def prompted(site: Site, dataset: Dataset) -> Prompted:
    """What the evaluation's prompts say of the costs: judges that they bring along, and which of them are answered."""
    plan = plan_of(site, dataset.made)
    return budgeting.prompted(site, plan, dataset.result, lambda: datastep.prompts_of(site, dataset))


def judged_anew(site: Site, plan: Plan) -> bool:
    """Whether gates are asked again though nothing has changed: a person has accepted the run since they spoke."""
    if not any(need.accepted for need in gates_need(site.spec, site.registry)):
        return False
    return accepted.since(site.store, site.spec.name, plan.run, Journal(site.store, plan.run).events())


def _dead(site: Site, step: Step) -> Problem | None:
    """What a run would say of a job that has ended without a model: it makes no other one by itself."""
    result = following.ended(site.store, step.digest) if step.digest else None
    if result is None or following.chosen(result, site.spec.follow.checkpoint) is not None:
        return None
    from ftspec.tuning import tuning

    said = tuning.failure(result)
    return Problem(message=said.message, hint=said.hint, path=("provider",))


def _because(plan: Plan, reasons: Mapping[str, str]) -> Plan:
    """The plan with reasons of steps that are to do though nothing has changed."""
    steps = (
        msgspec.structs.replace(step, why=(reasons[step.name],))
        if step.name in reasons and step.why == (UNFINISHED,)
        else step
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=tuple(steps))


def is_cached(site: Site, step: Step) -> bool:
    """Whether the store has what the step makes."""
    if step.name == DATA:
        return datastep.cached(site, step) is not None
    if step.name == TUNING:
        return following.ended(site.store, step.digest) is not None
    if step.name == REPORT:
        from ftspec.run import reporting

        return reporting.cached(site, step)
    return answering.cached(site, step)


def objections(registry: Registry, plan: Plan) -> list[Problem]:
    """What plugins say about the plan. Raises PluginError for one that cannot judge it: it might have said no."""
    found: list[Problem] = []
    for plugin, call in registry.callers("ftspec_plan_ready", plan=plan):
        try:
            found += msgspec.convert(msgspec.to_builtins(list(call() or ())), list[Problem])
        except FtspecError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {plugin}: ftspec_plan_ready failed: {type(error).__name__}: {error}",
                f"report it to its authors, or leave it out with FTSPEC_DISABLE_PLUGINS={_entry(plugin)}",
            ) from error
    return found


def _entry(origin: str) -> str:
    """The entry's name in `distribution[entry]`."""
    return origin.rpartition("[")[2].removesuffix("]")
