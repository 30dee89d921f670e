"""An expression over a batch, by Arrow's kernels. A row's result depends on that row's values alone.

A value of the wrong kind is no reason to drop a row in silence: it raises DataError by row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftspec import api, rows
from ftspec.builtin.expressions import calls, meaning
from ftspec.builtin.expressions.grammar import Node
from ftspec.builtin.expressions.meaning import TITLES
from ftspec.builtin.expressions.values import BUILD, Value, as_kind, as_text, is_number, nothing, there

if TYPE_CHECKING:
    import pyarrow as pa

HINT = "number(x) reads a number out of a text, text(x) writes any value as text; or name another column"


def truth(node: Node, batch: pa.RecordBatch) -> pa.Array:
    """Where the condition holds; null where it is about values that are not there. Raises DataError by row."""
    return Run(batch).wanted(node, "truth")


class Run:
    """An expression's parts over one batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def value(self, node: Node) -> Value:
        return EVALUATE[node.what](self, node)

    def wanted(self, node: Node, kind: str) -> pa.Array:
        """The part's values, all of one kind. Raises DataError for rows that have another."""
        value = self.value(node)
        made, bad = as_kind(value, kind, self.batch.num_rows)
        self.refuse(bad, node, f"is {{}} here, and {TITLES[kind]} is wanted", value)
        return made

    def refuse(self, bad: pa.Array | None, node: Node, message: str, *told: Value) -> None:
        """Each `{}` of the message is what the row's own value of `told` is: other rows of the batch say nothing of
        it, or what is told of a row would depend on how rows are cut into batches."""
        import pyarrow.compute as pc

        if bad is None or not pc.any(bad).as_py():
            return
        numbers = self.batch.column(rows.ROW).to_pylist()
        raise api.DataError(
            [
                api.Finding(
                    message=f"filter: what stands at character {node.at} of `where` "
                    + message.format(*(each.called(at) for each in told)),
                    hint=HINT,
                    row=numbers[at],
                )
                for at in pc.indices_nonzero(bad).to_pylist()
            ]
        )

    def text(self, node: Node) -> pa.Array:
        """Any value as text: messages by their contents, one per line."""
        return as_text(self.value(node), self.batch.num_rows)

    def messages(self, node: Node) -> pa.Array:
        value = self.value(node)
        if value.kind == "null":
            return rows.cell("messages", [None] * self.batch.num_rows)
        if value.kind != "messages":
            self.refuse(there(value, self.batch.num_rows), node, "is no column of messages")
        return value.data


def _literal(run: Run, node: Node) -> Value:
    kind = "truth" if isinstance(node.value, bool) else "text" if isinstance(node.value, str) else "number"
    return Value(kind, rows.repeated(node.value, run.batch.num_rows))


def _column(run: Run, node: Node) -> Value:
    import pyarrow as pa

    column = rows.column(run.batch, node.value)
    if column.null_count == len(column):
        return Value("null", None)
    if column.type == rows.MESSAGES:
        return Value("messages", column, column)
    if rows.is_json(column.type) or node.value == "tools":
        return Value("json", rows.values(run.batch, node.value), column)
    if column.type == pa.string():
        return Value("text", column, column)
    if column.type == pa.bool_():
        return Value("truth", column, column)
    return Value("number", column.cast(pa.float64(), safe=False), column)


def _inside(run: Run, node: Node) -> Value:
    """A field of objects or an entry of lists; nothing where there is none. Other values have neither."""
    value = run.value(node.parts[0])
    if value.kind == "messages":
        run.refuse(value.data.is_valid(), node, "is inside of messages: use first(), last(), roles() or count()")
    held = value.data if value.kind == "json" else []
    bad = rows.booleans([each is not None and not calls.has_inside(each, node.value) for each in held])
    message = "is inside of what is no object" if isinstance(node.value, str) else "is an entry of what is no list"
    run.refuse(bad if value.kind == "json" else there(value, run.batch.num_rows), node, f"{message} here")
    if value.kind != "json":
        return Value("null", None)
    return Value("json", [calls.inside(each, node.value) for each in value.data])


