"""The check of the format: is every row what tuners take?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ftspec import api, rows
from ftspec.builtin.conversations import empty_answers, row_problems

if TYPE_CHECKING:
    import pyarrow as pa


EMPTY = "drop such rows in `cleaning`, or give the message the weight 0"


@api.check(code=["ftspec.builtin.conversations"])
def format_() -> api.Check:
    """Check that every row is what tuners take: its messages, their keys, roles, tool calls, weights.

    A conversation ends with the assistant, a preference pair has two answers to its prompt, a reinforcement item ends
    with the user. The classes are those of OpenAI's cookbook (data preparation for chat fine-tuning), and those of its
    API since. An answer that is empty is a warning. This check always runs; name it to give it a severity or a waiver.
    """

    def measure(batch: pa.RecordBatch) -> list[tuple[int, str, bool]]:
        suspects = _suspects(batch)
        if suspects.num_rows == 0:
            return []
        names = set(batch.schema.names)
        shape = "preference" if "chosen" in names else "reinforcement" if "item" in names else "chat"
        numbers = suspects.column(rows.ROW).to_pylist()
        sides = suspects.column(rows.SIDE).to_pylist()
        found: list[tuple[int, str, bool]] = []
        for number, side, row in zip(numbers, sides, rows.to_dicts(suspects), strict=True):
            answered = side != "prompt"
            found += [(number, message, False) for message in row_problems(row, shape, answered)]
            found += [(number, message, True) for message in (empty_answers(row) if answered else ())]
        return found

    def judge(measured: Sequence[list[tuple[int, str, bool]]]) -> Iterator[api.Finding]:
        for found in measured:
            for number, message, mild in found:
                yield api.Finding(
                    message=message, hint=EMPTY if mild else "", severity="warning" if mild else "error", row=number
                )

    return api.Check(measure, judge)


def _suspects(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that need a closer look: all but conversations of texts that say something and end with the assistant's."""
    import pyarrow.compute as pc

    if {"chosen", "item"} & set(batch.schema.names):
        return batch
    messages = batch.column("messages")
    fields = rows.children(messages)
    plain = pc.and_(
        pc.is_in(fields["role"], value_set=rows.strings(["system", "user", "assistant"])),
        pc.coalesce(pc.greater(pc.binary_length(fields["content"]), rows.scalar(0)), rows.scalar(False)),
    )
    for name in set(fields) - {"role", "content"}:
        if fields[name].null_count < len(fields[name]):
            plain = pc.and_(plain, fields[name].is_null())
    odd = rows.parents(messages).filter(pc.invert(plain))
    here = rows.integers(range(batch.num_rows))
    with_tools = rows.column(batch, "tools").is_valid()
    suspect = pc.or_(pc.is_in(here, value_set=odd.cast(here.type)), with_tools)
    last = _last_roles(messages, fields["role"])
    return batch.filter(pc.or_(suspect, pc.coalesce(pc.not_equal(last, rows.scalar("assistant")), rows.scalar(True))))


def _last_roles(messages: pa.Array, roles: pa.Array) -> pa.Array:
    """The role of each row's last message; null where there is no message."""
    import pyarrow.compute as pc

    lengths = pc.coalesce(messages.value_lengths(), rows.scalar(0))
    ends = pc.subtract(pc.cumulative_sum(lengths), rows.scalar(1))
    some = pc.greater(lengths, rows.scalar(0))
    return roles.take(pc.if_else(some, ends, rows.integers([None])[0]))


COMPONENTS: dict[str, api.Component] = {format_.name: format_}
