"""A plugin author's mistakes are told as that plugin's: with its name, what was wanted, and the line."""

from __future__ import annotations

import errno
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plugged import SPEC, Acme, Says, installed, run

from ftspec import abilities, api, providercalls, tuner
from ftspec.cli import guard
from ftspec.errors import PluginError, PluginFault, SpecError
from ftspec.provider import Provider

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
        ("serve", Says("hello"), "returned a Says from serve; a context manager is wanted"),
    ],
)
def test_what_a_provider_returns_is_looked_into(tmp_path: Path, name: str, value: Any, said: str) -> None:
    method = wrong(value)
    with pytest.raises(PluginError) as caught:
        run(tmp_path, broken(**{name: method}))
    assert caught.value.message.startswith("provider 'acme' of acme[acme] returned ")
    assert said in caught.value.message
    assert caught.value.message.endswith(line_of(method))
    assert caught.value.hint == "report it to the authors of acme"


def test_a_problem_of_another_type_is_told_by_validate(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        run(tmp_path, broken(problems=wrong("no such model")))
    (problem,) = caught.value.problems
    assert "returned a str from problems; a list of Problem is wanted" in problem.message


NEITHER = "no Model, for it has no 'answer', and no RemoteModel, for it has no 'ask'"


class Lacking:
    """Neither a Model nor a RemoteModel."""

    limits = api.RateLimits()

    async def close(self) -> None: ...


class Text(Says):
    def answer(self, questions: Any, generation: Any) -> Any:
        return (self.text for _ in questions)


class Remote:
    limits = api.RateLimits()

    async def ask(self, question: api.Question, generation: api.Generation) -> Any:
        return {"text": "yes"}

    async def close(self) -> None: ...


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
    (tmp_path / "acme_steps.py").write_text(FAULTY)
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ftspec]\nsteps = acme_steps\n")
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
