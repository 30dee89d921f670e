"""The kit itself: its suites pass what is right, and find what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ftspec.builtin import columns, dedupe, graders, jsongraders, sizes, text
from ftspec.testing import CleanerSuite, GraderSuite


class TestStrip(CleanerSuite):
    component = text.strip
    given = [{"text": "  a "}, {"text": ""}]
    expected = [{"text": "a"}, {"text": ""}]


class TestLength(CleanerSuite):
    component = sizes.length
    options = {"min": 2}
    given = [{"text": "a"}, {"text": "ab"}]
    expected = [{"text": "ab"}]


class TestRename(CleanerSuite):
    component = columns.rename
    options = {"columns": {"a": "b"}}
    given = [{"a": "1", "c": 2}]
    expected = [{"b": "1", "c": 2}]


class TestDedupe(CleanerSuite):
    component = dedupe.dedupe
    given = [{"text": "a"}, {"text": "b"}, {"text": "a"}]
    expected = [{"text": "a"}, {"text": "b"}]


class TestExact(GraderSuite):
    component = graders.COMPONENTS["exact"]
    passing = [("a", " a ")]
    failing = [("a", "b"), ("a", "")]


class TestJsonMatch(GraderSuite):
    component = jsongraders.COMPONENTS["json_match"]
    options = {"fields": ("x",)}
    passing = [('{"x": 1}', '{"x": 1, "y": 2}')]
    failing = [('{"x": 1}', '{"x": 2}'), ('{"x": 1}', "no json")]


BROKEN = '''
from ftspec import api
from ftspec.builtin.simulated import COMPONENTS
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.testing import CleanerSuite, GraderSuite, ProviderSuite


@api.row_step
def nameless():
    return lambda row: {**row, "seen": len(seen.append(row) or seen)}

seen = []

@api.grader
def generous():
    """Everything is fine."""
    return lambda prompt, answer: api.Grade(passed=True, score=7.0)

class Sloppy(Simulated):
    """Makes a job per call, and tells every event again."""

    def __init__(self, *, idle: float = 3.0) -> None:
        super().__init__(submission="findable", seconds_per_step=0.0, idle=idle)
        vars(self)["submission"] = "idempotent"

    def submit(self, request, *, key):
        vars(self)["submission"] = "findable"
        try:
            return super().submit(request, key=key)
        finally:
            vars(self)["submission"] = "idempotent"

    def poll(self, job, *, cursor):
        return super().poll(job, cursor=None)

    def serve(self, model):
        from contextlib import nullcontext
        return nullcontext(self)

    def answer(self, questions, generation):
        return iter([api.Answer(prompt=questions[0].prompt.id, repeat=0, text="x")])

class TestNameless(CleanerSuite):
    component = nameless
    given = [{"a": 1}]
    expected = [{"a": 1, "seen": 1}]

class TestGenerous(GraderSuite):
    component = generous
    passing = [("a", "a")]
    failing = [("a", "b")]

class TestSloppy(ProviderSuite):
    component = api.provider(name="sloppy")(Sloppy)
'''


def test_suites_find_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(BROKEN)
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--import-mode=importlib", "-p", "no:cacheprovider", "."]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    found = {line.split(" ")[1].partition("::")[2] for line in said.splitlines() if line.startswith("FAILED")}
    assert found >= {
        "TestNameless::test_is_described",
        "TestNameless::test_comes_to_the_same_again",
        "TestGenerous::test_fails_what_should_fail",
        "TestGenerous::test_scores_are_between_0_and_1",
        "TestGenerous::test_says_why_not",
        "TestSloppy::test_the_key_leads_to_the_job",
        "TestSloppy::test_the_end_can_be_asked_for_again",
        "TestSloppy::test_every_question_is_answered_once[base]",
        "TestSloppy::test_every_question_is_answered_once[tuned]",
    }, said
