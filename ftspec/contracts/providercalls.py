"""Calls of a provider: what it raises and what it returns is held to its contract, and told as its own fault.

Every provider that core builds is `held`: the one place that its calls go through. Errors of ftspec's own pass
unchanged, for they are part of the contract; what is returned is looked into, so that no later room meets a list where
a JobUpdate should be, or keeps it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple

import msgspec

from ftspec.common.errors import Problem
from ftspec.common.faults import Culprit, kind_of
from ftspec.common.figures import plural
from ftspec.common.jobs import DataFile, Estimate, Job, JobUpdate, RemoteFile, Request, Written
from ftspec.common.messages import Answer, Generation, Question, RateLimits, RemoteModel
from ftspec.common.wording import every, with_article
from ftspec.contracts.abilities import Deployment, RemoteObject, Token
from ftspec.contracts.provider import Provider
from ftspec.contracts.tuner import Limits

if TYPE_CHECKING:
    import pyarrow as pa


class One(NamedTuple):
    """A method returns one of these, or None where it may."""

    type: type
    or_none: bool = False


class Many(NamedTuple):
    """A method returns some of these, in whatever can be iterated; core gets a list."""

    type: type


Returns = One | Many | None
"""None: nobody looks at it."""

NEEDED: Mapping[str, Returns] = {
    "attach": None,
    "problems": Many(Problem),
    "fingerprint": One(str),
    "estimate": One(Estimate),
    "write": One(Written),
    "upload": One(RemoteFile),
    "submit": One(Job),
    "find": Many(Job),
    "poll": One(JobUpdate),
    "cancel": None,
}
"""Methods that every provider has; and `serve`, which is apart."""

OPTIONAL: Mapping[str, Returns] = {
    "render": Many(Token),
    "export": None,
    "job": One(Job),
    "look": One(JobUpdate),
    "pause": None,
    "resume": None,
    "stop": None,
    "keeps_no_checkpoints": One(Problem, or_none=True),
    "deploys": One(bool),
    "deploy": One(Deployment),
    "find_deployment": One(Deployment, or_none=True),
    "deployment": One(Deployment, or_none=True),
    "undeploy": None,
    "remote_objects": Many(RemoteObject),
    "delete": None,
    "tokenizer": None,
    "data_limits": One(Limits),
}
"""Methods that only some have: see ftspec.contracts.abilities and ftspec.contracts.tuner."""

FACTS: Mapping[str, Any] = {
    "endpoint": str,
    "submission": Literal["idempotent", "findable", "blind"],
    "least_rows": int,
    "checkpoints": str,
    "exports": tuple[str, ...],
}
"""Attributes."""


def _of_file(made: RemoteFile, file: DataFile) -> str:
    """A job must not be made of another file than the one that was prepared."""
    odd = made.sha256 != file.sha256
    return f"a file of another content than the {file.purpose} file that it was given" if odd else ""


def _not_negative(made: Estimate, *_: Any) -> str:
    told = {"seconds": made.seconds, "cost": made.cost, "steps": made.steps}
    odd = [name for name, value in told.items() if value is not None and not value >= 0]
    return f"an Estimate whose {every(odd)} is below 0" if odd else ""


def _named(made: JobUpdate, *_: Any) -> str:
    models = [*([made.model] if made.model else []), *(one.model for one in made.checkpoints)]
    return "a model without an id" if not all(model.id for model in models) else ""


def _counts(made: Any, *_: Any) -> str:
    lacks = [name for name in ("special", "per_byte", "counts", "cut", "row") if not hasattr(made, name)]
    return f"{kind_of(made)}, which has no {every(lacks)}; a Tokenizer is wanted" if made is not None and lacks else ""


AGREES: Mapping[str, Callable[..., str]] = {
    "upload": _of_file,
    "estimate": _not_negative,
    "poll": _named,
    "look": _named,
    "tokenizer": _counts,
}
"""(what a method returned, its arguments) → what does not go together, "" where all does."""

ABSENT = object()


def held(provider: Any, culprit: Culprit) -> Provider:
    """The provider, held to its contract. It can do what the provider can, and no more: `isinstance` tells."""
    body: dict[str, Any] = {"serve": _serve} if _there(provider, "serve") else {}
    body |= {name: _method(name, returns) for name, returns in {**NEEDED, **OPTIONAL}.items() if _there(provider, name)}
    if "write" in body:
        body["write"] = _write
    body |= {name: _fact(name, type_) for name, type_ in FACTS.items() if _there(provider, name)}
    made: Provider = type(f"Held{type(provider).__name__}", (_Held,), body)(provider, culprit)
    return made


def _checked(culprit: Culprit, value: Any, returns: Returns, name: str, function: Any) -> Any:
    """The value as its type says. Raises PluginError."""
    if returns is None or (value is None and isinstance(returns, One) and returns.or_none):
        return value
    if isinstance(returns, One):
        made: Any = culprit.verified(value, returns.type, function, name)
        if not getattr(made, "id", "known"):
            raise culprit.fault(f"returned {with_article(returns.type.__name__)} without an id from {name}", function)
        return made
    noun = f"a list of {returns.type.__name__}"
    if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
        raise culprit.fault(f"returned {kind_of(value)} from {name}; {noun} is wanted", function)
    with culprit.guard(name):
        value = list(value)
    try:
        return culprit.read(value, list[returns.type])  # type: ignore[name-defined]
    except ValueError as error:
        raise culprit.fault(f"returned {noun} from {name} that is none: {error}", function) from error


class _Held:
    """Base of what `held` makes: a class for each provider, because `isinstance` looks for methods at the class."""

    def __init__(self, provider: Any, culprit: Culprit) -> None:
        self._provider, self._culprit = provider, culprit

    def __getattr__(self, name: str) -> Any:
        if name == "_provider":  # of a copy that is only being made
            raise AttributeError(name)
        return getattr(self._provider, name)

    @property
    def methods(self) -> Any:
        return self._provider.methods


def _there(provider: Any, name: str) -> bool:
    """Without asking: a property that fails is told of when it is used."""
    return inspect.getattr_static(provider, name, ABSENT) is not ABSENT


def _method(name: str, returns: Returns) -> Callable[..., Any]:
    def call(self: _Held, *args: Any, **options: Any) -> Any:
        function, culprit = getattr(self._provider, name), self._culprit
        with culprit.guard(name):
            made = function(*args, **options)
        made = _checked(culprit, made, returns, name, function)
        if name in AGREES and (said := AGREES[name](made, *args)):
            raise culprit.fault(f"returned from {name} {said}", function)
        return made

    return call


def _fact(name: str, type_: Any) -> property:
    def fact(self: _Held) -> Any:
        with self._culprit.guard(name):
            value = getattr(self._provider, name)
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            raise self._culprit.fault(f"has a faulty {name}: {error}", type(self._provider).__init__) from error

    return property(fact)


def _write(self: _Held, request: Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> Written:
    """Each row must be written or be found fault with: what is left out would be missed by nobody."""
    function, culprit, count = self._provider.write, self._culprit, 0

    def given() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield batch

    with culprit.guard("write"):
        made = function(request, given(), out)
    written: Written = _checked(culprit, made, One(Written), "write", function)
    if written.rows != count:
        said = f"says that it wrote {plural(written.rows, 'row')} of {count:,}, and found no fault with the others"
        raise culprit.fault(said, function)
    return written


def _serve(self: _Held, *args: Any, **options: Any) -> _Serving:
    function, culprit = self._provider.serve, self._culprit
    with culprit.guard("serve"):
        made = function(*args, **options)
    if not isinstance(made, AbstractContextManager):
        raise culprit.fault(f"returned {kind_of(made)} from serve; a context manager is wanted", function)
    return _Serving(made, function, culprit)


class _Serving:
    """The context in which a model answers."""

    def __init__(self, made: AbstractContextManager[Any], function: Any, culprit: Culprit) -> None:
        self.made, self.function, self.culprit = made, function, culprit

    def __enter__(self) -> _Model | _RemoteModel:
        with self.culprit.guard("serve"):
            model = self.made.__enter__()
        if isinstance(model, RemoteModel):
            return _RemoteModel(model, self.culprit)
        if hasattr(model, "answer"):
            return _Model(model, self.culprit)
        lacks = every(name for name in ("limits", "ask", "close") if not hasattr(model, name))
        what = f"serves {kind_of(model)}: no Model, for it has no 'answer', and no RemoteModel, for it has no {lacks}"
        raise self.culprit.fault(what, self.function)

    def __exit__(self, *raised: Any) -> bool | None:
        with self.culprit.guard("serve"):
            return self.made.__exit__(*raised)


class _Model:
    """A model of this machine."""

    def __init__(self, model: Any, culprit: Culprit) -> None:
        self.model, self.culprit = model, culprit

    def answer(self, questions: Sequence[Question], generation: Generation) -> Iterator[Answer]:
        function, guard = self.model.answer, self.culprit.guard
        with guard("answer"):
            given = function(questions, generation)
        if not isinstance(given, Iterable):
            raise self.culprit.fault(f"returned {kind_of(given)} from answer; an iterator is wanted", function)
        answers, asked = iter(given), {(question.prompt.id, question.repeat) for question in questions}
        try:
            while True:
                with guard("answer"):
                    answer = next(answers, ABSENT)
                if answer is ABSENT:
                    return
                made: Answer = _checked(self.culprit, answer, One(Answer), "answer", function)
                if (made.prompt, made.repeat) not in asked:
                    raise self.culprit.fault(f"answered {_what(made)}, which it was not asked", function)
                yield made
        finally:
            if close := getattr(answers, "close", None):
                with guard("answer"):
                    close()


class _RemoteModel:
    """A model behind a network."""

    def __init__(self, model: RemoteModel, culprit: Culprit) -> None:
        self.model, self.culprit = model, culprit
        self.limits: RateLimits = _checked(culprit, model.limits, One(RateLimits), "limits", model.ask)

    async def ask(self, question: Question, generation: Generation) -> Answer:
        with self.culprit.guard("ask"):
            given = await self.model.ask(question, generation)
        answer: Answer = _checked(self.culprit, given, One(Answer), "ask", self.model.ask)
        if (answer.prompt, answer.repeat) != (question.prompt.id, question.repeat):
            raise self.culprit.fault(f"answered {_what(answer)}, which it was not asked", self.model.ask)
        return answer

    async def close(self) -> None:
        with self.culprit.guard("close"):
            await self.model.close()


def _what(answer: Answer) -> str:
    return f"the prompt '{answer.prompt}' (repeat {answer.repeat})"
