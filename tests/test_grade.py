"""Grading: who decides, what negate turns, what an error or a broken grader counts as, and the scores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ftspec.builtin import ftspec_graders
from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Prompt
from ftspec.grading import grade
from ftspec.spec import Item


def item(name: str = "is", **siblings: object) -> Item:
    return Item(kind="grader", name=name, **siblings)  # type: ignore[arg-type]


def says(word: str) -> Callable[[Prompt, Answer], Grade]:
    return lambda prompt, answer: Grade(passed=word in answer.text, score=float(word in answer.text), reason="r")


def prompt(name: str = "p") -> Prompt:
    return Prompt(id=name, messages=[], expected=name)


def answer(text: str = "", name: str = "p", repeat: int = 0, error: str = "") -> Answer:
    return Answer(prompt=name, repeat=repeat, text=text, error=error, completion_tokens=2)


def test_an_answer_passes_when_all_deciding_graders_pass() -> None:
    graders = [(item(id="a"), says("a")), (item(id="b"), says("b")), (item(id="c", weight=0), says("c"))]
    verdicts = list(grade.grade([prompt()], [answer("ab"), answer("a"), answer("bc"), answer("abc")], graders))
    assert [one.passed for one in verdicts] == [True, False, False, True]
    assert [one.grades["c"].passed for one in verdicts] == [False, False, True, True]


def test_without_a_deciding_grader_nothing_passes() -> None:
    assert not next(grade.grade([prompt()], [answer("a")], [])).passed
    assert not next(grade.grade([prompt()], [answer("a")], [(item(weight=0), says("a"))])).passed


def test_negate_turns_a_grader_around() -> None:
    passes, fails = grade.grade([prompt()], [answer("x"), answer("a")], [(item(negate=True), says("a"))])
    assert passes.passed
    assert not fails.passed
    assert fails.grades["is"].score == 0


@pytest.mark.parametrize("negate", [False, True])
def test_a_grader_that_raises_has_no_verdict(negate: bool) -> None:
    """Its mistake says nothing about the model: the answer counts neither as passed nor as failed."""

    def broken(prompt: Prompt, answer: Answer) -> Grade:
        raise RecursionError("too deep")

    failures = grade.Failures()
    graders = [(item(negate=negate), broken), (item(id="other"), says("a"))]
    found = list(grade.grade([prompt()], [answer("a"), answer("b")], graders, failures=failures))
    assert [one.error for one in found] == ["RecursionError: too deep"] * 2
    assert failures.found == {"is": (2, "RecursionError: too deep")}


def test_a_grader_without_weight_that_raises_is_one_opinion_less() -> None:
    def broken(prompt: Prompt, answer: Answer) -> Grade:
        raise RecursionError("too deep")

    failures = grade.Failures()
    graders = [(item(weight=0), broken), (item(id="other"), says("a"))]
    (found,) = grade.grade([prompt()], [answer("a")], graders, failures=failures)
    assert (found.error, found.passed, list(found.grades)) == ("", True, ["other"])
    assert list(failures.found) == ["is"]


@pytest.mark.parametrize("name", ["exact", "contains", "json_match", "number", "label", "tool_call", "similarity"])
@pytest.mark.parametrize("negate", [False, True])
def test_answers_that_a_grader_has_nothing_to_compare_with_are_counted(name: str, negate: bool) -> None:
    failures = grade.Failures()
    asked = Prompt(id="p", messages=[])
    of = Item(kind="grader", name=name, negate=negate)
    given = [Answer(prompt="p", repeat=0, text="a"), Answer(prompt="p", repeat=1, text="b")]
    assert len(list(grade.grade([asked], given, [(of, ftspec_graders()[name].build({}))], failures=failures))) == 2
    assert failures.unexpected == {name: 2}


def test_graders_of_one_name_are_told_apart() -> None:
    graders = [(item(), says("a")), (item(), says("b")), (item(id="mine"), says("c"))]
    (found,) = grade.grade([prompt()], [answer("a")], graders)
    assert list(found.grades) == ["is", "is-2", "mine"]


def test_an_answer_that_was_never_given_is_not_graded() -> None:
    (found,) = grade.grade([prompt()], [answer(error="boom")], [(item(), says("a"))])
    assert (found.error, found.passed, found.grades) == ("boom", False, {})
