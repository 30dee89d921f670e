"""The steps of a run, each by itself: ask the store for the step's digest, and only then do the work."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from ftspec import (
    ask,
    cases,
    grade,
    history,
    inventory,
    items,
    judging,
    kept,
    likeness,
    pipeline,
    subjects,
    suites,
    tables,
)
from ftspec import plan as plans
from ftspec.costs import rate_of
from ftspec.deploying import Deployer
from ftspec.document import Document
from ftspec.errors import FtspecError, Problem, SpecError, SpecPath
from ftspec.following import Follow, chosen, ended
from ftspec.grade import Answered
from ftspec.graders import Judge
from ftspec.inventory import Inventory, file_hash
from ftspec.jobs import Checkpoint, DataFile, TunedModel
from ftspec.journal import Journal, decode
from ftspec.messages import Answer, Generation, Prompt, RemoteModel
from ftspec.pipeline import DataResult, How
from ftspec.plan import TUNING, Made, Target
from ftspec.progress import Progress
from ftspec.provider import Provider
from ftspec.records import Plan, Record, Step
from ftspec.references import hint_for, missing_secrets, secret_names
from ftspec.registry import Registry
from ftspec.report import Case
from ftspec.spec import Eval, Item, Spec
from ftspec.spending import Meter, Purse
from ftspec.spill import Spill
from ftspec.store import Store
from ftspec.subjects import Subject
from ftspec.tables import Price, Rate, Tables
from ftspec.workspace import Workspace


class Options(Record):
    """How a run is wanted, beside the spec.

    Args:
        store: folder or URL of the store; `.ftspec` beside the spec when None.
        again: steps to do again though they are cached: "data", "tuning", "answers", "report".
        detach: return (StillRunning) once the job is submitted.
        wait: follow the job for at most so many seconds.
        resubmit: give up on an attempt of unknown outcome and submit the next one.
        adopt: id of a job at the provider that is the one of unknown outcome.
        resume: go on with a run that was begun, and begin none.
        evaluation: train nothing: ask the base model, further models, and the tuned one where there is one already.
        memory: bytes that the data step may hold, about; a share of the machine's where it is 0.
        cache: take what steps made of rows before from this machine's cache, and keep it there.
        measure: for a plan: prepare uncached data in a scratch folder, so that rows, tokens and digests are exact.
    """

    store: str | None = None
    again: tuple[str, ...] = ()
    detach: bool = False
    wait: float | None = None
    resubmit: bool = False
    adopt: str = ""
    measure: bool = True
    evaluation: bool = False
    memory: int = 0
    resume: bool = False
    cache: bool = True


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the steps of one run share."""

    spec: Spec
    registry: Registry
    options: Options
    progress: Progress
    workspace: Workspace
    provider: Provider
    target: Target
    inventory: Inventory
    tables: Tables
    further: tuple[Subject, ...] = ()

    @property
    def store(self) -> Store:
        return self.workspace.store


class Dataset(Record):
    """What the data step made, as the store keeps it: `files` maps a file's name to its blob."""

    files: dict[str, str]
    result: DataResult

    @property
    def made(self) -> Made:
        of = {file.purpose: file.sha256 for file in self.result.files}
        return Made(training=of["training"], validation=of.get("validation", ""), prompts=self.files.get(PROMPTS, ""))


PROMPTS, ROWS, ORIGINS = "prompts.jsonl", "rows.arrow", "origins.arrow"


def survey(spec: Spec, registry: Registry, options: Options, progress: Progress) -> Site:
    """Open the store, ask the provider, hash the inputs. Reads only."""
    workspace = Workspace.beside(spec.file, options.store)
    provider = attached(spec, registry, workspace)
    found = inventory.take(spec, registry, provider)
    request = msgspec.structs.replace(items.request_of(spec, registry), model_fingerprint=found.model)
    further = tuple(subjects.find(spec, registry, workspace, provider))
    keys = {subject.label: subject.keys for subject in further}
    target = Target(endpoint=provider.endpoint, request=request, further=keys, evaluation=options.evaluation)
    attempts = len(workspace.store.list(_attempts(spec, registry, found, target)))
    return Site(
        spec=spec,
        registry=registry,
        options=options,
        progress=progress,
        workspace=workspace,
        provider=provider,
        inventory=found,
        tables=tables.read([spec.folder / name for name in spec.costs.prices]),
        further=further,
        target=msgspec.structs.replace(target, attempt=attempts + 1 + ("tuning" in options.again)),
    )


