"""A plugin author's mistakes are told as that plugin's: with its name, what was wanted, and the line."""

from __future__ import annotations

import copy
import errno
import importlib.metadata
import inspect
import math
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import msgspec
import numpy
import pyarrow as pa
import pytest
from msgspec import Meta
from plugged import SPEC, Acme, Nothing, Says, install, installed, run
from runs import Notes

from ftspec import api, registry, rows
from ftspec.cli import guard
from ftspec.common.errors import DataError, PluginError, PluginFault, SpecError
from ftspec.common.progress import Quiet
from ftspec.contracts import abilities, enginecalls, providercalls, tuner
from ftspec.contracts.provider import Provider
from ftspec.data.intake import Intake
from ftspec.data.segments import Segment
from ftspec.state.store import Store
from ftspec.tuning import control, following
from ftspec.tuning.claims import Register
from ftspec.validation import validate

HERE = f"{__name__.replace('.', '/')}.py"


def line_of(function: Any) -> str:
    """Where a function of this file is, as messages say it."""
    return f"({HERE}:{function.__code__.co_firstlineno})"


def broken(**methods: Any) -> Any:
    """The little provider, with other methods."""
    kind = type("Broken", (Acme,), {"__module__": __name__, **methods})
    return installed(ftspec_providers=lambda: {"acme": api.provider(kind)})


def test_the_little_plugin_works(tmp_path: Path) -> None:
    assert run(tmp_path, installed()).passed


# ---- providers