def _not(run: Run, node: Node) -> Value:
    import pyarrow.compute as pc

    return Value("truth", pc.invert(run.wanted(node.parts[0], "truth")))


def _logic(run: Run, node: Node) -> Value:
    import pyarrow.compute as pc

    left, right = (run.wanted(part, "truth") for part in node.parts)
    return Value("truth", (pc.and_kleene if node.what == "and" else pc.or_kleene)(left, right))


def _minus(run: Run, node: Node) -> Value:
    import pyarrow.compute as pc

    return Value("number", pc.negate(run.wanted(node.parts[0], "number")))


def _arithmetic(run: Run, node: Node) -> Value:
    """A division by zero has no result."""
    import pyarrow.compute as pc

    left, right = (run.wanted(part, "number") for part in node.parts)
    plain = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
    if node.what in plain:
        return Value("number", plain[node.what](left, right))
    right = pc.if_else(pc.equal(right, rows.scalar(0.0)), nothing("number", len(right)), right)
    quotient = pc.divide(left, right)
    if node.what == "/":
        return Value("number", quotient)
    return Value("number", pc.subtract(left, pc.multiply(right, pc.floor(quotient))))


def _null(run: Run, node: Node) -> Value:
    import pyarrow.compute as pc

    return Value("truth", pc.invert(there(run.value(node.parts[0]), run.batch.num_rows)))


def _comparison(run: Run, node: Node) -> Value:
    """Both sides of one kind; where one of them has no value, there is no result."""
    import pyarrow.compute as pc

    count = run.batch.num_rows
    left, right = (run.value(part) for part in node.parts)
    if "null" in (left.kind, right.kind):
        return Value("truth", nothing("truth", count))
    fixed = [kind for kind in map(meaning.kind, node.parts) if kind != "any"]
    if not fixed and not (left.kind == right.kind and left.kind in ("text", "number")):
        return _compared_one_by_one(run, node, left, right)
    kind = fixed[0] if fixed else left.kind
    (a, bad), (b, worse) = as_kind(left, kind, count), as_kind(right, kind, count)
    both = pc.and_(there(left, count), there(right, count))
    for part, value, wrong in ((node.parts[0], left, bad), (node.parts[1], right, worse)):
        if wrong is not None:
            run.refuse(pc.and_(wrong, both), part, f"is {{}} here, and compared with {TITLES[kind]}", value)
    return Value("truth", _kernel(node.what)(a, b))


def _kernel(operator: str) -> Callable[[Any, Any], Any]:
    import pyarrow.compute as pc

    kernels: dict[str, Callable[[Any, Any], Any]] = {
        "==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
    }  # fmt: skip
    return kernels[operator]


def _compared_one_by_one(run: Run, node: Node, left: Value, right: Value) -> Value:
    """Columns whose kind the batch decides: each row's values are of one kind, and have an order where one is asked."""
    pairs = list(zip(left.listed(), right.listed(), strict=True))
    bad = [calls.differ(node.what, a, b) for a, b in pairs]
    run.refuse(rows.booleans(bad), node, f"compares ('{node.what}') what is {{}} here with what is {{}}", left, right)
    return Value("truth", rows.booleans([calls.compare(node.what, a, b) for a, b in pairs]))


