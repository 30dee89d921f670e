"""Problems for people, programs and GitHub: file:line:column, what is wrong, what to do, and the line itself."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ftspec.common.errors import DataError, Finding, Problem, SpecError, SpecFinding
from ftspec.common.references import mask
from ftspec.common.terminal import width

if TYPE_CHECKING:
    from ftspec.document.document import Document

Format = Literal["text", "json", "github"]
SHOWN = 100
WIDTH = 140
IN_ADDRESSES = (
    (re.compile(r"(://[^\s/:@\"']*:)(?!\$\{)[^\s/@\"']+(?=@)"), r"\1***"),
    (re.compile(r"(://[^\s?#\"']+\?)(?!\S*\$\{)[^\s\"']+"), r"\1***"),
)
"""What in an address may be secret, unless it is a reference to one, and what stands in its place."""
BOLD, RED, YELLOW, RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def render(
    problems: Iterable[Problem], document: Document | None = None, format: Format = "text", color: bool = False
) -> str:
    """All problems in file order; what overrides made comes last. Secrets are masked, control characters made visible.

    Args:
        problems: located or not; those without a place are located in `document`.
        document: where the lines of code frames come from; without it there are no frames.
        format: text for people, a JSON list for programs, workflow commands that GitHub shows at the line.
        color: ANSI colors, in text only.
    """
    placed = in_order(document.locate(problem) if document else problem for problem in problems)
    placed = [masked(problem) for problem in placed]
    if format == "json":
        return msgspec.json.format(msgspec.json.encode(placed), indent=2).decode()
    if format == "github":
        return "\n".join(_github(problem, document) for problem in placed)
    shown = [_text(problem, document, color) for problem in placed[:SHOWN]]
    if len(placed) > SHOWN:
        shown.append(f"and {len(placed) - SHOWN} more")
    return "\n".join(shown)


@contextmanager
def located(document: Document) -> Iterator[None]:
    """Errors about the spec that come from where only the Spec is known are told at their places in this document."""
    try:
        yield
    except SpecError as error:
        if error.document is not None:
            raise
        raise SpecError(error.problems, document) from error
    except DataError as error:
        error.findings = tuple(_placed(finding, document) for finding in error.findings)
        raise


def _placed(finding: Finding, document: Document) -> Finding:
    if not isinstance(finding, SpecFinding) or finding.file:
        return finding
    place = document.locate(Problem(message=finding.message, path=finding.path))
    return msgspec.structs.replace(finding, file=place.file, line=place.line, column=place.column)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Located problems in file order, each once; what has no line comes last."""
    unique = dict.fromkeys(map(_key, found := list(problems)))
    first = {_key(problem): problem for problem in reversed(found)}
    return sorted((first[key] for key in unique), key=lambda p: (not p.line, p.line, p.column))


def masked(problem: Problem) -> Problem:
    """The problem without secrets, field by field: once it is JSON, an escaped secret would not be recognised."""
    return msgspec.structs.replace(
        problem,
        message=mask(problem.message),
        hint=mask(problem.hint),
        file=mask(problem.file),
        path=tuple(mask(part) if isinstance(part, str) else part for part in problem.path),
    )


def visible(text: str) -> str:
    """The text with every control, format and separator character replaced by a visible one of the same width."""
    return "".join(map(_visible, text))


def _key(problem: Problem) -> tuple[str, int, int, str]:
    return problem.file, problem.line, problem.column, problem.message


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return "�" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character


def _sentence(problem: Problem) -> str:
    return visible(f"{problem.message}; {problem.hint}" if problem.hint else problem.message)


def _text(problem: Problem, document: Document | None, color: bool) -> str:
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    level = "warning: " if problem.severity == "warning" else ""
    tint = YELLOW if level else RED
    place = visible(f"{place}: ")
    head = (
        f"{BOLD}{place}{RESET}{tint}{level}{RESET}{_sentence(problem)}" if color else place + level + _sentence(problem)
    )
    frame = _frame(problem, document)
    if not frame:
        return head
    code, caret = frame
    return f"{head}\n{code}\n{tint}{caret}{RESET}" if color else f"{head}\n{code}\n{caret}"


def _frame(problem: Problem, document: Document | None) -> tuple[str, str] | None:
    """The line that the problem is in, and carets under the place; None where there is no such line."""
    if document is None or not 0 < problem.line <= len(document.lines) or problem.file != mask(str(document.file)):
        return None
    line, start = document.lines[problem.line - 1].rstrip(), problem.column - 1
    before, place, after = _masked_parts(
        line[:start], line[start : start + problem.length], line[start + problem.length :]
    )
    line, start = before + place + after, len(before)
    first = max(0, min(start - WIDTH // 3, len(line) - WIDTH))
    shown = ("…" if first else "") + visible(before[first:])
    code = shown + visible(line[start : first + WIDTH]) + ("…" if first + WIDTH < len(line) else "")
    length = width(visible(place[: first + WIDTH - start])) or 1
    gutter = f"{problem.line:>6} | "
    return gutter + code, " " * (len(gutter) - 2) + "| " + " " * width(shown) + "^" * length


def _masked_parts(before: str, place: str, after: str) -> tuple[str, str, str]:
    """The parts of a line without secrets that were pasted into it; one that crosses a border makes all one place."""
    whole = _hidden(before + place + after)
    parts = _hidden(before), _hidden(place), _hidden(after)
    return parts if "".join(parts) == whole else ("", whole, "")


def _hidden(text: str) -> str:
    """The text without secrets, also those that an address brings along: a password, or what its query may hold."""
    for pattern, instead in IN_ADDRESSES:
        text = pattern.sub(instead, text)
    return mask(text)


def _github(problem: Problem, document: Document | None) -> str:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions#setting-an-error-message"""
    message = _sentence(problem)
    if problem.line:
        where = f"file={_property(_in_repository(problem.file))},line={problem.line},col={problem.column}"
        where += f",endColumn={problem.column + problem.length}"
    else:
        file = mask(str(document.file)) if document else problem.file
        where = f"file={_property(_in_repository(file))}"
        message = f"{visible(problem.file)}: {message}"
    return f"::{problem.severity} {where}::{_data(message)}"


def _in_repository(file: str) -> str:
    """A file as GitHub names it: relative to the checkout, also where the step works in a folder of it."""
    if not (named := os.environ.get("GITHUB_WORKSPACE", "")):
        return file
    path, checkout = Path(file).resolve(), Path(named).resolve()
    return str(path.relative_to(checkout)) if path.exists() and path.is_relative_to(checkout) else file


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
