"""The steps in which models answer: read what the store has, put the model up and ask the rest, grade all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from ftspec import items, suites
from ftspec.asking import ask
from ftspec.asking.spill import Spill
from ftspec.common.figures import plural
from ftspec.common.jobs import Checkpoint, TunedModel
from ftspec.common.messages import Answer, Generation, Prompt, RemoteModel
from ftspec.common.records import DATA, TUNED, TUNING, Plan, Record, Step
from ftspec.costs.costs import of_answer, rate_of
from ftspec.costs.spending import Meter, Purse
from ftspec.costs.tables import Price, Rate
from ftspec.data import cases
from ftspec.data.prompts import load_prompts
from ftspec.files import kept
from ftspec.grading import benches, grade, judgecases, judging
from ftspec.grading.counterparts import counterparts
from ftspec.grading.grade import Answered
from ftspec.grading.subjects import Subject
from ftspec.plans import plan as plans
from ftspec.plans.plan import step_of
from ftspec.plans.stepkeys import CHECKPOINTS
from ftspec.run import datastep
from ftspec.run.site import Site, step_key
from ftspec.spec import Eval, Item
from ftspec.state import history
from ftspec.state.journal import Journal, decode
from ftspec.tuning.deploying import Deployer
from ftspec.tuning.following import ended

CURRENCY = "USD"
"""Of what answers cost: tables in another one are not converted."""
ACCEPTED = "accepted"
"""What the last accepted run's model is called in an evaluation."""


class Timing(Record):
    """Wall seconds that a step took when it was done."""

    seconds: float


class Asking(msgspec.Struct, frozen=True):
    """What is asked in one step, and who grades the answers: the spec's own evaluation, or a suite."""

    prompts: Sequence[Prompt]
    generation: Generation
    repeat: int
    seed: int
    graders: list[tuple[Item, judgecases.Built]]
    suite: str = ""


def base_of(site: Site) -> Subject:
    """The base model, as a model under test."""
    return Subject(label="base", provider=site.provider, keys={}, model=site.target.request.model)


def tuned_of(site: Site, model: TunedModel) -> Subject:
    """The tuned model, as a model under test."""
    return Subject(label="tuned", provider=site.provider, keys={}, model=model)


def cached(site: Site, step: Step) -> bool:
    """Whether every question of the step has its answer in the store."""
    return "answers" not in site.options.again and site.store.head(step_key(step)) is not None


def asking(site: Site, prompts: Sequence[Prompt]) -> Asking:
    """The spec's own evaluation."""
    own = site.spec.eval or Eval(prompts=(), graders=())
    return Asking(prompts, own.generation, own.repeat, own.seed, _graders(site))


def suite(name: str) -> Asking:
    """A set of items that ships with ftspec."""
    found = suites.load(name)
    return Asking(found.prompts, found.generation, 1, 0, [(Item(kind="grader", name=name), found.grade)], name)


def _graders(site: Site) -> list[tuple[Item, judgecases.Built]]:
    graders = site.spec.eval.graders if site.spec.eval else ()
    return [(item, items.build(item, site.registry, site.spec.folder)) for item in graders]


def answers(
    site: Site,
    step: Step,
    subject: Subject,
    what: Asking,
    purse: Purse,
    base: Answered | None = None,
) -> Answered:
    """The model's graded answers. Those that are kept are read; for the rest the model is put up and asked.

    `base` is the base model's part, for judges that compare with it; None where this is the base model's.
    Raises BudgetReached when the purse allows no more questions; what was answered is kept.
    """
    spill = _spill(site, step)
    wanted = ask.Round(what.prompts, what.generation, repeat=what.repeat, seed=what.seed)
    price, rate = _priced(site, subject)
    if cached(site, step):
        seconds = decode(site.store, step_key(step), Timing).seconds
    else:
        started = time.monotonic()
        verified = price is None or price.verified
        with purse.meter(step.name, rate, what.generation, verified=verified) as meter:
            about = f"{what.suite} questions (forgetting)" if what.suite else ""
            _ask(site, subject, wanted, spill, meter, deployer(site, purse, subject), about)
        seconds = time.monotonic() - started
        if wanted.known == len(wanted):
            site.store.put(step_key(step), msgspec.json.encode(Timing(seconds=seconds)))
    given = _costing(wanted.answers(spill.read(Answer)), price, rate)
    found = kept.keep(Answer, given, site.workspace.local, wanted.order)
    answered = Answered(model=subject.label, answers=found, graded=(), seconds=seconds)
    return _graded(site, answered, what, base, purse)


