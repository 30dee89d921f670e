"""What a component's factory returned: held to its kind before rows and answers go through it.

So a `return` that was forgotten is told as the plugin's mistake, with its line. Providers, engines and graders are held
at every call too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ftspec.common.evaluation import Grade
from ftspec.common.faults import Culprit, kind_of
from ftspec.common.messages import Answer, Generation, Prompt
from ftspec.common.wording import every, with_article
from ftspec.contracts import enginecalls, providercalls
from ftspec.contracts.components import Component, Kind, Level
from ftspec.contracts.graders import Asks, Grader, Judge, Labelled
from ftspec.contracts.steps import Check, GlobalStep, Screen, Source, Text

RECORDS: Mapping[tuple[Kind, Level], tuple[type, tuple[str, ...]]] = {
    ("source", ""): (Source, ("read",)),
    ("cleaner", "text"): (Text, ("function",)),
    ("cleaner", "global"): (GlobalStep, ("keys",)),
    ("cleaner", "screen"): (Screen, ("learn", "step")),
    ("check", ""): (Check, ("measure", "judge")),
}
"""What a factory returns, and which fields of it are functions."""

FUNCTIONS: Mapping[tuple[Kind, Level], str] = {
    ("cleaner", "batch"): "BatchStep",
    ("cleaner", "row"): "RowStep",
    ("format", ""): "Format",
    ("grader", ""): "Grader",
    ("gate", ""): "Gate",
}


def held(made: Any, component: Component, culprit: Culprit) -> Any:
    """What the factory returned, ready for use. Raises PluginError where it is nothing of the component's kind."""
    place = (component.kind, component.level)
    if component.kind == "provider":
        return providercalls.held(made, culprit)
    if isinstance(made, Judge) and component.kind == "grader":
        return _judge(made, component, culprit)
    if place in RECORDS:
        _verify(made, *RECORDS[place], component, culprit)
    if place in FUNCTIONS and not callable(made):
        raise _not(f"{with_article(FUNCTIONS[place])} (a function)", made, component, culprit)
    if component.kind == "engine" and not callable(getattr(made, "map", None)):
        raise _not("an Engine (with a method 'map')", made, component, culprit)
    if component.kind == "engine":
        return enginecalls.held(made, culprit)
    return _grader(made, culprit) if component.kind == "grader" else made


def _verify(made: Any, type_: type, functions: Sequence[str], component: Component, culprit: Culprit) -> None:
    """Raise PluginError unless it is such a record, with functions where they belong."""
    if not isinstance(made, type_):
        raise _not(with_article(type_.__name__), made, component, culprit)
    for name in functions:
        if not callable(getattr(made, name)):
            said = f"has {kind_of(getattr(made, name))} as '{name}' of its {type_.__name__}; a function is wanted"
            raise culprit.fault(said, component.factory)
    if isinstance(made, GlobalStep) and made.scope not in ("key", "all"):
        raise culprit.fault('has a GlobalStep whose \'scope\' is neither "key" nor "all"', component.factory)


def _not(wanted: str, made: Any, component: Component, culprit: Culprit) -> Exception:
    return culprit.fault(f"is made by a factory that returns {kind_of(made)}; {wanted} is wanted", component.factory)


def _grader(made: Grader, culprit: Culprit) -> Grader:
    @functools.wraps(made)
    def grade(prompt: Prompt, answer: Answer) -> Grade:
        with culprit.guard(""):
            found = made(prompt, answer)
        return _grade(found, made, culprit)

    return grade


def _judge(made: Judge, component: Component, culprit: Culprit) -> Judge:
    fits = {
        "provider": isinstance(made.provider, str | Mapping) and bool(made.provider),
        "model": isinstance(made.model, str) and bool(made.model),
        "generation": isinstance(made.generation, Generation),
        "questions": callable(made.questions),
        "grade": callable(made.grade),
        "labelled": isinstance(made.labelled, Sequence) and all(isinstance(one, Labelled) for one in made.labelled),
        "asks": made.asks is None or isinstance(made.asks, Asks),
    }
    if odd := [name for name, fit in fits.items() if not fit]:
        raise culprit.fault(f"makes a Judge whose {every(odd)} is not what it should be", component.factory)

    def questions(prompt: Prompt, answer: Answer, other: Answer | None) -> Sequence[Prompt]:
        with culprit.guard("questions"):
            asked = list(made.questions(prompt, answer, other))
        return [culprit.verified(one, Prompt, made.questions, "questions") for one in asked]

    def grade(prompt: Prompt, answer: Answer, replies: Sequence[Answer]) -> Grade:
        with culprit.guard("grade"):
            found = made.grade(prompt, answer, replies)
        return _grade(found, made.grade, culprit)

    return made._replace(questions=questions, grade=grade)


def _grade(found: Any, function: Callable[..., Any], culprit: Culprit) -> Grade:
    """The grade, whose fields are what they are called."""
    grade = culprit.verified(found, Grade, function)
    if grade.score is not None and not 0 <= grade.score <= 1:
        raise culprit.fault(f"returned the score {grade.score:g}; one from 0 to 1 is wanted", function)
    return grade
