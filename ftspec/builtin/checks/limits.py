"""Checks of what the model and its provider take: rows, their tokens, the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

AROUND_MESSAGE = 16
AROUND_ROW = 512
"""Tokens that a chat template adds at the most: to a message, and to a row (a system message of its own, tools)."""


@api.check
def limits(*, tuner: api.Tuner) -> api.Check:
    """Hold the data to what the tuner takes: so many examples, and so many bytes of a file.

    This check always runs, and knows what the provider's plugin knows; name it to give it a severity or a waiver.
    """
    known = tuner.limits()
    source = f" ({known.source})" if known.source else ""

    def measure(batch: pa.RecordBatch) -> dict[str, int]:
        return {each["values"]: each["counts"] for each in batch.column(rows.SIDE).value_counts().to_pylist()}

    def judge(measured: Iterable[dict[str, int]]) -> Iterator[api.Finding]:
        sides: Counter[str] = Counter()
        for part in measured:
            sides.update(part)
        for count, what, most in (
            (sides["train"], "training", known.max_examples),
            (sides["validation"], "validation", known.max_validation_examples),
        ):
            if most is not None and count > most:
                message = f"{count:,} {what} examples, and the tuner takes at most {most:,}{source}"
                yield api.Finding(message=message, hint="take fewer with `sample: {count: ...}` in `cleaning`")

    def weigh(found: api.Weighed) -> Iterator[api.Finding]:
        for what, size in (("training", found.bytes), ("validation", found.validation_bytes)):
            if known.file_bytes is not None and size is not None and size > known.file_bytes:
                message = (
                    f"the {what} file has {size:,} bytes, and the tuner takes at most {known.file_bytes:,}{source}"
                )
                yield api.Finding(message=message, hint="take fewer rows, or shorter ones")

    return api.Check(measure, judge, weigh=weigh)


class Long(NamedTuple):
    """Of a batch: (row, tokens) of rows above the limit, and how many could not be counted."""

    rows: list[tuple[int, int]]
    unsure: int


@api.check
def long_rows(
    *,
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Most tokens of a row; the model's own limit if not given.")
    ] = None,
    tuner: api.Tuner,
) -> api.Check:
    """Find rows with more tokens than the model sees: what is beyond would be cut off, or the job refused.

    The limit is the provider's for the model, unless a lower one is given; tokens are those of the model's own
    tokenizer and chat template. Only rows are counted that have bytes enough to be too long. This check always runs.
    """
    known = tuner.limits()
    tokenizer = tuner.tokenizer()
    limit = min((each for each in (max_tokens, known.row_tokens) if each is not None), default=None)

    def measure(batch: pa.RecordBatch) -> Long:
        if limit is None:
            return Long([], 0)
        suspects = _perhaps_longer(batch, limit, tokenizer.per_byte if tokenizer else 1.0)
        if tokenizer is None:
            return Long([], suspects.num_rows)
        found: list[tuple[int, int]] = []
        for example in rows.examples(suspects):
            counted = tokenizer.row(example)
            if counted is not None and counted[0] > limit:
                found.append((example.row, counted[0]))
        return Long(found, 0)

    def judge(measured: Iterable[Long]) -> Iterator[api.Finding]:
        unsure = 0
        whose = "are wanted" if limit != known.row_tokens else "are seen"
        source = f" ({known.source})" if known.source and limit == known.row_tokens else ""
        for part in measured:
            unsure += part.unsure
            for row, tokens in part.rows:
                yield api.Finding(
                    message=f"the row has {tokens:,} tokens, and at most {limit:,} {whose}{source}",
                    hint="shorten it, or drop or truncate long rows with `length` in `cleaning`",
                    row=row,
                )
        if unsure:
            yield api.Finding(
                message=f"{unsure:,} rows may have more than {limit:,} tokens: the model's tokenizer is not at hand",
                hint="see the plugin's README for the tokenizer; no row has more tokens than bytes",
                severity="warning",
            )

    return api.Check(measure, judge)


def _perhaps_longer(batch: pa.RecordBatch, limit: int, per_byte: float) -> pa.RecordBatch:
    """Rows that may have more tokens, by their bytes and what a template adds at the most."""
    import pyarrow.compute as pc

    size = rows.integers([AROUND_ROW] * batch.num_rows)
    for name in ("messages", "chosen", "rejected"):
        if name in batch.schema.names:
            size = pc.add(size, _bytes(batch.column(name)))
    if "tools" in batch.schema.names:
        size = pc.add(size, pc.coalesce(pc.binary_length(batch.column("tools")).cast("int64"), rows.scalar(0)))
    return batch.filter(pc.greater(pc.multiply(size, rows.scalar(per_byte)), rows.scalar(float(limit))))


def _bytes(messages: pa.Array) -> pa.Array:
    """Bytes of each row's messages, with what a template may add."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = rows.children(messages)
    size = pc.coalesce(pc.binary_length(fields["content"]).cast("int64"), rows.scalar(0))
    for name in ("parts", "tool_calls"):
        size = pc.add(size, pc.coalesce(pc.binary_length(fields[name]).cast("int64"), rows.scalar(0)))
    parents = rows.parents(messages).cast("int64")
    table = pa.table({"row": parents, "size": pc.add(size, rows.scalar(AROUND_MESSAGE))})
    summed = table.group_by("row").aggregate([("size", "sum")])
    at = pc.index_in(rows.integers(range(len(messages))), value_set=summed["row"].combine_chunks())
    return pc.coalesce(summed["size_sum"].combine_chunks().take(at), rows.scalar(0))


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (limits, long_rows)}