def wrong(value: Any) -> Callable[..., Any]:
    """A method that returns this."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return value

    return method


def update(**fields: Any) -> api.JobUpdate:
    return api.JobUpdate(**{"state": api.JobState.SUCCEEDED, "raw": "done", **fields})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fingerprint", None, "returned None from fingerprint; a str is wanted"),
        ("estimate", {"seconds": 1}, "returned a dict from estimate; an Estimate is wanted"),
        ("estimate", api.Estimate(seconds="1"), "returned an Estimate from estimate that is none: Expected `float |"),  # type: ignore[arg-type]
        ("write", 3, "returned an int from write; a Written is wanted"),
        ("upload", "file-1", "returned a str from upload; a RemoteFile is wanted"),
        ("submit", "job-1", "returned a str from submit; a Job is wanted"),
        ("submit", api.Job(id="1", details={"at": Path()}), "that is none: Encoding objects of type PosixPath"),
        ("find", api.Job(id="1"), "returned a Job from find; a list of Job is wanted"),
        ("find", ["1"], "returned a list of Job from find that is none: Expected `object`, got `str` - at `[0]`"),
        ("poll", ["done"], "returned a list from poll; a JobUpdate is wanted"),
        ("poll", update(state="finished"), "from poll that is none: Invalid enum value 'finished' - at `state`"),
        (
            "poll",
            update(model=api.TunedModel(id="1", base="parrot")),  # type: ignore[arg-type]
            "from poll that is none: Expected `object`, got `str` - at `model.base`",
        ),
        ("submit", api.Job(id=""), "returned a Job without an id from submit"),
        ("write", api.Written(rows=2), "says that it wrote 2 rows of 0, and found no fault with the others"),
        ("upload", api.RemoteFile(id="1", sha256="0"), "from upload a file of another content than the training file"),
        ("estimate", api.Estimate(cost=-1.0), "returned from estimate an Estimate whose 'cost' is below 0"),
        (
            "poll",
            update(model=api.TunedModel(id="", base=api.ModelRef(id="parrot"))),
            "returned from poll a model without an id",
        ),
        ("serve", Says("hello"), "returned a Says from serve; a context manager is wanted"),
    ],
)
def test_what_a_provider_returns_is_looked_into(tmp_path: Path, name: str, value: Any, said: str) -> None:
    method = wrong(value)
    with pytest.raises(PluginError) as caught:
        run(tmp_path, broken(**{name: method}))
    assert caught.value.message.startswith("provider 'acme' of acme[acme] ")
    assert said in caught.value.message
    assert caught.value.message.endswith(line_of(method))
    assert caught.value.hint == "report it to the authors of acme"


def test_a_problem_of_another_type_is_told_by_validate(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(tmp_path, broken(problems=wrong("no such model")))
    (problem,) = caught.value.problems
    assert "returned a str from problems; a list of Problem is wanted" in problem.message


class Lacking:
    """Neither a Model nor a RemoteModel."""

    limits = api.RateLimits()

    async def close(self) -> None: ...


class Text(Says):
    def answer(self, questions: Any, generation: Any) -> Any:
        return (self.text for _ in questions)


class Other(Says):
    def answer(self, questions: Any, generation: Any) -> Any:
        return (api.Answer(prompt="other", repeat=0, text=self.text) for _ in questions)


class Remote:
    limits = api.RateLimits()

    async def ask(self, question: api.Question, generation: api.Generation) -> Any:
        return {"text": "yes"}

    async def close(self) -> None: ...


class RemoteOther(Remote):
    async def ask(self, question: api.Question, generation: api.Generation) -> Any:
        return api.Answer(prompt=question.prompt.id, repeat=7)


class Unlimited(Remote):
    limits = 5  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("model", "said", "at"),
    [
        (
            Lacking(),
            "serves a Lacking: no Model, for it has no 'answer', and no RemoteModel, for it has no 'ask'",
            None,
        ),
        (Text("yes"), "returned a str from answer; an Answer is wanted", Text.answer),
        (Other("yes"), "answered the prompt 'other' (repeat 0), which it was not asked", Other.answer),
        (Remote(), "returned a dict from ask; an Answer is wanted", Remote.ask),
        (Unlimited(), "returned an int from limits; a RateLimits is wanted", Remote.ask),
    ],
)
def test_what_a_model_answers_is_looked_into(tmp_path: Path, model: Any, said: str, at: Any) -> None:
    @contextmanager
    def serve(self: Any, _: Any) -> Iterator[Any]:
        yield model

    with pytest.raises(PluginError) as caught:
        run(tmp_path, broken(serve=serve))
    assert caught.value.message == f"provider 'acme' of acme[acme] {said} {line_of(at or inspect.unwrap(serve))}"


def test_an_error_while_answers_are_ended_is_told_as_its(tmp_path: Path) -> None:
    class Gone(Other):
        def answer(self, questions: Any, generation: Any) -> Any:
            try:
                yield from super().answer(questions, generation)
            finally:
                raise KeyError("gone")

    with pytest.raises(PluginFault, match=r"provider 'acme' of acme\[acme\] failed in answer: KeyError: 'gone'"):
        run(tmp_path, broken(serve=lambda self, _: nullcontext(Gone("yes"))))


@pytest.mark.parametrize("name", ["fingerprint", "estimate", "write", "upload", "submit", "find", "poll", "serve"])
def test_an_error_of_a_provider_is_told_as_its(tmp_path: Path, name: str) -> None:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return {}["status"]

    with pytest.raises(PluginFault) as caught:
        run(tmp_path, broken(**{name: method}))
    line = method.__code__.co_firstlineno + 1
    said = f"provider 'acme' of acme[acme] failed in {name}: KeyError: 'status' ({HERE}:{line})"
    assert caught.value.message == said
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    "error",
    [api.Rejected("no money"), api.FtspecError("not so"), OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()],
)
def test_what_is_no_fault_of_a_provider_passes(tmp_path: Path, error: BaseException) -> None:
    def upload(self: Any, file: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        run(tmp_path, broken(upload=upload))
    assert caught.value is error


def test_what_lasts_is_asked_again(tmp_path: Path) -> None:
    calls = []

    def upload(self: Any, file: api.DataFile) -> api.RemoteFile:
        calls.append(file)
        if len(calls) == 1:
            raise api.Transient("busy", retry_after=0.0)
        return Acme.upload(self, file)

    assert run(tmp_path, broken(upload=upload)).passed
    assert len(calls) == 2


def test_a_model_that_gets_its_name_late_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    calls = []

    def poll(self: Any, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        calls.append(job)
        return update() if len(calls) < 3 else Acme.poll(self, job, cursor=cursor)

    notes = Notes()
    assert run(tmp_path, broken(poll=poll), progress=notes).passed
    said = "has succeeded, but the provider does not name its model yet: asking again for up to 15"
    assert len([note for note in notes.notes if said in note]) == 1


def test_losses_that_are_no_numbers_are_kept(tmp_path: Path) -> None:
    """JSON has no word for them: events and checkpoints could not be read any more."""
    losses = [3.0 - step / 5 if step < 6 else math.nan for step in range(10)]

    def poll(self: Any, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        measured = [(step, {"train_loss": loss, "validation_loss": loss}) for step, loss in enumerate(losses, 1)]
        model = api.TunedModel(id=job.id, base=api.ModelRef(id="parrot"))
        events = [api.TrainingEvent(id=f"{step}", at=step, step=step, metrics=metrics) for step, metrics in measured]
        kept = [
            api.Checkpoint(
                id=f"{step}",
                step=step,
                model=msgspec.structs.replace(model, details={"step": step}),
                metrics={"validation_loss": metrics["validation_loss"]},
            )
            for step, metrics in reversed(measured)
        ]
        return update(model=model, events=tuple(events), checkpoints=tuple(kept))

    text = SPEC.replace("\neval:", "\nsplit: {validation: 0.4}\nfollow: {checkpoint: best}\neval:")
    plugin, notes = broken(poll=poll, checkpoints="each step"), Notes()
    assert run(tmp_path, plugin, text, notes).passed
    assert [note for note in notes.notes if note.startswith("diverging: the training loss is no number any more")]
    assert run(tmp_path, plugin, text, again=("report",)).passed
    store = Store.open(tmp_path / ".ftspec")
    (key,) = {stored.key.split("/")[1] for stored in store.list("jobs")}
    kept = [math.isfinite(event.metrics["train_loss"]) for event in following.history(store, key)]
    assert kept == [True] * 6 + [False] * 4
    result = following.ended(store, key)
    assert result is not None
    best = following.chosen(result, "best")
    assert best is not None
    assert best.details == {"step": 6}


@pytest.mark.parametrize(("name", "value"), [("endpoint", 5), ("submission", "Idempotent")])
def test_a_fact_about_a_provider_is_looked_into(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(PluginError, match=rf"provider 'acme' of acme\[acme\] has a faulty {name}: "):
        run(tmp_path, broken(**{name: value}))


def test_a_held_provider_can_do_what_it_can_and_no_more() -> None:
    def stop(self: Any, job: api.Job) -> None: ...

    culprit = providercalls.Culprit("the provider")
    plain, stopping = (
        providercalls.held(kind(), culprit) for kind in (Acme, type("Stopping", (Acme,), {"stop": stop}))
    )
    assert isinstance(plain, Provider)
    assert (isinstance(plain, api.SupportsStop), isinstance(stopping, api.SupportsStop)) == (False, True)
    assert not isinstance(stopping, api.SupportsDeployment)


def test_who_asks_how_a_job_stands_sets_nothing_going(tmp_path: Path) -> None:
    def look(self: Any, job: api.Job) -> api.JobUpdate:
        return api.JobUpdate(state=api.JobState.PAUSED, raw="nobody is at it")

    def poll(self: Any, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        return api.JobUpdate(state=api.JobState.RUNNING, raw="going again")

    store = Store.open(tmp_path / "state")
    Register(store, "key").adopt(api.Job(id="j"))
    kinds = (type("Polled", (Acme,), {"poll": poll}), type("Seen", (Acme,), {"poll": poll, "look": look}))
    seen = [control.status(providercalls.held(kind(), providercalls.Culprit("it")), store, "key") for kind in kinds]
    assert [one.raw for one in seen] == ["going again", "nobody is at it"]


@pytest.mark.parametrize("held", [providercalls.held, enginecalls.held])
def test_what_is_held_can_be_copied(held: Callable[..., Any]) -> None:
    made = held(Acme(), providercalls.Culprit("the plugin"))
    assert copy.copy(made).endpoint == made.endpoint
    assert type(copy.deepcopy(made)) is type(made)
    with pytest.raises((pickle.PicklingError, AttributeError)):  # a class of its own: no recursion
        pickle.dumps(made)


def test_every_method_of_the_contract_is_held() -> None:
    """A method that a protocol gets is to stand in the table, with what it returns."""
    protocols = [Provider, *(value for room in (abilities, tuner) for name, value in vars(room).items())]
    protocols = [one for one in protocols if getattr(one, "_is_protocol", False) and one.__name__ != "Tokenizer"]
    methods = {name: found for one in protocols for name, found in vars(one).items() if inspect.isfunction(found)}
    methods = {name: found for name, found in methods.items() if not name.startswith("_")}
    held = {**providercalls.NEEDED, **providercalls.OPTIONAL}
    assert methods.keys() | {"keeps_no_checkpoints"} == held.keys() | {"serve"}
    for name, function in methods.items():
        returns = str(function.__annotations__["return"])
        if held.get(name):
            assert held[name].type.__name__ in re.findall(r"\w+", returns), name
            assert isinstance(held[name], providercalls.Many) == bool(re.match("Iterable|Sequence", returns)), name
            assert getattr(held[name], "or_none", False) == ("None" in returns), name
    facts = {name for one in protocols for name in (*one.__annotations__, *vars(one)) if not name.startswith("_")}
    assert facts - methods.keys() - {"methods"} == set(providercalls.FACTS)


def test_an_answer_of_a_remote_model_is_that_to_the_question(tmp_path: Path) -> None:
    @contextmanager
    def serve(self: Any, _: Any) -> Iterator[Any]:
        yield RemoteOther()

    with pytest.raises(PluginError, match=r"provider 'acme' of .* answered the prompt '\w+' \(repeat 7\)"):
        run(tmp_path, broken(serve=serve))


# ---- graders and gates


def graded(folder: Path, grade: Any, progress: Quiet | None = None) -> Any:
    @api.grader
    def mine() -> api.Grader:
        """Mine."""
        return cast(api.Grader, grade)

    plugin = installed(ftspec_graders=lambda: {"mine": mine})
    return run(folder, plugin, SPEC.replace("[exact]", "[mine]"), progress)


def raises(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
    return api.Grade(passed={}["verdict"])


def half(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
    """Raises where the base model says hello."""
    return raises(prompt, answer) if answer.text == "hello" else api.Grade(passed=True)


@pytest.mark.parametrize(
    ("grade", "said"),
    [
        (raises, f"failed: KeyError: 'verdict' ({HERE}:{raises.__code__.co_firstlineno + 1})"),
        (lambda prompt, answer: None, "returned None; a Grade is wanted"),
        (lambda prompt, answer: True, "returned a bool; a Grade is wanted"),
        (lambda prompt, answer: api.Grade(passed=True, score=7.5), "the score 7.5; one from 0 to 1 is wanted"),
        (lambda prompt, answer: api.Grade(passed=True, score=math.nan), "the score nan; one from 0 to 1 is wanted"),
        (lambda prompt, answer: api.Grade(passed=1), "a Grade that is none: Expected `bool`, got `int` - at `passed`"),
        (lambda prompt, answer: api.Grade(passed=numpy.bool_(True)), "a Grade that is none: "),
    ],
)
def test_a_graders_mistake_is_no_verdict_on_the_model(tmp_path: Path, grade: Any, said: str) -> None:
    notes = Notes()
    outcome = graded(tmp_path, grade, notes)
    tuned = outcome.evaluation.tuned
    assert (tuned.errors, outcome.passed) == (2, False)
    assert said in tuned.lost
    (verdict,) = outcome.verdicts
    assert verdict.outcome == "INSUFFICIENT_EVIDENCE"
    assert said in verdict.message
    about = "grader 'mine' gave no verdict on 2 answers of the tuned model, which count neither as passed nor as failed"
    assert [note for note in notes.notes if note.startswith(f"{about}: grader 'mine' of acme[acme] ")]


def test_why_a_grader_cannot_tell_is_said(tmp_path: Path) -> None:
    def unsure(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        raise api.Unjudged("the reply is neither yes nor no")

    notes = Notes()
    graded(tmp_path, unsure, notes)
    assert len([note for note in notes.notes if note.endswith(": the reply is neither yes nor no")]) == 2


def test_what_the_grader_can_tell_counts(tmp_path: Path) -> None:
    notes = Notes()
    outcome = graded(tmp_path, half, notes)
    assert outcome.passed
    assert (outcome.evaluation.base.errors, outcome.evaluation.tuned.errors) == (2, 0)
    assert len([note for note in notes.notes if "gave no verdict" in note]) == 1


def test_a_function_of_the_users_own_that_raises_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSPEC_ALLOW_PYTHON", "1")
    (tmp_path / "grade.py").write_text("def grade(prompt, answer):\n    return prompt.row['grade'] == 1\n")
    outcome = run(tmp_path, installed(), SPEC.replace("[exact]", "[{python: {file: grade.py}}]"))
    assert outcome.evaluation.tuned.lost == "grader 'python': grade failed: KeyError: 'grade' (grade.py:2)"


def judging(**functions: Any) -> Any:
    @api.grader
    def mine(*, provider: api.ProviderRef = "acme") -> Any:  # type: ignore[assignment]
        """Mine."""

        def questions(prompt: api.Prompt, answer: api.Answer, other: api.Answer | None) -> Any:
            return [api.Prompt(id="", messages=[api.Message(role="user", content=answer.text)])]

        def grade(prompt: api.Prompt, answer: api.Answer, replies: Any) -> api.Grade:
            return api.Grade(passed=replies[0].text == "hello")

        how = {"provider": provider, "model": "parrot", "generation": api.Generation()}
        return api.Judge(**{**how, "questions": questions, "grade": grade, **functions})

    return installed(ftspec_graders=lambda: {"mine": mine})


def test_the_little_judge_works(tmp_path: Path) -> None:
    assert run(tmp_path, judging(), SPEC.replace("[exact]", "[mine]")).passed


def test_a_judge_that_cannot_read_replies_has_no_verdict(tmp_path: Path) -> None:
    def grade(prompt: api.Prompt, answer: api.Answer, replies: Any) -> api.Grade:
        return api.Grade(passed=replies[1].text == "hello")

    outcome = run(tmp_path, judging(grade=grade), SPEC.replace("[exact]", "[mine]"))
    said = f"grader 'mine' of acme[acme] failed in grade: IndexError: list index out of range ({HERE}:"
    assert outcome.evaluation.tuned.lost.startswith(said)


@pytest.mark.parametrize(
    ("field", "value"),
    [("provider", None), ("model", ""), ("generation", {}), ("labelled", ["x"]), ("asks", 5), ("grade", None)],
)
def test_a_judge_is_what_it_should_be(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(PluginError, match=f"a Judge whose '{field}' is not what it should be"):
        run(tmp_path, judging(**{field: value}), SPEC.replace("[exact]", "[mine]"))


def test_a_judge_that_asks_no_prompts_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="returned a str from questions; a Prompt is wanted"):
        run(tmp_path, judging(questions=lambda *_: ["is it right?"]), SPEC.replace("[exact]", "[mine]"))


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (lambda evaluation: evaluation.tuned.acuracy, "failed: AttributeError: "),
        (lambda evaluation: True, "returned a bool; a Verdict is wanted"),
        (
            lambda evaluation: api.Verdict(gate="mine", passed="yes", measured=None, message=""),  # type: ignore[arg-type]
            "returned a Verdict that is none: Expected `bool`, got `str` - at `passed`",
        ),
    ],
)
def test_a_gates_mistake_is_told_as_its(tmp_path: Path, judge: Any, said: str) -> None:
    @api.gate
    def mine() -> api.Gate:
        """Mine."""
        return cast(api.Gate, judge)

    plugin = installed(ftspec_gates=lambda: {"mine": mine})
    outcome = run(tmp_path, plugin, SPEC.replace("gates:\n", "gates:\n  - mine\n"))
    mine_, fine = outcome.verdicts
    assert mine_.message.startswith("no verdict: gate 'mine' of acme[acme] ")
    assert said in mine_.message
    assert f"({HERE}:" in mine_.message
    assert mine_.message.endswith("; report it to the authors of acme")
    assert (mine_.passed, fine.passed) == (False, True)


# ---- what factories return


FACTORIES = {
    "sources": (api.source, "Source"),
    "cleaners": (api.batch_step, "BatchStep (a function)"),
    "formats": (api.format, "Format (a function)"),
    "checks": (api.check, "Check"),
    "graders": (api.grader, "Grader (a function)"),
    "gates": (api.gate, "Gate (a function)"),
    "engines": (api.engine, "Engine (with a method 'map')"),
}
PLACES = {
    "sources": ("sources:\n", "sources:\n  - mine\n"),
    "cleaners": ("format:", "cleaning: [mine]\nformat:"),
    "formats": ("{prompt_completion: {}}", "mine"),
    "checks": ("provider:", "checks: [mine]\nprovider:"),
    "graders": ("[exact]", "[mine]"),
    "gates": ("gates:\n", "gates:\n  - mine\n"),
    "engines": ("provider:", "engine: mine\nprovider:"),
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_factory_that_returns_nothing_is_told(tmp_path: Path, kind: str) -> None:
    decorator, wanted = FACTORIES[kind]

    def mine() -> None:
        """Nothing is returned."""

    plugin = installed(**{f"ftspec_{kind}": lambda: {"mine": decorator(mine)}})
    with pytest.raises(PluginError) as caught:
        run(tmp_path, plugin, SPEC.replace(*PLACES[kind]))
    assert " 'mine' of acme[acme] is made by a factory that returns None; a" in caught.value.message
    assert caught.value.message.endswith(f" {wanted} is wanted {line_of(mine)}")


@pytest.mark.parametrize(
    ("decorator", "wanted"), [(api.text_step, "Text"), (api.global_step, "GlobalStep"), (api.screen_step, "Screen")]
)
def test_a_step_of_another_level_is_told(tmp_path: Path, decorator: Any, wanted: str) -> None:
    @decorator
    def mine() -> Any:
        """A function where more is wanted."""
        return lambda batch: batch

    plugin = installed(ftspec_cleaners=lambda: {"mine": mine})
    with pytest.raises(PluginError, match=f"a factory that returns a function; a {wanted} is wanted"):
        run(tmp_path, plugin, SPEC.replace(*PLACES["cleaners"]))


# ---- engines and reductions

MANY = SPEC.replace("  - examples:", "  - many\n  - examples:", 1)


@api.source
def many() -> api.Source:
    """Some batches of rows, no two of them alike."""

    def read() -> Iterator[api.Chunk]:
        for start in range(0, 50, 10):
            numbers = range(start, start + 10)
            said = [{"prompt": f"{number} and", "completion": f"{number} plus"} for number in numbers]
            yield api.Chunk(rows.from_dicts(said), "", [number + 1 for number in numbers])

    return api.Source(read, lambda: "1")


class Faithful:
    def map(self, work: api.Work, items: Any) -> Any:
        return map(work, items)


class Losing(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        yield from list(map(work, items))[:-1]


class Repeating(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        for result in map(work, items):
            yield result
            yield result


class Reordering(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        yield from reversed(list(map(work, items)))


class Empty(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        for item in items:
            work(item)
            yield None


class Lazy(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        return None


class Broken(Faithful):
    def map(self, work: api.Work, items: Any) -> Any:
        for item in items:
            yield work(item).batch


def engine_of(kind: Any, **hooks: Any) -> Any:
    @api.engine
    def mine() -> api.Engine:
        """Mine."""
        return cast(api.Engine, kind())

    return installed(ftspec_engines=lambda: {"mine": mine}, ftspec_sources=lambda: {"many": many}, **hooks)


WITH_ENGINE = MANY.replace("provider:", "engine: mine\nprovider:")


def test_a_faithful_engine_works(tmp_path: Path) -> None:
    assert run(tmp_path, engine_of(Faithful), WITH_ENGINE).evaluation


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Losing, "yielded 5 results from map of 6 items that it was given"),
        (Repeating, "yielded more results from map than items that it was given"),
        (Reordering, "lost, repeated or reordered items in map"),
        (Empty, "yielded None from map, which its work did not return"),
        (Lazy, "returned None from map; an iterator is wanted"),
        (Broken, "failed in map: AttributeError: 'tuple' object has no attribute 'batch'"),
    ],
)
def test_an_engine_that_is_not_faithful_is_told(tmp_path: Path, kind: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        run(tmp_path, engine_of(kind), WITH_ENGINE)
    assert caught.value.message.startswith(f"engine 'mine' of acme[acme] {said}")
    assert f"({HERE}:" in caught.value.message


@pytest.mark.parametrize("made", [["x"], [pa.record_batch({"a": rows.strings(["x"])})]])
def test_what_an_engine_makes_of_a_reduction_is_looked_into(tmp_path: Path, made: Any) -> None:
    class Reducing(Faithful):
        def reduce(self, work: api.Work, items: Any) -> Any:
            return made

    text = WITH_ENGINE.replace("format:", "cleaning: [dedupe]\nformat:")
    with pytest.raises(PluginError, match="from reduce; a RecordBatch with the columns 'row' and 'because' is wanted"):
        run(tmp_path, engine_of(Reducing), text)


def test_an_error_of_what_it_runs_is_not_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Segment, "__call__", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(tmp_path, engine_of(Faithful), WITH_ENGINE, cache=False)
    monkeypatch.undo()
    monkeypatch.setattr(Intake, "batches", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(tmp_path, engine_of(Faithful), WITH_ENGINE)


def dropping(gone: Any, because: Any = None) -> Any:
    @api.global_step
    def mine() -> api.GlobalStep:
        """Mine."""

        def reduce(keys: Any, numbers: Any) -> api.Dropped:
            return api.Dropped(gone, gone if because is None else because)

        return api.GlobalStep(keys=lambda batch: batch.column("prompt"), reduce=reduce)

    return installed(ftspec_cleaners=lambda: {"mine": mine})


NULLS = pa.nulls(2, pa.int64())


def test_a_reduction_may_drop_what_it_was_given(tmp_path: Path) -> None:
    text = SPEC.replace(*PLACES["cleaners"])
    assert run(tmp_path, dropping(rows.integers([2]), rows.integers([1])), text).passed


@pytest.mark.parametrize(
    ("gone", "because", "said"),
    [
        (rows.integers([7]), None, "drops rows that it was not given"),
        (rows.integers([-1]), None, "drops rows that it was not given"),
        (rows.integers([1 << 60]), None, "drops rows that it was not given"),
        (rows.integers([1, 1]), None, "drops a row twice"),
        (rows.integers([1]), rows.integers([8]), "drops rows because of rows that it was not given"),
        (rows.integers([1, 2]), NULLS, "drops rows because of rows, one of which is null"),
        (NULLS, rows.integers([1, 1]), "drops rows, one of which is null"),
        (rows.strings(["1"]), None, "drops rows, but not by an array of their numbers"),
        (None, None, "failed: "),
    ],
)
def test_a_reduction_that_names_unknown_rows_is_told(tmp_path: Path, gone: Any, because: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        run(tmp_path, dropping(gone, because), SPEC.replace(*PLACES["cleaners"]))
    assert caught.value.message.startswith(f"cleaning step 'mine' of acme[acme] {said}")


def stepped(**fields: Any) -> Any:
    @api.global_step
    def mine() -> api.GlobalStep:
        """Mine."""
        return api.GlobalStep(**{"keys": lambda batch: batch.column("prompt"), **fields})

    return installed(ftspec_cleaners=lambda: {"mine": mine})


def all_rows(keys: Any, numbers: Any) -> Any:
    return numbers


def nothing(*_: Any) -> api.Dropped:
    return api.Dropped(rows.integers([]), rows.integers([]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"keys": lambda batch: None}, "made None of keys; an array with one for each row is wanted"),
        ({"keys": lambda batch: batch.column("prompt").to_pylist()}, "made a list of keys; an array with one"),
        ({"keys": None}, "has None as 'keys' of its GlobalStep; a function is wanted"),
        ({"scope": "rows"}, 'has a GlobalStep whose \'scope\' is neither "key" nor "all"'),
        ({"keys": lambda batch: pa.array([[1]] * batch.num_rows), "sort": True}, "failed in sort: ArrowTypeError"),
        ({"closer": api.Closer(all_rows, lambda batch: [1] * batch.num_rows, nothing)}, "made a list of details; an"),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_global_steps_mistake_is_told_as_its(tmp_path: Path, fields: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        run(tmp_path, stepped(**fields), SPEC.replace(*PLACES["cleaners"]))
    assert caught.value.message.startswith(f"cleaning step 'mine' of acme[acme] {said}")


def test_a_closer_look_at_unknown_rows_is_told(tmp_path: Path) -> None:
    @api.global_step
    def mine() -> api.GlobalStep:
        """Mine."""
        closer = api.Closer(
            wanted=lambda keys, numbers: rows.integers([99]),
            details=lambda batch: batch.column("prompt"),
            reduce=lambda *_: api.Dropped(rows.integers([]), rows.integers([])),
        )
        return api.GlobalStep(keys=lambda batch: batch.column("prompt"), closer=closer)

    with pytest.raises(PluginError, match=r"'mine' of .* wants to look at rows that it was not given"):
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))


# ---- sources and screens


def sourced(read: Any, fingerprint: Any = None) -> Any:
    @api.source
    def mine() -> api.Source:
        """Mine."""
        return api.Source(read, fingerprint)

    return installed(ftspec_sources=lambda: {"mine": mine})


def chunk(**fields: Any) -> api.Chunk:
    batch = rows.from_dicts([{"prompt": "six", "completion": "yes"}])
    return api.Chunk(**{"batch": batch, "origin": "", "lines": [1], **fields})


WITH_SOURCE = SPEC.replace(*PLACES["sources"])


@pytest.mark.parametrize("read", [lambda: iter([chunk()]), lambda: [chunk()]])
def test_a_source_may_return_a_list_of_chunks(tmp_path: Path, read: Any) -> None:
    outcome = run(tmp_path, sourced(read), WITH_SOURCE)
    assert outcome.passed


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: None, "returned None from read; an iterator of Chunk and Finding is wanted"),
        (lambda: [None], "yielded None from read; a Chunk or a Finding is wanted"),
        (lambda: [{"prompt": "a"}], "yielded a dict from read; a Chunk or a Finding is wanted"),
        (lambda: [chunk(batch=[{"a": 1}])], "yielded a Chunk from read whose batch is a list; a RecordBatch is wanted"),
        (lambda: [chunk(lines=None)], "yielded a Chunk from read whose lines are None; one number for each row"),
        (lambda: [chunk(origin=None)], "yielded a Chunk from read whose origin is None; a file's name is wanted"),
        (lambda: [{}["row"]], "failed in read: KeyError: 'row'"),
    ],
)
def test_a_sources_mistake_is_told_as_its(tmp_path: Path, read: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        run(tmp_path, sourced(read), WITH_SOURCE)
    assert caught.value.message.startswith(f"source 'mine' of acme[acme] {said}")
    assert caught.value.message.endswith(line_of(read))


def test_a_fingerprint_is_a_text(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="returned an int from fingerprint; a str is wanted"):
        run(tmp_path, sourced(lambda: [chunk()], lambda: 5), WITH_SOURCE)


@api.row_step
def faulty() -> api.RowStep:
    """Fails on the evaluation's prompts."""

    def step(row: dict[str, Any]) -> dict[str, Any]:
        if row["prompt"] in ("four", "five"):
            raise ValueError("no")
        return row

    return step


