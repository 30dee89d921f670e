"""Kit for plugin authors: a component's whole conformance test is a small class.

::

    from ftspec.testing import ProviderSuite
    from my_plugin import COMPONENTS

    class TestMine(ProviderSuite):
        component = COMPONENTS["mine"]
        options = {"url": "http://127.0.0.1:8000"}
        model = "tiny"
        hyperparameters = {"epochs": 1}

That suite runs one real job, and asks of it what core relies on. Cleaning steps and graders are tested by example::

    class TestShout(CleanerSuite):
        component = COMPONENTS["shout"]
        given = [{"text": "a"}, {"text": ""}]
        expected = [{"text": "A"}, {"text": ""}]

    class TestSameLength(GraderSuite):
        component = COMPONENTS["same_length"]
        passing = [("abc", "xyz")]
        failing = [("abc", "x")]

Needs pytest.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from ftspec import remote, rows
from ftspec.abilities import (
    Deployment,
    SupportsAdoption,
    SupportsCleanup,
    SupportsDeployment,
    SupportsExport,
    SupportsRender,
)
from ftspec.claims import Register
from ftspec.cleaning import Stage, run_step, runner
from ftspec.components import Component
from ftspec.errors import Rejected
from ftspec.following import Follow, history
from ftspec.graders import Judge
from ftspec.jobs import DataFile, Job, JobState, JobUpdate, ModelRef, Request, Size, TunedModel
from ftspec.journal import Journal
from ftspec.messages import Answer, Example, Generation, Message, Model, Prompt, Question, RemoteModel
from ftspec.progress import Quiet
from ftspec.provider import Provider
from ftspec.records import Grade
from ftspec.registry import Loaded, Registry
from ftspec.shapes import ANSWERS, COLUMNS, Shape
from ftspec.spec import Item
from ftspec.steps import GlobalStep, Reference
from ftspec.store import Store
from ftspec.tuning import tune

COLOURS = ("red", "green", "blue", "white")
PAGES = 100
"""Polls after which the suite stops asking for more events."""
MEASURES = {
    "train_loss", "validation_loss", "train_accuracy", "learning_rate", "tokens_per_second", "epoch", "reward_accuracy",
    "reward_margin", "train_reward", "validation_reward",
}  # fmt: skip


class World:
    """One provider with one finished job, shared by the tests of a suite."""

    def __init__(self, suite: ProviderSuite, home: Path) -> None:
        self.store = Store.open(home / "state")
        self.provider: Provider = suite.component.build(suite.options)
        self.provider.attach(home / "home")
        self.request = suite.request()
        self.shape = suite.component.methods[suite.method].data
        self.files = [self._file(home, "training", 16), self._file(home, "validation", 4)]
        self.key = hashlib.sha256(self.provider.endpoint.encode()).hexdigest()
        self.model = self.tune(suite.follow)

    def tune(self, follow: Follow) -> TunedModel:
        journal = Journal(self.store, "suite")
        return tune(
            self.provider,
            self.request,
            self.files,
            store=self.store,
            journal=journal,
            key=self.key,
            progress=Quiet(),
            follow=follow,
        )

    @property
    def job(self) -> Job:
        job = Register(self.store, self.key).job()
        assert job is not None
        return job

    def uploaded(self) -> Request:
        """The request as `submit` gets it."""
        remote = {file.purpose: self.provider.upload(file) for file in self.files}
        return msgspec.structs.replace(self.request, **remote)

    def _file(self, home: Path, purpose: Any, count: int) -> DataFile:
        path = home / f"{purpose}.data"
        with path.open("wb") as out:
            written = self.provider.write(self.request, [batch_of(self.shape, count)], out)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return DataFile(purpose=purpose, path=str(path), sha256=digest, bytes=len(data), rows=written.rows)


class ComponentSuite:
    """What core relies on in any component. Subclass one of the suites below; set `component` and its `options`."""

    component: ClassVar[Component]
    options: ClassVar[Mapping[str, Any]] = {}

    def test_is_described(self) -> None:
        assert self.component.summary, "the factory needs a docstring: it is the description in `ftspec plugins show`"
        assert msgspec.json.schema(self.component.options)

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(msgspec.ValidationError):
            self.component.convert({**self.options, "no such option": 1})

    def test_rules_accept_the_options(self) -> None:
        converted = self.component.convert(self.options)
        assert [fault for rule in self.component.rules for fault in rule(converted)] == []


class CleanerSuite(ComponentSuite):
    """A cleaning step of any level: the rows it is given, and the rows that are left."""

    given: ClassVar[Sequence[Mapping[str, Any]]]
    expected: ClassVar[Sequence[Mapping[str, Any]]]

    def test_makes_of_rows_what_is_expected(self) -> None:
        assert _rows(_cleaned(self.component, self.options, _numbered(self.given))) == list(self.expected)

    def test_comes_to_the_same_again(self) -> None:
        first, second = (_cleaned(self.component, self.options, _numbered(self.given)) for _ in range(2))
        assert first.equals(second)

    def test_needs_no_rows(self) -> None:
        nothing = _numbered(self.given).slice(0, 0)
        assert _cleaned(self.component, self.options, nothing).num_rows == 0

    def test_treats_each_row_alike_whatever_comes_with_it(self) -> None:
        if self.component.level in ("global", "screen"):
            return
        batch = _numbered(self.given)
        each = [_cleaned(self.component, self.options, batch.slice(index, 1)) for index in range(batch.num_rows)]
        assert [row for one in each for row in _rows(one)] == list(self.expected)


class GraderSuite(ComponentSuite):
    """A grader: pairs of (expected answer, answer) that pass and that fail.

    The answer is a text, or a whole Answer where more counts. A judge is asked about each, and `reply` says what.
    """

    passing: ClassVar[Sequence[tuple[str | None, str | Answer]]]
    failing: ClassVar[Sequence[tuple[str | None, str | Answer]]]

    def test_passes_what_should_pass(self) -> None:
        assert [pair for pair in self.passing if not self.grade(*pair).passed] == []

    def test_fails_what_should_fail(self) -> None:
        assert [pair for pair in self.failing if self.grade(*pair).passed] == []

    def test_scores_are_between_0_and_1(self) -> None:
        scores = [self.grade(*pair).score for pair in (*self.passing, *self.failing)]
        assert all(score is None or 0 <= score <= 1 for score in scores)

    def test_says_why_not(self) -> None:
        assert all(self.grade(*pair).reason for pair in self.failing)

    def reply(self, question: Prompt) -> str:
        """What the judging model says to a question; what it expects of a simulated one, unless you say otherwise."""
        return question.expected or ""

    def grade(self, expected: str | None, answer: str | Answer) -> Grade:
        """The grader's opinion of one answer."""
        grader = self.component.build(self.options)
        prompt = Prompt(id="prompt", messages=[Message(role="user", content="?")], expected=expected)
        given = Answer(prompt=prompt.id, repeat=0, text=answer) if isinstance(answer, str) else answer
        if isinstance(grader, Judge):
            asked = grader.questions(prompt, given, None)
            return grader.grade(prompt, given, [Answer(prompt="", repeat=0, text=self.reply(one)) for one in asked])
        graded: Grade = grader(prompt, given)
        return graded


