"""Graders, tested by example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ftspec.common.evaluation import Grade
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.contracts.graders import Judge
from ftspec.testing.component import ComponentSuite


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