def _in(run: Run, node: Node) -> Value:
    import pyarrow.compute as pc

    left, right = node.parts
    if right.what == "list":
        wanted = [part.value for part in right.parts]
        kind = "text" if isinstance(wanted[0], str) else "truth" if isinstance(wanted[0], bool) else "number"
        values = run.wanted(left, kind)
        found = pc.is_in(values, value_set=BUILD[kind](wanted))
        return Value("truth", pc.if_else(values.is_valid(), found, nothing("truth", len(values))))
    held = run.value(right)
    said = f"is {{}} here, in which {TITLES[meaning.kind(left)]} cannot be"
    if held.kind == "json":
        bad = [each is not None and not calls.may_hold(each, left.value) for each in held.data]
        run.refuse(rows.booleans(bad), right, said, held)
        return Value("truth", rows.booleans([calls.holds(each, left.value) for each in held.data]))
    if held.kind == "null":
        return Value("truth", nothing("truth", run.batch.num_rows))
    if held.kind not in ("text", "messages") or not isinstance(left.value, str):
        run.refuse(there(held, run.batch.num_rows), right, said, held)
    return Value("truth", pc.match_substring(as_text(held, run.batch.num_rows), left.value))


def _call(run: Run, node: Node) -> Value:
    kind, function = CALLS[node.value]
    return Value(kind, function(run, node, *(part.value for part in node.parts[1:])))


def _len(run: Run, node: Node) -> pa.Array:
    import pyarrow as pa

    value = run.value(node.parts[0])
    column = value.column if value.column is not None else as_text(value, run.batch.num_rows)
    return rows.lengths(column).cast(pa.float64())


def _count(run: Run, node: Node, role: str | None = None) -> pa.Array:
    value = run.value(node.parts[0])
    said = "is {} here: count() counts messages" + ("" if role else " and entries of lists")
    if value.kind == "messages":
        return calls.count(value.data, role)
    if value.kind == "json" and role is None:
        bad = [each is not None and not isinstance(each, list) for each in value.data]
        run.refuse(rows.booleans(bad), node.parts[0], said, value)
        return rows.floats([float(len(each)) if each else 0.0 for each in value.data])
    run.refuse(there(value, run.batch.num_rows), node.parts[0], said, value)
    return rows.repeated(0.0, run.batch.num_rows)


def _number(run: Run, node: Node) -> pa.Array:
    value = run.value(node.parts[0])
    if value.kind == "number":
        return value.data
    if value.kind == "json":
        return BUILD["number"]([each if is_number(each) else calls.read_number(each) for each in value.data])
    return calls.read_numbers(as_text(value, run.batch.num_rows))


def _on_text(name: str) -> Callable[..., Any]:
    """A kernel on texts, by its name in pyarrow.compute; the text in quotes goes along."""

    def function(run: Run, node: Node, *given: str) -> Any:
        import pyarrow.compute as pc

        return getattr(pc, name)(run.text(node.parts[0]), *given)

    return function


CALLS: dict[str, tuple[str, Callable[..., Any]]] = {
    "len": ("number", _len),
    "words": ("number", lambda run, node: calls.words(run.text(node.parts[0]))),
    "count": ("number", _count),
    "calls": ("number", lambda run, node: calls.tool_calls(run.messages(node.parts[0]))),
    "text": ("text", lambda run, node: run.text(node.parts[0])),
    "lower": ("text", _on_text("utf8_lower")),
    "strip": ("text", lambda run, node: calls.stripped(run.text(node.parts[0]))),
    "number": ("number", _number),
    "first": ("text", lambda run, node, *role: calls.said(run.messages(node.parts[0]), *role, last=False)),
    "last": ("text", lambda run, node, *role: calls.said(run.messages(node.parts[0]), *role, last=True)),
    "roles": ("text", lambda run, node: calls.roles(run.messages(node.parts[0]))),
    "contains": ("truth", _on_text("match_substring")),
    "starts_with": ("truth", _on_text("starts_with")),
    "ends_with": ("truth", _on_text("ends_with")),
    "matches": ("truth", _on_text("match_substring_regex")),
}

EVALUATE: dict[str, Callable[[Run, Node], Value]] = {
    "literal": _literal, "column": _column, "field": _inside, "item": _inside, "not": _not, "and": _logic,
    "or": _logic, "minus": _minus, "null": _null, "in": _in, "call": _call,
    **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _comparison),
}  # fmt: skip
