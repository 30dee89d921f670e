"""What a run is going to cost, part by part, before anything is paid for; and what the budget says to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ftspec import suites
from ftspec.common.errors import Problem
from ftspec.common.figures import duration, money
from ftspec.common.jobs import Estimate, Request, Size
from ftspec.common.records import BASE, DATA, REPORT, TUNED, TUNING, Plan, Record, Step
from ftspec.contracts.graders import Asks
from ftspec.costs.costs import (
    STANDS,
    Costs,
    Part,
    answers_part,
    hosting_part,
    is_free,
    judge_name,
    rate_of,
    together,
    tuning_part,
)
from ftspec.costs.tables import Tables
from ftspec.plans.plan import SUITES
from ftspec.plans.stepkeys import CHECKPOINTS
from ftspec.spec import Budget, Spec

DEPLOYMENT = "deployment"


class Judging(Record):
    """What judges of one model at one place are asked about the answers of one model, each prompt asked once.

    `questions` is how many, `answers` how many answers these show, `tokens` all the rest that they show, None where
    nobody has counted it; all at the most. `unsaid`: a judge does not say how much it asks. `most` are the tokens of a
    reply at the most; `labelled` and `labelled_tokens` are how many questions there are about answers that people have
    judged, and all their tokens at the most.
    """

    endpoint: str
    model: str
    most: int
    questions: int = 0
    answers: int = 0
    tokens: int | None = 0
    unsaid: bool = False
    labelled: int = 0
    labelled_tokens: int = 0

    def __add__(self, other: Judging) -> Judging:
        tokens = None if self.tokens is None or other.tokens is None else self.tokens + other.tokens
        return msgspec.structs.replace(
            self,
            questions=self.questions + other.questions,
            answers=self.answers + other.answers,
            tokens=tokens,
            unsaid=self.unsaid or other.unsaid,
            labelled=self.labelled + other.labelled,
            labelled_tokens=self.labelled_tokens + other.labelled_tokens,
        )


def judging(
    asks: Asks | None, prompts: int, prompt_tokens: int | None, row_tokens: int | None, blank: Judging
) -> Judging:
    """What a judge is asked about so many prompts with so many tokens together; `blank` says which judge it is."""
    if asks is None:
        return msgspec.structs.replace(blank, unsaid=True)
    tokens = None
    if prompt_tokens is not None and row_tokens is not None:
        tokens = asks.questions * (prompt_tokens + asks.rows * row_tokens + prompts * asks.tokens)
    questions = prompts * asks.questions
    return msgspec.structs.replace(blank, questions=questions, answers=questions * asks.answers, tokens=tokens)


class Open(Record):
    """What is still to be asked in a step, some answers of which are kept: questions, repeats included, the bound of
    all their tokens together (None where nobody has counted them), and how many have their answers."""

    questions: int
    tokens: int | None
    kept: int


class Known(Record):
    """What a forecast rests on beside the plan.

    `estimate` is the provider's; `deploys`: whether its tuned models have to be deployed; `stands`: seconds that an
    earlier deployment of this run stood, None where there was none. `further` maps the step of a further model to its
    endpoint, its base model, and whether it is a tuned one. `checkpoints` is how many the job has kept, None before it
    has ended. `prompts` are those of the evaluation; `open` says of a step, by its name, that not all are asked.
    `accepted`: there is an accepted run, whose answers are judged too.
    """

    endpoint: str
    request: Request
    size: Size
    estimate: Estimate
    deploys: bool = False
    stands: float | None = None
    further: dict[str, tuple[str, str, bool]] = {}
    judges: tuple[Judging, ...] = ()
    checkpoints: int | None = None
    prompts: int = 0
    open: dict[str, Open] = {}
    accepted: bool = False


def forecast(spec: Spec, plan: Plan, known: Known, tables: Tables) -> Costs:
    """The parts in the order of the run. A step that is cached costs nothing."""
    parts = []
    for step in plan.steps:
        if step.name in {DATA, REPORT}:
            continue
        if step.cached:
            parts.append(Part(name=step.name, amount=0.0, basis="done already"))
        elif step.name == TUNING:
            parts.append(tuning_part(tables, known.endpoint, known.request, known.size, known.estimate, name=step.name))
        else:
            parts += _answers(spec, step, known, tables)
    judged: dict[tuple[str, str], list[Part]] = {}  # graders of one model at one place are one part
    for one in known.judges:
        judged.setdefault((one.endpoint, one.model), []).append(_judged(spec, plan, one, known, tables))
    return Costs(parts=(*parts, *map(together, judged.values())))


UNCOUNTED = "how many checkpoints there will be is not known before"


def _models(step: Step, known: Known) -> int | None:
    """How many models answer in a step of answers, None where nobody knows yet."""
    return known.checkpoints if CHECKPOINTS in step.keys else 1


def _judged(spec: Spec, plan: Plan, judge: Judging, known: Known, tables: Tables) -> Part:
    """What judges' questions about every model's answers cost, were none of them asked before.

    An answer is taken to be as many tokens to the judge as the model may give.
    """
    name, evaluation = judge_name(judge.model), spec.eval
    if evaluation is None or all(step.cached for step in plan.steps if step.name == REPORT):
        return Part(name=name, amount=0.0, basis="done already")
    price, rate = rate_of(tables, judge.endpoint, judge.model, tuned=False)
    if rate and is_free(rate):
        return answers_part(name, price, rate, 0, None, judge.most)
    if judge.unsaid:
        return Part(name=name, basis="the grader does not say how much it asks")
    asked = [_models(step, known) for step in plan.steps if step.name not in {DATA, REPORT, TUNING, *SUITES.values()}]
    models = sum(count or 0 for count in asked) + known.accepted  # whose answers are graded as this run's are
    if rate and None in asked:
        return Part(name=name, basis=UNCOUNTED)
    repeated = evaluation.generation.repeats(evaluation.repeat) * models
    shown = None
    if judge.tokens is not None:
        shown = repeated * (judge.tokens + judge.answers * evaluation.generation.max_tokens) + judge.labelled_tokens
    return answers_part(name, price, rate, repeated * judge.questions + judge.labelled, shown, judge.most)


def _answers(spec: Spec, step: Step, known: Known, tables: Tables) -> Iterator[Part]:
    """A model's answers, and the deployment that it needs for them."""
    evaluation, tuned = spec.eval, step.name not in (BASE, SUITES[BASE])
    if evaluation is None:
        return
    own = (known.endpoint, known.request.model.id, tuned)
    endpoint, model, tuned = known.further.get(step.name, own)
    price, rate = rate_of(tables, endpoint, model, tuned=tuned)
    if step.name in SUITES.values():
        suite = suites.load(step.keys["suite"])
        yield answers_part(step.name, price, rate, len(suite.prompts), suite.prompt_tokens, suite.generation.max_tokens)
        return
    models = _models(step, known)
    if models is None and rate and not is_free(rate):
        yield Part(name=step.name, basis=UNCOUNTED)
        return
    repeats = evaluation.generation.repeats(evaluation.repeat) * (models or 0)
    tokens = None if known.size.prompt_tokens is None else known.size.prompt_tokens * repeats
    asked = known.open.get(step.name) or Open(questions=repeats * known.prompts, tokens=tokens, kept=0)
    longest = evaluation.generation.max_tokens
    yield answers_part(step.name, price, rate, asked.questions, asked.tokens, longest, asked.kept)
    if known.deploys and step.name == TUNED:
        hosted = tables.price("hosting_hour", known.endpoint, known.request.model.id)
        expected = known.stands or STANDS
        basis = f"for about {duration(expected)}, {'as before' if known.stands else 'which is assumed'}"
        yield hosting_part(DEPLOYMENT, hosted, expected, basis)


