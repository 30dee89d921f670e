"""The check of labels: is any of them rare, or does one of them crowd out the others?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.bounds import percent

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 1000
"""Distinct values beyond which a column holds no labels."""
CHARACTERS = 60

Share = Annotated[float, Meta(ge=0, le=1)]


def balance_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Something is wanted of the shares."""
    wanted = (options["min_share"], options["max_ratio"], options["values"])
    if not any(wanted) and options["max_share"] == 1:
        yield (), "nothing is wanted: say `min_share`, `max_share`, `max_ratio` or `values`"


@api.check(rules=[balance_rule], code=["ftspec.builtin.bounds"])
def balance(
    *,
    column: Annotated[
        str, Meta(description="A column as the cleaning leaves it; what the assistant says last when empty.")
    ] = "",
    min_share: Annotated[Share, Meta(description="Each value has at least this share of the rows.")] = 0.0,
    max_share: Annotated[Share, Meta(description="No value has a larger share.")] = 1.0,
    max_ratio: Annotated[
        Annotated[float, Meta(ge=1)] | None,
        Meta(description="The most frequent value is at most so many times as frequent as the rarest."),
    ] = None,
    values: Annotated[list[str], Meta(description="Values that must occur.")] = [],
) -> api.Check:
    """Want the labels to be balanced among the rows to train on: no value too rare, none too frequent.

    Values are compared as text; rows without one are left out. More than 1,000 values are no labels, and a finding.
    """

    def measure(batch: pa.RecordBatch) -> dict[str, int]:
        import pyarrow.compute as pc

        batch = batch.filter(pc.equal(batch.column(rows.SIDE), rows.scalar("train")))
        texts = rows.as_text(rows.column(batch, column)) if column else _last_said(batch)
        counted = texts.drop_null().value_counts()
        return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))

    def judge(measured: Iterable[dict[str, int]]) -> Iterator[api.Finding]:
        counts: Counter[str] = Counter(dict.fromkeys(values, 0))
        for part in measured:
            counts.update(part)
            if len(counts) > MOST:
                where = f"column '{column}'" if column else "what the assistant says last"
                message = f"{where} has more than {MOST:,} values among the rows to train on: these are no labels"
                yield api.Finding(message=message, hint="name the column of the label: `balance: {column: ...}`")
                return
        yield from _unbalanced(counts, column, min_share, max_share, max_ratio)

    return api.Check(measure, judge, before_format=bool(column))


def _last_said(batch: pa.RecordBatch) -> pa.Array:
    """What the assistant says last, null where a row does not end with it; the better answer of a pair."""
    said: list[str | None] = []
    for example in rows.examples(batch):
        messages = example.chosen or example.messages
        last = messages[-1] if messages and messages[-1].role == "assistant" else None
        text = last.content if last else None
        said.append(
            text if isinstance(text, str) else rows.calls_text(last.tool_calls) if last and last.tool_calls else None
        )
    return rows.strings(said)


def _unbalanced(
    counts: Counter[str], column: str, min_share: float, max_share: float, max_ratio: float | None
) -> Iterator[api.Finding]:
    total = sum(counts.values())
    if not total:
        where = f"column '{column}'" if column else "the last message of the assistant"
        yield api.Finding(message=f"no row to train on has a value in {where}", hint="name the column of the label")
        return
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    hint = f"shares are {_shares(ordered, total)}; `balance` in `cleaning` evens them out, or add rows"
    for value, count in ordered:
        share = count / total
        if count == 0:
            yield api.Finding(message=f"no row to train on has the value {_short(value)}", hint=hint)
        elif share < min_share:
            wanted = f"at least {percent(min_share, share)} is wanted"
            message = f"{_short(value)} has {percent(share, min_share)} of the rows to train on ({count:,}), {wanted}"
            yield api.Finding(message=message, hint=hint)
        elif share > max_share:
            wanted = f"at most {percent(max_share, share)} is wanted"
            message = f"{_short(value)} has {percent(share, max_share)} of the rows to train on ({count:,}), {wanted}"
            yield api.Finding(message=message, hint=hint)
    (often, most), (rare, least) = ordered[0], ordered[-1]
    if max_ratio is not None and least and most / least > max_ratio:
        ratio = api.beside(most / least, max_ratio, digits=1)
        message = f"{_short(often)} is {ratio} times as frequent as {_short(rare)}, at most {max_ratio:g} times"
        yield api.Finding(message=f"{message} is wanted", hint=hint)


def _shares(ordered: list[tuple[str, int]], total: int) -> str:
    said = ", ".join(f"{_short(value)} {count / total:.1%}" for value, count in ordered[:10])
    return f"{said} and {len(ordered) - 10} more" if len(ordered) > 10 else said


def _short(text: str) -> str:
    return f"'{text[:CHARACTERS]}{'…' * (len(text) > CHARACTERS)}'"


COMPONENTS: dict[str, api.Component] = {balance.name: balance}
