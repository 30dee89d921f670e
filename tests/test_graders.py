"""The builtin graders, through their components as the spec builds them."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from ftspec import rows
from ftspec.builtin import ftspec_graders
from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Prompt

COMPONENTS = ftspec_graders()


def graded(name: str, answer: str, expected: str | None = None, *, calls: Any = None, **options: Any) -> Grade:
    grader = COMPONENTS[name].build(options)
    found = grader(
        Prompt(id="p", messages=[], expected=expected), Answer(prompt="p", repeat=0, text=answer, tool_calls=calls)
    )
    assert isinstance(found, Grade)
    assert found.score is not None
    assert 0 <= found.score <= 1
    assert found.passed or found.reason
    return found


@pytest.mark.parametrize(
    ("answer", "expected", "options", "passed"),
    [
        ("yes", "yes", {}, True),
        (" yes\n", "yes", {}, True),
        (" yes\n", "yes", {"strip": False}, False),
        ("Yes", "yes", {}, False),
        ("STRASSE", "straße", {"ignore_case": True}, True),
        ("no", "yes", {"text": "no"}, True),
        ("", None, {}, False),
        ("", None, {"text": ""}, True),
    ],
)
def test_exact(answer: str, expected: str | None, options: dict[str, Any], passed: bool) -> None:
    assert graded("exact", answer, expected, **options).passed is passed


@pytest.mark.parametrize(
    ("answer", "expected", "options", "passed"),
    [
        ("the answer is 42.", " 42 ", {}, True),
        ("the answer is 41.", "42", {}, False),
        ("a b", None, {"all": ["a", "b"]}, True),
        ("a", None, {"all": ["a", "b"]}, False),
        ("a", None, {"any": ["a", "b"]}, True),
        ("c", "c", {"any": ["a", "b"]}, False),
        ("A C", None, {"any": ["a", "b"], "all": ["c"], "ignore_case": True}, True),
        ("A", None, {"any": ["a", "b"], "all": ["c"], "ignore_case": True}, False),
        ("anything", None, {}, False),
    ],
)
def test_contains(answer: str, expected: str | None, options: dict[str, Any], passed: bool) -> None:
    assert graded("contains", answer, expected, **options).passed is passed


def test_contains_says_what_is_missing() -> None:
    assert graded("contains", "a", all=["a", "b", "c"]).reason == "does not contain 'b', 'c'"


@pytest.mark.parametrize(
    ("answer", "options", "passed"),
    [
        ("order 4711 is late", {"pattern": r"\b\d{4}\b"}, True),
        ("no number", {"pattern": r"\d"}, False),
        ("ORDER", {"pattern": "order", "ignore_case": True}, True),
        ("ab", {"pattern": "a|b", "whole": True}, False),
        ("b", {"pattern": "a|b", "whole": True}, True),
        ("b\n", {"pattern": "b", "whole": True}, False),
    ],
)
def test_regex(answer: str, options: dict[str, Any], passed: bool) -> None:
    assert graded("regex", answer, **options).passed is passed


def test_regex_takes_linear_time() -> None:
    started = time.process_time()
    assert not graded("regex", "a" * 50_000, pattern=r"^(a+)+$b").passed
    assert not graded("regex", "a" * 50_000 + "!", pattern=r"(a|aa)+$").passed
    assert time.process_time() - started < 2


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(?<!a)b", r"(a)\1", "(?P=x)", "a++", "(?>a)", ")(", "(?#comment)a"])
def test_regex_rule_refuses_what_cannot_run(pattern: str) -> None:
    problems = [problem for rule in COMPONENTS["regex"].rules for problem in rule({"pattern": pattern, "whole": True})]
    assert [path for path, _ in problems] == [("pattern",)]


@pytest.mark.parametrize(
    "pattern", [r"a\+\+", r"\\d", "(?i)a", "(?P<n>a)", "(?:a)+?", r"\(\?=", "[+]+", r"\d{2,3}", r"\pL+", r"a\z", r"\\1"]
)
def test_regex_rule_accepts_what_can(pattern: str) -> None:
    options = {"pattern": pattern, "whole": False}
    assert not [problem for rule in COMPONENTS["regex"].rules for problem in rule(options)]
    assert graded("regex", "", **options).score in (0, 1)


def test_an_unfinished_quotation_is_no_pattern_of_a_whole_answer() -> None:
    [rule] = COMPONENTS["regex"].rules
    assert not list(rule({"pattern": r"\Q(", "whole": False}))
    assert list(rule({"pattern": r"\Q(", "whole": True}))


WANTED = json.dumps({"category": "billing", "price": 9.99, "address": {"city": "Bern"}, "items": [1, 2]})


@pytest.mark.parametrize(
    ("given", "options", "passed"),
    [
        (WANTED, {}, True),
        (WANTED.replace("9.99", "9.990"), {}, True),
        (WANTED.replace("9.99", "10"), {}, False),
        (WANTED.replace("9.99", "10"), {"tolerance": 0.011}, True),
        (WANTED.replace("Bern", "Basel"), {}, False),
        (WANTED.replace("Bern", "Basel"), {"fields": ["category", "items.1"]}, True),
        (WANTED.replace("Bern", "Basel"), {"fields": ["address.city"]}, False),
        (WANTED.replace("[1, 2]", "[1, 2, 3]"), {}, False),
        (WANTED.replace("}", ', "more": 1}'), {}, False),
        ('{"category": "billing"}', {"fields": ["category"]}, True),
        ('{"category": "billing"}', {"fields": ["nowhere"]}, False),
        (f"```json\n{WANTED}\n```", {}, False),
        (f"```json\n{WANTED}\n```\n", {"allow_fence": True}, True),
        (f"Here you are: {WANTED}", {"allow_fence": True}, False),
        (WANTED[:-2], {}, False),
        ("", {}, False),
    ],
)
def test_json_match(given: str, options: dict[str, Any], passed: bool) -> None:
    assert graded("json_match", given, WANTED, **options).passed is passed


@pytest.mark.parametrize(
    ("expected", "given", "passed"),
    [("true", "1", False), ("1", "1.0", True), ("null", "false", False), ("[]", "{}", False), ('"1"', "1", False)],
)
def test_json_match_keeps_types_apart(expected: str, given: str, passed: bool) -> None:
    assert graded("json_match", given, expected).passed is passed


def test_json_match_says_which_field_differs_and_scores_the_rest() -> None:
    found = graded("json_match", WANTED.replace("Bern", "Basel"), WANTED, fields=["category", "address.city"])
    assert found.reason == "address.city: expected 'Bern', got 'Basel'"
    assert found.score == 0.5
    missing = graded("json_match", '{"category": "billing"}', WANTED)
    assert "price: expected 9.99, got nothing" in missing.reason


def test_json_match_reads_tool_calls_and_their_arguments() -> None:
    def calls(name: str, city: str) -> list[dict[str, Any]]:
        return [
            {"id": name, "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
        ]

    fields = ["0.name", "0.arguments.city"]
    expected = rows.calls_text(calls("call_1", "Bern"))
    assert graded("json_match", "", expected, calls=calls("other", "Bern"), fields=fields).passed
    assert not graded("json_match", "", expected, calls=calls("other", "Basel"), fields=fields).passed


def test_json_that_is_nested_too_deeply_is_not_a_crash() -> None:
    deep = "[" * 100_000
    grader = COMPONENTS["json_match"].build({})
    try:
        found = grader(Prompt(id="p", messages=[], expected="[]"), Answer(prompt="p", repeat=0, text=deep))
    except RecursionError:
        return  # `grade` makes it a grade that did not pass: see test_grade
    assert not found.passed


def test_similarity_scores_and_has_a_threshold() -> None:
    assert graded("similarity", "kitten", "sitting", threshold=0.5).score == pytest.approx(1 - 3 / 7)
    assert not graded("similarity", "kitten", "sitting").passed
    assert graded("similarity", " same ", "same").score == 1
    assert graded("similarity", "", "").passed
    assert graded("similarity", "ABC", text="abc", ignore_case=True).passed
    assert not graded("similarity", "x", None).passed


@pytest.mark.parametrize("options", [{"threshold": 1.5}, {"nope": 1}])
def test_options_are_bounded(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        COMPONENTS["similarity"].build(options)


def test_every_grader_says_what_it_does() -> None:
    assert all(component.summary.endswith((".", ":")) for component in COMPONENTS.values())