def attached(spec: Spec, registry: Registry, workspace: Workspace) -> Provider:
    """The spec's provider, ready to be asked."""
    provider = items.provider_of(spec, registry)
    provider.attach(workspace.home(spec.provider.name))
    return provider


def record_attempt(site: Site) -> None:
    """Make the attempt that `--again tuning` asked for the current one, for every later run."""
    prefix = _attempts(site.spec, site.registry, site.inventory, site.target)
    site.store.put_new(f"{prefix}/{site.target.attempt - 1:04d}", b"")


def _attempts(spec: Spec, registry: Registry, found: Inventory, target: Target) -> str:
    return f"attempts/{plans.attempts_key(spec, registry, found, target)}"


def rehearse(site: Site, document: Document, *, from_data: bool = False) -> None:
    """Build what judges, so that a fault in it is found before anything is paid for.

    A run that starts `from_data` will need its provider: a secret that is not set is found before that work too.
    Raises SpecError with those, at their places.
    """
    if missing := list(_missing_secrets(site, from_data)):
        raise SpecError(missing, document)
    for _, item in site.spec.items():
        if item.kind in {"grader", "gate"}:
            built = items.build(item, site.registry, site.spec.folder)
            if isinstance(built, Judge):
                judging.bench(built, _court(site))


def _missing_secrets(site: Site, from_data: bool) -> Iterator[Problem]:
    """Secrets that the run is going to need and that are not set; one that an option has by default is told at the
    component's name."""
    for _, item in site.spec.items():
        component = site.registry.get(item.kind, item.name)
        asked = [items.referred(value, path) for path, value in items.references(item, component)]
        for one in [item, *asked] if from_data or item.kind in {"grader", "gate"} else []:
            for path, name in _unset(one, site.registry):
                yield Problem(message=f"secret not set: {name}", hint=hint_for([name]), path=path)


def _unset(item: Item, registry: Registry) -> Iterator[tuple[SpecPath, str]]:
    """Where the item's options, those too that it has by default, refer to secrets that are not set."""
    options = msgspec.to_builtins(registry.get(item.kind, item.name).convert(item.options))
    return missing_secrets(options, (*item.path, item.name))


def rehearse_prompts(site: Site, prompts: Sequence[Prompt]) -> None:
    """Build the judges that prompts bring along, for the same reason. Raises FtspecError for secrets not set."""
    column = site.spec.eval.asserts if site.spec.eval else ""
    if column:
        own = cases.graders(prompts, column, site.registry, site.spec.folder)
        built = {id(grader): grader for pairs in own.values() for _, grader in pairs}
        judges = [judge for judge in built.values() if isinstance(judge, Judge)]
        providers = [items.referred(judge.provider) for judge in judges]
        if missing := sorted({name for one in providers for _, name in _unset(one, site.registry)}):
            asked = f"a judge that prompts bring along in '{column}' needs {', '.join(missing)}"
            raise FtspecError(f"secret not set: {asked}", hint_for(missing))
        for judge in judges:
            judging.bench(judge, _court(site))


def plan_of(site: Site, dataset: Dataset | None) -> Plan:
    """The plan as far as it can be told; with the dataset, all of it."""
    made = dataset.made if dataset else None
    plan = plans.make(site.spec, site.registry, site.inventory, site.target, made)
    if site.options.evaluation and tuned_already(site, plan) is None:
        return plans.make(site.spec, site.registry, site.inventory, site.target, made, tuned=False)
    return plan


def tuned_already(site: Site, plan: Plan) -> TunedModel | None:
    """The model that the plan's job has made; None where it has not."""
    step = next((step for step in plan.steps if step.name == TUNING), None)
    result = ended(site.store, step.digest) if step and step.digest else None
    return chosen(result, site.spec.follow.checkpoint) if result else None


# ---- data


def cached_dataset(site: Site, step: Step) -> Dataset | None:
    """What the data step made when it last ran with this digest."""
    if "data" in site.options.again:
        return None
    return decode(site.store, _step_key(step), Dataset) if site.store.get(_step_key(step)) else None


def secrets_note(spec: Spec) -> str:
    """What to say where kept data were made with a secret: no digest tells its value, so it may be another by now."""
    makes = [item.options for _, item in spec.items() if item.kind in {"cleaner", "format", "check"}]
    names = ", ".join(sorted(secret_names(makes)))
    return f"the data are kept from an earlier run: if {names} has changed, use --again data" if names else ""