class ProviderSuite(ComponentSuite):
    """What core relies on in a provider."""

    model: ClassVar[str] = "tiny"
    method: ClassVar[str] = "sft"
    method_options: ClassVar[Mapping[str, Any]] = {}
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    follow: ClassVar[Follow] = Follow(wait=300.0)
    _worlds: ClassVar[dict[type, World]] = {}

    def request(self) -> Request:
        """The request of the suite's job, defaults filled in as core does."""
        method = self.component.methods[self.method]
        return Request(
            model=ModelRef(id=self.model),
            method=self.method,
            method_options=msgspec.to_builtins(msgspec.convert(dict(self.method_options), method.options)),
            hyperparameters=msgspec.to_builtins(msgspec.convert(dict(self.hyperparameters), method.hyperparameters)),
        )

    @pytest.fixture
    def world(self, tmp_path_factory: pytest.TempPathFactory) -> World:
        """The suite's one job: made by the first test that asks."""
        if type(self) not in self._worlds:
            self._worlds[type(self)] = World(self, tmp_path_factory.mktemp("provider"))
        return self._worlds[type(self)]

    def test_follows_the_protocol(self, world: World) -> None:
        assert self.component.kind == "provider"
        assert isinstance(world.provider, Provider)
        assert world.provider.submission in {"idempotent", "findable", "blind"}
        assert world.provider.endpoint

    def test_what_shapes_data_is_a_hyperparameter(self, world: World) -> None:
        for method in world.provider.methods.values():
            assert {field.name for field in msgspec.structs.fields(method.hyperparameters)} >= set(method.shapes_data)

    def test_a_good_request_has_no_problems(self, world: World) -> None:
        assert list(world.provider.problems(world.request)) == []

    def test_an_estimate_is_not_negative(self, world: World) -> None:
        estimate = world.provider.estimate(world.request, Size(rows=16, validation_rows=4))
        assert all(value is None or value >= 0 for value in (estimate.seconds, estimate.cost, estimate.steps))
        assert estimate.basis, "say where the estimate comes from"

    def test_the_same_rows_are_written_alike(self, world: World) -> None:
        first, second = io.BytesIO(), io.BytesIO()
        written = world.provider.write(world.request, [batch_of(world.shape, 16)], first)
        cut = [batch_of(world.shape, 10), batch_of(world.shape, 6, start=10)]
        world.provider.write(world.request, cut, second)
        assert written.rows == 16
        assert first.getvalue() == second.getvalue(), "what is written may not depend on how rows are batched"

    def test_an_uploaded_file_is_found_again(self, world: World) -> None:
        assert world.provider.upload(world.files[0]) == world.provider.upload(world.files[0])
        assert world.provider.upload(world.files[0]).sha256 == world.files[0].sha256

    def test_the_job_made_a_model(self, world: World) -> None:
        assert world.model.id
        assert world.model.base.id == self.model
        assert msgspec.json.decode(msgspec.json.encode(world.model), type=TunedModel) == world.model

    def test_a_finished_job_is_not_asked_for_again(self, world: World) -> None:
        provider, world.provider = world.provider, _Unreachable(world.provider)  # type: ignore[assignment]
        try:
            assert world.tune(self.follow) == world.model
        finally:
            world.provider = provider

    def test_the_job_told_its_loss(self, world: World) -> None:
        events = history(world.store, world.key)
        told = {"train_loss"} if world.shape != "reinforcement" else {"train_loss", "train_reward"}
        steps = [event.step for event in events if event.step is not None and told & set(event.metrics)]
        assert steps, f"no event carries {' or '.join(sorted(told))}"
        assert steps == sorted(steps)
        assert min(steps) >= 1
        assert {name for event in events for name in event.metrics} <= MEASURES

    def test_the_end_can_be_asked_for_again(self, world: World) -> None:
        first = world.provider.poll(world.job, cursor=None)
        assert first.state is JobState.SUCCEEDED
        assert first.model == world.model
        assert len({event.id for event in first.events}) == len(first.events)
        assert {event.id for event in _after(world, first)} & {event.id for event in first.events} == set()

    def test_the_key_leads_to_the_job(self, world: World) -> None:
        if world.provider.submission == "idempotent":
            assert world.provider.submit(world.uploaded(), key=world.key).id == world.job.id
        if world.provider.submission == "findable":
            assert [job.id for job in world.provider.find(world.uploaded(), key=world.key)] == [world.job.id]

    def test_another_key_leads_nowhere(self, world: World) -> None:
        assert list(world.provider.find(world.uploaded(), key="0" * 64)) == []

    def test_cancelling_what_has_ended_changes_nothing(self, world: World) -> None:
        world.provider.cancel(world.job)
        world.provider.cancel(world.job)
        assert world.provider.poll(world.job, cursor=None).state is JobState.SUCCEEDED

    @pytest.mark.parametrize("which", ["base", "tuned"])
    def test_every_question_is_answered_once(self, world: World, which: str) -> None:
        questions = [Question(prompt=_prompt(n), repeat=repeat, seed=repeat) for n in range(3) for repeat in range(2)]
        with (
            _served(world, world.model if which == "tuned" else world.request.model) as model,
            remote.asking(model) as ask,
        ):
            answers = list(ask(questions, Generation(max_tokens=8)))
        asked = sorted((question.prompt.id, question.repeat) for question in questions)
        assert sorted((answer.prompt, answer.repeat) for answer in answers) == asked
        assert [answer.error for answer in answers if answer.error] == []
        greedy = {answer.prompt: answer.text for answer in answers}
        assert all(answer.text == greedy[answer.prompt] for answer in answers), "temperature 0 is greedy decoding"

    def test_a_deployment_is_made_once_and_taken_down(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsDeployment) and provider.deploys(world.model):
            standing = _deployed(provider, world.model, world.key)
            found = provider.find_deployment(key=world.key)
            assert found is not None and found.id == standing.id
            assert provider.deploy(world.model, key=world.key).id == standing.id, "the same key is the same deployment"
            provider.undeploy(standing)
            provider.undeploy(standing)
            assert provider.deployment(standing) is None
            assert provider.find_deployment(key=world.key) is None

    def test_a_job_can_be_adopted_by_its_id(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsAdoption):
            adopted = provider.job(world.uploaded(), world.job.id)
            assert adopted.id == world.job.id
            assert provider.poll(adopted, cursor=None).model == world.model
            with pytest.raises(Rejected):
                provider.job(world.uploaded(), "no-such-job")

    def test_what_lies_there_is_listed(self, world: World) -> None:
        provider = world.provider
        if isinstance(provider, SupportsCleanup):
            listed = list(provider.remote_objects())
            assert {file.sha256 for file in world.files} <= {one.sha256 for one in listed if one.kind == "file"}
            assert world.job.id in {one.job for one in listed if one.kind == "model"}

    def test_tokens_are_shown(self, world: World) -> None:
        if isinstance(world.provider, SupportsRender):
            tokens = world.provider.render(world.request, _example(world.shape, 0))
            assert any(token.weight == 0 for token in tokens)
            trained = {weight: "".join(token.text for token in tokens if token.weight == weight) for weight in (1, -1)}
            assert trained[1].strip().startswith("red") or world.shape == "reinforcement"
            assert trained[-1].strip().startswith("green") == (world.shape == "preference")

    def test_models_can_be_taken_away(self, world: World, tmp_path: Path) -> None:
        if isinstance(world.provider, SupportsExport):
            for form in world.provider.exports:
                out = tmp_path / form
                out.mkdir()
                world.provider.export(world.model, form, out)
                assert list(out.iterdir()), f"nothing was written for '{form}'"