@api.screen_step
def screen() -> api.Screen:
    """Compares with the prompts."""

    def learn(references: Any) -> set[str]:
        return {text for one in references for text in one.batch.column("prompt").to_pylist()}

    return api.Screen(learn, lambda learned, batch: batch)


def test_a_step_that_fails_on_prompts_is_told_and_not_the_screen_after_it(tmp_path: Path) -> None:
    plugin = installed(ftspec_cleaners=lambda: {"faulty": faulty, "screen": screen})
    text = SPEC.replace("format:", "cleaning: [faulty, screen]\nformat:")
    with pytest.raises(DataError) as caught:
        run(tmp_path, plugin, text)
    found = [finding for finding in caught.value.findings if finding.file == "eval.prompts[0]"]
    assert [finding.message.partition(" at ")[0] for finding in found] == [
        "step 'faulty': failed on this row: ValueError"
    ] * 2


def test_a_screen_that_fails_is_told(tmp_path: Path) -> None:
    @api.screen_step
    def mine() -> api.Screen:
        """Mine."""
        return api.Screen(lambda references: [one.rows for one in references], lambda learned, batch: batch)

    with pytest.raises(PluginFault, match=r"cleaning step 'mine' of .* failed: AttributeError"):
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))


def test_what_a_screen_learns_can_be_pickled(tmp_path: Path) -> None:
    @api.screen_step
    def mine() -> api.Screen:
        """Mine."""
        return api.Screen(iter, lambda learned, batch: batch)

    said = "failed in learn, which returned what cannot be pickled: TypeError: cannot pickle"
    with pytest.raises(PluginFault, match=said):
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))


