"""Walk the plan: data, tuning, evaluation, report; whatever is known already is not done again.

    survey ─ plan ─ [veto] ─ started ─ data ─ tuning ─ base answers ─ tuned answers ─ gates ─ report ─ finished

Each step first asks the store for its digest. Each result is in the store before the decision that speaks of it is in
the journal, and each decision is there before the next one is made: a run that is killed at any instant is continued
by running the same spec again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ftspec import (
    accepted,
    answering,
    answersheet,
    budgeting,
    cases,
    datastep,
    following,
    gates,
    history,
    memory,
    rehearsal,
    report,
    reporting,
    tuning,
)
from ftspec.answering import Asking
from ftspec.costs import Costs
from ftspec.datastep import Dataset
from ftspec.errors import FtspecError, PluginError, Problem, SpecError, StillRunning
from ftspec.figures import plural
from ftspec.forecast import Judging
from ftspec.grade import Answered
from ftspec.jobs import Estimate, TunedModel
from ftspec.journal import Journal
from ftspec.observers import notify
from ftspec.pipeline import DataResult, load_prompts
from ftspec.plan import (
    BASE,
    CHECKPOINTS,
    DATA,
    REPORT,
    SUITES,
    TUNED,
    TUNING,
    answers_step,
    explain,
    gates_need,
    run_name,
    step_of,
)
from ftspec.progress import Progress
from ftspec.records import Evaluation, Event, Plan, Record, RunInfo, Step, Verdict
from ftspec.references import mask
from ftspec.registry import Registry
from ftspec.reporting import Judged
from ftspec.scoring import brief, evaluate, tallies
from ftspec.site import Options, Site, follow_of, plan_of, record_attempt, survey, tuned_already
from ftspec.spending import Spent
from ftspec.statistics import rate
from ftspec.subjects import Subject
from ftspec.validate import Loaded
from ftspec.weighing import weighed


class Planned(Record):
    """What `ftspec plan` shows. `data` is None when it was neither cached nor measured."""

    plan: Plan
    data: DataResult | None
    estimate: Estimate | None
    costs: Costs | None = None
    spent: Spent | None = None
    problems: tuple[Problem, ...] = ()


class Outcome(Record):
    """What a run came to. `already_done` says that this call found everything done."""

    run: RunInfo
    evaluation: Evaluation | None
    verdicts: tuple[Verdict, ...]
    report: Path
    already_done: bool = False

    @property
    def passed(self) -> bool:
        """Whether no gate said no."""
        return self.run.state == "done"


# ---- plan


def plan(loaded: Loaded, registry: Registry, options: Options, progress: Progress) -> Planned:
    """Say what a run would do; changes nothing.

    Raises DataError when the data (measured in a scratch folder of the system's) cannot be used.
    """
    site = survey(loaded.spec, registry, options, progress)
    dataset, judges = _known_or_measured(site)
    found = explain(plan_of(site, dataset.made if dataset else None), lambda step: _cached(site, step), _previous(site))
    estimate = site.provider.estimate(site.target.request, dataset.result.size) if dataset else None
    found = msgspec.structs.replace(found, watermark=estimate.watermark if estimate else "")
    costs = budgeting.costs_of(site, found, dataset.result, estimate, judges) if dataset and estimate else None
    refused = budgeting.refusals(site, found, costs) if costs else []
    return Planned(
        plan=found,
        data=dataset.result if dataset else None,
        estimate=estimate,
        costs=costs,
        spent=budgeting.purse_of(site, found.run).spent(),
        problems=(*loaded.warnings, *refused, *_objections(registry, found)),
    )


def _known_or_measured(site: Site) -> tuple[Dataset | None, tuple[Judging, ...]]:
    """What the data step has made, or would make, and the judges that its prompts bring along."""
    dataset = datastep.cached(site, step_of(plan_of(site), DATA))
    if dataset is not None:
        return weighed(site, dataset), _brought(site, dataset)
    if not site.options.measure:
        return None, ()
    with datastep.measured(site) as (measured, folder):
        return weighed(site, measured), budgeting.brought(site, lambda: load_prompts(folder))


def _brought(site: Site, dataset: Dataset) -> tuple[Judging, ...]:
    return budgeting.brought(site, lambda: datastep.prompts_of(site, dataset))


def _cached(site: Site, step: Step) -> bool:
    if step.name == DATA:
        return datastep.cached(site, step) is not None
    if step.name == TUNING:
        return following.ended(site.store, step.digest) is not None
    if step.name == REPORT:
        return reporting.cached(site, step)
    return answering.cached(site, step)


def _previous(site: Site) -> Plan | None:
    return history.previous_plan(site.store, run_name(site.spec, site.target))


def _objections(registry: Registry, plan: Plan) -> list[Problem]:
    """What plugins say about the plan. Raises PluginError for one that cannot judge it: it might have said no."""
    found: list[Problem] = []
    for implementation in registry.manager.hook.ftspec_plan_ready.get_hookimpls():
        given = {"plan": plan} if implementation.argnames else {}
        try:
            said: Any = implementation.function(**given)
            found += msgspec.convert(list(said or ()), list[Problem])
        except FtspecError:
            raise
        except Exception as error:
            name = implementation.plugin_name
            raise PluginError(
                f"plugin {name}: ftspec_plan_ready failed: {type(error).__name__}: {error}",
                f"report it to its authors, or leave it out with FTSPEC_DISABLE_PLUGINS={_entry(name)}",
            ) from error
    return found


def _entry(origin: str) -> str:
    """The entry's name in `distribution[entry]`."""
    return origin.rpartition("[")[2].removesuffix("]")


# ---- run


def run(loaded: Loaded, registry: Registry, options: Options, progress: Progress) -> Outcome:
    """Do what is not done yet.

    Raises SpecError (a plugin's veto), DataError, ProviderError, StillRunning; a gate that says no is in the Outcome.
    """
    site = survey(loaded.spec, registry, options, progress)
    dataset = datastep.cached(site, step_of(plan_of(site), DATA))
    if dataset and (note := datastep.secrets_note(site.spec)):
        progress.note(note)
    planned = plan_of(site, dataset.made if dataset else None)
    if done := _done(site, planned):
        return done
    if options.resume and not Journal(site.store, planned.run).events():
        raise FtspecError(
            "there is no run to resume: none was begun with this spec and these inputs as they are now",
            "see `ftspec plan` for what has changed, or run without --resume",
        )
    if errors := [problem for problem in _objections(registry, planned) if problem.severity == "error"]:
        raise SpecError(errors, loaded.document)
    rehearsal.rehearse(site, loaded.document, from_data=dataset is None)
    if "tuning" in options.again:
        record_attempt(site)
    walk = _Walk(site, loaded, planned)
    if options.evaluation:
        memory.spare()
    with site.workspace.alive(planned.run), walk.observed():
        return walk.run()


def _done(site: Site, planned: Plan) -> Outcome | None:
    """The outcome, where an earlier run came to its end and its report is still there."""
    events = Journal(site.store, planned.run).events()
    if site.options.again or not events:
        return None
    run = history.info(planned.run, events)
    path = Path(run.report) if run.report else None
    if run.state not in {"done", "gate_failed"} or path is None or not path.exists():
        return None
    if [step.name for step in history.plan_of(events).steps] != [step.name for step in planned.steps]:
        return None  # an evaluation alone, and by now there is a tuned model
    evaluation, verdicts = _judgement(events)
    return Outcome(run=run, evaluation=evaluation, verdicts=verdicts, report=path, already_done=True)


def _judgement(events: list[Event]) -> tuple[Evaluation | None, tuple[Verdict, ...]]:
    data = history.last(events, "judged") or {}
    return (
        msgspec.convert(data.get("evaluation"), Evaluation | None),
        msgspec.convert(data.get("verdicts", []), tuple[Verdict, ...]),
    )


class _Walk:
    """One process's walk through one run."""

    def __init__(self, site: Site, loaded: Loaded, planned: Plan) -> None:
        self.site, self.loaded, self.plan = site, loaded, planned
        self.journal = Journal(site.store, planned.run, self._tell)
        self.timings: dict[str, float] = {}
        self.purse = budgeting.purse_of(site, planned.run)

    def run(self) -> Outcome:
        for subject in (answering.base_of(self.site), *self.site.further):
            answering.deployer(self.site, self.purse, subject).sweep()
        dataset = self._data()
        if self.site.spec.eval and self.site.spec.eval.asserts:
            rehearsal.rehearse_prompts(self.site, datastep.prompts_of(self.site, dataset))
        self.plan = plan_of(self.site, dataset.made)
        if self.site.options.evaluation:
            self._affordable(dataset)
            self._decide("planned", plan=msgspec.to_builtins(self.plan))
            model = tuned_already(self.site, self.plan)
        else:
            model = self._tune(dataset)
        memory.spare()
        judged = self._judge(dataset, model) if self.site.spec.eval else Judged()
        memory.give_back()
        path = self._report(dataset, model, judged)
        state = "done" if gates.passed(judged.verdicts) else "gate_failed"
        if state == "done" and judged.verdicts:
            accepted.accept(self.site.store, self.site.spec.name, self.plan.run)
        self._decide("finished", state=state, report=str(path))
        return Outcome(run=self._info(), evaluation=judged.evaluation, verdicts=judged.verdicts, report=path)

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Journal the beginning and a bad end, and tell observers of both, whatever happens in between."""
        self._decide("started", plan=msgspec.to_builtins(self.plan), **_source(self.loaded))
        self._notify("ftspec_run_started", run=self._info())
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            self._ended_by(raised)
            raise
        finally:
            self._notify("ftspec_run_finished", run=self._info(), error=error)

    def _ended_by(self, error: BaseException) -> None:
        if isinstance(error, StillRunning):
            self._decide("detached")
        elif isinstance(error, FtspecError):
            self._decide("failed", error=mask(error.message), hint=mask(error.hint))

    def _data(self) -> Dataset:
        step = step_of(self.plan, DATA)
        dataset = datastep.cached(self.site, step)
        with self._timed(DATA):
            dataset = weighed(self.site, dataset or datastep.make(self.site, step))
        self._decide("data_made", digest=step.digest, rows=dataset.result.size.rows, sides=dataset.result.sides)
        if warnings := dataset.result.findings_total:
            what = plural(warnings, "warning")
            self.site.progress.note(f"{what} about the data: see `ftspec data show {self.loaded.spec.file.name}`")
        return dataset

    def _tune(self, dataset: Dataset) -> TunedModel:
        site, step = self.site, step_of(self.plan, TUNING)
        costs = self._affordable(dataset)
        self._decide("tuning", key=step.digest, plan=msgspec.to_builtins(self.plan))
        with self._timed(TUNING), budgeting.charged(site, self.plan, costs):
            model = tuning.tune(
                site.provider,
                site.target.request,
                datastep.files(site, dataset),
                store=site.store,
                journal=self.journal,
                key=step.digest,
                progress=site.progress,
                resubmit=site.options.resubmit,
                adopt=site.options.adopt,
                follow=follow_of(site),
            )
        self._decide("tuned", key=step.digest, model=msgspec.to_builtins(model))
        return model

    def _affordable(self, dataset: Dataset) -> Costs:
        """What is to be paid for from here on. Raises SpecError where the budget does not allow it."""
        site = self.site
        found = explain(self.plan, lambda step: _cached(site, step), None)
        estimate = site.provider.estimate(site.target.request, dataset.result.size)
        costs = budgeting.costs_of(site, found, dataset.result, estimate, _brought(site, dataset))
        if refused := budgeting.refusals(site, found, costs):
            raise SpecError(refused, self.loaded.document)
        if site.spec.budget and costs.unverified:
            names = ", ".join(part.name for part in costs.unverified)
            site.progress.note(f"the budget rests on unverified prices: {names}")
        return costs

    def _judge(self, dataset: Dataset, model: TunedModel | None) -> Judged:
        spec, prompts = self.site.spec, datastep.prompts_of(self.site, dataset)
        evaluation, answered = self._evaluate(answering.asking(self.site, prompts), model)
        wanted = [gate for gate in spec.gates if model or not gates.asks_tuned(gate)]
        verdicts = tuple(gates.judge(wanted, self.site.registry, evaluation, spec.folder))
        self._decide("judged", evaluation=msgspec.to_builtins(evaluation), verdicts=msgspec.to_builtins(verdicts))
        return Judged(evaluation, verdicts, report.cases(prompts, answered), budgeting.serving(self.site, answered))

    def _evaluate(self, asking: Asking, model: TunedModel | None) -> tuple[Evaluation, dict[str, Answered]]:
        """Ask what the spec asks, and what its gates need beside it."""
        answered = self._ask(asking, model)
        needs = list(gates_need(self.site.spec, self.site.registry)) if model else []
        run = self._earlier(asking, answered) if any(need.accepted for need in needs) else ""
        suites = {}
        for name in dict.fromkeys(need.suite for need in needs if need.suite):
            suite = answering.suite(name)
            suites[name] = evaluate(suite.prompts, self._suite(suite, model))
        evaluation = evaluate(asking.prompts, answered)
        return msgspec.structs.replace(evaluation, suites=suites, accepted=run), answered

    def _earlier(self, asking: Asking, answered: dict[str, Answered]) -> str:
        """Add the last accepted run's answers, and say which run it is; "" where there is none."""
        run = accepted.latest(self.site.store, self.site.spec.name, besides=self.plan.run)
        found = answering.earlier(self.site, run, asking, answered["base"], self.purse) if run else None
        if found is None:
            return ""
        answered[answering.ACCEPTED] = found
        return run

    def _suite(self, asking: Asking, model: TunedModel | None) -> dict[str, Answered]:
        answered: dict[str, Answered] = {}
        models = {"base": answering.base_of(self.site)} | (
            {"tuned": answering.tuned_of(self.site, model)} if model else {}
        )
        for (label, subject), name in zip(models.items(), SUITES.values(), strict=False):
            with self._timed(name):
                answered[label] = answering.answers(self.site, step_of(self.plan, name), subject, asking, self.purse)
        return answered

    def _ask(self, asking: Asking, model: TunedModel | None) -> dict[str, Answered]:
        """Every model's answers, by its label."""
        with self._timed(BASE):
            base = self._answers(answering.base_of(self.site), asking)
        answered = {"base": base}
        if model:
            with self._timed(TUNED):
                answered["tuned"] = self._answers(answering.tuned_of(self.site, model), asking, base)
        for subject in self.site.further:
            name = answers_step(subject.label)
            if subject.model:
                with self._timed(name):
                    answered[subject.label] = self._answers(subject, asking, base)
            elif model:
                with self._timed(name):
                    answered |= self._checkpoints(subject, asking, base)
        self.site.progress.phase("grading")
        self._decide("answered", **{label: len(given.answers) for label, given in answered.items()})
        answersheet.write(self.site.workspace.report_folder(self.plan.run), asking.prompts, answered)
        return answered

    def _checkpoints(self, subject: Subject, asking: Asking, base: Answered) -> dict[str, Answered]:
        """Every checkpoint of the job, or the one that passes most often: the later one of two that are as good.

        What it is chosen by is not reported of it, where some prompts are tagged for that."""
        step = step_of(self.plan, answers_step(subject.label))
        kept = answering.checkpoints_of(self.site, self.plan)
        found = {
            one.step: answering.answers(self.site, part, named, asking, self.purse, base)
            for one, part, named in answering.of_checkpoints(subject, step, kept)
        }
        if not found:
            self.site.progress.note(f"the job has kept no checkpoints: there is no '{subject.label}' to ask")
            return {}
        answering.mark_asked(self.site, step, found.values())
        if subject.keys[CHECKPOINTS] == "all":
            return {answered.model: answered for answered in found.values()}
        choosing = cases.for_choosing(asking.prompts)
        shown = [brief(prompt) for prompt in choosing]
        passing = {at: rate([tally.share for tally in tallies(shown, answered)]) for at, answered in found.items()}
        best = max(passing, key=lambda at: (passing[at], at))
        self._decide("checkpoints_compared", best=best, accuracy={str(at): share for at, share in passing.items()})
        said = f"the best of {len(found)} checkpoints is that of step {best}: {passing[best]:.1%} pass"
        answered = msgspec.structs.replace(found[best], model=subject.label)
        if len(choosing) == len(asking.prompts):
            said += (
                "; chosen by these prompts, it looks better on them than on others. To choose by some and report on "
            )
            said += "the others, name a column in `eval.tags: [COLUMN]`, and write `validation` into it for these"
        else:
            said += f", of the {len(choosing):,} prompts with the tag `validation`; it is reported on the others"
            answered = answered.besides({prompt.id for prompt in choosing})
        self.site.progress.note(said)
        return {subject.label: answered}

    def _answers(self, subject: Subject, asking: Asking, base: Answered | None = None) -> Answered:
        step = step_of(self.plan, answers_step(subject.label))
        return answering.answers(self.site, step, subject, asking, self.purse, base)

    def _report(self, dataset: Dataset, model: TunedModel | None, judged: Judged) -> Path:
        self.site.progress.phase("writing the report")
        data = reporting.collect(self.site, self.loaded, self.plan, self._info(), dataset, model, judged)
        return reporting.write(
            self.site, self.plan, msgspec.structs.replace(data, timings=self.timings, spending=self.purse.spent())
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.timings[name] = time.monotonic() - started

    def _decide(self, kind: str, **data: Any) -> None:
        self.journal.append(kind, **data)

    def _tell(self, event: Event) -> None:
        self._notify("ftspec_event", run=self._info(), event=event)

    def _notify(self, hook: str, **facts: Any) -> None:
        notify(self.site.registry, self.site.progress, hook, **facts)

    def _info(self) -> RunInfo:
        return history.info(self.plan.run, self.journal.events())


def _source(loaded: Loaded) -> dict[str, Any]:
    """The spec as it was run, so that the run can be opened when the file has changed. Secrets are references there."""
    document = loaded.document
    return {
        "file": str(document.file.absolute()),
        "text": "\n".join(document.lines),
        "sets": list(document.sets.values()),
    }