def objections(budget: Budget | None, costs: Costs, spent: float, *, begun: bool = False) -> Iterator[Problem]:
    """Why the run may not begin (or go on): it could cost more than there is left, or nobody knows.

    Args:
        spent: what the run has spent already, in the budget's currency.
        begun: the job is made. How much more it may be is then the meter's business: what is left may be small.
    """
    if budget is None:
        return
    foreign = [part for part in costs.parts if part.amount and part.currency != budget.currency]
    unknown = [f"{part.name} ({part.basis})" for part in costs.unknown]
    unknown += [f"{part.name} (its price is in {part.currency})" for part in foreign]
    if unknown and budget.when_unknown == "refuse":
        yield Problem(
            message=f"what this costs cannot be told: {'; '.join(unknown)}",
            hint="set `when_unknown: allow`: the run ends before it spends more than the budget"
            if {part.basis for part in [*costs.unknown, *foreign]} == {UNCOUNTED}
            else "name a table of prices under `costs` (docs/costs.md), or set `when_unknown: allow`",
            path=("budget", "when_unknown"),
        )
    counted = [part for part in costs.parts if part.amount and part not in foreign]
    total = sum(part.amount or 0.0 for part in counted)
    if not begun and total + spent > budget.max:
        most = "at most " if any(part.bound for part in counted) else ""
        parts = ", ".join(f"{part.name} {money(part.amount or 0, '')}" for part in counted)
        before = f", and {money(spent, budget.currency)} are spent already" if spent else ""
        told = money(total, budget.currency, budget.max - spent)
        yield Problem(
            message=f"this costs {most}{told} ({parts}){before}: more than the budget",
            hint="raise it, or ask and train less (`hyperparameters.epochs`, `eval.repeat`, `generation.max_tokens`)",
            path=("budget", "max"),
        )