# ---- checks, and hooks that look at a plan


@pytest.mark.parametrize("field", ["judge", "weigh"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["bad"], "yielded a str; a Finding is wanted"),
        ([api.Finding(message="bad", severity="fatal")], "is none: Invalid enum value 'fatal' - at `severity`"),  # type: ignore[arg-type]
        ([api.Finding(message="bad", row="1")], "is none: Expected `int | null`, got `str` - at `row`"),  # type: ignore[arg-type]
        (None, "failed in {field}: TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_checks_mistake_is_told_as_its(tmp_path: Path, field: str, value: Any, said: str) -> None:
    @api.check
    def mine() -> api.Check:
        """Mine."""
        functions = {"measure": lambda batch: 1, "judge": lambda measures: [], field: lambda facts: value}
        return api.Check(**functions)

    with pytest.raises(PluginError) as caught:
        run(tmp_path, installed(ftspec_checks=lambda: {"mine": mine}), SPEC.replace(*PLACES["checks"]))
    assert caught.value.message.startswith("check 'mine' of acme[acme] ")
    assert said.format(field=field) in caught.value.message


@pytest.mark.parametrize(
    "problem",
    [api.Problem(message="no", severity="fatal"), api.Problem(message="no", path="format")],  # type: ignore[arg-type]
)
def test_a_veto_that_is_none_is_told(tmp_path: Path, problem: Any) -> None:
    """It was no error and no warning, so that the run went on."""
    with pytest.raises(PluginError, match=r"plugin acme\[acme\]: ftspec_plan_ready failed: ValidationError"):
        run(tmp_path, installed(ftspec_plan_ready=lambda plan: [problem]))


# ---- settings


@pytest.mark.parametrize(
    ("setting", "function", "said"),
    [
        ("reads", lambda options: None, "returned None; an Iterable is wanted"),
        ("reads", lambda options: {}["column"], "failed: KeyError: 'column'"),
        ("packages", lambda options: ["numpy"], "returned a list; a Mapping is wanted"),
        ("packages", lambda options: {}["model"], "failed: KeyError: 'model'"),
    ],
)
def test_a_fault_in_a_setting_is_told(tmp_path: Path, setting: str, function: Any, said: str) -> None:
    @api.batch_step(**{setting: function})
    def mine() -> api.BatchStep:
        """Mine."""
        return lambda batch: batch

    with pytest.raises(PluginError) as caught:
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))
    assert caught.value.message == f"cleaning step 'mine': its setting '{setting}' {said} {line_of(function)}"