def make_dataset(site: Site, step: Step) -> Dataset:
    """Run the data pipeline and keep what it makes."""
    with site.workspace.scratch() as folder:
        result = prepare(site, folder)
        inventory.check_unchanged(site.inventory, site.spec.folder)
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        known = {Path(file.path).name: file.sha256 for file in result.files}
        files = {name: site.store.take_file(folder / name, known.get(name, "")) for name in names}
        dataset = Dataset(files=files, result=result)
    site.store.put(_step_key(step), msgspec.json.encode(dataset))
    return dataset


def prepare(site: Site, folder: Path) -> DataResult:
    """Run the data pipeline into a folder."""
    request = site.target.request
    how = How(memory=site.options.memory, cache=_cache(site))
    return pipeline.prepare(site.spec, site.registry, site.provider, request, folder, site.progress, how)


def _cache(site: Site) -> str:
    """The folder of the cache. A plan makes no state folder: it uses the cache where there is one already."""
    wanted = site.options.cache and "data" not in site.options.again
    return str(site.workspace.cache) if wanted and site.workspace.local.exists() else ""


@contextmanager
def measured_dataset(site: Site) -> Iterator[tuple[Dataset, Path]]:
    """What the data step would make, and the folder of the system's where it is, which is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="ftspec-plan-") as name:
        folder = Path(name)
        result = prepare(site, folder)
        yield Dataset(files={path.name: file_hash(path) for path in folder.glob(PROMPTS)}, result=result), folder


def following(site: Site) -> Follow:
    """How the job is followed, by the spec and by how the run is wanted."""
    wanted, options = site.spec.follow, site.options
    return Follow(
        wait=options.wait,
        detach=options.detach,
        stall=wanted.stall,
        early_stopping=wanted.early_stopping,
        checkpoint=wanted.checkpoint,
    )


def data_files(site: Site, dataset: Dataset) -> list[DataFile]:
    """The provider's files, where this machine can read them."""
    return [
        msgspec.structs.replace(file, path=str(site.store.local(file.sha256, Path(file.path).name)))
        for file in dataset.result.files
    ]


def prompts_of(site: Site, dataset: Dataset) -> Sequence[Prompt]:
    """The evaluation's prompts."""
    if PROMPTS not in dataset.files:
        return []
    found = pipeline.load_prompts(site.store.local(dataset.files[PROMPTS], PROMPTS).parent)
    return cases.marked(found, site.spec.eval)


