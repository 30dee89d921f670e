"""Templates over a row's columns: sandboxed Jinja, with a vectorised path for the plain ones.

A value that is not text is shown as JSON. A column that is missing or null is an error, unless the template asks
(`is defined`, `default`). `tojson` writes plain JSON: this is no web page, nothing is escaped for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa
    from jinja2 import Environment

PIECE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]*) *(\| *tojson *)?\}\}")
WORDS = re.compile(r"\{\{ *(\w+(?: +\w+)+) *\}\}")
MISSED = re.compile(r"column '(.*)' is missing or null$")
MARKS = re.compile(r"\{[{%#]")
JINJAS_OWN = {
    "and", "cycler", "dict", "else", "false", "False", "if", "in", "is", "joiner", "lipsum", "loop", "namespace",
    "none", "None", "not", "or", "range", "self", "true", "True",
}  # fmt: skip

JINJAS_FILE = "<template>"
"""What Jinja calls a template that is from no file, in the frames of an error."""
QUOTED = re.compile(r"(?:attribute|element|named) (['\"])(.*)\1(?: of '\w+' object is unsafe)?\.?$", re.DOTALL)
"""A name in Jinja's messages, which a template may have taken from the row: `{{ colours[text] }}`."""
LINE = 60
"""Characters of a template's line that a message shows."""
SHOWN = 8
"""Names of columns that a hint lists."""


class Piece(msgspec.Struct, frozen=True):
    """A part of a plain template: literal text, or a column, shown as it is or as JSON."""

    text: str = ""
    column: str = ""
    as_json: bool = False


class Rendered(NamedTuple):
    """`texts[i]` is null where row i could not be rendered, and `faults` says why by row index."""

    texts: pa.Array
    faults: dict[int, str]


def plain_pieces(template: str) -> list[Piece] | None:
    """The pieces of a template that only names columns; None for one that needs Jinja, or that Jinja must refuse."""
    template = template.replace("\r\n", "\n").replace("\r", "\n")
    pieces, end = [], 0
    for match in PIECE.finditer(template):
        if template[end : match.start()].endswith("{"):
            return None  # Jinja reads the first two of `{{{` as the mark
        pieces += [Piece(text=template[end : match.start()]), Piece(column=match[1], as_json=bool(match[2]))]
        end = match.end()
    pieces.append(Piece(text=template[end:]))
    names_jinjas = any(piece.column in JINJAS_OWN for piece in pieces)
    return None if names_jinjas or any(MARKS.search(piece.text) for piece in pieces) else pieces


def problem(template: str) -> str:
    """What is wrong with a template's syntax; "" when nothing is."""
    if plain_pieces(template) is not None:
        return ""
    import jinja2

    try:
        made = environment()
        other = next(made.parse(template).find_all(_others()), None)
        if other is not None:
            verb = type(other).__name__.removeprefix("From").lower()
            return f"`{verb}` wants another template, and here each stands alone (line {other.lineno} of the text)"
        made.compile(template)
    except jinja2.TemplateSyntaxError as error:
        words = WORDS.search(template)
        told = f"a name in it is one word: `rename` the column '{words[1]}'" if words else error.message
        return f"not a template: {told} (line {error.lineno} of the text)"
    except (jinja2.TemplateError, RecursionError, ValueError, OverflowError) as error:
        return f"not a template: {type(error).__name__}: {error}"
    return ""


def _others() -> tuple[type[Any], ...]:
    """The parts of a template that want another one: here every template stands alone."""
    from jinja2 import nodes

    return nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include


UNBOUNDED = ("center", "format", "indent")
"""Filters that make a text of any length from a number."""
CHANGING = ("random", "lipsum", "cycler", "joiner")
"""What gives another text for the same row the next time."""


def environment() -> Environment:
    """Jinja in its sandbox: a template comes with data, and data is not to be trusted with more than text."""
    import jinja2
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        """The sandbox bounds `range`; this bounds what `*` and `**` can make of a few characters, too."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
                raise SecurityError(f"'{operator}' is only for the product of two numbers here")
            return super().call_binop(context, operator, left, right)

    # Not optimized: folding constants runs parts of a template when it is compiled, and so within `validate`.
    made = Bounded(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        finalize=shown,
        optimized=False,
    )
    made.filters["tojson"] = dumps
    for name in UNBOUNDED:
        del made.filters[name]
    for name in CHANGING:
        made.globals.pop(name, None)
        made.filters.pop(name, None)
    return made


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON as people and models write it: a space after each comma and colon, non-ASCII characters as they are."""
    import jinja2

    if isinstance(value, jinja2.Undefined):
        str(value)  # StrictUndefined raises, naming the column
    return json.dumps(value, ensure_ascii=False, indent=indent)


class Null(ValueError):
    """A null has no text."""


def shown(value: Any) -> Any:
    """What `{{ value }}` puts into the text: text as it is, anything else as JSON. A null raises Null."""
    if value is None:
        raise Null("a value that it shows is null")
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