def test_what_a_gate_needs_is_looked_into(tmp_path: Path) -> None:
    @api.gate(needs=lambda options: cast(api.Needs, None))
    def mine() -> Any:
        """Mine."""

    with pytest.raises(PluginError, match="gate 'mine': its setting 'needs' returned None; a Needs is wanted"):
        run(tmp_path, installed(ftspec_gates=lambda: {"mine": mine}), SPEC.replace(*PLACES["gates"]))


@pytest.mark.parametrize("said", ["bad", ["bad"], [("words", "bad")], [(("words",), 5)]])
def test_a_rule_that_yields_no_clash_is_told(tmp_path: Path, said: Any) -> None:
    @api.batch_step(rules=[lambda options: said])
    def mine() -> api.BatchStep:
        """Mine."""
        return lambda batch: batch

    with pytest.raises(SpecError) as caught:
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))
    (problem,) = caught.value.problems
    assert "a rule of it yields what is no api.Clash, (path, message): " in problem.message


@pytest.mark.parametrize("setting", ["dependencies", "code", "rules"])
def test_a_setting_that_is_a_list_is_no_text(setting: str) -> None:
    with pytest.raises(TypeError, match=f"the setting '{setting}' of a cleaner is a list, and not one text"):
        api.batch_step(**{setting: "numpy"})(lambda: None)