def nearest_rows(site: Site, dataset: Dataset, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, failed ones with the training rows that are most like them."""
    rows_at, origins_at = (site.store.local(dataset.files[name], name).parent for name in (ROWS, ORIGINS))
    return likeness.with_nearest(cases, rows_at, origins_at)


# ---- evaluation


def base_of(site: Site) -> Subject:
    """The base model, as a model under test."""
    return Subject(label="base", provider=site.provider, keys={}, model=site.target.request.model)


def tuned_of(site: Site, model: TunedModel) -> Subject:
    """The tuned model, as a model under test."""
    return Subject(label="tuned", provider=site.provider, keys={}, model=model)


class Timing(Record):
    """Wall seconds that a step took when it was done."""

    seconds: float


def answers_cached(site: Site, step: Step) -> bool:
    """Whether every question of the step has its answer in the store."""
    return "answers" not in site.options.again and site.store.head(_step_key(step)) is not None


class Asking(NamedTuple):
    """What is asked in one step, and who grades the answers: the spec's own evaluation, or a suite."""

    prompts: Sequence[Prompt]
    generation: Generation
    repeat: int
    seed: int
    graders: list[tuple[Item, judging.Built]]
    suite: str = ""


def asking(site: Site, prompts: Sequence[Prompt]) -> Asking:
    """The spec's own evaluation."""
    own = site.spec.eval or Eval(prompts=(), graders=())
    return Asking(prompts, own.generation, own.repeat, own.seed, _graders(site))


def suite(name: str) -> Asking:
    """A set of items that ships with ftspec."""
    found = suites.load(name)
    return Asking(found.prompts, found.generation, 1, 0, [(Item(kind="grader", name=name), found.grade)], name)


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
    if answers_cached(site, step):
        seconds = decode(site.store, _step_key(step), Timing).seconds
    else:
        started = time.monotonic()
        price, rate = _priced(site, subject)
        verified = price is None or price.verified
        with purse.meter(step.name, rate, what.generation, verified=verified) as meter:
            _ask(site, subject, wanted, spill, meter, deployer(site, purse, subject))
        seconds = time.monotonic() - started
        if wanted.known == len(wanted):
            site.store.put(_step_key(step), msgspec.json.encode(Timing(seconds=seconds)))
    found = kept.keep(Answer, wanted.answers(spill.read(Answer)), site.workspace.local, wanted.order)
    answered = Answered(model=subject.label, answers=found, graded=(), seconds=seconds)
    return _graded(site, answered, what, base, purse)


def earlier_answers(site: Site, run: str, what: Asking, base: Answered | None, purse: Purse) -> Answered | None:
    """What the tuned model of an earlier run said to those of the prompts that it was asked, graded as this run's.

    None where the run is gone, or none of the prompts is among its own.
    """
    events = Journal(site.store, run).events()
    step = next((step for step in history.plan_of(events).steps if step.name == plans.TUNED), None) if events else None
    if step is None or not step.digest:
        return None
    known = {prompt.id for prompt in what.prompts}
    asked = (one for one in _spill(site, step).read(Answer) if one.prompt in known)
    said = kept.keep(Answer, asked, site.workspace.local)
    places = {(one.prompt, one.repeat): place for place, one in enumerate(said)}
    answered = Answered(model=ACCEPTED, answers=said.chosen(places.values()), graded=())
    return _graded(site, answered, what, base, purse) if places else None


ACCEPTED = "accepted"
"""What the last accepted run's model is called in an evaluation."""


def _spill(site: Site, step: Step) -> Spill:
    return Spill(site.store, f"answers/{plans.answers_digest(step)}")


def _graded(site: Site, answered: Answered, what: Asking, base: Answered | None, purse: Purse) -> Answered:
    """The answers with their grades; judges are asked what the store does not know."""
    compared = (base or answered).answers
    column = site.spec.eval.asserts if site.spec.eval and not what.suite else ""
    own = cases.graders(what.prompts, column, site.registry, site.spec.folder) if column else {}
    settled = judging.settle(what.graders, own, what.prompts, answered.answers, compared, _court(site, purse))
    graded = grade.grade(what.prompts, answered.answers, settled.graders, settled.own)
    at = site.workspace.local
    return msgspec.structs.replace(answered, graded=kept.keep(grade.Graded, graded, at), judges=settled.uses)


def _court(site: Site, purse: Purse | None = None) -> judging.Court:
    return judging.Court(site.registry, site.spec.folder, site.workspace, site.progress, site.tables, purse)


def checkpoints_of(site: Site, plan: Plan) -> list[Checkpoint]:
    """What the plan's job has kept on its way, by step."""
    tuning = next(step for step in plan.steps if step.name == TUNING)
    result = ended(site.store, tuning.digest)
    return sorted(result.checkpoints, key=lambda checkpoint: checkpoint.step) if result else []


def of_checkpoints(
    subject: Subject, step: Step, saved: Iterable[Checkpoint]
) -> Iterator[tuple[Checkpoint, Step, Subject]]:
    """Each checkpoint as a model under test, with its own part of the step."""
    for one in saved:
        label = f"{subject.label} {one.step}"
        part = plans.checkpoint_step(step, one.id)
        yield one, part, msgspec.structs.replace(subject, label=label, model=one.model)


def mark_asked(site: Site, step: Step, found: Iterable[Answered]) -> None:
    """Remember that a step of several models is done, where every question has its answer."""
    done = list(found)
    if not any(answer.error for answered in done for answer in answered.answers):
        timing = Timing(seconds=sum(answered.seconds for answered in done))
        site.store.put(_step_key(step), msgspec.json.encode(timing))


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


def _base(subject: Subject) -> str:
    """The name of the base model, by which prices are known."""
    model = subject.model
    return model.base.id if isinstance(model, TunedModel) else model.id if model else ""


def _ask(site: Site, subject: Subject, wanted: ask.Round, spill: Spill, meter: Meter, deployer: Deployer) -> None:
    """Put the model up, where a question is open, and ask."""
    from ftspec import remote

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
        remote.asking(up, meter) as answers,
        spill.writer() as writer,
    ):
        again = not isinstance(up, RemoteModel)
        ask.ask(answers, wanted, label=subject.label, keep=writer.add, progress=site.progress, again=again)


def _graders(site: Site) -> list[tuple[Item, judging.Built]]:
    graders = site.spec.eval.graders if site.spec.eval else ()
    return [(item, items.build(item, site.registry, site.spec.folder)) for item in graders]


def report_cached(site: Site, step: Step) -> bool:
    """Whether a report of just these results has been written."""
    return "report" not in site.options.again and site.store.head(_step_key(step)) is not None


def mark_reported(site: Site, step: Step) -> None:
    """Remember that the report of these results has been written."""
    site.store.put(_step_key(step), b"{}")


def _step_key(step: Step) -> str:
    return f"steps/{step.digest}"
