"""Checks over the formatted data: is it what a tuner takes, is there enough of it, does the test set stay unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ftspec import api, rows
from ftspec.builtin.conversations import row_problems

if TYPE_CHECKING:
    import pyarrow as pa


@api.check
def min_examples(*, count: Annotated[int, Meta(ge=1)] = 10) -> api.Check:
    """Want at least `count` rows to train on, after cleaning and without those held out."""

    def measure(batch: pa.RecordBatch) -> int:
        sides: list[str] = batch.column(rows.SIDE).to_pylist()
        return sides.count("train")

    def judge(counts: Sequence[int]) -> Iterator[api.Finding]:
        if sum(counts) < count:
            message = f"{sum(counts)} rows to train on, at least {count} are wanted"
            yield api.Finding(message=message, hint="add rows, clean less, or hold out a smaller share")

    return api.Check(measure, judge)


@api.check
def format_() -> api.Check:
    """Check that every row is what tuners take: its messages, their keys, roles, tool calls, weights.

    A conversation ends with the assistant, a preference pair has two answers to its prompt, a reinforcement item ends
    with the user. The classes are those of OpenAI's cookbook (data preparation for chat fine-tuning), and those of its
    API since. This check always runs; name it to give it a severity or a waiver.
    """

    def measure(batch: pa.RecordBatch) -> list[tuple[int, str]]:
        suspects = _suspects(batch)
        if suspects.num_rows == 0:
            return []
        names = set(batch.schema.names)
        shape = "preference" if "chosen" in names else "reinforcement" if "item" in names else "chat"
        numbers = suspects.column(rows.ROW).to_pylist()
        sides = suspects.column(rows.SIDE).to_pylist()
        found = []
        for number, side, row in zip(numbers, sides, rows.to_dicts(suspects), strict=True):
            found += [(number, message) for message in row_problems(row, shape, answered=side != "prompt")]
        return found

    def judge(measured: Sequence[list[tuple[int, str]]]) -> Iterator[api.Finding]:
        for found in measured:
            yield from (api.Finding(message=message, row=number) for number, message in found)

    return api.Check(measure, judge)


def _suspects(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that need a closer look: all but plain text conversations that end with the assistant's message."""
    import pyarrow.compute as pc

    if {"chosen", "item"} & set(batch.schema.names):
        return batch
    messages = batch.column("messages")
    fields = rows.children(messages)
    plain = pc.and_(
        pc.is_in(fields["role"], value_set=rows.strings(["system", "user", "assistant"])), fields["content"].is_valid()
    )
    for name in set(fields) - {"role", "content"}:
        plain = pc.and_(plain, fields[name].is_null())
    odd = rows.parents(messages).filter(pc.invert(plain))
    answers = rows.parents(messages).filter(
        pc.coalesce(pc.equal(fields["role"], rows.scalar("assistant")), rows.scalar(False))
    )
    here = rows.integers(range(batch.num_rows))
    answered = pc.is_in(here, value_set=answers.cast(here.type))
    with_tools = rows.column(batch, "tools").is_valid()
    suspect = pc.or_(pc.or_(pc.is_in(here, value_set=odd.cast(here.type)), pc.invert(answered)), with_tools)
    last = _last_roles(messages, fields["role"])
    return batch.filter(pc.or_(suspect, pc.coalesce(pc.not_equal(last, rows.scalar("assistant")), rows.scalar(True))))


def _last_roles(messages: pa.Array, roles: pa.Array) -> pa.Array:
    """The role of each row's last message; null where there is no message."""
    import pyarrow.compute as pc

    lengths = pc.coalesce(messages.value_lengths(), rows.scalar(0))
    ends = pc.subtract(pc.cumulative_sum(lengths), rows.scalar(1))
    some = pc.greater(lengths, rows.scalar(0))
    return roles.take(pc.if_else(some, ends, rows.integers([None])[0]))


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
        asked = rows.strings([_question(example) for example in rows.examples(batch)])
        keys = rows.fingerprints(_one_column(asked))
        return Asked(keys, batch.column(rows.ROW), batch.column(rows.SIDE))

    return api.Check(measure, _leaks)


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
    place = "an evaluation prompt" if side == "prompt" else f"in {side}"
    return api.Finding(
        message=f"asks what {rows.mention(other)} asks: that row is in {other_side}, this one is {place}",
        hint="deduplicate by the column that makes the question, or split `by` a column that such rows share",
        row=number,
    )


COMPONENTS: dict[str, api.Component] = {each.name: each for each in (format_, min_examples, leakage)}