# ---- at load


@pytest.mark.parametrize(
    ("value", "said"),
    [([], "a list"), (None, "None"), ({"exact": 1}.items(), "a dict_items")],
)
def test_a_hook_returns_a_mapping(value: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        installed(ftspec_graders=lambda: value)
    message = f"ftspec_graders() returned {said}; a mapping of names to components is wanted"
    assert caught.value.message == f"plugin acme[acme] breaks its contract: {message}"


class Without(Acme):
    poll = None
    methods = {"sft": {"epochs": 1}}  # type: ignore[dict-item]


class Bare:
    """A tuner of which much is still to be written."""

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        return api.Job(id=key)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Bare, "provider 'acme' has no 'attach', 'cancel', 'estimate', 'find', 'fingerprint', 'methods', 'poll', "),
        (Without, "provider 'acme': its 'methods' must map names of training methods to api.Method"),
        (type("None_", (Acme,), {"methods": {}}), "provider 'acme': its 'methods' must map names of training methods"),
        (
            type("Dict", (Acme,), {"methods": {"sft": api.Method(dict, Nothing)}}),
            "provider 'acme', method 'sft': its hyperparameters are a type; a class is wanted",
        ),
        (
            type("Shapeless", (Acme,), {"methods": {"sft": api.Method(Nothing, Nothing, data="chats")}}),
            "provider 'acme', method 'sft': there is no shape of rows 'chats': there are ",
        ),
        (
            type("Unknown", (Acme,), {"methods": {"sft": api.Method(Nothing, Nothing, shapes_data=("length",))}}),
            "provider 'acme', method 'sft': shapes_data names 'length', which is no hyperparameter of it",
        ),
    ],
)
def test_a_provider_without_what_all_have_is_told(kind: Any, said: str) -> None:
    with pytest.raises(PluginError) as caught:
        installed(ftspec_providers=lambda: {"acme": api.provider(kind)})
    assert caught.value.message.startswith(f"plugin acme[acme] breaks its contract: {said}")


