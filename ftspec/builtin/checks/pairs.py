"""Checks over preference pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa


class Pairs(NamedTuple):
    """Of the pairs of a batch: a key of the prompt, keys of both answers, the row's number."""

    prompts: pa.Array
    chosen: pa.Array
    rejected: pa.Array
    numbers: pa.Array


@api.check(data="preference")
def pairs() -> api.Check:
    """Find preference pairs that teach nothing: equal answers, and ones that another row prefers the other way round.

    Answers count as equal when only white space around them differs. This check always runs on preference pairs; name
    it to give it a severity or a waiver.
    """

    def measure(batch: pa.RecordBatch) -> Pairs | None:
        import pyarrow.compute as pc

        if not {"chosen", "rejected"} <= set(batch.schema.names):
            return None
        batch = batch.filter(pc.and_(batch.column("chosen").is_valid(), batch.column("rejected").is_valid()))
        batch = rows.map_text(batch, str.strip, nested=False)
        prompts = rows.fingerprints(batch, ["messages", "tools"])
        return Pairs(prompts, _answers(batch, "chosen"), _answers(batch, "rejected"), batch.column(rows.ROW))

    return api.Check(measure, _found)


def _answers(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Keys of one of the answers, as they are whichever of the two it is."""
    import pyarrow as pa

    return rows.fingerprints(pa.RecordBatch.from_arrays([batch.column(name)], names=["answer"]))


def _found(measured: Sequence[Pairs | None]) -> Iterator[api.Finding]:
    """Only pairs of which the opposite occurs become Python objects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    some = [each for each in measured if each is not None]
    if not some:
        return
    prompts, chosen, rejected, numbers = (pa.concat_arrays(list(column)) for column in zip(*some, strict=True))
    none = rows.binaries([b""])[0]
    keys = [pc.coalesce(each, none) for each in (prompts, chosen, rejected)]
    same = pc.equal(keys[1], keys[2])
    for number in numbers.filter(same).to_pylist():
        yield api.Finding(
            message="the chosen and the rejected answer are the same", hint="drop such rows in `cleaning`", row=number
        )
    forth = pc.binary_join_element_wise(*keys, none)
    back = pc.binary_join_element_wise(keys[0], keys[2], keys[1], none)
    swapped = pc.and_(pc.is_in(forth, value_set=back), pc.invert(same))
    yield from _swapped(*(column.filter(swapped).to_pylist() for column in (forth, back, numbers)))


def _swapped(forth: list[bytes], back: list[bytes], numbers: list[int]) -> Iterator[api.Finding]:
    """One finding per row that contradicts an earlier one."""
    first: dict[bytes, int] = {}
    for one, other, number in zip(forth, back, numbers, strict=True):
        first.setdefault(one, number)
        if other in first:
            yield api.Finding(
                message=f"prefers the answer that {rows.mention(first[other])} rejects, and rejects the one it prefers",
                hint="decide which is better, and drop the other row",
                row=number,
            )


COMPONENTS: dict[str, api.Component] = {pairs.name: pairs}
