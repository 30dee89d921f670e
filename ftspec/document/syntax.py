"""What libyaml says about a file that is not YAML, and what it means to the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from yaml import YAMLError

from ftspec.common.errors import Problem

NO_COLON = "could not find expected ':'"
UNCLOSED = "did not find expected key after a quote"
SYNTAX = (
    ("mapping values are not allowed", "a ':' where no key can stand", "quote the text, or check the indentation"),
    (NO_COLON, "a key without ':'", "write `key: value`, with a space after the ':'"),
    (UNCLOSED, "the quote that closes here was opened in an earlier line", "close that one in its own line"),
    ("did not find expected key", "indented unlike its neighbours", "line it up with the keys of line {line}"),
    ("did not find expected '-'", "not a list item, in the list of line {line}", "start it with '- ', or indent it"),
    ("block sequence entries are not allowed", "a list cannot start here", "start it on the next line"),
    ("block mapping", "keys cannot start here", "start them on the next line"),
    ("expected ',' or ']'", "the '[' of line {line} is not closed", "add ',' or ']'"),
    (
        "expected ',' or '}'",
        "the '{{' of line {line} is not closed",
        "add ',' or '}}'; quote a template: \"{{{{ x }}}}\"",
    ),
    ("unexpected end of stream", "the quote opened in line {line} is never closed", "close it"),
    ("document indicator", "'---' or '...' inside a quoted text", "close the quote of line {line}"),
    ("unknown escape character", "an unknown escape after '\\'", "use single quotes, or write '\\\\'"),
    ("Unicode character escape", "an escape that is no character", "write the character itself"),
    ("alphabetic or numeric character", "'*' and '&' start an alias or anchor", "quote the text"),
    ("found undefined tag handle", "tags are not allowed", "quote the text if it starts with '!'"),
    ("indentation indicator", "a wrong indicator after '|' or '>'", "write `|` alone and start the text below it"),
    ("expected node content", "a value is missing here, or not closed", "complete it, or quote the text"),
    ("duplicate %", "a directive is given twice", "remove the line that starts with '%'"),
    ("incompatible YAML document", "this YAML version is not supported", "remove the %YAML line"),
)
"""A part of what libyaml says, the message, the hint. {line} is where the construct began."""

NO_BREAK_SPACE = re.compile(r" *\u00a0|[ -]*[\w-]+:\u00a0")
"""In the indentation, or after a key: as pages and chats give it to who copies from there. It looks like a space."""

FIRST_CHARACTER = {
    "\t": ("a tab cannot indent", "use spaces"),
    "@": ("a text cannot start with '@'", "quote it"),
    "`": ("a text cannot start with '`'", "quote it"),
    "%": ("a text cannot start with '%'", "quote it"),
}
"""By the character that no token can start with."""


def problem(error: YAMLError, file: str, lines: Sequence[str]) -> Problem:
    """The error as a problem at its place; `lines` are the file's."""
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    context: Any = getattr(error, "context_mark", None) or mark
    said = str(getattr(error, "problem", None) or error)
    if mark is None:
        return Problem(message=f"not YAML: {said}", hint="check the syntax", file=file, line=1, column=1)
    row = min(mark.line, len(lines) - 1)
    column = min(mark.column, len(lines[row]))
    said, row, column = _earlier(said, row, column, context, lines)
    message, hint = FIRST_CHARACTER.get(lines[row][column : column + 1], ("", "")) if "token" in said else ("", "")
    for odd in (each for each in (row, row - 1) if each >= 0 and NO_BREAK_SPACE.match(lines[each])):
        row, column = odd, lines[odd].index("\u00a0")
        message, hint = "a no-break space (U+00A0) stands where YAML wants a space", "type that space anew"
    if not message:
        found = next((entry[1:] for entry in SYNTAX if entry[0] in said), (f"not YAML: {said}", "check the syntax"))
        message, hint = (text.format(line=context.line + 1) for text in found)
    return Problem(message=message, hint=hint, file=file, line=row + 1, column=column + 1)


def _earlier(said: str, row: int, column: int, context: Any, lines: Sequence[str]) -> tuple[str, int, int]:
    """What libyaml says, and where: it notices a forgotten ':' or quote in a later line than it belongs."""
    if NO_COLON in said and context.line < row:
        return said, context.line, context.column
    before = lines[row][:column]
    if "mapping values are not allowed" in said and re.fullmatch(r"\s+[\w-]+", before):
        above = next((each for each in range(row - 1, -1, -1) if lines[each].strip()), row)
        bare = re.fullmatch(r"([\s-]*)[\w-]+(?:\s[^:#]*)?", lines[above])
        return (NO_COLON, above, len(bare[1])) if bare else (said, row, column)
    if "did not find expected key" in said and re.match(r"\s*[\w-]+: *[\"']$", before):
        return UNCLOSED, row, column - 1
    return said, row, column
