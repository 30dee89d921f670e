"""The check of leaks: does the test set stay unseen?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa


# Also what the check near_leakage says and looks at: its component names this module as its code.
HELD_OUT = {"validation": ("train",), "test": ("train", "validation"), "prompt": ("train", "validation")}


class Asked(NamedTuple):
    """What each row of a batch asks, as a key; its number and its side."""

    keys: pa.Array
    numbers: pa.Array
    sides: pa.Array


@api.check
def leakage() -> api.Check:
    """Find rows of validation, test and evaluation whose question was trained on (or chosen by).

    Questions are the messages before the last answer, compared without case and white space.
    """

    def measure(batch: pa.RecordBatch) -> Asked:
        return Asked(asked_keys(batch), batch.column(rows.ROW), batch.column(rows.SIDE))

    return api.Check(measure, _leaks)


def asked_keys(batch: pa.RecordBatch) -> pa.Array:
    """A key per row of what it asks, without case and white space."""
    return rows.fingerprints(_one_column(rows.strings([_question(example) for example in rows.examples(batch)])))


def _one_column(texts: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([texts], names=["question"])


def _question(example: api.Example) -> str:
    messages = example.messages
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    said = [
        (
            each.role,
            content.casefold().split() if isinstance(content := each.content, str) else content,
            each.tool_calls,
        )
        for each in messages
    ]
    return rows.to_json(said)


def _leaks(measured: Sequence[Asked]) -> Iterator[api.Finding]:
    """Only keys that stand on more than one side become Python objects: most rows stay in Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not measured:
        return
    keys, numbers, sides = (pa.concat_arrays(list(column)) for column in zip(*measured, strict=True))
    trained = pc.equal(sides, rows.scalar("train"))
    suspects = keys.filter(pc.invert(trained))
    shared = pc.or_(pc.invert(trained), pc.is_in(keys, value_set=suspects))
    first: dict[tuple[bytes, str], int] = {}
    for key, number, side in _listed(keys, numbers, sides, shared):
        first.setdefault((key, side), number)
    for key, number, side in _listed(keys, numbers, sides, shared):
        for other in HELD_OUT.get(side, ()):
            if (key, other) in first:
                yield _leak(number, side, first[key, other], other)
                break


def _listed(keys: pa.Array, numbers: pa.Array, sides: pa.Array, mask: pa.Array) -> Iterable[tuple[bytes, int, str]]:
    return zip(*(column.filter(mask).to_pylist() for column in (keys, numbers, sides)), strict=True)


def _leak(number: int, side: str, other: int, other_side: str) -> api.Finding:
    return api.Finding(
        message=said(side, f"asks what {rows.mention(other)} asks", other_side),
        hint="`dedupe: {columns: [...]}` by what makes the question, or split `by` a column that such rows share",
        row=number,
    )


def said(side: str, what: str, other_side: str) -> str:
    """The message of a leak: what the row on `side` does, and where both rows are."""
    place = "an evaluation prompt" if side == "prompt" else f"in {side}"
    return f"{what}: that row is in {other_side}, this one is {place}"


COMPONENTS: dict[str, api.Component] = {leakage.name: leakage}
