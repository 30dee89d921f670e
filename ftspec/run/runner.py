"""Walk the plan: data, tuning, evaluation, report; whatever is known already is not done again.

    survey ─ plan ─ [veto] ─ started ─ data ─ tuning ─ base answers ─ tuned answers ─ gates ─ report ─ finished

Each step first asks the store for its digest. Each result is in the store before the decision that speaks of it is in
the journal, and each decision is there before the next one is made: a run that is killed at any instant is continued
by running the same spec again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec.common.errors import FtspecError, SpecError
from ftspec.common.evaluation import Evaluation, Verdict
from ftspec.common.figures import plural
from ftspec.common.jobs import TunedModel
from ftspec.common.progress import Progress
from ftspec.common.records import DATA, REPORT, TUNING, Event, Plan, Record, RunInfo
from ftspec.costs.costs import Costs
from ftspec.files import memory
from ftspec.plans.plan import explain, step_of
from ftspec.registry import Registry
from ftspec.run import answering, budgeting, datastep, rehearsal
from ftspec.run.datastep import Dataset
from ftspec.run.diary import Diary
from ftspec.run.planning import is_cached, judged_anew, objections, prompted
from ftspec.run.site import Options, Site, follow_of, plan_of, record_attempt, survey, tuned_already
from ftspec.run.weighing import weighed
from ftspec.state import history
from ftspec.state.journal import Journal
from ftspec.validation.validate import Loaded

if TYPE_CHECKING:
    from ftspec.run.reporting import Judged


class Outcome(Record):
    """What a run came to. `already_done` says that this call found everything done.

    There is no report where the run was asked to stop before (`Options.until`).
    """

    run: RunInfo
    evaluation: Evaluation | None
    verdicts: tuple[Verdict, ...]
    report: Path | None
    already_done: bool = False

    @property
    def passed(self) -> bool:
        """Whether no gate said no."""
        return self.run.state != "gate_failed"


def run(loaded: Loaded, registry: Registry, options: Options, progress: Progress) -> Outcome:
    """Do what is not done yet.

    Raises SpecError (a plugin's veto), DataError, ProviderError, StillRunning; a gate that says no is in the Outcome.
    """
    site = survey(loaded, registry, options, progress)
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
    if errors := [problem for problem in objections(registry, planned) if problem.severity == "error"]:
        raise SpecError(errors, loaded.document)
    rehearsal.rehearse(site, from_data=dataset is None)
    if "tuning" in options.again:
        record_attempt(site)
    walk = _Walk(site, loaded, planned)
    if options.evaluation:
        memory.spare()
    begun = {"plan": msgspec.to_builtins(planned), **_source(loaded)}
    with site.workspace.alive(planned.run), walk.diary.observed(**begun):
        return walk.run()


def _done(site: Site, planned: Plan) -> Outcome | None:
    """The outcome, where an earlier run came to its end and its report is still there."""
    events = Journal(site.store, planned.run).events()
    if site.options.again or not events:
        return None
    run = history.info(planned.run, events)
    if run.state not in {"done", "gate_failed"} or not run.report:
        return None
    path = site.workspace.report(planned.run) / "report.html"
    if not path.exists():
        return None
    before = history.plan_of(planned.run, events)
    if [step.name for step in before.steps] != [step.name for step in planned.steps]:
        return None  # an evaluation alone, and by now there is a tuned model
    told, wanted = step_of(before, REPORT).digest, step_of(planned, REPORT).digest
    if told and wanted and told != wanted:
        return None  # other prices
    evaluation, verdicts = _judgement(events)
    if evaluation and _unanswered(evaluation):
        return None
    if judged_anew(site, planned):
        return None
    if run.state == "done" and verdicts and evaluation and evaluation.tuned.prompts and site.options.accept:
        _accepted_at_last(site, planned)
    return Outcome(run=run, evaluation=evaluation, verdicts=verdicts, report=path, already_done=True)


def _accepted_at_last(site: Site, planned: Plan) -> None:
    """Accept a run that was made with `--no-accept`, and is wanted again without: what it tried is merged, say."""
    from ftspec.state import accepted

    if not accepted.is_accepted(site.store, site.spec.name, planned.run):
        accepted.accept(site.store, site.spec.name, planned.run)


def _unanswered(found: Evaluation) -> bool:
    """Whether a question could not be asked, or its answer not be judged: running again asks those, and only those."""
    asked = [score for label, score in found.scores.items() if label != answering.ACCEPTED]
    judged = (use for score in asked for use in score.judges)  # also by those that do not decide
    silent = any(use.failed or use.unclear or use.unlabelled for use in judged)
    return silent or any(score.errors for score in asked) or any(map(_unanswered, found.suites.values()))


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
        self.diary = Diary(site, planned.run)
        self.purse = budgeting.purse_of(site, planned.run)

    def run(self) -> Outcome:
        for subject in (answering.base_of(self.site), *self.site.further):
            answering.deployer(self.site, self.purse, subject).sweep()
        dataset = self._data()
        if self.site.options.until == DATA:
            return self._stopped()
        if self.site.spec.eval and self.site.spec.eval.asserts:
            rehearsal.rehearse_prompts(self.site, datastep.prompts_of(self.site, dataset))
        if self.site.options.evaluation:
            self._affordable(dataset)
            self.diary.decide("planned", plan=msgspec.to_builtins(self.plan))
            model = tuned_already(self.site, self.plan)
        else:
            model = self._tune(dataset)
        if self.site.options.until == TUNING:
            return self._stopped()
        return self._judged(dataset, model)

    def _judged(self, dataset: Dataset, model: TunedModel | None) -> Outcome:
        """The evaluation, its verdicts and the report. What only they need is imported here: a run may stop before."""
        from ftspec.grading import gates
        from ftspec.state import accepted

        memory.spare()
        judged = self._judge(dataset, model)
        memory.give_back()
        path = self._report(dataset, model, judged)
        state = "done" if gates.passed(judged.verdicts) else "gate_failed"
        if state == "done" and judged.verdicts and model and self.site.options.accept:
            accepted.accept(self.site.store, self.site.spec.name, self.plan.run)
        self.diary.decide("finished", state=state, report=str(path))
        return Outcome(run=self.diary.info(), evaluation=judged.evaluation, verdicts=judged.verdicts, report=path)

    def _stopped(self) -> Outcome:
        self.diary.decide("stopped")
        return Outcome(run=self.diary.info(), evaluation=None, verdicts=(), report=None)

    def _data(self) -> Dataset:
        step = step_of(self.plan, DATA)
        dataset = datastep.cached(self.site, step)
        with self.diary.timed(DATA):
            dataset = weighed(self.site, dataset or datastep.make(self.site, step))
        self.plan = plan_of(self.site, dataset.made)
        made = {"digest": step.digest, "rows": dataset.result.size.rows, "sides": dataset.result.sides}
        self.diary.decide("data_made", **made, plan=msgspec.to_builtins(self.plan))
        if warnings := dataset.result.findings_total:
            what = plural(warnings, "warning")
            self.site.progress.note(f"{what} about the data: see `ftspec data show {self.loaded.spec.file.name}`")
        return dataset

    def _tune(self, dataset: Dataset) -> TunedModel:
        from ftspec.tuning import tuning

        site, step = self.site, step_of(self.plan, TUNING)
        costs = self._affordable(dataset)
        self.diary.decide("tuning", key=step.digest, plan=msgspec.to_builtins(self.plan))
        with self.diary.timed(TUNING), budgeting.charged(site, self.plan, costs):
            model = tuning.tune(
                site.provider,
                site.target.request,
                datastep.files(site, dataset),
                store=site.store,
                journal=self.diary.journal,
                key=step.digest,
                progress=site.progress,
                resubmit=site.options.resubmit,
                adopt=site.options.adopt,
                follow=follow_of(site),
            )
        self.diary.decide("tuned", key=step.digest, model=msgspec.to_builtins(model))
        return model

    def _affordable(self, dataset: Dataset) -> Costs:
        """What is to be paid for from here on. Raises SpecError where the budget does not allow it."""
        site = self.site
        found = explain(self.plan, lambda step: is_cached(site, step), None)
        estimate = site.provider.estimate(site.target.request, dataset.result.size)
        costs = budgeting.costs_of(site, found, dataset.result, estimate, prompted(site, dataset))
        if refused := budgeting.refusals(site, found, costs):
            raise SpecError(refused, self.loaded.document)
        if site.spec.budget and costs.unverified:
            names = ", ".join(part.name for part in costs.unverified)
            site.progress.note(f"the budget rests on unverified prices: {names}")
        return costs

    def _judge(self, dataset: Dataset, model: TunedModel | None) -> Judged:
        from ftspec.run.evaluating import Evaluator
        from ftspec.run.reporting import Judged

        if not self.site.spec.eval:
            return Judged()
        evaluator = Evaluator(self.site, self.plan, self.purse, self.diary)
        return evaluator.judge(datastep.prompts_of(self.site, dataset), model)

    def _report(self, dataset: Dataset, model: TunedModel | None, judged: Judged) -> Path:
        from ftspec.run import reporting

        self.site.progress.phase("writing the report")
        data = reporting.collect(self.site, self.loaded, self.plan, self.diary.info(), dataset, model, judged)
        return reporting.write(
            self.site, self.plan, msgspec.structs.replace(data, timings=self.diary.timings, spending=self.purse.spent())
        )


def _source(loaded: Loaded) -> dict[str, Any]:
    """The spec as it was run, so that the run can be opened when the file has changed. Secrets are references there."""
    document = loaded.document
    return {
        "file": str(document.file.absolute()),
        "text": "\n".join(document.lines),
        "sets": list(document.sets.values()),
    }