def begun(site: Site, step: Step, load: Callable[[], Sequence[Prompt]]) -> ask.Round | None:
    """The questions of a step, where some of them have their answers already and others have none; else None."""
    if cached(site, step) or "answers" in site.options.again:
        return None
    spill = _spill(site, step)
    if next(spill.read(Answer), None) is None:
        return None
    own = site.spec.eval or Eval(prompts=(), graders=())
    wanted = ask.Round(load(), own.generation, repeat=own.repeat, seed=own.seed)
    for answer in spill.read(Answer):
        wanted.note(answer)
    return wanted


def earlier(site: Site, run: str, what: Asking, base: Answered | None, purse: Purse) -> Answered | None:
    """What the tuned model of an earlier run said to those of the prompts that it was asked, graded as this run's.

    A prompt that was asked in other words counts too. None where none of the prompts is among its own.
    """
    plan = history.plan_of(run, Journal(site.store, run).events())
    step = step_of(plan, TUNED)
    if not step.digest:
        return None
    asked = _as_asked_now(site, plan, _spill(site, step), what)
    endpoint, model = step.keys.get("endpoint", ""), step.keys.get("model", "")
    priced = _costing(asked, *rate_of(site.tables, endpoint, model, tuned=True))
    said = kept.keep(Answer, priced, site.workspace.local)
    places = {(one.prompt, one.repeat): place for place, one in enumerate(said)}
    answered = Answered(model=ACCEPTED, answers=said.chosen(places.values()), graded=())
    return _graded(site, answered, what, base, purse) if places else None


def _as_asked_now(site: Site, plan: Plan, spill: Spill, what: Asking) -> Iterator[Answer]:
    """The answers of an earlier run that are to prompts of now, named as these are."""
    known = {prompt.id for prompt in what.prompts}
    asked = {one.prompt for one in spill.read(Answer)}
    renamed = {}
    if not known <= asked:
        renamed = {
            old: new for old, new in counterparts(_asked_by(site, plan), what.prompts).items() if new not in asked
        }
    if count := len(renamed.keys() & asked):
        words = f"the accepted run has answered {plural(count, 'prompt')} in other words, as its spec asked then"
        site.progress.note(f"{words}: its answers are compared all the same")
    for one in spill.read(Answer):
        if (now := renamed.get(one.prompt, one.prompt)) in known:
            yield one if now == one.prompt else msgspec.structs.replace(one, prompt=now)


def _asked_by(site: Site, plan: Plan) -> Sequence[Prompt]:
    """The prompts of another run of this store; none where they are not kept."""
    key = step_key(step_of(plan, DATA))
    if site.store.head(key) is None:
        return ()
    sha256 = decode(site.store, key, datastep.Dataset).files.get(datastep.PROMPTS)
    if not sha256 or site.store.head(f"blobs/{sha256}") is None:
        return ()
    return load_prompts(site.store.local(sha256, datastep.PROMPTS).parent)


def _ask(
    site: Site, subject: Subject, wanted: ask.Round, spill: Spill, meter: Meter, deployer: Deployer, about: str
) -> None:
    """Put the model up, where a question is open, and ask."""
    from ftspec.asking import remote

    if "answers" in site.options.again:
        spill.drop()
    for answer in spill.read(Answer):
        wanted.note(answer)
    if wanted.known == len(wanted):
        return
    assert subject.model
    with (
        deployer.up(subject.model) as standing,
        subject.provider.serve(standing) as up,
        remote.asking(up, meter, tell=lambda said: site.progress.note(f"the {subject.label} model: {said}")) as answers,
        spill.writer() as writer,
    ):
        again = not isinstance(up, RemoteModel)
        ask.ask(answers, wanted, label=subject.label, about=about, keep=writer.add, progress=site.progress, again=again)


