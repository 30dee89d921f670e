"""Checks of how many rows there are, and of how many are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.bounds import percent
from ftspec.builtin.checks.leaks import asked_keys

if TYPE_CHECKING:
    import pyarrow as pa

CODE = ["ftspec.builtin.bounds", "ftspec.builtin.checks.leaks"]

SHOWN = 20
"""Rows named, of those that are alike."""


@api.check(code=CODE)
def min_examples(*, count: Annotated[int, Meta(ge=1)] = 10) -> api.Check:
    """Want at least `count` rows to train on, after cleaning and without those held out."""

    def judge(counts: Iterable[int]) -> Iterator[api.Finding]:
        total = sum(counts)
        if total < count:
            message = f"{total} {'row' if total == 1 else 'rows'} to train on, at least {count} are wanted"
            yield api.Finding(message=message, hint="add rows, clean less, or hold out a smaller share")

    return api.Check(_trained, judge)


@api.check(code=CODE)
def max_examples(*, count: Annotated[int, Meta(ge=1)]) -> api.Check:
    """Want at most `count` rows to train on, after cleaning and without those held out."""

    def judge(counts: Iterable[int]) -> Iterator[api.Finding]:
        total = sum(counts)
        if total > count:
            message = f"{total} rows to train on, at most {count} are wanted"
            yield api.Finding(message=message, hint="take fewer with `sample: {count: ...}` in `cleaning`")

    return api.Check(_trained, judge)


def _trained(batch: pa.RecordBatch) -> int:
    sides = Counter(batch.column(rows.SIDE).to_pylist())
    return sides["train"]


class Keyed(NamedTuple):
    """Keys of rows that train, and their numbers."""

    keys: pa.Array
    numbers: pa.Array


@api.check(code=CODE)
def duplicates(
    *,
    max_rate: Annotated[float, Meta(ge=0, lt=1, description="Share of rows that may be repetitions.")] = 0.0,
    of: Annotated[
        Literal["rows", "questions"], Meta(description="What is compared: whole rows, or all before the last answer.")
    ] = "rows",
) -> api.Check:
    """Want few rows to train on that repeat an earlier one: the same once formatted, or with the same question.

    Questions are compared without case and white space, as the check `leakage` compares them.
    """

    def measure(batch: pa.RecordBatch) -> Keyed:
        import pyarrow.compute as pc

        batch = batch.filter(pc.equal(batch.column(rows.SIDE), rows.scalar("train")))
        keys = asked_keys(batch) if of == "questions" else rows.fingerprints(batch)
        return Keyed(keys, batch.column(rows.ROW))

    return api.Check(measure, lambda measured: _repeated(measured, max_rate, of))


def _repeated(measured: Iterable[Keyed], max_rate: float, of: str) -> Iterator[api.Finding]:
    """One finding with the rate, and one per repetition for the first of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    some = list(measured)
    if not some:
        return
    keys, numbers = (pa.concat_arrays(list(column)) for column in zip(*some, strict=True))
    total = len(keys)
    coded = pc.coalesce(keys, rows.binaries([b""])[0]).dictionary_encode()
    again = total - len(coded.dictionary)
    if not total or again / total <= max_rate:
        return
    what = "rows" if of == "rows" else "questions"
    yield api.Finding(
        message=f"{again:,} of {total:,} rows to train on repeat earlier {what} ({percent(again / total, max_rate)}), "
        f"at most {percent(max_rate, again / total)} may",
        hint="deduplicate in `cleaning`",
    )
    first: dict[int, int] = {}
    shown = 0
    for code, number in zip(coded.indices, numbers, strict=True):
        earlier = first.setdefault(code.as_py(), number.as_py())
        if earlier != number.as_py():
            said = "is the same as" if of == "rows" else "asks the same as"
            yield api.Finding(message=f"{said} {rows.mention(earlier)}", hint="drop one of them", row=number.as_py())
            shown += 1
            if shown == SHOWN:
                return


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (min_examples, max_examples, duplicates)}