class Template:
    """One template, ready for batches."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pieces = plain_pieces(text)

    @cached_property
    def jinja(self) -> Any:
        return environment().from_string(self.text)

    def render(self, batch: pa.RecordBatch) -> Rendered:
        """One text per row."""
        return self._render_rows(batch) if self.pieces is None else self._render_plain(batch, self.pieces)

    def _render_plain(self, batch: pa.RecordBatch, pieces: list[Piece]) -> Rendered:
        import pyarrow.compute as pc

        faults: dict[int, str] = {}
        parts = [rows.repeated("", batch.num_rows)]
        for piece in pieces:
            if piece.column:
                parts.append(_shown_column(batch, piece))
                empty = pc.indices_nonzero(pc.is_null(parts[-1])).to_pylist()
                faults = {**dict.fromkeys(empty, _missing(piece.column)), **faults}
            else:
                parts.append(rows.scalar(piece.text))
        return Rendered(pc.binary_join_element_wise(*parts, rows.scalar("")), faults)

    def _render_rows(self, batch: pa.RecordBatch) -> Rendered:
        texts: list[str | None] = []
        faults: dict[int, str] = {}
        for index, row in enumerate(rows.to_dicts(batch)):
            text, reason = self._render_row(row)
            texts.append(text)
            if reason:
                faults[index] = reason
        return Rendered(rows.strings(texts), faults)

    def text_of(self, row: Mapping[str, Any]) -> str:
        """The text for one row. Raises ValueError, saying why there is none."""
        text, reason = self._render_row(row)
        if text is None:
            raise ValueError(reason)
        return text

    def _render_row(self, row: Mapping[str, Any]) -> tuple[str | None, str]:
        import jinja2

        try:
            return self.jinja.render(row), ""
        except jinja2.UndefinedError as error:
            name = re.match(r"'(\w+)' is undefined$", error.message or "")
            return None, _missing(name[1]) if name else f"the template does not fit this row: {self._said(error)}"
        except Exception as error:
            return None, f"the template cannot be rendered: {self._said(error)}"

    def _said(self, error: Exception) -> str:
        """What went wrong, and on which line of the template; nothing that an error may quote of the row."""
        import jinja2

        told = isinstance(error, jinja2.TemplateError | TypeError | ArithmeticError | Null) and str(error)
        quoted = QUOTED.search(told or "")
        if not told or (quoted and quoted[2] not in self.text):
            told = "it asks a value for what it has not" if told else type(error).__name__
        frames = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == JINJAS_FILE]
        if not frames:
            return told
        line = self.text.splitlines()[frames[-1] - 1].strip() if frames[-1] <= len(self.text.splitlines()) else ""
        return f"{told} (line {frames[-1]} of the text: {line[:LINE]}{'…' * (len(line) > LINE)})"


def _shown_column(batch: pa.RecordBatch, piece: Piece) -> pa.Array:
    import pyarrow as pa

    column = rows.column(batch, piece.column)
    if column.type == pa.string() and not piece.as_json and piece.column != "tools":
        return column
    if column.type == pa.int64():
        return column.cast(pa.string())
    show = dumps_plain if piece.as_json else shown
    values = rows.values(batch, piece.column)
    return rows.strings([None if value is None else show(value) for value in values])


def dumps_plain(value: Any) -> str:
    """`dumps` of a value that a column holds."""
    return json.dumps(value, ensure_ascii=False)


UNFIT = ("column ", "the template does not fit")
MEND = "mend the template, or drop such rows with a cleaning step"


def _missing(column: str) -> str:
    return f"column '{column}' is missing or null"


def findings(batch: pa.RecordBatch, faults: Mapping[int, str]) -> list[api.Finding]:
    """One finding per row that could not be rendered."""
    numbers = batch.column(rows.ROW).to_pylist()
    there = {name: batch.column(name).is_valid().to_pylist() for name in rows.visible(batch)}
    return [
        api.Finding(
            message=reason,
            hint=_meant(reason, list(there))
            or (_hint([name for name in there if there[name][index]]) if reason.startswith(UNFIT) else MEND),
            row=numbers[index],
        )
        for index, reason in sorted(faults.items())
    ]


def _meant(reason: str, names: list[str]) -> str:
    """What to do about a column that is none of `names`, and like one of them; "" where it is like none."""
    from difflib import get_close_matches

    missed = MISSED.match(reason)
    if missed is None or missed[1] in names:
        return ""
    for name in names:
        if not name.isidentifier() and name.startswith(missed[1]):
            return f"a name in a template is one word: rename '{name}' in `cleaning`, with the step `rename`"
    near = get_close_matches(missed[1], names, 1)
    return f"did you mean '{near[0]}'?" if near else ""


def _hint(names: list[str]) -> str:
    """What to do about a row that has values in these columns alone."""
    shown = ", ".join(map(repr, sorted(names)[:SHOWN])) + ", ..." * (len(names) > SHOWN)
    has = f"the row has {shown}; " if names else ""
    return f"{has}drop such rows with a cleaning step, or let the template ask: {{% if column is defined %}}"