class Odd(msgspec.Struct):
    rate: complex = 0j


class Unfinished(msgspec.Struct):
    rate: Nowhere = 0  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (api.Method(Odd, Nothing), "its hyperparameters have no JSON Schema: type <class 'complex'> is not supported"),
        (api.Method(Nothing, Unfinished), "its options have no JSON Schema: name 'Nowhere' is not defined"),
    ],
)
def test_a_method_whose_options_have_no_schema_is_told(method: api.Method, said: str) -> None:
    found = installed(
        ftspec_providers=lambda: {"acme": api.provider(type("Strange", (Acme,), {"methods": {"sft": method}}))}
    )
    with pytest.raises(PluginError) as caught:
        validate.load_text("version: 1\nname: x\nprovider: acme\n", Path("spec.yaml"), found)
    assert caught.value.message.startswith(f"provider 'acme', method 'sft': {said}")


def test_a_provider_is_a_class() -> None:
    def mine() -> Any:
        """Mine."""

    with pytest.raises(PluginError, match="provider 'acme' is a function; a class is wanted"):
        installed(ftspec_providers=lambda: {"acme": api.provider(mine)})  # type: ignore[arg-type]


def test_a_hook_that_is_misspelt_or_not_marked_is_told() -> None:
    def offers() -> dict[str, api.Component]:
        return {}

    with pytest.raises(PluginError, match="there is no hook 'ftspec_grader'") as caught:
        installed(ftspec_grader=offers)
    assert caught.value.hint == "did you mean 'ftspec_graders'?"
    del offers.ftspec_impl  # type: ignore[attr-defined]
    entry = importlib.metadata.EntryPoint(name="acme", value="acme", group="ftspec")
    with pytest.raises(PluginError, match="ftspec_graders is not marked as a hook") as caught:
        registry.Registry().add(registry.Found(entry, "acme", "1"), SimpleNamespace(ftspec_graders=offers))
    assert caught.value.hint == "write `@api.hookimpl` above it"


