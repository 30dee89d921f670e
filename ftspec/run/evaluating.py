"""The evaluation of one run: who is asked, in which order, and what the gates say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ftspec import report
from ftspec.common.evaluation import Evaluation
from ftspec.common.figures import percent, plural
from ftspec.common.jobs import TunedModel
from ftspec.common.messages import Prompt
from ftspec.common.records import BASE, TUNED, Plan, Step
from ftspec.common.references import mask
from ftspec.costs.spending import Purse
from ftspec.data import cases
from ftspec.grading import answersheet, gates
from ftspec.grading.grade import Answered, names
from ftspec.grading.scoring import evaluate, usual_pairs
from ftspec.grading.subjects import Subject
from ftspec.grading.tally import brief, tallies
from ftspec.plans.plan import SUITES, answers_digest, answers_step, step_of
from ftspec.plans.stepkeys import CHECKPOINTS, gates_need
from ftspec.run import answering, budgeting
from ftspec.run.answering import Asking
from ftspec.run.diary import Diary
from ftspec.run.reporting import Judged
from ftspec.run.site import Site
from ftspec.state import accepted, history
from ftspec.state.journal import Journal
from ftspec.stats.statistics import rate

CHOSEN_BY_THE_SAME = (
    "; chosen by these prompts, it looks better on them than on others. To choose by some and report on the others, "
    "name a column in `eval.tags: [COLUMN]`, and write `validation` into it for these"
)
CHOSEN_BY_OTHERS = ", of {} with the tag `validation`; it is reported on the others"


class Evaluator:
    """Asks every model of one run; what was answered before is not asked again."""

    def __init__(self, site: Site, plan: Plan, purse: Purse, diary: Diary) -> None:
        self.site, self.plan, self.purse, self.diary = site, plan, purse, diary

    def judge(self, prompts: Sequence[Prompt], model: TunedModel | None) -> Judged:
        """Ask, grade, and let the gates decide; without a tuned model those that look at one are left out."""
        spec = self.site.spec
        evaluation, answered = self._evaluate(answering.asking(self.site, prompts), model)
        wanted = [gate for gate in spec.gates if model or not gates.asks_tuned(gate)]
        if left := [gate for gate in spec.gates if gate not in wanted]:
            self.site.progress.note(f"no model has been tuned: {', '.join(names(left))} not decided")
        verdicts = tuple(gates.judge(wanted, self.site.registry, evaluation, spec.folder))
        self.diary.decide("judged", evaluation=msgspec.to_builtins(evaluation), verdicts=msgspec.to_builtins(verdicts))
        return Judged(evaluation, verdicts, report.cases(prompts, answered), budgeting.serving(self.site, answered))

    def _evaluate(self, asking: Asking, model: TunedModel | None) -> tuple[Evaluation, dict[str, Answered]]:
        """Ask what the spec asks, and what its gates need beside it."""
        answered = self._ask(asking, model)
        needs = list(gates_need(self.site.spec, self.site.registry))
        of_tuned = needs if model else []
        stands = accepted.Standing()
        if any(need.accepted for need in of_tuned):
            stands = accepted.standing(self.site.store, self.site.spec.name, self.plan.run)
        if stands.run:
            self._earlier(stands.run, asking, answered)
        suites = {}
        for name in dict.fromkeys(need.suite for need in of_tuned if need.suite):
            suite = answering.suite(name)
            suites[name] = evaluate(suite.prompts, self._suite(suite, model))
        pairs = usual_pairs(list(answered), [need.compared for need in needs if need.compared])
        evaluation = evaluate(asking.prompts, answered, pairs)
        same, of = self._likeness(stands.run) if stands.run else (False, "")
        why = "hand" if stands.by_hand else "same" if same else ""
        more = {"suites": suites, "accepted": stands.run, "accepted_of": of, "unfallen": why}
        return msgspec.structs.replace(evaluation, **more), answered

    def _likeness(self, run: str) -> tuple[bool, str]:
        """Whether another run's tuned model is this one's, and asked in the same way; and what that one was tuned from
        where it is something else: a spec that was ported keeps its name, and with it what was accepted."""
        earlier = history.plan_of(run, Journal(self.site.store, run).events())
        mine, theirs = (step_of(plan, TUNED) for plan in (self.plan, earlier))
        (model, tuner), now = _model_at(theirs), _model_at(mine)
        at = f" at {tuner}" if tuner != now[1] else ""
        of = f"{model}{at}" if (model, tuner) != now else ""
        return answers_digest(mine) == answers_digest(theirs), of

    def _earlier(self, run: str, asking: Asking, answered: dict[str, Answered]) -> None:
        """Add the last accepted run's answers, where it was asked any of the prompts."""
        found = answering.earlier(self.site, run, asking, answered["base"], self.purse)
        if found is not None:
            answered[answering.ACCEPTED] = found

    def _suite(self, asking: Asking, model: TunedModel | None) -> dict[str, Answered]:
        answered: dict[str, Answered] = {}
        models = {"base": answering.base_of(self.site)}
        if model:
            models["tuned"] = answering.tuned_of(self.site, model)
        for (label, subject), name in zip(models.items(), SUITES.values(), strict=False):
            with self.diary.timed(name):
                answered[label] = answering.answers(self.site, step_of(self.plan, name), subject, asking, self.purse)
        return answered

    def _ask(self, asking: Asking, model: TunedModel | None) -> dict[str, Answered]:
        """Every model's answers, by its label."""
        with self.diary.timed(BASE):
            base = self._answers(answering.base_of(self.site), asking)
        answered = {"base": base}
        if model:
            with self.diary.timed(TUNED):
                answered["tuned"] = self._answers(answering.tuned_of(self.site, model), asking, base)
        for subject in self.site.further:
            name = answers_step(subject.label)
            if subject.model:
                with self.diary.timed(name):
                    answered[subject.label] = self._answers(subject, asking, base)
            elif model:
                with self.diary.timed(name):
                    answered |= self._checkpoints(subject, asking, answered, model)
        self.site.progress.phase("grading")
        self.diary.decide("answered", **{label: len(given.answers) for label, given in answered.items()})
        answersheet.write(self.site.workspace.report_folder(self.plan.run), asking.prompts, answered)
        return answered

    def _checkpoints(
        self, subject: Subject, asking: Asking, answered: Mapping[str, Answered], model: TunedModel
    ) -> dict[str, Answered]:
        """Every checkpoint of the job, or the best one. One that is the tuned model has answered already.

        What it is chosen by is not reported of it, where some prompts are tagged for that."""
        step = step_of(self.plan, answers_step(subject.label))
        base, tuned = answered["base"], answered["tuned"]
        kept = answering.checkpoints_of(self.site, self.plan)
        found = {
            one.step: msgspec.structs.replace(tuned, model=named.label)
            if one.model.id == model.id
            else answering.answers(self.site, part, named, asking, self.purse, base)
            for one, part, named in answering.of_checkpoints(subject, step, kept)
        }
        if not found:
            self.site.progress.note(f"the job has kept no checkpoints: there is no '{subject.label}' to ask")
            return {}
        answering.mark_asked(self.site, step, found.values())
        if subject.keys[CHECKPOINTS] == "all":
            return {one.model: one for one in found.values()}
        best = self._best(asking, found)
        shown = msgspec.structs.replace(found[best], model=subject.label)
        if len(choosing := cases.for_choosing(asking.prompts)) < len(asking.prompts):
            shown = shown.besides({prompt.id for prompt in choosing})
        return {subject.label: shown}

    def _best(self, asking: Asking, found: Mapping[int, Answered]) -> int:
        """The step of the checkpoint that passes most often: the later one of two that are as good."""
        choosing = cases.for_choosing(asking.prompts)
        masked = mask.now()
        shown = [brief(prompt, masked) for prompt in choosing]
        passing = {at: rate([tally.share for tally in tallies(shown, answered)]) for at, answered in found.items()}
        best = max(passing, key=lambda at: (passing[at], at))
        self.diary.decide("checkpoints_compared", best=best, accuracy={str(at): share for at, share in passing.items()})
        of = f"the best of {len(found)} checkpoints is that" if len(found) > 1 else "the only checkpoint is that"
        said = f"{of} of step {best}: {percent(passing[best])} pass"
        own = len(choosing) < len(asking.prompts)
        how = CHOSEN_BY_OTHERS.format(plural(len(choosing), "prompt")) if own else CHOSEN_BY_THE_SAME
        self.site.progress.note(said + (how if len(found) > 1 else ""))
        return best

    def _answers(self, subject: Subject, asking: Asking, base: Answered | None = None) -> Answered:
        step = step_of(self.plan, answers_step(subject.label))
        return answering.answers(self.site, step, subject, asking, self.purse, base)


def _model_at(step: Step) -> tuple[str, str]:
    """The base model of a step in which a tuned one answers, and the tuner's address without account and project."""
    return step.keys.get("model", ""), step.keys.get("endpoint", "").partition("?")[0]