def _spill(site: Site, step: Step) -> Spill:
    return Spill(site.store, f"answers/{plans.answers_digest(step)}")


def _graded(site: Site, answered: Answered, what: Asking, base: Answered | None, purse: Purse) -> Answered:
    """The answers with their grades; judges are asked what the store does not know."""
    compared = (base or answered).answers
    own = {} if what.suite else cases.graders(what.prompts, site.spec, site.registry)
    settled = judging.settle(what.graders, own, what.prompts, answered.answers, compared, court(site, purse))
    failures = grade.Failures()
    graded = grade.grade(what.prompts, answered.answers, settled.graders, settled.own, failures)
    found = kept.keep(grade.Graded, graded, site.workspace.local)
    for name, (count, first) in failures.found.items():
        about = f"{plural(count, 'answer')} of the {answered.model} model"
        said = f"grader '{name}' gave no verdict on {about}, which count neither as passed nor as failed"
        site.progress.note(f"{said}: {first}")
    for name, count in failures.unexpected.items():
        about = f"{plural(count, 'answer')} of the {answered.model} model"
        site.progress.note(
            f"grader '{name}' had nothing to compare {about} with: their prompts have no expected answer"
        )
    return msgspec.structs.replace(answered, graded=found, judges=settled.uses)


def court(site: Site, purse: Purse | None = None) -> benches.Court:
    """Where this run's judges are asked; `purse` pays for them, None where nothing is asked."""
    return benches.Court(
        site.registry, site.spec.folder, site.workspace, site.progress, site.tables, purse, site.hearings
    )


def checkpoints_of(site: Site, plan: Plan) -> list[Checkpoint]:
    """What the plan's job has kept on its way, by step."""
    tuning = step_of(plan, TUNING)
    result = ended(site.store, tuning.digest)
    return sorted(result.checkpoints, key=lambda checkpoint: checkpoint.step) if result else []


def of_checkpoints(
    subject: Subject, step: Step, saved: Iterable[Checkpoint]
) -> Iterator[tuple[Checkpoint, Step, Subject]]:
    """Each checkpoint as a model under test, with its own part of the step."""
    for one in saved:
        label = f"{subject.label if subject.keys[CHECKPOINTS] == 'all' else 'checkpoint'} {one.step}"
        part = plans.checkpoint_step(step, one.id)
        yield one, part, msgspec.structs.replace(subject, label=label, model=one.model)


def mark_asked(site: Site, step: Step, found: Iterable[Answered]) -> None:
    """Remember that a step of several models is done, where every question has its answer."""
    done = list(found)
    if not any(answer.error for answered in done for answer in answered.answers):
        timing = Timing(seconds=sum(answered.seconds for answered in done))
        site.store.put(step_key(step), msgspec.json.encode(timing))


def deployer(site: Site, purse: Purse, subject: Subject) -> Deployer:
    """Who puts the model up, where it has to be deployed, and takes it down."""
    provider = subject.provider
    price = site.tables.price("hosting_hour", provider.endpoint, _base(subject))
    hourly = price.hosting_hour if price else None
    return Deployer(provider, site.workspace, purse.run, purse=purse, hourly=hourly, progress=site.progress)


def _priced(site: Site, subject: Subject) -> tuple[Price | None, Rate | None]:
    """What a question to the model costs, and the entry that says so, as far as the tables know."""
    tuned = isinstance(subject.model, TunedModel)
    return rate_of(site.tables, subject.provider.endpoint, _base(subject), tuned=tuned)


def _costing(answers: Iterable[Answer], price: Price | None, rate: Rate | None) -> Iterator[Answer]:
    """The answers with what each cost by the tables of today, where the provider has not said that itself."""
    known = rate if price and price.currency == CURRENCY else None
    for answer in answers:
        unpriced = known and answer.cost is None and not answer.error
        yield msgspec.structs.replace(answer, cost=of_answer(known, answer)) if known and unpriced else answer


def _base(subject: Subject) -> str:
    """The name of the base model, by which prices are known."""
    model = subject.model
    return model.base.id if isinstance(model, TunedModel) else model.id if model else ""