def test_a_factory_that_is_not_decorated_is_told() -> None:
    def mine() -> Any:
        """Mine."""

    with pytest.raises(PluginError, match="offers 'mine', which is not a gate: a function") as caught:
        installed(ftspec_gates=lambda: {"mine": mine})
    assert caught.value.hint.startswith("make it one with `@api.gate`")


def test_a_hook_that_raises_says_what() -> None:
    def offers() -> Any:
        return {"mine": {}["missing"]}

    with pytest.raises(PluginError, match="breaks its contract: KeyError: 'missing'"):
        installed(ftspec_graders=offers)


def test_a_plugin_that_cannot_be_imported_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty_acme.py").write_text("from ftspec import api\n\napi.nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint(name="acme", value="faulty_acme", group="ftspec")
    monkeypatch.setattr(registry, "find", lambda: [registry.Found(entry, "acme", "1")])
    with pytest.raises(PluginError, match=r"has no attribute 'nothing' \(faulty_acme.py:3\)"):
        registry.load()


def test_a_text_step_that_returns_no_text_is_told(tmp_path: Path) -> None:
    @api.text_step
    def mine() -> api.Text:
        """Mine."""
        return api.Text(lambda text: cast(str, None))

    with pytest.raises(PluginError, match="TypeError: its function returned None; a text is wanted"):
        run(tmp_path, installed(ftspec_cleaners=lambda: {"mine": mine}), SPEC.replace(*PLACES["cleaners"]))


def test_a_default_of_another_type_is_told() -> None:
    def mine(*, words: Annotated[int, Meta(ge=1)] = cast(int, "many")) -> Any:
        """Mine."""

    with pytest.raises(PluginError, match="grader 'mine': the default of option 'words': Expected `int`, got `str`"):
        installed(ftspec_graders=lambda: {"mine": api.grader(mine)})


def test_a_tokenizer_is_one(tmp_path: Path) -> None:
    text = SPEC.replace("format:", "cleaning: [{length: {max: 10, unit: tokens}}]\nformat:")
    with pytest.raises(PluginError, match="returned from tokenizer a str, which has no 'special', 'per_byte'"):
        run(tmp_path, broken(tokenizer=wrong("a tokenizer")), text)


def test_a_name_is_a_text() -> None:
    @api.grader
    def mine() -> Any:
        """Mine."""

    with pytest.raises(PluginError, match="offers <grader mine> under 5, which is no name"):
        installed(ftspec_graders=lambda: {5: mine})


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        (Path, f"its options have no JSON Schema: type {Path} is not supported"),
        (list[int] | set[int], "its options have no JSON Schema: Type unions may not contain more than one array-like"),
        ("int |", "annotation 'int |' of option 'x': invalid syntax"),
    ],
)
def test_an_option_of_a_type_that_there_is_none_of_is_told(type_: Any, said: str) -> None:
    def mine(*, x: Any) -> Any:
        """Mine."""

    mine.__annotations__["x"] = type_
    with pytest.raises(PluginError, match=re.escape(f"grader 'mine': {said}")):
        installed(ftspec_graders=lambda: {"mine": api.grader(mine)})


def test_an_option_without_a_type_is_told() -> None:
    def mine(*, words=1) -> Any:  # type: ignore[no-untyped-def]
        """Mine."""

    with pytest.raises(PluginError, match="grader 'mine': option 'words' has no annotation, which says its type"):
        installed(ftspec_graders=lambda: {"mine": api.grader(mine)})


def test_a_default_may_be_out_of_bounds() -> None:
    """It stands for something else then: 0 for "as many as there are"."""

    def mine(*, words: Annotated[int, Meta(ge=1)] = 0) -> Any:
        """Mine."""

    assert installed(ftspec_graders=lambda: {"mine": api.grader(mine)}).get("grader", "mine")


# ---- what is told


FAULTY = '''
from ftspec import api

@api.batch_step
def shout() -> api.BatchStep:
    """Say it louder."""
    def step(batch):
        return batch.drop_columns(["promt"])
    return step

@api.hookimpl
def ftspec_cleaners():
    return {"shout": shout}
'''


def test_a_fault_is_told_with_its_line_and_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "acme", "steps", "acme_steps", FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(
        SPEC.replace("provider: acme", "provider: simulated").replace("format:", "cleaning: [shout]\nformat:")
    )
    assert guard.run(["run", "-q", "spec.yaml"]) == guard.USER
    said = capsys.readouterr().err
    assert "cleaning step 'shout' of acme[steps] failed: KeyError: " in said
    assert "(acme_steps.py:8)" in said
    (log,) = (tmp_path / ".ftspec").glob("ftspec-bug-*.md")
    assert str(log.relative_to(tmp_path)) in said
    assert 'batch.drop_columns(["promt"])' in log.read_text()


def test_code_that_ends_the_process_does_not_end_ours(tmp_path: Path) -> None:
    def poll(self: Any, job: Any, *, cursor: Any) -> Any:
        raise SystemExit(0)

    with pytest.raises(PluginFault, match="failed in poll: SystemExit: 0"):
        run(tmp_path, broken(poll=poll))
