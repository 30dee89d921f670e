"""`--format github`: what is wrong as workflow commands, which GitHub shows at the lines of a pull request."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ftspec.common import terminal

if TYPE_CHECKING:
    from ftspec.common.errors import Finding, Problem
    from ftspec.common.evaluation import Verdict
    from ftspec.document.document import Document
    from ftspec.validation.validate import Loaded


@contextmanager
def annotated(format_: str, spec: str) -> Iterator[None]:
    """With this format, the spec or the data that end a command are annotated where they are wrong."""
    from ftspec.common.errors import DataError, SpecError

    try:
        yield
    except SpecError as error:
        annotate(format_, error.problems, error.document)
        raise
    except DataError as error:
        of_data(format_, error.findings, spec)
        raise


def annotate(format_: str, problems: Iterable[Problem], document: Document | None = None) -> None:
    """Annotate problems, of the spec or with places of their own."""
    from ftspec.problems import render

    found = [completed(problem) for problem in problems] if format_ == "github" else []
    if found:
        terminal.say(render(found, document, "github"))


def of_data(format_: str, findings: Sequence[Finding], spec: str) -> None:
    """Annotate findings at the lines of the files that they are in; they name these relative to the spec."""
    annotate(format_, [_of_finding(finding, spec) for finding in findings])


def _of_finding(finding: Finding, spec: str) -> Problem:
    """What is read from elsewhere (hf://, s3://, a sheet, a database) has no line that GitHub could show: it is told at
    the spec."""
    from ftspec.common.errors import Problem, SpecFinding

    file = finding.file if isinstance(finding, SpecFinding) else str(Path(spec).parent / finding.file)
    shown = bool(finding.file and finding.line and os.path.isfile(file))  # noqa: PTH113 a name may have any length
    place = f"{finding.place}: " if finding.file and not shown else ""
    return Problem(
        message=f"{place}{finding.said}",
        hint=finding.hint,
        severity=finding.severity,
        file=file if shown else spec,
        line=finding.line if shown else 0,
        column=(finding.column or 1) if shown else 0,
    )


def of_gates(format_: str, verdicts: Sequence[Verdict], loaded: Loaded) -> None:
    """Annotate gates that did not pass, where the spec names them."""
    from ftspec.common.errors import Problem
    from ftspec.grading.grade import names

    items = dict(zip(names(loaded.spec.gates), loaded.spec.gates, strict=True))
    annotate(
        format_,
        [
            Problem(message=f"{one.gate}: {one.message}", severity=one.severity, path=items[one.gate].path)
            for one in verdicts
            if not one.passed and one.gate in items
        ],
        loaded.document,
    )


def completed(problem: Problem) -> Problem:
    """The problem, with the commands that it proposes as they work here."""
    import msgspec

    from ftspec.cli import hints

    return msgspec.structs.replace(problem, hint=hints.here(problem.hint))
