"""Cleaning steps that drop rows one by one, for what stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.columns import Columns
from ftspec.builtin.expressions import grammar, meaning, running

if TYPE_CHECKING:
    import pyarrow as pa

CODE = [
    "ftspec.builtin.columns",
    *(f"ftspec.builtin.expressions.{name}" for name in ("grammar", "meaning", "running", "values", "calls")),
]


@api.batch_step(code=CODE)
def drop_empty(*, columns: Columns = []) -> api.BatchStep:
    """Drop rows in which one of `columns` is missing, null or blank; without `columns`, rows where all are.

    Messages are empty when there is none, or when one of them has neither content nor tool calls.
    """
    import pyarrow.compute as pc

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        empty = [rows.is_empty(rows.column(batch, name)) for name in columns or rows.visible(batch)]
        mask = rows.repeated(not columns, batch.num_rows)
        for each in empty:
            mask = pc.or_(mask, each) if columns else pc.and_(mask, each)
        return rows.drop(batch, mask, "empty")

    return step


def where_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """The condition can be read, and its parts fit together."""
    try:
        meaning.check(grammar.parse(options["where"]))
    except grammar.Fault as fault:
        yield ("where",), str(fault)


def columns_named(options: Mapping[str, Any]) -> Iterator[str]:
    """Every column that the condition is about."""
    return grammar.columns(grammar.parse(options["where"]))


@api.batch_step(
    name="filter",
    rules=[where_rule],
    reads=columns_named,
    code=CODE,
)
def filter_(
    *,
    where: Annotated[str, Meta(min_length=1, description="The condition, e.g. `len(question) > 10 and lang == 'en'`.")],
    drop: Annotated[
        bool, Meta(description="Drop the rows for which the condition holds, and keep the others.")
    ] = False,
) -> api.BatchStep:
    """Keep the rows for which a condition holds; with `drop`, drop those.

    A name is a column; texts stand in quotes. There are `and or not`, `== != < <= > >=`, `x in ['a', 'b']`, `'a' in x`
    (part of a text, entry of a list), `is null`, `is not null`, `+ - * / %`, `x.field`, `x['field']` and `x[0]` inside
    of objects and lists, and these functions:

    `len(x)` characters, as the step `length` counts them; `words(x)`; `text(x)` any value as text, messages by their
    contents, one per line; `lower(x)`; `strip(x)`; `number(x)` of a text; `contains(x, 'a')`; `starts_with(x, 'a')`;
    `ends_with(x, 'a')`; `matches(x, 'RE2 pattern')`, found anywhere in it; and of messages `count(messages)`,
    `count(messages, 'user')`, `roles(messages)` (`'user assistant'`), `first(messages)`, `last(messages, 'assistant')`
    (a message's text), `calls(messages)` (tool calls). `count` also counts the entries of a list.

    What is compared must be of one kind: a number that stands as text in a CSV is `number(price) > 5`; a row that has
    another kind fails, as does one where `x[0]` or `x.field` is asked of a text or a number. A comparison with a value
    that is missing neither holds nor fails to hold, nor does its `not`: such a row is not kept, nor dropped by `drop`.
    Lengths and counts of what is missing are 0. Numbers are 64-bit floats.
    """
    condition = grammar.parse(where)

    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow.compute as pc

        holds = pc.coalesce(running.truth(condition, batch), rows.scalar(False))
        return rows.drop(batch, holds if drop else pc.invert(holds), f"{'' if drop else 'not '}{_shown(where)}")

    return step


def _shown(where: str) -> str:
    """The condition on one line, as the ledger shows it."""
    line = " ".join(where.split())
    return line if len(line) <= 80 else line[:79] + "…"


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (drop_empty, filter_)}