def _numbered(given: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a source reads them."""
    numbered = rows.from_dicts(given).append_column(rows.ROW, rows.integers(range(1, len(given) + 1)))
    return numbered.append_column(rows.SIDE, rows.strings(["train"] * len(given)))


def _cleaned(component: Component, options: Mapping[str, Any], batch: Any) -> Any:
    """What core makes of the batch with the step; findings are errors."""
    registry = Registry()
    registry.components["cleaner"][component.name] = Loaded(component, "suite", "0", "suite")
    item = Item(kind="cleaner", name=component.name, options=dict(options))
    if component.level == "global":
        return _reduced(component.build(options), batch)
    learned = component.build(options).learn([_elsewhere()]) if component.level == "screen" else None
    run = runner(item, registry, Path(), learned=learned)
    batch, done = run_step(Stage(item=item, index=0, learned=learned), registry, run, batch)
    assert not done.findings, done.findings[0].message
    return batch


def _elsewhere() -> Reference:
    """What a screen compares with: a prompt that has nothing in common with anybody's rows."""
    said = " ".join(f"only-the-suite-says-{number}" for number in range(40))
    batch = rows.from_dicts([{"messages": [{"role": "user", "content": said}]}])
    batch = batch.append_column(rows.ROW, rows.integers([1]))
    return Reference(batch.append_column(rows.SIDE, rows.strings(["prompt"])), ["suite:1"])


def _reduced(step: GlobalStep, batch: Any) -> Any:
    """What a global step leaves of a batch that is all there is, in its order."""
    import pyarrow.compute as pc

    keys, numbers = step.keys(batch), batch.column(rows.ROW)
    gone = []
    if step.closer:
        looked = batch.filter(pc.is_in(numbers, value_set=step.closer.wanted(keys, numbers)))
        details = step.closer.details(looked)
        gone = step.closer.reduce(keys, numbers, looked.column(rows.ROW), details).rows.to_pylist()
    elif step.reduce:
        gone = step.reduce(keys, numbers).rows.to_pylist()
    stay = [at for at, number in enumerate(numbers.to_pylist()) if number not in set(gone)]
    if step.sort:
        values = keys.to_pylist()
        stay.sort(key=lambda at: (values[at] is None, values[at]) if values[at] is not None else (True,))
    return batch.take(rows.integers(stay))


def _rows(batch: Any) -> list[dict[str, Any]]:
    return rows.to_dicts(batch)


class _Unreachable:
    """A provider of which only the endpoint may be asked."""

    def __init__(self, provider: Provider) -> None:
        self.endpoint = provider.endpoint


@contextmanager
def _served(world: World, model: ModelRef | TunedModel) -> Iterator[Model | RemoteModel]:
    """The model as core puts it up: deployed before where it has to be, and taken down after."""
    provider = world.provider
    if isinstance(model, TunedModel) and isinstance(provider, SupportsDeployment) and provider.deploys(model):
        standing = _deployed(provider, model, world.key)
        try:
            with provider.serve(standing.model) as up:
                yield up
        finally:
            provider.undeploy(standing)
    else:
        with provider.serve(model) as up:
            yield up


def _deployed(provider: SupportsDeployment, model: TunedModel, key: str) -> Deployment:
    """A deployment that is ready."""
    standing: Deployment | None = provider.deploy(model, key=key)
    for _ in range(PAGES):
        assert standing is not None, "the deployment is gone"
        assert not standing.error, standing.error
        if standing.ready:
            return standing
        time.sleep(0.05)
        standing = provider.deployment(standing)
    raise AssertionError("the deployment does not get ready")


def _after(world: World, update: JobUpdate) -> Iterator[Any]:
    """Events that come when one goes on asking after an update."""
    for _ in range(PAGES):
        update = world.provider.poll(world.job, cursor=update.cursor)
        yield from update.events
        if not update.events:
            break


def _example(shape: Shape, number: int) -> Example:
    colour, other = (COLOURS[at % len(COLOURS)] for at in (number, number + 1))
    asked = [Message(role="user", content=f"What colour is thing {number}?")]
    said, not_said = ([Message(role="assistant", content=text)] for text in (colour, other))
    if shape == "preference":
        return Example(messages=asked, chosen=said, rejected=not_said, row=number)
    if shape == "reinforcement":
        return Example(messages=asked, item={"expected": colour, "number": number}, row=number)
    return Example(messages=[*asked, *said], row=number)


def _prompt(number: int) -> Prompt:
    said = _example("chat", number).messages
    return Prompt(id=f"prompt-{number}", messages=said[:1], expected=str(said[1].content))


def batch_of(shape: Shape, count: int, start: int = 0) -> Any:
    """Formatted rows as the pipeline hands them to `write`, of a method that trains on this shape."""
    numbers = range(start, start + count)
    batch = rows.from_dicts([msgspec.to_builtins(_example(shape, number)) for number in numbers], ANSWERS)
    named = [name for name in COLUMNS[shape] if name in batch.schema.names]
    return batch.select(named).append_column(rows.ROW, rows.integers([number + 1 for number in numbers]))
